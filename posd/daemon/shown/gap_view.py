"""What a person may see of a gap: what a restored backup does not know, and what of it waits for whom. Pure."""

from collections.abc import Iterator

from posd.core.restored import numbers_lost
from posd.core.state import Gap, State
from posd.daemon.shown.views import Around, View
from posd.values import STAN_MAX


def gap_view(state: State, around: Around) -> View | None:
    """The gap of a terminal; None: there is none."""
    gap = state.gap
    if gap is None:
        return None
    return {
        "tid": state.tid,
        "backup": gap.backup,
        "since": around.when(gap.since_ms),
        "until": around.when(gap.until_ms),
        "stans": {"first": gap.first_stan, "last": _last(gap), "count": numbers_lost(gap)},
        "batches": {"first": gap.first_number, "last": gap.number},
        "waits_for": list(_waits_for(gap)),
        "terminal_mark": gap.mark,
        "admitted_by": gap.admitted_by,
        "held": state.held(),
        "asked": list(gap.asked),
    }


def _last(gap: Gap) -> int:
    return (gap.next_stan - 2) % STAN_MAX + 1


def _waits_for(gap: Gap) -> Iterator[str]:
    """What keeps new requests out: "host", its batch number; "terminal", its sign-in; "person", who admits tills."""
    if gap.number is None:
        yield "host"
    if gap.admitted_by:
        return
    if gap.mark is None:
        yield "terminal"
    yield "person"
