"""A copy of a journal up to exactly one row, made by reading beside whoever writes it (D30).

Rows never change and are never removed but into an archive, so a copy needs no long read: the tables around them are
taken in one short read together with the head, then the rows up to that head in pages. The writer is never kept from
anything. It must never repair: what does not fit the chain ends the copy.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from posd.errors import StorageFailed
from posd.journal.anchor import ANCHOR_FILE, create_anchor, sync_folder
from posd.journal.connect import JOURNAL_FILE, Identity, open_reader, query, read_head, read_identity, storage
from posd.journal.contract import Head

PAGE_ROWS = 1000
"""Rows of one short read, of each table."""
TRIES = 3
"""An archive run may move rows away while they are copied; then the copy begins anew."""

ROWS = ("record", "message")
"""The tables that are copied in pages; all others are taken in one read with the head."""
NOT_AFTER_HEAD = {"snapshot": " WHERE sequence <= ?1"}
"""A snapshot may be newer than the head that was taken."""


class _Moved(Exception):
    """Rows went into an archive meanwhile."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied; `head_at_ms`: the wall time of the newest row."""

    identity: Identity
    head: Head
    head_at_ms: int
    schema: int
    rows: int


def copy_journal(source: Path, target: Path, on_rows: Callable[[int], None] = lambda rows: None) -> Copied:
    """Copy the journal in the folder `source` into the empty folder `target`, durably, with an anchor at its head.

    Raises StorageFailed, ConfigError (no journal, or a newer one).
    """
    for attempt in range(TRIES):
        try:
            copied = _copy(source / JOURNAL_FILE, target / JOURNAL_FILE, on_rows)
        except _Moved:
            if attempt == TRIES - 1:
                break
            (target / JOURNAL_FILE).unlink(missing_ok=True)
        else:
            with storage(f"writing {target}"):
                sync_file(target / JOURNAL_FILE)
                create_anchor(target / ANCHOR_FILE, copied.head)
                sync_folder(target)
            return copied
    raise StorageFailed("backup: rows go into the archive while they are copied; try again when that is over")


def _copy(source: Path, target: Path, on_rows: Callable[[int], None]) -> Copied:
    with ExitStack() as stack:
        reader = open_reader(source)
        stack.callback(reader.close)
        with storage(f"writing {target}"):
            writer = apsw.Connection(str(target))
            stack.callback(writer.close)
            return _copy_all(reader, writer, on_rows)


def _copy_all(reader: apsw.Connection, writer: apsw.Connection, on_rows: Callable[[int], None]) -> Copied:
    _like(reader, writer)
    writer.execute("BEGIN")
    with storage("reading"):
        reader.execute("BEGIN")
        try:
            identity = read_identity(reader)
            head = read_head(reader, identity.base)
            _copy_small(reader, writer, head)
            at_ms = _newest_ms(reader, head)
        finally:
            reader.execute("COMMIT")
    _copy_rows(reader, writer, identity.base, head, on_rows)
    for (sql,) in query(reader, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"):
        writer.execute(sql)  # after the rows: that is quicker
    writer.execute("COMMIT")
    schema = int(reader.pragma("user_version"))
    return Copied(identity, head, at_ms, schema, head.sequence - identity.base.sequence)


def _like(reader: apsw.Connection, writer: apsw.Connection) -> None:
    """An empty database of the same make. One file, without a log beside it: it can be read where nobody can write."""
    writer.pragma("auto_vacuum", reader.pragma("auto_vacuum"))
    writer.pragma("journal_mode", "off")  # whatever ends this half way, the file is thrown away
    writer.pragma("synchronous", "off")  # it is synced whole, at the end
    for (sql,) in query(reader, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        writer.execute(sql)
    writer.pragma("application_id", reader.pragma("application_id"))
    writer.pragma("user_version", reader.pragma("user_version"))


def _tables(reader: apsw.Connection) -> list[str]:
    names = query(reader, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return [name for (name,) in names if name not in ROWS]


def _copy_small(reader: apsw.Connection, writer: apsw.Connection, head: Head) -> None:
    for table in _tables(reader):
        where = NOT_AFTER_HEAD.get(table, "")
        values = (head.sequence,) if where else ()
        _insert(writer, table, query(reader, f"SELECT * FROM {table}{where}", values))


def _newest_ms(reader: apsw.Connection, head: Head) -> int:
    for table in ROWS:
        for (at_ms,) in query(reader, f"SELECT at_ms FROM {table} WHERE sequence = ?", (head.sequence,)):
            return int(at_ms)
    return 0


def _copy_rows(
    reader: apsw.Connection, writer: apsw.Connection, base: Head, head: Head, on_rows: Callable[[int], None]
) -> None:
    done = 0
    for first in range(base.sequence + 1, head.sequence + 1, PAGE_ROWS):
        last = min(first + PAGE_ROWS - 1, head.sequence)
        found = 0
        for table in ROWS:
            rows = query(reader, f"SELECT * FROM {table} WHERE sequence BETWEEN ? AND ?", (first, last))
            _insert(writer, table, rows)
            found += len(rows)
        if found != last - first + 1:
            if read_identity(reader).base != base:
                raise _Moved
            raise StorageFailed(f"journal: rows {first} to {last} are not all there; run: posd journal verify")
        done += found
        on_rows(done)


def _insert(writer: apsw.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        writer.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def sync_file(path: Path) -> None:
    """Wait until a file's content is durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
