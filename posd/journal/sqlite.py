"""The journal on a real disk: SQLite in WAL mode with synchronous=FULL, one fdatasync for each commit.

Any error while writing means that it is unknown whether the rows are durable (a failed commit may be): the
store is dead from then on, and only a new start, which reads what is there, may go on (P3). It must never
retry, and never touch a row that was written.
"""

import errno
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import apsw

from posd.errors import StorageFailed
from posd.journal.anchor import Anchor
from posd.journal.chain import LINK_BYTES, MESSAGE_COLUMNS, RECORD_COLUMNS, Chain
from posd.journal.connect import GIVES_ROOM_BACK, Identity, query, read_head, read_link, storage_failed
from posd.journal.contract import Head, Replay, Row, Sealed, Snapshot, StoredRecord
from posd.journal.lock import Lock
from posd.journal.packing import pack_state, unpack_state
from posd.journal.room import Ballast
from posd.journal.segment import Segment, catalog_finding, missing
from posd.journal.shelf import Shelf
from posd.journal.stamp import Stamp, Stamped
from posd.journal.verify import SNAPSHOT, TIDS, anchor_finding, first_finding, snapshot_fits

WAL_CHECKPOINT_PAGES = 1000
"""Pages of 4 KiB in the write-ahead log after which it is copied into the database: about 4 MB."""
REPLAY_ROWS = 1000
"""Records of one short read during replay."""

INSERT_ROWS_MAX = 32
"""Rows of one INSERT. Each statement gives up the interpreter's lock once and then waits for a busy loop."""

_REPLAY = "SELECT sequence, tid, kind, version, at_ms, payload FROM record"
_SECRET = (
    "SELECT tid, sequence, key_id, nonce, sealed FROM record"
    " WHERE request_id = ? AND sealed IS NOT NULL ORDER BY sequence DESC LIMIT 1"
)
_HIGHEST_REQUEST = "SELECT max(request_id) FROM record WHERE request_id >= ?1 || '/' AND request_id < ?1 || '0'"
"""One look into the index: '0' follows '/'."""


@cache
def _insertion(table: str, columns: int, rows: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join([one] * rows)}"


T = TypeVar("T")


def _refuse_without(segment: Segment) -> NoReturn:
    raise StorageFailed(missing(segment))


class SqliteStore:
    """Implements Store; made by open_store. Reads may come from another thread than writes."""

    def __init__(
        self,
        *,
        writer: apsw.Connection,
        reader: apsw.Connection,
        identity: Identity,
        folder: Path,
        vfs: str | None,
        free_bytes_min: int,
        anchor: Anchor,
        lock: Lock,
        ballast: Ballast,
        chain: Chain,
        stamp: Stamp,
    ) -> None:
        self._writer, self._reader, self._reading = writer, reader, threading.Lock()
        self._anchor, self._lock, self._ballast = anchor, lock, ballast
        self._chain, self._stamp, self._identity = chain, stamp, identity
        self.folder, self.vfs, self.free_bytes_min = folder, vfs, free_bytes_min
        self._shelf = Shelf(reader, folder, _refuse_without, vfs)
        self._head = read_head(reader, identity.base)
        self._verified_after = self._head.sequence
        self.rows_verified = 0
        """Rows whose link was computed anew since the journal was opened."""
        self.can_give_back: bool = reader.pragma("auto_vacuum") == GIVES_ROOM_BACK
        """Whether free pages can be given back in small steps: journals that schema version 1 made cannot."""
        self.upgraded_from = 0
        """The schema version that the journal had before it was opened; 0: the newest, or it was made now."""
        self.on_progress: Callable[[], None] = lambda: None
        """Called now and then while many rows are verified or replayed: a long start is not a start that hangs."""
        self._dead: str | None = None
        self._closed = False
        self._wal_pages, self._checkpoint_at = 0, WAL_CHECKPOINT_PAGES
        writer.set_wal_hook(self._committed)

    @property
    def chain(self) -> Chain:
        """Computes this journal's links."""
        return self._chain

    @property
    def identity(self) -> Identity:
        """Which journal this is, and where it begins."""
        return self._identity

    @property
    def base(self) -> Head:
        """The place in the chain before the first row of the database: the end of the archive (D33)."""
        return self._identity.base

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What was archived, oldest first."""
        return self._shelf.segments

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One short read. Raises StorageFailed."""
        with self._reading:
            return query(self._reader, sql, values)

    def link(self, sequence: int) -> object:
        """The stored link of a row of the database; None: it has no such row. Raises StorageFailed."""
        with self._reading:
            return read_link(self._reader, sequence)

    # -- opening ---------------------------------------------------------------------------------------------

    def check_tail(self) -> None:
        """Compare with the anchor and verify the chain from the anchor's row to the head. Raises StorageFailed."""
        anchored = self._anchor.reading.head
        why = catalog_finding(self._shelf.segments, self._chain, self._identity)
        why = why or anchor_finding(self._reader, self.base, self._head, anchored, self._shelf)
        if why is not None:
            raise StorageFailed(f"journal: {why}")
        self._require_verified(max(anchored.sequence - 1, self.base.sequence))
        # a killed predecessor's last rows may be in the page cache only: copy them into the database, durably,
        # before anything is built on them and before the anchor names them
        if self._checkpoint():
            self._write_anchor()

    def _require_verified(self, after: int) -> None:
        """Every row after `after` fits the chain. Each row is read once in a run."""
        if after < self.base.sequence:
            self._shelf.require_as_written()
            after = self.base.sequence
        if after >= self._verified_after:
            return
        link = self.base.link if after == self.base.sequence else read_link(self._reader, after)
        if not isinstance(link, bytes) or len(link) != LINK_BYTES:
            raise StorageFailed(f"journal: row {after}: missing or damaged; run: posd journal verify")
        start, last = Head(after, link), self._verified_after
        finding = first_finding(self._reader, self._chain, start, last, self._made_progress)
        if finding is not None:
            raise StorageFailed(f"journal: {finding}; run: posd journal verify")
        self.rows_verified += self._verified_after - after
        self._verified_after = after

    # -- writing, by one thread ------------------------------------------------------------------------------

    def write(self, groups: Sequence[Sequence[Row]]) -> int:
        self._refuse_if_dead()
        if not any(groups):
            return self._head.sequence
        stamped = self._stamped(groups)
        step = "begin"
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            step = "insert"
            self._insert("record", len(RECORD_COLUMNS) + 1, stamped.records)
            self._insert("message", len(MESSAGE_COLUMNS) + 1, stamped.messages)
            step = "commit"
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._die(step, error)
        self._head = stamped.head
        self._write_anchor()  # D31: only after the commit returned
        return stamped.head.sequence

    def _stamped(self, groups: Sequence[Sequence[Row]]) -> Stamped:
        try:
            return self._stamp.rows(groups, self._head)
        except StorageFailed as failure:  # a data key that cannot be kept: nothing may follow what was not written
            self._end(failure, failure.__cause__)

    def _insert(self, table: str, columns: int, rows: Sequence[Sequence[Any]]) -> None:
        """In statements of 32, 16, 8 … rows, so that all of them stay prepared."""
        done = 0
        while done < len(rows):
            count = min(INSERT_ROWS_MAX, 1 << (len(rows) - done).bit_length() - 1)
            values = tuple(itertools.chain.from_iterable(rows[done : done + count]))
            self._writer.execute(_insertion(table, columns, count), values)
            done += count

    def _write_anchor(self) -> None:
        try:
            self._anchor.write(self._head)
        except OSError as error:
            self._die("anchor", error)

    def save_snapshot(self, tid: str, sequence: int, fold_version: int, state: str) -> None:
        self.save_snapshots([Snapshot(tid, sequence, fold_version, state)])

    def save_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        self._refuse_if_dead()
        packed = [snapshot._replace(state=pack_state(snapshot.state)) for snapshot in snapshots]
        rows = [(*snapshot, self._snapshot_mac(snapshot)) for snapshot in packed]
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)", rows)
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._die("snapshot", error)

    def _snapshot_mac(self, snapshot: Snapshot) -> bytes:
        sequence = snapshot.sequence
        link = self.base.link if sequence == self.base.sequence else read_link(self._writer, sequence)
        if not isinstance(link, bytes):
            raise ValueError(f"there is no row {sequence} to take a snapshot after")
        return self._chain.snapshot(*snapshot, link)

    # -- the archive's part (archive.py), in the same thread ------------------------------------------------------

    def change(self, step: str, work: Callable[[apsw.Connection], T]) -> T:
        """Do `work` in one transaction, which must be short: sales wait for it. Raises StorageFailed."""
        self._refuse_if_dead()
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            result = work(self._writer)
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._die(step, error)
        return result

    def give_back(self, pages: int) -> None:
        """Free pages of the database go back to the file system: so many, which must be few. Raises StorageFailed."""
        self._refuse_if_dead()
        try:
            self._writer.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        except apsw.Error as error:
            self._die("giving room back", error)

    def rewrite(self) -> None:
        """Write the database anew without its free pages, so that later ones can be given back in small steps.

        It takes seconds, and room for a second copy: only where nobody waits. Raises StorageFailed.
        """
        self._refuse_if_dead()
        try:
            self._writer.pragma("auto_vacuum", GIVES_ROOM_BACK)
            self._writer.execute("VACUUM")
            self.can_give_back = True
        except apsw.Error as error:
            self._die("rewriting", error)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database now: then its file has its true size. Raises StorageFailed."""
        self._refuse_if_dead()
        self._checkpoint()

    def begin_after(self, head: Head, key_check: bytes) -> None:
        """The journal's own row says now that the rows up to `head` are in a segment."""
        with self._reading:
            self._identity = replace(self._identity, base=head, key_check=key_check)
            self._shelf.reload()

    def upkeep(self) -> None:
        self._refuse_if_dead()
        if self._wal_pages >= self._checkpoint_at:
            self._checkpoint()

    def sync_anchor(self) -> None:
        self._refuse_if_dead()
        try:
            self._anchor.sync()
        except OSError as error:
            self._die("anchor sync", error)
        with suppress(OSError):  # D32; no part of the record, so the next turn tries it again
            self._ballast.ensure(self.free_bytes_min)

    def _committed(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """SQLite's WAL hook: how long the log is now. A shorter one has begun anew."""
        if pages < self._wal_pages:
            self._checkpoint_at = WAL_CHECKPOINT_PAGES
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> bool:
        """Copy the log into the database, both durable; whether all of it was copied.

        A reader in the middle of a read leaves a rest, which the next turn takes: never a reason to wait.
        """
        self._checkpoint_at = self._wal_pages + WAL_CHECKPOINT_PAGES
        try:
            pages, copied = self._writer.wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._anchor.sync()
        except apsw.BusyError:
            return False
        except (apsw.Error, OSError) as error:
            self._die("checkpoint", error)
        return pages == copied

    def _refuse_if_dead(self) -> None:
        if self._dead is not None:
            raise StorageFailed(self._dead)

    def _die(self, step: str, error: apsw.Error | OSError) -> NoReturn:
        self._end(storage_failed(step, error), error)

    def _end(self, failure: StorageFailed, error: BaseException | None) -> NoReturn:
        if isinstance(error, apsw.FullError) or getattr(error, "errno", None) == errno.ENOSPC:
            self._ballast.release()  # D32: so that the next start has room for what is owed
        self._dead = str(failure)
        raise failure from error

    # -- reading ---------------------------------------------------------------------------------------------

    def head(self) -> Head:
        return self._head

    def tids(self) -> list[str]:
        with self._reading:
            return sorted({row[0] for row in query(self._reader, TIDS)} | self._shelf.tids())

    def replay(self, tid: str, fold_version: int) -> Replay:
        with self._reading:
            archived = tid in self._shelf.tids()
            sequence, state = 0 if archived else self.base.sequence, None
            for row in query(self._reader, SNAPSHOT, (tid, fold_version)):
                if snapshot_fits(self._reader, self._chain, self.base, self._head, row):
                    sequence, state = row[1], unpack_state(row[3])
            self._require_verified(sequence)
        return Replay(state, sequence, self._records_after(tid, sequence))

    def _made_progress(self, rows: int) -> None:
        if rows >= REPLAY_ROWS:  # what is quick needs no word
            self.on_progress()

    def _records_after(self, tid: str, sequence: int) -> Iterator[StoredRecord]:
        rows = self._shelf.rows(_REPLAY, {"tid": tid}, REPLAY_ROWS, sequence, False)
        while True:
            with self._reading:  # one page
                page = list(itertools.islice(rows, REPLAY_ROWS))
            self._made_progress(len(page))
            for row in page:
                yield StoredRecord(*row)
            if len(page) < REPLAY_ROWS:
                return

    def secret(self, request_id: str) -> bytes | None:
        with self._reading:
            rows = query(self._reader, _SECRET, (request_id,)) or self._shelf.ask_about(request_id, _SECRET)
        for tid, sequence, key_id, nonce, sealed in rows:
            return self._stamp.open(tid, sequence, Sealed(key_id, nonce, sealed))
        return None

    def highest_request(self, tid: str) -> str:
        with self._reading:
            here = query(self._reader, _HIGHEST_REQUEST, (tid,))[0][0] or ""
            return max(here, self._shelf.highest_request(tid))

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._dead is None:
                self._checkpoint()
                self._dead = "journal: it is closed"
        finally:
            self._anchor.close()
            self._shelf.close()
            self._reader.close()
            self._writer.close()
            self._lock.release()
