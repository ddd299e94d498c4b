"""The data keys: a new one at each start, on disk before first use, old ones opened, lost ones named."""

import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble, StorageFailed
from posd.security.machine import MachineKey
from posd.security.vault import DataKeys, Sealed

PLAIN = b"6225880123456789"
AAD = b"10000001|42"


def test_seal_and_open(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    sealed = vault.seal(PLAIN, AAD)
    assert PLAIN not in sealed.ciphertext
    assert vault.open(sealed, AAD) == PLAIN
    again = vault.seal(PLAIN, AAD)
    assert again.key_id == sealed.key_id
    assert again.nonce != sealed.nonce


def test_the_key_file_is_there_before_the_first_use(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    key_id = vault.begin()
    path = folder / f"{key_id}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(path.read_bytes()) == 69
    assert vault.seal(PLAIN, AAD).key_id == key_id


def test_d29_every_start_begins_a_new_key_and_opens_the_old(folder: Path, machine_key: MachineKey) -> None:
    before = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    vault = DataKeys(folder, machine_key)
    after = vault.seal(PLAIN, AAD)
    assert after.key_id != before.key_id
    assert vault.open(before, AAD) == vault.open(after, AAD) == PLAIN
    assert len(list(folder.iterdir())) == 2


def test_a_reader_writes_nothing(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    assert DataKeys(folder, machine_key).open(sealed, AAD) == PLAIN
    assert [path.name for path in folder.iterdir()] == [f"{sealed.key_id}.key"]


def test_d29_a_destroyed_data_key_takes_the_numbers_with_it(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    (folder / f"{sealed.key_id}.key").unlink()
    with pytest.raises(KeyTrouble, match=f"data key {sealed.key_id}: .* missing"):
        DataKeys(folder, machine_key).open(sealed, AAD)


def test_every_changed_byte_of_a_key_file_is_refused(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    path = folder / f"{sealed.key_id}.key"
    good = path.read_bytes()
    damaged = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for content in [*damaged, b"", good[:-1], good + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(KeyTrouble, match="damaged"):
            DataKeys(folder, machine_key).open(sealed, AAD)


def test_a_key_file_under_another_name_is_refused(folder: Path, machine_key: MachineKey) -> None:
    first = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    second = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    (folder / f"{first.key_id}.key").write_bytes((folder / f"{second.key_id}.key").read_bytes())
    with pytest.raises(KeyTrouble, match="damaged, or put in the place of another"):
        DataKeys(folder, machine_key).open(first, AAD)


def test_another_machine_key_is_named(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD)
    with pytest.raises(KeyTrouble, match="of another machine key"):
        DataKeys(folder, MachineKey(bytes(32))).open(sealed, AAD)


def test_d29_a_changed_or_moved_row_is_refused(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    sealed = vault.seal(PLAIN, AAD)
    text = sealed.ciphertext
    changed = [Sealed(sealed.key_id, sealed.nonce, text[:i] + bytes([text[i] ^ 1]) + text[i + 1 :]) for i in range(32)]
    changed += [
        Sealed(sealed.key_id, bytes(12), text),
        Sealed(sealed.key_id, b"", text),
        Sealed(sealed.key_id, sealed.nonce, b""),
        Sealed(sealed.key_id, sealed.nonce, text[:-1]),
    ]
    for row in changed:
        with pytest.raises(KeyTrouble, match="was changed or moved"):
            vault.open(row, AAD)
    with pytest.raises(KeyTrouble, match="was changed or moved"):
        vault.open(sealed, b"10000001|43")


@pytest.mark.parametrize("key_id", ["", "../machine", "/etc/passwd", "0" * 15, "0" * 17, "G" * 16, "\u0660" * 16])
def test_a_key_id_never_becomes_another_path(folder: Path, machine_key: MachineKey, key_id: str) -> None:
    with pytest.raises(KeyTrouble, match="no data key that posd could have made"):
        DataKeys(folder, machine_key).open(Sealed(key_id, bytes(12), bytes(16)), AAD)


def test_a_folder_that_cannot_be_made_stops(tmp_path: Path, machine_key: MachineKey) -> None:
    (tmp_path / "keys").write_text("in the way")
    with pytest.raises(StorageFailed, match="free or repair the disk") as caught:
        DataKeys(tmp_path / "keys", machine_key).begin()
    assert "\n" not in str(caught.value)


def test_a_key_is_left_before_its_nonces_wear_out(
    folder: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.security.vault.SEALS_PER_KEY_MAX", 2)
    vault = DataKeys(folder, machine_key)
    rows = [vault.seal(PLAIN, AAD) for _ in range(5)]
    assert [row.key_id for row in rows[:2]] == [rows[0].key_id] * 2
    assert len({row.key_id for row in rows}) == 3
    assert all(vault.open(row, AAD) == PLAIN for row in rows)


def test_the_vault_shows_nothing(folder: Path, machine_key: MachineKey) -> None:
    assert repr(DataKeys(folder, machine_key)) == "<DataKeys ***>"
    with pytest.raises(TypeError):
        pickle.dumps(DataKeys(folder, machine_key))


def test_a_data_key_of_the_first_version_still_opens(folder: Path, machine_key: MachineKey) -> None:
    key, key_id = bytes(range(32)), "00112233aabbccdd"
    folder.mkdir()
    wrapped = AESGCM(machine_key.derive("card")).encrypt(bytes(12), key, key_id.encode())
    (folder / f"{key_id}.key").write_bytes(b"\x01" + bytes(12) + wrapped)
    row = Sealed(key_id, bytes(12), AESGCM(key).encrypt(bytes(12), PLAIN, AAD))
    assert DataKeys(folder, machine_key).open(row, AAD) == PLAIN
