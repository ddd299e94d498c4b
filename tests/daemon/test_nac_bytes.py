"""Any bytes at a NAC shop's door, and from its host: nobody is fenced, nothing is lost, the books agree."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from posd.cli.selftest.vectors import FOLDER
from posd.framing.length_prefix import with_length
from tests.daemon.nac_stage import TID, NacStage, stage
from tests.daemon.stage import play

SECOND = "12345679"
VECTORS = [
    bytes.fromhex(row["hex"])[2:]
    for file in ("nac.json", "nac_matrix.json")
    for row in json.loads((FOLDER / file).read_text())["messages"]
    if row.get("wire", "zero") == "zero"
]
"""Frames of this dialect without their length, of both directions, of the terminal TID."""

PEERS = 8
NOT_DONE = "91"
"""Not sent, or undone."""


@pytest.fixture
def nac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **how: stage(tmp_path, monkeypatch, tids=(TID, SECOND), **how)


def spoiled(chance: random.Random, frame: bytes) -> bytes:
    """With its length, which may lie too."""
    data = bytearray(frame)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    match chance.randrange(10):
        case 0:
            return with_length(bytes(data[: chance.randrange(1, len(data))]))
        case 1:
            return with_length(bytes(data + chance.randbytes(chance.randrange(1, 40))))
        case 2:
            return with_length(chance.randbytes(chance.randrange(1, 200)))
        case 3:
            return chance.randbytes(2) + bytes(data)
        case 4:
            at = chance.randrange(len(data))
            return with_length(bytes(data[:at] + data[at // 2 : at] + data[at:]))
        case _:
            return with_length(bytes(data))


async def nobody_was_harmed(shop: NacStage) -> None:
    await shop.until(lambda: all(runner.resting for runner in shop.daemon.lanes.values()))
    assert not shop.life.done()
    assert [runner.fenced for runner in shop.daemon.lanes.values()] == ["", ""]
    other = shop.nac_terminal(SECOND)
    sale = {"do": "sale", "amount": "1.00", "card": "4761739001010119", "expiry": "3012"}
    while (told := await other.do(sale))["outcome"] != "approved":
        assert told["code"] == NOT_DONE, "the last of the nonsense may still cut the line"
    await shop.until(lambda: not shop.state().unended_reversals())


def test_at_the_door(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start(signed_in=False)
        chance = random.Random(17)
        lines: list[asyncio.StreamWriter] = []
        for _ in range(1_000):
            if len(lines) < PEERS:
                lines.append((await asyncio.open_connection("127.0.0.1", shop.door_port))[1])
            line = chance.choice(lines)
            line.write(spoiled(chance, chance.choice(VECTORS)))
            await asyncio.sleep(0)
            lines = [one for one in lines if not one.transport.is_closing()]
        await nobody_was_harmed(shop)
        for line in lines:
            line.close()

    play(nac(), story)


def test_from_the_host(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start(signed_in=False)
        chance = random.Random(18)
        for number in range(600):
            if number % 30 == 0:
                await shop.until(lambda: shop.daemon.link_up and shop.host._connections)
                sale = asyncio.create_task(shop.sale("1.00"))
            await shop.until(lambda: shop.host._connections)
            (connection,) = shop.host._connections.values()
            connection.writer.write(spoiled(chance, chance.choice(VECTORS)))
            await asyncio.sleep(0)
            if number % 30 == 29:
                await sale
        await nobody_was_harmed(shop)
        await shop.end()
        assert [one for one in shop.not_agreed() if SECOND not in one] == [], "the books that are read are the first's"

    play(nac(), story)
