"""Two users of the machine at a real posd, which is killed between their two words: what is held is settled once."""

import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.control.test_access import say_as
from tests.daemon.stage import TID, free_port
from tests.daemon.till.client import TOKEN, Till
from tests.system.house import CANARY, EXPIRY, House
from tests.system.test_till import till_settings

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who alone can become somebody else"),
]

SHOP, LI, WANG = 12_345, 12_346, 12_347
GROUP = 12_350


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """One that other users may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_kill_between_two_words_and_one_settlement(
    built: Callable[..., House], tmp_path: Path, socket_folder: Path
) -> None:
    port, control = free_port(), socket_folder / "control.sock"
    change = {
        "control_socket": str(control),
        "access": {
            "view": [f"group:{GROUP}"],
            "operate": [f"group:{GROUP}"],
            "approve": [f"user:{LI}", f"user:{WANG}"],
        },
        "approval": {"two_people_above": "100.00"},
        "settlement": {"maximum": "50.00"},
        "till": till_settings(tmp_path, port),
    }
    house, till = built(change=change), Till(tmp_path, port)

    async def say(uid: int, verb: str, **args: Any) -> Any:
        return await asyncio.to_thread(partial(say_as, control, uid, GROUP, verb, **args))

    async def begin() -> None:
        house.start()
        await house.ready()
        os.chown(control, 0, GROUP)

    async def story() -> None:
        await begin()
        sale = {"type": "sale", "amount": "120.00", "card": {"number": CANARY, "expiry": EXPIRY}}
        assert (await till.order("s-1", sale, tcp=True, headers={"Authorization": f"Bearer {TOKEN}"})).json[
            "status"
        ] == "approved"
        assert (await say(SHOP, "settle"))["data"]["terminals"][0]["outcome"] == "waits"
        wish = {"tid": TID, "reason": "slips checked"}
        refused = await say(SHOP, "settle.approve", **wish)
        assert "needs the role 'approve'; you are uid 12345" in refused["data"]["error"]
        first = await say(LI, "settle.approve", **wish)
        assert first["data"]["waits"], first
        house.kill()
        await begin()
        (waiting,) = (await say(SHOP, "proposals.list"))["data"]["proposals"]
        assert (waiting["by"], waiting["who"], waiting["amount"]) == ("uid 12346", "uid 12346", "120.00")
        again = await say(LI, "settle.approve", **wish)
        assert "you said so already" in again["data"]["error"]
        second = await say(WANG, "settle.approve", **wish)
        assert second["data"]["text"] == "approved by uid 12346 and uid 12347; the settlement begins"
        await house.settled()
        await house.agreed()
        kinds = [row.kind for row in house.records()]
        assert [kinds.count(kind) for kind in ("settlement_approved", "batch_closed", "access_denied")] == [1, 1, 1]
        (approved,) = [json.loads(row.payload) for row in house.records() if row.kind == "settlement_approved"]
        assert approved["who"]["uid"] == WANG
        assert house.chain_findings() == []
        assert await house.terminated() == 0

    asyncio.run(story())
