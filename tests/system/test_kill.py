"""kill -9 under load (T5): afterwards the host's books, the journal and the terminals tell one story, to the cent."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.house import CANARY, EXPIRY, House, Shopper, moments

pytestmark = pytest.mark.system
Build = Callable[..., House]
TIDS = ("10000001", "10000002", "10000003")
SLOW: tuple[dict[str, Any], ...] = (
    {"mti": "0200", "every": 3, "do": "delay", "ms": 60},
    {"mti": "0200", "every": 11, "do": "lose_answer"},
    {"mti": "0200", "every": 17, "do": "wrong_mac"},
    {"mti": "0400", "every": 5, "do": "lose_answer"},
    {"mti": "0400", "every": 7, "do": "delay", "ms": 60},
    {"mti": "0200", "every": 41, "do": "close"},
    {"mti": "0500", "every": 2, "do": "delay", "ms": 80},
    {"mti": "0320", "every": 3, "do": "lose_answer"},
)
KILLS = 15


def test_kills_at_any_moment_lose_no_money(built: Build, capsys: pytest.CaptureFixture[str]) -> None:
    house = built(TIDS, faults=SLOW)
    shoppers = [Shopper(house, tid, number, settles=0.03) for number, tid in enumerate(TIDS)]

    async def story() -> None:
        house.start()
        await house.ready()
        shopping = [asyncio.create_task(shopper.shop()) for shopper in shoppers]
        for moment_s in moments(5, KILLS, 1.2):
            await asyncio.sleep(moment_s)
            house.kill()
            house.start()
            await house.ready()
        await asyncio.sleep(0.5)
        memory = house.memory_kib()
        for shopper in shoppers:
            shopper.stop = True
        await asyncio.gather(*shopping)
        await house.agreed()
        assert await house.terminated() == 0
        with capsys.disabled():
            asked = sum(shopper.asked for shopper in shoppers)
            print(f"\n  {KILLS} kills, {asked} requests, resident {memory // 1024} MiB")

    asyncio.run(asyncio.wait_for(story(), 240))
    records = house.records()
    for shopper in shoppers:
        assert shopper.asked > KILLS
        assert shopper.approved == shopper.approved_in(records), shopper.tid
    assert house.differences() == []
    assert all(settled["balanced"] for settled in settlements(house))
    assert settlements(house) != []
    assert house.chain_findings() == []
    assert house.canary_in() == []
    assert "Traceback" not in house.errors()


def settlements(house: House) -> list[dict[str, Any]]:
    batches = [batch for terminal in house.books()["terminals"] for batch in terminal["batches"]]
    return [settlement for batch in batches for settlement in batch["settlements"]]


@pytest.mark.parametrize("after", ["the request is sent", "the host has approved", "the reversal is sent"])
def test_a_kill_between_two_steps_is_one_reversal(built: Build, after: str) -> None:
    """The host holds its answer, so that the moment is certain."""
    faults = [{"mti": "0200", "amount": "6.66", "do": "delay", "ms": 600}]
    if after == "the request is sent":
        faults = [{"mti": "0200", "amount": "6.66", "do": "lose_request"}]
    if after == "the reversal is sent":
        faults = [
            {"mti": "0200", "amount": "6.66", "do": "lose_answer"},
            {"mti": "0400", "nth": 1, "do": "lose_answer"},
        ]
    house = built(faults=tuple(faults))
    shopper = Shopper(house, house.tids[0], 1)
    kind = "reversal_attempted" if after == "the reversal is sent" else "authorisation_started"

    async def story() -> None:
        house.start()
        await house.ready()
        sale = asyncio.create_task(
            shopper.client.do({"do": "sale", "amount": "6.66", "card": CANARY, "expiry": EXPIRY})
        )
        while kind not in [row.kind for row in house.records()]:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        house.kill()
        assert (await sale)["outcome"] != "approved"
        house.start()
        await house.ready()
        await house.agreed()
        assert (await shopper.client.do({"do": "repeat", "stan": 1}))["outcome"] == "declined"
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    kinds = [row.kind for row in house.records()]
    assert kinds.count("authorisation_started") == 1
    assert kinds.count("reversal_owed") == 1
    assert kinds.count("reversal_acknowledged") == 1
    assert house.chain_findings() == []
