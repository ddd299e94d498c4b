"""Reports of real settlements: a whole posd against the simulated host, then the journal that it left behind."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from posd.config import load
from posd.core import events as e
from posd.core.state import CloseOutcome, SettlementCause
from posd.daemon.shown import words
from posd.daemon.shown.offline import OfflineJournal
from posd.daemon.shown.settlement_report import FOLDED, signed
from posd.errors import ConfigError
from posd.values import Tid
from tests.daemon.shop import strings_in
from tests.daemon.stage import CARD, TID, Stage, play

MakeStage = Callable[..., Stage]


async def settled(stage: Stage, batches: int = 1) -> None:
    """Settle by hand and wait for the close."""
    before = stage.state().batch.identity
    done = await stage.daemon.lanes[Tid(TID)].command(e.SettleNow(f"by-hand-{before}", "Li"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state().batch.identity == before + batches)


def reports(stage: Stage, batch: int | None = None, tid: str | None = None) -> list[dict[str, Any]]:
    with OfflineJournal(load(stage.folder / "posd.yaml"), stage.daemon.clock.now()) as journal:
        return journal.settlements(tid, batch)


def report(stage: Stage, batch: int | None = None) -> dict[str, Any]:
    (found,) = reports(stage, batch)
    json.dumps(found)
    assert CARD not in " ".join(strings_in(found))
    return found


def kinds(shown: dict[str, Any]) -> list[str]:
    return [event["kind"] for event in shown["events"]]


def test_an_agreed_settlement_and_an_older_one_by_its_number(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("12.30")
        await stage.sale("0.70")
        await settled(stage)
        await stage.sale("5.00")
        await settled(stage)
        newest, older = report(stage), report(stage, 1)
        assert (newest["batch"], older["batch"]) == (2, 1)
        assert older["outcome"] == "agreed"
        assert older["text"] == words.OUTCOME[CloseOutcome.AGREED]
        assert older["good"]
        assert older["ours"] == older["host"]
        assert older["ours"]["domestic"]["debit"] == "13.00"
        assert [row["differs"] for row in older["groups"]] == [False] * 4
        assert kinds(older) == ["settlement_wanted", "settlement_begun", *kinds(newest)[2:]]
        assert kinds(older)[2:] == ["totals_asked", "totals_answered", "trailer_sent", "batch_closed"]
        assert older["events"][0]["text"] == "wanted by a person, by Li"
        assert older["cause"] == SettlementCause.OPERATOR
        assert older["transactions"] == 2
        assert older["items"] == older["suspects"] == older["carried_over"] == []
        before_the_end = reports(stage)
        await stage.end()
        assert reports(stage) == before_the_end, "the same with the daemon down"

    play(staged(), story)


def test_d10_out_of_balance_names_the_decline_without_a_mac_first(staged: MakeStage) -> None:
    """The host booked it and said no without a MAC: who could have changed that answer?"""

    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        assert (await stage.sale("7.77"))["outcome"] == "declined"
        assert (await stage.sale("3.33"))["outcome"] == "declined"
        await settled(stage)
        shown = report(stage)
        assert shown["outcome"] == "out_of_balance"
        assert shown["text"] == words.OUTCOME[CloseOutcome.OUT_OF_BALANCE]
        assert not shown["good"]
        debit = shown["groups"][0]
        assert (debit["ours"], debit["host"], debit["difference"]) == ("1.00", "8.77", "-7.77")
        assert (debit["difference_count"], debit["result"], debit["differs"]) == (-1, "unbalanced", True)
        assert [(item["amount"], item["fate"]) for item in shown["items"]] == [("1.00", "uploaded")]
        assert shown["items"][0]["card"].startswith("622588****")
        assert [(one["amount"], one["why"], one["fits"]) for one in shown["suspects"]] == [
            ("7.77", "declined_without_mac", True),
            ("3.33", "declined_without_mac", False),
        ]
        assert {"upload_sent", "upload_acknowledged"} <= set(kinds(shown))

    faults = (
        {"mti": "0200", "amount": "7.77", "do": "answer_code", "code": "51"},
        {"mti": "0200", "amount": "3.33", "do": "refuse", "code": "51"},
    )
    play(staged(faults=faults, behaviour={"mac_declines": False}), story)


def test_a_decline_with_its_mac_is_no_suspect(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.sale("7.77")
        await settled(stage)
        shown = report(stage)
        assert shown["outcome"] == "out_of_balance"
        assert shown["suspects"] == []

    faults = ({"mti": "0200", "amount": "7.77", "do": "answer_code", "code": "51"},)
    play(staged(faults=faults, behaviour={"mac_declines": True}), story)


def test_d19_a_reversal_that_was_carried_over_is_shown_with_its_fate(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.sale("2.07")
        await settled(stage)
        shown = report(stage, 1)
        (carried,) = shown["carried_over"]
        assert carried["amount"] == "2.07"
        assert carried["reversal"] in ("owed", "stuck")
        assert "reversal_carried_over" in kinds(shown)

    faults = (
        {"mti": "0200", "amount": "*07", "do": "lose_answer"},
        {"mti": "0400", "amount": "*07", "do": "lose_request"},
    )
    play(staged(faults=faults, change={"settlement": {"hold_max_s": 0.2}}), story)


def test_d21_items_that_the_host_refuses_are_set_aside_and_named(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        for number in range(9):
            await stage.sale(f"1.0{number}")
        assert (await stage.sale("7.77"))["outcome"] == "declined"
        await settled(stage)
        shown = report(stage, 1)
        assert shown["outcome"] == "out_of_balance"
        assert (len(shown["items"]), shown["uploaded"], shown["set_aside"]) == (9, 1, 8)
        assert [item["fate"] for item in shown["items"]] == ["set_aside"] * 8 + ["uploaded"]
        assert {one["why"] for one in shown["suspects"]} == {"set_aside"}
        events = [event["text"] for event in shown["events"] if event["kind"] == "upload_set_aside"]
        assert events == ["1 item(s) set aside, the host refused them with 96"] * 8  # together four times, then alone

    faults = (
        {"mti": "0200", "amount": "7.77", "do": "answer_code", "code": "51"},
        {"mti": "0320", "code60": "201", "do": "refuse", "code": "96", "times": 12},
    )
    play(staged(faults=faults), story)


def test_one_that_is_under_way_is_shown_as_far_as_it_came(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await stage.sale("1.00")
        await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("x", "Li"))
        await stage.until(lambda: stage.rig.records("totals_unanswered"))
        shown = report(stage)
        assert (shown["outcome"], shown["phase"], shown["host"]) == (None, "totals", None)
        assert shown["good"]
        assert shown["groups"][0]["host"] is None
        assert any(event["text"].startswith("no usable answer to the totals: ") for event in shown["events"])

    play(staged(faults=({"mti": "0500", "do": "lose_request"},)), story)


def test_what_was_never_settled_is_said_in_one_line(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        for batch in (None, 99):
            with pytest.raises(ConfigError, match="knows no settlement") as refused:
                report(stage, batch)
            assert "\n" not in str(refused.value)
        with pytest.raises(ConfigError, match="no terminal"):
            reports(stage, tid="99999999")
        assert report(stage, 1)["phase"] == "open", "the open batch, asked for by its number"

    play(staged(), story)


def test_every_step_has_words() -> None:
    assert set(words.EVENT) >= FOLDED
    assert set(words.CAUSE) == set(SettlementCause)
    assert (signed(-105), signed(0), signed(7)) == ("-1.05", "0.00", "0.07")
