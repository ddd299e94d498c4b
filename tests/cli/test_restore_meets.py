"""`posd backup restore` where it is ended at any step, amid a rotation, and after terminals or the time of card numbers
have changed since the backup was made."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.cli.backup.moving import opened
from posd.cli.backup.parts import parts_of
from posd.cli.backup.unreadable import unreadable
from posd.core import events as e
from posd.core.station import STATION
from posd.errors import ConfigError
from posd.journal.backups.sets import kept
from posd.journal.connect import SCHEMA_VERSION
from posd.journal.contract import MessageRow
from posd.journal.reader import JournalReader
from posd.security.datakeyfile import Belongs, by_batch, destroy
from posd.security.machine import load_machine_key
from tests.cli.keys.test_rotate import dying, make_shop, only_the_new_opens, opens, rotate
from tests.cli.test_backup_meets import Posd, archives, end_gaps, told
from tests.daemon.shop import OTHER_TID, TID
from tests.daemon.test_old_journals import schema_of, unpacked


@pytest.fixture
def backups(place: Any) -> Path:
    place.config.write_text(f"{place.config.read_text()}backup: {{path: backups, keys_to: copies, keep: 5}}\n")
    for name in ("backups", "copies"):
        (place.folder / name).mkdir()
    return Path(place.folder / "backups")


# --- ended at any step -----------------------------------------------------------------------------------------------

KILLED = 9
STEPS = ("mkdir", "rename", "replace", "unlink", "rmdir", "link", "chmod", "fsync")
"""Between them lie the copies and commits, each of which is whole or not there."""


def restored_until(folder: Path, kill_at: int) -> int:
    """`posd backup restore` in a process of its own, which dies at the given one of the steps. Its exit status."""
    child = os.fork()
    if child == 0:
        steps = iter(range(1, 10_000))
        for name in STEPS:
            setattr(os, name, dying(getattr(os, name), steps, kill_at))
        os.environ["POSD_CONFIG"] = str(folder / "posd.yaml")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            os._exit(main(["backup", "restore", "--move-aside"]))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def heads(folder: Path) -> set[int]:
    """The last row of every journal in a state folder, in its place or aside."""
    found = set()
    for journal in folder.glob("journal*"):
        if (journal / "journal.db").exists():
            with JournalReader(journal) as reader:
                found |= {row.sequence for row in reader.records(limit=1, newest_first=True)}
    return found


def test_d30_a_restore_that_is_ended_at_any_step_loses_no_journal_and_begins_none(
    place: Any, posd: Posd, backups: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(posd, "backup", "create")
    place.runner.sells(777)
    old = place.store.head().sequence
    place.store.close()
    folders = tmp_path_factory.mktemp("steps")
    for at in range(1, 200):
        folder = folders / str(at)
        shutil.copytree(place.folder, folder)
        state = folder / "state"
        ended = restored_until(folder, at)
        assert old in heads(state), f"step {at}: the old journal is gone"
        assert len(heads(state) - {old}) <= 1
        if ended != KILLED:
            assert ended == 1
            break
        monkeypatch.setenv("POSD_CONFIG", str(folder / "posd.yaml"))
        parts = parts_of(folder / "posd.yaml")
        if (state / "journal.restoring").exists():
            with pytest.raises(ConfigError, match="run posd backup restore again"), opened(parts, parts.journal):
                pass
            done = told(posd, "backup", "restore", status=1)
            aside = done["moved_aside"]
            assert aside is not None
            assert Path(aside).is_dir(), "it says where the old journal is"
        else:
            with opened(parts, parts.journal) as store:
                assert store.head().sequence >= old
            told(posd, "backup", "restore", "--move-aside", status=1)
        assert old in heads(state)
        assert [path.name for path in state.iterdir() if path.name.startswith(".") or "restoring" in path.name] == []
        assert posd("journal", "verify").status == 0
        shutil.rmtree(folder)
    assert at > 15, "it has that many steps"


def test_a_backup_amid_a_rotation_that_was_ended_is_restored_whole(
    posd: Posd, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some data keys are under the new machine key, some under the old one, and so are their copies."""
    folders = tmp_path_factory.mktemp("amid")
    for at in range(1, 200, 5):
        settings, sealed = make_shop(folders / str(at))
        folder, before = settings.machine_key_file.parent, load_machine_key(settings.machine_key_file)
        if rotate(settings, at) == 0:
            break
        with (folder / "posd.yaml").open("a") as config:
            config.write("backup: {path: backups, keys_to: copies}\n")
        for name in ("backups", "copies"):
            (folder / name).mkdir()
        monkeypatch.setenv("POSD_CONFIG", str(folder / "posd.yaml"))
        finished = not (folder / "machine.key.new").exists() and not (folder / "machine.key.old").exists()
        assert told(posd, "backup", "create")["keys"]["copied"] == len(sealed)
        assert told(posd, "backup", "verify")["good"]
        for name in ("journal", "keys"):
            shutil.rmtree(settings.state_dir / name)
        done = told(posd, "backup", "restore", status=1)
        assert done["unreadable"]["keys"] == []
        opens(settings, sealed)
        assert rotate(settings) == 0
        if not finished:
            only_the_new_opens(settings, sealed, before)
    assert at > 30


def test_after_a_rotation_the_copies_open_under_the_new_key_alone(
    posd: Posd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk dies before the next backup, and the old machine key is destroyed."""
    settings, sealed = make_shop(tmp_path / "shop")
    folder = settings.machine_key_file.parent
    with (folder / "posd.yaml").open("a") as config:
        config.write("backup: {path: backups, keys_to: copies}\n")
    for name in ("backups", "copies"):
        (folder / name).mkdir()
    monkeypatch.setenv("POSD_CONFIG", str(folder / "posd.yaml"))
    told(posd, "backup", "create")
    said = posd("keys", "rotate", "--by", "Li Na")
    assert (said.status, "still under the old machine key" in said.err) == (0, False)
    for name in ("journal", "keys"):
        shutil.rmtree(settings.state_dir / name)
    assert told(posd, "backup", "restore", status=1)["unreadable"]["keys"] == []
    opens(settings, sealed)
    shutil.rmtree(folder / "copies")
    said = posd("keys", "rotate", "--by", "Li Na")
    assert said.status == 0
    assert "still under the old machine key: backup.keys_to:" in said.err


# --- journals of other posds -----------------------------------------------------------------------------------------


def test_d34_a_backup_of_an_earlier_schema_is_proven_and_restored_upgraded(
    posd: Posd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made before posd was upgraded; the copy is of the schema that it was made from."""
    folder = tmp_path / "old"
    unpacked("trunk", folder)
    assert schema_of(folder) == 1
    with JournalReader(folder / "state" / "journal") as reader:
        tids = [tid for tid in reader.tids() if tid != STATION]
    terminals = ", ".join(f'{{tid: "{tid}", mid: "898100012345678", tmk_file: "{tid}.tmk"}}' for tid in tids)
    (folder / "posd.yaml").write_text(
        'version: 1\nhost: {address: "127.0.0.1:5000"}\nstate_dir: state\ncontrol_socket: control\n'
        "machine_key_file: machine.key\njournal: {ballast_bytes: 4096, free_bytes_min: 0}\n"
        f"terminals: [{terminals}]\n"
        "backup: {path: backups, keys_to: copies}\n"
    )
    for name in ("backups", "copies"):
        (folder / name).mkdir()
    monkeypatch.setenv("POSD_CONFIG", str(folder / "posd.yaml"))
    name = told(posd, "backup", "create")["name"]
    assert [one["schema"] for one in told(posd, "backup", "list")["backups"]] == [1]
    assert told(posd, "backup", "verify")["good"]
    done = told(posd, "backup", "restore", "--move-aside", status=1)
    assert (schema_of(folder), len(done["terminals"])) == (SCHEMA_VERSION, len(tids))
    assert posd("journal", "verify").status == 0
    monkeypatch.setattr("posd.cli.backup.restore.SCHEMA_VERSION", 0)  # as an older posd, for which it is too new
    refused = posd("backup", "restore", name, "--move-aside")
    assert refused.status == 2
    assert "its journal has schema 1, this posd knows 0; restore it with the posd that made it" in refused.err


# --- terminals, retention, the archive -------------------------------------------------------------------------------


def test_terminals_that_were_added_since_the_backup_have_a_gap_of_their_own(
    place: Any, posd: Posd, backups: Path
) -> None:
    """What they used is in no journal any more: not even that they were there."""
    place.store.close()
    told(posd, "backup", "create")
    added = '  - {tid: "10000003", mid: "898100012345678", tmk_file: tmk}\nbackup:'
    place.config.write_text(place.config.read_text().replace("backup:", added))
    done = told(posd, "backup", "restore", "--move-aside", status=1)
    (new,) = [one for one in done["terminals"] if one["tid"] == "10000003"]
    assert (new["first_stan"], new["next_stan"], new["held"]) == (1, 10_001, [])
    gaps = told(posd, "restore-gap", "list", status=1)["gaps"]
    assert [one["tid"] for one in gaps] == [TID, OTHER_TID, "10000003"]
    assert posd("journal", "verify").status == 0


def closes(place: Any) -> None:
    """The open batch of the first terminal is settled."""
    runner = place.runner
    runner.happen(e.SettleNow(f"c{runner.state.batch.identity}", "Li Na"))
    runner.signs_in().agrees().answers("").signs_in()


def test_d29_a_batch_whose_time_was_over_is_restored_archived_and_never_read_again(
    place: Any, posd: Posd, backups: Path
) -> None:
    """The backup is of before: its rows know nothing of the end of their numbers."""
    of = place.runner.sells(1000)
    card = {"request_id": of, "secret": b"6225880123456789", "key_batch": 1}
    place.store.write([[MessageRow(TID, place.runner.clock.wall, "out", "host", "0200", "{}", b"raw", **card)]])
    closes(place)
    place.runner.clock.wait(40 * 86_400)
    place.runner.sells(2000)
    closes(place)
    told(posd, "backup", "create")
    keys, copies = place.settings.state_dir / "keys", place.folder / "copies"
    place.runner.happen(e.NumbersDue(place.runner.clock.wall - 86_400_000, 180))
    assert place.runner.state.numbers_gone(1)
    assert told(posd, "backup", "create")["keys"]["destroyed"] == 1, "the copy goes with the nightly backup"
    destroy(by_batch(keys)[Belongs(TID, 1)])
    place.runner.happen(e.KeysDestroyed((1,), (), 1))
    place.store.close()
    done = told(posd, "backup", "restore", kept(backups)[0].name, "--move-aside", status=1)
    assert (done["keys_brought"], done["unreadable"]["card_numbers"]) == (0, 1)
    end_gaps(place)
    archives(posd)
    assert posd("journal", "verify").status == 0
    assert told(posd, "backup", "create")["keys"]["copied"] == 0
    assert told(posd, "backup", "verify")["good"]
    assert unreadable(parts_of(place.config)).rows == 1
    assert list(by_batch(keys, copies)) == []
