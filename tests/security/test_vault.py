"""The data keys: a new one at each start, on disk before first use, old ones opened, lost ones named."""

import pickle
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble, StorageFailed
from posd.security import vault as vaults
from posd.security.datakeyfile import Belongs, by_batch, destroy, key_files, read_key_file
from posd.security.machine import MachineKey
from posd.security.secretfile import write_new_secret
from posd.security.vault import DataKeys, Sealed

PLAIN = b"6225880123456789"
AAD = b"10000001|42"
TID, BATCH = "10000001", 7


def test_seal_and_open(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    sealed = vault.seal(PLAIN, AAD, TID, BATCH)
    assert PLAIN not in sealed.ciphertext
    assert vault.open(sealed, AAD) == PLAIN
    again = vault.seal(PLAIN, AAD, TID, BATCH)
    assert again.key_id == sealed.key_id
    assert again.nonce != sealed.nonce


def test_the_key_file_is_there_before_the_first_use(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    key_id = vault.begin(TID, BATCH)
    path = folder / f"{key_id}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    said = read_key_file(path)
    assert (said.key_id, said.tid, said.batch) == (key_id, TID, BATCH)
    assert vault.seal(PLAIN, AAD, TID, BATCH).key_id == key_id


def test_d29_every_start_begins_a_new_key_and_opens_the_old(folder: Path, machine_key: MachineKey) -> None:
    before = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    vault = DataKeys(folder, machine_key)
    after = vault.seal(PLAIN, AAD, TID, BATCH)
    assert after.key_id != before.key_id
    assert vault.open(before, AAD) == vault.open(after, AAD) == PLAIN
    assert len(list(folder.iterdir())) == 2


def test_a_reader_writes_nothing(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    assert DataKeys(folder, machine_key).open(sealed, AAD) == PLAIN
    assert [path.name for path in folder.iterdir()] == [f"{sealed.key_id}.key"]


def test_d29_a_destroyed_data_key_takes_the_numbers_with_it(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    (folder / f"{sealed.key_id}.key").unlink()
    with pytest.raises(KeyTrouble, match=f"number is gone: its data key {sealed.key_id} was destroyed"):
        DataKeys(folder, machine_key).open(sealed, AAD)


def test_every_changed_byte_of_a_key_file_is_refused(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    path = folder / f"{sealed.key_id}.key"
    good = path.read_bytes()
    damaged = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for content in [*damaged, b"", good[:-1], good + b"\0"]:
        path.write_bytes(content)
        with pytest.raises(KeyTrouble, match="damaged"):
            DataKeys(folder, machine_key).open(sealed, AAD)


def test_a_key_file_under_another_name_is_refused(folder: Path, machine_key: MachineKey) -> None:
    first = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    second = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    (folder / f"{first.key_id}.key").write_bytes((folder / f"{second.key_id}.key").read_bytes())
    with pytest.raises(KeyTrouble, match="damaged, or put in the place of another"):
        DataKeys(folder, machine_key).open(first, AAD)


def test_another_machine_key_is_named(folder: Path, machine_key: MachineKey) -> None:
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, BATCH)
    with pytest.raises(KeyTrouble, match="of another machine key"):
        DataKeys(folder, MachineKey(bytes(32))).open(sealed, AAD)


def test_d29_a_changed_or_moved_row_is_refused(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    sealed = vault.seal(PLAIN, AAD, TID, BATCH)
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
        DataKeys(tmp_path / "keys", machine_key).begin(TID, BATCH)
    assert "\n" not in str(caught.value)


def test_a_key_is_left_before_its_nonces_wear_out(
    folder: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posd.security.vault.SEALS_PER_KEY_MAX", 2)
    vault = DataKeys(folder, machine_key)
    rows = [vault.seal(PLAIN, AAD, TID, BATCH) for _ in range(5)]
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


def test_d29_each_batch_of_each_terminal_has_a_key_of_its_own(folder: Path, machine_key: MachineKey) -> None:
    vault = DataKeys(folder, machine_key)
    batches = [("10000001", 7), ("10000001", 8), ("10000002", 7), ("10000001", 7), ("10000001", 9), ("10000001", 7)]
    rows = [vault.seal(PLAIN, AAD, *belongs) for belongs in batches]
    assert all(vault.open(row, AAD) == PLAIN for row in rows)
    assert rows[0].key_id == rows[3].key_id != rows[1].key_id != rows[2].key_id
    for row, (tid, batch) in zip(rows, batches, strict=True):
        assert read_key_file(folder / f"{row.key_id}.key").belongs == Belongs(tid, batch)
    assert len(by_batch(folder)[Belongs("10000001", 7)]) <= 2  # an older batch that comes again may get a new one


def test_d29_destroying_a_batch_leaves_the_others(folder: Path, machine_key: MachineKey, tmp_path: Path) -> None:
    vault, copies = DataKeys(folder, machine_key), tmp_path / "copies"
    gone, kept = vault.seal(PLAIN, AAD, TID, 7), vault.seal(PLAIN, AAD, TID, 8)
    shutil.copytree(folder, copies)
    seven, eight = Belongs(TID, 7), Belongs(TID, 8)
    paths = by_batch(folder, copies)[seven]
    assert {path.parent for path in paths} == {folder, copies}
    vault.destroy([seven], paths)
    vault.destroy([seven], paths)  # done again after a crash
    assert list(by_batch(folder, copies)) == [eight]
    with pytest.raises(FileNotFoundError):
        by_batch(folder, tmp_path / "unplugged")
    for reader in (vault, DataKeys(folder, machine_key), DataKeys(copies, machine_key)):
        with pytest.raises(KeyTrouble, match="the card number is gone"):
            reader.open(gone, AAD)
        assert reader.open(kept, AAD) == PLAIN
    late = vault.seal(PLAIN, AAD, TID, 7)
    assert late.key_id != gone.key_id


def test_d29_what_is_destroyed_is_overwritten_first(folder: Path, machine_key: MachineKey, tmp_path: Path) -> None:
    key_id = DataKeys(folder, machine_key).begin(TID, 7)
    path, witness = folder / f"{key_id}.key", tmp_path / "witness"
    before = path.read_bytes()
    witness.hardlink_to(path)  # the same blocks under another name
    destroy([path])
    assert not path.exists()
    after = witness.read_bytes()
    assert len(after) == len(before)
    assert before[-100:-4] not in after


def test_destroying_follows_no_link_out_of_the_folder(folder: Path, machine_key: MachineKey, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    (folder / "0011223344556677.key").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        destroy(key_files(folder))
    assert (tmp_path / "precious").read_text() == "precious"


def test_card_data_of_no_batch_is_not_sealed(folder: Path, machine_key: MachineKey) -> None:
    with pytest.raises(StorageFailed, match="of no batch"):
        DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, 0)


def test_d29_what_a_kill_left_half_written_is_destroyed_too(folder: Path, machine_key: MachineKey) -> None:
    """Beside its file, and alone: of a copy or a rotation that had no time to give it its name."""
    vault = DataKeys(folder, machine_key)
    one, other, kept = (vault.begin(TID, batch) for batch in (7, 7, 8))
    for key_id in (one, other, kept):
        path = folder / f"{key_id}.key"
        shutil.copy(path, folder / f".{key_id}.key.next")
        shutil.copy(path, folder / f".{key_id}.key.4711.new")
    (folder / f"{other}.key").unlink()
    (folder / ".0011223344556677.key.next").write_bytes(b"")
    paths = by_batch(folder)[Belongs(TID, 7)]
    assert {path.stem for path in paths} == {one, other}
    destroy(paths)
    assert list(by_batch(folder)) == [Belongs(TID, 8)]
    assert [path.name for path in folder.iterdir() if one in path.name or other in path.name] == []


def test_a_rotation_misses_no_key_that_is_being_made(
    folder: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrapped under the old machine key and not yet in the folder: it would open under none when that is destroyed."""
    new, vault = machine_key.successor(), DataKeys(folder, machine_key)
    vault.begin(TID, 1)
    rotating = threading.Thread(target=lambda: vault.rotate(new, machine_key))
    write = write_new_secret

    def meanwhile(path: Path, content: bytes) -> None:
        rotating.start()
        rotating.join(0.3)  # as long as it likes; it has to wait for us
        write(path, content)

    monkeypatch.setattr(vaults, "write_new_secret", meanwhile)
    sealed = vault.seal(PLAIN, AAD, TID, 2)
    rotating.join()
    assert DataKeys(folder, new).open(sealed, AAD) == PLAIN
    assert all(DataKeys(folder, new).can_open(path.stem) for path in key_files(folder))


def test_a_number_is_read_while_a_rotation_ends(
    folder: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was read before it was wrapped anew."""
    new, vault = machine_key.successor(), DataKeys(folder, machine_key)
    sealed = DataKeys(folder, machine_key).seal(PLAIN, AAD, TID, 1)
    read = read_key_file

    def meanwhile(path: Path) -> Any:
        said = read(path)
        monkeypatch.setattr(vaults, "read_key_file", read)
        vault.rotate(new, machine_key)
        return said

    monkeypatch.setattr(vaults, "read_key_file", meanwhile)
    assert vault.open(sealed, AAD) == PLAIN
    assert DataKeys(folder, new).open(sealed, AAD) == PLAIN
