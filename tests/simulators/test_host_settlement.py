"""Playbooks of totals, uploads and the next batch (reference 1.6, 1.7)."""

import pytest

from posd.iso8583.unionpay import UNIONPAY
from simulators.fields import UploadRecord, format_upload
from simulators.terminal.core import Sent
from tests.simulators.bench import DOMESTIC, FOREIGN, Bench


def forget(bench: Bench, stan: int) -> None:
    """The terminal loses a sale from its log: its totals no longer agree."""
    del bench.terminal.log[stan]


def test_balanced_two_groups_and_the_next_batch() -> None:
    bench = Bench.signed_in()
    bench.sale(1_000)
    bench.take(bench.terminal.void(bench.sale(300)))
    bench.sale(500, FOREIGN)
    settle = bench.terminal.settle()
    answer = bench.say(settle)
    assert answer.get(48) == ("000000001300002" + "000000000300001" + "1" + "000000000500001" + "000000000000000" + "1")
    assert answer.get(39) is None
    assert bench.take(settle)["outcome"] == "balanced"
    assert bench.books["batches"][0]["state"] == "totalled"
    assert bench.take(bench.terminal.end())["code"] == "00"
    assert [(batch["number"], batch["state"]) for batch in bench.books["batches"]] == [
        (8, "closed"),
        (9, "open"),
    ]
    assert bench.books["remarks"] == []


def test_an_empty_batch_balances() -> None:
    bench = Bench.signed_in()
    assert bench.take(bench.terminal.settle())["outcome"] == "balanced"
    assert bench.take(bench.terminal.end())["code"] == "00"


def test_unbalanced_group_is_uploaded_and_matched_record_by_record() -> None:
    bench = Bench.signed_in()
    stans = [bench.sale(1_000 + n) for n in range(10)]
    bench.sale(500, FOREIGN)
    forget(bench, stans[3])
    assert bench.take(bench.terminal.settle())["outcome"] == "unbalanced"
    assert bench.terminal.settled_groups == (False, True)
    uploads = list(bench.terminal.uploads())
    assert len(uploads) == 2
    assert [bench.take(one)["code"] for one in uploads] == ["00", "00"]
    assert bench.take(bench.terminal.end())["code"] == "00"
    done = bench.books["batches"][0]["settlements"][0]
    assert (done["matched"], done["mismatched"], done["extra"]) == (9, [], [])
    assert done["missing"] == [f"STAN {stans[3]}: not uploaded"]
    assert (done["end_code"], done["end_count"]) == ("202", 9)
    assert bench.books["batch"] == 9


def test_mismatched_and_extra_records_are_named_without_the_card() -> None:
    bench = Bench.signed_in()
    first, second = bench.sale(1_000), bench.sale(2_000)
    forget(bench, first)
    bench.take(bench.terminal.settle())
    records = (
        UploadRecord("00", first, DOMESTIC.pan, 999),
        UploadRecord("01", second, DOMESTIC.pan, 2_000),
        UploadRecord("00", 4711, DOMESTIC.pan, 50),
    )
    upload = bench.terminal.management("upload", "0320", "201", {48: format_upload(records)})
    bench.take(upload)
    done = bench.books["batches"][0]["settlements"][0]
    assert done["mismatched"] == [
        f"STAN {first}: amount 999, ours 1000",
        f"STAN {second}: class 01, ours 00",
    ]
    assert done["extra"] == ["STAN 4711: not in our books"]
    assert DOMESTIC.pan not in repr(records)


def test_a_repeat_of_totals_upload_or_end_gets_the_same_answer() -> None:
    bench = Bench.signed_in()
    forget(bench, bench.sale(1_000))
    bench.sale(2_000)
    settle = bench.terminal.settle()
    first, again = bench.say(settle), bench.say(settle)
    assert first.fields == again.fields
    bench.take(settle)
    (upload,) = bench.terminal.uploads()
    assert bench.say(upload).fields == bench.say(upload).fields
    end = bench.terminal.end()
    assert bench.say(end).fields == bench.say(end).fields
    assert bench.books["batch"] == 9
    assert bench.books["batches"][0]["settlements"][0]["matched"] == 1
    assert len(bench.books["batches"][0]["settlements"]) == 1


def test_the_same_trace_with_other_totals_is_94() -> None:
    bench = Bench.signed_in()
    settle = bench.terminal.settle()
    bench.say(settle)
    other = settle.message.with_({48: "1" * 30 + "0" + "0" * 31})
    assert bench.say(Sent("settle", other, UNIONPAY.encode(other))).get(39) == "94"


def test_a_wrong_end_code_or_count_is_remarked() -> None:
    bench = Bench.signed_in()
    forget(bench, bench.sale(1_000))
    bench.take(bench.terminal.settle())
    bench.terminal.settled_groups = (True, True)
    bench.take(bench.terminal.management("settle_end", "0320", "207", {48: "0005"}))
    remarks = " ".join(bench.books["remarks"])
    assert "ended with 207 after totals that were not balanced" in remarks
    assert "end count 5, 0 records were uploaded" in remarks


def test_a_sale_after_the_totals_is_booked_and_remarked() -> None:
    bench = Bench.signed_in()
    bench.take(bench.terminal.settle())
    bench.sale(1_000)
    assert "after the totals of its batch" in bench.books["remarks"][0]


@pytest.mark.parametrize("knob", ["77", "zero"])
def test_a_host_that_closes_at_balanced_totals_and_then_answers_a_repeat_oddly(knob: str) -> None:
    bench = Bench.signed_in(close_at="totals", repeat_after_close=knob)
    bench.sale(1_000)
    settle = bench.terminal.settle()
    assert bench.take(settle)["outcome"] == "balanced"
    assert bench.books["batch"] == 9
    repeat = bench.say(settle)
    if knob == "77":
        assert repeat.get(39) == "77"
    else:
        assert repeat.get(48) == ("0" * 30 + "2") * 2
    assert bench.take(bench.terminal.end())["code"] == "00"
    assert bench.books["batch"] == 9
    assert bench.books["remarks"] == []


def test_unbalanced_on_demand() -> None:
    bench = Bench.signed_in(unbalance="foreign")
    bench.take(bench.terminal.settle())
    assert bench.terminal.settled_groups == (True, False)


def test_one_group_of_31_digits_holds_both() -> None:
    bench = Bench.signed_in()
    bench.sale(1_000)
    bench.sale(500, FOREIGN)
    fields = bench.terminal.settle().message.with_({48: "000000001500002" + "0" * 16})
    assert bench.say(Sent("settle", fields, UNIONPAY.encode(fields))).get(48) == ("000000001500002" + "0" * 15 + "1")


def test_totals_of_another_batch_are_77_and_an_upload_without_totals_12() -> None:
    bench = Bench.signed_in()
    upload = bench.terminal.management("settle_end", "0320", "207", {48: "0000"})
    assert bench.say(upload).get(39) == "12"
    bench.terminal.batch = 5
    assert bench.say(bench.terminal.settle()).get(39) == "77"
