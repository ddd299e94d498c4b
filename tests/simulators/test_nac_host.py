"""Playbooks of the pure NAC acquirer: authorisations, advices, reversals, idempotence, what it refuses."""

import pytest

from posd.iso8583.message import Message
from posd.iso8583.nac import NAC
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.settings import Behaviour
from simulators.macs import Keying
from simulators.terminal.core import CardInHand, Sent
from tests.simulators.nac_bench import CARD, NOON_MS, OTHER, STRANGER, TID, Bench, settings, terminal

KEY = "0123456789ABCDEFFEDCBA9876543210"


def test_logon_and_echo_need_no_keys() -> None:
    bench = Bench.of()
    answer = bench.say(bench.terminal.logon())
    assert (answer.mti, answer.get(39), answer.get(24), answer.get(13)) == ("0810", "00", "001", "1122")
    echo = bench.say(bench.terminal.echo())
    assert sorted(echo.fields) == [3, 12, 13, 24, 39, 41]
    assert (bench.books["sign_ins"], bench.books["remarks"]) == (1, [])


def test_fields_of_an_approval_and_of_a_decline() -> None:
    bench = Bench.of()
    answer = bench.say(bench.terminal.sale(CARD, 1_234))
    assert sorted(answer.fields) == [3, 4, 11, 12, 13, 24, 37, 38, 39, 41]
    assert (answer.get(39), answer.get(4), answer.get(12)) == ("00", "000000001234", "120000")
    declined = bench.say(bench.terminal.sale(STRANGER, 1_234))
    assert (declined.get(39), declined.get(38)) == ("14", None)


@pytest.mark.parametrize(
    ("card", "amount", "code"),
    [
        (CARD, 100, "00"),
        (OTHER, 100, "00"),
        (STRANGER, 100, "14"),
        (CARD, 1_000_001, "51"),
        (CARD, 0, "13"),
        (CardInHand(CARD.pan, "2912"), 100, "54"),
        (CardInHand(OTHER.pan, "2610", "012"), 100, "54"),
    ],
)
def test_cards(card: CardInHand, amount: int, code: str) -> None:
    bench = Bench.of()
    assert bench.code(bench.terminal.sale(card, amount)) == code
    assert bench.spent(card) == (amount if code == "00" else 0) if card is not STRANGER else True


def test_a_void_names_invoice_and_reference_and_leaves_the_totals() -> None:
    bench = Bench.of()
    kept, gone = bench.sale(500), bench.sale(1_000)
    void = bench.terminal.void(gone)
    assert void.message.get(62) == bench.terminal.log[gone].sent.message.get(62)
    assert bench.code(void) == "00"
    assert (bench.spent(), bench.entry(gone)["state"], bench.entry(kept)["state"]) == (500, "voided", "approved")
    assert bench.totals() == (1, 500, 0, 0)
    assert bench.code(bench.terminal.void(gone)) == "12"
    assert bench.spent() == 500


def test_voids_may_be_credited_instead() -> None:
    bench = Bench.of(voids="credited")
    gone = bench.sale(1_000)
    assert bench.code(bench.terminal.void(gone)) == "00"
    refund = bench.terminal.refund(CARD, 300)
    assert bench.code(refund) == "00"
    assert bench.code(bench.terminal.void(refund.stan)) == "00"
    assert bench.totals() == (2, 1_300, 2, 1_300)
    assert bench.spent() == 0


@pytest.mark.parametrize("changes", [{37: "999999999999"}, {62: "000099"}, {2: OTHER.pan}])
def test_a_void_of_something_else_is_78(changes: dict[int, str | None]) -> None:
    bench = Bench.of()
    void = bench.terminal.void(bench.sale(1_000)).message.with_(changes)
    body = NAC.encode(void)
    answer = bench.host.handle(void, body, NOON_MS).message
    assert answer is not None
    assert answer.get(39) == "78"
    assert bench.spent() == 1_000


def test_a_void_of_another_amount_is_64() -> None:
    bench = Bench.of()
    void = bench.terminal.void(bench.sale(1_000)).message.with_({4: "000000000999"})
    answer = bench.host.handle(void, NAC.encode(void), NOON_MS).message
    assert answer is not None
    assert answer.get(39) == "64"


def test_a_refund_counts_on_its_side_and_can_be_voided_and_reversed() -> None:
    bench = Bench.of()
    first, second = bench.terminal.refund(CARD, 700), bench.terminal.refund(CARD, 300)
    assert (bench.code(first), bench.code(second)) == ("00", "00")
    assert (bench.totals(), bench.spent()) == ((0, 0, 2, 1_000), -1_000)
    void = bench.terminal.void(first.stan)
    assert void.message.get(3) == "220000"
    assert bench.code(void) == "00"
    assert bench.code(bench.terminal.reverse(second.stan)) == "00"
    assert (bench.totals(), bench.spent()) == ((0, 0, 0, 0), 0)


def test_a_tip_and_an_adjustment_change_what_counts() -> None:
    bench = Bench.of()
    sale = bench.sale(1_000)
    assert bench.code(bench.terminal.tip(sale, 150)) == "00"
    assert (bench.entry(sale)["amount"], bench.entry(sale)["tip"], bench.spent()) == (1_150, 150, 1_150)
    assert bench.code(bench.terminal.adjust(sale, 900)) == "00"
    assert (bench.totals(), bench.spent()) == ((1, 900, 0, 0), 900)
    assert bench.code(bench.terminal.adjust(sale, 0)) == "00"
    assert (bench.totals(), bench.spent(), bench.entry(sale)["state"]) == ((0, 0, 0, 0), 0, "voided")


def test_an_adjustment_with_another_original_amount_is_64() -> None:
    bench = Bench.of()
    sale = bench.sale(1_000)
    advice = bench.terminal.adjust(sale, 1_200).message.with_({60: "000000000999"})
    answer = bench.host.handle(advice, NAC.encode(advice), NOON_MS).message
    assert answer is not None
    assert answer.get(39) == "64"
    assert bench.spent() == 1_000


def test_an_offline_sale_and_its_repeat_count_once() -> None:
    bench = Bench.of(Behaviour(repeat_advice="same"))
    sent = bench.terminal.offline_sale(CARD, 2_000_000, "654321")
    first, again = bench.say(sent), bench.say(sent)
    assert first.fields == again.fields
    assert (first.mti, first.get(39)) == ("0230", "00")
    assert (bench.totals(), bench.spent()) == ((1, 2_000_000, 0, 0), 2_000_000)
    other = Bench.of()
    sent = other.terminal.offline_sale(CARD, 2_000, "654321")
    assert (other.code(sent), other.code(sent)) == ("00", "94")
    assert other.spent() == 2_000


def test_a_pre_authorisation_holds_and_its_completion_counts_even_in_a_later_batch() -> None:
    bench = Bench.of()
    held = bench.terminal.preauth(CARD, 5_000)
    assert bench.code(held) == "00"
    assert (bench.totals(), bench.spent()) == ((0, 0, 0, 0), 5_000)
    assert bench.settled() == ["00"]
    assert bench.code(bench.terminal.complete(held.stan, 5_751)) == "61"
    assert bench.code(bench.terminal.complete(held.stan, 4_200)) == "00"
    assert (bench.totals(), bench.spent()) == ((1, 4_200, 0, 0), 4_200)
    assert bench.code(bench.terminal.complete(held.stan, 4_200)) == "12"
    assert bench.code(bench.terminal.reverse(held.stan)) == "12"
    assert bench.spent() == 4_200
    assert bench.settled() == ["00"]


def test_a_reversal_moves_money_back_once() -> None:
    bench = Bench.of()
    sale = bench.sale(1_000)
    assert [bench.code(bench.terminal.reverse(sale)) for _ in range(3)] == ["00", "00", "00"]
    assert (bench.spent(), bench.entry(sale)["times_reversed"], bench.totals()) == (0, 3, (0, 0, 0, 0))
    reversal = bench.terminal.reverse(sale).message
    assert reversal.get(39) is None
    assert reversal.get(35) is None


def test_the_reversal_of_a_void_brings_the_sale_back() -> None:
    bench = Bench.of()
    sale = bench.sale(1_000)
    void = bench.terminal.void(sale)
    bench.take(void)
    assert bench.code(bench.terminal.reverse(void.stan)) == "00"
    assert (bench.spent(), bench.entry(sale)["state"], bench.totals()) == (1_000, "approved", (1, 1_000, 0, 0))
    assert bench.settled() == ["00"]


def test_an_unknown_original_is_answered_00_unless_told_otherwise_and_remembered() -> None:
    bench = Bench.of()
    lost = bench.terminal.sale(CARD, 1_000)
    assert bench.code(bench.terminal.reverse(lost.stan)) == "00"
    assert bench.books["reversed_unknown"] == [{"batch": 7, "stan": lost.stan, "times": 1}]
    assert bench.code(lost) == "00"
    assert Bench.of(reversal_unknown="25").code(lost_reversal()) == "25"
    strict = Bench.of(Behaviour(reverse_unknown="refuse_later"))
    late = strict.terminal.sale(CARD, 1_000)
    strict.take(strict.terminal.reverse(late.stan))
    assert (strict.code(late), strict.spent()) == ("12", 0)


def lost_reversal() -> Sent:
    speaker = terminal()
    return speaker.reverse(speaker.sale(CARD, 1_000).stan)


def test_a_reversal_that_differs_is_never_acknowledged() -> None:
    """Answered 00, a terminal would forget money that still stands."""
    bench = Bench.of()
    sale = bench.sale(1_000)
    other = bench.terminal.reverse(sale).message.with_({4: "000000000999"})
    answer = bench.host.handle(other, NAC.encode(other), NOON_MS)
    assert answer.code == "64"
    assert bench.spent() == 1_000


@pytest.mark.parametrize("code", ["12", "25", "96"])
def test_a_refused_reversal_moves_nothing(code: str) -> None:
    bench = Bench.of()
    sale = bench.sale(1_000)
    assert bench.code(bench.terminal.reverse(sale), refuse=code) == code
    assert bench.spent() == 1_000
    assert bench.code(bench.terminal.reverse(sale)) == "00"


def test_the_same_request_moves_money_once_and_another_under_its_number_is_94() -> None:
    bench = Bench.of()
    sent = bench.terminal.sale(CARD, 1_000)
    assert bench.say(sent).fields == bench.say(sent).fields
    bench.terminal.stan = sent.stan
    assert bench.code(bench.terminal.sale(CARD, 1_000)) == "94"
    assert (bench.spent(), bench.entry(sent.stan)["times_asked"]) == (1_000, 2)


def test_who_and_what_is_refused() -> None:
    bench = Bench.of()
    sale = bench.terminal.sale(CARD, 1_000).message

    def code(changes: dict[int, str | None], mti: str = "0200") -> str | None:
        asked = sale.with_(changes, mti=mti)
        return bench.host.handle(asked, NAC.encode(asked), NOON_MS).code

    assert code({41: "99999999"}) == "89"
    assert code({42: "999999999999999"}) == "03"
    assert code({11: "000000"}) == "30"
    assert code({62: None}) == "30"
    assert code({4: None}) == "30"
    assert code({3: "550000", 11: "000077"}) == "12"
    assert code({}, "0600") == "12"
    assert bench.host.handle(sale.with_({}, mti="0210"), b"", NOON_MS).body is None
    assert bench.host.refuse_unreadable(Message("0200", {41: TID})).code == "30"
    assert bench.host.refuse_unreadable(None).body is None


def test_what_is_odd_is_remarked_and_not_refused() -> None:
    bench = Bench.of()
    odd = bench.terminal.sale(CARD, 1_000).message.with_({24: "009", 39: "98"})
    assert bench.host.handle(odd, NAC.encode(odd), NOON_MS).code == "00"
    said = " ".join(bench.books["remarks"])
    assert "field 24 is not our NII 001" in said
    assert "0200 with field 39" in said
    assert CARD.pan not in said


def test_repeats_are_answered_as_the_first() -> None:
    """0401 and 0420 are seen too (reference 2.6)."""
    bench = Bench.of()
    reversal = bench.terminal.reverse(bench.sale(1_000)).message
    for mti in ("0401", "0420"):
        answer = bench.host.handle(reversal.with_({}, mti=mti), NAC.encode(reversal), NOON_MS).message
        assert answer is not None
        assert (answer.mti, answer.get(39)) == ("0410", "00")
    assert bench.spent() == 0


def test_a_mac_where_a_key_is_agreed_on() -> None:
    keying = Keying(mac_algorithm="x9.19")
    host = NacAcquirer(settings(Behaviour(keys=keying), mac_key=KEY))
    bench = Bench(host, terminal(mac_key=bytes.fromhex(KEY), keying=keying))
    sale = bench.terminal.sale(CARD, 1_000)
    assert (bench.take(sale)["outcome"], sale.message.get(64)) == ("approved", "00" * 8)
    assert Bench(host).code(terminal(stan=50).sale(CARD, 1_000)) == "88"
    assert bench.spent() == 1_000
    assert bench.settled() == ["00"], "management has no MAC"


def test_d14_94_is_said_of_what_was_booked_only_and_with_its_reference() -> None:
    """94 to the repeat of a declined advice would make a terminal count money that nobody booked."""
    bench = Bench.of()
    booked = bench.terminal.offline_sale(CARD, 2_000, "654321")
    first, again = bench.say(booked), bench.say(booked)
    assert (again.get(39), again.get(37)) == ("94", first.get(37))
    declined = bench.terminal.offline_sale(STRANGER, 2_000, "654321")
    assert [bench.say(declined).get(39) for _ in range(2)] == ["14", "14"]
