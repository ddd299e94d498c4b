"""Track encryption in its place (reference 1.12), against the packed bytes and against the simulators' own reading."""

import random

import pytest

from posd.errors import KeyTrouble
from posd.security.cipherkey import ClearKey
from posd.security.des import ecb_encrypt
from posd.security.tracks import decrypt_track, encrypt_track, encrypted_from
from simulators import macs

TDK_BYTES = bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90")
TDK = ClearKey(TDK_BYTES)
ODD = "6225880123456789=30122010000012345678"
EVEN = "6324392260009942820=131210112008"
"""Field 35 of vectors B3 and A1."""


def packed(track: str) -> bytes:
    """As the wire has it: `=` is D, a zero nibble behind an odd number of digits."""
    return bytes.fromhex((track + "0" * (len(track) % 2)).replace("=", "D"))


@pytest.mark.parametrize(("track", "start"), [(ODD, 20), (EVEN, 14)])
def test_eight_bytes_that_end_one_byte_before_the_end(track: str, start: int) -> None:
    assert encrypted_from(track) == start
    before, after = packed(track), packed(encrypt_track(TDK, track))
    assert after[:-9] == before[:-9]
    assert after[-9:-1] == ecb_encrypt(TDK_BYTES, before[-9:-1])
    assert after[-1:] == before[-1:]
    assert decrypt_track(TDK, encrypt_track(TDK, track)) == track


def test_what_b3_becomes_under_the_tdk_of_part_b() -> None:
    """Written down once, so that both ends cannot change together; openssl's des-ede gives the same 8 bytes."""
    assert encrypt_track(TDK, ODD) == "6225880123456789=301" + "EC1C6C181132447B" + "8"


@pytest.mark.parametrize("length", [17, 18, 19, 36, 37, 103, 104])
def test_every_length_agrees_with_the_simulators_reading(length: int) -> None:
    dice = random.Random(length)
    for _ in range(50):
        track = "".join(dice.choice("0123456789=") for _ in range(length))
        key = dice.randbytes(16)
        hidden = encrypt_track(ClearKey(key), track)
        assert hidden == macs.encrypt_track(key, track)
        assert set(hidden) <= set("0123456789ABCEF=")
        assert decrypt_track(ClearKey(key), hidden) == macs.decrypt_track(key, hidden) == track


def test_another_key_or_a_reversed_one_gives_another_track() -> None:
    hidden = encrypt_track(TDK, ODD)
    assert decrypt_track(ClearKey(TDK_BYTES[::-1]), hidden) != ODD
    assert decrypt_track(ClearKey(TDK_BYTES[8:] + TDK_BYTES[:8]), hidden) != ODD
    assert encrypt_track(TDK, ODD[::-1]) != hidden


@pytest.mark.parametrize("length", [0, 1, 15, 16])
def test_a_track_that_is_too_short(length: int) -> None:
    with pytest.raises(KeyTrouble, match=f"a track of {length} digits is too short") as caught:
        encrypt_track(TDK, "4" * length)
    assert "44" not in str(caught.value)
    assert encrypted_from("4" * length) < 0
