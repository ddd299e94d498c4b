"""Playbooks of the pure acquirer: sign-in, MACs, authorisations, idempotence, reversals."""

import json

import pytest

from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from simulators.host.acquirer import Acquirer
from simulators.host.settings import CardSettings, HostSettings
from simulators.terminal.core import CardInHand, Sent, Terminal
from tests.simulators.bench import (
    DOMESTIC,
    FOREIGN,
    MID,
    NOON_MS,
    STRANGER,
    TMK,
    Bench,
    settings,
)


@pytest.mark.parametrize("code", ["001", "003", "004"])
def test_sign_in_hands_out_new_keys_and_the_hosts_batch(code: str) -> None:
    bench = Bench.of()
    bench.terminal.sign_in_code = code
    first = bench.take(bench.terminal.sign_in())
    keys = bench.terminal.keys
    second = bench.take(bench.terminal.sign_in())
    assert (first["outcome"], second["outcome"]) == ("approved", "approved")
    assert bench.terminal.batch == 8
    assert bench.terminal.keys not in (None, keys)
    assert (keys is not None and keys.tdk is not None) is (code == "004")


def test_answer_fields_and_host_time_of_a_sale() -> None:
    bench = Bench.signed_in()
    answer = bench.say(bench.terminal.sale(DOMESTIC, 1_234))
    assert sorted(answer.fields) == [2, 3, 4, 11, 12, 13, 15, 25, 32, 37, 38, 39, 41, 42, 44, 49, 60, 63, 64]
    assert (answer.get(12), answer.get(13), answer.get(15)) == ("120000", "1122", "1122")
    assert (answer.get(63), answer.get(39)) == ("CUP", "00")
    assert len(answer.get(37) or "") == 12


def test_without_sign_in_or_with_a_wrong_mac_the_answer_is_a0_without_mac() -> None:
    bench = Bench.of()
    early = bench.say(bench.terminal.sale(DOMESTIC, 100))
    bench.take(bench.terminal.sign_in())
    good = bench.terminal.sale(DOMESTIC, 100)
    bad = bench.say(Sent("sale", good.message, good.body[:-1] + b"!"))
    unmaced = good.message.with_({64: None})
    absent = bench.say(Sent("sale", unmaced, UNIONPAY.encode(unmaced)))
    assert [answer.get(39) for answer in (early, bad, absent)] == ["A0"] * 3
    assert all(answer.get(64) is None for answer in (early, bad, absent))
    assert bench.books["batches"][0]["transactions"] == []
    assert bench.say(good).get(39) == "00"


def test_keys_forgotten_and_signed_off_give_a0() -> None:
    bench = Bench.signed_in()
    bench.host.forget_keys(bench.terminal.tid)
    assert bench.say(bench.terminal.sale(DOMESTIC, 100)).get(39) == "A0"
    bench.take(bench.terminal.sign_in())
    assert bench.take(bench.terminal.sign_off())["code"] == "00"
    assert bench.say(bench.terminal.sale(DOMESTIC, 100)).get(39) == "A0"


def test_echo_has_no_trace() -> None:
    bench = Bench.of()
    assert bench.take(bench.terminal.echo())["code"] == "00"
    assert bench.terminal.stan == 1


@pytest.mark.parametrize(
    ("card", "amount", "code"),
    [
        (STRANGER, 100, "14"),
        (DOMESTIC, 1_000_001, "51"),
        (DOMESTIC, 0, "13"),
        (CardInHand(DOMESTIC.pan, "2912"), 100, "54"),
        (CardInHand(FOREIGN.pan, "2610"), 100, "54"),
        (CardInHand(DOMESTIC.pan, "3012", "012"), 100, "00"),
    ],
)
def test_cards(card: CardInHand, amount: int, code: str) -> None:
    bench = Bench.signed_in()
    result = bench.take(bench.terminal.sale(card, amount))
    assert result["code"] == code
    assert bench.spent() == (amount if code == "00" else 0)


def test_the_pin_is_checked_only_where_one_is_configured() -> None:
    pinned = settings().model_copy(
        update={"cards": (CardSettings(pan=DOMESTIC.pan, pin="123456"), CardSettings(pan=FOREIGN.pan))}
    )
    bench = Bench(Acquirer(pinned))
    bench.take(bench.terminal.sign_in())

    def code(pan: str, pin: str | None) -> object:
        return bench.take(bench.terminal.sale(CardInHand(pan, "3012", "021", pin), 100))["code"]

    assert code(DOMESTIC.pan, "123456") == "00"
    assert code(DOMESTIC.pan, "654321") == "55"
    assert code(DOMESTIC.pan, None) == "55"
    assert code(FOREIGN.pan, "999999") == "00"


def test_balance_inquiry_shows_the_balance_and_counts_nowhere() -> None:
    bench = Bench.signed_in()
    bench.sale(1_000)
    result = bench.take(bench.terminal.balance(DOMESTIC))
    assert result["balances"] == "0002156C000000999000"
    assert bench.books["batches"][0]["totals"]["domestic"]["debit_count"] == 1


def test_the_same_request_gets_the_same_answer_and_moves_money_once() -> None:
    bench = Bench.signed_in()
    sent = bench.terminal.sale(DOMESTIC, 1_000)
    first, again = bench.say(sent), bench.say(sent)
    assert first.fields == again.fields
    assert bench.spent() == 1_000
    assert bench.entry(sent.stan)["times_asked"] == 2


def test_the_same_trace_for_another_request_is_94() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    bench.terminal.stan = stan
    assert bench.say(bench.terminal.sale(DOMESTIC, 2_000)).get(39) == "94"
    assert bench.spent() == 1_000


def test_another_batch_number_is_77() -> None:
    bench = Bench.signed_in()
    bench.terminal.batch = 7
    assert bench.say(bench.terminal.sale(DOMESTIC, 100)).get(39) == "77"


def test_void_gives_the_money_back_and_only_once() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    void = bench.terminal.void(stan)
    assert bench.take(void)["code"] == "00"
    assert bench.spent() == 0
    assert bench.say(bench.terminal.void(stan)).get(39) == "12"
    assert bench.entry(stan)["state"] == "voided"
    assert bench.books["batches"][0]["totals"]["domestic"] == {
        "debit_minor": 1_000,
        "debit_count": 1,
        "credit_minor": 1_000,
        "credit_count": 1,
    }


def test_void_of_nothing_of_another_reference_or_amount() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    logged = bench.terminal.log[stan]
    logged.rrn = "000000000000"
    assert bench.say(bench.terminal.void(stan)).get(39) == "25"
    logged.rrn = bench.entry(stan)["rrn"]
    logged.sent = Sent("sale", logged.sent.message.with_({4: f"{999:012d}"}), b"")
    assert bench.say(bench.terminal.void(stan)).get(39) == "64"
    assert bench.entry(stan)["state"] == "approved"


def test_a_refund_counts_in_credit_and_cannot_be_reversed() -> None:
    bench = Bench.signed_in()
    refund = bench.terminal.refund(DOMESTIC, 700, "632612000001", "1121")
    assert bench.take(refund)["outcome"] == "approved"
    assert bench.spent() == -700
    assert bench.say(bench.terminal.reverse(refund.stan)).get(39) == "12"
    assert bench.take(bench.terminal.settle())["outcome"] == "balanced"
    assert bench.books["batches"][0]["totals"]["domestic"]["credit_minor"] == 700


def test_several_reversals_of_one_original_count_once() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    codes = [bench.take(bench.terminal.reverse(stan))["code"] for _ in range(3)]
    assert codes == ["00", "00", "00"]
    assert bench.spent() == 0
    assert (bench.entry(stan)["state"], bench.entry(stan)["times_reversed"]) == ("reversed", 3)


def test_a_reversed_void_leaves_the_sale_in_force() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    void = bench.terminal.void(stan)
    bench.take(void)
    assert bench.take(bench.terminal.reverse(void.stan))["code"] == "00"
    assert (bench.entry(stan)["state"], bench.entry(void.stan)["state"]) == ("approved", "reversed")
    assert bench.spent() == 1_000


def test_the_reversal_of_a_declined_original_is_00() -> None:
    bench = Bench.signed_in()
    sent = bench.terminal.sale(STRANGER, 100)
    bench.take(sent)
    assert bench.say(bench.terminal.reverse(sent.stan)).get(39) == "00"
    assert bench.entry(sent.stan)["state"] == "declined"


def test_a_reversal_that_differs_from_its_original_is_64() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    bench.terminal.log[stan].sent = Sent("sale", bench.terminal.log[stan].sent.message.with_({4: f"{999:012d}"}), b"")
    assert bench.say(bench.terminal.reverse(stan)).get(39) == "64"
    assert bench.spent() == 1_000


@pytest.mark.parametrize(("knob", "code"), [("approve_later", "00"), ("refuse_later", "12")])
def test_25_and_then_the_delayed_original(knob: str, code: str) -> None:
    bench = Bench.signed_in(reverse_unknown=knob)
    sale = bench.terminal.sale(DOMESTIC, 1_000)
    assert bench.say(bench.terminal.reverse(sale.stan)).get(39) == "25"
    assert bench.say(sale).get(39) == code
    assert bench.books["reversed_unknown"] == [{"batch": 8, "stan": sale.stan, "times": 1}]
    assert bench.say(bench.terminal.reverse(sale.stan)).get(39) == "00"
    assert bench.spent() == 0


def test_a_reversal_carried_over_past_the_close_finds_its_old_batch() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    reversal = bench.terminal.reverse(stan)
    bench.take(bench.terminal.settle())
    bench.take(bench.terminal.end())
    assert bench.books["batch"] == 9
    assert bench.say(reversal).get(39) == "00"
    assert "after batch 8 was closed" in bench.books["remarks"][-1]


def test_refused_by_rule_books_a_decline_and_partial_approval_approves_half() -> None:
    bench = Bench.signed_in()
    refused = bench.terminal.sale(DOMESTIC, 1_000)
    assert bench.say(refused, refuse="96").get(39) == "96"
    partial = bench.terminal.sale(DOMESTIC, 1_000)
    answer = bench.say(partial, refuse="10")
    assert (answer.get(39), answer.get(4)) == ("10", f"{500:012d}")
    assert (bench.entry(refused.stan)["state"], bench.spent()) == ("declined", 500)
    assert bench.say(bench.terminal.reverse(partial.stan)).get(39) == "00"
    assert bench.spent() == 0


def test_say_books_as_usual_and_answers_something_else() -> None:
    bench = Bench.signed_in()
    sent = bench.terminal.sale(DOMESTIC, 1_000)
    assert bench.say(sent, say="68").get(39) == "68"
    assert (bench.entry(sent.stan)["code"], bench.spent()) == ("00", 1_000)


@pytest.mark.parametrize("maced", [True, False])
def test_the_mac_of_declines_is_a_knob(maced: bool) -> None:
    bench = Bench.signed_in(mac_declines=maced)
    answer = bench.say(bench.terminal.sale(STRANGER, 100))
    assert (answer.get(64) is not None) is maced
    assert bench.say(bench.terminal.sale(DOMESTIC, 100)).get(64) is not None


def test_unknown_terminal_other_merchant_and_unreadable_have_their_codes() -> None:
    bench = Bench.of()
    assert bench.say(Terminal("99999999", MID).sign_in()).get(39) == "97"
    assert bench.say(Terminal("10000001", "0" * 15).sign_in()).get(39) == "03"
    assert bench.host.refuse_unreadable(None).body is None
    refused = bench.host.refuse_unreadable(Message("0200", {11: "000001"}))
    assert refused.message is not None
    assert refused.message.get(39) == "30"


@pytest.mark.parametrize(
    ("mti", "fields"),
    [
        ("0210", {41: "10000001"}),
        ("9999", {}),
        ("0200", {}),
        ("0200", {41: "10000001", 42: MID}),
        ("0600", {41: "10000001", 42: MID, 11: "000001", 60: "00000001"}),
        ("0500", {41: "10000001", 42: MID, 11: "000001", 60: "00000008201"}),
        ("0500", {41: "10000001", 42: MID, 11: "000001", 60: "00000008201", 48: "1" * 61}),
        ("0320", {41: "10000001", 42: MID, 11: "000001", 60: "00000008201", 48: "99"}),
        ("0320", {41: "10000001", 42: MID, 11: "000000", 60: "00000008201", 48: "99"}),
    ],
)
def test_odd_messages_get_a_code_or_nothing(mti: str, fields: dict[int, str]) -> None:
    bench = Bench.of()
    message = Message(mti, fields)
    answer = bench.host.handle(message, UNIONPAY.encode(message), NOON_MS)
    assert answer.code in (None, "97", "03", "30", "40", "12", "77")


def test_deviations_from_the_field_lists_are_remarked_not_refused() -> None:
    bench = Bench.signed_in()
    stan = bench.sale(1_000)
    bench.take(bench.terminal.void(stan))
    assert bench.books["remarks"] == []
    other = bench.sale(100)
    bench.take(bench.terminal.reverse(other, reason="77"))
    assert bench.books["remarks"] == [f"0400 batch 8 STAN {other}: 0400 with reason 77"]


def test_the_books_hold_no_card_number_and_no_key() -> None:
    bench = Bench.signed_in()
    bench.sale(100)
    text = json.dumps(bench.host.dump()) + repr(bench.host.books) + repr(bench.host.settings)
    assert DOMESTIC.pan not in text
    assert TMK not in text
    assert "622588******6789" in text
    assert bench.terminal.keys is not None
    assert bench.terminal.keys.mak.hex() not in text.lower()


def test_two_terminals_with_one_name_are_refused() -> None:
    one = settings().terminals[0]
    with pytest.raises(ValueError, match="same tid"):
        HostSettings(terminals=(one, one))
