"""Wrapping: opened only as what it was wrapped as, under the machine key that it names."""

import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble
from posd.security.machine import MachineKey
from posd.security.wrapping import OVERHEAD_BYTES, Wrapping, wrapped_under

SECRET = bytes(range(100, 132))
WHAT = "data key 0011223344556677"


@pytest.fixture
def newer() -> MachineKey:
    return MachineKey(bytes(range(1, 33)))


def test_wrap_and_unwrap(machine_key: MachineKey) -> None:
    wrapping = Wrapping("card", machine_key)
    wrapped = wrapping.wrap(SECRET, WHAT)
    assert SECRET not in wrapped
    assert len(wrapped) == len(SECRET) + OVERHEAD_BYTES
    assert wrapping.unwrap(wrapped, WHAT) == SECRET
    assert wrapping.wrap(SECRET, WHAT) != wrapped
    assert wrapping.unwrap(wrapping.wrap(b"", WHAT), WHAT) == b""


def test_it_names_the_machine_key_that_opens_it(machine_key: MachineKey, newer: MachineKey) -> None:
    before = Wrapping("card", machine_key).wrap(SECRET, WHAT)
    amid = Wrapping("card", newer, machine_key)
    assert wrapped_under(before) == machine_key.id != newer.id
    assert amid.unwrap(before, WHAT) == SECRET
    assert not amid.is_present(before)
    after = amid.wrap(amid.unwrap(before, WHAT), WHAT)
    assert amid.is_present(after)
    assert Wrapping("card", newer).unwrap(after, WHAT) == SECRET
    with pytest.raises(KeyTrouble, match=f"another machine key: {machine_key.id}, here is {newer.id}"):
        Wrapping("card", newer).unwrap(before, WHAT)


def test_every_changed_byte_is_refused(machine_key: MachineKey, newer: MachineKey) -> None:
    wrapping = Wrapping("card", machine_key, newer)
    good = wrapping.wrap(SECRET, WHAT)
    damaged = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    renamed = good[:1] + bytes.fromhex(newer.id) + good[9:]
    for wrapped in [*damaged, renamed, b"", good[:-1], good[:20], good + b"\0", b"\x01", b"\x02", b"\x03" + good[1:]]:
        with pytest.raises(KeyTrouble, match="damaged"):
            wrapping.unwrap(wrapped, WHAT)
    with pytest.raises(KeyTrouble, match="damaged"):
        wrapping.is_present(b"\x03" + good[1:])


def test_it_opens_as_what_it_was_wrapped_as_only(machine_key: MachineKey) -> None:
    wrapped = Wrapping("card", machine_key).wrap(SECRET, WHAT)
    for wrapping, what in [(Wrapping("card", machine_key), "data key 1"), (Wrapping("tmk", machine_key), WHAT)]:
        with pytest.raises(KeyTrouble, match="damaged, or put in the place of another"):
            wrapping.unwrap(wrapped, what)


def test_what_the_first_version_wrapped_still_opens(machine_key: MachineKey, newer: MachineKey) -> None:
    nonce = bytes(range(12))
    old = b"\x01" + nonce + AESGCM(machine_key.derive("card")).encrypt(nonce, SECRET, b"0011223344556677")
    for wrapping in (Wrapping("card", machine_key), Wrapping("card", newer, machine_key)):
        assert wrapping.unwrap(old, "0011223344556677") == SECRET
        assert not wrapping.is_present(old)
    with pytest.raises(KeyTrouble, match="damaged, or of another machine key"):
        Wrapping("card", newer).unwrap(old, "0011223344556677")


def test_it_shows_nothing(machine_key: MachineKey, tmp_path: Path) -> None:
    wrapping = Wrapping("card", machine_key)
    assert repr(wrapping) == "<Wrapping ***>"
    with pytest.raises(TypeError):
        pickle.dumps(wrapping)
    assert machine_key.id not in machine_key.secret.hex()
    assert len(machine_key.id) == 16
