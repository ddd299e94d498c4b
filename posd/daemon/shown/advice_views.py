"""What a person may see of an advice: plain, masked, in plain words. Pure; it decides nothing."""

from posd.core.advice_delivery import key_of
from posd.core.state import UNDELIVERED, Advice, Attempt, State
from posd.daemon.shown import words
from posd.daemon.shown.views import Around, View
from posd.values import format_amount


def advice_view(advice: Advice, state: State, around: Around) -> View:
    """One advice: what it says, what was tried, when it is tried next, what a person can do."""
    txn = state.find(advice.request_id)
    return {
        "request_id": advice.request_id,
        "tid": state.tid,
        "status": words.HELD if advice.held else advice.status.value,
        "text": words.HELD_TEXT if advice.held else words.ADVICE[advice.status],
        "kind": txn.kind.value if txn else None,
        "amount": format_amount(txn.amount_minor) if txn else None,
        "amount_minor": txn.amount_minor if txn else None,
        "card": txn.card.masked if txn and txn.card else None,
        "batch": txn.batch_number if txn else None,
        "stan": txn.stan if txn else None,
        "original": txn.original if txn else None,
        "stored_at": around.when(advice.stored_at_ms),
        "attempts": advice.attempts,
        "attempts_max": around.rules.advice_attempts_max,
        "unanswered": advice.unanswered,
        "last_attempt_at": around.when(advice.last_attempt_ms),
        "last_code": advice.last_code,
        "meaning": around.meanings.get(advice.last_code, "") if advice.last_code else "",
        "carried_over": advice.carried_over,
        "settled": words.SETTLED[advice.settled] if advice.settled is not None else "",
        "resolved_by": advice.resolved_by,
        "resolved_reason": advice.resolved_reason,
        "cannot_be_encoded": advice.unsayable,
        "on_its_way": bool(state.exchange and state.exchange.request_id == advice.request_id),
        "next_try_at": _next_try(advice, around),
        "history": [{"at": around.when(one.at_ms), "text": _attempt(one, around)} for one in advice.history],
        "to_do": (words.HELD_TO_DO if advice.held else words.ADVICE_TO_DO[advice.status]).format(
            id=advice.request_id, verb="advices"
        ),
    }


def _attempt(one: Attempt, around: Around) -> str:
    if one.code is not None:
        return f"answered {one.code} {around.meanings.get(one.code, '')}".strip()
    return words.WHY[one.because] if one.because is not None else "its answer is waited for"


def _next_try(advice: Advice, around: Around) -> str | None:
    """When its gap is over, if there is one; before that it also waits for its turn."""
    not_before_s = around.agenda.not_before_s.get(key_of(advice))
    if advice.held or not_before_s is None or advice.status not in UNDELIVERED:
        return None
    wait_ms = max(0, round((not_before_s - around.now.monotonic_s) * 1000))
    return around.when(around.now.wall_ms + wait_ms)
