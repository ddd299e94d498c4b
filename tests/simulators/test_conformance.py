"""The field lists of every message kind: what is missing and what is forbidden is a finding, one by one."""

import pytest

from posd.iso8583.message import Message
from simulators.chip import ChipDetail, write_55
from simulators.host.conformance import SHAPES, UPLOADED, deviations
from simulators.host.kinds import MATRIX, Kind, row_of
from simulators.terminal.chip_card import Chip

TAGS = write_55(Chip("6225880123456789", 1, 100, "261122").offline())
VALUES = {4: "000000000100", 11: "000001", 25: "00", 22: "051", 55: TAGS, 26: "12", 52: "00" * 8}
MUST_NOT = 44
"""A field that no request has."""


def message(kind: Kind, fields: frozenset[int], mti: str | None = None) -> Message:
    row = MATRIX[kind]
    made = {number: VALUES.get(number, "1") for number in fields}
    made |= {3: row.processing, 25: row.condition, 60: f"{row.type_code}000008000"}
    return Message(mti or row.mti, {number: text for number, text in made.items() if number in fields})


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_list(kind: Kind) -> None:
    shape = SHAPES[kind]
    everything = shape.must | shape.may
    assert list(deviations(message(kind, everything))) == []
    for number in shape.must - {3, 25, 60}:
        assert f"{MATRIX[kind].mti} without field {number}" in deviations(message(kind, everything - {number}))
    assert f"{MATRIX[kind].mti} with field {MUST_NOT}" in deviations(message(kind, everything | {MUST_NOT}))


@pytest.mark.parametrize("kind", list(UPLOADED))
def test_every_single_record_has_its_list(kind: Kind) -> None:
    shape = UPLOADED[kind]
    everything = shape.must | shape.may
    assert list(deviations(message(kind, everything, "0320"))) == []
    for number in (35, 52, 64):
        assert f"0320 with field {number}" in deviations(message(kind, everything | {number}, "0320"))


@pytest.mark.parametrize("kind", [kind for kind in Kind if MATRIX[kind].advice])
def test_an_advice_never_carries_a_track_or_a_pin(kind: Kind) -> None:
    shape = SHAPES[kind]
    assert not (shape.must | shape.may) & {26, 35, 36, 52}


def test_every_row_is_found_by_what_is_on_the_wire() -> None:
    for row in MATRIX.values():
        assert row_of(row.mti, row.processing, row.condition, row.type_code) is row
    assert row_of("0200", "000000", "00", "99") is MATRIX[Kind.SALE]
    assert row_of("0200", "999999", "00", "22") is None


def test_an_offline_sale_of_electronic_cash_is_uploaded_with_y1() -> None:
    shape = UPLOADED[Kind.EC_SALE]
    online = write_55(Chip("6225880123456789", 1, 100, "261122").request())
    said = message(Kind.EC_SALE, shape.must, "0320").with_({55: online})
    assert list(deviations(said)) == ["0320: tag 8A of an offline sale is not Y1"]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({26: None}, "0200 with field 52 and not 26"),
        ({52: None}, "0200 with field 26 and not 52"),
        ({23: None}, "0200 of a chip without field 23"),
        ({55: None}, "0200 of a chip without field 55"),
        ({22: "021"}, "0200 with field 55 and entry mode 021"),
    ],
)
def test_what_belongs_together_in_a_sale(changes: dict[int, str | None], finding: str) -> None:
    shape = SHAPES[Kind.SALE]
    assert finding in deviations(message(Kind.SALE, shape.must | shape.may).with_(changes))


@pytest.mark.parametrize(
    ("mti", "code", "fields"),
    [
        ("0400", "000", {3, 4, 11, 22, 25, 39, 41, 42, 49, 60, 64}),
        ("0500", "201", {11, 41, 42, 48, 49, 60, 63}),
        ("0320", "201", {11, 41, 42, 48, 60}),
        ("0320", "202", {11, 41, 42, 48, 60}),
        ("0320", "203", {2, 4, 11, 22, 23, 41, 42, 55, 60, 62}),
        ("0320", "206", {2, 4, 11, 22, 23, 41, 42, 55, 60, 62}),
        ("0620", "951", {3, 11, 22, 25, 41, 42, 49, 55, 60, 61, 64}),
        ("0800", "003", {11, 41, 42, 60}),
        ("0800", "360", {41, 42, 60}),
        ("0820", "362", {41, 42, 60}),
        ("0820", "301", {41, 42, 60}),
    ],
)
def test_the_other_messages_have_theirs(mti: str, code: str, fields: set[int]) -> None:
    values = {number: VALUES.get(number, "1") for number in fields} | {60: f"00000008{code}"}
    if 39 in fields:
        values[39] = "98"
    if 62 in fields:
        values[62] = ChipDetail("00", "00", 100).format()
    said = Message(mti, {number: values[number] for number in sorted(values)})
    assert list(deviations(said)) == []
    for number in fields - {60, 4 if mti == "0320" else 0}:
        assert f"{mti} without field {number}" in deviations(said.with_({number: None}))
    assert f"{mti} with field {MUST_NOT}" in deviations(said.with_({MUST_NOT: "1"}))
