"""A till at a real posd that is killed: its key finds out what became of its order (D6), and no card is left behind."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.stage import free_port
from tests.daemon.till.client import TOKEN, Till
from tests.system.house import CANARY, EXPIRY, ROOT, House

pytestmark = pytest.mark.system

SALE = {"type": "sale", "amount": "12.30", "card": {"number": CANARY, "expiry": EXPIRY}}
SLOW = {"do": "delay", "mti": "0200", "amount": "*99", "ms": 1_000}


def till_settings(folder: Path, port: int) -> dict[str, Any]:
    (folder / "till.token").touch(mode=0o600)
    (folder / "till.token").write_text(TOKEN)
    return {
        "socket": str(folder / "till.sock"),
        "listen": f"127.0.0.1:{port}",
        "token_file": str(folder / "till.token"),
        "card_data": "accepted",
    }


def test_d6_a_key_survives_kill_9(built: Callable[..., House], tmp_path: Path) -> None:
    port = free_port()
    change = {
        "till": till_settings(tmp_path, port),
        "host": {"reply_timeout_s": 5},
        "door": {"terminal_timeout_s": 9},
        "reversal": {"retry": {"first_s": 0.1, "max_s": 0.5}},
    }
    house = built(change=change, faults=(SLOW,))
    till = Till(tmp_path, port)

    async def story() -> None:
        house.start()
        await house.ready()
        first = await till.order("s-1", SALE)
        assert (first.status, first.json["status"]) == (200, "approved")
        lost = asyncio.create_task(till.order("s-2", {**SALE, "amount": "1.99"}))
        while not [row for row in house.records() if row.kind == "authorisation_started" and "s-2" in row.payload]:
            await asyncio.sleep(0.01)
        house.kill()
        with pytest.raises(OSError):  # noqa: PT011 - it is cut off in whatever way
            await lost
        house.start()
        await house.ready()
        again = await till.order("s-1", SALE)
        assert again.json == first.json
        while (failed := await till.order("s-2", {**SALE, "amount": "1.99"})).json["transaction"][
            "status"
        ] != "reversed":
            await asyncio.sleep(0.05)
        assert (failed.status, failed.problem) == (504, "outcome_unknown")
        assert (await till.order("s-2", SALE)).problem == "key_reused"
        await house.agreed()
        assert await house.terminated() == 0

    asyncio.run(story())
    assert house.canary_in() == []
    assert house.chain_findings() == []


def test_d38_without_tills_nothing_of_the_door_is_loaded() -> None:
    look = "import posd.daemon.assemble, sys; print('h11' in sys.modules, 'posd.daemon.till.http' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "False False\n"
