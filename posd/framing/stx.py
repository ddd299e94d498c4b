"""STX frames with ACK and NAK, one outstanding frame in each direction; sans-IO (framing/line.py says how to drive it).

    STX  length   body            ETX  LRC
    02   2 BCD    1 to 9999 bytes 03   1 byte

`length` counts the body only (0123 is 01 23). The LRC is the XOR of what the knob `lrc` names; the default
"length-etx" is the usual one: both length bytes, body and ETX, without STX. The rules (the wire is M/L in every
terminal maker's manual, so each number is a knob):

- A good frame is answered ACK (06). After a bad one everything is skipped until the line has been silent for
  `inter_byte_s`, then NAK (15) is said once: a body may hold STX, so nothing in the rest of a bad frame is believed.
- A frame that is not finished when the line has been silent for `inter_byte_s` is bad.
- Our frame is sent again on NAK, or when no ACK came within `ack_timeout_s` after its last byte (by `byte_s`) can
  have left; after `retries` repeats the line is given up.
- A frame equal to the one before it, within the time that a peer with our knobs goes on repeating, is a repeat whose
  ACK was lost, unless the peer has acknowledged something of ours in between: then it may well be a new question.
- Bytes between frames that are neither STX nor an expected ACK or NAK are noise: skipped and counted. A parity error
  becomes a NUL, which is noise between frames and a wrong LRC within one.

The LRC finds any one wrong byte, but not every two: equal changes in two bytes cancel. What still passes is for the
message's own MAC to find. ACK carries no number, so a late one may be taken for the next frame's. That can cost an
answer, never money: an acknowledgement says that bytes arrived, and nothing is decided by it.
"""

from dataclasses import dataclass
from enum import Enum
from functools import reduce
from hashlib import blake2b
from operator import xor

from posd.errors import CannotEncode
from posd.framing.line import Bad, Frame, GivenUp, LineEvent, Repeated, Write

STX, ETX, ACK, NAK = 0x02, 0x03, 0x06, 0x15
BODY_BYTES_MAX = 9_999
LENGTH_BYTES = 2
HEAD_BYTES = 1 + LENGTH_BYTES
TAIL_BYTES = 2
DIGEST_BYTES = 16

LRC_OVER = {
    "length-etx": slice(1, None),
    "stx-etx": slice(0, None),
    "body-etx": slice(HEAD_BYTES, None),
    "length-body": slice(1, -1),
}
"""What the LRC covers, as a part of STX, length, body, ETX."""


@dataclass(frozen=True, slots=True)
class StxKnobs:
    """Seconds, counts. `byte_s`: how long one byte takes on the line; `lrc`: a name in LRC_OVER."""

    inter_byte_s: float = 0.5
    ack_timeout_s: float = 2.0
    retries: int = 3
    byte_s: float = 0.0
    lrc: str = "length-etx"


def stx_frame(body: bytes, lrc: str = "length-etx") -> bytes:
    """The frame as it goes on the line. Raises CannotEncode when four digits cannot say its length."""
    if not 0 < len(body) <= BODY_BYTES_MAX:
        raise CannotEncode(f"a frame of {len(body)} bytes cannot be sent: 1 to {BODY_BYTES_MAX} bytes")
    covered = bytes([STX]) + bytes.fromhex(f"{len(body):04d}") + body + bytes([ETX])
    return covered + bytes([_lrc(covered, lrc)])


def _lrc(frame: bytes, over: str) -> int:
    return reduce(xor, frame[LRC_OVER[over]], 0)


class _Reading(Enum):
    BETWEEN = "between frames"
    WITHIN = "within a frame"
    SKIPPING = "skipping until the line is silent"


class StxLine:
    """One side of a line. It holds one unfinished frame and one that waits for its ACK, never more."""

    def __init__(self, knobs: StxKnobs, frame_bytes_max: int) -> None:
        self._knobs = knobs
        self.frame_bytes_max = min(frame_bytes_max, BODY_BYTES_MAX)
        self.confirms = True
        self.noise_bytes = 0
        self._reading = _Reading.BETWEEN
        self._buffer = bytearray()  # STX and what followed it
        self._silent_at_s = 0.0
        self._awaiting: bytes | None = None  # our frame, until it is acknowledged
        self._attempts = 0
        self._ack_due_s = 0.0
        self._last: tuple[bytes, float] | None = None  # digest of the last good frame, and until when it may repeat

    @property
    def ready(self) -> bool:
        return self._awaiting is None

    @property
    def deadline_s(self) -> float | None:
        due = [self._silent_at_s] if self._reading is not _Reading.BETWEEN else []
        due += [self._ack_due_s] if self._awaiting is not None else []
        return min(due, default=None)

    def send(self, body: bytes, now_s: float) -> list[LineEvent]:
        if self._awaiting is not None:
            raise CannotEncode("a frame is still waiting for its acknowledgement")
        self._awaiting = stx_frame(body, self._knobs.lrc)
        self._attempts = 0
        return [self._attempt(self._awaiting, now_s)]

    def feed(self, data: bytes, now_s: float) -> list[LineEvent]:
        events: list[LineEvent] = []
        at = 0
        while at < len(data):
            match self._reading:
                case _Reading.BETWEEN:
                    at = self._between(data, at, now_s, events)
                case _Reading.WITHIN:
                    at = self._within(data, at, now_s, events)
                case _Reading.SKIPPING:
                    self.noise_bytes += len(data) - at
                    at = len(data)
        self._silent_at_s = now_s + self._knobs.inter_byte_s
        return events

    def tick(self, now_s: float) -> list[LineEvent]:
        events: list[LineEvent] = []
        if self._reading is not _Reading.BETWEEN and now_s >= self._silent_at_s:
            if self._reading is _Reading.WITHIN:
                events.append(self._bad(f"unfinished after {len(self._buffer)} bytes"))
            self._reading = _Reading.BETWEEN
            events.append(Write(bytes([NAK])))
        if self._awaiting is not None and now_s >= self._ack_due_s:
            events.append(self._again(f"no acknowledgement within {self._knobs.ack_timeout_s:g} s", now_s))
        return events

    # What comes.

    def _between(self, data: bytes, at: int, now_s: float, events: list[LineEvent]) -> int:
        """One byte between frames; the place after it."""
        byte = data[at]
        if byte == STX:
            self._reading, self._buffer = _Reading.WITHIN, bytearray([STX])
        elif byte == ACK and self._awaiting is not None:
            self._awaiting = self._last = None
        elif byte == NAK and self._awaiting is not None:
            events.append(self._again("refused by NAK", now_s))
        else:
            self.noise_bytes += 1
        return at + 1

    def _within(self, data: bytes, at: int, now_s: float, events: list[LineEvent]) -> int:
        """As much of the frame as is there; the place after it."""
        buffer = self._buffer
        wanted = HEAD_BYTES if len(buffer) < HEAD_BYTES else self._frame_bytes()
        taken = data[at : at + wanted - len(buffer)]
        buffer += taken
        if len(buffer) == wanted == HEAD_BYTES and not 0 < self._body_bytes() <= self.frame_bytes_max:
            events.append(self._bad(f"length is not 1 to {self.frame_bytes_max} in BCD (offset 1)"))
        elif len(buffer) == wanted > HEAD_BYTES:
            events += self._whole(now_s)
        return at + len(taken)

    def _body_bytes(self) -> int:
        """What the length says; 0 where it is not BCD."""
        digits = self._buffer[1:HEAD_BYTES].hex()
        return int(digits) if digits.isdecimal() else 0

    def _frame_bytes(self) -> int:
        return HEAD_BYTES + self._body_bytes() + TAIL_BYTES

    def _whole(self, now_s: float) -> list[LineEvent]:
        frame = bytes(self._buffer)
        etx_at = len(frame) - TAIL_BYTES
        if frame[etx_at] != ETX:
            return [self._bad(f"no ETX where the length says (offset {etx_at})")]
        if frame[-1] != _lrc(frame[:-1], self._knobs.lrc):
            return [self._bad(f"wrong LRC (offset {etx_at + 1})")]
        self._reading, self._buffer = _Reading.BETWEEN, bytearray()
        acknowledged = Write(bytes([ACK]))
        digest = blake2b(frame, digest_size=DIGEST_BYTES).digest()
        if self._last is not None and self._last[0] == digest and now_s <= self._last[1]:
            return [acknowledged, Repeated()]
        self._last = digest, now_s + self._repeats_for_s(len(frame))
        return [acknowledged, Frame(frame[HEAD_BYTES:-TAIL_BYTES])]

    def _repeats_for_s(self, frame_bytes: int) -> float:
        """How long a peer with our knobs goes on repeating a frame that we acknowledged."""
        knobs = self._knobs
        return (knobs.retries + 1) * (knobs.ack_timeout_s + frame_bytes * knobs.byte_s)

    def _bad(self, what: str) -> Bad:
        length = len(self._buffer)
        self.noise_bytes += length
        self._reading, self._buffer = _Reading.SKIPPING, bytearray()
        return Bad(what, length)

    # What goes.

    def _attempt(self, frame: bytes, now_s: float) -> Write:
        self._attempts += 1
        self._ack_due_s = now_s + len(frame) * self._knobs.byte_s + self._knobs.ack_timeout_s
        return Write(frame, again=self._attempts > 1)

    def _again(self, why: str, now_s: float) -> LineEvent:
        assert self._awaiting is not None
        if self._attempts <= self._knobs.retries:
            return self._attempt(self._awaiting, now_s)
        attempts, self._awaiting = self._attempts, None
        return GivenUp(f"not acknowledged in {attempts} attempts: {why}")
