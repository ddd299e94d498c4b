"""Pre-authorisations through the whole daemon, before a host that keeps its own books and checks every field."""

from collections.abc import Callable
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import CloseOutcome, ReversalStatus, TxnStatus
from posd.values import Tid
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play

MakeStage = Callable[..., Stage]
HELD: dict[str, Any] = {"do": "preauth", "amount": "10.00", "card": CARD, "expiry": EXPIRY}


async def said(stage: Stage, do: str, **more: Any) -> dict[str, Any]:
    return await stage.terminal().do({"do": do, **more})


async def held(stage: Stage) -> int:
    """A terminal that is signed in, with one hold: its trace number."""
    await stage.start()
    await said(stage, "sign_in")
    result = await stage.terminal().do(HELD)
    assert result["outcome"] == "approved", result
    return int(result["stan"])


async def settled(stage: Stage) -> CloseOutcome:
    done = await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("settle", "Li Wei"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state().last_close is not None)
    close = stage.state().last_close
    assert close is not None
    return close.outcome


def nothing_was_odd(stage: Stage) -> None:
    """No field was missing, forbidden or wrong in anything that the host was told."""
    terminal = stage.acquirer.dump()["terminals"][0]
    assert (terminal["remarks"], terminal["conformance"]) == ([], [])


def at_host(stage: Stage, kind: str) -> list[dict[str, Any]]:
    batches = stage.acquirer.dump()["terminals"][0]["batches"]
    return [entry for batch in batches for entry in batch["transactions"] if entry["kind"] == kind]


def test_a_hold_is_completed_voided_and_completed_again(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        hold = await held(stage)
        first = await said(stage, "complete", of_stan=hold, amount="11.00")
        assert first["outcome"] == "approved"
        assert (await said(stage, "complete", of_stan=hold))["code"] == "12"
        assert (await said(stage, "complete_void", of_stan=first["stan"]))["outcome"] == "approved"
        second = await said(stage, "complete", of_stan=hold, amount="9.00")
        assert second["outcome"] == "approved"
        assert [one["amount"] for one in at_host(stage, "completion")] == [1100, 900]
        assert await settled(stage) is CloseOutcome.AGREED
        totals = stage.state().last_close.totals.domestic
        assert (totals.debit_minor, totals.credit_minor) == (2000, 1100)
        nothing_was_odd(stage)
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_a_hold_of_a_settled_batch_is_completed_in_the_next_one(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        hold = await held(stage)
        batch = stage.terminal().terminal.batch
        await stage.sale("5.00")
        assert await settled(stage) is CloseOutcome.AGREED
        await said(stage, "sign_in")
        assert (await said(stage, "complete", of_stan=hold, of_batch=batch))["outcome"] == "approved"
        assert at_host(stage, "preauth")[0]["state"] == "completed"
        nothing_was_odd(stage)

    play(staged(), story)


def test_a_hold_is_released(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        hold = await held(stage)
        assert (await said(stage, "preauth_void", of_stan=hold))["outcome"] == "approved"
        assert (await said(stage, "complete", of_stan=hold))["code"] == "12"
        assert at_host(stage, "preauth")[0]["state"] == "voided"
        nothing_was_odd(stage)

    play(staged(), story)


@pytest.mark.parametrize(
    ("do", "kind", "mti"),
    [("preauth_void", "preauth_void", "0100"), ("complete", "completion", "0200"), ("complete_void", None, "0200")],
)
def test_d9_each_is_reversed_when_its_answer_is_lost(do: str, kind: str | None, mti: str, staged: MakeStage) -> None:
    """Field 61 of the 0400 is the request's own, and the host finds the hold as it was before (reference 1.10)."""

    async def story(stage: Stage) -> None:
        of = await held(stage)
        if do == "complete_void":
            of = int((await said(stage, "complete", of_stan=of))["stan"])
        result = await said(stage, do, of_stan=of)
        assert result["code"] == "98"
        await stage.until(
            lambda: [rev.status for rev in stage.state().reversals.values()] == [ReversalStatus.ACKNOWLEDGED]
        )
        assert (await said(stage, do, of_stan=of))["outcome"] == "approved"
        nothing_was_odd(stage)
        await stage.end()
        assert stage.differences() == []

    nth = {"preauth_void": 2, "complete": 1, "complete_void": 2}[do]
    play(staged(faults=({"mti": mti, "do": "lose_answer", "nth": nth},)), story)


def test_a_hold_whose_answer_is_lost_is_reversed_as_a_0100(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        await said(stage, "sign_in")
        assert (await stage.terminal().do(HELD))["code"] == "98"
        (txn,) = stage.state().transactions.values()
        await stage.until(lambda: stage.state().transactions[txn.request_id].status is TxnStatus.REVERSED)
        assert at_host(stage, "preauth")[0]["state"] == "reversed"
        nothing_was_odd(stage)

    play(staged(faults=({"mti": "0100", "do": "lose_answer", "nth": 1},)), story)


@pytest.mark.parametrize("unbalance", ["none", "both"])
@pytest.mark.parametrize(
    ("load", "debit", "credit"), [("ec_load", 0, 0), ("ec_cash_load", 300, 300), ("ec_transfer_load", 300, 0)]
)
def test_a_purse_is_loaded_and_counted_where_it_counts(
    load: str, debit: int, credit: int, unbalance: str, staged: MakeStage
) -> None:
    """A cash load counts in credit and its void in debit (reference 1.6)."""

    async def story(stage: Stage) -> None:
        await stage.start()
        await said(stage, "sign_in")
        await stage.sale("1.00")
        loaded = await said(stage, load, amount="3.00", card=CARD, expiry=EXPIRY)
        assert loaded["outcome"] == "approved"
        if load == "ec_cash_load":
            assert (await said(stage, "ec_cash_load_void", of_stan=loaded["stan"]))["outcome"] == "approved"
        nothing_was_odd(stage)
        assert await settled(stage) is (CloseOutcome.OUT_OF_BALANCE if unbalance == "both" else CloseOutcome.AGREED)
        totals = stage.state().last_close.totals.domestic
        assert (totals.debit_minor, totals.credit_minor) == (100 + debit, credit)
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["differences"], settlement["end_count_agrees"]) == ([], True), "what counts is uploaded"

    play(staged(behaviour={"unbalance": unbalance}), story)
