"""A TCP stream to frames: two bytes of big-endian length, then that many bytes (reference 1.1).

Pure and bounded: it never holds more than one unfinished frame between two calls, and never guesses where a
stream that lied about a length goes on.
"""

from posd.errors import CannotEncode, MalformedMessage

LENGTH_BYTES = 2
FRAME_BYTES_MAX = 4096
"""Longest frame that we accept by default; a full message of the widest dialect has about 2,500 bytes."""
FRAME_BYTES_LIMIT = 65_535
"""Longest frame that two bytes of length can say."""


class BrokenStream(MalformedMessage):
    """The stream cannot be read on. `frames`: whole frames that stood before the fault in the same bytes."""

    def __init__(self, what: str, *, frames: list[bytes]) -> None:
        super().__init__(what, field="length")
        self.frames = frames


class LengthPrefixed:
    """Collects the bytes of one stream and gives whole frames, without their prefix."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._max = frame_bytes_max
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
            length = buffer[start] << 8 | buffer[start + 1]
            if not 0 < length <= self._max:
                raise self._break(length, frames)
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[start + LENGTH_BYTES : end]))
            start = end
        del buffer[:start]
        return frames

    def _break(self, length: int, frames: list[bytes]) -> BrokenStream:
        self._buffer = bytearray()
        self._broken = f"frame length {length} is not within 1 to {self._max} bytes"
        return BrokenStream(self._broken, frames=frames)


def with_length(frame: bytes) -> bytes:
    """The frame with its two-byte prefix. Raises CannotEncode when empty or longer than the prefix can say."""
    if not 0 < len(frame) <= FRAME_BYTES_LIMIT:
        raise CannotEncode(f"a frame of {len(frame)} bytes cannot be sent: 1 to {FRAME_BYTES_LIMIT} bytes")
    return len(frame).to_bytes(LENGTH_BYTES, "big") + frame
