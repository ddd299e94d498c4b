"""Playbooks of a NAC settlement: 00, 95 and the upload, 77, repeats, batch numbers, the saved state."""

import json
from typing import Any

import pytest

from simulators.chip import read_55
from simulators.host.faults import Faults
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.settings import NacBehaviour
from simulators.host.state import StateUnusable, restore, saved
from simulators.host.view import rendered
from simulators.terminal.core import CardInHand
from tests.simulators import bench as unionpay
from tests.simulators.nac_bench import CARD, OTHER, Bench, settings, terminal


def day(bench: Bench) -> list[int]:
    """Two sales (one adjusted), a voided one, a refund, an offline sale, a hold."""
    stans = [bench.sale(1_000), bench.sale(2_000, OTHER), bench.sale(3_000)]
    assert bench.code(bench.terminal.tip(stans[0], 100)) == "00"
    assert bench.code(bench.terminal.void(stans[2])) == "00"
    more = (
        bench.terminal.refund(CARD, 400),
        bench.terminal.offline_sale(OTHER, 500, "654321"),
        bench.terminal.preauth(CARD, 9_000),
    )
    assert [bench.code(sent) for sent in more] == ["00"] * 3
    return stans


def last(bench: Bench) -> Any:
    return bench.books["batches"][-2]["settlements"][-1]


def test_a_day_that_balances_closes_at_once() -> None:
    bench = Bench.of()
    day(bench)
    assert bench.totals() == (3, 3_600, 1, 400)
    assert bench.settled() == ["00"]
    assert bench.books["batches"][0]["state"] == "closed"
    assert (bench.books["batch"], bench.terminal.batch) == (8, 8)
    assert bench.books["remarks"] == []


@pytest.mark.parametrize("length", [30, 33, 36, 90])
def test_totals_in_every_length(length: int) -> None:
    bench = Bench.of()
    bench.terminal.totals_digits = length
    bench.sale()
    assert bench.settled() == ["00"]


def test_an_empty_batch_may_be_settled() -> None:
    assert Bench.of().settled() == ["00"]


def test_95_then_the_upload_then_00() -> None:
    bench = Bench.of(disagree="totals")
    day(bench)
    assert bench.settled() == ["95", "00", "00", "00", "00", "00"]
    found = last(bench)
    assert (found["uploaded"], found["matched"], found["differences"], found["end_code"]) == (4, 4, [], "00")
    assert (bench.terminal.batch, bench.books["remarks"]) == (8, [])


@pytest.mark.parametrize("code", ["77", "95"])
def test_95_then_77_closes_out_of_balance(code: str) -> None:
    bench = Bench.of(disagree="always", out_of_balance=code)
    day(bench)
    assert bench.settled() == ["95", "00", "00", "00", "00", code]
    assert (bench.books["batches"][0]["state"], bench.terminal.batch) == ("closed", 8)


def test_a_real_difference_is_named_and_ends_with_77() -> None:
    """Of one sale the terminal never heard, and another it holds to be dearer than it was."""
    bench = Bench.of()
    heard, unheard = bench.sale(1_000), bench.terminal.sale(CARD, 2_000)
    bench.say(unheard)
    bench.terminal.log[heard].amount_minor = 1_500
    assert bench.settled() == ["95", "00", "77"]
    found = [(one["kind"], one["stan"], one["ours"], one["uploaded"]) for one in last(bench)["differences"]]
    assert [one[:2] for one in found] == [("amount", heard), ("missing", unheard.stan)]
    assert found[0][2]["amount"] == 1_000
    assert found[0][3] == {"amount": 1_500, "card": "476173******0119", "invoice": "000001"}
    assert CARD.pan not in json.dumps(bench.books)


def test_a_host_that_believes_the_upload_closes_with_00() -> None:
    bench = Bench.of(closing="uploaded")
    bench.sale(1_000)
    bench.say(bench.terminal.sale(CARD, 2_000))
    assert bench.settled() == ["95", "00", "00"]
    assert [one["kind"] for one in last(bench)["differences"]] == ["missing"]


def test_a_record_left_out_of_the_upload_is_seen_in_the_closing() -> None:
    bench = Bench.of(disagree="totals", closing="uploaded")
    for amount in (100, 200):
        bench.sale(amount)
    assert bench.code(bench.terminal.settle()) == "95"
    bench.take(next(iter(bench.terminal.uploads())))
    assert bench.code(bench.terminal.close()) == "77"


def test_what_only_the_terminal_has_is_extra() -> None:
    bench = Bench.of()
    ghost = bench.terminal.sale(CARD, 700)
    bench.terminal.log[ghost.stan].approved, bench.terminal.log[ghost.stan].amount_minor = True, 700
    bench.terminal.log[ghost.stan].rrn = "000000000000"
    assert bench.settled() == ["95", "00", "77"]
    assert [one["kind"] for one in last(bench)["differences"]] == ["extra"]


def test_another_invoice_number_is_a_difference() -> None:
    bench = Bench.of(disagree="totals")
    bench.sale(700)
    assert bench.code(bench.terminal.settle()) == "95"
    (record,) = bench.terminal.uploads()
    other = record.message.with_({62: "000099"})
    assert bench.host.handle(other, bench.host.codec.encode(other), 0).code == "00"
    assert bench.code(bench.terminal.close()) == "77"
    assert [one["kind"] for one in last(bench)["differences"]] == ["invoice"]


def test_repeated_records_count_once_whether_with_their_number_or_a_new_one() -> None:
    bench = Bench.of(disagree="totals")
    bench.sale(700)
    assert bench.code(bench.terminal.settle()) == "95"
    (record,) = bench.terminal.uploads()
    (again,) = bench.terminal.uploads()
    assert record.stan != again.stan
    assert [bench.code(sent) for sent in (record, record, again)] == ["00", "00", "00"]
    assert bench.code(bench.terminal.close()) == "00"
    assert (last(bench)["uploaded"], last(bench)["repeated"]) == (1, 1)


def test_a_settlement_begun_anew_keeps_what_was_uploaded() -> None:
    """PAX begins again at 920000 after a failure; a terminal with a cursor does not upload again (2.5)."""
    bench = Bench.of(disagree="totals")
    for amount in (100, 200):
        bench.sale(amount)
    assert bench.code(bench.terminal.settle()) == "95"
    first, second = bench.terminal.uploads()
    assert bench.code(first) == "00"
    assert bench.code(second, refuse="96") == "96"
    assert bench.code(bench.terminal.settle()) == "95"
    assert bench.code(second) == "00"
    assert bench.code(bench.terminal.close()) == "00"


def test_a_lost_0510_is_answered_again_as_it_was_and_closes_once() -> None:
    bench = Bench.of()
    bench.sale(700)
    totals = bench.terminal.settle()
    first, again = bench.say(totals), bench.say(totals)
    assert first.fields == again.fields
    assert [batch["number"] for batch in bench.books["batches"]] == [7, 8]
    later = bench.terminal.settle()
    assert bench.say(later).get(39) == "80", "another message about a closed batch"


@pytest.mark.parametrize("code", ["80", "85", "95"])
def test_a_host_that_has_moved_on_says_so(code: str) -> None:
    bench = Bench.of(repeat_after_close=code)
    bench.sale(700)
    totals = bench.terminal.settle()
    assert (bench.say(totals).get(39), bench.say(totals).get(39)) == ("00", code)
    assert [batch["number"] for batch in bench.books["batches"]] == [7, 8]


def test_another_batch_number_is_80_unless_the_host_follows() -> None:
    bench = Bench.of()
    bench.terminal.batch = 99
    assert bench.code(bench.terminal.settle()) == "80"
    follower = Bench.of(batch_numbers="follow")
    follower.terminal.batch = 99
    assert follower.settled() == ["00"]
    assert [batch["number"] for batch in follower.books["batches"]] == [99, 100]


def test_batch_999999_is_followed_by_1() -> None:
    bench = Bench.of(batch_numbers="follow")
    bench.terminal.batch = 999_999
    assert bench.settled() == ["00"]
    assert (bench.terminal.batch, bench.books["batch"]) == (1, 1)


def test_out_of_order_messages_are_refused_and_remarked() -> None:
    bench = Bench.of()
    sale = bench.sale(700)
    assert bench.code(bench.terminal.upload(sale)) == "12"
    assert bench.code(bench.terminal.close()) == "12"
    assert bench.settled() == ["00"]
    assert len(bench.books["remarks"]) == 2


@pytest.mark.parametrize("refuse", ["96", "85", "77"])
def test_any_other_code_leaves_the_batch_open(refuse: str) -> None:
    bench = Bench.of()
    bench.sale(700)
    assert bench.code(bench.terminal.settle(), refuse=refuse) == refuse
    assert (bench.terminal.batch, bench.books["batches"][-1]["state"]) == (7, "open")
    assert bench.settled() == ["00"]


def test_a_95_or_77_that_a_rule_asks_for_means_what_it_says() -> None:
    bench = Bench.of()
    bench.sale(700)
    assert bench.code(bench.terminal.settle(), refuse="95") == "95"
    assert [bench.code(one) for one in list(bench.terminal.uploads())] == ["00"]
    assert bench.code(bench.terminal.close(), refuse="77") == "77"
    assert bench.books["batches"][0]["state"] == "closed"


def test_certificates_of_chip_sales_may_come_before_the_totals_and_count_once() -> None:
    bench = Bench.of(disagree="totals")
    sale = bench.sale(700, CardInHand(CARD.pan, "3012", "051"))
    asked = bench.terminal.log[sale].sent.message
    assert asked.get(23) == "001"
    certificate = bench.terminal.certificate(sale)
    assert read_55(certificate.message.get(55))["9F27"] == b"\x40"
    assert read_55(asked.get(55))["9F27"] == b"\x80"
    assert [bench.code(one) for one in (certificate, bench.terminal.certificate(sale))] == ["00", "00"]
    assert bench.settled() == ["95", "00", "00"]
    assert bench.books["batches"][0]["chip_details"] == 1
    assert bench.books["remarks"] == []


@pytest.mark.parametrize(("field55", "code", "remarks"), [("9F2701", "30", 1), ("9F270140", "00", 1)])
def test_a_certificate_that_is_none_is_told(field55: str, code: str, remarks: int) -> None:
    bench = Bench.of()
    certificate = bench.terminal.certificate(bench.sale(700, CardInHand(CARD.pan, "3012", "051")))
    asked = certificate.message.with_({55: field55})
    assert bench.host.handle(asked, bench.host.codec.encode(asked), 0).code == code
    assert len(bench.books["remarks"]) == remarks


def test_a_saved_state_goes_on_where_it_was() -> None:
    bench = Bench.of(disagree="totals")
    day(bench)
    assert bench.code(bench.terminal.settle()) == "95"
    first, *rest = bench.terminal.uploads()
    assert bench.code(first) == "00"
    document = json.loads(json.dumps(saved(bench.host, Faults(()))))
    fresh = NacAcquirer(settings(disagree="totals"), seed=1)
    restore(document, fresh, Faults(()))
    assert fresh.dump() == bench.host.dump()
    again = Bench(fresh, bench.terminal)
    assert [again.code(one) for one in (first, *rest)] == ["00"] * 4
    assert again.code(again.terminal.close()) == "00"
    assert saved(fresh, Faults(()))["profile"] == "nac"


def test_a_state_of_the_other_dialect_is_refused() -> None:
    nac = json.loads(json.dumps(saved(Bench.of().host, Faults(()))))
    with pytest.raises(StateUnusable, match="another profile"):
        restore(nac, unionpay.Bench.of().host, Faults(()))
    with pytest.raises(StateUnusable, match="another profile"):
        restore(json.loads(json.dumps(saved(unionpay.Bench.of().host, Faults(())))), Bench.of().host, Faults(()))
    damaged = nac | {"terminals": {"12345678": {"sign_ins": 1}}}
    with pytest.raises(StateUnusable, match="damaged"):
        restore(damaged, Bench.of().host, Faults(()))


def test_the_view_shows_nac_books() -> None:
    bench = Bench.of()
    bench.sale(1_000)
    bench.say(bench.terminal.sale(CARD, 2_000))
    bench.settled()
    shown = "\n".join(rendered(json.loads(json.dumps(bench.host.dump()))))
    assert "unbalanced" in shown
    assert "missing" in shown
    assert CARD.pan not in shown


def test_the_terminals_own_defaults_are_the_hosts() -> None:
    assert (terminal().nii, terminal().totals_digits) == (NacBehaviour().nii, 90)
