"""The bare two-byte length prefix on a serial line; sans-IO (framing/line.py says how to drive it).

Nothing here is acknowledged or checked: a changed byte within a frame is for the message's own MAC to find, so where
the peer can do STX frames they are the better choice. What a line needs beyond a TCP stream is a way back after noise:
a length that lies, or a frame that stops coming, costs everything until the line has been silent for `inter_byte_s`.
"""

from posd.framing.length_prefix import BrokenStream, LengthPrefixed, with_length
from posd.framing.line import Bad, Frame, LineEvent, Write


class LengthLine:
    """One side of a line. It holds one unfinished frame, never more."""

    def __init__(self, inter_byte_s: float, frame_bytes_max: int) -> None:
        self._inter_byte_s, self.frame_bytes_max = inter_byte_s, frame_bytes_max
        self.confirms = False
        self.noise_bytes = 0
        self._frames = LengthPrefixed(frame_bytes_max)
        self._skipping = False
        self._silent_at_s = 0.0

    @property
    def ready(self) -> bool:
        return True

    @property
    def deadline_s(self) -> float | None:
        return self._silent_at_s if self._skipping or self._frames.pending else None

    def send(self, body: bytes, now_s: float) -> list[LineEvent]:
        return [Write(with_length(body))]

    def feed(self, data: bytes, now_s: float) -> list[LineEvent]:
        self._silent_at_s = now_s + self._inter_byte_s
        if self._skipping:
            self.noise_bytes += len(data)
            return []
        held = self._frames.pending
        try:
            return [Frame(body) for body in self._frames.feed(data)]
        except BrokenStream as broken:
            read = sum(len(with_length(body)) for body in broken.frames)
            self._skipping = True
            return [*map(Frame, broken.frames), self._bad(str(broken), held + len(data) - read)]

    def tick(self, now_s: float) -> list[LineEvent]:
        if self.deadline_s is None or now_s < self._silent_at_s:
            return []
        pending, self._skipping = self._frames.pending, False
        return [self._bad(f"unfinished after {pending} bytes", pending)] if pending else []

    def _bad(self, what: str, length: int) -> Bad:
        self.noise_bytes += length
        self._frames = LengthPrefixed(self.frame_bytes_max)
        return Bad(what, length)
