"""The world's connections keep what TCP promises, and its loop what asyncio does, or its verdicts are worth nothing."""

import asyncio
from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any

import pytest

from posd.framing.length_prefix import with_length
from simulators.world.faults import Faults, aside
from simulators.world.loop import StageLoop
from simulators.world.stage import Stage
from simulators.world.wire import GIVES_UP_S, LATENCY_S, RETRANSMITTED_S, Road, Wire

HOUR_MS = 3_600_000
SENT = [b"first", b"second", b"third"]


class Place:
    """A stage with a loop and one road; `arrived`: what came to the host's machine, and when."""

    def __init__(self, faults: Faults) -> None:
        self.stage = Stage(1, faults, 0)
        self.loop = StageLoop(self.stage)
        self.loop.begin()
        self.arrived: list[tuple[int, bytes]] = []
        self.road = Road(self.stage, "kept0", faults, lambda frame, _: self.arrived.append((self.stage.now_ms, frame)))

    def live(self, work: Coroutine[Any, Any, Any], until_ms: int = HOUR_MS) -> None:
        self.loop.create_task(work)
        self.stage.run_until(self.stage.now_ms + until_ms)

    def wire(self) -> Wire:
        self.live(self.road.connect(), 1_000)
        return self.road.wires[-1]


@pytest.fixture
def end() -> Iterator[None]:
    yield
    asyncio.events._set_running_loop(None)


pytestmark = pytest.mark.usefixtures("end")


def test_bytes_arrive_in_order_also_when_some_are_sent_again() -> None:
    place = Place(Faults(delay=0.5))
    wire = place.wire()
    for frame in SENT:
        wire.send(with_length(frame))
    assert not wire.delivered
    place.stage.run_until(HOUR_MS)
    assert [frame for _, frame in place.arrived] == SENT
    assert wire.delivered


def test_what_is_sent_again_stops_when_the_connection_is_aborted() -> None:
    place = Place(Faults(delay=1.0))
    wire = place.wire()
    wire.send(with_length(b"late"))
    place.stage.run_until(place.stage.now_ms + round(LATENCY_S[1] * 1000) + 1)
    assert not wire.delivered
    wire.abort()
    place.stage.run_until(place.stage.now_ms + round(RETRANSMITTED_S[1] * 1000))
    assert place.arrived == []


def test_what_is_on_its_way_arrives_after_the_abort() -> None:
    place = Place(Faults())
    wire = place.wire()
    wire.send(with_length(b"gone"))
    wire.abort()
    place.stage.run_until(HOUR_MS)
    assert [frame for _, frame in place.arrived] == [b"gone"]


def test_what_the_kernel_has_not_taken_never_arrives_after_the_abort() -> None:
    place = Place(Faults(stall=1.0))
    wire = place.wire()
    wire.send(with_length(b"stalled"))
    assert wire.unsent_bytes == len(with_length(b"stalled"))
    wire.abort()
    place.stage.run_until(HOUR_MS)
    assert place.arrived == []


def test_on_one_road_nothing_overtakes_what_left_before() -> None:
    place = Place(Faults())
    first, second = place.wire(), place.wire()
    first.send(with_length(b"request"))
    first.abort()
    second.send(with_length(b"reversal"))
    place.stage.run_until(HOUR_MS)
    assert [frame for _, frame in place.arrived] == [b"request", b"reversal"]


def test_a_kernel_gives_up_what_is_never_confirmed() -> None:
    place = Place(Faults(lose=1.0))
    wire = place.wire()
    wire.send(with_length(b"lost"))
    place.stage.run_until(place.stage.now_ms + round(GIVES_UP_S[1] * 1000))
    assert (wire.ended, wire.ending, place.arrived) == (True, "timed out", [])


def test_a_road_that_leads_nowhere_refuses_connections() -> None:
    place = Place(Faults())
    place.road.reachable = False
    refused: list[str] = []

    async def try_it() -> None:
        try:
            await place.road.connect()
        except OSError as error:
            refused.append(type(error).__name__)

    for _ in range(10):
        place.live(try_it())
    assert set(refused) == {"ConnectionRefusedError", "TimeoutError"}


def test_sleeping_takes_the_time_of_the_stage_and_never_less() -> None:
    place = Place(Faults())
    woke: list[int] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append(place.stage.now_ms)

    for seconds in (2.0, 0.5, 1e-9, 0.0):
        place.loop.create_task(sleep(seconds))
    place.stage.run_until(HOUR_MS)
    assert woke == [0, 1, 500, 2_000]


def test_when_the_process_ends_what_waits_is_unwound_and_nothing_rings() -> None:
    place = Place(Faults())
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(1.0)
            seen.append("woke")
        finally:
            seen.append("unwound")

    place.live(wait(), 10)
    place.loop.end()
    place.stage.run_until(HOUR_MS)
    assert seen == ["unwound"]


def test_a_task_that_fails_is_a_violation() -> None:
    place = Place(Faults())
    place.loop.call_soon(lambda: [].pop())
    place.stage.run_until(HOUR_MS)
    assert "IndexError" in place.stage.violations[0]


def test_what_is_drawn_aside_moves_no_other_draw() -> None:
    random = Random("a seed")
    tills, roads = aside(random, "tills"), aside(random, "roads")
    assert tills.random() != roads.random()
    assert random.random() == Random("a seed").random()
