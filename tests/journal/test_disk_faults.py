"""A disk that fails: the store says what failed, dies, and the next start finds a journal to go on from (P3)."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from posd.errors import StorageFailed
from posd.journal.connect import JOURNAL_FILE
from posd.journal.opening import open_store
from posd.journal.room import BALLAST_FILE
from posd.journal.sqlite import WAL_CHECKPOINT_PAGES
from posd.journal.verify import verify

CHILD = Path(__file__).with_name("journal_child.py")
LOG = ".db-wal"
DATABASE = ".db"


def at(number: int, operation: str, file: str, error: type[apsw.Error]) -> Callable[[str, str], Exception | None]:
    """Fails at the `number`-th such operation on such a file."""
    seen = 0

    def fail(this: str, name: str) -> Exception | None:
        nonlocal seen
        if (this, name) != (operation, file):
            return None
        seen += 1
        if seen != number:
            return None
        planted: Any = error("planted")
        planted.extendedresult = apsw.SQLITE_FULL if error is apsw.FullError else apsw.SQLITE_IOERR_FSYNC
        return planted

    return fail


def write_until_it_fails(store: Any, rows: Any) -> tuple[str, int]:
    """What the failure says, and the last sequence that was acknowledged."""
    written = store.head().sequence
    for number in range(10_000):
        try:
            written = store.write([rows.sale(number)])
        except StorageFailed as error:
            return str(error), written
    raise AssertionError("this disk does not fail")


def test_d31_one_sync_for_each_commit(opened: Any, rows: Any, disk: Any) -> None:
    store = opened(vfs=disk.name)
    store.write([rows.sale(0)])
    disk.syncs.clear()
    for number in range(1, 101):
        store.write([rows.sale(number)])
        store.upkeep()
    assert dict(disk.syncs) == {LOG: 100}


def test_a_group_of_many_is_one_sync(opened: Any, rows: Any, disk: Any) -> None:
    store = opened(vfs=disk.name)
    store.write([rows.sale(0)])
    disk.syncs.clear()
    store.write([rows.sale(number) for number in range(1, 101)])
    assert dict(disk.syncs) == {LOG: 1}


def test_only_upkeep_and_close_copy_the_log(opened: Any, rows: Any, disk: Any, folder: Path) -> None:
    store = opened(vfs=disk.name)
    disk.syncs.clear()
    batch = [[rows.record(i, secret=None) for i in range(400)]]
    while store._wal_pages < WAL_CHECKPOINT_PAGES:
        store.write(batch)
    assert disk.syncs[DATABASE] == 0
    store.upkeep()
    assert disk.syncs[DATABASE] == 1
    store.write(batch)  # begins the log anew
    assert store._wal_pages < WAL_CHECKPOINT_PAGES
    store.upkeep()
    assert disk.syncs[DATABASE] == 1
    assert (folder / f"{JOURNAL_FILE}-wal").stat().st_size < 2 * WAL_CHECKPOINT_PAGES * 4200


def test_d30_a_reader_in_the_middle_of_a_read_stops_nobody(opened: Any, rows: Any, folder: Path) -> None:
    store = opened()
    store.write([rows.sale(0)])
    reader = apsw.Connection(str(folder / JOURNAL_FILE), flags=apsw.SQLITE_OPEN_READONLY)
    held = reader.execute("SELECT * FROM record")
    next(held)
    batch = [[rows.record(i, secret=None) for i in range(400)]]
    for _ in range(60):
        store.write(batch)
        store.upkeep()
    held.close()
    reader.close()
    store.close()
    assert opened().head().sequence == 2 + 60 * 400


@pytest.mark.parametrize("operation", ["sync", "write"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_an_io_error_kills_the_store(
    opened: Any, rows: Any, disk: Any, folder: Path, chain_key: bytes, operation: str, number: int
) -> None:
    store = opened(vfs=disk.name)
    store.write([rows.sale(0)])
    disk.fail = at(number, operation, LOG, apsw.IOError)
    why, written = write_until_it_fails(store, rows)
    assert why.startswith(("journal: insert: SQLite: SQLITE_IOERR", "journal: commit: SQLite: SQLITE_IOERR"))
    disk.fail = lambda operation, file: None
    for again in (lambda: store.write([rows.sale(99)]), store.upkeep, store.sync_anchor):
        with pytest.raises(StorageFailed, match="SQLITE_IOERR"):
            again()
    store.close()
    assert verify(folder, chain_key).intact
    # a failed commit may be durable or not: what was acknowledged is there, at most that one is more
    assert opened().head().sequence in (written, written + 2)


def test_an_io_error_in_a_checkpoint(opened: Any, rows: Any, disk: Any) -> None:
    store = opened(vfs=disk.name)
    while store._wal_pages < WAL_CHECKPOINT_PAGES:
        store.write([[rows.record(i, secret=None) for i in range(400)]])
    disk.fail = at(1, "sync", DATABASE, apsw.IOError)
    with pytest.raises(StorageFailed, match="journal: checkpoint: SQLite: SQLITE_IOERR"):
        store.upkeep()
    with pytest.raises(StorageFailed):
        store.write([rows.sale(1)])
    head = store.head().sequence
    store.close()
    assert opened().head().sequence == head


def test_an_io_error_at_the_anchor(opened: Any, rows: Any) -> None:
    store = opened()
    store._anchor.close()
    with pytest.raises(StorageFailed, match="journal: anchor: Bad file descriptor"):
        store.write([rows.sale(1)])
    with pytest.raises(StorageFailed, match="journal: anchor"):
        store.write([rows.sale(2)])
    store.close()
    assert opened().head().sequence == 2


def test_an_io_error_while_opening(opened: Any, rows: Any, disk: Any) -> None:
    store = opened(vfs=disk.name)
    store.write([rows.sale(1)])
    store.close()
    disk.fail = at(1, "sync", DATABASE, apsw.IOError)
    with pytest.raises(StorageFailed, match="journal: checkpoint: SQLite"):
        opened(vfs=disk.name)
    disk.fail = lambda operation, file: None
    assert opened(vfs=disk.name).head().sequence == 2


def test_d32_a_full_disk_releases_the_ballast(opened: Any, rows: Any, disk: Any, folder: Path) -> None:
    store = opened(vfs=disk.name)
    store.write([rows.sale(0)])
    assert (folder / BALLAST_FILE).exists()
    disk.fail = at(1, "write", LOG, apsw.FullError)
    with pytest.raises(StorageFailed, match="SQLITE_FULL"):
        store.write([rows.sale(1)])
    assert not (folder / BALLAST_FILE).exists()


def test_d32_the_ballast_is_taken_again_while_posd_runs_when_there_is_room(folder: Path, opened: Any) -> None:
    """D32: a disk that fills up twice between two starts."""
    store = opened(free_bytes_min=0)
    (folder / BALLAST_FILE).unlink()
    store.free_bytes_min = 2**62
    store.sync_anchor()
    assert not (folder / BALLAST_FILE).exists()
    store.free_bytes_min = 0
    store.sync_anchor()
    assert (folder / BALLAST_FILE).stat().st_size == 4096


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB in the journal's folder."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk(small_disk: Path, rows: Any, chain_key: bytes, digest_key: bytes, sealer: Any) -> None:
    store = open_store(small_disk, chain_key, digest_key, sealer, ballast_bytes=262_144, free_bytes_min=0)
    why, written = write_until_it_fails(store, rows)
    assert "SQLITE_FULL" in why or "No space left" in why
    assert not (small_disk / BALLAST_FILE).exists()
    with pytest.raises(StorageFailed):
        store.write([rows.sale(1)])
    store.close()
    # the room of the ballast is what the reversals go on with; it is not taken again
    store = open_store(small_disk, chain_key, digest_key, sealer, ballast_bytes=262_144, free_bytes_min=262_144)
    assert written <= store.head().sequence <= written + 2
    for number in range(20):
        store.write([rows.sale(number)])
    store.close()
    assert not (small_disk / BALLAST_FILE).exists()
    assert verify(small_disk, chain_key).intact


@pytest.mark.system
def test_a_limit_of_the_file_size(folder: Path, chain_key: bytes, opened: Any) -> None:
    child = subprocess.run(
        [sys.executable, CHILD, "write", folder, "--file-bytes-max", "200000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert child.returncode == 3, child.stderr
    assert "journal: " in child.stderr
    assert "SQLITE_IOERR_WRITE" in child.stderr or "SQLITE_FULL" in child.stderr
    acknowledged = int(child.stdout.split()[-1])
    assert verify(folder, chain_key).intact
    assert opened().head().sequence >= acknowledged
