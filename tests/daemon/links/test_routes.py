"""Several routes against real sockets on loopback; no terminal, no host: what leaves by which, and what is heard."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from posd.daemon.clock import SystemClock
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import HostLink, LinkListener
from posd.daemon.links.route import Connect, Way
from posd.daemon.links.route_choice import Health, Limits
from posd.daemon.links.routes import RouteChange, Routes
from posd.framing.length_prefix import with_length
from posd.transport.contract import Channel, ConfirmingChannel
from posd.transport.memory import MemoryChannel, memory_pair
from posd.transport.tcp import connect_tcp
from posd.values import Now
from tests.daemon.links.test_host_link import FRAME_BYTES_MAX, Frames, Heard, Host, later

LIMIT_S = 15
GOOD_FOR_S = 0.3
SILENCE_S = 0.2
PAUSE_S = 0.3


class HeardRoutes(Heard):
    def route_changed(self, change: RouteChange) -> None:
        self.queue.put_nowait(("route", change))


@dataclass
class Lines:
    """Routes named r0, r1 … to hosts of their own."""

    routes: Routes
    heard: HeardRoutes
    hosts: list[Host]
    ports: list[int] = field(default_factory=list)

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await asyncio.sleep(0.005)

    def health(self, place: int) -> Health:
        return self.routes.shown()[place].health

    async def settled(self) -> None:
        """Every route is connected, the first one in use."""
        await self.heard.expect("up")
        await self.until(lambda: {one.health for one in self.routes.shown()} == {Health.UP})

    async def frames(self, place: int) -> Frames:
        """The newest connection at a host, from its beginning."""
        channel = await self.hosts[place].channels.get()
        while not self.hosts[place].channels.empty():
            channel = self.hosts[place].channels.get_nowait()
        return Frames(channel)

    def far(self, place: int) -> Channel:
        return self.hosts[place].all[-1]

    async def changed(self) -> RouteChange:
        what = await self.heard.expect("route")
        assert isinstance(what, RouteChange)
        return what


Story = Callable[[Lines], Awaitable[None]]


def way(name: str, connect: Connect) -> Way:
    def build(watched: Connect, listener: LinkListener) -> HostLink:
        return HostLink(watched, listener, FRAME_BYTES_MAX, Backoff(0.01, 0.05, random.Random(1)), time.monotonic)

    return Way(name, name, connect, build)


def routes_over(
    ways: list[Way], heard: HeardRoutes, silence_s: float = SILENCE_S, listen_s: float = 0.5, pause_s: float = PAUSE_S
) -> Routes:
    return Routes(ways, heard, Limits(2, GOOD_FOR_S), silence_s, listen_s, pause_s, SystemClock().now)


def play(story: Story, count: int = 2) -> None:
    async def run() -> None:
        heard, hosts = HeardRoutes(), [Host() for _ in range(count)]
        for host in hosts:
            await host.open()
        ports = [host.port for host in hosts]
        ways = [way(f"r{n}", partial(connect_tcp, "127.0.0.1", port, 5)) for n, port in enumerate(ports)]
        lines = Lines(routes_over(ways, heard), heard, hosts, ports)
        async with asyncio.timeout(LIMIT_S):
            lines.routes.start()
            try:
                await story(lines)
            finally:
                await lines.routes.stop()
                for host in hosts:
                    host.close()
                await asyncio.sleep(0)

    asyncio.run(run())


def test_messages_go_by_the_first_and_the_others_are_kept_up() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        frames = [await lines.frames(0), await lines.frames(1)]
        assert lines.routes.send("t#1", b"sale", later())
        assert await frames[0].next() == b"sale"
        lines.far(0).send(with_length(b"answer"))
        assert await lines.heard.expect("frame") == b"answer"
        assert lines.routes.withdraw("t#1") is False
        assert lines.routes.active == "r0"
        first, second = lines.routes.shown()
        assert (first.active, second.active) == (True, False)
        assert (first.facts.sent, first.facts.frames, second.facts.sent) == (1, 1, 0)
        assert first.facts.answer_ms is not None
        assert first.facts.connect_ms is not None

    play(story)


def test_a_dead_route_is_left_after_its_failures_and_what_was_in_flight_is_lost() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        assert lines.routes.send("t#1", b"sale", later())
        lines.hosts[0].close()
        assert "reset" in str(await lines.heard.expect("down"))
        change = await lines.changed()
        assert (change.left, change.to, change.back) == ("r0", "r1", False)
        assert "refused" in change.why
        await lines.heard.expect("up")
        frames = await lines.frames(1)
        assert lines.routes.send("t#2", b"reversal", later())
        assert await frames.next() == b"reversal"
        assert lines.health(0) is Health.FAILED

    play(story)


def test_it_goes_back_only_at_rest_and_the_lanes_do_not_notice() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        lines.hosts[0].close()
        await lines.heard.expect("down")
        await lines.changed()
        await lines.heard.expect("up")
        frames = await lines.frames(1)
        assert lines.routes.send("t#1", b"sale", later())
        assert await frames.next() == b"sale"
        await lines.hosts[0].open(lines.ports[0])
        await lines.until(lambda: lines.health(0) is Health.UP)
        assert lines.routes.active == "r1", "an exchange is in flight"
        lines.far(1).send(with_length(b"answer"))
        assert await lines.heard.expect("frame") == b"answer"
        assert lines.routes.active == "r1", "its lane has not done with it"
        lines.routes.withdraw("t#1")
        assert lines.routes.active == "r0"
        assert lines.routes.send("t#2", b"next", later()), "in the same step"
        assert await (await lines.frames(0)).next() == b"next"
        change = await lines.changed()
        assert (change.left, change.to, change.back) == ("r1", "r0", True)
        assert lines.heard.queue.empty()

    play(story)


def test_a_late_answer_by_the_old_route_is_delivered() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        frames, old = await lines.frames(0), lines.far(0)
        assert lines.routes.send("t#1", b"sale", later())
        assert await frames.next() == b"sale"
        await asyncio.sleep(SILENCE_S * 1.1)
        lines.routes.withdraw("t#1")
        assert "said nothing" in str(await lines.heard.expect("down"))
        assert (await lines.changed()).to == "r1"
        await lines.heard.expect("up")
        assert not old.ended, "it is still listened to"
        old.send(with_length(b"late"))
        assert await lines.heard.expect("frame") == b"late"
        await lines.until(lambda: old.ended)
        await lines.until(lambda: lines.health(0) is Health.PROVING)

    play(story)


def test_d2_what_may_still_be_on_its_way_never_arrives_after_its_reversal() -> None:
    """The peer reads nothing, so its machine has not taken it all: such a connection is reset, not kept."""

    async def story(lines: Lines) -> None:
        await lines.settled()
        old = lines.far(0)
        sent = 0
        while lines.routes.send(f"t#{sent}", b"x" * 60_000, later()) and sent < 500:
            sent += 1
        await asyncio.sleep(SILENCE_S * 1.1)
        failed_s = time.monotonic()
        lines.routes.withdraw("t#0")
        kinds: list[str] = []
        while not kinds or kinds[-1] != "up":
            kinds.append((await lines.heard.next())[0])
        assert [kind for kind in kinds if kind != "withdrawn"] == ["down", "route", "up"]
        assert lines.routes.active == "r1"
        assert time.monotonic() - failed_s >= PAUSE_S, "what left the socket had time to arrive"
        got = 0
        while data := await old.receive():
            got += len(data)
        assert got < sent * 60_002, "some of it never left"
        assert "reset" in old.ending

    play(story)


def test_a_flapping_line_is_left_once() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        changes: list[object] = []

        async def listen() -> None:
            while True:
                kind, what = await lines.heard.next()
                if kind == "route":
                    changes.append(what)

        listening = asyncio.create_task(listen())
        for _ in range(25):
            await asyncio.sleep(0.03)
            lines.far(0).abort()
        listening.cancel()
        assert [change.to for change in changes if isinstance(change, RouteChange)] == ["r1"]
        assert lines.routes.active == "r1"

    play(story)


def test_all_down_is_told_once_and_with_every_reason() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        for host in lines.hosts:
            host.close()
        await lines.heard.expect("down")
        while (told := await lines.heard.next())[0] != "route":
            assert told[0] == "down"
        assert isinstance(told[1], RouteChange)
        assert (told[1].left, told[1].to) == ("r0", "")
        assert "r0: " in told[1].why
        assert "r1: " in told[1].why
        assert not lines.routes.send("t#1", b"sale", later())
        assert not lines.routes.up
        await asyncio.sleep(0.2)
        more = [lines.heard.queue.get_nowait() for _ in range(lines.heard.queue.qsize())]
        assert [kind for kind, _ in more if kind == "route"] == []
        await lines.hosts[1].open(lines.ports[1])
        while (told := await lines.heard.next())[0] == "down":
            pass
        assert isinstance(told[1], RouteChange)
        assert told[1].to == "r1"
        await lines.heard.expect("up")

    play(story)


def test_one_silent_route_is_made_anew_at_once() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        assert lines.routes.send("t#1", b"sale", later())
        await asyncio.sleep(SILENCE_S * 1.1)
        lines.routes.withdraw("t#1")
        assert "said nothing" in str(await lines.heard.expect("down"))
        await lines.heard.expect("up")
        assert len(lines.hosts[0].all) == 2
        assert lines.heard.queue.empty(), "with one route nobody is told of routes"

    play(story, count=1)


def test_an_answer_to_another_terminal_is_no_silence() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        assert lines.routes.send("a#1", b"lost", later())
        await asyncio.sleep(SILENCE_S * 0.7)
        assert lines.routes.send("b#1", b"other", later())
        lines.far(0).send(with_length(b"answer to b"))
        await lines.heard.expect("frame")
        await asyncio.sleep(SILENCE_S * 0.7)
        lines.routes.withdraw("a#1")
        await asyncio.sleep(0.02)
        assert lines.heard.queue.empty()
        assert lines.routes.active == "r0"

    play(story)


def test_a_flood_ends_the_connection_that_brought_it() -> None:
    class Flooded(HeardRoutes):
        routes: Routes

        def frame(self, frame: bytes) -> None:
            super().frame(frame)
            if frame == b"flood":
                self.routes.abort("the host floods")

    async def run() -> None:
        heard, fars = Flooded(), list[MemoryChannel]()

        async def connect() -> ConfirmingChannel:
            near, far = memory_pair()
            fars.append(far)
            return near

        routes = heard.routes = routes_over([way("r0", connect), way("r1", connect)], heard)
        async with asyncio.timeout(LIMIT_S):
            routes.start()
            await heard.expect("up")
            await asyncio.sleep(0.02)
            fars[1].send(with_length(b"flood"))
            await heard.expect("frame")
            await asyncio.sleep(0.02)
            assert not fars[0].ended
            assert fars[1].ended
            assert routes.active == "r0"
            await routes.stop()

    asyncio.run(run())


def test_a_pause_that_is_over_before_its_timer_has_rung_is_no_bug() -> None:
    """A lane may let its message go in that very moment; the next route is taken a moment later."""
    skipped_s = 0.0

    def now() -> Now:
        return Now(0, time.monotonic() + skipped_s)

    async def run() -> None:
        nonlocal skipped_s
        heard = HeardRoutes()

        async def connect() -> ConfirmingChannel:
            return memory_pair(capacity_bytes=10)[0]  # whatever is longer stays on its way

        ways = [way("r0", connect), way("r1", connect)]
        routes = Routes(ways, heard, Limits(2, GOOD_FOR_S), SILENCE_S, 0.5, PAUSE_S, now)
        async with asyncio.timeout(LIMIT_S):
            routes.start()
            await heard.expect("up")
            assert routes.send("t#1", b"sale", later())
            assert routes.send("t#2", b"x" * 100, later())
            skipped_s += 2 * SILENCE_S
            routes.withdraw("t#1")
            assert "said nothing" in str(await heard.expect("down"))
            assert routes.active is None
            skipped_s += PAUSE_S
            assert routes.withdraw("t#2") is False
            while not routes.up:
                await asyncio.sleep(0.005)
            await routes.stop()

    asyncio.run(run())


def test_stopping_takes_no_other_route() -> None:
    async def story(lines: Lines) -> None:
        await lines.settled()
        await lines.routes.stop()
        await lines.heard.expect("down")
        assert lines.heard.queue.empty()
        assert not lines.routes.up

    play(story)
