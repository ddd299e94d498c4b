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
