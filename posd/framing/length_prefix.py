"""A TCP stream to frames: two bytes of length, then that many bytes (reference 1.1, 2.1).

Pure and bounded: it never holds more than one unfinished frame between two calls, and never guesses where a
stream that lied about a length goes on.
"""

from enum import StrEnum

from posd.errors import CannotEncode, MalformedMessage

LENGTH_BYTES = 2
FRAME_BYTES_MAX = 4096
"""Longest frame that we accept by default; a full message of the widest dialect has about 2,500 bytes."""
FRAME_BYTES_LIMIT = 65_535
"""Longest frame that two bytes of length can say."""


class Length(StrEnum):
    """What the two bytes of length say. A few hosts of the NAC dialect have one of the others (reference 2.1)."""

    BINARY = "binary"
    """A big-endian number: the bytes that follow."""
    BCD = "bcd"
    """Four decimal digits: the bytes that follow."""
    INCLUSIVE = "inclusive"
    """A big-endian number: the bytes that follow and these two."""

    def read(self, first: int, second: int) -> int:
        """How many bytes follow; below one: these two say nothing of the kind."""
        match self:
            case Length.BCD:
                digits = f"{first:02x}{second:02x}"
                return int(digits) if digits.isdecimal() else 0
            case Length.INCLUSIVE:
                return (first << 8 | second) - LENGTH_BYTES
            case _:
                return first << 8 | second

    def write(self, count: int) -> bytes:
        """The two bytes before so many. Raises CannotEncode: they cannot say it."""
        most = _MOST[self]
        if not 0 < count <= most:
            raise CannotEncode(f"a frame of {count} bytes cannot be sent: 1 to {most} bytes")
        if self is Length.BCD:
            return bytes.fromhex(f"{count:04d}")
        return (count + (LENGTH_BYTES if self is Length.INCLUSIVE else 0)).to_bytes(LENGTH_BYTES, "big")


_MOST = {
    Length.BINARY: FRAME_BYTES_LIMIT,
    Length.BCD: 9_999,
    Length.INCLUSIVE: FRAME_BYTES_LIMIT - LENGTH_BYTES,
}


class BrokenStream(MalformedMessage):
    """The stream cannot be read on. `frames`: whole frames that stood before the fault in the same bytes."""

    def __init__(self, what: str, *, frames: list[bytes]) -> None:
        super().__init__(what, field="length")
        self.frames = frames


class LengthPrefixed:
    """Collects the bytes of one stream and gives whole frames, without their prefix."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX, length: Length = Length.BINARY) -> None:
        self._max, self.length = frame_bytes_max, length
        self._buffer = bytearray()
        self._broken: str | None = None

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame, prefix included."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, in order.

        Raises `BrokenStream` on a length of zero or above the limit, and on every call after that: close the
        connection. Frames that stood before the fault are in the error.
        """
        if self._broken is not None:
            raise BrokenStream(self._broken, frames=[])
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            length = self.length.read(buffer[start], buffer[start + 1])
            if not 0 < length <= self._max:
                raise self._break(bytes(buffer[start : start + LENGTH_BYTES]), length, frames)
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[start + LENGTH_BYTES : end]))
            start = end
        del buffer[:start]
        return frames

    def _break(self, prefix: bytes, length: int, frames: list[bytes]) -> BrokenStream:
        self._buffer = bytearray()
        said = str(length) if self.length is Length.BINARY else f"0x{prefix.hex()} ({self.length})"
        self._broken = f"frame length {said} is not within 1 to {self._max} bytes"
        return BrokenStream(self._broken, frames=frames)


def with_length(frame: bytes, length: Length = Length.BINARY) -> bytes:
    """The frame with its two-byte prefix. Raises CannotEncode when empty or longer than the prefix can say."""
    return length.write(len(frame)) + frame
