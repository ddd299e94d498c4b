"""Which months can go into the archive now, and why the others cannot.

It reads the journal in short reads, and decides by the terminals' states: nothing that is open, owed, in doubt or
needed for a quick start goes (D33). It never changes anything.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from posd.core.state import State
from posd.core.station import MonthsArchived
from posd.daemon.archive.keeps import Keep, keeps
from posd.errors import ConfigError
from posd.journal.months import Cut, cuts, month_of, runs
from posd.journal.sqlite import SqliteStore
from posd.values import Tid, Who

_FIRST_OF = (
    "SELECT min(sequence) FROM (SELECT sequence FROM record WHERE request_id = ?1 AND sequence > ?2"
    " UNION ALL SELECT sequence FROM message WHERE request_id = ?1 AND sequence > ?2)"
)
_BEGUN = "SELECT max(sequence) FROM record WHERE tid = ?1 AND sequence > ?2 AND kind = 'settlement_begun'"


@dataclass(frozen=True, slots=True)
class Held:
    """A month that cannot go yet: a row of it is still needed, by a terminal and for a reason."""

    month: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`cuts`: the months that go now, oldest first. `held`: those that wait."""

    cuts: tuple[Cut, ...]
    held: tuple[Held, ...]

    def record(self, base: int, by: str, who: Who) -> MonthsArchived:
        """What is about to be done, for the journal, whose rows begin after `base`: durable before it is begun."""
        return MonthsArchived(tuple(cut.month for cut in self.cuts), self.cuts[-1].last - base, by, who)


@dataclass(frozen=True, slots=True)
class Lane:
    """A terminal as it is. `fenced`: why it has no usable state; then every row after `snapshot_sequence` is needed.

    `at`: the state is the one after this row of the journal.
    """

    tid: Tid
    state: State
    fenced: str = ""
    snapshot_sequence: int = 0
    configured: bool = True
    at: int = 0


def before_of(before: str | None, now_ms: int, zone: str) -> str:
    """The month that stays with all after it: the one asked for, or the present one. Raises ConfigError."""
    present = month_of(now_ms, zone)
    if before is None:
        return present
    year, dash, month = before.partition("-")
    is_month = dash and len(year) == 4 and year.isdecimal() and len(month) == 2 and month.isdecimal()
    if not is_month or not 1 <= int(month) <= 12:
        raise ConfigError(f"'before' is a month, such as {present}")
    if before > present:
        raise ConfigError(f"{before} has not come yet: only months that are over are archived; say {present} or less")
    return before


def plan(store: SqliteStore, lanes: Iterable[Lane], before: str, zone: str) -> Plan:
    """What goes. Raises StorageFailed."""
    newest = max((segment.month for segment in store.segments), default="")
    found = cuts(runs(store.ask, store.base, store.head(), zone), before, newest)
    if not found:
        return Plan((), ())
    needed = sorted(_needed(store, lanes), key=itemgetter(0))
    going: list[Cut] = []
    held: list[Held] = []
    for cut in found:
        reasons = [why for sequence, why in needed if sequence <= cut.last]
        if reasons or held:
            held.append(Held(cut.month, reasons[0] if reasons else f"{held[0].month} has to go first"))
        else:
            going.append(cut)
    return Plan(tuple(going), tuple(held))


def _needed(store: SqliteStore, lanes: Iterable[Lane]) -> Iterator[tuple[int, str]]:
    """The first row that each need keeps, with its reason."""
    for lane in lanes:
        if lane.fenced:
            yield lane.snapshot_sequence + 1, f"terminal {lane.tid} is fenced: {lane.fenced}"
        if lane.state.gap is not None:
            yield 0, f"terminal {lane.tid} was restored from a backup: end its gap first (posd restore-gap)"
        for keep in keeps(lane.state, lane.configured):
            if (sequence := _first_row(store, keep)) is not None:
                of = f"{keep.request_id} " if keep.request_id is not None else ""
                yield sequence, f"row {sequence} is needed: {of}of terminal {keep.tid}: {keep.why}"


def _first_row(store: SqliteStore, keep: Keep) -> int | None:
    of = keep.request_id
    sql, value = (_BEGUN, str(keep.tid)) if of is None else (_FIRST_OF, str(of))
    rows = store.ask(sql, (value, store.base.sequence))
    sequence: int | None = rows[0][0]
    return sequence
