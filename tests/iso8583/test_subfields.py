"""Sub-fields of 48, 60 and 61: every legal shape comes back, everything else is refused by name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.subfields import (
    Field48End,
    Field48Totals,
    Field48Upload,
    Field60,
    Field61,
    GroupTotals,
    UploadRecord,
)
from posd.values import BatchNumber

PAN = "6225880123456789"
six = st.integers(0, 999_999)
digits = st.text("0123456789", max_size=130)


def test_field_60_in_every_length_that_is_sent() -> None:
    for text in ("22000008", "00000008201", "2200000800050", "22000008000500", "22000008000501065"):
        assert Field60.parse(text).format() == text
    whole = Field60.parse("22000008000501065")
    assert (whole.type_code, whole.batch, whole.code) == ("22", 8, "000")
    assert (whole.read_capability, whole.ic_condition, whole.partial_approval, whole.account_type) == (
        "5",
        "0",
        "1",
        "065",
    )
    short = Field60.parse("22000008")
    assert (short.code, short.read_capability, short.partial_approval) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "field"),
    [("", "60.1"), ("2", "60.1"), ("22", "60.2"), ("2200000", "60.2"), ("220000080", "60.3"), ("22000008000x", "60.4")],
)
def test_field_60_names_what_is_missing(text: str, field: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        Field60.parse(text)
    assert caught.value.field == field


def test_field_60_refuses_a_gap() -> None:
    with pytest.raises(CannotEncode, match="field 60"):
        Field60("22", BatchNumber(8), rest="5").format()
    with pytest.raises(CannotEncode, match=r"60\.2"):
        Field60("22", BatchNumber(1_000_000)).format()


def test_field_61_of_a_void_and_of_its_reversal() -> None:
    assert Field61(8, 124).format() == "000008000124"
    assert Field61.parse("0000080001240000") == Field61(8, 124, "0000")
    assert Field61.parse("000008000124112200" + "4" * 11).rest == "00" + "4" * 11
    for text, field in (("000008", "61.2"), ("00000800012411", "61.3"), ("", "61.1")):
        with pytest.raises(MalformedMessage) as caught:
            Field61.parse(text)
        assert caught.value.field == field
    with pytest.raises(CannotEncode):
        Field61(8, 124, rest="00").format()


def test_totals_in_one_group_and_in_two() -> None:
    group = GroupTotals(17345, 2, 12345, 1)
    assert Field48Totals(group).format() == "0000000173450020000000123450010"
    assert Field48Totals.parse(Field48Totals(group).format()) == Field48Totals(group)
    assert len(Field48Totals(group, group).format()) == 62
    with pytest.raises(MalformedMessage):
        Field48Totals.parse("0" * 61)
    with pytest.raises(CannotEncode, match=r"48\.1"):
        Field48Totals(GroupTotals(0, 1000, 0, 0)).format()
    with pytest.raises(CannotEncode, match=r"48\.2"):
        Field48Totals(group, GroupTotals(-1, 0, 0, 0)).format()


def test_upload_records_never_show_the_card() -> None:
    record = UploadRecord("00", 124, PAN, 12345)
    assert record.format() == "00" + "000124" + "0000" + PAN + "000000012345"
    assert UploadRecord.parse(record.format()) == record
    upload = Field48Upload((record,) * 8)
    assert len(upload.format()) == 322
    assert PAN not in f"{record!r} {upload!r} {record}"
    for bad in (UploadRecord("0", 124, PAN, 1), UploadRecord("00", 124, "12x4", 1), UploadRecord("00", 124, PAN, -1)):
        with pytest.raises(CannotEncode) as caught:
            bad.format()
        assert PAN not in str(caught.value)
    for count in (0, 9):
        with pytest.raises(CannotEncode):
            Field48Upload((record,) * count).format()


@pytest.mark.parametrize("text", ["", "0", "00", "09" + "0" * 360, "02" + "0" * 40, "01" + "0" * 41])
def test_an_upload_whose_count_lies_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        Field48Upload.parse(text)
    assert caught.value.field is not None
    assert caught.value.field.startswith("48")


def test_the_end_has_four_digits() -> None:
    assert Field48End.parse("0003") == Field48End(3)
    assert Field48End(0).format() == "0000"
    for text in ("", "003", "00003", "00x3"):
        with pytest.raises(MalformedMessage):
            Field48End.parse(text)
    with pytest.raises(CannotEncode):
        Field48End(10_000).format()


@settings(max_examples=200, deadline=None)
@given(digits | st.text(max_size=70))
def test_any_text_parses_and_comes_back_or_is_refused(text: str) -> None:
    for parser in (Field60, Field61, GroupTotals, Field48Totals, Field48Upload, Field48End):
        try:
            value = parser.parse(text)
        except MalformedMessage:
            continue
        assert parser is Field48Upload or value.format() == text


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(UploadRecord, st.sampled_from(["00", "01"]), six, st.just(PAN), st.integers(0, 10**12 - 1)),
        min_size=1,
        max_size=8,
    )
)
def test_any_upload_comes_back(records: list[UploadRecord]) -> None:
    upload = Field48Upload(tuple(records))
    assert Field48Upload.parse(upload.format()) == upload
