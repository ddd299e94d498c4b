"""What a till tells of after it has happened: tips, offline sales and their corrections, before the simulated host."""

from typing import Any

import pytest

from posd.core.state import AdviceStatus, CloseOutcome, TxnStatus
from tests.daemon.stage import CARD, EXPIRY, Stage
from tests.daemon.test_preauth import MakeStage, at_host, nothing_was_odd
from tests.daemon.till.client import ORDERS, SALE, Till
from tests.daemon.till.test_till_api import PATIENT, run, settled

CARD_IN_HAND = {"number": CARD, "expiry": EXPIRY}
OFFLINE = {"type": "offline_sale", "amount": "20.00", "card": CARD_IN_HAND, "approval_code": "777777"}


def tip(amount: str, original: str = "s-1") -> dict[str, Any]:
    return {"type": "tip", "original": original, "amount": amount}


async def closed(stage: Stage, till: Till) -> CloseOutcome:
    await settled(stage, till, "e-1")
    close = stage.state().last_close
    assert close is not None
    return close.outcome


def test_a_tip_is_given_changed_and_taken_away(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        assert (await till.order("s-1", {**SALE, "amount": "10.00"})).status == 200
        first = await till.order("t-1", tip("11.50"))
        assert (first.status, first.json["status"], first.json["tip"]) == (200, "stored", "1.50")
        assert (first.json["original"], first.json["amount"]) == ("s-1", "11.50")
        shown = (await till.ask("GET", f"{ORDERS}/s-1")).json
        assert (shown["amount"], shown["replaced_by"]) == ("10.00", "t-1")
        for number, refused in ((2, "12.01"), (3, "9.99"), (4, "1.50")):
            answer = await till.order(f"t-{number}", tip(refused))
            assert (answer.status, answer.problem) == (409, "amount_differs")
            assert "tip included" in answer.json["detail"]
        again = await till.order("t-5", tip("10.50", "t-1"))  # named by the tip before, it is of the sale all the same
        assert (again.json["tip"], again.json["original"]) == ("0.50", "s-1")
        none = await till.order("t-6", tip("10.00"))
        assert (none.json["tip"], none.json["status"]) == (None, "stored")
        assert (await till.order("t-6", tip("10.00"))).json == none.json
        assert await closed(stage, till) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.debit_minor == 1000
        assert [one["amount"] for one in at_host(stage, "tip")] == [1150, 1050, 1000]
        nothing_was_odd(stage)

    run(staged, story, change=PATIENT)


def test_a_sale_with_a_tip_is_voided_or_refunded_whole(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        for name in ("s-1", "s-2"):
            assert (await till.order(name, {**SALE, "amount": "10.00"})).status == 200
            assert (await till.order(f"t-{name}", tip("11.50", name))).status == 200
        void = await till.order("v-1", {"type": "void", "original": "s-1"})
        assert (void.json["status"], void.json["amount"], void.json["original"]) == ("approved", "11.50", "s-1")
        refused = await till.order("t-3", tip("11.00"))
        assert refused.problem == "already_voided"
        assert await closed(stage, till) is CloseOutcome.AGREED
        refund = {"type": "refund", "original": "s-2"}
        assert (await till.order("r-1", {**refund, "amount": "11.51"})).problem == "amount_differs"
        good = await till.order("r-2", {**refund, "amount": "11.50"})
        assert (good.status, good.json["status"]) == (200, "approved")
        nothing_was_odd(stage)

    run(staged, story, change=PATIENT)


def test_an_offline_sale_is_told_and_corrected(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        told = await till.order("o-1", OFFLINE)
        assert (told.status, told.json["status"], told.json["kind"]) == (200, "stored", "offline_sale")
        corrected = await till.order("a-1", {"type": "adjust", "original": "o-1", "amount": "30.00"})
        assert (corrected.status, corrected.json["original"]) == (200, "o-1")
        assert (await till.order("a-2", {"type": "adjust", "original": "a-1", "amount": "25.00"})).status == 200
        assert (await till.order("s-1", SALE)).status == 200
        wrong = await till.order("a-3", {"type": "adjust", "original": "s-1", "amount": "5.00"})
        assert wrong.problem == "no_original"
        assert await closed(stage, till) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.debit_minor == 2500 + 1230
        (sale,) = at_host(stage, "offline_sale")
        assert (sale["amount"], sale["state"]) == (2000, "adjusted")
        assert {one.status for one in stage.state().advices.values()} == {AdviceStatus.DONE}
        nothing_was_odd(stage)

    run(staged, story, change=PATIENT)


def test_an_offline_sale_needs_no_line(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        stage.hang_up()
        stage.cut()
        await stage.until(lambda: not stage.daemon.link_up)
        assert (await till.order("o-1", OFFLINE)).json["status"] == "stored"
        assert (await till.order("s-1", SALE)).problem == "not_sent"

    run(staged, story, differences=1)  # the host has not been told yet


def test_a_till_that_may_send_no_cards_tips_all_the_same(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        await stage.terminal().do({"do": "sign_in"})
        assert (await stage.sale("5.00"))["outcome"] == "approved"
        (sale,) = (await till.ask("GET", ORDERS)).json["transactions"]
        assert (await till.order("t-1", tip("5.50", sale["id"]))).json["status"] == "stored"
        assert (await till.order("o-1", OFFLINE)).problem == "card_data_refused"

    run(staged, story, {"card_data": "refused"}, differences=1)  # the host has not been told yet


def test_d16_a_tip_keeps_its_sale_from_being_reversed(staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        assert (await till.order("s-1", {**SALE, "amount": "10.00"})).json["confirm_by"] is not None
        assert (await till.order("t-1", tip("11.00"))).status == 200
        assert (await till.ask("GET", f"{ORDERS}/s-1")).json["confirm_by"] is None
        assert (await till.order("s-2", {**SALE, "amount": "7.00"})).status == 200
        await stage.until(lambda: [t.status for t in stage.state().transactions.values()][2] is TxnStatus.REVERSED)
        assert await closed(stage, till) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.debit_minor == 1100

    run(staged, story, {"confirm_within_s": 0.5}, change=PATIENT)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"type": "tip", "original": "s-1"}, "$"),
        ({"type": "tip", "amount": "1.00"}, "$"),
        ({**tip("1.00"), "card": CARD_IN_HAND}, "$"),
        ({**tip("1.00"), "tip": "0.50"}, "$"),
        ({**OFFLINE, "approval_code": "77"}, "$.approval_code"),
        ({"type": "offline_sale", "amount": "1.00"}, "$"),
        ({**OFFLINE, "original": "s-1"}, "$"),
    ],
)
def test_what_does_not_fit_is_said_where(body: dict[str, Any], where: str, staged: MakeStage) -> None:
    async def story(stage: Stage, till: Till) -> None:
        answer = await till.order("x-1", body)
        assert (answer.status, answer.json["where"]) == (422, where)

    run(staged, story)
