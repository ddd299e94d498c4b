"""The one priority list: what this terminal does next with the host.

One exchange at a time, as the dialect demands. From the top:

1. sign in, if signed out (after a close perhaps a sign-off first): nothing else is possible; or if the host wants it
   anew, but not amid point 2;
2. the settlement's totals, upload and end message, once they have begun: nothing else until the batch is closed;
3. the result of an issuer script; an owed reversal whose time has come, or before the next request, or before the
   totals;
4. the one repeat of a refund in doubt, where the acquirer wants it (refunds.py);
5. an advice, where the totals wait for it or too many are stored (advice_delivery.py);
6. the totals, when a begun settlement has drained (and there is still something to settle);
7. a settlement that is due: skip an empty batch, note that it waits (limits.py), else sign in and judge the clock; it
   comes before the next request, or a terminal that never pauses would never be settled;
8. a waiting request of the terminal;
9. an advice after an online success, and one that is late;
10. a management message of the terminal, or one that the host wants (management.py);
11. an echo, if the line is idle.

After a restore nothing of points 2, 6 and 7 is done until a person has ended what is not known (restored.py).

`waits_until` answers for the same list when the next of these becomes possible. Keep the two beside each other.
"""

from enum import StrEnum

from posd.core import advice_delivery, management, refunds, restored, reversals, session, settlement
from posd.core.draft import Draft
from posd.core.state import ReversalStatus, SettlementPhase


class Step(StrEnum):
    """What to do next."""

    SIGN_OFF = "sign_off"
    SIGN_IN = "sign_in"
    REVERSE = "reverse"
    REPEAT_REFUND = "repeat_refund"
    SEND_ADVICE = "send_advice"
    ASK_TOTALS = "ask_totals"
    UPLOAD = "upload"
    TRAILER = "trailer"
    SEND_REQUEST = "send_request"
    SIGN_IN_TO_SETTLE = "sign_in_to_settle"
    SKIP_BATCH = "skip_batch"
    WAIT_TO_SETTLE = "wait_to_settle"
    MANAGE = "manage"
    ECHO = "echo"


CLOSING = {
    SettlementPhase.TOTALS: Step.ASK_TOTALS,
    SettlementPhase.UPLOADING: Step.UPLOAD,
    SettlementPhase.TRAILER: Step.TRAILER,
}


def next_step(draft: Draft) -> Step | None:
    """The first of the list that can be done now; None: nothing."""
    state = draft.state
    if state.exchange is not None:
        return None
    if not draft.agenda.link_up:
        return _without_line(draft)
    if draft.agenda.sign_off:
        return Step.SIGN_OFF
    if not state.session.signed_in:
        return Step.SIGN_IN if draft.may(session.SIGN_IN) else None
    phase = state.settlement.phase
    books_whole = not restored.holds_settlement(state)
    if phase in CLOSING:
        return CLOSING[phase] if books_whole and draft.may(settlement.SETTLE) else None
    if phase is SettlementPhase.UNCONFIRMED:
        return None  # D20: the sign-in above may decide it, else a person does
    if state.session.renewal_wanted and draft.may(session.SIGN_IN):
        return Step.SIGN_IN
    if advice_delivery.next_first(draft) is not None:
        return Step.SEND_ADVICE
    if reversals.next_owed(draft, force=bool(draft.agenda.queue)) is not None:
        return Step.REVERSE
    if refunds.to_repeat(draft) is not None:
        return Step.REPEAT_REFUND
    if advice_delivery.next_urgent(draft) is not None:
        return Step.SEND_ADVICE
    if books_whole and _may_end_draining(draft):
        return Step.SKIP_BATCH if settlement.skippable(draft) else Step.ASK_TOTALS
    if settlement.due(draft) is not None and draft.may(settlement.SETTLE) and (step := _due_step(draft)) is not None:
        return step
    if draft.agenda.queue and not settlement.ends_draining(draft):
        return Step.SEND_REQUEST
    if advice_delivery.next_owed(draft) is not None:
        return Step.SEND_ADVICE
    if management.pending(draft):
        return Step.MANAGE
    if draft.rules.echo_interval_s and draft.may(session.ECHO):
        return Step.ECHO
    return None


def _may_end_draining(draft: Draft) -> bool:
    draining = draft.state.settlement.phase is SettlementPhase.DRAINING
    return draining and settlement.drained(draft) and draft.may(settlement.SETTLE)


def _due_step(draft: Draft) -> Step | None:
    """How a settlement that is due begins; None: it waits, and that is known (D23)."""
    if settlement.skippable(draft):
        return Step.SKIP_BATCH
    if settlement.waits(draft) is None:
        return Step.SIGN_IN_TO_SETTLE
    return None if settlement.wait_is_noted(draft) else Step.WAIT_TO_SETTLE


def _without_line(draft: Draft) -> Step | None:
    """An empty batch needs no host."""
    if settlement.due(draft) is not None and settlement.skippable(draft) and not draft.agenda.queue:
        return Step.SKIP_BATCH
    return None


def waits_until(draft: Draft) -> list[float]:
    """The monotonic times at which something becomes possible or impossible; only what can act now counts (D4)."""
    agenda = draft.agenda
    times = [agenda.exchange_deadline_s] if agenda.exchange_deadline_s is not None else []
    times += [give_up_s for _, give_up_s in agenda.sign_in_waiters]
    times += [event.received_s + queue_wait_s(draft) for event in agenda.queue]
    times += [event.received_s + queue_wait_s(draft) for event in agenda.managements]
    times += agenda.confirm_until_s.values()
    if agenda.repeat is not None and refunds.to_repeat(draft) is not None:
        times.append(agenda.repeat[1])
    if draft.state.exchange is None and agenda.link_up:
        times += [agenda.not_before_s[what] for what in _held_back(draft) if what in agenda.not_before_s]
        draining = draft.state.settlement.phase is SettlementPhase.DRAINING and not settlement.delivered(draft)
        draining &= not restored.holds_settlement(draft.state)
        if draining and (ends_s := settlement.drain_ends_s(draft)) is not None:
            times.append(ends_s)
    return times


def queue_wait_s(draft: Draft) -> float:
    """How long after receipt a request may wait: less when there is no line (D17)."""
    longest_s = draft.rules.queue_wait_max_s
    return longest_s if draft.agenda.link_up else min(longest_s, draft.rules.connect_timeout_s)


def _held_back(draft: Draft) -> list[str]:
    """What would be done now if its gap were over."""
    state = draft.state
    if not state.session.signed_in:
        return [session.SIGN_IN]
    books_whole = not restored.holds_settlement(state)
    if state.settlement.phase in CLOSING:
        return [settlement.SETTLE] if books_whole else []
    if state.settlement.phase is SettlementPhase.UNCONFIRMED:
        return []
    owed = [rev for rev in state.unended_reversals() if rev.status is not ReversalStatus.CONFLICT and not rev.held]
    held = [reversals.due_key(rev.request_id) for rev in owed]
    held += advice_delivery.held_back(draft)
    draining = state.settlement.phase is SettlementPhase.DRAINING and settlement.drained(draft)
    if books_whole and (draining or settlement.due(draft) is not None):
        held.append(settlement.SETTLE)
    if draft.rules.echo_interval_s:
        held.append(session.ECHO)
    if state.session.renewal_wanted:
        held.append(session.SIGN_IN)
    if state.wanted:
        held.append(management.MANAGE)
    return held
