"""Tips through the whole daemon, before a host that keeps its own books and knows a tip by the sale that it names."""

from typing import Any

import pytest

from posd.core.state import CloseOutcome
from tests.daemon.stage import Stage, play
from tests.daemon.test_preauth import MakeStage, at_host, nothing_was_odd, said, settled


async def sold(stage: Stage, amount: str = "10.00") -> dict[str, Any]:
    await stage.start()
    await said(stage, "sign_in")
    return await stage.sale(amount)


async def tip(stage: Stage, sale: dict[str, Any], amount: str) -> str:
    return str((await said(stage, "tip", of_stan=sale["stan"], amount=amount))["code"])


def test_a_tip_is_lowered_and_each_names_the_sale(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        sale = await sold(stage)
        assert await tip(stage, sale, "12.01") == "64", "more than the ceiling never reaches the host"
        for amount in ("12.00", "11.00", "10.00", "11.50"):
            assert await tip(stage, sale, amount) == "00"
        assert await settled(stage) is CloseOutcome.AGREED
        assert [(one["amount"], one["state"]) for one in at_host(stage, "tip")] == [
            (1200, "adjusted"),
            (1100, "adjusted"),
            (1000, "adjusted"),
            (1150, "approved"),
        ]
        nothing_was_odd(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


@pytest.mark.parametrize("unbalance", ["none", "both"])
def test_a_sale_with_a_tip_is_voided_with_it(unbalance: str, staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        sale = await sold(stage)
        assert await tip(stage, sale, "11.50") == "00"
        assert (await said(stage, "void", of_stan=sale["stan"]))["code"] == "00"
        assert await settled(stage) is (CloseOutcome.AGREED if unbalance == "none" else CloseOutcome.OUT_OF_BALANCE)
        totals = stage.state().last_close.totals.domestic
        assert (totals.debit_minor, totals.credit_minor) == (1150, 1150)
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["differences"], settlement["end_count_agrees"]) == ([], True)
        nothing_was_odd(stage)

    play(staged(behaviour={"unbalance": unbalance}), story)


def test_a_lost_answer_to_such_a_void_leaves_sale_and_tip(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        sale = await sold(stage)
        assert await tip(stage, sale, "11.50") == "00"
        await stage.sale("1.00")
        assert (await said(stage, "void", of_stan=sale["stan"]))["code"] == "98"
        assert await settled(stage) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.debit_minor == 1250
        nothing_was_odd(stage)

    play(staged(faults=({"mti": "0200", "do": "lose_answer", "nth": 3},)), story)


def test_a_tip_that_the_host_refuses_is_corrected(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        sale = await sold(stage)
        assert await tip(stage, sale, "12.00") == "00"
        await stage.sale("1.00")
        await stage.until(lambda: not stage.state().undelivered_advices())
        assert await tip(stage, sale, "11.00") == "00"
        assert await settled(stage) is CloseOutcome.AGREED
        assert [(one["amount"], one["state"]) for one in at_host(stage, "tip")] == [
            (1200, "declined"),
            (1100, "approved"),
        ]

    play(staged(faults=({"mti": "0220", "do": "refuse", "code": "61", "nth": 1},)), story)
