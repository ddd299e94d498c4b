"""One simulated TCP connection, and the road that it goes by.

What TCP promises is kept: bytes arrive in order, once, or not at all; what is retransmitted stops when the connection
is aborted, what is on its way by then arrives; `delivered` says that the other machine has it. What is above TCP, at
the host's gateway, may lose, double and delay a message after all.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from posd.framing.length_prefix import LENGTH_BYTES
from simulators.world.faults import Faults
from simulators.world.stage import Stage

LATENCY_S = (0.005, 0.4)
RETRANSMITTED_S = (1.0, 240.0)
GATEWAY_S = (1.0, 240.0)
STALL_S = (0.05, 60.0)
NOTICED_S = (0.0, 30.0)
GIVES_UP_S = (20.0, 900.0)
"""How long a kernel tries to deliver what is never confirmed."""

CONNECT_TIMEOUT_S = 10.0

Answer = Callable[[bytes, float, Callable[[], None]], None]
Arrives = Callable[[bytes, "Wire"], None]


@dataclass(slots=True)
class Road:
    """One way to the host, with chance and troubles of its own. `arrives(frame, wire)`: the host's machine has it."""

    stage: Stage
    name: str
    faults: Faults
    arrives: Arrives
    random: Random = field(init=False)
    reachable: bool = True
    quiet: bool = False
    wires: list["Wire"] = field(default_factory=list)
    _out_ms: int = 0
    _home_ms: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"road {self.name} {self.stage.seed}")

    def chance(self, probability: float) -> bool:
        return not self.quiet and self.random.random() < probability

    async def connect(self) -> "Wire":
        """Raises OSError: refused at once, or nothing within the limit."""
        await asyncio.sleep(self.random.uniform(*LATENCY_S))
        if self.reachable and not self.chance(self.faults.cut):
            wire = Wire(self)
            self.wires.append(wire)
            return wire
        if self.random.random() < 0.5:
            raise ConnectionRefusedError("refused")
        await asyncio.sleep(CONNECT_TIMEOUT_S)
        raise TimeoutError("no connection in time")

    def cut(self, why: str) -> None:
        """Every connection breaks."""
        for wire in list(self.wires):
            wire.cut(why)

    def way_out_s(self) -> float:
        """How long what leaves now is on its way: nothing overtakes on one road."""
        self._out_ms = max(self._out_ms, self.stage.now_ms + round(self.random.uniform(*LATENCY_S) * 1000))
        return (self._out_ms - self.stage.now_ms) / 1000

    def way_home_s(self) -> float:
        self._home_ms = max(self._home_ms, self.stage.now_ms + round(self.random.uniform(*LATENCY_S) * 1000))
        return (self._home_ms - self.stage.now_ms) / 1000


class Wire:
    """One connection (ConfirmingChannel)."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.peer = f"the host by {road.name or 'its line'}"
        self.ended, self.ending = False, ""
        self.aborted = self._broken = self._orphaned = False
        self._stalled = self._hole = False
        self._kernel: deque[bytes] = deque()
        self._unconfirmed = 0
        self._behind_ms = 0
        self._incoming: deque[bytes] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._drainers: list[asyncio.Future[None]] = []

    # --- what the link asks for --------------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        return 0 if self.ended else sum(map(len, self._kernel))

    @property
    def delivered(self) -> bool:
        return not self._unconfirmed and not self._kernel

    async def receive(self) -> bytes:
        while not self._incoming:
            if self.ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._incoming.popleft()

    def send(self, data: bytes) -> None:
        if self.ended:
            return
        self._kernel.append(data)
        if self.road.chance(self.road.faults.stall):
            self._stalled = True
            self.road.stage.after(self.road.random.uniform(*STALL_S), self._go_on)
        if not self._stalled:
            self._flush()

    async def drained(self) -> None:
        while self.unsent_bytes:
            waits = asyncio.get_running_loop().create_future()
            self._drainers.append(waits)
            await waits

    def abort(self) -> None:
        self.aborted = True
        self._kernel.clear()
        self._end("aborted")

    async def close(self) -> None:
        self._end("closed by this side")

    # --- its fate ----------------------------------------------------------------------------------------------------

    def cut(self, why: str) -> None:
        """Nothing passes any more; this side notices now or later."""
        if not self._broken and not self.ended:
            self._broken = True
            self.road.stage.say("line", f"{self.road.name} cut: {why}")
            self.road.stage.after(self.road.random.uniform(*NOTICED_S), lambda: self._end(why))

    def orphan(self) -> None:
        """The process is gone: its kernel may go on for a while, or the power is off."""
        self._orphaned = True
        self._kernel.clear()
        self.ended = True

    def _end(self, why: str) -> None:
        if self.ended:
            return
        self.ended, self.ending = True, why
        if self in self.road.wires:
            self.road.wires.remove(self)
        self._wake()

    def _wake(self) -> None:
        waiting = [*self._drainers, *([self._reader] if self._reader is not None else [])]
        self._drainers, self._reader = [], None
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _go_on(self) -> None:
        self._stalled = False
        if not self.ended:
            self._flush()
            self._wake()

    # --- to the host -------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._kernel and not self._stalled:
            self._depart(self._kernel.popleft())

    def _depart(self, data: bytes) -> None:
        """The kernel has it: from here on its fate is the road's."""
        road, stage = self.road, self.road.stage
        self._unconfirmed += 1
        if road.chance(road.faults.cut):
            self.cut("broken while sending")
            self._hole = road.random.random() < 0.5
        if road.chance(road.faults.lose):
            self._hole = True
            stage.after(road.random.uniform(*GIVES_UP_S), lambda: self._end("timed out"))
        if self._hole:
            stage.say("line", f"{road.name} carries nothing")
            return
        again = road.chance(road.faults.delay)
        delay_s = road.random.uniform(*RETRANSMITTED_S) if again else road.way_out_s()
        self._behind_ms = max(self._behind_ms, stage.now_ms + round(delay_s * 1000))
        departed_ms = stage.now_ms
        stage.after((self._behind_ms - stage.now_ms) / 1000, lambda: self._arrive(data, departed_ms))

    def _arrive(self, data: bytes, departed_ms: int) -> None:
        """At the host's machine, unless it was still being tried when the connection was given up."""
        on_its_way = self.road.stage.now_ms - departed_ms <= LATENCY_S[1] * 1000
        if (self.aborted or self._broken or self._orphaned) and not on_its_way:
            return
        self._unconfirmed -= 1
        self.road.arrives(data[LENGTH_BYTES:], self)

    @property
    def trusted(self) -> bool:
        """posd still answers for what arrives here: the process that sent it lives, or aborted it itself."""
        return not self._orphaned

    # --- and back ----------------------------------------------------------------------------------------------------

    def answer(self, data: bytes, delay_s: float, delivered: Callable[[], None]) -> None:
        """Bytes of the host, after it thought for so long."""
        road = self.road

        def leave() -> None:
            road.stage.after(road.way_home_s(), lambda: self._heard(data, delivered))

        road.stage.after(delay_s, leave)

    def hang_up(self, delay_s: float) -> None:
        """The host closes its side."""
        self.road.stage.after(delay_s, lambda: self._end("closed by the host"))

    def _heard(self, data: bytes, delivered: Callable[[], None]) -> None:
        if self.ended or self._broken or self._hole:
            return
        self._incoming.append(data)
        delivered()
        self._wake()
