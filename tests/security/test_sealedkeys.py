"""TMKs sealed in files: kept, opened, never replaced, and worth nothing to whoever changes or moves them."""

import json
import os
import threading
from pathlib import Path

import pytest

from posd.errors import ConfigError, KeyTrouble, StorageFailed
from posd.security import sealedkeys
from posd.security.keys import DES, SM4, Tmk
from posd.security.keystore import NewTmk, NoSuchKey
from posd.security.machine import MachineKey
from posd.security.sealedkeys import PURPOSE, SealedKeys
from posd.security.wrapping import Wrapping

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
TID = "10000001"


@pytest.fixture
def store(tmp_path: Path, machine_key: MachineKey) -> SealedKeys:
    return SealedKeys(tmp_path / "tmk", Wrapping(PURPOSE, machine_key))


def new(tid: str = TID, index: int = 0, key: bytes = KEY, **more: object) -> NewTmk:
    return NewTmk(tid, index, key, SM4 if more.get("sm4") else DES, ("Li Na", "Wang Wei"), 1_772_463_630_000)


def works(tmk: Tmk, key: bytes = KEY) -> bool:
    mac_key = tmk.as_mac_key()
    return mac_key is not None and mac_key.length == len(key)


def test_what_was_kept_is_listed_and_opens(tmp_path: Path, store: SealedKeys) -> None:
    assert list(store.list()) == []
    kept = [store.add(new()), store.add(new(index=1, key=KEY[:8])), store.add(new("A/B ../%", 9))]
    assert [(one.tid, one.index, one.cipher, one.home) for one in kept] == [
        (TID, 0, "3DES", "sealed"),
        (TID, 1, "DES", "sealed"),
        ("A/B ../%", 9, "3DES", "sealed"),
    ]
    assert sorted(store.list(), key=lambda one: (one.tid, one.index)) == kept
    assert kept[0].check_value == store.open(TID, 0).kcv == "08D7B4FB"
    assert (kept[0].by, kept[0].at_ms) == (("Li Na", "Wang Wei"), 1_772_463_630_000)
    assert works(store.open(TID, 1), KEY[:8])
    assert {path.parent for path in store.files()} == {tmp_path / "tmk"}
    assert {path.stat().st_mode & 0o777 for path in store.files()} == {0o600}


def test_an_sm4_key_stays_one(store: SealedKeys) -> None:
    info = store.add(new(sm4=True))
    assert (info.cipher, info.check_value) == ("SM4", store.open(TID, 0).kcv)
    assert info.check_value != "08D7B4FB"


def test_no_file_holds_the_key(store: SealedKeys) -> None:
    store.add(new())
    (path,) = store.files()
    content = path.read_bytes()
    assert KEY not in content
    assert KEY.hex() not in content.decode().lower()


def test_a_key_is_never_replaced(store: SealedKeys) -> None:
    store.add(new())
    (path,) = store.files()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="none is ever replaced; load it with another --index"):
        store.add(new(key=KEY[::-1]))
    assert path.read_bytes() == before


def test_what_is_not_there(store: SealedKeys) -> None:
    with pytest.raises(NoSuchKey, match="run: posd keys load --tid 10000001 --index 3"):
        store.open(TID, 3)
    with pytest.raises(NoSuchKey):
        store.remove(TID, 0)
    store.add(new())
    store.remove(TID, 0)
    with pytest.raises(NoSuchKey):
        store.open(TID, 0)


def test_every_word_of_a_file_is_bound_to_its_key(store: SealedKeys) -> None:
    """A check value, a name or a terminal that was changed is not believed."""
    store.add(new())
    (path,) = store.files()
    said = json.loads(path.read_text())
    changes = {"tid": "10000002", "index": 1, "cipher": "SM4", "check_value": "00000000", "by": ["Eve"], "at_ms": 1}
    for name, value in changes.items():
        path.write_text(json.dumps({**said, name: value}))
        with pytest.raises(KeyTrouble, match="damaged, or put in the place of another"):
            store.list()
    path.write_text(json.dumps({**said, "more": 1}))
    with pytest.raises(KeyTrouble):
        store.open(TID, 0)


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"version":1}', '{"version":1,"wrapped":"zz"}'])
def test_what_is_no_sealed_key(store: SealedKeys, text: str) -> None:
    store.add(new())
    (path,) = store.files()
    path.write_text(text)
    with pytest.raises(KeyTrouble, match="damaged; restore it, or load the key again"):
        store.open(TID, 0)


def test_a_newer_version_is_refused_not_guessed(store: SealedKeys) -> None:
    store.add(new())
    (path,) = store.files()
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(KeyTrouble, match="version 2; use the posd that wrote it, or a newer one"):
        store.open(TID, 0)


def test_a_file_under_another_name_is_refused(store: SealedKeys) -> None:
    store.add(new())
    (path,) = store.files()
    path.rename(path.with_name("10000002.0.tmk"))
    with pytest.raises(KeyTrouble, match="is that of terminal 10000001, index 0; put each file back"):
        store.open("10000002", 0)


def test_another_machine_key_does_not_open_it(tmp_path: Path, store: SealedKeys) -> None:
    store.add(new())
    with pytest.raises(KeyTrouble, match="another machine key"):
        SealedKeys(tmp_path / "tmk", Wrapping(PURPOSE, MachineKey(bytes(32)))).open(TID, 0)


def test_a_wrong_mode_is_named(store: SealedKeys) -> None:
    store.add(new())
    (path,) = store.files()
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=f"{path}: open to other users; run: chmod 600 {path}"):
        store.open(TID, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_wrong_owner_is_named(tmp_path: Path, store: SealedKeys) -> None:
    """The kernel refuses it to anybody but root; what root sees, `posd doctor` says."""
    store.add(new())
    (path,) = store.files()
    os.chown(path, 65533, 65533)
    assert works(store.open(TID, 0))
    for folder in (tmp_path, *tmp_path.parents[:-2], path.parent):
        folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setresuid(65533, 65533, 65533)
        os._exit(0 if works(store.open(TID, 0)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    os.chown(path, 65534, 65534)
    path.chmod(0o600)
    child = os.fork()
    if child == 0:
        os.setresuid(65533, 65533, 65533)
        try:
            store.open(TID, 0)
        except ConfigError as error:
            os._exit(0 if f"if 65533 is to run posd: chown 65533 {path}" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_a_disk_that_takes_nothing(tmp_path: Path, machine_key: MachineKey) -> None:
    (tmp_path / "tmk").write_text("in the way")
    store = SealedKeys(tmp_path / "tmk", Wrapping(PURPOSE, machine_key))
    with pytest.raises(StorageFailed, match="free or repair the disk"):
        store.add(new())


def test_what_is_removed_is_overwritten_with_what_a_kill_left_of_it(tmp_path: Path, store: SealedKeys) -> None:
    store.add(new())
    store.add(new(index=1))
    (path, other) = store.files()
    content, draft = path.read_bytes(), path.with_name(f".{path.name}.next")
    draft.write_bytes(content)
    (tmp_path / "witness").hardlink_to(path)
    store.remove(TID, 0)
    assert [one.name for one in path.parent.iterdir()] == [other.name]
    assert content[-100:] not in (tmp_path / "witness").read_bytes()


@pytest.mark.parametrize("step", ["write_new_secret", "replace_secret"])
def test_a_rotation_misses_no_key_and_brings_none_back(
    tmp_path: Path, machine_key: MachineKey, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Two people at once: one loads or removes a key, the other rotates."""
    present, newer = machine_key, machine_key.successor()
    store = SealedKeys(tmp_path / "tmk", Wrapping(PURPOSE, present))
    store.add(new())
    real = getattr(sealedkeys, step)
    deed = (lambda: store.rotate(newer, present)) if step == "write_new_secret" else (lambda: store.remove(TID, 0))
    other = threading.Thread(target=deed)

    def meanwhile(path: Path, content: bytes) -> None:
        if not other.ident:
            other.start()
            other.join(0.3)
        real(path, content)

    monkeypatch.setattr(sealedkeys, step, meanwhile)
    if step == "write_new_secret":
        store.add(new(index=1))
    else:
        store.rotate(newer, present)
    other.join()
    indexes = [one.index for one in SealedKeys(tmp_path / "tmk", Wrapping(PURPOSE, newer)).list()]
    assert indexes == ([0, 1] if step == "write_new_secret" else [])
