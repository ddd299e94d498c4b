"""The session with the host: signed out ⇄ signed in.

    state       signed in   failed      told to sign in
    signed out  SIGNED IN   SIGNED OUT  SIGNED OUT
    signed in   SIGNED IN   SIGNED OUT  SIGNED OUT

- A line is ready when the terminal is signed in, not when TCP is up.
- The keys are kept as received, under the TMK: a restart needs no sign-in (D26). Only the newest sign-in's answer loads
  keys: each sign-in takes a new STAN (D8).
- The host's batch number is adopted outside settlement only; a change with transactions open settles early (D7).
- A sign-in that fails (code, keys, check value, no answer) leaves the terminal signed out; it is retried with growing
  gaps and said so.
- A settlement begins with a fresh sign-in, whose answer judges the clock (D24).
- A host may ask for a new sign-in beside any other answer: it follows the current transaction, and waits for the end of
  a settlement that has asked its totals. It may ask for parameters or status (management.py); what else it asks for is
  alerted: nothing of it is done here.
"""

from posd.core import management, restored, settlement
from posd.core import records as r
from posd.core.answers import AnswerClass, ExchangeKind, HostAnswer, MacCheck
from posd.core.draft import Draft
from posd.core.effects import Refusal, SendEcho, SendSignIn, SendSignOff, SignInResult, ToTerminal
from posd.core.events import TerminalSignInRequested
from posd.core.schedule import host_wall_ms
from posd.core.state import SettlementCause, SettlementPhase, TxnStatus
from posd.core.totals import MONEY
from posd.values import Stan

SIGN_IN, ECHO = "sign_in", "echo"

NO_KEYS = ""
"""What stands for the keys of a sign-in that brings none (reference 2.3)."""

MAY_BE_MONEY = MONEY | {TxnStatus.IN_DOUBT}

WANTS_AGAIN_S = 3600.0
"""A host that asks for the same thing beside every answer is alerted once in so long."""


def sign_in(draft: Draft, for_settlement: bool) -> None:
    """0800 with a new STAN; where the host wants none, the terminal is ready without, and no clock is judged."""
    stan = draft.state.stan
    if not draft.rules.sign_in_needed:
        draft.record(r.SignedIn(stan, NO_KEYS, None, None))
        _answer_waiting_terminals(draft)
        if for_settlement:
            settlement.begin(draft)
        return
    draft.record(r.SignInStarted(stan, for_settlement))
    draft.send(ExchangeKind.SIGN_IN, SendSignIn(stan, draft.state.batch.number))


def answered(draft: Draft, answer: HostAnswer, for_settlement: bool) -> None:
    """The 0810 to the newest sign-in."""
    draft.end_exchange()
    keys = answer.wrapped_keys if draft.rules.keys_expected else NO_KEYS
    if answer.mismatch or answer.answer_class is not AnswerClass.APPROVE or keys is None:
        because = answer.mismatch or answer.key_trouble or f"the host answered {answer.facts.code}"
        failed(draft, because)
        return
    previous = draft.state.batch.number
    draft.record(r.SignedIn(_exchange_stan(draft), keys, answer.batch_number, _offset_ms(draft, answer)))
    draft.at_once(SIGN_IN)
    draft.note("signed_in", batch=draft.state.batch.number)
    _answer_waiting_terminals(draft)
    if draft.state.gap is not None and draft.state.gap.number is None:
        restored.host_told(draft, answer.batch_number)
    elif answer.batch_number is not None and answer.batch_number != previous:
        _batch_number_changed(draft, answer)
    if draft.state.settlement.phase is SettlementPhase.OPEN and for_settlement:
        settlement.begin(draft)


def _exchange_stan(draft: Draft) -> Stan:
    exchange = draft.state.exchange
    assert exchange is not None
    assert exchange.stan is not None
    return exchange.stan


def _offset_ms(draft: Draft, answer: HostAnswer) -> int | None:
    """How far the host's clock is ahead of ours."""
    if answer.host_clock is None:
        return None
    host_ms = host_wall_ms(answer.host_clock, draft.now.wall_ms, draft.rules.zone)
    return None if host_ms is None else host_ms - draft.now.wall_ms


def _batch_number_changed(draft: Draft, answer: HostAnswer) -> None:
    """D7: the number is the host's; what it means depends on what is open."""
    number = answer.batch_number
    assert number is not None
    last = draft.state.last_close
    if settlement.closed_elsewhere(draft, number):
        settlement.closed_by_evidence(draft, number)
    elif draft.state.settlement.phase is not SettlementPhase.OPEN:
        draft.alert("host_batch_number_changed_during_settlement", number=number)
    elif any(txn.status in MAY_BE_MONEY for txn in draft.state.transactions.values()):
        draft.alert("host_batch_number_changed", number=number)
        draft.record(r.SettlementWanted(SettlementCause.HOST_BATCH_CHANGED))
    elif last is not None and number == last.batch_number:
        draft.alert("host_batch_number_was_closed_by_us", number=number)


def failed(draft: Draft, because: str) -> None:
    """No usable keys: signed out, said so, retried."""
    for_settlement = draft.state.exchange is not None and draft.state.exchange.for_settlement
    draft.end_exchange()
    draft.record(r.SignInFailed(_exchange_stan(draft), because))
    gap_s = draft.back_off(SIGN_IN, draft.rules.sign_in_retry)
    draft.alert("sign_in_failed", because=because, retry_in_s=round(gap_s))
    if for_settlement:
        settlement.postpone(draft, f"the sign-in before it failed: {because}")


def sign_off(draft: Draft) -> None:
    """0820 with code 002, once, after a close; then the sign-in."""
    stan = draft.state.stan
    draft.want_sign_off(False)
    draft.record(r.SignOffStarted(stan))
    draft.send(ExchangeKind.SIGN_OFF, SendSignOff(stan, draft.state.batch.number))


def sign_off_ended(draft: Draft, answered: bool) -> None:
    """Answered or not: nothing of ours hangs on it."""
    draft.end_exchange()
    draft.record(r.SignOffEnded(answered))


def echo(draft: Draft) -> None:
    """0820 with code 301: the line is idle."""
    draft.record(r.EchoStarted())
    draft.send(ExchangeKind.ECHO, SendEcho(draft.state.batch.number))


def echo_ended(draft: Draft, answered: bool) -> None:
    """Answered or not; the line itself decides what that means for it."""
    draft.end_exchange()
    draft.record(r.EchoEnded(answered))
    draft.wait(ECHO, draft.rules.echo_interval_s)
    if not answered:
        draft.alert("echo_unanswered")


def terminal_wants_keys(draft: Draft, event: TerminalSignInRequested) -> None:
    """The terminal's 0800: answered from the held block, or as soon as there is one (D26)."""
    restored.terminal_signed_in(draft, event)
    if draft.state.session.signed_in:
        _give_keys(draft, event.reply_to)
        return
    give_up_s = event.received_s + draft.rules.queue_wait_max_s
    waiting = (*draft.agenda.sign_in_waiters, (event.reply_to, give_up_s))
    for reply_to, _ in waiting[: -draft.rules.queue_max]:
        draft.refuse(reply_to, Refusal.BUSY, "too many sign-ins of this terminal are waiting")
    draft.set_sign_in_waiters(waiting[-draft.rules.queue_max :])


def _give_keys(draft: Draft, reply_to: str) -> None:
    session = draft.state.session
    assert session.wrapped_keys is not None
    draft.record(r.TerminalKeysGiven(session.generation))
    draft.answer(ToTerminal(reply_to, SignInResult(session.wrapped_keys, session.clock_offset_ms or 0)))


def _answer_waiting_terminals(draft: Draft) -> None:
    for reply_to, _ in draft.agenda.sign_in_waiters:
        _give_keys(draft, reply_to)
    draft.set_sign_in_waiters(())


def refuse_waiting_terminals(draft: Draft) -> None:
    """Those whose patience is over are told that nothing could be done."""
    kept = []
    for reply_to, give_up_s in draft.agenda.sign_in_waiters:
        if give_up_s > draft.now.monotonic_s:
            kept.append((reply_to, give_up_s))
        else:
            draft.refuse(reply_to, Refusal.NOT_SENT, f"not signed in: {draft.state.session.out_because}")
    draft.set_sign_in_waiters(tuple(kept))


def host_wants(draft: Draft, answer: HostAnswer) -> None:
    """What the host asks for beside its answer (reference 1.1, header digit 6). Its header has no MAC: never trusted
    further than to sign in once more. Asked for beside a sign-in's own answer, that would never end: alerted instead.
    """
    if not answer.wants or answer.mismatch or answer.mac is MacCheck.BAD:
        return
    if answer.kind is ExchangeKind.MANAGEMENT:
        return  # what it asks for beside this would never end
    if answer.wants_sign_in and answer.kind is not ExchangeKind.SIGN_IN:
        if not draft.state.session.renewal_wanted:
            draft.record(r.SignInWanted(f"the host wants: {answer.wants}"))
    elif draft.may(f"wants:{answer.attention}"):
        draft.wait(f"wants:{answer.attention}", WANTS_AGAIN_S)
        if answer.wants_function:
            management.host_wants(draft, answer.wants_function)
        else:
            draft.alert("host_wants", attention=answer.attention, wants=answer.wants)
