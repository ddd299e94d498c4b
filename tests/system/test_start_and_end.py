"""How posd starts, refuses to start, and ends: one line and a status, and systemd is told (real processes)."""

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.stage import merged, write_configuration
from tests.system.house import CANARY, EXPIRY, House, Shopper

pytestmark = pytest.mark.system
Build = Callable[..., House]
SALE: dict[str, Any] = {"do": "sale", "amount": "1.00", "card": CANARY, "expiry": EXPIRY}

HEAVY = frozenset({"typer", "rich", "click", "pygments", "simulators"})


def rewritten(house: House, **change: Any) -> None:
    house.settings.update(change)
    house.config = write_configuration(house.folder, house.settings)


def one_line(status: int, said: str, wanted_status: int, *words: str) -> None:
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said
    assert status == wanted_status, said
    for word in words:
        assert word in said, said


def test_ready_status_watchdog_and_an_orderly_end(built: Build, capsys: pytest.CaptureFixture[str]) -> None:
    house = built()
    shopper = Shopper(house, house.tids[0], 1)

    async def story() -> None:
        house.start()
        await house.ready()
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        async with asyncio.timeout(10):
            while not {"WATCHDOG=1", "STATUS=line up, 1 of 1 terminals signed in, 0 reversals owed"} <= set(
                house.notices
            ):
                house._listen()
                await asyncio.sleep(0.02)
        with capsys.disabled():
            print(
                f"\n  resident {house.memory_kib() // 1024} MiB after a sale, peak {house.memory_kib('VmHWM') // 1024}"
            )
        assert await house.terminated() == 0
        assert "STOPPING=1" in house.notices

    asyncio.run(asyncio.wait_for(story(), 120))
    assert house.errors() == ""
    assert [line["event"] for line in house.log()][-2:] == ["stopping", "stopped"]
    assert house.differences() == []
    assert not (house.folder / "control.sock").exists()


def test_d38_the_daemon_loads_nothing_of_the_command_line(built: Build) -> None:
    """D38: neither typer nor rich, nor what they bring."""
    house = built()

    async def story() -> None:
        house.start(python=("-X", "importtime"))
        await house.ready()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    imported = set(re.findall(r"\| +([A-Za-z0-9_.]+)$", house.errors(), re.MULTILINE))
    assert "posd.daemon.daemon" in imported
    # a package that is only looked for (structlog does) shows by its name, one that is loaded by its parts too
    heavy = {name for name in imported if name.split(".")[0] in HEAVY and "." in name}
    assert heavy == set()


def test_a_second_posd_is_refused_with_the_pid_of_the_first(built: Build) -> None:
    house = built()
    shopper = Shopper(house, house.tids[0], 1)

    async def story() -> None:
        house.start()
        await house.ready()
        assert house.posd is not None
        one_line(*house.refused(), 2, "another posd", f"pid {house.posd.pid}")
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))


def test_what_cannot_be_used_is_one_line_each_with_status_2(built: Build) -> None:
    house = built()
    key, tmk = house.folder / "machine.key", house.folder / "10000001.tmk"
    os.chmod(tmk, 0o644)
    one_line(*house.refused(), 2, "posd.yaml:", "10000001.tmk", "open to other users", "chmod 600")
    tmk.unlink()
    one_line(*house.refused(), 2, "10000001.tmk", "no such file")
    write_tmk(tmk, "0123456789ABCDEFFEDCBA987654321X")
    one_line(*house.refused(), 2, "not hexadecimal")
    write_tmk(tmk, "0123456789ABCDEFFEDCBA9876543210")
    os.chmod(key, 0o640)
    one_line(*house.refused(), 2, "machine.key", "open to other users")
    os.chmod(key, 0o600)
    before = dict(house.settings)
    rewritten(house, state_dir="/proc/posd")
    one_line(*house.refused(), 2, "/proc/posd", "cannot be made")
    rewritten(house, **before)
    rewritten(house, state_dir=str(key))
    one_line(*house.refused(), 2, "is a file, not a folder")
    rewritten(house, **before)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", house.door_port))
        holder.listen()
        one_line(*house.refused(), 2, str(house.door_port), "already in use")
    house.config.write_text("version: 1\nhost: [\n")
    one_line(*house.refused(), 2, "posd.yaml:")
    house.config.unlink()
    one_line(*house.refused(), 2, "posd.yaml")


def write_tmk(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_this_user_cannot_read_is_one_line(built: Build) -> None:
    house = built()
    (house.folder / "machine.key").chmod(0)
    one_line(*house.refused(), 2, "machine.key", "permission denied")


def test_d35_a_terminal_that_owes_is_not_configured_away(built: Build) -> None:
    """D35."""
    house = built(("10000001", "10000002"))
    shopper = Shopper(house, "10000002", 1)

    async def story() -> None:
        house.start()
        await house.ready()
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        assert await house.terminated() == 0
        rewritten(house, terminals=house.settings["terminals"][:1])
        one_line(*house.refused(), 2, "terminal 10000002", "its batch is open", "put it back")

    asyncio.run(asyncio.wait_for(story(), 120))


def test_a_write_that_fails_ends_posd_with_status_3_and_loses_nothing(built: Build) -> None:
    """A limit on file sizes stands for a full disk: the failure comes in the middle of the work."""
    house = built(faults=({"mti": "0200", "every": 4, "do": "delay", "ms": 40},))
    shopper = Shopper(house, house.tids[0], 3)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (220_000, 220_000))

    async def story() -> None:
        house.start(before=small_files)
        await house.ready()
        shopping = asyncio.create_task(shopper.shop())
        assert await house.ended() == 3
        one_line(3, house.errors(), 3, "journal:")
        house.start()
        await house.ready()
        await asyncio.sleep(0.5)
        shopper.stop = True
        await shopping
        await house.agreed()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    assert shopper.approved == shopper.approved_in(house.records())
    assert house.chain_findings() == []
    assert house.canary_in() == []


def test_connections_without_end_do_not_stop_the_sales(built: Build) -> None:
    """More connections than posd may have open files; the terminals that are there go on."""
    house = built(change={"door": {"connections_max": 8}})
    shopper = Shopper(house, house.tids[0], 1)

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

    async def story() -> None:
        house.start(before=few_files)
        await house.ready()
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        flood = [socket.socket() for _ in range(600)]
        try:
            for one in flood:
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", house.door_port))
            for _ in range(5):
                assert (await shopper.client.do(SALE))["outcome"] == "approved"
                await asyncio.sleep(0.1)
        finally:
            for one in flood:
                one.close()
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    assert house.differences() == []


def test_a_log_that_nobody_reads_does_not_stop_the_sales(built: Build) -> None:
    """A pipe holds 64 KiB; then its writer waits, unless it refuses to."""
    house = built()
    shopper = Shopper(house, house.tids[0], 1)
    frame = shopper.client.tpdu + shopper.client.header + bytes.fromhex("0210") + bytes(8)
    nonsense = (len(frame).to_bytes(2, "big") + frame) * 50

    async def story() -> None:
        house.settings["log"]["level"] = "debug"
        house.settings["journal"]["unreadable_per_minute_max"] = 10_000
        house.config = write_configuration(house.folder, house.settings)
        house.start(log=subprocess.PIPE)
        await house.ready()
        for _ in range(20):
            await shopper.client.do({"do": "raw", "hex": nonsense.hex(), "timeout_s": 0.05})
        for _ in range(3):
            assert (await shopper.client.do({**SALE, "timeout_s": 3}))["outcome"] == "approved"
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    assert house.posd is not None
    assert house.posd.stdout is not None
    with house.posd.stdout:
        assert len(house.posd.stdout.read()) >= 60_000, "the pipe was full"


def test_d35_sighup_takes_what_it_can_and_keeps_the_sales(built: Build) -> None:
    """A real process: a new number counts at once, a file without a terminal that owes is refused."""
    house = built()
    shopper = Shopper(house, house.tids[0], 1)

    async def story() -> None:
        house.start()
        await house.ready()
        assert house.posd is not None
        write_configuration(house.folder, merged(house.settings, {"reversal": {"attempts": 7}}))
        house.posd.send_signal(signal.SIGHUP)
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        others = [{**terminal, "tid": "19999999"} for terminal in house.settings["terminals"]]
        write_configuration(house.folder, {**house.settings, "terminals": others})
        house.posd.send_signal(signal.SIGHUP)
        assert (await shopper.client.do(SALE))["outcome"] == "approved"
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    log = {line["event"]: line for line in house.log()}
    assert log["settings_read"]["at_once"] == ["reversal.attempts"]
    assert "is not in the configuration any more, but its batch is open" in log["settings_refused"]["because"]


def test_sigint_is_an_orderly_end_too(built: Build) -> None:
    house = built()

    async def story() -> None:
        house.start()
        await house.ready()
        assert house.posd is not None
        house.posd.send_signal(signal.SIGINT)
        assert await house.ended() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    assert house.errors() == ""
