"""What open_store refuses before it writes anything: one line each."""

import os
import subprocess
import sys
from contextlib import closing
from ctypes import addressof, c_int
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import Anchor
from posd.journal.connect import JOURNAL_FILE, require_engine
from posd.journal.lock import LOCK_FILE, Lock
from posd.journal.room import BALLAST_FILE, Ballast, free_bytes, has_room


def execute(folder: Path, *statements: str) -> None:
    with closing(apsw.Connection(str(folder / JOURNAL_FILE))) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.0"])
def test_an_old_engine_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=f"SQLite {version} is too old: 3.51.3 or newer"):
        require_engine(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "4.0.0"])
def test_a_good_engine(version: str) -> None:
    require_engine(version)


def test_d30_settings_of_the_connections(opened: Any) -> None:
    store = opened()
    writer = store._writer
    assert writer.pragma("journal_mode") == "wal"
    assert writer.pragma("synchronous") == 2
    assert writer.pragma("locking_mode") == "normal"
    assert writer.pragma("wal_autocheckpoint") == 0
    assert store._reader.readonly("main")
    persistent = c_int(-1)  # asks, does not set
    writer.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, addressof(persistent))
    assert persistent.value == 1


def test_d30_a_second_posd_is_refused_and_the_first_named(opened: Any) -> None:
    opened()
    with pytest.raises(ConfigError, match=rf"another posd is running on it \(pid {os.getpid()}\)"):
        opened()


def test_the_lock_of_another_process(folder: Path, opened: Any) -> None:
    opened().close()
    hold = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.flock(f,fcntl.LOCK_EX); f.truncate(0); f.write('4711')"
    hold += "; f.flush(); print('held',flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(folder / LOCK_FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(ConfigError, match="pid 4711"):
            opened()
        holder.communicate(b"")
    assert opened().head().sequence == 0


def test_the_lock_is_free_after_close_and_after_a_refusal(opened: Any, folder: Path) -> None:
    opened().close()
    execute(folder, "PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(ConfigError, match="schema version 99 is newer than this posd knows"):
            opened()
    Lock.take(folder).release()


def test_another_programs_database(opened: Any, folder: Path) -> None:
    opened().close()
    execute(folder, "PRAGMA application_id = 42")
    with pytest.raises(ConfigError, match="belongs to another program"):
        opened()


def test_a_file_that_is_no_database(opened: Any, folder: Path) -> None:
    opened().close()
    for name in (f"{JOURNAL_FILE}-wal", f"{JOURNAL_FILE}-shm"):
        (folder / name).unlink()
    (folder / JOURNAL_FILE).write_bytes(b"this is not SQLite " * 1000)
    with pytest.raises(StorageFailed, match="SQLITE_NOTADB"):
        opened()


def test_a_folder_that_cannot_be_made(tmp_path: Path, opened: Any, folder: Path) -> None:
    folder.write_text("a file is in the way")
    with pytest.raises(ConfigError, match="the folder cannot be made"):
        opened()


def test_a_folder_that_cannot_be_written(opened: Any, folder: Path) -> None:
    (folder / LOCK_FILE).mkdir(parents=True)  # also root cannot open this for writing
    with pytest.raises(ConfigError, match="cannot be written"):
        opened()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(opened: Any, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(ConfigError, match="cannot be written"):
        opened()


def test_files_are_not_for_everybody(opened: Any, rows: Any, folder: Path) -> None:
    opened().write([rows.sale(1)])
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o007 == 0, path


def test_a_start_that_died_after_making_the_anchor_is_no_damage(opened: Any, folder: Path) -> None:
    opened().close()
    for path in folder.glob(f"{JOURNAL_FILE}*"):
        path.unlink()
    assert opened().head().sequence == 0


def test_the_log_is_kept_when_the_store_closes(opened: Any, rows: Any, folder: Path) -> None:
    store = opened()
    store.write([rows.sale(1)])
    store.close()
    assert (folder / f"{JOURNAL_FILE}-wal").stat().st_size > 0
    store.close()
    with pytest.raises(StorageFailed, match="closed"):
        store.write([rows.sale(2)])


def test_no_ballast_is_a_choice(tmp_path: Path) -> None:
    """The setting may be 0; then there is nothing to take and nothing to release."""
    ballast = Ballast(tmp_path, 0)
    assert ballast.ensure(free_bytes_min=0)
    assert not (tmp_path / BALLAST_FILE).exists()
    ballast.release()


def test_ballast(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 65536)
    assert not ballast.held()
    assert not ballast.ensure(free_bytes_min=free_bytes(tmp_path) * 2)
    assert not ballast.held()
    assert ballast.ensure(free_bytes_min=0)
    assert ballast.held()
    assert ballast.ensure(free_bytes_min=free_bytes(tmp_path) * 2)
    ballast.release()
    ballast.release()
    assert not (tmp_path / BALLAST_FILE).exists()


def test_room(tmp_path: Path) -> None:
    assert has_room(tmp_path, 1)
    assert not has_room(tmp_path, free_bytes(tmp_path) * 2)


def test_the_anchor_follows_each_commit(opened: Any, rows: Any, folder: Path) -> None:
    store = opened()
    for number in range(3):
        store.write([rows.sale(number)])
        anchor = Anchor(folder / "anchor")
        assert anchor.reading.head == store.head()
        anchor.close()
