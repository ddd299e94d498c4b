"""Copies of wrapped data keys: in step, and never worse than what they are copies of (D29)."""

import shutil
from pathlib import Path

import pytest

from posd.security.datakeyfile import Belongs, key_files
from posd.security.keycopies import Kept, keep_copies
from posd.security.machine import MachineKey
from posd.security.vault import DataKeys

TID = "10000001"


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies"


def nothing_ended(_: Belongs) -> bool:
    return False


def test_d29_a_key_that_was_damaged_here_does_not_take_its_good_copys_place(
    folder: Path, copies: Path, machine_key: MachineKey
) -> None:
    """The copy is the last that opens it; what a rotation wrapped anew is copied."""
    vault = DataKeys(folder, machine_key)
    damaged, good = vault.begin(TID, 1), vault.begin(TID, 2)
    assert keep_copies(folder, copies, nothing_ended, vault.can_open) == Kept(copied=2)
    new = machine_key.successor()
    vault.rotate(new, machine_key)
    path = folder / f"{damaged}.key"
    before, flipped = (copies / path.name).read_bytes(), bytearray(path.read_bytes())
    flipped[-10] ^= 1
    path.write_bytes(flipped)
    said = keep_copies(folder, copies, nothing_ended, DataKeys(folder, new).can_open)
    assert said == Kept(copied=1, damaged=(damaged,))
    assert (copies / path.name).read_bytes() == before
    assert DataKeys(copies, new).can_open(good)


def test_d29_a_copy_that_a_kill_left_half_made_ends_with_its_batch(
    folder: Path, copies: Path, machine_key: MachineKey
) -> None:
    key_id = DataKeys(folder, machine_key).begin(TID, 1)
    shutil.copy(folder / f"{key_id}.key", copies / f".{key_id}.key.next")
    assert keep_copies(folder, copies, lambda of: of == Belongs(TID, 1)) == Kept(destroyed=1)
    assert list(copies.iterdir()) == []


def test_copies_are_nobody_elses_from_their_first_moment(folder: Path, copies: Path, machine_key: MachineKey) -> None:
    DataKeys(folder, machine_key).begin(TID, 1)
    keep_copies(folder, copies, nothing_ended)
    (copy,) = key_files(copies)
    assert copy.stat().st_mode & 0o777 == 0o600
