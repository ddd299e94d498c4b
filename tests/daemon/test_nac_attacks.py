"""What a hostile reader of the NAC dialect tries: each of these once lost money, lied, or stopped a shop."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from posd.cli.lang import Lang
from posd.cli.settlement import _lines as lines_of
from posd.cli.slip import slip
from posd.cli.txn import _lines as told
from posd.core import events as e
from posd.core.state import AdviceStatus, CloseOutcome, ReversalStatus, SettlementPhase, TxnStatus
from posd.daemon.shown.settlement_report import settlement_report
from posd.daemon.shown.terminal_view import blockers, terminal_view
from posd.daemon.shown.views import Around, diagnosis_view, transaction_view
from posd.journal.reader import JournalReader
from posd.values import Now, Tid
from simulators.terminal.core import CardInHand, Sent
from tests.daemon.nac_stage import CARD, EXPIRY, OTHER, TID, NacStage, stage
from tests.daemon.stage import play
from tests.daemon.till.client import with_till

HELD = CardInHand(CARD, EXPIRY)
SCRIPT = "7210" + "9F180412345678" + "86078424000002AABB"
TRACK_1 = f"B{CARD}^DOE/JANE^{EXPIRY}2010000012345678"


@pytest.fixture
def nac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **how: stage(tmp_path, monkeypatch, **how)


async def say(shop: NacStage, sent: Sent) -> dict[str, Any]:
    return dict(await shop.nac_terminal().exchange(sent, 6.0))


def again(shop: NacStage, sent: Sent, mti: str = "", **fields: str | None) -> Sent:
    """The terminal's message with other fields."""
    terminal = shop.nac_terminal().terminal
    changed = {int(name[1:]): value for name, value in fields.items()}
    made = terminal._sent(sent.do, mti or sent.message.mti, {**sent.message.fields, **changed})
    if sent.stan in terminal.log and not mti:
        terminal.log[sent.stan].sent = made
    return made


def leaving(shop: NacStage, mti: str) -> list[dict[str, str]]:
    """What left for the host under this MTI, as the journal shows it."""
    return [json.loads(row.fields) for row in shop.rig.messages("out", "host", mti)]


async def settled(shop: NacStage) -> CloseOutcome:
    identity = shop.state().batch.identity
    await shop.insist(lambda of: e.SettleNow(of, "anna"))
    await shop.until(lambda: shop.state().batch.identity > identity)
    last = shop.state().last_close
    assert last is not None
    return last.outcome


# --- a terminal that waits for 00 (reference 2.6) --------------------------------------------------------------------


def test_d17_a_terminals_reversal_of_what_never_came_is_done_and_stays_so(nac: Any) -> None:
    """It sells nothing until its 0400 is answered 00: 78 would stop the shop for good."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        lost = shop.nac_terminal().terminal.sale(HELD, 5_000)
        assert (await shop.do("reverse", stan=lost.stan))["code"] == "00"
        assert (await say(shop, lost))["code"] == "12", "and it does not happen later"
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert shop.spent() == 1_000
        assert shop.received("0400", TID) == []

    play(nac(), story)


def test_d17_a_terminal_that_can_live_with_it_is_told_78(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        lost = shop.nac_terminal().terminal.sale(HELD, 5_000)
        assert (await shop.do("reverse", stan=lost.stan))["code"] == "78"

    play(nac(change={"host": {"nac": {"reversal_of_nothing": "78"}}}), story)


@pytest.mark.parametrize("field", [{"f62": "000777"}, {"f11": "000777"}, {"f3": "002000"}])
def test_d17_what_stands_is_not_said_to_be_undone_under_a_number_that_is_not_its_own(
    nac: Any, field: dict[str, str]
) -> None:
    """00 would tell the terminal that the customer has not paid."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        terminal = shop.nac_terminal().terminal
        reversal = again(shop, terminal.reverse(sold["stan"]), "0400", **field)
        assert (await say(shop, reversal))["code"] == "78"
        assert shop.alerts("terminal_reversal_ambiguous")
        assert shop.spent() == 1_000
        lost = terminal.void(sold["stan"])
        assert (await shop.do("reverse", stan=lost.stan))["code"] == "00", "a void that never came is another thing"

    play(nac(), story)


def test_d17_a_0400_takes_an_advice_back_only_before_it_has_left(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        first, second = (terminal.offline_sale(CardInHand(OTHER, EXPIRY), minor, "123456") for minor in (700, 800))
        for sent in (first, second):
            assert (await say(shop, sent))["outcome"] == "approved"
        assert (await shop.do("reverse", stan=first.stan))["code"] == "00"
        await shop.sale("1.00")
        await shop.until(lambda: AdviceStatus.DONE in {one.status for one in shop.state().advices.values()})
        assert (await shop.do("reverse", stan=second.stan))["code"] == "12", "the host has it: 00 would be a lie"
        assert await settled(shop) is CloseOutcome.AGREED
        assert shop.spent(OTHER) == 800

    play(nac(), story)


# --- chips -----------------------------------------------------------------------------------------------------------


def test_what_the_issuer_says_to_the_chip_reaches_its_terminal(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00", entry="051", sequence="001")
        assert (sold["outcome"], sold.get("issuer_authentication"), sold.get("script")) == ("approved", True, True)
        asked_again = await shop.do("repeat", stan=sold["stan"])
        assert asked_again.get("issuer_authentication")
        assert not asked_again.get("script"), "scripts may carry a new PIN, and are kept nowhere"
        assert SCRIPT not in "".join(row.payload for row in shop.rig.records())
        assert await settled(shop) is CloseOutcome.AGREED
        assert "script_results_not_told" not in shop.events(), "this dialect has no message for it"

    play(nac(card={"issuer_auth": True, "scripts": (SCRIPT,)}), story)


@pytest.mark.parametrize("code", ["Z1", "Z3", "05"])
def test_what_a_chip_declined_offline_is_never_sold(nac: Any, code: str) -> None:
    """Reference 2.7: an advice may say so, and no money moved."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        told = terminal.offline_sale(CardInHand(OTHER, EXPIRY, "051", "001"), 700, "123456")
        assert (await say(shop, again(shop, told, f39=code)))["code"] == "12"
        assert shop.state().advices == {}
        assert "it was not approved" in shop.rig.records("request_refused")[0].payload

    play(nac(), story)


@pytest.mark.parametrize("code", ["Y1", "Y3"])
def test_what_a_chip_approved_offline_is_told_with_its_code_and_its_certificate(nac: Any, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        told = terminal.offline_sale(CardInHand(OTHER, EXPIRY, "051", "001"), 700, "123456")
        assert (await say(shop, again(shop, told, f39=code)))["outcome"] == "approved"
        assert await settled(shop) is CloseOutcome.AGREED
        for mti in ("0220", "0320"):
            (sent,) = leaving(shop, mti)
            assert sent["39"] == code
            assert "9F26" in sent["55"]
        assert shop.spent(OTHER) == 700
        assert shop.remarks() == []

    play(nac(nac={"disagree": "totals"}), story)


def test_a_card_of_which_only_track_1_was_read_is_reversed_with_its_expiry(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sale = again(shop, shop.nac_terminal().terminal.sale(HELD, 6_600), f2=None, f35=None, f45=TRACK_1)
        assert (await say(shop, sale))["outcome"] == "declined"
        await shop.until(lambda: leaving(shop, "0400"))
        assert leaving(shop, "0400")[0].keys() >= {"2", "14"}

    play(nac(faults=({"do": "lose_answer", "mti": "0200", "times": 1},)), story)


# --- the close, and what crosses it ----------------------------------------------------------------------------------


def test_d19_what_a_terminal_takes_back_amid_the_close_is_said_at_its_end(nac: Any) -> None:
    """The host closes with it: whether the reversal is honoured after that is for a person to look at."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.phase is SettlementPhase.TOTALS)
        assert (await shop.do("reverse", stan=sold["stan"]))["code"] == "00"
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert shop.alerts("reversal_carried_over")
        await shop.until(lambda: not shop.state().unended_reversals())
        (reversal,) = shop.state().reversals.values()
        assert (reversal.status, reversal.carried_over) == (ReversalStatus.ACKNOWLEDGED, True)
        assert shop.spent() == 0

    slow = {"do": "delay", "mti": "0500", "ms": 700}
    play(nac(faults=(slow,), change={"host": {"reply_timeout_s": 3}}), story)


def test_d14_a_closing_that_agrees_ends_the_doubt_about_an_advice(nac: Any) -> None:
    """Booked at once, its answer lost, then refused: 95, the upload, and 00 say that the host has it."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved"
        await shop.sale()
        advice = lambda: next(iter(shop.state().advices.values()))  # noqa: E731
        await shop.until(lambda: advice().unanswered == 1)
        await shop.command(lambda of: e.RetryAdvices(of, "anna", None))
        await shop.until(lambda: advice().status is AdviceStatus.DOUBTFUL)
        assert shop.spent(OTHER) == 700
        assert await settled(shop) is CloseOutcome.AGREED
        assert (advice().status, advice().settled) == (AdviceStatus.DONE, "totals")

    faults = (
        {"do": "lose_answer", "mti": "0220", "times": 1},
        {"do": "answer_code", "mti": "0220", "code": "14"},
    )
    play(nac(faults=faults, nac={"disagree": "totals"}), story)


def test_a_blocked_reversal_holds_the_totals_over_a_power_cut(nac: Any) -> None:
    faults = (
        {"do": "lose_answer", "mti": "0200", "amount": "66.00", "times": 1},
        {"do": "refuse", "mti": "0400", "code": "96"},
    )

    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        await shop.sale("66.00")
        stuck = lambda: [one.status for one in shop.state().reversals.values()] == [ReversalStatus.STUCK]  # noqa: E731
        await shop.until(stuck)
        await shop.insist(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.phase is SettlementPhase.DRAINING)
        await shop.end()
        await shop.start()
        await shop.until(lambda: len(leaving(shop, "0400")) > 0)
        assert shop.state().settlement.phase is SettlementPhase.DRAINING
        assert (await shop.sale("20.00"))["code"] == "96"
        around = Around(shop.daemon.lanes[Tid(TID)].lane.engine.rules, Now(0, 0))
        view = terminal_view(shop.state(), around)
        assert view["sales_blocked"] == "a reversal is stuck"
        waits = {one["code"]: one["text"] for one in blockers(shop.state(), around)}["reversals"]
        assert "it waits until they are" in waits, "no hold ends it"
        (reversal,) = shop.state().reversals.values()
        shown = diagnosis_view(reversal, shop.state(), around)
        assert "attempt: answered 96" in [one["text"] for one in shown["evidence"]]
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved", "what has happened is taken all the same"
        assert shop.received("0500", TID) == []
        (of,) = shop.state().reversals
        await shop.insist(lambda command: e.ResolveReversal(command, "anna", "undone by the acquirer", of))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert (await shop.sale("20.00"))["outcome"] == "approved"
        assert shop.spent(OTHER) == 700
        (closed,) = shop.batches()[0]["settlements"]
        assert closed["groups"]["all"]["asked"]["debit_minor"] == 1_700

    play(nac(faults=faults, change={"settlement": {"hold_max_s": 0}}), story)


def test_a_void_that_is_taken_back_leaves_the_sale_with_its_tip_and_so_it_is_uploaded(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold, other = await shop.sale("10.00"), await shop.sale("20.00", OTHER)
        assert (await shop.do("tip", of_stan=sold["stan"], tip="1.00"))["outcome"] == "approved"
        assert (await shop.do("adjust", of_stan=other["stan"], amount="0.00"))["outcome"] == "approved"
        voided = await shop.do("void", of_stan=sold["stan"])
        assert voided["outcome"] == "approved"
        assert (await shop.do("reverse", stan=voided["stan"]))["code"] == "00"
        await shop.until(lambda: not shop.state().unended_reversals())
        assert await settled(shop) is CloseOutcome.AGREED
        (closed,) = shop.batches()[0]["settlements"]
        assert (closed["uploaded"], closed["matched"], closed["differences"]) == (1, 1, [])
        assert closed["groups"]["all"]["asked"]["debit_minor"] == 1_100
        assert (shop.spent(), shop.spent(OTHER)) == (1_100, 0)

    play(nac(nac={"disagree": "totals"}), story)


def test_an_invoice_number_that_is_used_twice_voids_the_sale_that_its_reference_names(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        first = await shop.sale("10.00")
        terminal.invoice = 1
        second = await shop.sale("10.00")
        assert first["outcome"] == second["outcome"] == "approved"
        assert (await shop.do("void", of_stan=first["stan"]))["outcome"] == "approved"
        by_stan = {txn.terminal_stan: txn for txn in shop.state().transactions.values()}
        assert by_stan[first["stan"]].replaced_by is not None
        assert by_stan[second["stan"]].replaced_by is None
        states = {one["stan"]: one["state"] for one in shop.batches()[0]["transactions"]}
        assert states[by_stan[first["stan"]].stan] == "voided"
        assert states[by_stan[second["stan"]].stan] == "approved"
        assert await settled(shop) is CloseOutcome.AGREED

    play(nac(), story)


def test_d8_an_answer_for_another_terminal_ends_nothing_here(nac: Any) -> None:
    """Both ask under the same trace number at the same time; each gets its own outcome."""
    second = "12345679"

    async def story(shop: NacStage) -> None:
        await shop.start()
        other = shop.nac_terminal(second)
        step = {"do": "sale", "amount": "66.00", "card": CARD, "expiry": EXPIRY}
        mine, theirs = await asyncio.gather(shop.sale("10.00"), other.do(step))
        assert (mine["outcome"], theirs["outcome"]) == ("approved", "declined")
        await shop.until(lambda: not shop.state(second).unended_reversals())
        assert [txn.status for txn in shop.state().transactions.values()] == [TxnStatus.APPROVED]
        assert [txn.status for txn in shop.state(second).transactions.values()] == [TxnStatus.REVERSED]
        assert shop.spent() == 1_000

    lost = {"do": "lose_answer", "mti": "0200", "amount": "66.00", "times": 1}
    play(nac(tids=(TID, second), faults=(lost,)), story)


def test_d25_what_a_terminal_did_not_upload_is_named_at_its_closing(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        await shop.do("tip", of_stan=sold["stan"], tip="1.00")
        forgotten = await shop.sale("20.00")
        shop.nac_terminal().terminal.log[forgotten["stan"]].approved = False
        assert (await shop.do("settle"))["outcome"] == "out_of_balance"
        (alert,) = shop.alerts("terminal_upload_incomplete")
        assert (alert["missing"], alert["seen"]) == (1, 1)
        (row,) = shop.rig.records("terminal_upload_ended")
        (missing,) = json.loads(row.payload)["missing"]
        assert f"/{forgotten['stan']:06d}/" in missing

    play(nac(), story)


# --- a till beside the terminal --------------------------------------------------------------------------------------


def test_a_till_completes_what_it_holds_as_an_advice(nac: Any) -> None:
    """This dialect has no request for it (2.3): a hold that could not be completed would be of no use."""
    shop = nac()
    till = with_till(shop)
    path = f"/v1/terminals/{TID}/transactions"
    card = {"number": OTHER, "expiry": EXPIRY}

    async def story(shop: NacStage) -> None:
        async def order(key: str, **body: Any) -> Any:
            return (await till.order(key, body, path)).json

        await shop.start()
        assert (await order("h-1", type="preauth", amount="100.00", card=card))["status"] == "approved"
        more = await till.order("c-0", {"type": "completion", "original": "h-1", "amount": "116.00"}, path)
        assert more.problem == "amount_differs"
        done = await order("c-1", type="completion", original="h-1", amount="90.00")
        assert (done["status"], done["kind"]) == ("stored", "completion_notice")
        again = await till.order("c-2", {"type": "completion", "original": "h-1", "amount": "1.00"}, path)
        assert again.problem == "already_used"
        assert (await order("s-1", type="sale", amount="3.00", card=card))["status"] == "approved"
        assert await settled(shop) is CloseOutcome.AGREED
        assert shop.spent(OTHER) == 9_300
        assert shop.remarks() == []

    play(shop, story)


@pytest.mark.parametrize(("percent", "code"), [(115, "64"), (130, "00")])
def test_how_much_more_than_it_holds_is_completed_is_the_acquirers_to_say(nac: Any, percent: int, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        held = await shop.do("preauth", amount="100.00", card=CARD, expiry=EXPIRY)
        assert (await shop.do("complete", of_stan=held["stan"], amount="130.00"))["code"] == code

    host = {"completion_percent_max": percent}
    play(nac(change={"host": host}, behaviour=host), story)


# --- what people are shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disagree", ["never", "totals"])
def test_what_is_shown_of_a_close_knows_no_foreign_cards(nac: Any, disagree: str) -> None:
    """This dialect has one group (2.4): a slip that calls every card domestic would be wrong about most of them."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        assert await settled(shop) is CloseOutcome.AGREED
        rules = shop.daemon.lanes[Tid(TID)].lane.engine.rules
        with JournalReader(shop.folder / "state" / "journal") as reader:
            report = settlement_report(reader, Tid(TID), 1, Around(rules, Now(shop.state().last_close.closed_at_ms, 0)))
        assert report is not None
        assert {row["group"] for row in (*report["groups"], *report["items"])} == {"all"}
        for lang in Lang:
            paper = slip(report, "000000012345678", "2026-03-02 23:00:09", lang)
            every = "\n".join([paper, *lines_of(report, lang)])
            assert not [word for word in ("domestic", "foreign", "内卡", "外卡") if word in every]
            assert "1" in paper
            assert "10.00" in paper

    play(nac(nac={"disagree": disagree}), story)


def test_a_transaction_is_shown_with_the_invoice_number_of_its_receipt(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        rules = shop.daemon.lanes[Tid(TID)].lane.engine.rules
        (txn,) = shop.state().transactions.values()
        shown = dict(told(transaction_view(txn, shop.state(), Around(rules, Now(txn.at_ms, 0))), utc=True))
        assert (shown["invoice"], shown["batch"]) == (sold["invoice"], "000001")

    play(nac(), story)


@pytest.mark.parametrize("mode", ["persistent", "one_shot"])
@pytest.mark.parametrize("length", ["bcd", "inclusive"])
def test_a_host_with_another_length_before_its_messages(nac: Any, length: str, mode: str) -> None:
    """Reference 2.1: a few hosts say it in decimal digits, or count the length itself."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        lost = await shop.sale("66.00")
        assert lost["outcome"] == "declined"
        await shop.until(
            lambda: [one.status for one in shop.state().reversals.values()] == [ReversalStatus.ACKNOWLEDGED]
        )
        assert await settled(shop) is CloseOutcome.AGREED
        assert shop.not_agreed() == []

    rule = {"do": "lose_answer", "mti": "0200", "amount": "66.00", "times": 1}
    change = {"host": {"nac": {"length": length}, "mode": mode, "connect_timeout_s": 0.5, "reply_timeout_s": 2}}
    play(nac(faults=(rule,), change=change, nac={"length": length}), story)
