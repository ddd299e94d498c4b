"""One closed month in a file of its own, below the journal's folder: archive/2026-03.segment (D33).

A segment is a small closed journal: the same tables and indexes, the journal's id, the head before its first row, and
its own row in "segment" with its last link, authenticated by the chain key. So it can be read, and verified, alone. It
is made once and never changed; here it is only read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from posd.errors import StorageFailed
from posd.journal.chain import Chain, same
from posd.journal.connect import READER_CACHE_KIB, Identity, query, read_identity, storage
from posd.journal.contract import Head

ARCHIVE_FOLDER = "archive"
"""Below the journal's folder."""
SUFFIX = ".segment"
PART_SUFFIX = ".part"
"""What is still being written; it is nobody's authority, and the next run removes it."""
APPLICATION_ID = 0x706F7373
"""'poss' in ASCII: a segment is never taken for a journal."""
DIGEST_BYTES = 8

COLUMNS = (
    *("first", "last", "month", "base_link", "head_link", "records", "messages"),
    *("file_bytes", "file_sum", "requests_sum", "terminals", "mac"),
)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM segment ORDER BY first"


@dataclass(frozen=True)
class Segment:
    """What is known of a segment. `file_bytes`, `file_sum`: of the whole file; 0 and empty in the file's own row.

    `requests_sum`: of the parts of its request digests. `terminals`: JSON, terminal -> the greatest of its own ids.
    """

    first: int
    last: int
    month: str
    base_link: bytes
    head_link: bytes
    records: int
    messages: int
    file_bytes: int
    file_sum: bytes
    requests_sum: bytes
    terminals: str
    mac: bytes = b""

    @property
    def base(self) -> Head:
        """The place in the chain before its first row."""
        return Head(self.first - 1, self.base_link)

    @property
    def head(self) -> Head:
        """Its last row."""
        return Head(self.last, self.head_link)

    @property
    def rows(self) -> int:
        return self.last - self.first + 1

    @property
    def file_name(self) -> str:
        return f"{self.month}{SUFFIX}"

    @cached_property
    def highest(self) -> Mapping[str, str]:
        """Terminal -> the greatest request id `TID/…` in it, in the order of text; "": none."""
        return dict(json.loads(self.terminals))

    def values(self) -> tuple[Any, ...]:
        """In the order of COLUMNS."""
        return tuple(getattr(self, name) for name in COLUMNS)

    def sealed(self, chain: Chain) -> "Segment":
        """The same with its MAC."""
        return replace(self, mac=chain.mac(b"posd journal segment\0" + self._said()))

    def is_authentic(self, chain: Chain) -> bool:
        """Whether it was made under this chain key as it is."""
        return same(self.mac, self.sealed(chain).mac)

    def _said(self) -> bytes:
        said = [value.hex() if isinstance(value, bytes) else value for value in self.values()[:-1]]
        return json.dumps(said, separators=(",", ":")).encode()

    def __str__(self) -> str:
        return f"segment {self.month} (rows {self.first} to {self.last})"


def archive_folder(journal: Path) -> Path:
    """Where the segments of the journal in the folder `journal` are."""
    return journal / ARCHIVE_FOLDER


def segment_path(journal: Path, segment: Segment) -> Path:
    """Where this one is, or should be."""
    return archive_folder(journal) / segment.file_name


def read_catalog(connection: apsw.Connection) -> tuple[Segment, ...]:
    """The segments that a journal knows, oldest first; a journal of schema version 1 has none. Raises StorageFailed."""
    with storage("reading the list of segments"):
        if not connection.table_exists("main", "segment"):
            return ()
    return tuple(_segment(row) for row in query(connection, SELECT))


def _segment(row: tuple[Any, ...]) -> Segment:
    try:
        found = Segment(*row)
        if not all(isinstance(tid, str) and isinstance(of, str) for tid, of in found.highest.items()):
            raise ValueError("terminals")
    except (TypeError, ValueError):
        raise StorageFailed("journal: the list of segments is damaged; run: posd journal verify") from None
    return found


def catalog_finding(segments: Iterable[Segment], chain: Chain, identity: Identity) -> str | None:
    """Why these segments are not, without a gap, everything before the journal's first row; None: they are."""
    head = Head(0, chain.genesis(identity.journal_id))
    for segment in segments:
        if not segment.is_authentic(chain):
            return f"the list of segments is damaged at {segment}"
        if segment.base != head:
            return f"the list of segments has a gap: after row {head.sequence} comes {segment}"
        head = segment.head
    if head != identity.base:
        return (
            f"the journal's first row is {identity.base.sequence + 1}, but its list of segments ends at {head.sequence}"
        )
    return None


def open_segment(path: Path, vfs: str | None = None) -> apsw.Connection:
    """A read-only connection. `immutable`, for a file that never changes: also on a read-only disk, without a WAL.

    Raises StorageFailed: it cannot be opened, or is no segment.
    """
    with storage(f"opening {path}"), ExitStack() as undo:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags, vfs=vfs)
        undo.callback(connection.close)
        connection.pragma("cache_size", -READER_CACHE_KIB)
        connection.pragma("cell_size_check", True)
        if connection.pragma("application_id") != APPLICATION_ID:
            raise StorageFailed(f"journal: {path}: this is no segment of a journal")
        undo.pop_all()
    return connection


def own_row(connection: apsw.Connection) -> tuple[Identity, Segment]:
    """What a segment's file says of itself. Raises StorageFailed."""
    rows = query(connection, SELECT)
    if len(rows) != 1:
        raise StorageFailed("journal: a segment's own row is missing")
    return read_identity(connection), _segment(rows[0])


def same_segment(one: Segment, other: Segment) -> bool:
    """Whether both speak of the same rows; one may be a file's own row."""
    return (one.month, one.base, one.head) == (other.month, other.base, other.head)


def missing(segment: Segment) -> str:
    """What a person is told who needs a segment that is not here."""
    return (
        f"journal: rows {segment.first} to {segment.last} are in {segment.file_name}, which is not here:"
        f" put it back into the journal's folder {ARCHIVE_FOLDER}/, then ask again"
    )


def file_sum(path: Path) -> bytes:
    """SHA-256 of the file. Raises StorageFailed."""
    with storage(f"reading {path}"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def request_digest(request_id: str) -> bytes:
    """What a segment's list of requests holds of one."""
    return hashlib.sha256(request_id.encode()).digest()[:DIGEST_BYTES]


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment and where it is: what a backup copies. `is_here` is false for one that was taken elsewhere."""

    segment: Segment
    path: Path
    is_here: bool


def placed(journal: Path, connection: apsw.Connection) -> list[Placed]:
    """The segments that the journal knows, oldest first. Raises StorageFailed."""
    paths = [(segment, segment_path(journal, segment)) for segment in read_catalog(connection)]
    return [Placed(segment, path, path.is_file()) for segment, path in paths]
