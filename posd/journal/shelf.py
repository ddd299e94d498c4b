"""The whole chain as one: the segments of the archive, then the rows in the database (D33).

Where one ends and the other begins is the database's own word, read in the same read as its rows: a row that an archive
run has moved and not yet removed is never read twice, and one that it removes in the middle of a reading is never
missed. A segment that is not here is never passed over in silence: who reads is told.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from posd.errors import KeyTrouble, StorageFailed
from posd.journal.connect import query, read_identity, storage
from posd.journal.segment import (
    DIGEST_BYTES,
    Segment,
    file_sum,
    missing,
    open_segment,
    own_row,
    read_catalog,
    request_digest,
    same_segment,
    segment_path,
)

OPEN_MAX = 4
"""Segments that are kept open at one time."""
END = 1 << 62
"""After every sequence."""

_PART = "SELECT digests FROM archived_request WHERE segment = ? AND lowest <= ? ORDER BY segment, lowest DESC LIMIT 1"

Row = tuple[Any, ...]
Wanted = Mapping[str, str | int | None]


class Shelf:
    """Reads over `connection`, of the journal in the folder `journal`, and over its segments. For one thread at a time.

    `not_here`: called with each segment that should have been read and is not there; it may raise.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        journal: Path,
        not_here: Callable[[Segment], None],
        vfs: str | None = None,
    ) -> None:
        self._connection, self._journal, self._vfs = connection, journal, vfs
        self._not_here = not_here
        self._open: dict[str, apsw.Connection] = {}
        self._base = -1
        self._as_written: set[str] = set()
        self.segments: tuple[Segment, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Look again which segments there are. Raises StorageFailed."""
        with _one_read(self._connection):
            self._look()

    def close(self) -> None:
        """Close the segments; the connection is its owner's. Safe to call twice."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def rows(self, select: str, wanted: Wanted, page: int, after: int | None, newest_first: bool) -> Iterator[Row]:
        """Every row that `select` finds and that is as `wanted`, in the order of its first column, the sequence.

        In short reads of at most `page` rows. `after`: only greater sequences; with `newest_first` only smaller ones.
        """
        place: int | None = after if after is not None else END if newest_first else 0
        named = {name: value for name, value in wanted.items() if value is not None}
        while place is not None:
            found, place = self._page(select, named, page, place, newest_first)
            yield from found

    def link(self, sequence: int) -> bytes | None:
        """The link of a row in a segment that is here, else None."""
        segment = self._holding(sequence)
        connection = self._opened(segment) if segment is not None else None
        if connection is None:
            return None
        both = "SELECT link FROM record WHERE sequence = ?1 UNION ALL SELECT link FROM message WHERE sequence = ?1"
        return next((row[0] for row in query(connection, both, (sequence,))), None)

    def ask_about(self, request_id: str, sql: str) -> list[Row]:
        """What `sql` finds of a request in the newest segment that has it.

        Raises KeyTrouble when one that speaks of it is elsewhere: then it may have been sent, or not (D6).
        """
        for segment in reversed(self.segments):
            if not self._speaks_of(segment, request_id):
                continue
            connection = self._opened(segment)
            if connection is None:
                raise KeyTrouble(missing(segment))
            if rows := query(connection, sql, (request_id,)):
                return rows
        return []

    def missing_of(self, request_id: str) -> Segment | None:
        """A segment that has rows of a request and is not here."""
        gone = (one for one in self.segments if not segment_path(self._journal, one).is_file())
        return next((one for one in gone if self._speaks_of(one, request_id)), None)

    def require_as_written(self) -> None:
        """Each segment is here, and is the file that was verified row by row when it was made; looked at once."""
        for segment in self.segments:
            path = segment_path(self._journal, segment)
            if not path.is_file():
                raise StorageFailed(missing(segment))
            if segment.month not in self._as_written and file_sum(path) != segment.file_sum:
                raise StorageFailed(f"journal: {path}: it is not as it was written; run: posd journal verify")
            self._as_written.add(segment.month)

    def highest_request(self, tid: str) -> str:
        """The greatest id `tid/…` in any segment; "": none."""
        return max((segment.highest.get(tid, "") for segment in self.segments), default="")

    def tids(self) -> set[str]:
        """Every terminal that has a record in a segment."""
        return {tid for segment in self.segments for tid in segment.highest}

    # --- one page ------------------------------------------------------------------------------------------------

    def _page(
        self, select: str, named: Wanted, page: int, place: int, newest_first: bool
    ) -> tuple[list[Row], int | None]:
        """Some rows and where to go on; None: that was all."""
        segment = self._holding(place - 1 if newest_first else place + 1)
        if segment is not None:
            rows = self._in_segment(segment, select, named, page, place, newest_first)
            end = segment.first if newest_first else segment.last
            return rows, rows[-1][0] if len(rows) == page else end
        with _one_read(self._connection):
            if self._look():  # an archive run has moved rows meanwhile: they are in a segment now
                return [], place
            lowest, highest = (self._base, place) if newest_first else (max(place, self._base), END)
            rows = _found(self._connection, select, named, page, lowest, highest, newest_first)
        if len(rows) == page:
            return rows, rows[-1][0]
        return rows, self._base + 1 if newest_first and self.segments and place > self._base + 1 else None

    def _in_segment(
        self, segment: Segment, select: str, named: Wanted, page: int, place: int, newest_first: bool
    ) -> list[Row]:
        if (of := named.get("request_id")) is not None and not self._speaks_of(segment, str(of)):
            return []
        if (tid := named.get("tid")) is not None and "FROM record" in select and tid not in segment.highest:
            return []
        connection = self._opened(segment)
        if connection is None:
            self._not_here(segment)
            return []
        lowest, highest = (0, place) if newest_first else (place, END)
        return _found(connection, select, named, page, lowest, highest, newest_first)

    def _holding(self, sequence: int) -> Segment | None:
        return next((one for one in self.segments if one.first <= sequence <= one.last), None)

    # --- what there is -------------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Whether the journal's first row is another one than it was; then also which segments there are."""
        base = read_identity(self._connection).base.sequence
        if base == self._base:
            return False
        self.segments, self._base = read_catalog(self._connection), base
        return True

    def _opened(self, segment: Segment) -> apsw.Connection | None:
        """None: it is not here. Raises StorageFailed: another file is there in its place."""
        if (known := self._open.pop(segment.month, None)) is not None:
            self._open[segment.month] = known  # the youngest in use
            return known
        path = segment_path(self._journal, segment)
        if not path.is_file():
            return None
        connection = open_segment(path, self._vfs)
        try:
            identity, itself = own_row(connection)
            if identity.journal_id != read_identity(self._connection).journal_id or not same_segment(itself, segment):
                raise StorageFailed(f"journal: {path}: not the segment that belongs here; run: posd journal verify")
        except StorageFailed:
            connection.close()
            raise
        self._open[segment.month] = connection
        while len(self._open) > OPEN_MAX:
            self._open.pop(next(iter(self._open))).close()
        return connection

    def _speaks_of(self, segment: Segment, request_id: str) -> bool:
        """By its list of requests, which is here also when the segment is not."""
        digest = request_digest(request_id)
        for (part,) in query(self._connection, _PART, (segment.first, digest)):
            count = len(part) // DIGEST_BYTES
            place = bisect_left(range(count), digest, key=lambda at: part[at * DIGEST_BYTES :][:DIGEST_BYTES])
            return bool(part[place * DIGEST_BYTES :][:DIGEST_BYTES] == digest)
        return False


@contextmanager
def _one_read(connection: apsw.Connection) -> Iterator[None]:
    """One short read: all its statements see the same commit."""
    with storage("reading"):
        connection.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(apsw.Error):  # a failed read may have ended it already
                connection.execute("COMMIT")


def _found(
    connection: apsw.Connection, select: str, named: Wanted, page: int, lowest: int, highest: int, newest_first: bool
) -> list[Row]:
    """Between `lowest` and `highest`, without these."""
    conditions = " AND ".join([*(f"{name} = ?" for name in named), "sequence > ? AND sequence < ?"])
    order = "DESC" if newest_first else "ASC"
    sql = f"{select} WHERE {conditions} ORDER BY sequence {order} LIMIT {page}"
    return query(connection, sql, [*named.values(), lowest, highest])
