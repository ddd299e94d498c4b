"""A shop on serial lines, real processes and real ptys: a terminal on a line, a host behind a line, bad days."""

import asyncio
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posd.addresses import SerialAddress
from posd.transport.serial import open_serial
from simulators.serial_line.__main__ import gateway
from simulators.serial_line.where import SerialAt
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.daemon.stage import MID, TMK, free_port
from tests.system.house import CANARY, EXPIRY, ROOT, House
from tests.transport.cable import Cable

pytestmark = pytest.mark.system
Build = Callable[..., House]
QUICK = "ack_timeout_s=0.4&inter_byte_s=0.15&retries=3"
LIMIT_S = 120
ACK, STX = b"\x06", 0x02


def by_line(device: str) -> str:
    return f"serial://{device}?baud=115200&framing=stx&{QUICK}"


def at(device: str) -> SerialAt:
    return SerialAt(device, ack_timeout_s=0.4, inter_byte_s=0.15)


def terminal_on(cable: Cable, house: House) -> TerminalClient:
    terminal = Terminal(house.tids[0], MID, bytes.fromhex(TMK))
    return TerminalClient(terminal, "", 0, timeout_s=4.0, serial=at(cable.far))


def sale(amount: str) -> dict[str, Any]:
    return {"do": "sale", "amount": amount, "card": CANARY, "expiry": EXPIRY}


def play(house: House, cable: Cable, story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            cable.plug()
            house.start()
            await house.ready()
            await story()
            await house.agreed()
            assert await house.terminated() == 0
        finally:
            cable.unplug()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    assert house.differences() == []
    assert house.chain_findings() == []
    assert house.canary_in() == []
    assert "Traceback" not in house.errors()


def kinds(house: House) -> list[str]:
    return [row.kind for row in house.records()]


def lose_the_first_ack(cable: Cable, way: str) -> None:
    """Whichever ACK passes next in that direction is lost."""

    def change(data: bytes) -> bytes:
        if ACK in data and data[0] != STX:
            setattr(cable, way, lambda data: data)
            return data.replace(ACK, b"", 1)
        if data[-1:] == ACK or data[:1] == ACK:
            raise AssertionError("an ACK stuck to a frame: the test would lose more than it means to")
        return data

    setattr(cable, way, change)


def test_a_sale_a_lost_ack_and_a_reversal_by_line(built: Build, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    lost_answer = {"mti": "0200", "amount": "6.66", "do": "lose_answer"}
    house = built(faults=(lost_answer,), change={"door": {"listen": by_line(cable.near)}})

    async def story() -> None:
        client = terminal_on(cable, house)
        assert (await client.do({"do": "sign_in"}))["outcome"] == "approved"
        assert (await client.do(sale("12.34")))["outcome"] == "approved"
        lose_the_first_ack(cable, "to_far")  # posd's: the terminal says its sale again
        assert (await client.do(sale("1.00")))["outcome"] == "approved"
        lose_the_first_ack(cable, "to_near")  # the terminal's: posd says its answer again
        assert (await client.do(sale("2.00")))["outcome"] == "approved"
        await asyncio.sleep(0.6)
        assert (await client.do(sale("6.66")))["outcome"] == "declined", "the host's answer is lost: failed, reversed"
        taken = await client.do(sale("3.00"))
        assert taken["outcome"] == "approved"
        assert (await client.do({"do": "reverse", "stan": taken["stan"]}))["code"] == "00"
        await client.close()

    play(house, cable, story)
    assert kinds(house).count("authorisation_started") == 5, "what was said again is one sale"
    assert kinds(house).count("approved") == 4
    assert kinds(house).count("reversal_acknowledged") == 2
    assert {"a repeated frame was acknowledged again and not delivered again", "a frame of ours was sent again"} <= {
        line.get("what") for line in house.log() if line["event"] == "line_trouble"
    }


def test_a_sale_outlives_noise_and_an_adapter_that_is_pulled_out(built: Build, tmp_path: Path) -> None:
    """The terminal gets no answer, takes its sale back when the adapter is in again, and nobody is charged."""
    cable = Cable(tmp_path)
    slow = {"mti": "0200", "amount": "7.77", "do": "delay", "ms": 300}
    house = built(faults=(slow,), change={"door": {"listen": by_line(cable.near)}})

    async def story() -> None:
        client = terminal_on(cable, house)
        cable.say("near", b"\0\0\xff\x02\x77")
        assert (await client.do({"do": "sign_in"}))["outcome"] == "approved"
        asked = asyncio.create_task(client.do(sale("7.77")))
        while "authorisation_started" not in kinds(house):
            await asyncio.sleep(0.01)
        cable.unplug()
        cut = await asked
        assert cut["outcome"] == "line_cut"
        while "approved" not in kinds(house):
            await asyncio.sleep(0.01)
        cable.plug()
        taken_back: dict[str, Any] = {}
        while taken_back.get("code") != "00":
            taken_back = await client.do({"do": "reverse", "stan": cut["stan"]})
        assert (await client.do(sale("1.00")))["outcome"] == "approved"
        await client.close()

    play(house, cable, story)
    assert kinds(house).count("reversal_acknowledged") == 1
    events = [line["event"] for line in house.log() if line["event"].startswith("door_line")]
    assert [name for name, _ in itertools.groupby(events)][:3] == ["door_line_up", "door_line_down", "door_line_up"]


def test_a_killed_posd_has_its_port_again_and_reverses(built: Build, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    slow = {"mti": "0200", "amount": "7.77", "do": "delay", "ms": 500}
    house = built(faults=(slow,), change={"door": {"listen": by_line(cable.near)}})

    async def story() -> None:
        client = terminal_on(cable, house)
        assert (await client.do({"do": "sign_in"}))["outcome"] == "approved"
        asked = asyncio.create_task(client.do({**sale("7.77"), "timeout_s": 1.5}))
        while "authorisation_started" not in kinds(house):
            await asyncio.sleep(0.01)
        house.kill()
        assert (await asked)["outcome"] == "no_answer"
        house.start()
        await house.ready()
        assert (await client.do({"do": "reverse", "stan": asked.result()["stan"]}))["code"] == "00"
        assert (await client.do(sale("1.00")))["outcome"] == "approved"
        await client.close()

    play(house, cable, story)
    assert kinds(house).count("reversal_owed") == 1
    assert kinds(house).count("reversal_acknowledged") == 1


def test_a_host_behind_a_line_that_loses_frames(built: Build, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    house = built(change={"host": {"address": by_line(cable.near), "reply_timeout_s": 3}})
    passed = 0

    def every_seventh(data: bytes) -> bytes:
        nonlocal passed
        passed += 1
        return data if passed % 7 else data[:-1] + b"\0"

    async def story() -> None:
        modem = asyncio.create_task(gateway(at(cable.far), "127.0.0.1", house.host_port))
        cable.to_near = cable.to_far = every_seventh
        client = TerminalClient(Terminal(house.tids[0], MID, bytes.fromhex(TMK)), "127.0.0.1", house.door_port, 8.0)
        outcomes = [(await client.do(sale(f"{n}.00")))["outcome"] for n in range(1, 9)]
        assert outcomes.count("approved") >= 6, outcomes
        cable.to_near = cable.to_far = lambda data: data
        await house.agreed()
        await client.close()
        modem.cancel()

    play(house, cable, story)


def test_a_host_line_that_is_pulled_out_reverses_what_was_on_it(built: Build, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    slow = {"mti": "0200", "amount": "7.77", "do": "delay", "ms": 500}
    change = {"host": {"address": by_line(cable.near), "reply_timeout_s": 5}, "door": {"terminal_timeout_s": 20}}
    house = built(faults=(slow,), change=change)

    async def story() -> None:
        modem = asyncio.create_task(gateway(at(cable.far), "127.0.0.1", house.host_port))
        client = TerminalClient(Terminal(house.tids[0], MID, bytes.fromhex(TMK)), "127.0.0.1", house.door_port, 8.0)
        assert (await client.do(sale("1.00")))["outcome"] == "approved"
        asked = asyncio.create_task(client.do(sale("7.77")))
        while kinds(house).count("authorisation_started") < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        cable.unplug()
        assert (await asked)["outcome"] == "declined"
        await modem
        cable.plug()
        modem = asyncio.create_task(gateway(at(cable.far), "127.0.0.1", house.host_port))
        while "reversal_acknowledged" not in kinds(house):
            await asyncio.sleep(0.02)
        assert (await client.do(sale("2.00")))["outcome"] == "approved"
        await client.close()
        await house.agreed()
        modem.cancel()

    play(house, cable, story)
    assert kinds(house).count("reversal_owed") == 1


def test_a_port_that_is_held_is_status_2_and_one_line(built: Build, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    house = built(change={"door": {"listen": [f"127.0.0.1:{free_port()}", by_line(cable.near)]}})

    async def story() -> tuple[int, str]:
        cable.plug()
        holder = open_serial(SerialAddress(cable.near))
        try:
            return await asyncio.get_running_loop().run_in_executor(None, house.refused)
        finally:
            holder.abort()
            cable.unplug()

    status, errors = asyncio.run(asyncio.wait_for(story(), LIMIT_S))
    assert status == 2
    assert errors.startswith(f"posd: door.listen: cannot open {cable.near}: another program holds it; stop the program")
    assert errors.count("\n") == 1


@pytest.mark.skipif(shutil.which("socat") is None, reason="no socat here")
def test_the_commands_of_the_readme(built: Build, tmp_path: Path) -> None:
    """Two ptys by socat, the terminal as a process of its own."""
    ends = {name: tmp_path / name for name in ("posd-end", "terminal-end")}
    house = built(change={"door": {"listen": f"serial://{ends['posd-end']}"}})
    step = json.dumps({"do": "sale", "amount": "12.34", "card": CANARY, "expiry": EXPIRY})
    terminal = [sys.executable, "-m", "simulators.terminal", "--connect", f"serial://{ends['terminal-end']}"]
    who = ["--tid", house.tids[0], "--mid", MID]

    async def story() -> None:
        house.start()
        await house.ready()
        process = await asyncio.create_subprocess_exec(
            *terminal, *who, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        said, _ = await process.communicate(f"{step}\n".encode())
        assert json.loads(said)["outcome"] == "approved"
        assert process.returncode == 0
        await house.agreed()
        assert await house.terminated() == 0

    with subprocess.Popen(["socat", *(f"pty,raw,echo=0,link={end}" for end in ends.values())]) as cable:
        try:
            asyncio.run(asyncio.wait_for(story(), LIMIT_S))
        finally:
            cable.terminate()
