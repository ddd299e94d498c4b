"""The line between the machine and the host: one connection at a time, and all that can happen to a frame on it.

A frame that the line has not taken can be withdrawn; one that it has taken may arrive, late, twice, spoilt or never,
also after the connection broke. Answers come back on the connection on which their request went, or not at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from posd.core import effects as fx
from posd.profiles.contract import Outgoing
from simulators.world.stage import Stage
from simulators.world.witness import Witness

LATENCY_S = (0.005, 0.4)
DELAY_S = (1.0, 240.0)
STALL_S = (0.05, 60.0)
RECONNECT_S = (0.2, 20.0)
BODY_AT = 11
"""Length of TPDU and header: what follows is the message."""

MACED = frozenset({"02", "04"})
BITMAP_END_AT, MAC_FIELD_BIT = 9, 1
CUT_NOTICED_S = (0.0, 30.0)

Reply = Callable[[bytes, float, Callable[[], None]], None]


@dataclass(slots=True)
class _Waiting:
    tid: str
    message: fx.ToHost
    outgoing: Outgoing
    deadline_ms: int


@dataclass(slots=True)
class Line:
    """`host` takes a frame and a way to reply; `hear` tells the machine: up, down, a frame."""

    stage: Stage
    witness: Witness
    host: Callable[[bytes, Reply], None]
    up: bool = False
    reachable: bool = True
    quiet: bool = False
    on_up: Callable[[], None] = lambda: None
    on_down: Callable[[str], None] = lambda why: None
    on_frame: Callable[[bytes], None] = lambda frame: None
    on_withdrawn: Callable[[str], None] = lambda token: None
    on_lost: Callable[[str, str], None] = lambda token, why: None
    """These two are never told here."""
    _connection: int = 0
    _wanted: int = 0
    _outbox: list[_Waiting] = field(default_factory=list)
    _stalled: bool = False

    def start(self) -> None:
        """The machine wants a connection, now and whenever it is lost."""
        self._wanted += 1
        self._try_soon(self._wanted)

    def stop(self) -> None:
        """The machine is gone: its connection breaks, what the line had not taken never leaves."""
        self._wanted += 1
        self._drop()

    def leave(self) -> None:
        """The run is over."""

    def _try_soon(self, wanted: int) -> None:
        self.stage.after(self.stage.random.uniform(*RECONNECT_S), lambda: self._try(wanted))

    def _try(self, wanted: int) -> None:
        if wanted != self._wanted or self.up:
            return
        if not self.reachable:
            self._try_soon(wanted)
            return
        self.up, self._connection, self._stalled = True, self._connection + 1, False
        self.stage.say("line", "up")
        self.on_up()

    def cut(self, why: str) -> None:
        """The connection breaks; the machine notices now or later."""
        if not self.up:
            return
        connection = self._connection
        self.stage.say("line", f"cut: {why}")
        self._stalled = True  # nothing is taken any more
        self.stage.after(self.stage.random.uniform(*CUT_NOTICED_S), lambda: self._notice(connection, why))

    def _notice(self, connection: int, why: str) -> None:
        if not self.up or connection != self._connection:
            return
        self._drop()
        self._try_soon(self._wanted)
        self.on_down(why)

    def _drop(self) -> None:
        self.up, self._connection = False, self._connection + 1
        self._outbox.clear()

    # --- towards the host ------------------------------------------------------------------------------------------

    def send(self, tid: str, message: fx.ToHost, outgoing: Outgoing, wait_s: float) -> bool:
        """Take a frame that has to leave within `wait_s` or never (D2); False: nothing of it will leave."""
        if not self.up:
            self.stage.say("line", f"took nothing: {outgoing.mti}")
            return False
        waiting = _Waiting(tid, message, outgoing, self.stage.now_ms + round(wait_s * 1000))
        self._outbox.append(waiting)
        if not self.quiet and self.stage.chance(self.stage.faults.stall):
            self._stall()
        if not self._stalled:
            self._flush()
        return True

    def withdraw(self, token: str) -> bool:
        """Take a frame back if the line has not taken it; True: it had not."""
        before = len(self._outbox)
        self._outbox = [waiting for waiting in self._outbox if waiting.message.token != token]
        return len(self._outbox) < before

    def _stall(self) -> None:
        connection = self._connection
        self._stalled = True

        def go_on() -> None:
            if connection == self._connection and self.up:
                self._stalled = False
                self._flush()

        self.stage.after(self.stage.random.uniform(*STALL_S), go_on)

    def _flush(self) -> None:
        ready, self._outbox = self._outbox, []
        for waiting in ready:
            if waiting.deadline_ms > self.stage.now_ms:
                self._depart(waiting)

    def _depart(self, waiting: _Waiting) -> None:
        """The line has it: from here on its fate is the line's."""
        stage, faults, frame = self.stage, self.stage.faults, waiting.outgoing.frame
        self.witness.on_the_wire(waiting.message)
        if self.quiet:
            self._arrive_after(stage.random.uniform(*LATENCY_S), frame)
            return
        if stage.chance(faults.cut):
            self.cut("broken while sending")
            if stage.chance(0.5):
                return
        if stage.chance(faults.lose):
            stage.say("line", f"lost {waiting.outgoing.mti} {waiting.outgoing.stan or ''}")
            return
        if stage.chance(faults.corrupt) and waiting.outgoing.mti[:2] in MACED:
            frame = spoilt(stage, stage.random, frame, waiting.tid)
        self._arrive_after(self._latency(), frame)
        if stage.chance(faults.duplicate):
            self._arrive_after(self._latency(), frame)

    def _latency(self) -> float:
        stage = self.stage
        if not self.quiet and stage.chance(stage.faults.delay):
            return stage.random.uniform(*DELAY_S)
        return stage.random.uniform(*LATENCY_S)

    def _arrive_after(self, delay_s: float, frame: bytes) -> None:
        connection = self._connection
        self.stage.after(delay_s, lambda: self.host(frame, lambda *answer: self._answer(connection, *answer)))

    # --- and back --------------------------------------------------------------------------------------------------

    def _answer(self, connection: int, frame: bytes, delay_s: float, delivered: Callable[[], None]) -> None:
        """An answer of the host; `delivered` is called when it reaches the machine unspoilt."""
        stage, faults = self.stage, self.stage.faults
        if not self.quiet:
            if stage.chance(faults.cut):
                self.cut("broken while answering")
            if stage.chance(faults.lose):
                stage.say("line", "lost an answer")
                return
            if stage.chance(faults.garbage):
                self._deliver_after(self._latency(), connection, garbled(stage.random, frame), lambda: None)
                return
            if stage.chance(faults.corrupt) and has_mac(frame):
                frame, delivered = spoilt(stage, stage.random, frame, ""), lambda: None
        self._deliver_after(delay_s + self._latency(), connection, frame, delivered)
        if not self.quiet and stage.chance(faults.duplicate):
            self._deliver_after(delay_s + self._latency(), connection, frame, delivered)

    def _deliver_after(self, delay_s: float, connection: int, frame: bytes, delivered: Callable[[], None]) -> None:
        def deliver() -> None:
            if self.up and connection == self._connection:
                delivered()
                self.on_frame(frame)

        self.stage.after(delay_s, deliver)


def spoilt(stage: Stage, random: Random, frame: bytes, tid: str) -> bytes:
    """One bit flips, not in field 41: no host says another terminal's name. Nor does it make a message of another class
    out of it, that no MAC covers."""
    while True:
        bit = random.randrange(BODY_AT * 8, len(frame) * 8)
        other = frame[: bit // 8] + bytes([frame[bit // 8] ^ 1 << bit % 8]) + frame[bit // 8 + 1 :]
        if tid.encode() in other and other[BODY_AT : BODY_AT + 1].hex() in MACED:
            stage.say("line", f"bit {bit} of a frame is spoilt")
            return other


def garbled(random: Random, frame: bytes) -> bytes:
    """Cut short, or noise."""
    return frame[: random.randrange(1, len(frame))] if random.random() < 0.7 else random.randbytes(40)


def has_mac(frame: bytes) -> bool:
    """An answer with field 64: bit 64 of the bitmap."""
    is_covered = frame[BODY_AT : BODY_AT + 2] in (b"\x02\x10", b"\x04\x10")
    return is_covered and bool(frame[BODY_AT + BITMAP_END_AT] & MAC_FIELD_BIT)
