"""A real posd on a machine whose clock stands in 1970 or 2099 (libfaketime; the host's is right): it sells, settles
nothing, and settles once when the clock is right again (D24).
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from posd.daemon.clock import synchronised
from tests.system.house import CANARY, EXPIRY, House, Shopper

pytestmark = pytest.mark.system

SALE: dict[str, Any] = {"do": "sale", "amount": "1.00", "card": CANARY, "expiry": EXPIRY}
LOST = {**SALE, "amount": "6.66"}
PATIENT = {"host": {"reply_timeout_s": 1}, "settlement": {"retry": {"first_s": 0.5, "max_s": 1}}}
FAULTS = ({"mti": "0200", "amount": "6.66", "do": "lose_answer"},)
PLACES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def library() -> Path:
    found = [path for place in PLACES for path in Path("/").glob(place.lstrip("/"))]
    if not found:
        pytest.skip("no libfaketime here: apt-get install faketime")
    return found[0]


def clock_at(year: int) -> dict[str, str]:
    """The environment of a process that begins half a year away from today's date, so that no host can agree."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    at = f"@{year}-{month:02d}-15 12:00:00"
    return {"LD_PRELOAD": str(library()), "FAKETIME": at, "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


@pytest.mark.parametrize("year", [1970, 2099])
def test_d24_a_clock_that_nobody_can_believe_settles_nothing_and_doubles_nothing(
    built: Callable[..., House], year: int
) -> None:
    """D24."""
    wrong = clock_at(year)
    house = built(faults=FAULTS, change=PATIENT)
    shopper = Shopper(house, house.tids[0], 1)

    async def do(**step: Any) -> str:
        return str((await shopper.client.do(step))["outcome"])

    def count(kind: str) -> int:
        return [row.kind for row in house.records()].count(kind)

    async def until(kind: str, times: int) -> None:
        async with asyncio.timeout(30):
            while count(kind) < times:
                await asyncio.sleep(0.1)

    async def sold(step: dict[str, Any]) -> None:
        """A sale may have to wait for a sign-in."""
        async with asyncio.timeout(30):
            while await do(**step) != "approved":
                await asyncio.sleep(0.1)

    def keys() -> set[str]:
        return {path.name for path in (house.folder / "state/keys").glob("*.key")}

    async def with_clock(world: dict[str, str], what: Callable[[], Any]) -> None:
        house.world = world
        house.start()
        await house.ready()
        await what()
        await house.agreed()
        assert await house.terminated() == 0

    async def a_day() -> None:
        await sold(SALE)
        await do(do="settle")
        await until("batch_closed", 1)
        await sold(SALE)

    async def a_day_in_another_time() -> None:
        before = keys()
        await sold(SALE)
        async with asyncio.timeout(30):
            while not count("reversal_acknowledged"):
                assert await do(**LOST) != "approved"
        await do(do="settle")
        await until("settlement_postponed", 1)
        await sold(SALE)
        assert count("batch_closed") == 1
        if not synchronised():  # else the kernel vouches for the clock that it does not know to be another
            assert before <= keys()

    async def a_day_that_is_right_again() -> None:
        await until("batch_closed", 2)
        await sold(SALE)

    async def story() -> None:
        await with_clock({}, a_day)
        await with_clock(wrong, a_day_in_another_time)
        await with_clock({}, a_day_that_is_right_again)

    asyncio.run(asyncio.wait_for(story(), 120))
    assert str(year) in (house.folder / "log").read_text(), "the process lived in that year"
    assert count("batch_closed") == 2
    assert house.differences() == []
    assert house.chain_findings() == []
    assert "Traceback" not in house.errors()
