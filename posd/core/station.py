"""The one engine beside the lanes: what happens on the line and belongs to no terminal.

It decides what of it is worth a record: posd's own starts and ends, every change of the line, and at most so often a
minute answers that match no terminal, unreadable input, echoes that nobody asked for and refusals (D32). It never
sends anything and never touches money.
"""

from dataclasses import dataclass, field
from typing import assert_never

from msgspec import Struct

from posd.core.allowance import Allowance
from posd.core.effects import Alert, Effect, Note
from posd.core.records.keys import (
    KeyOperationFailed,
    KeyRecord,
    MachineKeyRotation,
    TmkLoaded,
    TmkRemoved,
    TokenChanged,
)
from posd.values import Now, Who

STATION = "station"
"""What stands in the journal where a lane's rows have their TID."""

NETWORK_MANAGEMENT = "8"
"""The second digit of the MTI of sign-ins, echoes and the like: no money hangs on them."""

UNMATCHED_PER_MINUTE_MAX = 120
"""So many answers for nobody that could be about money are kept; more is a host that has lost its mind."""


class LineChanged(Struct, frozen=True):
    """The line to the host came up or went down."""

    up: bool
    why: str


class RouteChanged(Struct, frozen=True):
    """Another of several routes carries the messages; `to` is empty: every route has failed.

    `back`: to a better one that has proved good, without need. `why`: what was wrong with the one that was left.
    """

    left: str
    to: str
    why: str
    back: bool


class AnswerUnmatched(Struct, frozen=True):
    """A message of the host for a terminal that is not ours, or that is no answer: kept with its key."""

    mti: str
    tid: str | None
    stan: int | None
    because: str


class InputUnreadable(Struct, frozen=True):
    """Bytes that are no message: their number and what was wrong; `unsaid` more came and were only counted."""

    peer: str
    length: int
    because: str
    unsaid: int


class DaemonStarted(Struct, frozen=True):
    """posd is up from here on. If no DaemonStopped came before it, the one before was killed after its last row."""

    version: str


class DaemonStopped(Struct, frozen=True):
    """posd ends in order; what was in flight is finished, or recovered at the next start."""

    why: str


class AccessDenied(Struct, frozen=True):
    """Somebody asked at a `door` for a `wish` that is not theirs; `role`: what they lack, empty: a token that is none.

    `unsaid`: so many more of theirs were only counted.
    """

    who: Who
    door: str
    wish: str
    role: str
    unsaid: int


class JournalMoved(Struct, frozen=True):
    """A final backup ended this journal: it lives on where that is restored. While this is the last row, posd does not
    start on it."""

    by: str
    who: Who | None = None


class JournalTakenBack(Struct, frozen=True):
    """The final backup was never restored, says a named person (or it could not be made): this journal goes on."""

    by: str
    reason: str
    who: Who | None = None


class JournalRestored(Struct, frozen=True):
    """A backup was put in this place. `newest`: nothing came after it, so no lane has a gap (restored.py)."""

    backup: str
    since_ms: int
    newest: bool
    by: str = ""
    who: Who | None = None


class MonthsArchived(Struct, frozen=True):
    """Closed months are about to leave the database for segments: written before, so that whoever misses their rows
    there finds why. `by`: as typed, else whom the machine knows to have asked, who is `who`."""

    months: tuple[str, ...]
    rows: int
    by: str
    who: Who


class SettingsRead(Struct, frozen=True):
    """The configuration was read again (SIGHUP). Names of settings only, never a value: nothing replays them (D5).

    `at_once` counts from here on, `restart` only from the next start; `refused`: why nothing of it counts.
    """

    at_once: tuple[str, ...]
    restart: tuple[str, ...]
    refused: str


StationRecord = (
    LineChanged
    | RouteChanged
    | AnswerUnmatched
    | InputUnreadable
    | AccessDenied
    | DaemonStarted
    | DaemonStopped
    | JournalMoved
    | JournalTakenBack
    | JournalRestored
    | MonthsArchived
    | SettingsRead
    | KeyRecord
)

OperationRecord = KeyRecord | MonthsArchived
"""What is durable before something is done to keys or to the journal itself."""


@dataclass(slots=True)
class Station:
    """Volatile: nothing has to be remembered over a restart."""

    unreadable_per_minute_max: int
    _allowance: Allowance = field(init=False)
    _about_money: Allowance = field(default_factory=lambda: Allowance(UNMATCHED_PER_MINUTE_MAX))

    def __post_init__(self) -> None:
        self._allowance = Allowance(self.unreadable_per_minute_max)

    def line(self, up: bool, why: str) -> tuple[StationRecord, Effect]:
        """The line changed."""
        event = "line_up" if up else "line_down"
        return LineChanged(up, why), Note(event, {"why": why} if why else {})

    def routed(self, left: str, to: str, why: str, back: bool) -> tuple[StationRecord, Effect]:
        """Another route: its bill, or its weakness, is asked about later."""
        event = "route_failed_back" if back else "route_failed_over" if to else "all_routes_down"
        return RouteChanged(left, to, why, back), Alert(event, {"left": left, "to": to or "-", "why": why})

    def operation(self, record: OperationRecord) -> Effect:
        """What is said of an operation beside its record: of a key its check value, never the key."""
        match record:
            case TmkLoaded(tid=tid, index=index, check_value=kcv, home=home, by=by):
                return Note("tmk_loaded", {"of": tid, "index": index, "kcv": kcv, "home": home, "by": ", ".join(by)})
            case TmkRemoved(tid=tid, index=index, check_value=kcv, by=by, reason=reason):
                return Note("tmk_removed", {"of": tid, "index": index, "kcv": kcv, "by": by, "reason": reason})
            case KeyOperationFailed(operation=operation, because=because):
                return Alert("key_operation_failed", {"operation": operation, "because": because})
            case MachineKeyRotation(stage=stage, old=old, new=new, rewrapped=count, by=by):
                return Note(f"rotation_{stage}", {"old": old, "new": new, "rewrapped": count, "by": by})
            case TokenChanged(reachable=True):
                return Note("token_back", {})
            case TokenChanged(because=because):
                return Alert("token_out_of_reach", {"because": because})
            case MonthsArchived(months=months, rows=rows, by=by, who=who):
                return Note("archive_begun", {"months": ", ".join(months), "rows": rows, "by": by, "who": str(who)})
            case _:
                assert_never(record)

    def unmatched(
        self, mti: str, tid: str | None, stan: int | None, because: str, now: Now
    ) -> tuple[StationRecord, Effect] | None:
        """An answer that no lane waits for, and no lane could. What could be about money is kept with its key, as often
        as no honest host says such a thing; of echoes and the like (class 8) far fewer: a host in a loop must not fill
        the disk (D32). None: only counted."""
        allowance = self._allowance if mti[1:2] == NETWORK_MANAGEMENT else self._about_money
        unsaid = allowance.unsaid("unmatched", now)
        if unsaid is None:
            return None
        facts: dict[str, str | int] = {"mti": mti, "their_tid": tid or "-", "stan": stan or 0, "because": because}
        alert = Alert("answer_unmatched", facts | {"unsaid": unsaid} if unsaid else facts)
        return AnswerUnmatched(mti, tid, stan, because), alert

    def unreadable(self, peer: str, length: int, because: str, now: Now) -> tuple[StationRecord, Effect] | None:
        """Unreadable input; None: this peer's minute is used up, it is only counted (D32)."""
        unsaid = self._allowance.unsaid(peer, now)
        if unsaid is None:
            return None
        facts: dict[str, str | int] = {"peer": peer, "bytes": length, "because": because, "unsaid": unsaid}
        return InputUnreadable(peer, length, because, unsaid), Note("input_unreadable", facts)

    def denied(self, who: Who, door: str, wish: str, role: str, now: Now) -> tuple[StationRecord, Effect] | None:
        """Somebody was refused; None: their minute is used up, it is only counted (D32)."""
        unsaid = self._allowance.unsaid(f"denied at {door}: {who}", now)
        if unsaid is None:
            return None
        facts: dict[str, str | int] = {"who": str(who), "door": door, "wish": wish, "role": role or "-"}
        alert = Alert("access_denied", facts | {"unsaid": unsaid} if unsaid else facts)
        return AccessDenied(who, door, wish, role, unsaid), alert
