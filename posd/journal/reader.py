"""Reading the journal beside a running daemon, or when it is down: for `posd journal show` and `export`, for status.

Read-only, in short reads that hold nothing back (D30); what it shows was masked before it was written. Rows that an
archive run has moved are read from their segments (D33). It opens no sealed text, and checks no row against the chain:
that is verify's work.
"""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from posd.errors import ConfigError, StorageFailed
from posd.journal.chain import MESSAGE_COLUMNS, RECORD_COLUMNS, Chain
from posd.journal.connect import JOURNAL_FILE, open_reader, query, read_head, read_identity
from posd.journal.contract import MessageView, RecordView
from posd.journal.packing import unpack_state
from posd.journal.segment import Placed, Segment, missing, placed
from posd.journal.shelf import Shelf
from posd.journal.verify import SNAPSHOT, TIDS, snapshot_fits

PAGE_ROWS = 500
"""Rows of one short read."""

_RECORDS = f"SELECT {', '.join(RECORD_COLUMNS)} FROM record"
_MESSAGES = f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM message"


READERS = "only root and posd's own user may read it; ask as one of them"


class JournalReader:
    """`path`: the journal's folder, or its file. Raises ConfigError: no journal, not ours, or a newer one.

    Filters are joined by AND; None means any. `after`: only rows with a larger sequence; `limit`: at most so
    many rows. Rows come in sequence order; with `newest_first` in the opposite one, and `after` then means
    *before*: only rows with a smaller sequence. Every method raises StorageFailed when the file cannot be read.
    `not_here`: the segments that had rows to look through and are not where they belong.
    """

    def __init__(self, path: Path) -> None:
        try:
            file = path / JOURNAL_FILE if path.is_dir() else path
            self._connection, self._folder = open_reader(file), file.parent
        except PermissionError:
            raise ConfigError(f"journal: {path}: {READERS}") from None
        self.not_here: list[Segment] = []
        try:
            self._shelf = Shelf(self._connection, file.parent, self._miss)
        except StorageFailed:
            self._connection.close()
            raise

    def _miss(self, segment: Segment) -> None:
        if segment not in self.not_here:
            self.not_here.append(segment)

    def require_whole(self) -> None:
        """Raises StorageFailed when a segment that was needed is not here: what was read is then not everything."""
        for segment in self.not_here:
            raise StorageFailed(missing(segment))

    def records(
        self,
        *,
        tid: str | None = None,
        request_id: str | None = None,
        stan: int | None = None,
        rrn: str | None = None,
        batch: int | None = None,
        kind: str | None = None,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[RecordView]:
        """The records that fit."""
        wanted = {"tid": tid, "request_id": request_id, "stan": stan, "rrn": rrn, "batch": batch, "kind": kind}
        for row in self._pages(_RECORDS, wanted, limit, after, newest_first):
            yield RecordView.of(row)

    def messages(
        self,
        *,
        tid: str | None = None,
        request_id: str | None = None,
        stan: int | None = None,
        rrn: str | None = None,
        batch: int | None = None,
        mti: str | None = None,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[MessageView]:
        """The messages that fit."""
        wanted = {"tid": tid, "request_id": request_id, "stan": stan, "rrn": rrn, "batch": batch, "mti": mti}
        for row in self._pages(_MESSAGES, wanted, limit, after, newest_first):
            yield MessageView.of(row)

    def require_all_of(self, request_id: str) -> None:
        """Raises StorageFailed when a segment has rows of this request and is not here."""
        if (segment := self._shelf.missing_of(request_id)) is not None:
            raise StorageFailed(missing(segment))

    def archived(self) -> list[Placed]:
        """The segments of the archive and where they are, oldest first."""
        return placed(self._folder, self._connection)

    def tids(self) -> list[str]:
        """Every terminal that has a record, and the station."""
        return sorted({row[0] for row in query(self._connection, TIDS)} | self._shelf.tids())

    def snapshot(self, tid: str, fold_version: int, chain: Chain) -> tuple[int, str] | None:
        """The newest snapshot of a terminal: the row that it was taken after, and the state's JSON.

        None: there is none of this fold version, or it is not authentic or not of this chain (D33).
        """
        rows = query(self._connection, SNAPSHOT, (tid, fold_version))
        identity = read_identity(self._connection)
        head = read_head(self._connection, identity.base)
        if not rows or not snapshot_fits(self._connection, chain, identity.base, head, rows[0]):
            return None
        return rows[0][1], unpack_state(rows[0][3])

    def merged(
        self,
        *,
        tid: str | None = None,
        request_id: str | None = None,
        stan: int | None = None,
        rrn: str | None = None,
        batch: int | None = None,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[RecordView | MessageView]:
        """Records and messages in one sequence."""
        wanted = {"tid": tid, "request_id": request_id, "stan": stan, "rrn": rrn, "batch": batch}
        records: Iterator[RecordView | MessageView] = map(
            RecordView.of, self._pages(_RECORDS, wanted, limit, after, newest_first)
        )
        messages: Iterator[RecordView | MessageView] = map(
            MessageView.of, self._pages(_MESSAGES, wanted, limit, after, newest_first)
        )
        rows = merge(records, messages, key=lambda row: row.sequence, reverse=newest_first)
        for count, row in enumerate(rows):
            if limit is not None and count >= limit:
                return
            yield row

    def close(self) -> None:
        """Safe to call twice."""
        self._shelf.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pages(
        self, select: str, wanted: dict[str, str | int | None], limit: int | None, after: int | None, newest_first: bool
    ) -> Iterator[tuple[Any, ...]]:
        page = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit)
        return islice(self._shelf.rows(select, wanted, page, after, newest_first), limit) if page else iter(())
