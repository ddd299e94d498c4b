"""Downloads and status before the simulated host: asked for by header digit 6, or by the terminal itself."""

import asyncio
from collections.abc import Callable
from typing import Any

from posd.daemon.control.server import call
from tests.daemon.stage import TID, Stage, play

MakeStage = Callable[..., Stage]
PARAMETERS = {"timeout_s": 1, "resend_times": 1, "offline_max": 2, "merchant_name": "小店"}


def conformance(stage: Stage) -> list[str]:
    found: list[str] = stage.acquirer.dump()["terminals"][0]["conformance"]
    return found


async def shown(stage: Stage) -> dict[str, Any]:
    said = await asyncio.to_thread(call, stage.folder / "control.sock", "status", {"tid": TID})
    view: dict[str, Any] = said["terminals"][0]
    return view


def test_parameters_that_the_host_wants_loaded_are_recorded_and_shown(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.until(lambda: stage.state().parameters)
        view = await shown(stage)
        assert view["parameters"]["merchant_name"] == "小店"
        assert view["parameters"]["offline_max"] == "02"
        assert (await stage.sale("2.00"))["outcome"] == "approved"
        assert len(stage.received("0800")) == 2, "a sign-in and one download, however often it asks"
        assert conformance(stage) == []
        await stage.end()
        assert stage.differences() == []

    asks = {"mti": "0200", "do": "header_digit", "digit": 1}
    play(staged(faults=(asks,), parameters=PARAMETERS), story)


def test_a_status_that_the_host_wants_comes_up(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.until(lambda: not stage.state().wanted and stage.received("0820"))
        await stage.until(lambda: stage.state().exchange is None)
        told = stage.acquirer.dump()["terminals"][0]["status"]
        assert (told["23"], told["27"]) == ("3", "10")
        assert conformance(stage) == []
        await stage.end()

    play(staged(faults=({"mti": "0200", "do": "header_digit", "digit": 2},)), story)


def test_a_terminals_own_downloads_reach_the_host_and_come_back(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        terminal = stage.terminal()
        assert (await terminal.do({"do": "sign_in"}))["outcome"] == "approved"
        down = await terminal.do({"do": "parameters"})
        assert down["outcome"] == "approved"
        assert bytes.fromhex(str(down["block"])).startswith(b"1201")
        assert stage.state().parameters == {}, "what a terminal asks for is its own"
        assert (await terminal.do({"do": "ca_keys"}))["block"] == b"0".hex()
        assert (await terminal.do({"do": "ca_end"}))["outcome"] == "approved"
        assert (await terminal.do({"do": "status", "hex": b"1245".hex()}))["outcome"] == "approved"
        assert stage.acquirer.dump()["terminals"][0]["status"] == {"12": "45"}
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert conformance(stage) == []
        await stage.end()
        assert stage.differences() == []

    play(staged(parameters=PARAMETERS), story)


UNREADABLE = {
    "mti": "0800",
    "code60": "360",
    "do": "replace_fields",
    "fields": {"62": b"99xx".hex().upper()},
    "times": 1,
}


async def download(stage: Stage) -> dict[str, Any]:
    return await asyncio.to_thread(call, stage.folder / "control.sock", "terminal.download", {"tid": TID})


def test_a_block_that_cannot_be_read_is_alerted_shown_and_asked_again(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        await stage.until(lambda: stage.state().download_failed)
        (alert,) = stage.alerts("download_failed")
        assert "field 62" in alert["because"]
        view = await shown(stage)
        assert (view["parameters"], view["download_failed"]["times"]) == ({}, 1)
        assert view["download_failed"]["next_try_at"] is not None
        said = await download(stage)  # a person need not wait for the next try
        assert (said["outcome"], said["parameters"]["merchant_name"]) == ("done", "小店")
        view = await shown(stage)
        assert (view["download_failed"], view["parameters"]["offline_max"]) == (None, "02")
        assert conformance(stage) == []

    asks = {"mti": "0200", "do": "header_digit", "digit": 1}
    play(staged(faults=(asks, UNREADABLE), parameters=PARAMETERS), story)


def test_a_person_asks_for_the_parameters(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        said = await download(stage)
        assert (said["good"], said["outcome"], said["parameters"]["resend_times"]) == (True, "done", "1")
        (row,) = stage.rig.records("download_wanted")
        assert '"by":' in row.payload
        stage.hang_up()
        stage.cut()
        await stage.until(lambda: not stage.daemon.link_up)
        waits = await download(stage)
        assert (waits["good"], waits["outcome"]) == (False, "waits")
        assert "the line to the host is down" in waits["text"]

    play(staged(parameters=PARAMETERS), story)


def test_a_host_that_does_not_answer_a_download_is_told_of(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        said = await download(stage)
        assert (said["good"], said["outcome"], said["failed"]["times"]) == (False, "failed", 1)
        assert "posd asks again" in said["text"]

    play(staged(faults=({"mti": "0800", "code60": "360", "do": "lose_answer"},)), story)
