"""Golden NAC messages: decoded to what was written down, and encoded again byte for byte, in every variant."""

import json
from pathlib import Path
from typing import Any

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Codec, Unreadable
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, NAC, VariablePad, nac_spec
from posd.iso8583.nac_masking import masked_nac_fields
from posd.iso8583.nac_subfields import AmountText, Field60Batch, Field60Original, Field62Invoice, Field63Totals
from posd.values import BatchNumber, Stan

VECTORS = json.loads((Path(__file__).parents[2] / "posd" / "vectors" / "nac.json").read_text(encoding="utf-8"))
MESSAGES = {row["name"]: row for row in VECTORS["messages"]}
CODECS = {
    "zero": NAC,
    "F": Codec(nac_spec(pad=VariablePad.F)),
    "right": Codec(nac_spec(pad=VariablePad.RIGHT)),
    "ascii": Codec(nac_spec(ascii_wire=True)),
}
PAN = "4761739001010119"


def opened(row: dict[str, Any]) -> tuple[Envelope, bytes]:
    (frame,) = LengthPrefixed().feed(bytes.fromhex(row["hex"]))
    return split(frame, HEADER_BYTES)


def test_part_c_is_whole_and_the_rest_says_where_it_is_from() -> None:
    assert [f"N{number}" for number in range(1, 11)] == [
        name for name, row in MESSAGES.items() if row["source"] == "samples.txt part C"
    ]
    assert {row["source"] for name, row in MESSAGES.items() if name.startswith("G")} == {"generated"}


@pytest.mark.parametrize("name", MESSAGES)
def test_decodes_to_what_was_written_down(name: str) -> None:
    row = MESSAGES[name]
    envelope, body = opened(row)
    message = CODECS[row["wire"]].decode(body)
    assert message.mti == row["mti"]
    assert {str(number): value for number, value in message.fields.items()} == row["fields"]
    assert (envelope.tpdu.hex().upper(), envelope.header, envelope.lri) == (row["tpdu"], b"", b"")


@pytest.mark.parametrize("name", MESSAGES)
def test_encodes_to_the_same_bytes(name: str) -> None:
    row = MESSAGES[name]
    envelope, _ = opened(row)
    body = CODECS[row["wire"]].encode(Message(row["mti"], {int(n): value for n, value in row["fields"].items()}))
    assert with_length(join(envelope, body)).hex().upper() == row["hex"]


@pytest.mark.parametrize("name", ["G1", "G2", "G3"])
def test_another_way_of_filling_up_is_noticed(name: str) -> None:
    """A wrong pad knob is a fault that names the field, or a fault behind it: never another card number taken."""
    row = MESSAGES[name]
    _, body = opened(row)
    for wire in {"zero", "F", "right"} - {row["wire"]}:
        with pytest.raises(Unreadable) as caught:
            CODECS[wire].decode(body)
        assert caught.value.field == "2"
        assert "fills up an odd length" in caught.value.what


def test_no_vector_shows_its_card_when_masked() -> None:
    for row in MESSAGES.values():
        shown = " ".join(masked_nac_fields(CODECS[row["wire"]].decode(opened(row)[1])).values())
        assert PAN not in shown, row["name"]
        assert "3012" not in shown.replace("***", ""), row["name"]


def test_sub_fields_of_part_c() -> None:
    """What the prose of the samples says about fields 60, 62 and 63, read by us."""
    fields = {name: row["fields"] for name, row in MESSAGES.items()}
    totals = Field63Totals(2, 15_000, 1, 2_000)
    for name in ("N5", "N9", "G12", "G13", "G14"):
        text = fields[name]["63"]
        assert Field63Totals.parse(text) == totals
        assert totals.format(len(text)) == Field63Totals.parse(text).format(len(text)) == text
        assert Field60Batch.parse(fields[name]["60"]) == Field60Batch(BatchNumber(7))
    assert Field60Original.parse(fields["N7"]["60"]) == Field60Original("0200", Stan(11))
    assert Field62Invoice.parse(fields["N3"]["62"]).invoice == 1
    assert AmountText.parse(fields["G6"]["60"]).minor == 10_000
    assert AmountText.parse(fields["G6"]["54"], "54").minor == 1_000
