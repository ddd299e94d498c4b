"""What a NAC shop may not be sure of: repeated closes, reversals that may name two, refunds, a till at a terminal."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import CloseOutcome, ReversalStatus, TxnStatus
from posd.daemon.control.peer import Peer
from posd.daemon.control.server import ControlFailed, Request
from posd.daemon.control.verbs import Control
from posd.values import Tid
from simulators.fields import mask_pan
from simulators.terminal.core import CardInHand, Sent
from tests.daemon.nac_stage import CARD, EXPIRY, OTHER, TID, NacStage, stage
from tests.daemon.shop import EVERYTHING
from tests.daemon.stage import play
from tests.daemon.till.client import with_till


@pytest.fixture
def nac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **how: stage(tmp_path, monkeypatch, **how)


HELD = CardInHand(CARD, EXPIRY)


async def said(shop: NacStage, mti: str, **fields: str) -> dict[str, Any]:
    """A message that the terminal has no step for."""
    terminal = shop.nac_terminal().terminal
    more: dict[int, str | None] = {int(name[1:]): value for name, value in fields.items()}
    sent = terminal._numbered("message", mti, {22: "022", 25: "00", **more})
    return dict(await shop.nac_terminal().exchange(sent, 6.0))


# --- 0500 and 0500/960000, repeated (D20) ----------------------------------------------------------------------------

LOST_TOTALS = {"do": "lose_answer", "mti": "0500", "f3": "920000", "times": 1}
LOST_END = {"do": "lose_answer", "mti": "0500", "f3": "960000", "times": 1}


@pytest.mark.parametrize("closed", [True, False])
def test_d20_nothing_is_uploaded_after_95_to_a_repeat_until_a_person_knows(nac: Any, closed: bool) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.phase == "unconfirmed")
        assert shop.received("0320", TID) == []
        await shop.insist(lambda command: e.DecideSettlement(command, "anna", "the acquirer says so", closed))
        await shop.until(lambda: shop.state().batch.identity == 2)
        last = shop.state().last_close
        assert last is not None
        assert last.outcome is (CloseOutcome.UNCONFIRMED if closed else CloseOutcome.AGREED)
        assert len(shop.received("0320", TID)) == (0 if closed else 1)
        assert shop.remarks() == []

    play(nac(faults=(LOST_TOTALS,), nac={"disagree": "totals"}), story)


def test_d20_a_host_that_compares_a_repeat_with_its_next_batch_books_nothing_twice(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.phase == "unconfirmed")
        assert shop.received("0320", TID) == []
        assert [one["state"] for one in shop.batches()] == ["closed", "open"]
        await shop.insist(lambda command: e.DecideSettlement(command, "anna", "paid out", True))
        assert (await shop.sale("20.00"))["outcome"] == "approved"

    play(nac(faults=(LOST_TOTALS,), nac={"repeat_after_close": "95"}), story)


@pytest.mark.parametrize("code", ["77", "95"])
def test_d20_how_a_batch_closed_is_unconfirmed_where_only_a_repeat_was_answered(nac: Any, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale()
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        last = shop.state().last_close
        assert last is not None
        assert last.outcome is CloseOutcome.UNCONFIRMED
        assert "batch_closed_unconfirmed" in shop.events()
        assert "batch_closed_out_of_balance" not in shop.events()

    play(nac(faults=(LOST_END,), nac={"disagree": "totals", "repeat_after_close": code}), story)


def test_d7_a_wrong_batch_number_is_set_by_a_person_and_sales_go_on(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        control, asked = Control(shop.daemon, EVERYTHING), list[str]()

        async def ask(verb: str, **args: Any) -> Any:
            asked.append(verb)
            try:
                (reply,) = [one async for one in control.handle(Request(f"r{len(asked)}", verb, args, Peer(0)))]
            except ControlFailed as failed:
                return failed
            return reply.data

        await shop.sale("10.00")
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.refused > 0)
        assert (await shop.sale("20.00"))["code"] == "91"
        found = dict[str, str]()
        while "batch_number_refused" not in found:  # not while the totals are on their way once more
            found = {one["code"]: one["to_do"] for one in (await ask("status"))["findings"]}
            await asyncio.sleep(0.01)
        assert f"posd terminal batch {TID} --number N" in found["batch_number_refused"]
        wish = {"tid": TID, "by": "anna", "reason": "the acquirer has batch 1 open", "number": 1}
        tried = [await ask("terminal.batch", **wish)]
        while isinstance(tried[-1], ControlFailed):
            assert "on its way" in str(tried[-1])
            await asyncio.sleep(0.02)
            tried.append(await ask("terminal.batch", **wish))
        said = tried[-1]
        assert "is 000001 from now on (it was 000005)" in said["text"]
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert (shop.batches()[0]["settlements"][-1]["code"], shop.state().batch.number) == ("00", 2)
        assert (await shop.sale("20.00"))["outcome"] == "approved"
        (row,) = shop.rig.records("batch_number_set")
        assert ("anna" in row.payload, "has batch 1 open" in row.payload) == (True, True)

    play(nac(change={"host": {"nac": {"batch_number_first": 5}}}), story)


# --- a terminal that was reset ---------------------------------------------------------------------------------------


def test_d6_a_terminal_that_was_reset_is_never_told_an_old_approval(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert (await shop.do("settle"))["outcome"] == "balanced"
        await shop.until(lambda: shop.state().batch.identity == 2)
        terminal = shop.nac_terminal().terminal
        next_up = terminal.stan, terminal.invoice
        terminal.stan = terminal.invoice = terminal.batch = 1
        again = await shop.sale("10.00")
        assert (again["outcome"], again["code"]) == ("declined", "94")
        assert "number_of_a_closed_batch" in shop.events()
        assert (await shop.do("reverse", stan=again["stan"]))["code"] == "78", "and undoes nothing of that day"
        terminal.stan, terminal.invoice = next_up
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert shop.spent() == 2_000

    play(nac(), story)


# --- the terminal's own 0400 -----------------------------------------------------------------------------------------


def test_d17_a_terminals_reversal_of_a_0100_with_a_sales_code_finds_it(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        held = terminal._financial("preauth", "0100", "000000", HELD, 5_000, {})
        assert (await shop.nac_terminal().exchange(held, 6.0))["outcome"] == "approved"
        assert shop.spent() == 5_000
        assert (await shop.do("reverse", stan=held.stan))["code"] == "00"
        await shop.until(lambda: not shop.state().unended_reversals())
        assert [one.status for one in shop.state().transactions.values()] == [TxnStatus.REVERSED]
        assert shop.spent() == 0
        assert shop.remarks() == []

    play(nac(), story)


def test_d17_a_reversal_of_what_never_came_refuses_both_that_it_may_mean(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        lost: Sent = terminal.sale(HELD, 5_000)
        assert (await shop.do("reverse", stan=lost.stan))["code"] == "00"
        assert (await shop.nac_terminal().exchange(lost, 6.0))["code"] == "12"
        assert shop.spent() == 0

    play(nac(), story)


def test_a_reversal_with_another_card_is_not_of_that_sale(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        terminal = shop.nac_terminal().terminal
        message = terminal.log[sold["stan"]].sent.message
        terminal.log[sold["stan"]].sent = Sent("sale", message.with_({2: OTHER, 35: None}), b"")
        assert (await shop.do("reverse", stan=sold["stan"]))["code"] == "14"
        assert shop.spent() == 1_000

    play(nac(), story)


# --- refunds ---------------------------------------------------------------------------------------------------------

LOST_REFUND = {"do": "lose_answer", "mti": "0200", "f3": "200000", "times": 1}


def test_a_refund_without_an_outcome_is_reversed_as_this_dialect_wants_it(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        assert (await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY))["outcome"] == "declined"
        await shop.until(lambda: not shop.state().unended_reversals())
        assert (await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY))["outcome"] == "approved"
        assert shop.spent() == 700
        assert shop.not_agreed() == []

    play(nac(faults=(LOST_REFUND,)), story)


def test_d13_where_the_acquirer_takes_no_reversal_of_a_refund_it_is_in_doubt(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        lost = await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY)
        assert (lost["outcome"], lost["code"]) == ("declined", "91")
        assert (await shop.do("reverse", stan=lost["stan"]))["code"] == "12"
        (doubt,) = shop.state().in_doubt()
        assert shop.received("0400", TID) == []
        await shop.insist(lambda of: e.ResolveRefund(of, "anna", "seen at the acquirer", doubt.request_id, True))
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert shop.batches()[0]["settlements"][0]["code"] == "00"

    play(nac(faults=(LOST_REFUND,), change={"host": {"nac": {"refunds": "in_doubt"}}}), story)


# --- voids by advice, and what may not be one ------------------------------------------------------------------------


@pytest.mark.parametrize("disagree", ["never", "totals"])
@pytest.mark.parametrize("voids", ["excluded", "credited"])
def test_a_void_by_advice_voids_at_the_host_too(nac: Any, voids: str, disagree: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold, kept = await shop.sale("10.00"), await shop.sale("20.00")
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert (await shop.do("tip", of_stan=told["stan"], tip="1.00"))["outcome"] == "approved"
        for one in (sold, told):
            assert (await shop.do("adjust", of_stan=one["stan"], amount="0.00"))["outcome"] == "approved"
        assert (await shop.do("adjust", of_stan=sold["stan"], amount="5.00"))["code"] == "12", "it was voided"
        assert (await shop.do("void", of_stan=kept["stan"]))["outcome"] == "approved"
        assert (await shop.sale("30.00"))["outcome"] == "approved"
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        (closed,) = shop.batches()[0]["settlements"]
        assert (closed["code"], closed["end_code"]) == (("00", None) if disagree == "never" else ("95", "00"))
        assert closed["differences"] == []
        last = shop.state().last_close
        assert last is not None
        assert last.outcome is CloseOutcome.AGREED
        assert (shop.spent(), shop.spent(OTHER)) == (3_000, 0)
        assert shop.remarks() == []

    play(nac(change={"host": {"nac": {"voids": voids}}}, nac={"voids": voids, "disagree": disagree}), story)


def test_what_two_advices_make_nothing_of_is_told_before_its_batch_ends(nac: Any) -> None:
    """Else the host has only one of them when the next batch is settled."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert (await shop.do("adjust", of_stan=told["stan"], amount="0.00"))["outcome"] == "approved"
        assert shop.received("0220", TID) == []
        assert await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert len(shop.received("0220", TID)) == 2
        assert not shop.state().undelivered_advices()
        assert [one["state"] for one in shop.batches()[0]["transactions"]] == ["voided", "approved"]
        assert shop.spent(OTHER) == 0

    play(nac(), story)


def test_an_adjustment_that_changes_nothing_is_refused_and_never_guessed_to_be_a_void(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        assert (await shop.do("adjust", of_stan=sold["stan"], amount="10.00"))["code"] == "13"
        assert (await shop.do("adjust", of_stan=sold["stan"], amount="9.00"))["outcome"] == "approved"
        assert shop.received("0220", TID) == []

    play(nac(), story)


@pytest.mark.parametrize("f3", ["200000", "220000"])
def test_d13_what_is_done_to_a_refund_is_refused_by_name_and_done_online(nac: Any, f3: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        refund = await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY)
        told = await said(shop, "0220", f2=CARD, f3=f3, f4="000000000300", f14=EXPIRY, f60="000000000500", f62="000009")
        assert told["code"] == "40"
        (row,) = shop.rig.records("request_refused")
        assert "go_online" in row.payload
        assert "0200/" + f3 in row.payload
        assert (await shop.do("void", of_stan=refund["stan"]))["outcome"] == "approved"
        assert shop.received("0220", TID) == []
        assert shop.spent() == 0

    play(nac(), story)


# --- parameters, and the forms of a reversal -------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["930000", "970000"])
def test_a_terminals_parameter_load_goes_on_to_the_host_and_back(nac: Any, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        terminal = shop.nac_terminal().terminal
        first, last = terminal.load(code), terminal.load(code[:5] + "1")
        for sent in (first, last):
            assert (await shop.nac_terminal().exchange(sent, 6.0))["code"] == "00"
        rows = shop.rig.messages("out", "terminal", "0810")
        told = [json.loads(row.fields) for row in rows]
        assert [one["3"] for one in told] == [code[:5] + "1", code]
        assert "".join(one["60"] for one in told) == "TIMEOUT=30;RETRY=3"
        assert (await shop.sale())["outcome"] == "approved"

    play(nac(nac={"parameters": "TIMEOUT=30;RETRY=3"}), story)


def test_what_a_private_field_says_never_fences_a_lane(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        fields = {"f3": "000000", "f4": "000000001000", "f14": EXPIRY, "f62": "000001"}
        assert (await said(shop, "0200", f2=CARD, f60="PRIVATE DATA", **fields))["code"] == "00"
        assert (await said(shop, "0800", f3="990000", f60="12X456"))["code"] == "00"
        assert "lane_fenced" not in shop.events()

    play(nac(), story)


def test_a_host_without_parameters_says_so_itself(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.do("load"))["code"] == "12"

    play(nac(), story)


@pytest.mark.parametrize("mti", ["0400", "0420"])
def test_a_repeated_reversal_may_say_that_it_is_one(nac: Any, mti: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale("66.00"))["outcome"] == "declined"
        await shop.until(lambda: not shop.state().unended_reversals())
        sent = [row.mti for row in shop.rig.messages("out", "host") if row.mti[:2] == "04"]
        assert sent == [mti, f"{mti[:3]}1"]
        assert shop.spent() == 0

    lost = ({"do": "lose_answer", "mti": "0200", "times": 1}, {"do": "lose_answer", "mti": mti, "times": 1})
    form = {"reversal_mti": mti, "reversal_repeat_digit": "yes"}
    play(nac(faults=lost, change={"host": {"nac": form}}), story)


def test_the_answer_to_the_totals_is_waited_for_longer_than_another(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale()
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert len(shop.received("0500", TID)) == 1

    slow = {"do": "delay", "mti": "0500", "ms": 600}
    change = {"host": {"reply_timeout_s": 0.4, "nac": {"totals_timeout_factor": 5}}}
    play(nac(faults=(slow,), change=change), story)


# --- a till beside the terminal --------------------------------------------------------------------------------------


def test_a_tills_invoice_numbers_are_never_the_terminals(nac: Any) -> None:
    shop = nac()
    till = with_till(shop)
    path = f"/v1/terminals/{TID}/transactions"

    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = []
        for number in (1, 2, 3):
            order = {"type": "sale", "amount": f"{number}.50", "card": {"number": OTHER, "expiry": EXPIRY}}
            sold.append((await till.order(f"s-{number}", order, path)).json)
            assert (await shop.sale(f"{number}.00"))["outcome"] == "approved"
        voided = await till.order("v-1", {"type": "void", "original": sold[1]["id"]}, path)
        assert voided.json["status"] == "approved", voided.json
        booked = shop.batches()[0]["transactions"]
        numbers = [one["invoice"] for one in booked if one["kind"] == "sale"]
        assert len(set(numbers)) == 6
        (gone,) = [one for one in booked if one["state"] == "voided"]
        assert (gone["card"], gone["amount"]) == (mask_pan(OTHER), 250)
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert shop.batches()[0]["settlements"][0]["code"] == "00"
        assert shop.remarks() == []

    play(shop, story)


def test_a_till_tips_and_tells_of_offline_sales(nac: Any) -> None:
    shop = nac()
    till = with_till(shop)
    path = f"/v1/terminals/{TID}/transactions"
    card = {"number": OTHER, "expiry": EXPIRY}

    async def story(shop: NacStage) -> None:
        async def order(key: str, **body: Any) -> Any:
            return (await till.order(key, body, path)).json

        await shop.start()
        assert (await order("s-1", type="sale", amount="10.00", card=card))["status"] == "approved"
        assert (await order("t-1", type="tip", original="s-1", amount="12.00"))["tip"] == "2.00"
        assert (await order("t-2", type="tip", original="s-1", amount="11.00"))["tip"] == "1.00"
        assert (await order("o-1", type="offline_sale", amount="5.00", card=card))["status"] == "stored"
        assert (await order("a-1", type="adjust", original="o-1", amount="6.00"))["status"] == "stored"
        assert (await order("s-2", type="sale", amount="3.00", card=card))["status"] == "approved"
        assert (await order("v-1", type="void", original="s-2"))["status"] == "approved"
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert shop.batches()[0]["settlements"][0]["code"] == "00"
        assert shop.spent(OTHER) == 1700
        assert shop.remarks() == []

    play(shop, story)


# --- blocked ---------------------------------------------------------------------------------------------------------


def test_d11_a_reversal_that_the_host_contradicts_blocks_until_a_person_ends_it(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("66.00")
        assert (await shop.do("reverse", stan=sold["stan"]))["code"] == "00"
        await shop.until(lambda: [one.status for one in shop.state().reversals.values()] == [ReversalStatus.CONFLICT])
        assert (await shop.sale("10.00"))["code"] == "96"
        (of,) = shop.state().reversals
        await shop.insist(lambda command: e.ResolveReversal(command, "anna", "the acquirer has undone it", of))
        assert (await shop.sale("10.00"))["outcome"] == "approved"

    refused = {"do": "refuse", "mti": "0400", "code": "25"}
    play(nac(faults=(refused,), change={"host": {"reversal_success_codes": ["00", "12", "25"]}}), story)


def test_posd_itself_has_no_parameters_to_ask_for(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        done = await shop.daemon.lanes[Tid(TID)].command(e.DownloadNow("d", "Li Wei"))
        assert not done.ok
        assert "its dialect knows only what a terminal asks itself" in done.text

    play(nac(nac={"parameters": "TIMEOUT=30;RETRY=3"}), story)
