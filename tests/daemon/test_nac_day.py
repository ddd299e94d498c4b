"""Days of a NAC shop: the simulated terminal, posd, and the simulated host, over real sockets (reference 2)."""

import json
from pathlib import Path
from typing import Any

import pytest

from posd.core import events as e
from posd.core.state import AdviceStatus, CloseOutcome, ReversalStatus, TxnStatus
from posd.values import RequestId, Tid
from simulators.serial_line.where import SerialAt
from tests.daemon.nac_stage import CARD, EXPIRY, MAC_KEY, OTHER, TID, NacStage, stage
from tests.daemon.stage import play
from tests.transport.cable import Cable


@pytest.fixture
def nac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **how: stage(tmp_path, monkeypatch, **how)


async def settle(shop: NacStage) -> None:
    """Settled by hand, until it is closed."""
    identity = shop.state().batch.identity
    assert await shop.command(lambda of: e.SettleNow(of, "anna"))
    await shop.until(lambda: shop.state().batch.identity > identity)


def outcome(shop: NacStage) -> CloseOutcome | None:
    last = shop.state().last_close
    return last.outcome if last is not None else None


def test_a_day_of_everything_is_balanced_to_the_cent(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.do("logon"))["code"] == "00"
        assert (await shop.do("echo"))["code"] == "00"
        first = await shop.sale("10.00")
        second = await shop.sale("20.00", OTHER, entry="012")
        third = await shop.sale("5.50", tip="0.50")
        assert {one["outcome"] for one in (first, second, third)} == {"approved"}
        assert (await shop.do("void", of_stan=second["stan"]))["outcome"] == "approved"
        back = await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY)
        assert back["outcome"] == "approved"
        held = await shop.do("preauth", amount="100.00", card=CARD, expiry=EXPIRY)
        assert held["outcome"] == "approved"
        assert (await shop.do("complete", of_stan=held["stan"], amount="90.00"))["outcome"] == "approved"
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved"
        assert (await shop.do("adjust", of_stan=told["stan"], amount="8.00"))["outcome"] == "approved"
        assert (await shop.do("tip", of_stan=first["stan"], tip="1.00"))["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        (closed, _) = shop.batches()
        totals = closed["totals"]["all"]
        assert (totals["debit_count"], totals["debit_minor"]) == (4, 1100 + 550 + 9000 + 800)
        assert (totals["credit_count"], totals["credit_minor"]) == (1, 300)
        assert shop.remarks() == []
        assert shop.not_agreed() == []
        assert shop.spent(CARD) == 1100 + 550 + 9000 - 300
        assert shop.spent(OTHER) == 800
        assert shop.state().batch.number == 2

    play(nac(), story)


def test_95_then_upload_then_00(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        for amount in ("10.00", "20.00", "30.00"):
            last = await shop.sale(amount)
        await shop.do("tip", of_stan=last["stan"], tip="1.00")
        voided = await shop.sale("40.00")
        await shop.do("void", of_stan=voided["stan"])
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        (closed, _) = shop.batches()
        (one,) = closed["settlements"]
        assert (one["code"], one["uploaded"], one["matched"], one["end_code"]) == ("95", 3, 3, "00")
        assert one["differences"] == []
        assert shop.remarks() == []

    play(nac(nac={"disagree": "totals"}), story)


@pytest.mark.parametrize("code", ["77", "95"])
def test_95_then_upload_then_77_or_95_is_closed_out_of_balance_and_said(nac: Any, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale()
        await settle(shop)
        assert outcome(shop) is CloseOutcome.OUT_OF_BALANCE
        assert "batch_closed_out_of_balance" in shop.events()
        assert shop.batches()[0]["settlements"][0]["end_code"] == code

    play(nac(nac={"disagree": "always", "out_of_balance": code}), story)


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "lose_answer", "mti": "0500", "f3": "920000", "times": 1},
        {"do": "lose_request", "mti": "0500", "f3": "920000", "times": 1},
        {"do": "lose_answer", "mti": "0320", "times": 2},
        {"do": "lose_answer", "mti": "0500", "f3": "960000", "times": 1},
    ],
)
@pytest.mark.parametrize("disagree", ["never", "totals"])
def test_an_answer_that_is_lost_in_the_close_costs_nothing(nac: Any, fault: dict[str, Any], disagree: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        for amount in ("10.00", "20.00", "30.00"):
            assert (await shop.sale(amount))["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        assert shop.not_agreed() == []
        assert [batch["state"] for batch in shop.batches()] == ["closed", "open"]
        stated = shop.batches()[0]["settlements"][0]
        assert stated["matched"] == stated["uploaded"] == (3 if disagree == "totals" else 0)

    word_is_given = {"host": {"nac": {"transfer_on_repeat": "upload"}}}
    play(nac(faults=(fault,), nac={"disagree": disagree}, change=word_is_given), story)


def test_a_lost_answer_is_reversed_before_the_next_sale(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        lost = await shop.sale("66.00")
        assert lost["outcome"] == "declined"
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        said = [one["mti"] for one in shop.said if one["event"] == "received" and one["mti"] in ("0200", "0400")]
        assert said == ["0200", "0400", "0200"]
        (row,) = shop.rig.messages("out", "host", "0400")
        assert set(json.loads(row.fields)) >= {"2", "3", "4", "11", "14", "62"}
        assert not set(json.loads(row.fields)) & {"35", "39", "52", "55"}
        await settle(shop)
        assert shop.not_agreed() == []
        assert shop.spent() == 1000
        assert shop.remarks() == []

    play(nac(faults=({"do": "lose_answer", "mti": "0200", "amount": "66.00", "times": 1},)), story)


def test_a_reversal_that_is_refused_blocks_sales_until_it_is_taken(nac: Any) -> None:
    faults = (
        {"do": "lose_answer", "mti": "0200", "amount": "66.00", "times": 1},
        {"do": "refuse", "mti": "0400", "code": "96", "times": 5},
    )

    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("66.00")
        await shop.until(lambda: [one.status for one in shop.state().reversals.values()] == [ReversalStatus.STUCK])
        refused = await shop.sale("10.00")
        assert (refused["outcome"], refused["code"]) == ("declined", "96")
        await shop.until(lambda: not shop.state().unended_reversals())
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert shop.spent() == 1000
        assert shop.not_agreed() == []

    play(nac(faults=faults), story)


def test_a_named_person_unblocks(nac: Any) -> None:
    faults = (
        {"do": "lose_request", "mti": "0200", "amount": "66.00", "times": 1},
        {"do": "refuse", "mti": "0400", "code": "12"},
    )

    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("66.00")
        await shop.until(lambda: [one.status for one in shop.state().reversals.values()] == [ReversalStatus.STUCK])
        (of,) = shop.state().reversals
        await shop.insist(lambda command: e.ResolveReversal(command, "anna", "the host never had it", of))
        assert (await shop.sale("10.00"))["outcome"] == "approved"

    play(nac(faults=faults), story)


def test_a_late_approval_is_reversed_or_known_to_be(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        late = await shop.sale("66.00")
        assert late["outcome"] == "declined"
        await shop.until(lambda: shop.rig.records("late_answer"))
        await shop.until(lambda: not shop.state().unended_reversals())
        assert shop.spent() == 0
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        assert shop.not_agreed() == []

    play(nac(faults=({"do": "delay", "mti": "0200", "amount": "66.00", "ms": 900, "times": 1},)), story)


def test_killed_in_mid_upload_it_goes_on_from_the_cursor(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        for amount in ("10.00", "20.00", "30.00", "40.00"):
            await shop.sale(amount)
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.uploaded == 2)
        await shop.end()
        before = len(shop.received("0320", TID))
        await shop.start()
        await shop.until(lambda: shop.state().batch.identity == 2)
        assert outcome(shop) is CloseOutcome.AGREED
        (one,) = [each for each in shop.batches()[0]["settlements"] if each["uploaded"]]
        assert (one["uploaded"], one["matched"]) == (4, 4)
        assert len(shop.received("0320", TID)) - before <= 2
        assert len(shop.received("0500", TID)) == 2, "the totals were not asked again"

    slow = {"do": "delay", "mti": "0320", "ms": 200}
    play(nac(faults=(slow,), nac={"disagree": "totals"}, change={"host": {"reply_timeout_s": 2}}), story)


@pytest.mark.parametrize("code", ["80", "85"])
def test_d20_a_batch_that_is_gone_waits_for_a_person(nac: Any, code: str) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale()
        await shop.command(lambda of: e.SettleNow(of, "anna"))
        await shop.until(lambda: shop.state().settlement.phase == "unconfirmed")
        await shop.insist(lambda command: e.DecideSettlement(command, "anna", "seen at the acquirer", True))
        assert outcome(shop) is CloseOutcome.UNCONFIRMED
        assert (await shop.sale())["outcome"] == "approved"

    lost = {"do": "lose_answer", "mti": "0500", "times": 1}
    play(nac(faults=(lost,), nac={"repeat_after_close": code}), story)


def test_the_terminals_own_close_is_compared_and_answered(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        await shop.sale("10.00")
        voided = await shop.sale("20.00")
        await shop.do("void", of_stan=voided["stan"])
        first = await shop.do("settle")
        assert first["outcome"] == "balanced", first
        await shop.until(lambda: shop.state().batch.identity == 2)
        await shop.sale("30.00")
        shop.nac_terminal().terminal.log.clear()  # a terminal that has lost its log
        again = await shop.do("settle")
        assert again["outcome"] == "out_of_balance", again
        assert "terminal_totals_differ" in shop.events()

    play(nac(), story)


def test_everything_is_signed_where_the_host_wants_a_mac(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        (shop.folder / "mac.key").touch(mode=0o600)
        (shop.folder / "mac.key").write_text(MAC_KEY)
        await shop.start()
        assert (await shop.sale())["outcome"] == "approved"
        assert (await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY))["outcome"] == "approved"
        shop.nac_terminal().terminal.mac_key = b""
        assert (await shop.sale())["code"] == "88"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED

    key = bytes.fromhex(MAC_KEY)
    change = {
        "host": {"mac_algorithm": "unionpay-ecb"},
        "terminals": [{"tid": TID, "mid": "000000012345678", "tmk_file": "mac.key", "mac": "required"}],
    }
    play(nac(change=change, nac={"mac_key": MAC_KEY}, terminal_knobs={"mac_key": key}), story)


def test_an_approval_with_a_wrong_mac_is_reversed(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        (shop.folder / "mac.key").touch(mode=0o600)
        (shop.folder / "mac.key").write_text(MAC_KEY)
        await shop.start()
        shop.acquirer._mac_key = bytes(16)  # type: ignore[attr-defined]
        shop.acquirer._mac_fits = lambda *_: True  # type: ignore[attr-defined]
        assert (await shop.sale())["outcome"] != "approved"
        assert [one.why for one in shop.state().reversals.values()] == ["mac"]

    key = bytes.fromhex(MAC_KEY)
    change = {
        "host": {"mac_algorithm": "unionpay-ecb"},
        "terminals": [{"tid": TID, "mid": "000000012345678", "tmk_file": "mac.key", "mac": "required"}],
    }
    play(nac(change=change, nac={"mac_key": MAC_KEY}, terminal_knobs={"mac_key": key}), story)


def test_d28_refunds_and_typed_numbers_are_refused_unless_the_configuration_takes_them(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale())["outcome"] == "approved"
        assert (await shop.sale(entry="012"))["code"] == "58"
        assert (await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY))["code"] == "58"

    play(nac(change={"terminals": [{"tid": TID, "mid": "000000012345678"}]}), story)


def test_without_logon_the_first_message_is_a_sale(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale())["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        assert shop.received("0800", TID) == []

    play(nac(change={"host": {"nac": {"logon": "none"}}}), story)


@pytest.mark.parametrize("digits", [30, 33, 36, 90])
@pytest.mark.parametrize("pad", ["0", "F", "right"])
def test_every_length_of_the_totals_and_every_padding(nac: Any, digits: int, pad: str) -> None:
    from posd.iso8583.codec import Codec
    from posd.iso8583.nac import VariablePad, nac_spec

    async def story(shop: NacStage) -> None:
        await shop.start()
        assert (await shop.sale(card="6011000990139424123", entry="012"))["code"] == "14"
        assert (await shop.sale())["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        (row,) = shop.rig.messages("out", "host", "0500")
        assert len(json.loads(row.fields)["63"]) == digits

    codec = Codec(nac_spec(pad=VariablePad(pad)))
    change = {"host": {"nac": {"totals_digits": digits, "pad": pad}}}
    play(nac(change=change, nac={"pad": pad}, terminal_knobs={"codec": codec, "totals_digits": digits}), story)


def test_voids_that_are_credited_count_on_the_other_side(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        one = await shop.sale("10.00")
        await shop.sale("20.00")
        await shop.do("void", of_stan=one["stan"])
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        totals = shop.batches()[0]["totals"]["all"]
        assert (totals["debit_count"], totals["credit_count"]) == (2, 1)

    play(nac(change={"host": {"nac": {"voids": "credited"}}}, nac={"voids": "credited"}), story)


def test_a_chips_certificate_goes_before_the_totals(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        chip = await shop.sale("10.00", entry="051", sequence="001")
        assert chip["outcome"] == "approved"
        assert (await shop.do("tc", of_stan=chip["stan"]))["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        assert shop.batches()[0]["chip_details"] == 1
        assert shop.remarks() == []

    play(nac(), story)


def test_a_chip_sale_with_its_certificate_takes_a_tip_and_is_voided(nac: Any) -> None:
    """A certificate only tells of its sale: it is in the way of nothing."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        chip = await shop.sale("10.00", entry="051", sequence="001")
        assert (await shop.do("tc", of_stan=chip["stan"]))["outcome"] == "approved"
        assert (await shop.do("tip", of_stan=chip["stan"], tip="1.00"))["outcome"] == "approved"
        assert (await shop.do("void", of_stan=chip["stan"]))["outcome"] == "approved"
        assert shop.spent() == 0
        await shop.sale("1.00")
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        assert shop.remarks() == []

    play(nac(), story)


def test_an_advice_whose_answer_is_lost_is_delivered_once(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved"
        await shop.sale()
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        assert [one.status for one in shop.state().advices.values()] == [AdviceStatus.DONE]
        assert shop.spent(OTHER) == 700

    play(nac(faults=({"do": "lose_answer", "mti": "0220", "times": 1},)), story)


def test_a_repeated_request_is_answered_from_the_journal(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        one = await shop.sale("10.00")
        again = await shop.do("repeat", stan=one["stan"])
        assert (again["outcome"], again["rrn"]) == ("approved", one["rrn"])
        await shop.end()
        await shop.start()
        again = await shop.do("repeat", stan=one["stan"])
        assert (again["outcome"], again["rrn"]) == ("approved", one["rrn"])
        assert len(shop.received("0200", TID)) == 1
        assert (await shop.do("reverse", stan=one["stan"]))["code"] == "00"
        await shop.until(lambda: not shop.state().unended_reversals())
        assert shop.spent() == 0
        (txn,) = shop.state().transactions.values()
        assert txn.status is TxnStatus.REVERSED
        assert txn.request_id == RequestId(f"{Tid(TID)}/000001/000001/0200/000000")

    play(nac(), story)


def test_each_kind_is_uploaded_as_the_host_has_it(nac: Any) -> None:
    """Completion, advice and what was adjusted keep their own invoice numbers, traces and amounts."""

    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        held = await shop.do("preauth", amount="100.00", card=CARD, expiry=EXPIRY)
        await shop.do("complete", of_stan=held["stan"], amount="90.00")
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        await shop.do("adjust", of_stan=told["stan"], amount="8.00")
        await shop.do("adjust", of_stan=told["stan"], amount="9.00")
        await shop.do("tip", of_stan=sold["stan"], tip="1.00")
        await shop.do("refund", amount="3.00", card=CARD, expiry=EXPIRY)
        await settle(shop)
        (one,) = shop.batches()[0]["settlements"]
        assert one["differences"] == []
        assert (one["uploaded"], one["matched"], one["end_code"]) == (4, 4, "00")
        assert outcome(shop) is CloseOutcome.AGREED
        assert shop.remarks() == []
        assert shop.spent(OTHER) == 900

    play(nac(nac={"disagree": "totals"}), story)


def test_a_day_over_a_serial_line(nac: Any, tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    door = {"listen": f"serial://{cable.near}?baud=115200", "terminal_timeout_s": 20}

    async def story(shop: NacStage) -> None:
        cable.plug()
        await shop.start()
        assert (await shop.sale("10.00"))["outcome"] == "approved"
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved"
        await settle(shop)
        assert outcome(shop) is CloseOutcome.AGREED
        again = await shop.do("settle")
        assert again["outcome"] == "balanced", again
        await shop.end()
        cable.unplug()

    play(nac(change={"door": door}, serial=SerialAt(cable.far)), story)


def test_an_advice_that_the_host_refuses_is_shown_and_the_close_goes_on(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        told = await shop.do("offline_sale", amount="7.00", card=OTHER, expiry=EXPIRY, approval="123456")
        assert told["outcome"] == "approved", "it is posd's to deliver from here on"
        await shop.sale()
        await shop.until(lambda: [one.status for one in shop.state().advices.values()] == [AdviceStatus.REFUSED])
        await settle(shop)
        assert outcome(shop) is CloseOutcome.OUT_OF_BALANCE, "it counts here and not there"
        assert "batch_closed_out_of_balance" in shop.events()

    play(nac(faults=({"do": "refuse", "mti": "0220", "code": "05"},)), story)


def test_d25_the_terminals_upload_of_an_adjusted_sale_differs_in_nothing(nac: Any) -> None:
    async def story(shop: NacStage) -> None:
        await shop.start()
        sold = await shop.sale("10.00")
        await shop.do("tip", of_stan=sold["stan"], tip="1.00")
        lost = await shop.sale("20.00")
        shop.nac_terminal().terminal.log[lost["stan"]].approved = False  # the terminal has forgotten one
        closed = await shop.do("settle")
        assert (closed["outcome"], closed["uploads"]) == ("out_of_balance", 1)
        assert "terminal_totals_differ" in shop.events()
        assert "terminal_items_differ" not in shop.events()
        assert shop.rig.records("terminal_items_compared")

    play(nac(), story)
