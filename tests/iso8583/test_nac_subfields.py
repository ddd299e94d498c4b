"""Fields 54, 60, 62 and 63 of the NAC dialect: whole, in all lengths, and refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.nac_subfields import (
    TOTALS_LENGTHS,
    AmountText,
    Field60Batch,
    Field60Original,
    Field62Invoice,
    Field63Totals,
    next_invoice,
)
from posd.values import BatchNumber, Stan

PARSERS = (Field60Batch.parse, Field60Original.parse, AmountText.parse, Field62Invoice.parse, Field63Totals.parse)
amounts = st.integers(0, 10**12 - 1)
counts = st.integers(0, 999)


@given(counts, amounts, counts, amounts, st.sampled_from(TOTALS_LENGTHS))
def test_totals_in_every_length(sales: int, sold: int, refunds: int, refunded: int, length: int) -> None:
    totals = Field63Totals(sales, sold, refunds, refunded)
    text = totals.format(length)
    assert len(text) == length
    assert text.startswith(f"{sales:03d}{sold:012d}{refunds:03d}{refunded:012d}")
    assert set(text[30:]) <= {"0"}
    again = Field63Totals.parse(text)
    assert again == totals
    assert again.format(length) == text


def test_what_stands_behind_the_totals_is_kept_and_not_compared() -> None:
    text = "00" + "1" * 31
    read = Field63Totals.parse(text)
    assert read.rest == "111"
    assert read == Field63Totals(read.sale_count, read.sale_minor, read.refund_count, read.refund_minor)
    assert read.format(33) == text
    with pytest.raises(CannotEncode):
        read.format(30)


@pytest.mark.parametrize("length", [0, 29, 31, 32, 35, 60, 89, 91])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(MalformedMessage, match="63"):
        Field63Totals.parse("0" * length)
    with pytest.raises(CannotEncode):
        Field63Totals(0, 0, 0, 0).format(length)


@given(st.text(max_size=95))
def test_any_text_is_read_whole_or_refused(text: str) -> None:
    for parse in PARSERS:
        read = outcome(parse, text)
        if isinstance(read, MalformedMessage):
            assert read.field in ("60", "62", "63")
        else:
            assert written(read, len(text)) == text


def outcome(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except MalformedMessage as refused:
        return refused


def written(read: Any, length: int) -> str:
    text: str = read.format(length) if isinstance(read, Field63Totals) else read.format()
    return text


@pytest.mark.parametrize("text", ["²" * 6, "٣" * 6, "00001 ", "+00001"])
def test_what_python_takes_for_digits_is_refused(text: str) -> None:
    for parse in (Field60Batch.parse, Field62Invoice.parse):
        with pytest.raises(MalformedMessage):
            parse(text)


@pytest.mark.parametrize(
    "value",
    [
        Field60Batch(BatchNumber(1_000_000)),
        Field60Original("200", Stan(1)),
        Field60Original("²200", Stan(1)),
        Field60Original("0200", Stan(-1)),
        Field60Original("0200", Stan(1), "short"),
        AmountText(10**12),
        AmountText(-1),
        Field62Invoice(1_000_000),
        Field63Totals(1_000, 0, 0, 0),
        Field63Totals(0, 0, 0, 10**12),
    ],
)
def test_what_does_not_fit_is_refused(value: Any) -> None:
    with pytest.raises(CannotEncode, match="field 6"):
        value.format()


def test_invoice_numbers_go_round() -> None:
    assert (next_invoice(1), next_invoice(999_999)) == (2, 1)
