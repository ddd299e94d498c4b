"""Two routes, one host, real cuts: where a reversal goes, what is found again, and that the books agree afterwards."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from posd.core.payload import load_record
from posd.core.station import RouteChanged
from posd.daemon.links.route_choice import Health
from tests.daemon.stage import SECOND, TID, Stage, free_port, play

MakeStage = Callable[..., Stage]
QUICK = {"host": {"reply_timeout_s": 3, "failover": {"good_for_s": 0.4}}}


def moved(stage: Stage) -> list[tuple[str, str, bool]]:
    """The station's records of another route: left, to, back."""
    rows = [load_record(row.kind, row.version, row.payload) for row in stage.rig.records("route_changed")]
    return [(row.left, row.to, row.back) for row in rows if isinstance(row, RouteChanged)]


def by_port(stage: Stage, mti: str, tid: str = TID) -> list[int]:
    """By which of the host's ports each message came: 0, 1 …"""
    return [stage.host.ports.index(said["port"]) for said in stage.received(mti, tid)]


def active(stage: Stage) -> str | None:
    return next((one.name for one in stage.daemon.routes if one.active), None)


async def both_up(stage: Stage) -> None:
    await stage.until(lambda: [one.health for one in stage.daemon.routes] == [Health.UP, Health.UP])


def test_a_sale_in_flight_on_a_cut_line_is_reversed_by_the_other_once(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await both_up(stage)
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        selling = asyncio.create_task(stage.sale("6.66"))
        await stage.until(lambda: len(stage.received("0200")) == 2)
        stage.host.cut(stage.host.ports[0])
        assert (await selling)["code"] == "98"
        await stage.until(lambda: stage.rig.records("reversal_acknowledged"))
        assert by_port(stage, "0200") == [0, 0]
        assert by_port(stage, "0400") == [1]
        assert moved(stage) == [("r0", "r1", False)]
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        assert by_port(stage, "0200") == [0, 0, 1]
        assert len(stage.received("0800")) == 1, "the keys are the host's, not the line's"
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "6.66", "do": "lose_answer"},)
    play(staged(routes=2, faults=faults, change=QUICK), story)


def test_d2_a_sale_whose_line_is_lost_while_it_is_written_is_not_sent(staged: MakeStage) -> None:
    """The other line is up before its rows are durable: it was decided for the first one, and nothing has left."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await both_up(stage)
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        stage.rig.slow_s = 0.3
        writes = stage.rig.writes
        selling = asyncio.create_task(stage.sale("2.00"))
        await stage.until(lambda: stage.rig.writes > writes)
        stage.host.cut(stage.host.ports[0])
        assert (await selling)["code"] == "91"
        stage.rig.slow_s = 0.0
        await stage.until(lambda: active(stage) == "r1")
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        assert not stage.received("0400")
        assert len(stage.received("0200")) == 2
        await stage.end()
        assert stage.differences() == []

    change = {"host": {"reply_timeout_s": 3, "failover": {"good_for_s": 0.4, "connect_failures": 1}}}
    play(staged(routes=2, change=change), story)


def test_it_comes_back_at_rest_and_stays_when_mended(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await both_up(stage)
        stage.host.cut(stage.host.ports[0])
        await stage.until(lambda: active(stage) == "r1")
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.host.mend(stage.host.ports[0])
        slow = asyncio.create_task(stage.sale("3.33", SECOND))
        await stage.until(lambda: stage.daemon.routes[0].health is Health.UP)
        assert active(stage) == "r1", "a sale is in flight"
        assert (await slow)["outcome"] == "approved"
        await stage.until(lambda: active(stage) == "r0")
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        assert by_port(stage, "0200") == [1, 0]
        assert by_port(stage, "0200", SECOND) == [1]
        assert moved(stage) == [("r0", "r1", False), ("r1", "r0", True)]
        assert stage.rig.records("outcome_unknown") == []
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "3.33", "do": "delay", "ms": 1200},)
    change = {"host": {"reply_timeout_s": 3, "failover": {"good_for_s": 0.4}}}
    play(staged(routes=2, tids=(TID, SECOND), faults=faults, change=change), story)


def test_the_schedule_does_not_notice_a_dead_first_line(staged: MakeStage) -> None:
    """A start with the wired line out: signed in, sold and settled by the other."""

    async def story(stage: Stage) -> None:
        stage.host.cut(stage.host.ports[0])
        await stage.start()
        assert moved(stage) == [("r0", "r1", False)]
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert set(by_port(stage, "0200") + by_port(stage, "0800")) == {1}
        await stage.end()
        assert stage.differences() == []

    play(staged(routes=2, change=QUICK), story)


def test_a_host_that_accepts_and_is_silent_is_left(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        deaf_port = free_port()

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while await reader.read(4096):
                    pass

        server = await asyncio.start_server(deaf, "127.0.0.1", deaf_port)
        stage.settings["host"]["routes"].insert(0, {"name": "deaf", "address": f"127.0.0.1:{deaf_port}"})
        await stage.start()
        assert moved(stage) == [("deaf", "r0", False)]
        for amount in ("1.00", "2.00", "3.00"):
            assert (await stage.sale(amount))["outcome"] == "approved"
        assert stage.daemon.routes[0].facts.silences == 1
        await stage.end()
        server.close()
        assert stage.differences() == []

    change = {"host": {"reply_timeout_s": 0.3, "failover": {"good_for_s": 30}}}
    play(staged(routes=2, change=change), story)


def test_both_down_owes_and_the_first_to_come_delivers(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await both_up(stage)
        selling = asyncio.create_task(stage.sale("6.66"))
        await stage.until(lambda: len(stage.received("0200")) == 1)
        for port in stage.host.ports:
            stage.host.cut(port)
        assert (await selling)["code"] == "98"
        await stage.until(lambda: "all_routes_down" in stage.events())
        assert (await stage.sale("1.00"))["code"] == "91", "not sent"
        assert stage.state().unended_reversals()
        await stage.host.mend(stage.host.ports[1])
        await stage.until(lambda: not stage.state().unended_reversals())
        assert by_port(stage, "0400") == [1]
        assert [(left, to) for left, to, _ in moved(stage)] == [("r0", ""), ("r0", "r1")]
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "6.66", "do": "lose_answer"},)
    play(staged(routes=2, faults=faults, change=QUICK), story)


@pytest.mark.parametrize("mode", ["persistent", "one_shot"])
def test_d11_a_late_approval_by_the_line_that_was_left_is_journalled(staged: MakeStage, mode: str) -> None:
    """The host is slow on the first line, longer than the limits: its answers still come there, and are kept."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await both_up(stage)
        assert (await stage.sale("6.66"))["code"] == "98"
        await stage.until(lambda: active(stage) == "r1")
        await stage.until(lambda: stage.rig.records("late_answer"))
        await stage.until(lambda: not stage.state().unended_reversals())
        assert by_port(stage, "0400")[0] == 1
        (left,) = [said for said in stage.alerts("route_failed_over") if said["left"] == "r0"]
        assert left["why"] == "the host has said nothing for 2 s"
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    faults: tuple[dict[str, Any], ...] = (
        {"mti": "0200", "amount": "6.66", "do": "delay", "ms": 3000},
        {"mti": "0400", "do": "lose_answer", "times": 1},
    )
    failover = {"silent_limits": 1, "good_for_s": 30}
    change = {"host": {"mode": mode, "reply_timeout_s": 2, "failover": failover}}
    play(staged(routes=2, faults=faults, change=change), story)


@pytest.mark.parametrize("cuts", [1, 2])
def test_one_shot_routes_fail_over_too(staged: MakeStage, cuts: int) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        for _ in range(cuts):
            stage.host.cut(stage.host.ports[0])
            while (await stage.sale("2.00"))["outcome"] != "approved":
                pass
            await stage.until(lambda: active(stage) == "r1")
            await stage.host.mend(stage.host.ports[0])
            await stage.until(lambda: active(stage) == "r0", 20)
        assert by_port(stage, "0200")[0] == 0
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        assert by_port(stage, "0200")[-1] == 0
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.end()
        assert stage.differences() == []

    change = {
        "host": {"mode": "one_shot", "reply_timeout_s": 1, "failover": {"good_for_s": 0.2, "connect_failures": 1}}
    }
    play(staged(routes=2, change=change), story)
