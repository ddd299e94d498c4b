"""What a serial line's framing says to its driver, and what it wants to be told: bytes in, events out.

Pure: no clock is read, `now_s` is any monotonic time in seconds. A driver calls `feed` when bytes came, `tick` when
`deadline_s` has passed and nothing came before it, `send` when `ready`; and carries out the events in order.
Bytes are about bytes only: no event here says anything about a transaction.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame came: the message without anything of the line's."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Write:
    """Put these bytes on the line now. `again`: a frame that was on the line before."""

    data: bytes = field(repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Bad:
    """A frame that could not be read, of which `length` bytes were thrown away. `what` holds no byte of it."""

    what: str
    length: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """A frame came a second time because our ACK was lost: acknowledged again, not delivered again."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The peer does not acknowledge: end the line. Whether the frame arrived is unknown."""

    why: str


LineEvent = Frame | Write | Bad | Repeated | GivenUp


class LineFraming(Protocol):
    """One side of one line, from its opening to its end."""

    frame_bytes_max: int
    """The longest body that it can say or will take."""

    confirms: bool
    """Whether the peer acknowledges frames."""

    noise_bytes: int
    """Bytes that were part of no frame, since the beginning."""

    @property
    def ready(self) -> bool:
        """Whether `send` may be called: no frame waits for its ACK."""

    @property
    def deadline_s(self) -> float | None:
        """When `tick` is due; None: never, until something happens."""

    def send(self, body: bytes, now_s: float) -> list[LineEvent]:
        """Frame and send. Raises CannotEncode when it is empty or too long."""

    def feed(self, data: bytes, now_s: float) -> list[LineEvent]:
        """Whatever bytes came. Total."""

    def tick(self, now_s: float) -> list[LineEvent]:
        """Time has passed. Total, and idempotent before the deadline."""
