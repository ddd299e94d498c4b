"""Advices through the whole daemon, before a host that keeps its own books and checks every field (reference 1.9)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import AdviceStatus, CloseOutcome, Settled
from posd.daemon.recover import owes
from tests.daemon.shown.test_settlement_report import kinds, report
from tests.daemon.stage import CARD, EXPIRY, Stage, play
from tests.daemon.test_preauth import MakeStage, at_host, held, nothing_was_odd, said, settled

CARD_IN_HAND: dict[str, Any] = {"card": CARD, "expiry": EXPIRY}
Told = Callable[[Stage], Any]


async def offline_sale(stage: Stage, amount: str = "4.00", **more: Any) -> int:
    result = await said(stage, "offline_sale", amount=amount, approval="777777", **CARD_IN_HAND, **more)
    assert result["outcome"] == "approved", result
    return int(result["stan"])


def statuses(stage: Stage) -> list[AdviceStatus]:
    return [advice.status for advice in stage.state().advices.values()]


async def signed_in(stage: Stage) -> None:
    await stage.start()
    await said(stage, "sign_in")


async def a_notice(stage: Stage) -> None:
    hold = await held(stage)
    assert (await said(stage, "complete_notice", of_stan=hold, amount="11.00"))["outcome"] == "approved"


async def an_offline_sale(stage: Stage) -> None:
    await signed_in(stage)
    await offline_sale(stage)


async def an_adjustment(stage: Stage) -> None:
    await signed_in(stage)
    of = await offline_sale(stage)
    assert (await said(stage, "adjust", of_stan=of, amount="3.50"))["outcome"] == "approved"


async def a_tip(stage: Stage) -> None:
    await signed_in(stage)
    sold = await stage.sale("10.00")
    assert (await said(stage, "tip", of_stan=sold["stan"], amount="11.50"))["outcome"] == "approved"


async def electronic_cash(stage: Stage) -> None:
    await signed_in(stage)
    assert (await said(stage, "ec_sale", amount="2.00", **CARD_IN_HAND))["outcome"] == "approved"


KINDS: dict[str, tuple[Told, list[tuple[str, int]]]] = {
    "completion_notice": (a_notice, [("completion_notice", 1100)]),
    "offline_sale": (an_offline_sale, [("offline_sale", 400)]),
    "adjust": (an_adjustment, [("offline_sale", 400), ("adjust", 350)]),
    "tip": (a_tip, [("tip", 1150)]),
    "ec_sale": (electronic_cash, [("ec_sale", 200)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_delivered_before_the_totals_and_these_agree(kind: str, staged: MakeStage) -> None:
    tell, expected = KINDS[kind]

    async def story(stage: Stage) -> None:
        await tell(stage)
        assert await settled(stage) is CloseOutcome.AGREED
        told = [(one["kind"], one["amount"]) for name in dict(expected) for one in at_host(stage, name)]
        assert told == expected
        assert set(statuses(stage)) == {AdviceStatus.DONE}
        nothing_was_odd(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


@pytest.mark.parametrize("kind", KINDS)
def test_d21_each_is_uploaded_as_the_record_that_it_is_when_the_totals_differ(kind: str, staged: MakeStage) -> None:
    tell, _ = KINDS[kind]

    async def story(stage: Stage) -> None:
        await tell(stage)
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["differences"], settlement["end_count_agrees"]) == ([], True)
        nothing_was_odd(stage)

    play(staged(behaviour={"unbalance": "both"}), story)


def test_one_follows_each_approval(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await signed_in(stage)
        for _ in range(3):
            await offline_sale(stage)
        assert stage.received("0220") == []
        for number in (1, 2):
            await stage.sale("1.00")
            await stage.until(lambda wanted=number: statuses(stage).count(AdviceStatus.DONE) == wanted)
        assert len(at_host(stage, "offline_sale")) == 2

    play(staged(), story)


def test_d14_an_advice_whose_answer_was_lost_is_done_by_94(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        assert await settled(stage) is CloseOutcome.AGREED
        (row,) = stage.rig.records("advice_acknowledged")
        assert '"code":"94"' in row.payload
        assert '"after_silence":true' in row.payload
        assert len(at_host(stage, "offline_sale")) == 1
        assert stage.received("0400") == []

    play(staged(faults=({"mti": "0220", "do": "lose_answer", "nth": 1},), behaviour={"repeat_advice": "94"}), story)


def test_totals_that_agree_end_an_advice_that_was_never_answered(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        assert await settled(stage) is CloseOutcome.AGREED
        (advice,) = stage.state().advices.values()
        assert (advice.status, advice.settled) == (AdviceStatus.DONE, Settled.TOTALS)
        assert stage.rig.records("advice_carried_over")

    short = {"settlement": {"hold_max_s": 0.2}, "advice": {"retry": {"first_s": 0.1, "max_s": 0.2}}}
    play(staged(faults=({"mti": "0220", "do": "lose_answer"},), change=short), story)


def test_d19_an_advice_that_never_arrived_is_taken_in_the_upload(staged: MakeStage) -> None:
    """Counted and carried over: the host lacks it, asks for the batch, and has it then. It is not sent again."""

    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        (advice,) = stage.state().advices.values()
        assert (advice.status, advice.settled) == (AdviceStatus.DONE, Settled.UPLOAD)
        before = len(stage.received("0220"))
        await stage.sale("1.00")
        await asyncio.sleep(0.3)
        assert len(stage.received("0220")) == before

    short = {"settlement": {"hold_max_s": 0.2}, "advice": {"retry": {"first_s": 0.1, "max_s": 0.2}}}
    play(staged(faults=({"mti": "0220", "do": "lose_request"},), change=short), story)


def test_d6_an_advice_that_is_told_again_is_answered_from_state(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await signed_in(stage)
        stan = await offline_sale(stage)
        again = await said(stage, "repeat", stan=stan)
        assert again["outcome"] == "approved"
        assert len(stage.state().advices) == 1

    play(staged(), story)


def test_d17_an_advice_that_has_not_left_is_taken_back_and_one_that_has_is_not(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await signed_in(stage)
        stan = await offline_sale(stage)
        assert (await said(stage, "reverse", stan=stan))["code"] == "00"
        assert statuses(stage) == [AdviceStatus.CANCELLED]
        left = await offline_sale(stage)
        await stage.sale("1.00")
        await stage.until(lambda: AdviceStatus.DONE in statuses(stage))
        assert (await said(stage, "reverse", stan=left))["code"] == "06"
        assert stage.received("0400") == []

    play(staged(), story)


def test_d1_what_was_stored_before_a_restart_is_delivered_after_it(staged: MakeStage) -> None:
    """From the sealed facts alone: nothing of the card is in memory any more."""

    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        await stage.end()
        assert CARD not in (stage.folder / "state" / "journal" / "journal.db").read_bytes().decode("latin-1")
        await stage.start()
        assert await settled(stage) is CloseOutcome.AGREED
        assert [one["amount"] for one in at_host(stage, "offline_sale")] == [400]
        nothing_was_odd(stage)

    play(staged(), story)


def test_a_person_ends_an_advice_that_the_host_will_not_have(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        await stage.sale("1.00")
        await stage.until(lambda: statuses(stage) == [AdviceStatus.REFUSED])
        (of,) = stage.state().advices
        lane = stage.daemon.lanes[stage.state().tid]
        assert (await lane.command(e.ResolveAdvice("w", "Li Wei", "paid in cash", of))).ok
        assert await settled(stage) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.debit_minor == 100

    play(staged(faults=({"mti": "0220", "do": "refuse", "code": "14"},)), story)


def test_d19_a_carried_over_advice_stands_in_the_report_with_its_fate(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        await stage.sale("1.00")
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        shown = report(stage)
        (carried,) = shown["carried_over"]
        assert (carried["kind"], carried["amount"], carried["advice"]) == ("offline_sale", "4.00", "done")
        assert "advice_carried_over" in kinds(shown)
        assert [(one["why"], one["fits"]) for one in shown["suspects"]] == [("advice_owed", True)]
        assert [one["fate"] for one in shown["items"]] == ["uploaded", "uploaded"]

    short = {"settlement": {"hold_max_s": 0.2}, "advice": {"retry": {"first_s": 0.1, "max_s": 0.2}}}
    play(staged(faults=({"mti": "0220", "do": "lose_request"},), change=short), story)


def test_d35_a_terminal_that_has_advices_to_deliver_is_not_configured_away(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await an_offline_sale(stage)
        assert owes(stage.state(), stage.daemon.lanes[stage.state().tid].lane.engine.rules) == (
            "1 advice(s) are not delivered"
        )
        assert await settled(stage) is CloseOutcome.AGREED
        assert owes(stage.state(), stage.daemon.lanes[stage.state().tid].lane.engine.rules) == ""

    play(staged(), story)
