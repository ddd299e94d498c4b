"""What one chunk of a stream brings: whole frames, and perhaps the fault that ends the stream.

Link and door read the same way: frames that stood before a fault are delivered, then the fault is reported
with the length and the first bytes of what could not be read (D32 journals length and digest, never bytes).
"""

from dataclasses import dataclass

from posd.errors import MalformedMessage
from posd.framing.length_prefix import LENGTH_BYTES, BrokenStream, Length, LengthPrefixed

HEAD_BYTES_MAX = 64


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a stream stopped being frames: `length` unreadable bytes held, `head` the first of them."""

    error: MalformedMessage
    length: int
    head: bytes


class Incoming:
    """One stream's frames; total: any bytes give frames and at most one fault, never an exception."""

    def __init__(self, frame_bytes_max: int, length: Length = Length.BINARY) -> None:
        self._framer = LengthPrefixed(frame_bytes_max, length)

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame."""
        return self._framer.pending

    def feed(self, data: bytes) -> tuple[list[bytes], Fault | None]:
        """Whole frames in order, without their length, and the fault after them. After a fault: close."""
        held = self._framer.pending
        try:
            return self._framer.feed(data), None
        except BrokenStream as error:
            read = sum(LENGTH_BYTES + len(frame) for frame in error.frames)
            head = data[max(0, read - held) :][:HEAD_BYTES_MAX]
            return error.frames, Fault(error, held + len(data) - read, head)
