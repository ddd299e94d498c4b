"""`posd keys rotate`: killed at every step and run again, nothing is lost, and in the end only the new key opens."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.config import load
from posd.config.keyhome import key_store
from posd.daemon.assemble import DATA_KEYS_FOLDER
from posd.daemon.shown.offline import journal_folder
from posd.errors import KeyTrouble
from posd.journal.opening import open_store
from posd.journal.reader import JournalReader
from posd.journal.verify import verify
from posd.security.datakeyfile import key_files
from posd.security.machine import create_machine_key, load_machine_key, load_machine_keys
from posd.security.secretfile import draft_of
from posd.security.vault import DataKeys, Sealed
from posd.settings import Settings
from tests.sealing import seal_tmk

TID, BATCH, AAD, PLAIN = "10000001", 1, b"10000001|7", b"card facts"
KILLED = 9
BATCHES = 3


def make_shop(folder: Path) -> tuple[Settings, list[Sealed]]:
    """A journal, three data keys, a TMK; and what was sealed under each data key."""
    folder.mkdir()
    (folder / "posd.yaml").write_text(
        'version: 1\nhost: {address: "10.0.0.1:5000"}\nstate_dir: state\ncontrol_socket: control\n'
        "machine_key_file: machine.key\njournal: {ballast_bytes: 4096, free_bytes_min: 0}\n"
        f'terminals: [{{tid: "{TID}", mid: "898100012345678"}}]\n'
    )
    key = create_machine_key(folder / "machine.key")
    settings = load(folder / "posd.yaml")
    settings.state_dir.mkdir()
    vault = DataKeys(settings.state_dir / DATA_KEYS_FOLDER, key)
    open_store(
        *(journal_folder(settings), key.derive("chain"), key.derive("digest"), vault),
        ballast_bytes=4096,
        free_bytes_min=0,
    ).close()
    seal_tmk(settings, TID)
    return settings, [vault.seal(PLAIN, AAD, TID, batch) for batch in range(1, BATCHES + 1)]


def rotate(settings: Settings, kill_at: int | None = None) -> int:
    """In a process of its own, which dies at the given one of the steps that change something. Its exit status."""
    child = os.fork()
    if child == 0:
        steps = iter(range(1, 10_000))
        if kill_at is not None:
            for name in ("replace", "link", "fsync", "unlink", "pwrite", "chown"):
                setattr(os, name, dying(getattr(os, name), steps, kill_at))
        os.environ["POSD_CONFIG"] = str(settings.state_dir.parent / "posd.yaml")
        try:
            os._exit(main(["keys", "rotate", "--by", "Li Na"]))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying(real: Callable[..., Any], steps: Any, at: int) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        if next(steps) == at:
            os._exit(KILLED)
        return real(*args, **more)

    return call


def opens(settings: Settings, sealed: list[Sealed]) -> None:
    """As a posd that is started now would: every row, every card, the TMK."""
    keys = load_machine_keys(settings.machine_key_file)
    vault = DataKeys(settings.state_dir / DATA_KEYS_FOLDER, *keys)
    assert [vault.open(one, AAD) for one in sealed] == [PLAIN] * BATCHES
    assert key_store(settings, *keys).open(TID, 0).kcv == "08D7B4FB"
    assert verify(journal_folder(settings), keys[0].derive("chain")).findings == ()


def only_the_new_opens(settings: Settings, sealed: list[Sealed], before: Any) -> None:
    folder = settings.machine_key_file.parent
    assert sorted(path.name for path in folder.iterdir() if "machine" in path.name) == ["machine.key"]
    present = load_machine_key(settings.machine_key_file)
    assert present.id != before.id
    assert (present.derive("chain"), present.derive("digest")) == (before.derive("chain"), before.derive("digest"))
    opens(settings, sealed)
    data_keys = settings.state_dir / DATA_KEYS_FOLDER
    assert [path for path in key_files(data_keys) if draft_of(path).exists()] == []
    for one in sealed:
        with pytest.raises(KeyTrouble, match="another machine key"):
            DataKeys(data_keys, before).open(one, AAD)
    with pytest.raises(KeyTrouble, match="another machine key"):
        key_store(settings, before).open(TID, 0)


def records(settings: Settings) -> list[dict[str, Any]]:
    with JournalReader(journal_folder(settings)) as reader:
        return [json.loads(row.payload) for row in reader.records(kind="machine_key_rotation")]


def test_it_is_killed_at_every_step_and_goes_on(tmp_path: Path) -> None:
    for step in range(1, 200):
        settings, sealed = make_shop(tmp_path / str(step))
        before = load_machine_key(settings.machine_key_file)
        status = rotate(settings, step)
        if status == 0:
            assert step > 30, "so many steps there are at least"
            break
        assert status == KILLED
        opens(settings, sealed)
        assert rotate(settings) == 0
        only_the_new_opens(settings, sealed, before)
    else:
        raise AssertionError("it never came to its end")
    only_the_new_opens(settings, sealed, before)


def test_what_it_says_and_leaves_in_the_journal(tmp_path: Path) -> None:
    settings, sealed = make_shop(tmp_path / "shop")
    before = load_machine_key(settings.machine_key_file)
    assert rotate(settings) == 0
    after = load_machine_key(settings.machine_key_file)
    begun, ended = records(settings)
    assert (begun["stage"], ended["stage"], ended["rewrapped"]) == ("begun", "ended", BATCHES + 1)
    assert (ended["old"], ended["new"], ended["by"]) == (before.id, after.id, "Li Na")
    assert rotate(settings) == 0  # again: another one
    only_the_new_opens(settings, sealed, after)
    with pytest.raises(KeyTrouble):
        DataKeys(settings.state_dir / DATA_KEYS_FOLDER, before).open(sealed[0], AAD)


def test_no_key_stands_in_what_was_written(tmp_path: Path) -> None:
    settings, _ = make_shop(tmp_path / "shop")
    before = load_machine_key(settings.machine_key_file)
    assert rotate(settings) == 0
    secrets = [key.hex().encode() for key in (before.secret, load_machine_key(settings.machine_key_file).secret)]
    for path in settings.state_dir.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        assert not [one for one in secrets if one in content or bytes.fromhex(one.decode()) in content], path


def test_an_old_backup_of_data_keys_needs_the_old_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a file that nobody can open keeps nobody from rotating: it is named, and left alone."""
    settings, sealed = make_shop(tmp_path / "shop")
    before = load_machine_key(settings.machine_key_file)
    data_keys = settings.state_dir / DATA_KEYS_FOLDER
    old = next(iter(key_files(data_keys)))
    backup = old.read_bytes()
    assert rotate(settings) == 0
    old.write_bytes(backup)
    with pytest.raises(KeyTrouble, match="another machine key"):
        DataKeys(data_keys, load_machine_key(settings.machine_key_file)).open(
            next(one for one in sealed if one.key_id == old.stem), AAD
        )
    assert DataKeys(data_keys, before).open(next(one for one in sealed if one.key_id == old.stem), AAD) == PLAIN
    assert rotate(settings) == 1
    assert old.read_bytes() == backup


def test_a_stranger_beside_the_machine_key_is_not_taken(tmp_path: Path) -> None:
    settings, sealed = make_shop(tmp_path / "shop")
    create_machine_key(settings.machine_key_file.with_name("machine.key.new"))
    assert rotate(settings) == 2
    settings.machine_key_file.with_name("machine.key.new").unlink()
    opens(settings, sealed)
