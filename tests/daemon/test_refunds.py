"""Refunds through the whole daemon, with a host that keeps its own books (D13, D28)."""

from collections.abc import Callable
from typing import Any

from posd.core import events as e
from posd.core.state import CloseOutcome, Evidence, Transaction, TxnStatus
from posd.values import RequestId, Tid
from tests.daemon.stage import CARD, EXPIRY, TID, Stage, play

MakeStage = Callable[..., Stage]
REFUND = {"do": "refund", "amount": "4.00", "card": CARD, "expiry": EXPIRY, "rrn": "123456789012", "date": "0102"}


async def asked(stage: Stage, **more: Any) -> tuple[dict[str, Any], Transaction]:
    """A sale, then a refund of a terminal that is signed in: its answer, and what posd knows of it."""
    await stage.start()
    await stage.terminal().do({"do": "sign_in"})
    await stage.sale("10.00")
    result = await stage.terminal().do({**REFUND, **more})
    (txn,) = [txn for txn in stage.state().transactions.values() if txn.kind == "refund"]
    return result, txn


async def settled(stage: Stage) -> CloseOutcome:
    done = await stage.daemon.lanes[Tid(TID)].command(e.SettleNow("settle", "Li Wei"))
    assert done.ok, done.text
    await stage.until(lambda: stage.state().last_close is not None)
    assert stage.state().last_close is not None
    return stage.state().last_close.outcome


def at_host(stage: Stage, *kinds: str) -> list[dict[str, Any]]:
    batch = stage.acquirer.dump()["terminals"][0]["batches"][0]
    return [entry for entry in batch["transactions"] if entry["kind"] in (kinds or ("refund",))]


def remarks(stage: Stage) -> list[str]:
    return [said for said in stage.acquirer.dump()["terminals"][0]["remarks"] if "0220" in said or "0320" in said]


def of(stage: Stage, request_id: RequestId) -> Transaction:
    found = stage.state().find(request_id)
    assert found is not None
    return found


def test_d13_a_refund_is_approved_and_settled(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        result, txn = await asked(stage)
        assert (result["outcome"], result["amount"], txn.status) == ("approved", 400, TxnStatus.APPROVED)
        assert await settled(stage) is CloseOutcome.AGREED
        assert stage.state().last_close.totals.domestic.credit_minor == 400
        assert remarks(stage) == []
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d13_a_refund_is_uploaded_when_the_totals_differ(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await asked(stage)
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["matched"], settlement["differences"], settlement["end_count_agrees"]) == (2, [], True)
        assert remarks(stage) == []

    play(staged(behaviour={"unbalance": "both"}), story)


def test_d13_a_refund_whose_answer_is_lost_stays_in_doubt_until_a_person_knows(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        result, txn = await asked(stage)
        assert (result["code"], txn.status) == ("98", TxnStatus.IN_DOUBT)
        assert len(stage.received("0220")) == 1, "it is not sent again"
        assert stage.received("0400") == [], "it is never reversed"
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        assert of(stage, txn.request_id).status is TxnStatus.IN_DOUBT
        word = e.ResolveRefund("word", "Li Wei", "on the acquirer's list", txn.request_id, True)
        assert (await stage.daemon.lanes[Tid(TID)].command(word)).ok
        assert of(stage, txn.request_id).status is TxnStatus.APPROVED

    play(staged(faults=({"mti": "0220", "do": "lose_answer"},)), story)


def test_d13_balanced_totals_without_it_say_that_it_did_not_happen(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        result, txn = await asked(stage)
        assert (result["code"], at_host(stage)) == ("98", [])
        assert await settled(stage) is CloseOutcome.AGREED
        found_out = of(stage, txn.request_id).found_out
        assert found_out is not None
        assert (found_out.happened, found_out.how) == (False, Evidence.RECONCILIATION)

    play(staged(faults=({"mti": "0220", "do": "lose_request"},)), story)


def test_d13_where_the_acquirer_wants_it_it_is_repeated_once_with_the_same_stan(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        result, txn = await asked(stage)
        assert (result["outcome"], txn.status, txn.repeated) == ("approved", TxnStatus.APPROVED, True)
        (entry,) = at_host(stage)
        assert (entry["stan"], entry["times_asked"], entry["amount"]) == (txn.stan, 2, 400)
        assert await settled(stage) is CloseOutcome.AGREED

    once = {"mti": "0220", "do": "lose_answer", "nth": 1}
    play(staged(faults=(once,), change={"host": {"refund_repeat": "once"}}), story)


def test_d28_a_refund_without_the_terminals_mac_is_refused_unsent(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await stage.start()
        result = await stage.terminal().do(REFUND)
        assert result["code"] == "58"
        assert stage.received("0220") == []

    play(staged(), story)


# --- of what posd knows ----------------------------------------------------------------------------------------------


async def slip(stage: Stage) -> dict[str, Any]:
    """A sale, as its slip names it."""
    await stage.start()
    await stage.terminal().do({"do": "sign_in"})
    sold = await stage.sale("10.00")
    (txn,) = stage.state().transactions.values()
    assert txn.facts is not None
    return {"rrn": sold["rrn"], "date": txn.facts.host_date, "of_stan": sold["stan"]}


def test_a_sale_that_was_voided_is_not_refunded_too(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        named = await slip(stage)
        assert (await stage.terminal().do({"do": "void", "of_stan": named["of_stan"]}))["outcome"] == "approved"
        assert (await stage.terminal().do({**REFUND, **named}))["code"] == "12"
        assert stage.received("0220") == []

    play(staged(), story)


def test_a_sale_that_was_refunded_is_not_voided_too(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        named = await slip(stage)
        assert (await stage.terminal().do({**REFUND, **named}))["outcome"] == "approved"
        assert (await stage.terminal().do({**REFUND, **named, "amount": "7.00"}))["code"] == "64"
        assert (await stage.terminal().do({"do": "void", "of_stan": named["of_stan"]}))["code"] == "12"
        assert await settled(stage) is CloseOutcome.AGREED
        assert remarks(stage) == []

    play(staged(), story)


EC_REFUND: dict[str, Any] = {"do": "ec_refund", "amount": "1.00", "card": CARD, "expiry": EXPIRY, "date": "0102"}
EC_SALE: dict[str, Any] = {"do": "ec_sale", "amount": "2.00", "card": CARD, "expiry": EXPIRY}


async def spent_and_refunded(stage: Stage) -> dict[str, Any]:
    await stage.start()
    await stage.terminal().do({"do": "sign_in"})
    sold = await stage.terminal().do(EC_SALE)
    return await stage.terminal().do({**EC_REFUND, "of_stan": sold["stan"]})


def test_d13_electronic_cash_is_given_back_on_line_after_its_sale_was_delivered(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        result = await spent_and_refunded(stage)
        assert result["outcome"] == "approved"
        assert [one["kind"] for one in at_host(stage, "ec_sale", "ec_refund")] == ["ec_sale", "ec_refund"]
        again = await stage.terminal().do({**EC_REFUND, "amount": "1.50", "of_stan": 2})
        assert again["code"] == "64"
        assert await settled(stage) is CloseOutcome.AGREED
        assert remarks(stage) == []
        await stage.end()
        assert stage.differences() == []

    play(staged(), story)


def test_d13_its_terminal_hears_the_hosts_no(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        assert (await spent_and_refunded(stage))["code"] == "25"
        assert await settled(stage) is CloseOutcome.AGREED

    play(staged(faults=({"mti": "0220", "do": "refuse", "code": "25"},)), story)


def test_d13_one_whose_answer_is_lost_is_in_doubt_and_never_reversed(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        assert (await spent_and_refunded(stage))["code"] == "98"
        assert (len(stage.received("0220")), stage.received("0400")) == (1, [])
        assert [txn.kind for txn in stage.state().in_doubt()] == ["ec_refund"]
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE

    play(staged(faults=({"mti": "0220", "do": "lose_answer"},)), story)


def test_d21_it_is_uploaded_when_the_totals_differ(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        assert (await spent_and_refunded(stage))["outcome"] == "approved"
        assert await settled(stage) is CloseOutcome.OUT_OF_BALANCE
        settlement = stage.acquirer.dump()["terminals"][0]["batches"][0]["settlements"][0]
        assert (settlement["matched"], settlement["differences"], settlement["end_count_agrees"]) == (2, [], True)
        assert remarks(stage) == []

    play(staged(behaviour={"unbalance": "both"}), story)
