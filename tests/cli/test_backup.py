"""`posd backup`: what it makes is whole, what is damaged is found and refused, and no secret is in it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posd.cli.backup.create import create_command
from posd.cli.backup.last import last_runs
from posd.errors import StorageFailed
from posd.journal.backups import making
from posd.journal.backups.sets import FOLDER_MODE, kept
from posd.journal.contract import MessageRow
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys

Posd = Callable[..., Any]
PAN = b"6225880123456789"


@pytest.fixture
def backups(place: Any) -> Path:
    text = place.config.read_text()
    place.config.write_text(f"{text}backup: {{path: backups, keys_to: copies, keep: 2}}\n")
    for name in ("backups", "copies"):
        (place.folder / name).mkdir()
    return place.folder / "backups"


@pytest.fixture
def sold(place: Any, backups: Path) -> Any:
    """A shop with a day in it: sales, a reversal that is stuck."""
    for amount in (1000, 2000, 3000):
        place.runner.sells(amount)
    place.runner.sticks()
    card = {"request_id": "10000001/000001/000001/0200/000000", "secret": PAN, "key_batch": 1}
    message = MessageRow("10000001", 1_772_413_200_000, "out", "host", "0200", "{}", b"raw", **card)
    place.store.write([[message]])
    return place


def made(posd: Posd) -> dict[str, Any]:
    ran = posd("backup", "create", "--json")
    assert ran.status == 0, ran.err
    return dict(json.loads(ran.out))


def test_it_is_made_beside_whoever_writes_and_proven_by_restoring(sold: Any, posd: Posd, backups: Path) -> None:
    said = made(posd)
    manifest = kept(backups)[0].manifest
    assert manifest is not None
    assert said["name"] == manifest.name == kept(backups)[0].name
    assert manifest.head_sequence == said["rows"] == sold.store.head().sequence
    (terminal,) = [one for one in manifest.terminals if one.owed]
    assert (terminal.counted, terminal.debit_minor, terminal.owed) == (3, 6000, 1)
    proof = posd("backup", "verify", "--json")
    assert proof.status == 0, proof.out
    assert json.loads(proof.out)["rows"] == said["rows"]
    assert [one.name for one in backups.iterdir() if one.name.startswith(".posd")] == []
    assert last_runs(sold.settings.state_dir).verify is not None


def test_a_disk_that_is_not_mounted_is_never_filled_in_its_place(sold: Any, posd: Posd, backups: Path) -> None:
    backups.rmdir()
    ran = posd("backup", "create")
    assert ran.status == 2
    assert "there is no such folder; mount its disk" in ran.err
    assert not backups.exists()
    backups.mkdir()
    copies = sold.folder / "copies"
    copies.rmdir()
    ran = posd("backup", "create")
    assert ran.status != 0
    assert "backup.keys_to" in ran.err
    assert not copies.exists()


def test_the_newest_are_kept(sold: Any, posd: Posd, backups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for number in range(3):
        sold.runner.sells(100 + number)
        names.append(made(posd)["name"])
    listed = json.loads(posd("backup", "list", "--json").out)
    assert [one["name"] for one in listed["backups"]] == names[-2:]
    assert listed["good"]


@pytest.mark.parametrize("name", ["manifest.json", "journal.db", "anchor"])
def test_each_file_flipped_is_found_and_refused(sold: Any, posd: Posd, backups: Path, name: str) -> None:
    made(posd)
    path = kept(backups)[0].folder / name
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), max(1, len(content) // 7)):
        flipped = bytearray(content)
        flipped[place] ^= 0x01
        path.write_bytes(flipped)
        proof = posd("backup", "verify")
        assert proof.status == 1, (place, proof.out)
    sold.store.close()
    refused = posd("backup", "restore", "--move-aside")
    assert refused.status == 3, refused.out
    assert (sold.settings.state_dir / "journal" / "journal.db").is_file()
    assert not list(sold.settings.state_dir.glob("journal.*"))


@pytest.mark.parametrize("name", ["manifest.json", "journal.db", "anchor"])
def test_each_file_cut_or_missing_is_listed(sold: Any, posd: Posd, backups: Path, name: str) -> None:
    made(posd)
    path = kept(backups)[0].folder / name
    path.write_bytes(path.read_bytes()[:-2])
    assert posd("backup", "list").status == 1
    path.unlink()
    assert posd("backup", "list").status == 1
    assert posd("backup", "verify").status in (1, 2)


def test_a_manifest_that_somebody_made_up_is_not_believed(sold: Any, posd: Posd, backups: Path) -> None:
    made(posd)
    path = kept(backups)[0].folder / "manifest.json"
    said = json.loads(path.read_text())
    said["final"] = True
    path.write_text(json.dumps(said))
    assert "changed" in posd("backup", "verify").out
    said["files"][0]["name"] = "../../secret"
    path.write_text(json.dumps(said))
    assert "names files elsewhere" in posd("backup", "verify").out


def test_another_machine_key_is_named(sold: Any, posd: Posd, place: Any) -> None:
    made(posd)
    key = place.folder / "machine.key"
    before = load_machine_key(key).id
    key.write_text("ab" * 32 + "\n")
    said = posd("backup", "verify").out
    assert before in said
    assert "machine_key_file" in said


def test_a_backup_from_before_a_rotation_of_the_machine_key_stays_good(sold: Any, posd: Posd, place: Any) -> None:
    made(posd)
    path = place.folder / "machine.key"
    path.write_bytes(load_machine_key(path).successor().text())
    proof = posd("backup", "verify")
    assert proof.status == 0, proof.out


def test_no_secret_is_in_a_backup(sold: Any, posd: Posd, backups: Path) -> None:
    made(posd)
    secrets = [path.read_bytes().strip() for path in sold.folder.glob("*.key")] + [
        sold.folder.joinpath("tmk").read_bytes()
    ]
    keys = [path.read_bytes() for path in (sold.settings.state_dir / "keys").glob("*.key")]
    assert keys
    for path in backups.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.strip() in content for secret in (*secrets, *keys, PAN)), path
            assert path.stat().st_mode & 0o077 == 0
    assert not list(backups.rglob("*.key"))


def test_d29_copies_of_data_keys_are_kept_in_step(sold: Any, posd: Posd) -> None:
    keys, copies = sold.settings.state_dir / "keys", sold.folder / "copies"
    assert made(posd)["keys"]["copied"] == len(list(keys.glob("*.key"))) > 0
    assert {path.name: path.read_bytes() for path in copies.glob("*.key")} == {
        path.name: path.read_bytes() for path in keys.glob("*.key")
    }
    (lost, *_) = keys.glob("*.key")
    lost.unlink()  # and nobody destroyed it: its copy is what brings it back
    assert made(posd)["keys"] == {"copied": 0, "destroyed": 0, "lost": [lost.stem], "damaged": []}
    sold.store.close()
    done = json.loads(posd("backup", "restore", "--move-aside", "--json").out)
    assert done["keys_brought"] == 1
    assert done["unreadable"]["keys"] == []


def test_d29_card_numbers_of_an_expired_batch_cannot_be_opened(sold: Any, posd: Posd) -> None:
    """Its data keys were destroyed in both places after the backup was made."""
    made(posd)
    for folder in (sold.settings.state_dir / "keys", sold.folder / "copies"):
        for path in folder.glob("*.key"):
            path.unlink()
    sold.store.close()
    ran = posd("backup", "restore", "--move-aside")
    assert ran.status == 1
    assert "cannot be read" in ran.err
    assert posd("journal", "verify").status == 0
    keys = DataKeys(sold.settings.state_dir / "keys", load_machine_key(sold.settings.machine_key_file))
    assert keys is not None
    done = json.loads(posd("restore-gap", "list", "--json").out)
    assert len(done["gaps"]) == 2


def test_a_full_disk_leaves_nothing_that_looks_whole(
    sold: Any, posd: Posd, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "free_bytes", lambda path: 1024)
    ran = posd("backup", "create")
    assert ran.status == 3
    assert "MiB are needed" in ran.err
    assert kept(backups) == []
    assert "MiB" in (last_runs(sold.settings.state_dir).create or last_runs(Path())).trouble


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], check=False)
    if done.returncode != 0:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_fills_up_in_the_middle(
    place: Any, posd: Posd, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room was there when it was asked for."""
    place.config.write_text(f"{place.config.read_text()}backup: {{path: {small_disk}}}\n")
    for amount in range(60):
        place.runner.sells(100 + amount)
    monkeypatch.setattr(making, "free_bytes", lambda path: 1 << 40)
    ran = posd("backup", "create")
    assert ran.status == 3
    assert "full" in ran.err.lower() or "space" in ran.err.lower()
    assert kept(small_disk) == []
    assert [one for one in small_disk.iterdir() if one.name != ".lock"] == []


def test_restore_refuses_what_is_there_and_what_runs(sold: Any, posd: Posd) -> None:
    made(posd)
    there = posd("backup", "restore")
    assert there.status == 2
    assert "--move-aside" in there.err
    running = posd("backup", "restore", "--move-aside")
    assert running.status == 2
    assert "another posd is running" in running.err


def test_a_restored_journal_says_what_it_does_not_know(sold: Any, posd: Posd) -> None:
    made(posd)
    sold.runner.sells(777)
    sold.store.close()
    done = json.loads(posd("backup", "restore", "--move-aside", "--json", "--last-stan", "10000001=400000").out)
    first = next(one for one in done["terminals"] if one["tid"] == "10000001")
    assert first["next_stan"] == 400_001
    assert len(first["held"]) == 1
    status = posd("status", "--json")
    assert status.status == 1
    codes = [finding["code"] for finding in json.loads(status.out)["findings"]]
    assert {"restore_gap", "restore_waits", "restore_held"} <= set(codes)
    assert "is not known" in posd("txn", "list").err
    chinese = posd("status", "--lang", "zh").out
    assert "恢复" in chinese
    assert posd("journal", "verify").status == 0


def test_a_last_number_before_the_backup_is_refused(sold: Any, posd: Posd) -> None:
    made(posd)
    sold.store.close()
    ran = posd("backup", "restore", "--move-aside", "--last-stan", "10000001=1")
    assert ran.status == 2
    assert "the backup itself goes up to" in ran.err
    assert posd("backup", "restore", "--move-aside", "--last-stan", "nonsense").status == 2


def test_an_interrupted_restore_is_finished_by_the_next(sold: Any, posd: Posd) -> None:
    made(posd)
    sold.store.close()
    state = sold.settings.state_dir
    (state / "journal.restoring").write_text('{"backup":"x","newest":false,"aside":""}')
    (state / ".journal.restored").mkdir(FOLDER_MODE)
    assert posd("backup", "restore").status == 1
    assert not (state / "journal.restoring").exists()
    assert not (state / ".journal.restored").exists()


def test_without_a_place_it_says_so(place: Any, posd: Posd) -> None:
    for words in (("create",), ("list",), ("verify",), ("restore",)):
        ran = posd("backup", *words)
        assert ran.status == 2
        assert "backup.path" in ran.err


def test_a_failure_is_remembered_for_the_doctor(sold: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise StorageFailed("backup: the disk is on fire")

    monkeypatch.setattr("posd.cli.backup.create.make", fails)
    with pytest.raises(StorageFailed):
        create_command(sold.config, False, None, True)
    last = last_runs(sold.settings.state_dir).create
    assert last is not None
    assert "on fire" in last.trouble
