"""handle(event, now) -> Draft: the heart of a lane, pure.

The caller makes the draft's records and messages durable, then adopts the draft, then performs it (D1; the order is
kept by daemon/runner.py alone). The engine never waits, never reads a clock, never touches the world.
"""

from collections.abc import Callable
from typing import assert_never

from msgspec.structs import replace

from posd.core import (
    advice_delivery,
    advices,
    commands,
    confirmations,
    limits,
    management,
    proposals,
    refunds,
    restored,
    retention,
    reversals,
    session,
    settlement,
    terminal_close,
    transactions,
    upload,
)
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, HostAnswer
from posd.core.draft import Agenda, Draft
from posd.core.effects import ForgetCard, Refusal, Result, ToTerminal
from posd.core.next_action import Step, next_step, queue_wait_s, waits_until
from posd.core.rules import Rules, Why
from posd.core.state import Advice, Exchange, SettlementPhase, State, Transaction, TxnStatus
from posd.core.verdict import Worth, judge
from posd.errors import InvariantBroken
from posd.values import Now, RequestId

STEPS_MAX = 64
"""More steps than this for one event, beside one for each waiting request, is a loop, and a bug of ours."""


class Engine:
    """One terminal's lane. `state` is what is durable, `agenda` what is not."""

    def __init__(self, rules: Rules, state: State) -> None:
        self.rules = rules
        self.state = state
        self.agenda = Agenda()

    def handle(self, event: e.Event, now: Now) -> Draft:
        """What this event leads to. Raises InvariantBroken: the lane has to be fenced (D4)."""
        draft = Draft(management.applied(self.rules, self.state), self.state, self.agenda, now, event)
        try:
            _happened(draft, event)
            if not isinstance(event, e.HandedOver):  # one for each approval: it waits for the next commit (D16)
                _advance(draft)
            proposals.tidy(draft)
            _ride_along(draft)
        except InvariantBroken:
            raise
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:  # pure: our bug (D4)
            raise InvariantBroken(f"{type(error).__name__} in the core: {error}") from error
        return draft

    def adopt(self, draft: Draft) -> None:
        """The draft's records are durable: it is true."""
        self.state, self.agenda = draft.state, draft.agenda

    def next_deadline_s(self, now: Now) -> float | None:
        """The monotonic time of the next `Tick` that can change something; None: only an event can."""
        times = waits_until(Draft(management.applied(self.rules, self.state), self.state, self.agenda, now))
        return min(times, default=None)


def _happened(draft: Draft, event: e.Event) -> None:
    """What is true now that this happened, and what was waited for in vain until now."""
    _take(draft, event)
    _expire(draft)
    advices.store_waiting(draft)


def _take(draft: Draft, event: e.Event) -> None:
    match event:
        case e.Started():
            _lost(draft, Why.RESTART, "posd was restarted")
            confirmations.begin_again(draft)
            if draft.state.settlement.phase is SettlementPhase.DRAINING:
                draft.start_draining()
        case e.Restored():
            _lost(draft, Why.RESTART, "posd was restored from a backup")
            restored.begin(draft, event)
        case e.Tick():
            pass
        case e.LinkUp():
            draft.agenda = replace(draft.agenda, link_up=True)
            draft.at_once(session.SIGN_IN)
            draft.wait(session.ECHO, draft.rules.echo_interval_s)
        case e.LinkDown():
            draft.agenda = replace(draft.agenda, link_up=False)
            _lost(draft, Why.LINK, f"the line was lost: {event.why}")
        case e.ExchangeLost():
            if event.token == draft.agenda.exchange_token:
                _lost(draft, Why.LINK, f"its connection was lost: {event.why}")
        case e.NeverLeft():
            if event.token == draft.agenda.exchange_token:
                _never_left(draft, event.why)
        case e.HostAnswered():
            _host_answered(draft, event.answer)
        case e.HostUnreadable():
            _host_unreadable(draft, event)
        case e.EncodingFailed():
            _encoding_failed(draft, event)
        case e.HandedOver():
            draft.agenda = replace(draft.agenda, handed_over=(*draft.agenda.handed_over, event.request_id))
        case e.NumbersDue():
            retention.expire(draft, event)
        case e.KeysDestroyed():
            retention.destroyed(draft, event)
        case e.SettleNow() | e.RetryReversals() | e.ResolveReversal() | e.ResolveRefund() | e.WithdrawProposal():
            commands.obey(draft, event)
        case e.ApproveSettlement() | e.DecideSettlement() | e.SetBatchNumber() | e.RetryAdvices() | e.ResolveAdvice():
            commands.obey(draft, event)
        case e.AdmitAfterRestore() | e.ResolveGap() | e.DownloadNow():
            commands.obey(draft, event)
        case _:
            _terminal_asked(draft, event)


def _terminal_asked(
    draft: Draft,
    event: e.TransactionRequested
    | e.TillConfirmed
    | e.ReversalRequested
    | e.TerminalSignInRequested
    | e.TerminalSignedOff
    | e.TerminalEchoed
    | e.TerminalManagement
    | e.TerminalTotalsGiven
    | e.TerminalUploaded
    | e.RequestUnusable,
) -> None:
    match event:
        case e.TransactionRequested():
            transactions.requested(draft, event)
        case e.TillConfirmed():
            confirmations.confirmed(draft, event)
        case e.ReversalRequested():
            reversals.requested_by_terminal(draft, event)
        case e.TerminalSignInRequested():
            session.terminal_wants_keys(draft, event)
        case e.TerminalSignedOff() | e.TerminalEchoed():
            draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"))))
        case e.TerminalManagement():
            management.terminal_asks(draft, event)
        case e.TerminalTotalsGiven():
            terminal_close.totals_given(draft, event)
        case e.TerminalUploaded():
            terminal_close.uploaded(draft, event)
        case e.RequestUnusable():
            draft.refuse(event.reply_to, Refusal(event.refusal), event.because, event.request_id)
        case _:
            assert_never(event)


def _host_answered(draft: Draft, answer: HostAnswer) -> None:
    """To the exchange in flight if it matches by class and STAN (D8), else late, and never dropped in silence."""
    exchange = draft.state.exchange
    if exchange is None or exchange.kind is not answer.kind or exchange.stan != answer.stan:
        _late(draft, answer)
        return
    _answered(draft, answer, exchange)
    session.host_wants(draft, answer)


def _answered(draft: Draft, answer: HostAnswer, exchange: Exchange) -> None:
    match exchange.kind:
        case ExchangeKind.SIGN_IN:
            session.answered(draft, answer, exchange.for_settlement)
        case ExchangeKind.ECHO:
            session.echo_ended(draft, answered=True)
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, exchange.request_id)) is not None:
            advice_delivery.answered(draft, advice, answer)
        case ExchangeKind.TRANSACTION:
            transactions.answered(draft, _transaction(draft, exchange), answer)
        case ExchangeKind.REVERSAL:
            assert exchange.request_id is not None
            reversals.answered(draft, draft.state.reversals[exchange.request_id], answer)
        case ExchangeKind.TOTALS:
            settlement.totals_answered(draft, answer)
        case ExchangeKind.UPLOAD:
            upload.upload_answered(draft, answer)
        case ExchangeKind.TRAILER:
            upload.trailer_answered(draft, answer)
        case ExchangeKind.SIGN_OFF:
            session.sign_off_ended(draft, answered=True)
        case ExchangeKind.MANAGEMENT:
            management.answered(draft, answer)
        case _:
            assert_never(exchange.kind)


def _late(draft: Draft, answer: HostAnswer) -> None:
    """Nobody waits for it: logged with its key, and an approval is remembered (D11).

    After 12 or 25 an answer that confirms nothing says all the same that the host did get the original (D9).
    """
    txn = _sent_with(draft, answer) if answer.kind is ExchangeKind.TRANSACTION else None
    of = txn.request_id if txn is not None else None
    draft.note(
        "answer_matches_nothing", **_naming(of), kind=answer.kind.value, stan=answer.stan or 0, code=answer.facts.code
    )
    if txn is None or (txn.facts is not None and txn.facts.code == answer.facts.code):
        return  # unknown here, or a duplicate of what was taken
    verdict = judge(answer, draft.rules)
    draft.record(r.LateAnswer(txn.request_id, answer.facts.code, verdict.approval_seen, answer.kind.value))
    if txn.request_id in draft.state.advices:
        advice_delivery.late(draft, txn, answer)
    elif draft.rules.kinds[txn.kind].in_doubt:
        refunds.late(draft, txn, answer)
    elif verdict.approval_seen or (verdict.worth is Worth.UNKNOWN and txn.status is TxnStatus.REVERSED):
        reversals.late_approval(draft, txn)


def _sent_with(draft: Draft, answer: HostAnswer) -> Transaction | None:
    """The newest transaction that left with the number of this answer."""
    every = [*draft.state.closed.values(), *draft.state.transactions.values()]
    return next((txn for txn in reversed(every) if txn.stan == answer.stan), None)


def _naming(request_id: RequestId | None) -> dict[str, str]:
    """The request that a line of the log is about, where it is about one (D34)."""
    return {"request_id": request_id} if request_id is not None else {}


def _host_unreadable(draft: Draft, event: e.HostUnreadable) -> None:
    """If it can be told to which exchange it belongs, that one has no outcome; else the reply limit will say so."""
    exchange = draft.state.exchange
    ours = exchange is not None and exchange.kind is event.kind and exchange.stan == event.stan
    draft.note(
        "answer_unreadable", **_naming(exchange.request_id if exchange and ours else None), because=event.because
    )
    if ours:
        _lost(draft, Why.UNREADABLE, event.because)


def _transaction(draft: Draft, exchange: Exchange) -> Transaction:
    txn = draft.state.find(exchange.request_id) if exchange.request_id else None
    if txn is None:
        raise InvariantBroken("the exchange in flight has no transaction")
    return txn


def _advice(draft: Draft, request_id: RequestId | None) -> Advice | None:
    return draft.state.advices.get(request_id) if request_id is not None else None


def _lost(draft: Draft, why: Why, detail: str) -> None:
    """No answer will be taken any more for what is in flight: the one road of every unknown outcome."""
    exchange = draft.state.exchange
    if exchange is None:
        return
    match exchange.kind:
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, exchange.request_id)) is not None:
            advice_delivery.lost(draft, advice, why)
        case ExchangeKind.TRANSACTION:
            transactions.lost(draft, _transaction(draft, exchange), why, detail)
        case ExchangeKind.REVERSAL:
            assert exchange.request_id is not None
            reversals.lost(draft, draft.state.reversals[exchange.request_id], why)
        case ExchangeKind.SIGN_IN:
            session.failed(draft, detail)
        case ExchangeKind.ECHO:
            session.echo_ended(draft, answered=False)
        case ExchangeKind.SIGN_OFF:
            session.sign_off_ended(draft, answered=False)
        case ExchangeKind.MANAGEMENT:
            management.lost(draft, detail)
        case ExchangeKind.TOTALS:
            settlement.lost(draft, detail)
        case ExchangeKind.UPLOAD | ExchangeKind.TRAILER:
            upload.lost(draft, exchange.kind, detail)
        case _:
            assert_never(exchange.kind)


def _never_left(draft: Draft, because: str) -> None:
    """What is in flight is not: the line is certain that no byte of it has left (D2)."""
    exchange = draft.state.exchange
    assert exchange is not None, "a token belongs to an exchange"
    if exchange.kind is ExchangeKind.TRANSACTION and _advice(draft, exchange.request_id) is None:
        transactions.never_left(draft, _transaction(draft, exchange), because)
    elif exchange.kind is ExchangeKind.TOTALS:
        settlement.never_left(draft, because)
    else:
        _lost(draft, Why.NOT_SENT, because)


def _encoding_failed(draft: Draft, event: e.EncodingFailed) -> None:
    """D1: alerted, still owed, and not tried again in a loop. What led to it did happen all the same."""
    if event.during is not None:
        _happened(draft, event.during)
    of = event.request_id or event.at_fault
    draft.alert("cannot_encode", **_naming(of), kind=event.kind.value, because=event.because)
    match event.kind:
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, event.request_id)) is not None:
            advice_delivery.cannot_encode(draft, advice.request_id, event.because, event.for_now)
        case ExchangeKind.TRANSACTION:
            assert event.request_id is not None
            if refunds.cannot_encode(draft, event.request_id):
                return
            for reply_to in draft.take_waiters(event.request_id):
                refusal = Refusal.NOT_SENT if event.for_now else Refusal.MALFORMED
                draft.refuse(reply_to, refusal, event.because, event.request_id)
            draft.drop_queued(event.request_id)
            draft.effects.append(ForgetCard(event.request_id))
        case ExchangeKind.REVERSAL:
            assert event.request_id is not None
            reversals.cannot_encode(draft, event.request_id, event.because, event.for_now)
        case ExchangeKind.SIGN_OFF:
            draft.want_sign_off(False)
        case ExchangeKind.MANAGEMENT:
            management.cannot_encode(draft, event.because)
        case ExchangeKind.SIGN_IN:
            draft.back_off(session.SIGN_IN, draft.rules.sign_in_retry)
            if draft.state.session.signed_in:
                settlement.postpone(draft, "the sign-in before it cannot be encoded")
        case ExchangeKind.ECHO:
            draft.wait(session.ECHO, draft.rules.echo_interval_s)
        case ExchangeKind.UPLOAD:
            upload.cannot_encode_upload(draft, event.because, event.at_fault)
        case ExchangeKind.TOTALS | ExchangeKind.TRAILER:
            draft.back_off(settlement.SETTLE, draft.rules.settle_retry)
        case _:
            assert_never(event.kind)


def _expire(draft: Draft) -> None:
    """What was waited for in vain until now."""
    deadline_s = draft.agenda.exchange_deadline_s
    if deadline_s is not None and deadline_s <= draft.now.monotonic_s:
        _lost(draft, Why.TIMEOUT, "the host did not answer in time")
    refunds.expire(draft)
    confirmations.expire(draft)
    transactions.refuse_waiting(draft, _why_waiting(draft), queue_wait_s(draft))
    session.refuse_waiting_terminals(draft)
    management.expire(draft, queue_wait_s(draft))


def _why_waiting(draft: Draft) -> str:
    if not draft.agenda.link_up:
        return "the line to the host is down"
    if not draft.state.session.signed_in:
        return f"not signed in: {draft.state.session.out_because}"
    return "it could not be sent in time"


def _advance(draft: Draft) -> None:
    """Do what comes next until the host has to answer or nothing is left to do."""
    limits.warn_of_cutover(draft)
    steps_max = STEPS_MAX + draft.rules.queue_max
    for _ in range(steps_max):
        step = next_step(draft)
        if step is None:
            return
        _STEPS[step](draft)
    raise InvariantBroken(f"no rest after {steps_max} steps")


def _ride_along(draft: Draft) -> None:
    """That an answer was handed over is worth a record, but no commit of its own (D16)."""
    if not draft.records:
        return
    for request_id in draft.agenda.handed_over:
        txn = draft.state.find(request_id)
        if request_id in draft.state.unconfirmed and not (txn is not None and txn.confirm):
            draft.record(r.AnswerHandedOver(request_id))
    draft.agenda = replace(draft.agenda, handed_over=())


def _reverse(draft: Draft) -> None:
    reversal = reversals.next_owed(draft, force=bool(draft.agenda.queue))
    assert reversal is not None
    reversals.attempt(draft, reversal)


_STEPS: dict[Step, Callable[[Draft], None]] = {
    Step.SIGN_IN: lambda draft: session.sign_in(draft, for_settlement=False),
    Step.REVERSE: _reverse,
    Step.REPEAT_REFUND: refunds.repeat,
    Step.SEND_ADVICE: advice_delivery.attempt_next,
    Step.ASK_TOTALS: settlement.ask_totals,
    Step.UPLOAD: upload.upload_next,
    Step.TRAILER: upload.send_trailer,
    Step.SEND_REQUEST: transactions.send_next,
    Step.SIGN_IN_TO_SETTLE: lambda draft: session.sign_in(draft, for_settlement=True),
    Step.SKIP_BATCH: settlement.skip,
    Step.WAIT_TO_SETTLE: settlement.note_wait,
    Step.SIGN_OFF: session.sign_off,
    Step.MANAGE: management.send_next,
    Step.ECHO: session.echo,
}
