"""The one mask: never more than PCI allows, and nothing of what is not surely a card number."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.daemon.logmask import mask_text
from posd.iso8583.masking import masked_fields
from posd.iso8583.message import Message
from posd.masks import HIDDEN_MIN, mask_pan, show_bin
from posd.security.cards import CardData

PAN = "6225880123456789"


@pytest.fixture
def eight() -> Iterator[None]:
    show_bin(8)
    yield
    show_bin(6)


def test_first_six_and_last_four() -> None:
    assert mask_pan(PAN) == "622588******6789"
    assert mask_pan("6" * 19) == "666666*********6666"
    assert mask_pan("3" * 15) == "333333*****3333"


def test_a_short_number_shows_fewer_of_its_first_digits() -> None:
    assert mask_pan("1" * 13) == "11111****1111"
    assert mask_pan("1" * 12) == "1111****1111"


@pytest.mark.parametrize("text", ["", "1" * 11, "1" * 20, "6225880123456=89", "٦" * 16, " " + PAN, PAN[:-1] + "F"])
def test_what_is_not_surely_a_card_number_shows_nothing(text: str) -> None:
    assert mask_pan(text) == "*" * len(text)


@given(st.text("0123456789", max_size=24), st.sampled_from([6, 8]))
def test_never_more_than_the_bin_and_the_last_four(pan: str, digits: int) -> None:
    show_bin(digits)
    try:
        shown = mask_pan(pan)
    finally:
        show_bin(6)
    assert len(shown) == len(pan)
    assert shown.count("*") >= min(len(pan), HIDDEN_MIN)
    most = digits + 4 if len(pan) >= 16 else 10
    assert len(pan) - shown.count("*") <= most


@pytest.mark.usefixtures("eight")
def test_an_eight_digit_bin_is_shown_by_every_mask() -> None:
    assert mask_pan(PAN) == "62258801****6789"
    assert mask_pan("3" * 15) == "333333*****3333", "shorter numbers have none"
    assert masked_fields(Message("0200", {2: PAN}))["2"] == "62258801****6789"
    assert repr(CardData(pan=PAN)) == "<CardData 62258801****6789>"
    reference = CardData(pan=PAN).reference(b"k" * 32)
    assert reference is not None
    assert reference.masked == "62258801****6789"
    assert mask_text(f"card {PAN}.") == "card 62258801****6789."


def test_a_bin_has_six_or_eight_digits() -> None:
    with pytest.raises(ValueError, match="6 or 8"):
        show_bin(7)
