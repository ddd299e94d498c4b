"""What the start, the clock and the line to the host bring."""

from msgspec import Struct

from posd.core.answers import ExchangeKind, HostAnswer
from posd.values import Stan


class Started(Struct, frozen=True):
    """The journal has been replayed and the doors are about to open."""


class Tick(Struct, frozen=True):
    """A deadline has passed, or the schedule or the heartbeat woke us. Idempotent."""


class Restored(Struct, frozen=True):
    """The journal is a backup that has just been put in place, and an older one: what came after it is not in it.

    `since_ms`: the wall time of its last row. `next_stan`: the first number that cannot have been used since.
    """

    backup: str
    since_ms: int
    next_stan: Stan


class LinkUp(Struct, frozen=True):
    """The line to the host is open."""


class LinkDown(Struct, frozen=True):
    """The line to the host is closed, or could not be opened."""

    why: str


class ExchangeLost(Struct, frozen=True):
    """No answer will come to the frame with this token: its own connection ended, or could not be made."""

    token: str
    why: str


class NeverLeft(Struct, frozen=True):
    """Of the frame with this token no byte has left, and none will: the line is certain of it (D2)."""

    token: str
    why: str


class HostAnswered(Struct, frozen=True):
    """An answer arrived, was decoded and had its MAC checked."""

    answer: HostAnswer


class HostUnreadable(Struct, frozen=True):
    """Something arrived for this terminal that is not an answer. What could be read of it is given."""

    because: str
    kind: ExchangeKind | None = None
    stan: Stan | None = None
