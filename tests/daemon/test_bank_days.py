"""A day with each example bank: a base plus a difference, written in YAML (config/bank-*.example.yaml)."""

import json
from pathlib import Path
from typing import Any

import pytest

from posd.config import shipped
from posd.core import events as e
from posd.core.state import CloseOutcome, TxnStatus
from posd.values import Tid
from tests.daemon import nac_stage
from tests.daemon.nac_stage import NacStage
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play


def bank(name: str) -> dict[str, Any]:
    return {"host": {"profile_file": str(shipped(f"config/bank-{name}.example.yaml"))}}


async def settled(shop: Stage, tid: str) -> CloseOutcome:
    identity = shop.state(tid).batch.identity
    assert (await shop.daemon.lanes[Tid(tid)].command(e.SettleNow("c", "anna"))).ok
    await shop.until(lambda: shop.state(tid).batch.identity > identity)
    last = shop.state(tid).last_close
    assert last is not None
    return last.outcome


def fields(shop: Stage, mti: str) -> dict[str, str]:
    """Of the first such message that left for the host."""
    found: dict[str, str] = json.loads(shop.rig.messages("out", "host", mti)[0].fields)
    return found


def test_a_day_with_the_nac_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = (
        {"do": "refuse", "mti": "0200", "amount": "11.00", "code": "N7"},
        {"do": "refuse", "mti": "0200", "amount": "12.00", "code": "N8"},
        {"do": "lose_answer", "mti": "0200", "amount": "13.00", "times": 1},
    )
    shop = NacStage(tmp_path, monkeypatch, faults=faults, change=bank("nac"), nac={"nii": "003"})

    async def story(_: Stage) -> None:
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        sent = fields(shop, "0200")
        assert (sent["24"], sent["61"]) == ("003", "POSD-0001")
        assert {"12", "13"} <= sent.keys()
        refused = await shop.sale("11.00")
        assert refused["code"] == "N7", "the bank's own decline is told as it is"
        assert {txn.status for txn in shop.state().transactions.values()} == {TxnStatus.APPROVED, TxnStatus.DECLINED}
        assert (await shop.sale("12.00"))["code"] == "91", "a code that nobody knows confirms nothing (D9)"
        assert (await shop.sale("13.00"))["code"] == "91"
        await shop.until(lambda: not shop.state().unended_reversals())
        assert "25" not in fields(shop, "0400")
        assert await settled(shop, nac_stage.TID) is CloseOutcome.AGREED
        assert len(fields(shop, "0500")["63"]) == 30
        assert shop.received("0800", nac_stage.TID) == [], "this bank wants no logon"

    play(shop, story)


def test_a_day_with_the_unionpay_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = ({"do": "refuse", "mti": "0200", "amount": "11.00", "code": "Z1"},)
    shop = Stage(tmp_path, monkeypatch, faults=faults, change=bank("unionpay"))

    async def story(shop: Stage) -> None:
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert fields(shop, "0200")["59"] == "***(9)", "not shown, but there"
        assert fields(shop, "0800")["63"] == "07 "
        refused = await shop.terminal().do({"do": "sale", "amount": "11.00", "card": CARD, "expiry": EXPIRY})
        assert refused["code"] == "Z1"
        assert await settled(shop, TID) is CloseOutcome.AGREED
        assert shop.differences() == []

    play(shop, story)
