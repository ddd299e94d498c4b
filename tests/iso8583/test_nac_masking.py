"""Masking of NAC messages fails closed: private fields are shown in their known forms only."""

from hypothesis import given, settings
from hypothesis import strategies as st

from posd.iso8583.codec import Unreadable
from posd.iso8583.message import Message
from posd.iso8583.nac import NAC
from posd.iso8583.nac_masking import masked_nac_fields
from posd.iso8583.nac_subfields import Field63Totals

PAN = "4761739001010119"


def masked(mti: str, number: int, value: str) -> str:
    return masked_nac_fields(Message(mti, {number: value}))[str(number)]


def test_the_known_forms_are_shown() -> None:
    totals = Field63Totals(999, 476_173_900_101, 13, 4_761_739_001).format(90)
    assert masked("0500", 63, totals) == totals
    assert masked("0320", 60, "0200000011" + " " * 12) == "0200000011" + " " * 12
    assert masked("0220", 60, "000000010000") == "000000010000"
    assert masked("0220", 54, "000000001000") == "000000001000"
    assert masked("0200", 62, "000001") == "000001"


def test_no_field_shows_a_card_whatever_carries_it() -> None:
    holders = [n for n, field in NAC.spec.fields.items() if field.prefix_bytes and field.length >= len(PAN)]
    for number in holders:
        for mti in ("0200", "0320", "0500", "0510", "0800"):
            assert PAN not in masked(mti, number, PAN), number
            if number in (45, 48, 54, 62):
                assert masked(mti, number, PAN) == "***(16)"


def test_a_security_code_is_never_shown() -> None:
    assert masked("0200", 48, "123") == "***(3)"
    assert masked("0320", 48, "0123") == "***(4)"
    assert masked("0500", 48, "0" * 62) == "***(62)"


@given(st.sampled_from([45, 48, 54, 60, 61, 62, 63]), st.text(max_size=40), st.text(max_size=40))
def test_text_around_a_card_does_not_help_it(number: int, before: str, after: str) -> None:
    apart = f"{before} {PAN} {after}"
    assert PAN not in masked("0200", number, apart)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["0200", "0320", "0500"]), st.binary(min_size=8, max_size=8), st.binary(max_size=200))
def test_any_bytes_end_in_a_message_or_a_fault_and_both_can_be_masked(mti: str, bitmap: bytes, body: bytes) -> None:
    data = bytes.fromhex(mti) + bitmap + body
    try:
        message: Message | None = NAC.decode(data)
    except Unreadable as fault:
        message = fault.partial
    if message is not None:
        assert masked_nac_fields(message).keys() == {str(number) for number in message.fields}


def test_no_repr_shows_a_field_that_is_free_text_in_one_of_the_dialects() -> None:
    for number, field in NAC.spec.fields.items():
        if field.prefix_bytes and field.length >= len(PAN):
            assert PAN not in repr(Message("0200", {number: PAN})), number
