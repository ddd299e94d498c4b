"""Checking the archive: each segment is here, is the one that belongs here, and is as it was written (D33, P4).

A file whose checksum is the one in the journal's own, authenticated list is the file that was read back row by row when
it was made; its rows are folded anew all the same, unless fewer were asked for. It must never write, and never take a
segment that is not here for damage when that was said to be meant.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import apsw

from posd.errors import StorageFailed
from posd.journal.chain import Chain, same
from posd.journal.connect import Identity, query, read_link
from posd.journal.finding import Finding
from posd.journal.fold_chain import Fold
from posd.journal.segment import (
    PART_SUFFIX,
    SUFFIX,
    Segment,
    archive_folder,
    file_sum,
    open_segment,
    own_row,
    same_segment,
    segment_path,
)

_PARTS = "SELECT digests FROM archived_request WHERE segment = ? ORDER BY lowest"
_LEFT = "SELECT sequence, link FROM {0} WHERE sequence <= ? ORDER BY sequence LIMIT ?"
LEFT_ROWS_MAX = 1_000_000


class Depth(StrEnum):
    """How closely segments are looked at: each of their rows, their checksums only, or not at all."""

    ROWS = "all"
    SUMS = "sums"
    NONE = "none"


class Seen(StrEnum):
    """What verify has found of a segment."""

    ROWS = "rows"
    """Each row fits the chain."""
    SUM = "sum"
    """Its checksum is right."""
    NOT_CHECKED = "not_checked"
    NOT_HERE = "not_here"
    """And that is meant."""
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Looks:
    """What to look at. `months`: only these segments. `elsewhere`: one that is not here was taken elsewhere."""

    depth: Depth = Depth.ROWS
    months: frozenset[str] = frozenset()
    elsewhere: bool = False

    def depth_of(self, segment: Segment) -> Depth:
        return self.depth if not self.months or segment.month in self.months else Depth.NONE


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment and what was found of it; `rows`: so many were folded."""

    segment: Segment
    seen: Seen
    rows: int
    findings: tuple[Finding, ...] = ()


class ArchiveCheck:
    """Over `connection`, of the journal in `folder`. `on_rows` is told how many rows were folded so far."""

    def __init__(
        self,
        folder: Path,
        connection: apsw.Connection,
        chain: Chain,
        identity: Identity,
        on_rows: Callable[[int], None],
    ) -> None:
        self._folder, self._connection = folder, connection
        self._chain, self._identity = chain, identity
        self._on_rows, self.rows = on_rows, 0

    def segment(self, segment: Segment, looks: Looks) -> SegmentReport:
        """Check one."""
        path, before = segment_path(self._folder, segment), self.rows
        found = list(self._requests(segment))
        seen, depth = Seen.NOT_CHECKED, looks.depth_of(segment)
        if not path.is_file():
            seen = Seen.NOT_HERE
            if not looks.elsewhere:
                what = f"{path.name} is missing: rows {segment.first} to {segment.last}; put it back, or verify with"
                found.append(Finding(None, f"{what} --segments-elsewhere if it was taken away on purpose"))
        elif depth is not Depth.NONE:
            seen = Seen.ROWS if depth is Depth.ROWS else Seen.SUM
            found += self._file(segment, path, depth)
        seen = Seen.DAMAGED if found else seen
        return SegmentReport(segment, seen, self.rows - before, tuple(found))

    def _requests(self, segment: Segment) -> Iterator[Finding]:
        parts = hashlib.sha256()
        for (part,) in query(self._connection, _PARTS, (segment.first,)):
            parts.update(part if isinstance(part, bytes) else b"")
        if parts.digest() != segment.requests_sum:
            yield Finding(None, f"the list of requests of {segment} is damaged")

    def _file(self, segment: Segment, path: Path, depth: Depth) -> Iterator[Finding]:
        try:
            as_written = file_sum(path) == segment.file_sum
            if as_written and depth is Depth.SUMS:
                return
            connection = open_segment(path)
        except StorageFailed as error:
            yield Finding(None, f"{path.name} cannot be read: {error}")
            return
        try:
            if as_written or self._is_the_one(segment, connection):
                yield from self._rows(segment, connection)
            if not as_written:
                yield Finding(None, f"{path.name} is not as it was written{self._why(segment, connection)}")
        except StorageFailed as error:
            yield Finding(None, f"{path.name} cannot be read: {error}")
        finally:
            connection.close()

    def _rows(self, segment: Segment, connection: apsw.Connection) -> Iterator[Finding]:
        before = self.rows
        fold = Fold(connection, self._chain, segment.base, lambda rows: self._on_rows(before + rows))
        yield from fold.findings(segment.last)
        self.rows += fold.rows
        if not same(segment.head_link, fold.link):
            yield Finding(segment.last, "is not where the journal goes on")

    def _is_the_one(self, segment: Segment, connection: apsw.Connection) -> bool:
        identity, itself = own_row(connection)
        ours = identity.journal_id == self._identity.journal_id
        return ours and itself.is_authentic(self._chain) and same_segment(itself, segment)

    def _why(self, segment: Segment, connection: apsw.Connection) -> str:
        identity, itself = own_row(connection)
        if identity.journal_id != self._identity.journal_id:
            return ": it is of another journal"
        if not itself.is_authentic(self._chain):
            return ": what it says of itself was changed"
        return "" if same_segment(itself, segment) else f": it is {itself}"

    # --- what the list does not name -----------------------------------------------------------------------------

    def strangers(self, segments: tuple[Segment, ...]) -> Iterator[Finding | str]:
        """Files that are no segment of this journal; as a text, for what an interrupted run may leave."""
        known = {segment.file_name for segment in segments}
        for path in sorted(archive_folder(self._folder).glob("*")):
            if path.name in known:
                continue
            if path.name.endswith(PART_SUFFIX) or (path.suffix == SUFFIX and self._is_left(path)):
                yield f"{path.name} was left by an interrupted run; it is not needed, the next run removes it"
            else:
                yield Finding(None, f"{path.name} in the archive is no segment of this journal; move it away")

    def _is_left(self, path: Path) -> bool:
        """Named, and not taken over yet: all its rows are in the database."""
        try:
            connection = open_segment(path)
            try:
                identity, itself = own_row(connection)
            finally:
                connection.close()
        except StorageFailed:
            return False
        ours = identity.journal_id == self._identity.journal_id and itself.is_authentic(self._chain)
        behind = itself.first > self._identity.base.sequence
        return ours and behind and same(read_link(self._connection, itself.last), itself.head_link)

    def leftovers(self, links: Callable[[int], bytes | None]) -> Iterator[Finding | str]:
        """Rows that are in a segment and not yet removed: the same ones, else somebody has put them there."""
        count = 0
        for table in ("record", "message"):
            base = self._identity.base.sequence
            for sequence, link in query(self._connection, _LEFT.format(table), (base, LEFT_ROWS_MAX)):
                archived = links(sequence) if sequence > 0 else b""
                if archived is not None and not same(link, archived):
                    yield Finding(None, f"table {table} has a row before the first row of this journal: {sequence}")
                else:
                    count += 1
        if count:
            yield f"{count} rows are in a segment and not yet removed here; the next start goes on with that"
