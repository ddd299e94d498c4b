"""Masking fails closed: only what is known to be harmless is shown."""

from hypothesis import given, settings
from hypothesis import strategies as st

from posd.iso8583.masking import mask_long_numbers, mask_pan, masked_fields
from posd.iso8583.message import SHOWN_FIELDS, Message
from posd.iso8583.subfields import Field48Upload, UploadRecord
from posd.iso8583.tlv import build

PAN = "6225880123456789"
LUHN_PAN = "4761739001010119"


def test_a_card_number_keeps_six_and_four() -> None:
    assert mask_pan(PAN) == "622588******6789"
    assert mask_pan("6225880123456789012") == "622588*********9012"
    assert mask_pan("62258801") == "********"
    assert mask_pan("6225880123456=89") == "*" * 16
    assert mask_pan("") == ""


def test_every_field_that_is_not_known_harmless_is_starred() -> None:
    fields = dict.fromkeys(range(2, 129), PAN)
    shown = masked_fields(Message("0200", fields))
    for number in range(2, 129):
        text = shown[str(number)]
        if number == 2:
            assert text == "622588******6789"
        elif number not in SHOWN_FIELDS | {44, 53, 63}:
            assert text == "***(16)", number


def test_the_pin_block_and_tracks_and_keys_leave_only_their_length() -> None:
    message = Message("0200", {14: "3012", 35: f"{PAN}=3012", 52: "E97D930127EB3146", 62: "41" * 40, 64: "65" * 8})
    assert masked_fields(message) == {
        "14": "***(4)",
        "35": "***(21)",
        "52": "***(16)",
        "62": "***(80)",
        "64": "***(16)",
    }


def test_upload_records_show_masked_cards() -> None:
    record = UploadRecord("00", 124, PAN, 12345)
    shown = masked_fields(Message("0320", {48: Field48Upload((record, record)).format()}))["48"]
    assert shown == "02[00 000124 622588******6789 12345, 00 000124 622588******6789 12345]"


def test_field_48_is_shown_only_where_it_holds_totals_or_a_count() -> None:
    assert masked_fields(Message("0510", {48: "0" * 62})) == {"48": "0" * 62}
    assert masked_fields(Message("0500", {48: "0" * 31})) == {"48": "0" * 31}
    assert masked_fields(Message("0320", {48: "0003"})) == {"48": "0003"}
    assert masked_fields(Message("0200", {48: "0" * 62})) == {"48": "***(62)"}
    assert masked_fields(Message("0200", {48: "0123"})) == {"48": "***(4)"}


def test_ic_data_hides_card_track_and_name() -> None:
    elements = [
        ("57", bytes.fromhex(PAN + "D30122010F")),
        ("5A", bytes.fromhex(PAN + "012F")),
        ("5F20", b"WANG/LEI"),
        ("9F1F", b"123456"),
        ("DF77", b"secret"),
        ("9F26", bytes.fromhex("0102030405060708")),
    ]
    shown = masked_fields(Message("0200", {55: build(elements).hex().upper()}))["55"]
    assert (
        shown
        == "57=***(26) 5A=622588*********012 5F20=***(16) 9F1F=***(12) DF77=***(12) 9F26=0102030405060708".replace(
            "*********012", "*********9012"
        )
    )


def test_ic_data_that_cannot_be_read_is_starred_whole() -> None:
    assert masked_fields(Message("0200", {55: "5A09" + PAN})) == {"55": "***(20)"}
    assert masked_fields(Message("0200", {55: "zz"})) == {"55": "***(2)"}


def test_remarks_hide_what_may_be_a_card_number() -> None:
    assert mask_long_numbers(f"card {LUHN_PAN}!") == "card 476173******0119!"
    assert mask_long_numbers("03080000   48020000   ") == "03080000   48020000   "
    assert mask_long_numbers("4761739001010118") == "4761739001010118"


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 128), st.text(max_size=40), st.sampled_from(["0200", "0320", "0510", "", "xx"]))
def test_any_value_can_be_masked(number: int, value: str, mti: str) -> None:
    assert set(masked_fields(Message(mti, {number: value}))) == {str(number)}
