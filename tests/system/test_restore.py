"""Backups of a living posd, by its own commands: made under load, killed at any moment, restored as an older journal
and as the newest, and what the host's books say of it afterwards.
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.journal.backups.sets import kept
from posd.journal.reader import JournalReader
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.daemon.stage import MID, TMK
from tests.system.house import CANARY, EXPIRY, ROOT, House, Shopper

pytestmark = pytest.mark.system
Build = Callable[..., House]
COMMAND_S = 60.0
KILLS = 3


def change(folder: Path) -> dict[str, Any]:
    return {"backup": {"path": str(folder / "backups"), "keys_to": str(folder / "copies"), "keep": 3}}


def typed(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "posd", *words, "--config", str(house.config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LANG": "C"}
    return subprocess.run(
        command, cwd=house.folder, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )


def told(house: House, *words: str, status: int = 0) -> dict[str, Any]:
    done = typed(house, *words, "--json")
    assert done.returncode == status, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


def client(house: House) -> TerminalClient:
    return TerminalClient(Terminal(house.tids[0], MID, bytes.fromhex(TMK)), "127.0.0.1", house.door_port, timeout_s=3.0)


def sale(amount: str) -> dict[str, Any]:
    return {"do": "sale", "amount": amount, "card": CANARY, "expiry": EXPIRY}


async def sold(terminal: TerminalClient, amount: str) -> dict[str, Any]:
    """As soon as it can be."""
    async with asyncio.timeout(20):
        while True:
            said = await terminal.do(sale(amount))
            if said["outcome"] == "approved":
                return said
            if said.get("code") == "A0":
                await terminal.do({"do": "sign_in"})
            await asyncio.sleep(0.05)


def stans_at_host(house: House) -> list[tuple[str, int]]:
    return [
        (terminal["tid"], entry["stan"])
        for terminal in house.books()["terminals"]
        for batch in terminal["batches"]
        for entry in batch["transactions"]
    ]


@pytest.fixture
def house(built: Build, tmp_path: Path) -> House:
    for name in ("backups", "copies"):
        (tmp_path / name).mkdir()
    return built(change=change(tmp_path))


def test_an_older_journal_is_restored_amid_the_day(house: House) -> None:
    terminal = client(house)

    async def story() -> None:
        house.start()
        await house.ready()
        await sold(terminal, "10.00")
        await sold(terminal, "11.00")
        made = told(house, "backup", "create")
        assert made["keys"]["copied"] == 1
        lost = await sold(terminal, "12.00")  # after the backup, and in no journal any more
        house.kill()
        refused = typed(house, "backup", "restore")
        assert refused.returncode == 2
        assert "--move-aside" in refused.stderr
        done = told(house, "backup", "restore", "--move-aside", "--stan-gap", "500", status=1)
        assert not done["newest"]
        assert Path(done["moved_aside"]).is_dir()
        assert done["unreadable"]["keys"] == []
        house.start()
        await house.ready()
        again = await terminal.do({"do": "repeat", "stan": lost["stan"]})
        assert again["outcome"] != "approved"
        status = told(house, "status", status=1)
        assert "restore_gap" in [finding["code"] for finding in status["findings"]]
        await terminal.do({"do": "sign_in"})
        assert (await terminal.do({"do": "repeat", "stan": lost["stan"]}))["outcome"] != "approved"
        await sold(terminal, "13.00")
        assert typed(house, "settle").returncode != 0
        gaps = told(house, "restore-gap", "list", status=1)["gaps"]
        assert gaps[0]["stans"]["count"] == 500
        told(house, "restore-gap", "resolve", "--by", "Li Na", "--reason", "compared with the acquirer")
        assert typed(house, "settle").returncode in (0, 1)
        await house.settled()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    stans = stans_at_host(house)
    assert len(stans) == len(set(stans)) == 4
    assert house.chain_findings() == []
    assert house.canary_in() == []
    assert "Traceback" not in house.errors()


def test_a_final_backup_moves_the_journal(house: House) -> None:
    terminal = client(house)

    async def story() -> None:
        house.start()
        await house.ready()
        await sold(terminal, "10.00")
        running = typed(house, "backup", "create", "--final", "--by", "Li Na")
        assert running.returncode == 2
        assert "stop it first" in running.stderr
        assert await house.terminated() == 0
        made = told(house, "backup", "create", "--final", "--by", "Li Na")
        assert made["final"]
        status, said = house.refused()
        assert status == 2
        assert "take-back" in said
        done = told(house, "backup", "restore", "--move-aside")
        assert done["newest"]
        house.start()
        await house.ready()
        await sold(terminal, "11.00")  # with no gap, and no new sign-in of the terminal
        assert told(house, "restore-gap", "list")["gaps"] == []
        assert await house.terminated() == 0
        second = told(house, "backup", "restore", made["name"], "--move-aside", status=1)
        assert second["why_older"] == "it was restored before, or taken back, and its journal may have gone on"

    asyncio.run(asyncio.wait_for(story(), 120))
    stans = stans_at_host(house)
    assert len(stans) == len(set(stans)) == 2


def test_an_ended_journal_is_taken_back_by_a_person(house: House) -> None:
    async def story() -> None:
        house.start()
        await house.ready()
        assert await house.terminated() == 0
        told(house, "backup", "create", "--final", "--by", "Li Na")
        assert house.refused()[0] == 2
        told(house, "backup", "take-back", "--by", "Li Na", "--reason", "the new box never ran")
        assert typed(house, "backup", "take-back", "--by", "Li Na", "--reason", "again").returncode == 2
        house.start()
        await house.ready()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))


def test_kill_9_during_create_leaves_nothing_that_looks_whole(house: House, tmp_path: Path) -> None:
    """Beside shoppers, at moments over the whole length of it; the daemon does not notice."""
    shopper = Shopper(house, house.tids[0], 1)
    chance = random.Random(7)

    async def story() -> None:
        house.start()
        await house.ready()
        shopping = asyncio.create_task(shopper.shop())
        await asyncio.sleep(1.0)
        begun = time.monotonic()
        assert await asyncio.to_thread(lambda: typed(house, "backup", "create").returncode) == 0
        took_s = time.monotonic() - begun
        for _ in range(KILLS):
            command = [sys.executable, "-m", "posd", "backup", "create", "--config", str(house.config)]
            making = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await asyncio.sleep(took_s * (0.4 + 0.6 * chance.random()))
            making.kill()
            making.wait()
        shopper.stop = True
        await shopping
        await house.agreed()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 180))
    path = tmp_path / "backups"
    for one in kept(path):
        done = typed(house, "backup", "verify", one.name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert typed(house, "backup", "create").returncode == 0
    assert [one for one in path.iterdir() if one.name.startswith(".part")] == []
    assert len(kept(path)) <= 3
    assert "Traceback" not in house.errors()


def test_kill_9_during_restore_never_begins_a_new_journal(house: House) -> None:
    terminal = client(house)

    async def story() -> None:
        house.start()
        await house.ready()
        await sold(terminal, "10.00")
        told(house, "backup", "create")
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 60))
    chance = random.Random(3)
    begun = time.monotonic()
    assert typed(house, "backup", "restore", "--move-aside").returncode == 1
    took_s = time.monotonic() - begun
    state = house.folder / "state"
    for _ in range(KILLS):
        command = [sys.executable, "-m", "posd", "backup", "restore", "--move-aside", "--config", str(house.config)]
        restoring = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(took_s * (0.5 + 0.5 * chance.random()))
        restoring.kill()
        restoring.wait()
        if (state / "journal.restoring").exists():
            status, said = house.refused()
            assert status == 2
            assert "restore" in said
        else:
            with JournalReader(state / "journal") as reader:
                assert any(row.kind == "lane_restored" for row in reader.records())
    done = typed(house, "backup", "restore", "--move-aside")
    assert done.returncode == 1, done.stderr
    assert not (state / "journal.restoring").exists()
    assert house.chain_findings() == []


def test_what_was_carried_away_is_verified_and_restored_elsewhere(house: House, tmp_path: Path) -> None:
    """backup.command, and a backup in a folder of its own, without its neighbours."""
    house.settings["backup"]["command"] = ["cp", "-r", "{file}", str(tmp_path / "far")]
    (tmp_path / "far").mkdir()
    house.config.write_text(json.dumps(house.settings))

    async def story() -> None:
        house.start()
        await house.ready()
        await sold(client(house), "10.00")
        assert told(house, "backup", "create")["carried"]
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 60))
    (far,) = (tmp_path / "far").iterdir()
    shutil.rmtree(tmp_path / "backups")
    assert typed(house, "backup", "verify", str(far), "--scratch", str(tmp_path)).returncode == 0
    assert typed(house, "backup", "restore", str(far), "--move-aside").returncode == 1
    (tmp_path / "backups").mkdir()
    house.settings["backup"]["command"] = ["sh", "-c", "echo no room there >&2; exit 7; {file}"]
    house.config.write_text(json.dumps(house.settings))
    failed = typed(house, "backup", "create")
    assert failed.returncode == 3
    assert "status 7: no room there" in failed.stderr
