"""Opening the SQLite file, and saying in one line why that or anything after it failed.

Readers open read-only and never `immutable`; only the store's one writer opens for writing (D30). Nothing here
may ever repair, recreate or delete a journal that is there.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import addressof, c_int
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, read_anchor
from posd.journal.contract import Head

JOURNAL_FILE = "journal.db"
FILE_MODE = 0o640
ENGINE_MIN = (3, 51, 3)
"""SQLite 3.7.0 to 3.51.2 can corrupt a database when a WAL is reset (libraries.md)."""
SCHEMA_VERSION = 2
"""The newest that this program knows; how a journal comes to it: schema.py."""
APPLICATION_ID = 0x706F7364
"""'posd' in ASCII, in the header of the file."""
GIVES_ROOM_BACK = 2
"""SQLite's auto_vacuum INCREMENTAL: what an archive run frees goes back to the disk in small steps."""
WRITER_CACHE_KIB, READER_CACHE_KIB = 1024, 512
"""Pages that SQLite keeps: rows are appended, and read in order or by an index. Its default is 2 MB for each."""
BUSY_MS = 5000
"""How long to wait for another connection that is just recovering the WAL."""

_ENGINE_PARTS = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """The journal's own row: which journal it is, and the place in the chain before its first row."""

    journal_id: bytes
    base: Head
    key_check: bytes


@contextmanager
def storage(operation: str) -> Iterator[None]:
    """Turns any error of SQLite or of the disk into StorageFailed, naming the operation and the error."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError, OSError) as error:
        raise storage_failed(operation, error) from error


FAILED_DISK = "the disk fails or is read-only: see dmesg, repair it (fsck), mount it writable; the next start recovers"
REMEDIES = {
    apsw.SQLITE_IOERR: FAILED_DISK,
    apsw.SQLITE_READONLY: FAILED_DISK,
    apsw.SQLITE_CANTOPEN: "see whether the disk is read-only, and the owner and mode of the files",
    apsw.SQLITE_FULL: "the disk is full: make room; the next start recovers",
}
"""What a person can do about it; of other errors, what `posd journal verify` says."""


def storage_failed(operation: str, error: apsw.Error | UnicodeDecodeError | OSError) -> StorageFailed:
    """One line that names the operation and what failed. It shows no value of any row."""
    match error:
        case apsw.Error():
            code = getattr(error, "extendedresult", -1)
            name = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code & 0xFF)
            remedy = REMEDIES.get(code & 0xFF)
            what = f"journal: {operation}: SQLite: {name or type(error).__name__}: {error}"
            return StorageFailed(f"{what}; {remedy}" if remedy else what)
        case UnicodeDecodeError():
            return StorageFailed(f"journal: {operation}: a text is not UTF-8: damaged; run: posd journal verify")
        case OSError():
            remedy = f"; {FAILED_DISK}" if error.errno in (errno.EIO, errno.EROFS) else ""
            return StorageFailed(f"journal: {operation}: {error.strerror or error}{remedy}")


def require_engine(version: str | None = None) -> None:
    """Raises ConfigError when the SQLite library is older than ENGINE_MIN."""
    found = version or apsw.sqlite_lib_version()
    parts = tuple(int(part) for part in found.split("."))[:_ENGINE_PARTS]
    if parts < ENGINE_MIN:
        wanted = ".".join(map(str, ENGINE_MIN))
        raise ConfigError(f"SQLite {found} is too old: {wanted} or newer is needed; upgrade the package apsw")


def open_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """The writing connection; makes an empty file when there is none. Raises ConfigError, StorageFailed."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise ConfigError(f"journal: {path}: cannot be written: {error.strerror}") from None
    with storage(f"opening {path}"), ExitStack() as undo:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        undo.callback(connection.close)
        connection.set_busy_timeout(BUSY_MS)
        persist = c_int(1)
        connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, addressof(persist))
        # checkpoints, also the last one, are the store's own decision
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.wal_autocheckpoint(0)
        _require_ours(connection, path)
        if connection.pragma("page_count") == 0:  # later it would take a VACUUM
            connection.pragma("auto_vacuum", GIVES_ROOM_BACK)
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise StorageFailed(f"journal: {path}: this file system does not allow a write-ahead log (mode {mode})")
        connection.pragma("locking_mode", "normal")
        connection.pragma("synchronous", "full")
        connection.pragma("cell_size_check", True)
        connection.pragma("cache_size", -WRITER_CACHE_KIB)
        undo.pop_all()
    return connection


def open_reader(path: Path, vfs: str | None = None) -> apsw.Connection:
    """A read-only connection. Raises ConfigError: no journal, not ours, newer. Raises StorageFailed."""
    if not path.is_file() or path.stat().st_size == 0:
        if lost := rows_lost(path):
            raise StorageFailed(lost)
        raise ConfigError(f"journal: {path}: there is no journal here yet")
    with storage(f"opening {path}"), ExitStack() as undo:
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
        except apsw.CantOpenError:
            raise ConfigError(f"journal: {path}: cannot be read; check its owner and mode") from None
        undo.callback(connection.close)
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("cache_size", -READER_CACHE_KIB)
        _require_ours(connection, path)
        if not connection.table_exists("main", "journal"):
            raise ConfigError(f"journal: {path}: there is no journal here yet")
        undo.pop_all()
    return connection


def schema_of(path: Path) -> int:
    """The schema version of a journal. Raises ConfigError, StorageFailed as open_reader."""
    connection = open_reader(path)
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def rows_lost(path: Path) -> str:
    """Why a journal that is not there is damage: its anchor knows rows of it (D31). Empty: there never was one."""
    anchor = path.with_name(ANCHOR_FILE)
    try:
        known = read_anchor(anchor).head.sequence
    except StorageFailed as error:
        return f"journal: {path}: missing or empty (0 rows); {error}" if anchor.exists() else ""
    if known == 0:
        return ""
    return (
        f"journal: {path}: missing or empty (0 rows), but the anchor knows row {known}: the journal was lost; "
        "restore the newest journal with its anchor"
    )


def _require_ours(connection: apsw.Connection, path: Path) -> None:
    version, application = connection.pragma("user_version"), connection.pragma("application_id")
    if application not in (0, APPLICATION_ID):
        raise ConfigError(f"journal: {path}: this database belongs to another program")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"journal: {path}: its schema version {version} is newer than this posd knows ({SCHEMA_VERSION});"
            " there is no way back: run the newer posd that upgraded it"
        )
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StorageFailed(f"journal: {path}: tables without a schema version: damaged, or not a journal of posd")


def read_identity(connection: apsw.Connection) -> Identity:
    """Raises StorageFailed when the row is missing or malformed."""
    rows = query(connection, "SELECT journal_id, base_sequence, base_link, key_check FROM journal")
    match rows:
        case [(bytes() as journal_id, int() as base_sequence, bytes() as base_link, bytes() as key_check)]:
            return Identity(journal_id, Head(base_sequence, base_link), key_check)
        case _:
            raise StorageFailed("journal: the journal's own row is missing or damaged; restore it from its backup")


def read_head(connection: apsw.Connection, base: Head) -> Head:
    """The last committed row of both tables; `base` when there is none. Raises StorageFailed."""
    rows = query(
        connection,
        "SELECT * FROM (SELECT sequence, link FROM record ORDER BY sequence DESC LIMIT 1)"
        " UNION ALL SELECT * FROM (SELECT sequence, link FROM message ORDER BY sequence DESC LIMIT 1)",
    )
    return max([Head(*row) for row in rows], default=base, key=lambda head: head.sequence)


def read_link(connection: apsw.Connection, sequence: int) -> object:
    """The stored link of one row; None when there is no such row. Raises StorageFailed."""
    rows = query(
        connection,
        "SELECT link FROM record WHERE sequence = ?1 UNION ALL SELECT link FROM message WHERE sequence = ?1",
        (sequence,),
    )
    return rows[0][0] if len(rows) == 1 else None


def query(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of one short read, so that no reader holds the WAL back (D30). Raises StorageFailed."""
    with storage("reading"):
        rows: Iterable[tuple[Any, ...]] = connection.execute(sql, tuple(values))
        return list(rows)
