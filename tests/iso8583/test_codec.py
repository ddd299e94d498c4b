"""The codec: what pyiso8583 lets through, and what our errors say and never say."""

import re

import pytest

from posd.errors import CannotEncode
from posd.iso8583.codec import Codec, Unreadable, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.spec import Field, Kind, Pad, Spec
from posd.iso8583.unionpay import UNIONPAY, unionpay_spec

PAN = "6225880123456789"
SALE = Message(
    "0200",
    {
        2: PAN,
        3: "000000",
        4: "000000012345",
        11: "000124",
        14: "3012",
        22: "021",
        23: "001",
        25: "00",
        35: f"{PAN}=30122010000012345678",
        41: "10000001",
        42: "898100012345678",
        49: "156",
        52: "E97D930127EB3146",
        60: "22000008000500",
        64: "00" * 8,
    },
)


def wire(body: str) -> bytes:
    return bytes.fromhex(body.replace(" ", ""))


def fault(body: str) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        UNIONPAY.decode(wire(body))
    return caught.value


def test_fields_22_and_23_are_justified_on_opposite_sides() -> None:
    data = UNIONPAY.encode(SALE).hex()
    assert "3012" + "0210" + "0001" + "00" in data


def test_knobs_change_the_justification() -> None:
    other = Codec(unionpay_spec(f22_left=False, f23_right=False))
    assert "3012" + "0021" + "0010" + "00" in other.encode(SALE).hex()
    assert other.decode(other.encode(SALE)) == SALE


def test_track_separator_is_d_on_the_wire() -> None:
    assert "37" + PAN + "d30122010000012345678" + "0" in UNIONPAY.encode(SALE).hex()


def test_encoding_leaves_the_message_alone() -> None:
    before = dict(SALE.fields)
    UNIONPAY.encode(SALE)
    assert SALE.fields == before


@pytest.mark.parametrize(
    ("body", "field", "offset"),
    [
        ("", "MTI", 0),
        ("02", "MTI", 0),
        ("FFFF 0000000000000000", "MTI", 0),
        ("0200", "bitmap", 2),
        ("0200 00000000000000", "bitmap", 2),
        ("0200 2000000000000000 00000A", "3", 10),
        ("0200 3000000000000000 000000 0000000A1F00", "4", 13),
        ("0200 4000000000000000 1A", "2", 10),
        ("0200 4000000000000000 20 6225880123456789012 0", "2", 10),
        ("0200 4000000000000000 16 62258801234567", "2", 11),
        ("0200 4000000000000000 15 622588012345678F", "2", 11),
        ("0200 4000000000000000 16 62258801234567AB", "2", 11),
        ("0200 0000040000000000 0211", "22", 10),
        ("0200 0000000000400000 FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "42", 10),
        ("0200 8000000000000000 0000000000000000", "1", 10),
        ("0200 0000010000000000 0001", "24", 10),
        ("0200 2000000000000000 000000 00", "3", 13),
    ],
)
def test_faults_name_field_and_offset(body: str, field: str, offset: int) -> None:
    error = fault(body)
    assert (error.field, error.offset) == (field, offset)
    assert re.search(rf"\({'field ' + field}, offset {offset}\)$", str(error))


def test_a_wrong_filling_nibble_is_called_that() -> None:
    assert fault("0200 0000040000000000 0211").what == "the nibble that fills up an odd length is not 0"
    assert fault("0200 4000000000000000 15 622588012345678F").what.startswith("the nibble that fills")


def test_the_part_before_the_fault_is_kept() -> None:
    error = fault("0200 2020010000000000 000000 000124")
    assert error.partial == Message("0200", {3: "000000", 11: "000124"})
    assert "does not have" in error.what
    assert fault("0200").partial == Message("0200", {})
    assert fault("02").partial is None
    assert fault("0A00 0000000000000000").partial is None


def test_trailing_bytes_are_a_fault_that_keeps_the_message() -> None:
    with pytest.raises(Unreadable, match="2 bytes after the last field") as caught:
        UNIONPAY.decode(UNIONPAY.encode(SALE) + b"\x00\x00")
    assert caught.value.partial == SALE


def test_no_fault_keeps_or_shows_the_card() -> None:
    """pyiso8583's exceptions hold the whole document; ours hold no exception at all."""
    data = UNIONPAY.encode(SALE)
    for cut in range(len(data)):
        with pytest.raises(Unreadable) as caught:
            UNIONPAY.decode(data[:cut])
        error = caught.value
        assert error.__context__ is None
        assert error.__cause__ is None
        assert PAN not in f"{error} {error!r} {error.args}"
        assert "30122010" not in f"{error.partial!r} {error.partial}"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({4: "12"}, "field 4"),
        ({4: "0000000A1F00"}, "field 4"),
        ({4: "٠٠٠٠٠٠٠١٢٣٤٥"}, "field 4"),
        ({2: PAN + "0000"}, "field 2"),
        ({41: "1"}, "field 41"),
        ({41: "1000000é"}, "field 41"),
        ({52: "XY"}, "field 52"),
        ({52: "123"}, "field 52"),
        ({35: "6225Z"}, "field 35"),
        ({63: "☃"}, "field 63"),
        ({63: "x" * 164}, "field 63"),
        ({24: "001"}, "field 24"),
        ({1: "00"}, "field 1 "),
        ({65: "0"}, "field 65"),
        ({129: "0"}, "field 129"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(changes: dict[int, str], where: str) -> None:
    with pytest.raises(CannotEncode) as caught:
        UNIONPAY.encode(SALE.with_(changes))
    assert where in str(caught.value)
    assert PAN not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("mti", ["", "20", "02000", "0x10", "020A"])
def test_an_mti_has_four_digits(mti: str) -> None:
    with pytest.raises(CannotEncode, match="MTI"):
        UNIONPAY.encode(Message(mti, {}))


def test_every_byte_of_a_text_field_comes_back() -> None:
    """GBK remarks in field 63 are bytes to us."""
    message = Message(
        "0210", {44: bytes(range(128, 153)).decode("latin-1"), 63: "成功".encode("gbk").decode("latin-1")}
    )
    assert UNIONPAY.decode(UNIONPAY.encode(message)) == message


def test_an_encrypted_track_of_any_nibbles_comes_back() -> None:
    message = Message("0200", {35: "62258=ABC=EF0123456789", 36: "=" * 103})
    assert UNIONPAY.decode(UNIONPAY.encode(message)) == message


def test_another_dialect_may_pad_with_f() -> None:
    codec = Codec(Spec.of("other", [Field(2, "PAN", Kind.DIGITS, 19, 1, Pad.RIGHT, "F")]))
    assert codec.encode(Message("0200", {2: "123"})).hex() == "0200" + "4000000000000000" + "03123f"
    assert codec.decode(codec.encode(Message("0200", {2: "123"}))).get(2) == "123"
    with pytest.raises(CannotEncode, match="not in dialect other"):
        codec.encode(Message("0200", {3: "000000"}))


def test_a_mac_replaces_only_a_mac() -> None:
    data = UNIONPAY.encode(SALE)
    replaced = replace_mac(data, b"65ECC180")
    assert UNIONPAY.decode(replaced) == SALE.with_({64: b"65ECC180".hex().upper()})
    with pytest.raises(CannotEncode):
        replace_mac(data, b"short")
    with pytest.raises(CannotEncode):
        replace_mac(UNIONPAY.encode(SALE.with_({64: None})), b"65ECC180")


def test_a_message_shows_no_card_data() -> None:
    message = SALE.with_({45: "B6225", 48: "01", 55: "5A08" + PAN, 62: "AB", 36: PAN, 63: PAN, 59: PAN})
    for text in (repr(message), str(message), f"{message}", f"{[message]}"):
        assert PAN not in text
        assert "3012" not in text
        assert "E97D" not in text
        assert "11='000124'" in text


def test_with_adds_replaces_and_removes() -> None:
    changed = SALE.with_({39: "98", 35: None, 11: "000125"}, mti="0400")
    assert (changed.mti, changed.get(39), changed.get(35), changed.get(11)) == ("0400", "98", None, "000125")
    assert (SALE.mti, SALE.get(39), SALE.get(11)) == ("0200", None, "000124")
