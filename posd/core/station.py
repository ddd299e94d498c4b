"""The one engine beside the lanes: what happens on the line and belongs to no terminal.

It decides what of it is worth a record: posd's own starts and ends, every change of the line, every answer that matches
no terminal, and unreadable input at most so often a minute for each peer (D32). It never sends anything and never
touches money.
"""

from dataclasses import dataclass, field

from msgspec import Struct

from posd.core.effects import Alert, Effect, Note
from posd.values import Now

STATION = "station"
"""What stands in the journal where a lane's rows have their TID."""

MINUTE_S = 60.0


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


StationRecord = LineChanged | RouteChanged | AnswerUnmatched | InputUnreadable | DaemonStarted | DaemonStopped


@dataclass(slots=True)
class Station:
    """Volatile: nothing has to be remembered over a restart."""

    unreadable_per_minute_max: int
    _windows: dict[str, tuple[float, int, int]] = field(default_factory=dict)

    def line(self, up: bool, why: str) -> tuple[StationRecord, Effect]:
        """The line changed."""
        event = "line_up" if up else "line_down"
        return LineChanged(up, why), Note(event, {"why": why} if why else {})

    def routed(self, left: str, to: str, why: str, back: bool) -> tuple[StationRecord, Effect]:
        """Another route: its bill, or its weakness, is asked about later."""
        event = "route_failed_back" if back else "route_failed_over" if to else "all_routes_down"
        return RouteChanged(left, to, why, back), Alert(event, {"left": left, "to": to or "-", "why": why})

    def unmatched(self, mti: str, tid: str | None, stan: int | None, because: str) -> tuple[StationRecord, Effect]:
        """An answer that no lane waits for, and no lane could."""
        facts: dict[str, str | int] = {"mti": mti, "their_tid": tid or "-", "stan": stan or 0, "because": because}
        return AnswerUnmatched(mti, tid, stan, because), Alert("answer_unmatched", facts)

    def unreadable(self, peer: str, length: int, because: str, now: Now) -> tuple[StationRecord, Effect] | None:
        """Unreadable input; None: this peer's minute is used up, it is only counted (D32)."""
        started_s, said, unsaid = self._windows.get(peer, (now.monotonic_s, 0, 0))
        if now.monotonic_s - started_s >= MINUTE_S:
            started_s, said = now.monotonic_s, 0
        if said >= self.unreadable_per_minute_max:
            self._windows[peer] = (started_s, said, unsaid + 1)
            return None
        self._windows[peer] = (started_s, said + 1, 0)
        facts: dict[str, str | int] = {"peer": peer, "bytes": length, "because": because, "unsaid": unsaid}
        return InputUnreadable(peer, length, because, unsaid), Note("input_unreadable", facts)
