"""Uploads item by item: what differs is in the books and in the events; the end message is counted."""

import json
from typing import Any

import pytest

from posd.iso8583.unionpay import UNIONPAY
from simulators.fields import UploadRecord, format_upload
from tests.simulators.bench import DOMESTIC, FOREIGN, NOON_MS, Bench


def unbalanced(*amounts: int, **behaviour: str) -> tuple[Bench, list[int]]:
    bench = Bench.signed_in(**({"unbalance": "domestic"} | behaviour))
    stans = [bench.sale(amount) for amount in amounts]
    bench.take(bench.terminal.settle())
    return bench, stans


def upload(bench: Bench, *records: UploadRecord) -> list[dict[str, Any]]:
    """Send the records; the events that the host notes."""
    sent = bench.terminal.management("upload", "0320", "201", {48: format_upload(records)})
    return findings(bench, sent.body)


def end(bench: Bench, code: str, count: int) -> list[dict[str, Any]]:
    return findings(bench, bench.terminal.management("settle_end", "0320", code, {48: f"{count:04d}"}).body)


def findings(bench: Bench, body: bytes) -> list[dict[str, Any]]:
    answer = bench.host.handle(UNIONPAY.decode(body), body, NOON_MS)
    assert answer.code in ("00", None)
    found: list[dict[str, Any]] = json.loads(json.dumps(answer.findings))
    assert DOMESTIC.pan not in json.dumps(found)
    return found


def settlement(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.books["batches"][0]["settlements"][-1]
    return found


def record(stan: int, amount: int, card_class: str = "00", pan: str = DOMESTIC.pan) -> UploadRecord:
    return UploadRecord(card_class, stan, pan, amount)


def test_each_difference_is_told_item_by_item() -> None:
    bench, (one, two, three, four) = unbalanced(100, 200, 300, 400)
    records = (record(one, 100), record(two, 201), record(three, 300, pan=FOREIGN.pan), record(4711, 9))
    (event,) = upload(bench, *records, record(four, 400, "01"))
    assert (event["event"], event["records"], event["uploaded"], event["matched"]) == ("upload", 5, 5, 1)
    told = [(item["stan"], item["kind"]) for item in event["differences"]]
    assert told == [(two, "amount"), (three, "card"), (4711, "extra"), (four, "class")]
    assert event["differences"][0]["ours"] == {"amount": 200, "card": "622588******6789", "class": "00"}
    assert event["differences"][0]["uploaded"]["amount"] == 201
    assert event["differences"][2]["ours"] is None
    kinds = [item["kind"] for item in settlement(bench)["differences"]]
    assert sorted(kinds) == ["amount", "card", "class", "extra"]


def test_a_corrected_record_is_no_difference_any_more_and_counts_once() -> None:
    bench, (stan,) = unbalanced(100)
    upload(bench, record(stan, 99))
    assert len(settlement(bench)["differences"]) == 1
    upload(bench, record(stan, 100))
    upload(bench, record(stan, 100))
    done = settlement(bench)
    assert (done["uploaded"], done["matched"], done["differences"]) == (1, 1, [])
    upload(bench, record(stan, 98))
    assert settlement(bench)["matched"] == 0


@pytest.mark.parametrize(("count", "agrees"), [(2, True), (1, False), (3, False)])
def test_the_end_message_is_counted(count: int, agrees: bool) -> None:
    bench, (one, two) = unbalanced(100, 200)
    upload(bench, record(one, 100), record(two, 200))
    closed, ended = end(bench, "202", count)
    assert (closed["event"], closed["next"]) == ("batch closed", 9)
    assert (ended["event"], ended["count"], ended["uploaded"]) == ("batch ended", count, 2)
    assert ended["count_agrees"] is settlement(bench)["end_count_agrees"] is agrees
    assert any("end count" in remark for remark in bench.books["remarks"]) is not agrees


def test_what_was_not_uploaded_is_a_difference_at_the_end() -> None:
    bench, (one, two) = unbalanced(100, 200)
    upload(bench, record(two, 200))
    assert settlement(bench)["end_count_agrees"] is None
    _, ended = end(bench, "202", 1)
    (lost,) = ended["differences"]
    assert (lost["stan"], lost["kind"], lost["uploaded"]) == (one, "missing", None)
    assert lost["ours"]["amount"] == 100


@pytest.mark.parametrize(
    ("knob", "groups"),
    [("none", (True, True)), ("domestic", (False, True)), ("foreign", (True, False)), ("both", (False, False))],
)
def test_unbalanced_on_demand_in_each_group(knob: str, groups: tuple[bool, bool]) -> None:
    bench = Bench.signed_in(unbalance=knob)
    bench.sale(100)
    bench.sale(200, FOREIGN)
    bench.take(bench.terminal.settle())
    assert bench.terminal.settled_groups == groups
    records = [(r.card_class, r.amount_minor) for r in bench.terminal.records()]
    assert records == [r for r, agreed in zip([("00", 100), ("01", 200)], groups, strict=True) if not agreed]
    for sent in [*bench.terminal.uploads(), bench.terminal.end()]:
        assert bench.take(sent)["code"] == "00"
    done = settlement(bench)
    assert (done["differences"], done["end_count_agrees"]) == ([], True)
    assert done["end_code"] == ("207" if all(groups) else "202")
    assert bench.books["remarks"] == []


def test_totals_are_an_event_with_both_sides() -> None:
    bench = Bench.signed_in()
    bench.sale(100)
    (event,) = findings(bench, bench.terminal.settle().body)
    assert (event["event"], event["tid"], event["batch"], event["balanced"]) == ("totals", "10000001", 8, True)
    assert event["groups"]["domestic"]["asked"] == event["groups"]["domestic"]["ours"]


@pytest.mark.parametrize(("knob", "code"), [("77", "77"), ("94", "94"), ("zero", None), ("same", None)])
def test_what_a_repeat_after_the_close_gets(knob: str, code: str | None) -> None:
    bench = Bench.signed_in(close_at="totals", repeat_after_close=knob)
    bench.sale(100)
    totals = bench.terminal.settle()
    first, again = bench.say(totals), bench.say(totals)
    assert again.get(39) == code
    assert (again.get(48) == first.get(48)) is (knob == "same")
    other = bench.say(bench.terminal.settle())
    assert other.get(39) == code
    assert len(bench.books["batches"][0]["settlements"]) == 1


def test_a_host_that_went_on_with_another_number_stays_there_when_the_old_batch_ends() -> None:
    bench, _ = unbalanced()
    bench.host.move_batch(bench.terminal.tid, 40)
    end(bench, "202", 0)
    assert [(batch["number"], batch["state"]) for batch in bench.books["batches"]] == [(8, "closed"), (40, "open")]


@pytest.mark.parametrize("number", [40, 8])
def test_another_batch_number_comes_in_the_0810(number: int) -> None:
    bench = Bench.signed_in()
    bench.sale(100)
    bench.take(bench.terminal.settle())
    bench.take(bench.terminal.end())
    bench.host.move_batch(bench.terminal.tid, number)
    assert bench.take(bench.terminal.sign_in())["batch"] == number
    assert bench.take(bench.terminal.sale(DOMESTIC, 300))["code"] == "00"
    assert bench.books["batches"][-1]["totals"]["domestic"]["debit_minor"] == 300
