"""moov-io/iso8583 reads what posd writes, and posd what it writes, byte for byte.

Its field tables were written from the reference, apart from ours (moov/main.go).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode
from posd.framing.length_prefix import LengthPrefixed
from posd.framing.tpdu import split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, VariablePad, nac_spec
from posd.iso8583.spec import Field, Kind, Spec
from posd.iso8583.unionpay import unionpay_spec
from posd.profiles.contract import Material
from tests.interop import kinds
from tests.interop.dialects import DIALECTS, NAC_ROWS, UNIONPAY_ROWS
from tests.interop.moov_process import Moov
from tests.interop.written import Written, of_chips, of_management, to_host, to_terminal

WIRES: dict[str, Spec] = {
    "unionpay": unionpay_spec(),
    "unionpay+f22-right": unionpay_spec(f22_left=False),
    "unionpay+f23-left": unionpay_spec(f23_right=False),
    "unionpay+f61-ascii": unionpay_spec(f61_ascii=True),
    "unionpay+f24": unionpay_spec(with_f24=True),
    "unionpay+pin-16": unionpay_spec(pin_block_bytes=16),
    "nac": nac_spec(),
    "nac+fill-f": nac_spec(pad=VariablePad.F),
    "nac+right": nac_spec(pad=VariablePad.RIGHT),
    "nac+ascii": nac_spec(ascii_wire=True),
}

TABLES_DIFFER = {
    # What we read beyond the reference's table, and why; moov holds what we write to the table.
    ("unionpay", 60): "captured message A2 carries 19 digits",
    ("nac", 54): "answers may carry six balances of 20 characters",
}

TYPES = {Kind.DIGITS: "n", Kind.TRACK: "z", Kind.TEXT: "an", Kind.BYTES_AS_TEXT: "ans", Kind.BINARY: "b"}


@cache
def written(name: str) -> tuple[Written, ...]:
    dialect = DIALECTS[name]
    return (*to_host(dialect), *to_terminal(dialect))


def agree(moov: Moov, wire: str, codec: Codec, body: bytes) -> None:
    """Read alike, and written alike by both from what was read."""
    message = codec.decode(body)
    read = moov.decode(wire, body)
    assert read.get("error") is None, read["error"]
    assert Message(read["mti"], {int(number): text for number, text in read.get("fields", {}).items()}) == message
    assert read["hex"] == body.hex().upper()
    made = moov.encode(wire, message.mti, message.fields.items())
    assert made == {"hex": body.hex().upper()}
    assert codec.encode(message) == body


@pytest.mark.parametrize("name", DIALECTS)
def test_every_message_that_posd_writes_is_read_alike(name: str, moov: Moov) -> None:
    dialect = DIALECTS[name]
    for example in written(name):
        arrived = dialect.profile.arrive(example.out.frame)
        try:
            agree(moov, dialect.moov, Codec(WIRES[dialect.moov]), arrived.body)
        except AssertionError as error:
            raise AssertionError(f"{example.name}: {error}") from error


@pytest.mark.parametrize("name", DIALECTS)
def test_every_kind_of_message_is_among_them(name: str) -> None:
    """A kind that is new to a matrix wants a message in written.py."""
    dialect = DIALECTS[name]
    wanted = {*kinds.to_host(dialect.profile.kinds), *kinds.to_terminal(dialect.profile.kinds)} - set(dialect.absent)
    there = {kind for example in written(name) for kind in example.kinds}
    assert there >= wanted, f"tests/interop/written.py makes no {sorted(wanted - there)}"


@pytest.mark.parametrize("name", DIALECTS)
def test_what_a_dialect_does_not_have_cannot_be_said_in_it(name: str) -> None:
    dialect = DIALECTS[name]
    messages = [*of_management(dialect), *(message for _, message, _ in of_chips(dialect))]
    by_words = {kinds.words(type(message)): message for message in messages}
    for absent, text in dialect.absent.items():
        with pytest.raises(CannotEncode, match=text):
            dialect.profile.encode(by_words[absent], dialect.terminal, dialect.session, Material({}, {}))


@pytest.mark.parametrize("wire", WIRES)
def test_the_two_field_tables_agree(wire: str, moov: Moov) -> None:
    ours = {
        number: (TYPES[row.kind], row.length, row.prefix_bytes and row.prefix_bytes + 1)
        for number, row in WIRES[wire].fields.items()
    }
    theirs = moov.rows(wire)
    differing = {(wire.partition("+")[0], number) for number in ours if ours[number] != theirs.get(number)}
    assert set(ours) == set(theirs)
    assert differing == {which for which in TABLES_DIFFER if which[0] == wire.partition("+")[0]}


def body_of(row: dict[str, Any], header_bytes: int) -> bytes:
    data = bytes.fromhex(row["hex"])
    if row.get("framing", "length") == "mti":
        return data
    if row.get("framing", "length") == "length":
        (data,) = LengthPrefixed().feed(data)
    return split(data, header_bytes)[1]


@pytest.mark.parametrize("row", UNIONPAY_ROWS, ids=lambda row: str(row["name"]))
def test_the_unionpay_vectors_are_read_alike(row: dict[str, Any], moov: Moov) -> None:
    variant = row["dialect"] == "variant"
    wire = "unionpay+f24+f61-ascii" if variant else "unionpay"
    codec = Codec(unionpay_spec(with_f24=variant, f61_ascii=variant))
    body = body_of(row, 2 if variant else 6)
    if row["name"] == "A2":  # 19 digits in field 60, where the reference's table has 17
        assert "field 60" in moov.decode(wire, body)["error"]
        return
    agree(moov, wire, codec, body)


NAC_WIRES = {"zero": "nac", "F": "nac+fill-f", "right": "nac+right", "ascii": "nac+ascii"}


@pytest.mark.parametrize("row", NAC_ROWS, ids=lambda row: str(row["name"]))
def test_the_nac_vectors_are_read_alike(row: dict[str, Any], moov: Moov) -> None:
    wire = NAC_WIRES[row["wire"]]
    agree(moov, wire, Codec(WIRES[wire]), body_of(row, HEADER_BYTES))


ALPHABETS = {
    Kind.DIGITS: "0123456789",
    Kind.TRACK: "0123456789ABC=EF",
    Kind.TEXT: "".join(map(chr, range(128))),
    Kind.BYTES_AS_TEXT: "".join(map(chr, range(256))),
}


def value_of(field: Field, longest: int) -> st.SearchStrategy[str]:
    shortest = 0 if field.prefix_bytes else field.length
    if field.kind is Kind.BINARY:
        return st.binary(min_size=shortest, max_size=longest).map(lambda raw: raw.hex().upper())
    return st.text(ALPHABETS[field.kind], min_size=shortest, max_size=longest)


@pytest.mark.parametrize("wire", WIRES)
def test_any_message_is_written_and_read_alike(wire: str, moov: Moov) -> None:
    """Any field at any length: odd and even, empty and full, any byte of a text, any nibble of a track."""
    spec, rows = WIRES[wire], moov.rows(wire)
    codec = Codec(spec)

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(messages(spec, lambda number: rows[number][1]))
    def alike(message: Message) -> None:
        agree(moov, wire, codec, codec.encode(message))

    alike()


def messages(spec: Spec, longest: Callable[[int], int]) -> st.SearchStrategy[Message]:
    fields = spec.fields
    return st.sets(st.sampled_from(sorted(fields)), min_size=1, max_size=10).flatmap(
        lambda numbers: st.builds(
            Message,
            st.text("0123456789", min_size=4, max_size=4),
            st.fixed_dictionaries({n: value_of(fields[n], longest(n)) for n in sorted(numbers)}),
        )
    )


def test_the_program_names_what_it_cannot_read(moov: Moov) -> None:
    """So that a message which moov does not take cannot pass for one that it does."""
    assert "field 42" in moov.decode("nac", bytes.fromhex("08000020000000400000" + "000010"))["error"]
    assert "no dialect" in moov.decode("klingon", b"\x08\x00")["error"]


@pytest.mark.parametrize("wire", ["unionpay+f22-right", "unionpay+f23-left", "unionpay+f61-ascii", "nac"])
def test_a_wire_that_differs_in_one_knob_is_not_taken_for_the_same(wire: str, moov: Moov) -> None:
    """Else all of the above would hold for a program that answers with what it was asked."""
    message = Message("0200", {22: "021", 23: "002", 61: "000008000124"})
    with pytest.raises(AssertionError):
        agree(moov, wire, Codec(WIRES["unionpay"]), Codec(WIRES["unionpay"]).encode(message))
