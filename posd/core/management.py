"""Downloads and status: what the host asks of a terminal beside its answers, and what the terminal asks itself.

- The host may ask us to download parameters or to tell our status (reference 1.1, header digit 6), and a person may:
  remembered, done when no customer waits, once. Its answer is recorded. One that fails, or whose answer cannot be read,
  is alerted, shown, and asked again with growing gaps until it is answered: what the host thinks to have told us would
  be lost otherwise.
- What a terminal asks for itself (parameters, keys of card organisations, parameters for chips) goes on to the host as
  it is, with our number and batch, and the answer goes back as it is: nothing of it is ours to understand.
- None of these messages carries a MAC. Parameters change how posd works only where the configuration says so, and only
  within what it allows (`applied`). It must never move money, and never stand in the way of what does.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import AnswerClass, ExchangeKind, HostAnswer
from posd.core.draft import Draft
from posd.core.effects import ManagementResult, Refusal, SendManagement, ToTerminal
from posd.core.events import DownloadNow, TerminalManagement
from posd.core.rules import Gaps, Rules
from posd.core.state import State

MANAGE = "manage"
"""The agenda's name for the next attempt of what is wanted."""

RETRY = Gaps(60.0, 3600.0)
"""Between two attempts: no money hangs on it."""

TIMEOUT, RESEND, OFFLINE_MAX = "timeout_s", "resend_times", "offline_max"
TIP_ALLOWED, TIP_PERCENT = "tip_allowed", "tip_percent"
"""Parameters that are rules of ours too (reference 1.9, 1.10, 1.14)."""

TIMEOUT_S_MIN = 5


def terminal_asks(draft: Draft, event: TerminalManagement) -> None:
    """It waits for its turn, as long as a request would."""
    waiting = draft.agenda.managements
    if len(waiting) >= draft.rules.queue_max:
        draft.refuse(event.reply_to, Refusal.BUSY, "too many downloads of this terminal are waiting")
        return
    draft.agenda = replace(draft.agenda, managements=(*waiting, event))


def expire(draft: Draft, wait_s: float) -> None:
    """Those whose patience is over are told that nothing was sent."""
    kept = []
    for event in draft.agenda.managements:
        if event.received_s + wait_s > draft.now.monotonic_s:
            kept.append(event)
        else:
            draft.refuse(event.reply_to, Refusal.NOT_SENT, "it could not be sent in time")
    draft.agenda = replace(draft.agenda, managements=tuple(kept))


def host_wants(draft: Draft, function: str) -> None:
    """Remembered until it is answered."""
    if function not in draft.state.wanted:
        draft.record(r.DownloadWanted(function, "", None))


def person_wants(draft: Draft, event: DownloadNow) -> tuple[bool, str]:
    """The host's parameters, now. Whether they will be asked for, and what to tell the person."""
    function = draft.rules.download
    if not function:
        return False, "this acquirer has no parameters to ask for: its dialect knows only what a terminal asks itself"
    if function not in draft.state.wanted:
        draft.record(r.DownloadWanted(function, event.by, event.who))
    draft.at_once(MANAGE)
    return True, "the host is asked for its parameters"


def pending(draft: Draft) -> bool:
    """Something of this is to be sent."""
    return bool(draft.agenda.managements) or (bool(draft.state.wanted) and draft.may(MANAGE))


def send_next(draft: Draft) -> None:
    """The terminal's own first; it waits for the answer."""
    stan, number = draft.state.stan, draft.state.batch.number
    if draft.agenda.managements:
        event, *later = draft.agenda.managements
        draft.agenda = replace(draft.agenda, managements=tuple(later), management_for=event.reply_to)
        function, block = event.function, event.block
    else:
        function, block = draft.state.wanted[0], None
    draft.record(r.ManagementStarted(stan, function, block is not None))
    told = {} if block is not None else status(draft.rules, draft.state)
    draft.send(ExchangeKind.MANAGEMENT, SendManagement(stan, number, function, block or "", told))


def answered(draft: Draft, answer: HostAnswer) -> None:
    """The host's answer: back to the terminal as it is, or ours to record."""
    draft.end_exchange()
    code, reply_to = answer.facts.code, draft.agenda.management_for
    refused = "" if answer.answer_class is AnswerClass.APPROVE else f"the host answered {code}"
    because = answer.mismatch or refused or answer.block_trouble
    if reply_to is None and because:
        _failed(draft, because)
        return
    draft.record(r.ManagementEnded(code, answer.mismatch))
    if reply_to is not None:
        _tell(draft, reply_to, answer)
        return
    draft.at_once(MANAGE)
    if answer.parameters:
        draft.record(r.ParametersTold(dict(answer.parameters)))
        draft.note("parameters_told", count=len(answer.parameters))


def _failed(draft: Draft, because: str) -> None:
    """Ours, and of no use: alerted once for each cause, asked again later."""
    before, function = draft.state.download_failed, draft.state.managing
    assert function is not None, "what is in flight for nobody is ours"
    draft.record(r.DownloadFailed(function, because))
    gap_s = draft.back_off(MANAGE, RETRY)
    if before is None or before.because != because:
        draft.alert("download_failed", because=because, retry_in_s=round(gap_s))
    else:
        draft.note("download_failed", because=because, retry_in_s=round(gap_s))


def _tell(draft: Draft, reply_to: str, answer: HostAnswer) -> None:
    draft.agenda = replace(draft.agenda, management_for=None)
    if answer.mismatch:
        draft.refuse(reply_to, Refusal.OUTCOME_UNKNOWN, answer.mismatch)
    else:
        draft.answer(ToTerminal(reply_to, ManagementResult(answer.facts.code, answer.block)))


def lost(draft: Draft, because: str) -> None:
    """No answer will be taken any more."""
    draft.end_exchange()
    reply_to = draft.agenda.management_for
    draft.agenda = replace(draft.agenda, management_for=None)
    if draft.state.managing is not None:
        _failed(draft, because)
        return
    draft.record(r.ManagementEnded("", because))
    if reply_to is not None:  # a restart has forgotten who asked
        draft.refuse(reply_to, Refusal.OUTCOME_UNKNOWN, because)


def cannot_encode(draft: Draft, because: str) -> None:
    """It cannot be said in this dialect: not tried again (D1)."""
    if draft.agenda.managements:
        event, *later = draft.agenda.managements
        draft.agenda = replace(draft.agenda, managements=tuple(later))
        draft.refuse(event.reply_to, Refusal.MALFORMED, because)
    elif draft.state.wanted:
        draft.record(r.ManagementEnded("", because))


def applied(rules: Rules, state: State) -> Rules:
    """The rules as the host's parameters make them, where the configuration lets them, and what it allows (D17)."""
    if not rules.parameters_applied or not state.parameters:
        return rules
    timeout_s, resend, stored = (_number(state.parameters, name) for name in (TIMEOUT, RESEND, OFFLINE_MAX))
    if timeout_s is not None and timeout_s >= TIMEOUT_S_MIN:
        patient = replace(rules, reply_timeout_s=float(timeout_s))
        rules = patient if patient.queue_wait_max_s > rules.connect_timeout_s else rules
    if resend is not None:
        rules = replace(rules, reversal_attempts_max=resend + 1)
    if stored:
        rules = replace(rules, advice_stored_max=stored)
    return _with_tips(rules, state.parameters)


def _with_tips(rules: Rules, parameters: Mapping[str, str]) -> Rules:
    """A host that allows tips and names no part of the sale leaves that to the shop."""
    if _number(parameters, TIP_ALLOWED) == 0:
        return replace(rules, tip_percent_max=0)
    percent = _number(parameters, TIP_PERCENT)
    return replace(rules, tip_percent_max=percent) if percent else rules


def status(rules: Rules, state: State) -> dict[str, str]:
    """What a status upload tells: the host's parameters, and in them what posd goes by."""
    ours = {
        TIMEOUT: min(round(rules.reply_timeout_s), 99),
        RESEND: min(rules.reversal_attempts_max - 1, 9),
        OFFLINE_MAX: min(rules.advice_stored_max, 99),
    }
    return {**state.parameters, **{name: str(value) for name, value in ours.items()}}


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
