"""The line as the daemon has it: its own routes and links (daemon/links) over simulated
connections, one road for each route. It stands where line.py stands in other seeds.

It is a witness too: a frame arrives as often as it was handed over and not taken back, never more (D2); and no request
arrives after its own reversal, whichever road each of them took.
"""

from asyncio import events
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from posd.core import effects as fx
from posd.core.answers import ExchangeKind
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import HostLink, Link, LinkListener
from posd.daemon.links.one_shot import OneShotLink
from posd.daemon.links.route import Connect, Way
from posd.daemon.links.route_choice import Limits
from posd.daemon.links.routes import RouteChange, Routes
from posd.errors import MalformedMessage
from posd.framing.length_prefix import FRAME_BYTES_MAX, with_length
from posd.profiles.contract import Outgoing
from posd.values import Now
from simulators.world.faults import WORST_LINE, Faults
from simulators.world.line import MACED, Reply, garbled, has_mac, spoilt
from simulators.world.loop import StageLoop
from simulators.world.stage import Stage
from simulators.world.wire import GATEWAY_S, Road, Wire
from simulators.world.witness import Witness

Mode = Literal["kept", "one_shot"]
BACKOFF_S = (1.0, 60.0)
HANGS_UP = 0.5
BREAKS_STREAM = 0.2


@dataclass(frozen=True, slots=True)
class Roads:
    """What a plan says of its routes: `modes`, the best first; the other knobs of host.failover and its like."""

    modes: tuple[Mode, ...]
    silent_limits: int = 2
    connections_max: int = 4
    pause_s: float = 5.0
    good_for_s: float = 60.0
    spoils: bool = True
    """They may spoil a bit: only where something is signed that finds it."""

    @classmethod
    def drawn(cls, random: Random) -> "Roads":
        modes: tuple[tuple[Mode, ...], ...] = (
            ("kept",),
            ("one_shot",),
            ("one_shot",),
            ("kept", "kept"),
            ("kept", "kept"),
            ("kept", "one_shot"),
            ("one_shot", "kept"),
            ("one_shot", "one_shot"),
        )
        return cls(random.choice(modes), random.choice((1, 2)), random.choice((1, 2, 8)))


@dataclass(slots=True)
class Network:
    """As line.Line. `now`: the machine's own clocks. A loop and routes for each life of the machine."""

    stage: Stage
    witness: Witness
    host: Callable[[bytes, Reply], None]
    roads: Roads
    now: Callable[[], Now]
    reply_limit_s: float
    on_up: Callable[[], None] = lambda: None
    on_down: Callable[[str], None] = lambda why: None
    on_frame: Callable[[bytes], None] = lambda frame: None
    on_withdrawn: Callable[[str], None] = lambda token: None
    on_lost: Callable[[str, str], None] = lambda token, why: None
    _roads: list[Road] = field(default_factory=list)
    _routes: Routes | None = None
    _loop: StageLoop | None = None
    _life: int = 0
    _frames: dict[str, bytes] = field(default_factory=dict)
    _messages: dict[bytes, tuple[str, fx.ToHost]] = field(default_factory=dict)
    _handed: Counter[bytes] = field(default_factory=Counter)
    _arrived: Counter[bytes] = field(default_factory=Counter)
    _reversed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for number, mode in enumerate(self.roads.modes):
            faults = self.stage.faults if number == 0 else self._other_troubles(number)
            self._roads.append(Road(self.stage, f"{mode}{number}", faults, self._arrives))

    def _other_troubles(self, number: int) -> Faults:
        """Those of a line that has nothing to do with the first one; none where that one has none."""
        random = Random(f"road {number} {self.stage.seed}")
        first = self.stage.faults
        if not any(getattr(first, name) for name in WORST_LINE):
            return first
        drawn = {name: worst * random.random() ** 2 for name, worst in WORST_LINE.items()}
        return replace(first, **(drawn if self.roads.spoils else {**drawn, "corrupt": 0.0}))

    # --- as line.Line ------------------------------------------------------------------------------------------------

    @property
    def reachable(self) -> bool:
        return all(road.reachable for road in self._roads)

    @reachable.setter
    def reachable(self, yes: bool) -> None:
        """An outage is one of the first road, and now and then of all."""
        for number, road in enumerate(self._roads):
            road.reachable = yes or (number > 0 and road.random.random() < 0.7)

    @property
    def quiet(self) -> bool:
        return self._roads[0].quiet

    @quiet.setter
    def quiet(self, yes: bool) -> None:
        for road in self._roads:
            road.quiet = yes

    def start(self) -> None:
        """posd begins to connect."""
        self._life += 1
        self._loop = StageLoop(self.stage)
        self._loop.begin()
        limits = Limits(2, self.roads.good_for_s)
        silence_s = self.roads.silent_limits * self.reply_limit_s
        ways = [self._way(road, mode) for road, mode in zip(self._roads, self.roads.modes, strict=True)]
        listener = _Heard(self, self._life)
        self._routes = Routes(ways, listener, limits, silence_s, self.reply_limit_s, self.roads.pause_s, self.now)
        self._routes.start()

    def stop(self) -> None:
        """posd is gone."""
        self._life += 1
        self._routes = None
        for road in self._roads:
            for wire in road.wires:
                wire.orphan()
            road.wires.clear()
        if self._loop is not None:
            self._loop.end()

    def leave(self) -> None:
        """The run is over: asyncio has no running loop any more."""
        self.stop()
        if self._loop is not None:
            self._loop.run_ready()
        events._set_running_loop(None)

    def cut(self, why: str) -> None:
        """Those roads that lead nowhere now lose their connections."""
        for road in self._roads:
            if not road.reachable:
                road.cut(why)

    def send(self, tid: str, message: fx.ToHost, outgoing: Outgoing, wait_s: float) -> bool:
        frame = outgoing.frame
        self._messages[frame], self._frames[message.token] = (outgoing.mti, message), frame
        self._handed[frame] += 1
        routes = self._routes
        if routes is None or not routes.send(message.token, frame, self.now().monotonic_s + wait_s):
            self.stage.say("line", f"took nothing: {outgoing.mti}")
            self._taken_back(message.token)
            return False
        return True

    def withdraw(self, token: str) -> bool:
        if self._routes is None or not self._routes.withdraw(token):
            return False
        self._taken_back(token)
        return True

    def _taken_back(self, token: str) -> None:
        """The link says that no byte of it left: then it must never arrive."""
        frame = self._frames.pop(token, None)
        if frame is not None:
            self._handed[frame] -= 1
            self._not_too_often(frame)

    def _way(self, road: Road, mode: Mode) -> Way:
        def build(connect: Connect, listener: LinkListener) -> Link:
            backoff = Backoff(*BACKOFF_S, road.random)
            if mode == "one_shot":
                most = self.roads.connections_max
                return OneShotLink(connect, listener, FRAME_BYTES_MAX, backoff, self._clock, most)
            return HostLink(connect, listener, FRAME_BYTES_MAX, backoff, self._clock)

        return Way(road.name, f"the host by {road.name}", road.connect, build)

    def _clock(self) -> float:
        return self.now().monotonic_s

    # --- at the host's gateway ---------------------------------------------------------------------------------------

    def _arrives(self, frame: bytes, wire: Wire) -> None:
        """TCP brought it: once for each time that it was sent."""
        road, stage = wire.road, self.stage
        self._arrived[frame] += 1
        self._not_too_often(frame)
        mti, message = self._messages[frame]
        of = message.request_id
        if message.kind is ExchangeKind.REVERSAL and of is not None:
            self._reversed.add(of)
        if message.kind is ExchangeKind.TRANSACTION and of in self._reversed and wire.trusted:
            stage.violate(f"{of} arrived by {road.name} after its own reversal (D2)")
        stage.count(f"road: {road.name}")
        if mti[:2] in MACED and road.chance(road.faults.corrupt):
            frame = spoilt(stage, road.random, frame, message.token.rpartition("#")[0])
        if road.chance(road.faults.lose / 2):
            stage.say("line", "the gateway loses it")
            return
        late_s = road.random.uniform(*GATEWAY_S) if road.chance(road.faults.delay / 2) else 0.0
        self._give(frame, wire, late_s)
        if road.chance(road.faults.duplicate):
            self._give(frame, wire, road.random.uniform(0.0, 2.0))

    def _not_too_often(self, frame: bytes) -> None:
        if self._arrived[frame] > self._handed[frame]:
            mti, message = self._messages[frame]
            self.stage.violate(f"{mti} {message.token} arrived though it was not sent, or was taken back (D2)")

    def _give(self, frame: bytes, wire: Wire, late_s: float) -> None:
        self.stage.after(late_s, lambda: self.host(frame, lambda *answer: self._answer(wire, *answer)))

    def _answer(self, wire: Wire, frame: bytes, delay_s: float, delivered: Callable[[], None]) -> None:
        road, random = wire.road, wire.road.random
        if road.chance(road.faults.cut):
            wire.cut("broken while answering")
        if road.chance(road.faults.lose):
            self.stage.say("line", f"{road.name} lost an answer")
            return
        if road.chance(road.faults.delay):
            delay_s += random.uniform(*GATEWAY_S)
        data = with_length(frame)
        if road.chance(road.faults.garbage):
            broken = random.random() < BREAKS_STREAM
            data, delivered = b"\0\0" if broken else with_length(garbled(random, frame)), lambda: None
        elif road.chance(road.faults.corrupt) and has_mac(frame):
            data, delivered = with_length(spoilt(self.stage, random, frame, "")), lambda: None
        wire.answer(data, delay_s, delivered)
        if road.chance(road.faults.duplicate):
            wire.answer(data, delay_s + random.uniform(0.0, 2.0), delivered)
        if road.name.startswith("one_shot") and random.random() < HANGS_UP:
            wire.hang_up(delay_s + random.uniform(0.5, 5.0))


@dataclass(slots=True)
class _Heard:
    """Hears the routes (RoutesListener) for one life of the machine."""

    network: Network
    life: int

    def _alive(self) -> bool:
        return self.network._life == self.life

    def link_up(self) -> None:
        if self._alive():
            self.network.stage.say("line", "up")
            self.network.on_up()

    def link_down(self, why: str) -> None:
        if self._alive():
            self.network.stage.say("line", f"down: {why}")
            self.network.on_down(why)

    def frame(self, frame: bytes) -> None:
        if self._alive():
            self.network.on_frame(frame)

    def withdrawn(self, token: str) -> None:
        if self._alive():
            self.network.stage.count("a frame was withdrawn")
            self.network._taken_back(token)
            self.network.on_withdrawn(token)

    def lost(self, token: str, why: str) -> None:
        if self._alive():
            self.network.stage.count("an exchange was lost")
            self.network.on_lost(token, why)

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        if self._alive():
            self.network.stage.count("a stream could not be read")

    def route_changed(self, change: RouteChange) -> None:
        if self._alive():
            what = "all routes failed" if not change.to else "back to a better route" if change.back else "failed over"
            self.network.stage.count(f"routes: {what}")
            self.network.stage.say("line", f"{what}: {change.left} -> {change.to}, {change.why}")
