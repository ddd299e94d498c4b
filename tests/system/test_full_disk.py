"""A disk that fills up under a real posd (D32): sales are refused in time, what is owed goes on from the ballast, and
whatever stops posd on the way, nothing is lost when there is room again.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.system.house import CANARY, EXPIRY, House, Shopper
from tests.system.image import Image, why_not

pytestmark = pytest.mark.system

MIB = 1024 * 1024
FLOOR, BALLAST = 8 * MIB, 2 * MIB
JOURNAL = {"journal": {"free_bytes_min": FLOOR, "ballast_bytes": BALLAST}}
SALE: dict[str, Any] = {"do": "sale", "amount": "1.00", "card": CANARY, "expiry": EXPIRY}
LOST = {**SALE, "amount": "6.66"}
FAULTS = ({"mti": "0200", "amount": "6.66", "do": "lose_answer"}, {"mti": "0400", "nth": 1, "do": "lose_answer"})


@dataclass
class Disk:
    """Small, posd's alone, and somebody else fills it."""

    image: Image
    fillers: list[Path] = field(default_factory=list)

    def free_bytes(self) -> int:
        status = os.statvfs(self.image.folder)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """With 0 to the very last block, the ones kept for root too."""
        self.fillers.append(self.image.folder / f"filler-{len(self.fillers)}")
        with self.fillers[-1].open("wb") as file:
            if leave_bytes:
                os.posix_fallocate(file.fileno(), 0, self.free_bytes() - leave_bytes)
                return
            block, zeros = MIB, bytes(MIB)
            while block:
                try:
                    os.write(file.fileno(), zeros[:block])
                    os.fsync(file.fileno())
                except OSError:
                    block //= 2

    def clear(self) -> None:
        for filler in self.fillers:
            filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if because := why_not():
        pytest.skip(because)
    try:
        disk = Disk(Image(tmp_path / "image", tmp_path / "disk"))
    except OSError as error:
        pytest.skip(str(error))
    try:
        yield disk
    finally:
        disk.image.unmount()


def test_d32_a_disk_that_fills_up_refuses_sales_keeps_what_is_owed_and_loses_nothing(
    disk: Disk, built: Callable[..., House], capsys: pytest.CaptureFixture[str]
) -> None:
    """D32."""
    house = built(faults=FAULTS, change=JOURNAL)
    (disk.image.folder / "state").mkdir(mode=0o700)
    (house.folder / "state").symlink_to(disk.image.folder / "state")
    shopper = Shopper(house, house.tids[0], 1)
    sold: list[int] = []
    stops: list[str] = []

    async def do(**step: Any) -> dict[str, Any]:
        return dict(await shopper.client.do(step))

    async def said(event: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while [line["event"] for line in house.log()].count(event) < times:
                house._listen()
                await asyncio.sleep(0.02)

    async def nearly_full() -> None:
        for _ in range(12):
            approved = await do(**SALE)
            assert approved["outcome"] == "approved"
            sold.append(approved["stan"])
        assert (await do(**LOST))["outcome"] != "approved"  # its reversal is lost once, and owed
        disk.fill(leave_bytes=FLOOR - MIB)
        await said("disk_nearly_full")
        assert (await do(**SALE))["code"] == "96"
        async with asyncio.timeout(20):  # the reversal goes first
            while (await do(do="void", of_stan=sold[0]))["outcome"] != "approved":
                await asyncio.sleep(0.05)

    async def until_it_stops() -> None:
        """Asked for more and more, which it writes down, until a write finds no block."""
        assert house.posd is not None
        voids = ({"do": "void", "of_stan": stan} for stan in itertools.cycle(sold))
        while house.posd.poll() is None:
            await do(**next(voids))
            await do(do="sign_in")
            await do(**SALE)
        stops.append(f"{await house.ended()}: {house.errors().strip().splitlines()[-1]}")

    async def from_the_ballast() -> None:
        """The next start has its room: what was in flight is reversed, and the day is settled."""
        assert not (house.folder / "state/journal/ballast").exists()
        assert disk.free_bytes() < FLOOR
        house.start()
        await house.ready()
        assert (await do(**SALE))["code"] == "96"
        await house.agreed()
        await do(do="settle")
        await house.settled()
        await house.agreed()
        assert await house.terminated() == 0

    async def not_even_a_ballast() -> None:
        disk.fill()
        house.start()
        await until_it_stops()
        disk.clear()
        house.start()
        await house.ready()
        async with asyncio.timeout(20):
            while not (house.folder / "state/journal/ballast").exists():
                await asyncio.sleep(0.05)
            while (await do(**SALE))["outcome"] != "approved":
                await asyncio.sleep(0.05)

    async def story() -> None:
        house.start()
        await house.ready()
        await nearly_full()
        disk.fill()
        await until_it_stops()
        await from_the_ballast()
        await not_even_a_ballast()
        await house.agreed()
        assert await house.terminated() == 0

    asyncio.run(asyncio.wait_for(story(), 120))
    with capsys.disabled():
        print("", *stops, sep="\n  ")
    assert [stop[:2] for stop in stops] == ["3:", "3:"]
    assert all("full" in stop or "no space" in stop for stop in stops)
    assert "Traceback" not in house.errors()
    assert house.chain_findings() == []
    assert house.differences() == []
