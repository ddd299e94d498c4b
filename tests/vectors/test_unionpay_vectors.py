"""Golden messages: decoded to what was written down, and encoded again byte for byte.

They guard against a codec that is wrong on both ends in the same way.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Codec, Unreadable, replace_mac
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field48End, Field48Totals, Field48Upload, Field60, Field61, GroupTotals
from posd.iso8583.unionpay import UNIONPAY, unionpay_spec

VECTORS = json.loads((Path(__file__).parents[2] / "posd" / "vectors" / "unionpay.json").read_text(encoding="utf-8"))
MESSAGES = {row["name"]: row for row in VECTORS["messages"]}
VARIANT = Codec(unionpay_spec(f61_ascii=True, with_f24=True))


def opened(row: dict[str, Any]) -> tuple[Envelope | None, bytes]:
    """Envelope and message bytes of a vector, through our own framing."""
    data = bytes.fromhex(row["hex"])
    if row["framing"] == "mti":
        return None, data
    if row["framing"] == "length":
        (data,) = LengthPrefixed().feed(data)
    return split(data, 2 if row["dialect"] == "variant" else 6)


def codec_of(row: dict[str, Any]) -> Codec:
    return VARIANT if row["dialect"] == "variant" else UNIONPAY


@pytest.mark.parametrize("name", MESSAGES)
def test_decodes_to_what_was_written_down(name: str) -> None:
    row = MESSAGES[name]
    envelope, body = opened(row)
    message = codec_of(row).decode(body)
    assert message.mti == row["mti"]
    assert {str(number): value for number, value in message.fields.items()} == row["fields"]
    if envelope is not None:
        assert (envelope.tpdu.hex().upper(), envelope.header.hex().upper()) == (row["tpdu"], row["header"])
        assert envelope.lri == b""


@pytest.mark.parametrize("name", MESSAGES)
def test_encodes_to_the_same_bytes(name: str) -> None:
    row = MESSAGES[name]
    envelope, _ = opened(row)
    body = codec_of(row).encode(Message(row["mti"], {int(n): value for n, value in row["fields"].items()}))
    frame = body if envelope is None else join(envelope, body)
    wire = with_length(frame) if row["framing"] == "length" else frame
    assert wire.hex().upper() == row["hex"]


@pytest.mark.parametrize(
    ("name", "bitmap"),
    [
        ("A7", "0020000000C00016"),
        ("B1", "0020000000C00016"),
        ("A6-004", "0020000000C00012"),
        ("B3", "302004C020C09811"),
        ("B8", "0020000000C18012"),
        ("B11", "0020000000C10010"),
        ("B14", "0020000000C10010"),
    ],
)
def test_bitmaps_of_the_reference(name: str, bitmap: str) -> None:
    """The bitmaps that reference 1.2 calls worth testing."""
    row = MESSAGES[name]
    data = UNIONPAY.encode(Message(row["mti"], {int(n): value for n, value in row["fields"].items()}))
    assert data[2:10].hex().upper() == bitmap


def test_bitmap_of_a_void_reversal_without_card() -> None:
    fields = {int(n): value for n, value in MESSAGES["B7b"]["fields"].items() if n != "2"}
    assert UNIONPAY.encode(Message("0400", fields))[2:10].hex().upper() == "3020048006C08019"


def test_bitmap_of_the_sign_in_answer_of_a7() -> None:
    """The page gives the start of the answer only: its bitmap names 11 12 13 32 37 39 41 42 60 62 63."""
    fields = {int(n): value for n, value in MESSAGES["B2"]["fields"].items()} | {
        12: "101509",
        13: "1231",
        32: "01234567890",
        37: "100000001277",
        63: "01 ",
    }
    data = UNIONPAY.encode(Message("0810", fields))
    assert data[2:10].hex().upper() == "003800010AC00016"
    assert data[13:26].hex().upper() == "1015091231" + "11012345678900" + "31"


@pytest.mark.parametrize("row", VECTORS["truncated"], ids=lambda row: str(row["name"]))
def test_a_message_cut_on_its_page_is_clearly_truncated(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"])
    framing = LengthPrefixed()
    assert framing.feed(data) == []
    assert framing.pending == len(data)
    _, body = split(data[2:], 6)
    with pytest.raises(Unreadable) as caught:
        UNIONPAY.decode(body)
    assert caught.value.partial is not None
    assert caught.value.partial.mti == "0800"
    assert caught.value.partial.get(11) == "000090"
    assert (caught.value.field, caught.value.offset) == ("57", 38)
    assert "expecting 64" in caught.value.what


@pytest.mark.parametrize("name", ["A1", "A2", "B3", "B4", "B5", "B6", "B7", "B7b"])
def test_a_mac_is_the_last_eight_bytes(name: str) -> None:
    row = MESSAGES[name]
    _, body = opened(row)
    mac = bytes.fromhex(row["fields"]["64"])
    assert replace_mac(body[:-8] + bytes(8), mac) == body


def test_sub_fields_of_part_b() -> None:
    """What the prose of the samples says about fields 48, 60 and 61, read by us."""
    fields = {name: row["fields"] for name, row in MESSAGES.items()}
    domestic = GroupTotals(17345, 2, 12345, 1)
    assert Field48Totals.parse(fields["B8"]["48"]) == Field48Totals(domestic, GroupTotals(0, 0, 0, 0))
    assert Field48Totals.parse(fields["B9"]["48"]).domestic == GroupTotals(17345, 2, 12345, 1, result=1)
    assert [group.result for group in _groups(fields["B10"]["48"])] == [2, 1]
    upload = Field48Upload.parse(fields["B11"]["48"])
    assert [(r.card_class, r.stan, r.amount_minor) for r in upload.records] == [
        ("00", 124, 12345),
        ("00", 125, 5000),
        ("00", 126, 12345),
    ]
    assert {r.pan for r in upload.records} == {"6225880123456789"}
    assert upload.format() == fields["B11"]["48"]
    assert [Field48End.parse(fields[name]["48"]).count for name in ("B13", "B14")] == [3, 0]
    assert Field61.parse(fields["B7b"]["61"]) == Field61(8, 126)
    codes = {"B1": "004", "B3": "000", "B8": "201", "B13": "202", "B14": "207", "B15": "002", "B16": "301"}
    assert {name: Field60.parse(fields[name]["60"]).code for name in codes} == codes


def _groups(text: str) -> list[GroupTotals]:
    totals = Field48Totals.parse(text)
    assert totals.foreign is not None
    return [totals.domestic, totals.foreign]
