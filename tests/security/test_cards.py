"""Card data in memory: masked in every form, sealed facts without anything that must not be kept (P5)."""

import copy
import json
import pickle
import traceback

import pytest

from posd.errors import KeyTrouble
from posd.security.cards import CardData, keyed_digest
from posd.values import CardRef

PAN = "6225880123456789"
TRACK2 = PAN + "=30122010000012345678"
CARD = CardData(
    pan=PAN,
    expiry="3012",
    track2=TRACK2,
    track3="99" + TRACK2 + "=1561000",
    sequence="001",
    pin_block="E97D930127EB3146",
    icc="5A086225880123456789",
    entry_mode="021",
)


def test_every_form_is_masked() -> None:
    forms = [
        repr(CARD),
        str(CARD),
        f"{CARD}",
        f"{CARD!s:>60}",
        f"{CARD} {CARD!r}",
        f"{[CARD]}",
        f"{ {1: CARD} }",
    ]
    for form in forms:
        assert PAN not in form
        assert PAN[6:-4] not in form
        assert "E97D" not in form
    assert repr(CARD) == "<CardData 622588******6789>"
    assert repr(CardData()) == "<CardData ***>"


def test_a_traceback_does_not_show_it() -> None:
    with pytest.raises(ValueError, match="CardData") as caught:
        raise ValueError(CARD)
    assert PAN[6:-4] not in "".join(traceback.format_exception(caught.value))


def test_it_is_never_pickled_or_copied() -> None:
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            leak(CARD)


def test_facts_hold_only_what_a_reversal_needs() -> None:
    facts = CARD.facts()
    assert json.loads(facts) == {
        "version": 1,
        "pan": PAN,
        "expiry": "3012",
        "sequence": "001",
        "entry_mode": "021",
    }
    assert CardData.from_facts(facts) == CardData(pan=PAN, expiry="3012", sequence="001", entry_mode="021")


def test_the_number_comes_from_track_2_when_field_2_is_absent() -> None:
    swiped = CardData(track2=TRACK2, entry_mode="021")
    assert swiped.number == PAN
    assert CardData.from_facts(swiped.facts()).pan == PAN
    assert CardData(pan="6225880000000001", track2=TRACK2).number == "6225880000000001"


@pytest.mark.parametrize(
    "track2",
    ["", "=", "12345=", "6225A80123456789=3012", "6" * 20 + "=", "６２２５８８０１２３４５６７８９=3012"],
)
def test_an_encrypted_or_broken_track_gives_no_number(track2: str) -> None:
    card = CardData(track2=track2)
    assert card.number is None
    assert card.reference(b"k") is None
    assert CardData.from_facts(card.facts()) == CardData()


@pytest.mark.parametrize(
    "facts",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"1",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"track2":"6225880123456789=3012"}',
        b'{"version":1,"pan":6225880123456789}',
    ],
)
def test_other_facts_are_refused_without_showing_them(facts: bytes) -> None:
    with pytest.raises(KeyTrouble, match="sealed card facts") as caught:
        CardData.from_facts(facts)
    assert "6225880123456789" not in "".join(traceback.format_exception(caught.value))


def test_the_reference_compares_cards_and_shows_none() -> None:
    one = CARD.reference(b"key")
    assert one == CardRef("622588******6789", keyed_digest(b"key", PAN)) == CardData(track2=TRACK2).reference(b"key")
    assert CardData(pan="6225880123456788").reference(b"key") != one
    assert CARD.reference(b"other") != one
    assert keyed_digest(b"key", PAN) == "c7d6ff993c0815bb3108e0f8231d078177442a5ddffca13ea9e7d21672196358"
