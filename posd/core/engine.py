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
    exchanges,
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
    totals_exchange,
    transactions,
    upload,
)
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts
from posd.core.draft import Agenda, Draft
from posd.core.effects import Refusal, Result, ToTerminal
from posd.core.next_action import Step, next_step, queue_wait_s, waits_until
from posd.core.rules import Rules, Why
from posd.core.state import SettlementPhase, State
from posd.errors import InvariantBroken
from posd.values import Now

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
            exchanges.lost(draft, Why.RESTART, "posd was restarted")
            confirmations.begin_again(draft)
            if draft.state.settlement.phase is SettlementPhase.DRAINING:
                draft.start_draining()
        case e.Restored():
            exchanges.lost(draft, Why.RESTART, "posd was restored from a backup")
            restored.begin(draft, event)
        case e.Tick():
            pass
        case e.LinkUp():
            draft.agenda = replace(draft.agenda, link_up=True)
            draft.at_once(session.SIGN_IN)
            draft.wait(session.ECHO, draft.rules.echo_interval_s)
        case e.LinkDown():
            draft.agenda = replace(draft.agenda, link_up=False)
            exchanges.lost(draft, Why.LINK, f"the line was lost: {event.why}")
        case e.ExchangeLost():
            if event.token == draft.agenda.exchange_token:
                exchanges.lost(draft, Why.LINK, f"its connection was lost: {event.why}")
        case e.NeverLeft():
            if event.token == draft.agenda.exchange_token:
                exchanges.never_left(draft, event.why)
        case e.HostAnswered():
            exchanges.host_answered(draft, event.answer)
        case e.HostUnreadable():
            exchanges.host_unreadable(draft, event)
        case e.EncodingFailed():
            if event.during is not None:
                _happened(draft, event.during)  # what led to it did happen all the same
            exchanges.cannot_encode(draft, event)
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


def _expire(draft: Draft) -> None:
    """What was waited for in vain until now."""
    deadline_s = draft.agenda.exchange_deadline_s
    if deadline_s is not None and deadline_s <= draft.now.monotonic_s:
        exchanges.lost(draft, Why.TIMEOUT, "the host did not answer in time")
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
    Step.ASK_TOTALS: totals_exchange.ask,
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
