"""Making one segment: copy, make durable, read back, name (D33). The journal itself is only read here.

Nothing of the journal may be removed before `check` has read every row again from the finished file and found the same
chain from the row before to the row after. Until `name` the file is nobody's, and until the store's `take_over` the
rows in the database are the authority: whatever goes wrong before, the file is only in the way of nobody.
"""

import hashlib
import json
import os
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import apsw

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import sync_folder
from posd.journal.chain import same
from posd.journal.connect import BUSY_MS, JOURNAL_FILE, Identity, query, read_link, storage
from posd.journal.fold_chain import Fold
from posd.journal.room import free_bytes
from posd.journal.schema import make_tables
from posd.journal.segment import (
    APPLICATION_ID,
    PART_SUFFIX,
    SUFFIX,
    Segment,
    archive_folder,
    file_sum,
    open_segment,
    own_row,
    request_digest,
)
from posd.journal.sqlite import SqliteStore
from posd.journal.verify import TIDS

COPY_ROWS = 1000
"""Rows that are copied, or read back, at one time: some milliseconds in which others wait for the interpreter."""
FOLDER_MODE, FILE_MODE, FINISHED_MODE = 0o750, 0o640, 0o440
TABLES = ("record", "message")
ROOM_FACTOR = 1.25
"""A segment is about as large as its rows were in the database; this much more has to be free."""

_NAMED = (
    "SELECT request_id FROM {0}record WHERE sequence BETWEEN ?1 AND ?2 AND request_id IS NOT NULL UNION"
    " SELECT request_id FROM {0}message WHERE sequence BETWEEN ?1 AND ?2 AND request_id IS NOT NULL"
)
_HIGHEST = "SELECT max(request_id) FROM record WHERE request_id >= ?1 || '/' AND request_id < ?1 || '0'"


class Making:
    """The segment of `month`, of the rows after the journal's base up to `last`. Every method raises StorageFailed."""

    def __init__(self, store: SqliteStore, month: str, last: int) -> None:
        self._store, self._vfs = store, store.vfs
        self._month, self._last = month, last
        self._base = store.base
        self._folder = archive_folder(store.folder)
        self.path = self._folder / f"{month}{SUFFIX}"
        self._part = self._folder / f"{month}{SUFFIX}{PART_SUFFIX}"
        self._connection: apsw.Connection | None = None
        self._fold: Fold | None = None
        self.digests = b""
        """Of every request that is spoken of, sorted: what stays in the journal (D6)."""
        self.segment: Segment | None = None
        """What the journal will know of it."""

    @property
    def first(self) -> int:
        return self._base.sequence + 1

    def close(self) -> None:
        """Let go of what is open; what is not finished stays for the next run to remove. Safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- copying -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """An empty segment. Raises ConfigError: something is in its place, or there is no room for it."""
        self._require_place()
        self._require_room()
        with storage(f"making {self._part}"), ExitStack() as undo:
            self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self._part.unlink(missing_ok=True)
            os.close(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
            _give_to_owner(self._store.folder, self._folder, self._part)
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
            connection = apsw.Connection(f"file:{quote(str(self._part))}", flags=flags, vfs=self._vfs)
            undo.callback(connection.close)
            connection.set_busy_timeout(BUSY_MS)
            connection.pragma("journal_mode", "off")  # whatever is not finished is thrown away
            connection.pragma("synchronous", "off")
            connection.pragma("application_id", APPLICATION_ID)
            identity = self._store.identity
            check = self._store.chain.key_check(identity.journal_id, *self._base)
            make_tables(connection, Identity(identity.journal_id, self._base, check))
            live = f"file:{quote(str(self._store.folder / JOURNAL_FILE))}?mode=ro"
            connection.execute("ATTACH ? AS live", (live,))
            connection.execute("CREATE TEMP TABLE named (digest BLOB PRIMARY KEY) WITHOUT ROWID")
            undo.pop_all()
        self._connection = connection

    def _require_place(self) -> None:
        """A file that an interrupted run has left is replaced, if all its rows are still in the journal."""
        if not self.path.exists():
            return
        try:
            connection = open_segment(self.path, self._vfs)
            try:
                identity, itself = own_row(connection)
            finally:
                connection.close()
            ours = identity.journal_id == self._store.identity.journal_id and itself.is_authentic(self._store.chain)
        except StorageFailed:
            ours = False
        if not ours or itself.first < self.first or not same(self._store.link(itself.last), itself.head_link):
            raise ConfigError(
                f"journal: {self.path}: this journal does not know that file; move it away, then try again"
            )

    def _require_room(self) -> None:
        with storage("looking for room"):
            size = (self._store.folder / JOURNAL_FILE).stat().st_size
            rows = max(1, self._store.head().sequence - self._base.sequence)
            needed = round(size * (self._last - self._base.sequence) / rows * ROOM_FACTOR)
            free = free_bytes(self._store.folder)
        if free < needed + self._store.free_bytes_min:
            raise ConfigError(
                f"journal: {self._folder}: {needed >> 20} MB are needed for {self._month}, {free >> 20} MB are free;"
                " make room, then try again"
            )

    def copy(self, first: int, last: int) -> None:
        """Some rows, in one short read of the journal."""
        connection = self._open()
        with storage(f"writing {self._part}"):
            connection.execute("BEGIN")
            for table in TABLES:
                rows = f"SELECT * FROM live.{table} WHERE sequence BETWEEN ? AND ?"
                connection.execute(f"INSERT INTO main.{table} {rows}", (first, last))
            connection.execute("COMMIT")
        note_requests(connection, first, last)

    def finish(self) -> None:
        """Its own row, and durable."""
        connection = self._open()
        self.digests = noted_requests(connection)
        link = read_link(connection, self._last)
        if not isinstance(link, bytes):
            raise StorageFailed(f"journal: row {self._last} is missing: run: posd journal verify")
        records, messages = (query(connection, f"SELECT count(*) FROM main.{table}")[0][0] for table in TABLES)
        itself = Segment(
            first=self.first,
            last=self._last,
            month=self._month,
            base_link=self._base.link,
            head_link=link,
            records=records,
            messages=messages,
            file_bytes=0,
            file_sum=b"",
            requests_sum=hashlib.sha256(self.digests).digest(),
            terminals=highest_requests(connection),
        ).sealed(self._store.chain)
        with storage(f"writing {self._part}"):
            connection.execute("DETACH live")
            connection.pragma("synchronous", "full")
            marks = ", ".join("?" * len(itself.values()))
            connection.execute(f"INSERT INTO main.segment VALUES ({marks})", itself.values())
            self.close()
            _make_durable(self._part)
        self.segment = itself

    # --- checking ------------------------------------------------------------------------------------------------

    def begin_check(self) -> None:
        """From here on only what is in the file counts."""
        self._connection = open_segment(self._part, self._vfs)
        identity, itself = own_row(self._connection)
        if self.segment is None or itself != self.segment or identity.journal_id != self._store.identity.journal_id:
            raise StorageFailed(f"journal: {self._part}: it does not read as it was written")
        self._fold = Fold(self._connection, self._store.chain, self._base)

    def check(self, last: int) -> None:
        """The rows up to and with `last` are the ones of the chain."""
        assert self._fold is not None
        for finding in self._fold.findings(last):
            raise StorageFailed(f"journal: nothing was moved: {finding}; run: posd journal verify")

    def end_check(self) -> None:
        """It ends where the journal goes on."""
        assert self._fold is not None
        expected = self._store.link(self._last)
        rows = self._last - self._base.sequence
        if self._fold.rows != rows or not same(expected, self._fold.link):
            raise StorageFailed(f"journal: {self._part}: it does not end as the journal goes on; nothing was moved")
        broken = [line for (line,) in query(self._open(), "PRAGMA integrity_check(1)") if line != "ok"]
        if broken:
            raise StorageFailed(f"journal: {self._part}: SQLite: {broken[0].splitlines()[-1]}; nothing was moved")
        self.close()

    def name(self) -> Segment:
        """Give the file its name, durably. What the journal has to know of it."""
        assert self.segment is not None
        with storage(f"naming {self.path}"):
            os.chmod(self._part, FINISHED_MODE)
            os.rename(self._part, self.path)
            sync_folder(self._folder)
            sync_folder(self._store.folder)
            size = self.path.stat().st_size
        of_file = replace(self.segment, file_bytes=size, file_sum=file_sum(self.path))
        self.segment = of_file.sealed(self._store.chain)
        return self.segment

    def _open(self) -> apsw.Connection:
        assert self._connection is not None
        return self._connection


def _give_to_owner(of: Path, *paths: Path) -> None:
    """What root makes beside a stopped daemon belongs to the daemon's user. Raises OSError."""
    owner = of.stat()
    for path in paths:
        if os.geteuid() == 0 and path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)


def _make_durable(path: Path) -> None:
    """And let the kernel forget it, so that reading it back reads the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def note_requests(connection: apsw.Connection, first: int, last: int) -> None:
    """Note the digests of the requests that these rows name, in a temporary table."""
    digests = [(request_digest(of),) for (of,) in query(connection, _NAMED.format("main."), (first, last))]
    with storage("noting requests"):
        connection.executemany("INSERT OR IGNORE INTO temp.named VALUES (?)", digests)


def noted_requests(connection: apsw.Connection) -> bytes:
    """All of them, sorted, each once."""
    return b"".join(digest for (digest,) in query(connection, "SELECT digest FROM temp.named ORDER BY digest"))


def highest_requests(connection: apsw.Connection) -> str:
    """JSON: every terminal with a record here, and the greatest of its own request ids."""
    tids = [tid for (tid,) in query(connection, TIDS)]
    highest = {tid: query(connection, _HIGHEST, (tid,))[0][0] or "" for tid in tids}
    return json.dumps(highest, separators=(",", ":"), sort_keys=True)
