"""Folding the chain anew: finds every lost, changed, added or moved row, and a head that is not the anchor's.

It reads what is stored and computes; it parses no payload, so that a million rows take seconds. It must never
write, and never accept a row because its neighbours look well.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, AnchorReading, read_anchor
from posd.journal.chain import MESSAGE_COLUMNS, RECORD_COLUMNS, WRONG_TYPE, Chain, same
from posd.journal.connect import (
    JOURNAL_FILE,
    Identity,
    open_reader,
    query,
    read_head,
    read_identity,
    read_link,
    rows_lost,
    storage_failed,
)
from posd.journal.contract import Head

BLOCK_ROWS = 2000
"""Rows of one short read (D30)."""
FINDINGS_MAX = 1000
"""Findings that a report names; after that it stops and says so."""
KEY_PROBE_ROWS = 8
"""Rows looked at to tell a wrong machine key from damage."""

CHANGED = "does not fit the chain: changed, moved or added"

_RECORDS = f"SELECT {', '.join(RECORD_COLUMNS)}, link FROM record WHERE sequence BETWEEN ? AND ?"
_MESSAGES = f"SELECT {', '.join(MESSAGE_COLUMNS)}, link FROM message WHERE sequence BETWEEN ? AND ?"

SNAPSHOT = "SELECT tid, sequence, fold_version, state, mac FROM snapshot WHERE tid = ? AND fold_version = ?"

TIDS = (  # hops from one terminal to the next in the index, instead of reading all of it
    "WITH RECURSIVE hop(tid) AS (SELECT min(tid) FROM record UNION ALL"
    " SELECT (SELECT min(tid) FROM record WHERE tid > hop.tid) FROM hop WHERE hop.tid IS NOT NULL)"
    " SELECT tid FROM hop WHERE tid IS NOT NULL"
)

_SEQUENCE = itemgetter(0)

_Slot = tuple[bool, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written. `sequence`: the row, None when it is no single row."""

    sequence: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.sequence is None else f"row {self.sequence}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` were read up to `head`; `anchor_sequence` is None when the anchor could not be read."""

    rows: int
    head: Head
    anchor_sequence: int | None
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        return not self.findings


class Fold:
    """Walks the chain from `start` (a row whose link is trusted). `rows`, `link`: read so far, the last link."""

    def __init__(
        self,
        connection: apsw.Connection,
        chain: Chain,
        start: Head,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._on_rows = on_rows
        self._connection, self._chain = connection, chain
        self._sequence, self.link, self.rows = start.sequence, start.link, 0
        self._stored: object = start.link

    def findings(self, last: int) -> Iterator[Finding]:
        """What is wrong up to and with row `last`."""
        for first in range(self._sequence + 1, last + 1, BLOCK_ROWS):
            yield from self._block(first, min(first + BLOCK_ROWS - 1, last))
            self._on_rows(self.rows)

    def _block(self, first: int, last: int) -> Iterator[Finding]:
        try:
            records = self._connection.execute(_RECORDS, (first, last)).fetchall()
            messages = self._connection.execute(_MESSAGES, (first, last)).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            if first == last:
                self._stored, self.link = None, b""
                yield Finding(first, f"cannot be read: {storage_failed('reading', error)}")
                return
            middle = (first + last) // 2
            yield from self._block(first, middle)
            yield from self._block(middle + 1, last)
            return
        if not self._fits_whole(first, last, records, messages):
            yield from self._walk(first, last, records, messages)

    def _fits_whole(self, first: int, last: int, records: list[Any], messages: list[Any]) -> bool:
        """Whether the block is without any fault, which is quicker to see than which. If not, nothing has changed."""
        if self._stored != self.link or len(records) + len(messages) != last - first + 1:
            return False
        columns_of_a_record = len(RECORD_COLUMNS)
        link, of_record, of_message = self.link, self._chain.record, self._chain.message
        rows = sorted(records + messages, key=_SEQUENCE)
        try:
            for sequence, row in enumerate(rows, first):
                columns = row[:-1]
                link = (of_record if len(columns) == columns_of_a_record else of_message)(link, columns)
                if link != row[-1] or row[0] != sequence:
                    return False
        except WRONG_TYPE:
            return False
        self._stored = self.link = link
        self.rows += len(rows)
        return True

    def _walk(self, first: int, last: int, records: list[Any], messages: list[Any]) -> Iterator[Finding]:
        slots: list[_Slot | None] = [None] * (last - first + 1)
        for is_record, rows in ((True, records), (False, messages)):
            for row in rows:
                place = row[0] - first
                if not 0 <= place < len(slots) or slots[place] is not None:
                    yield Finding(row[0], "found twice or out of its place")
                else:
                    slots[place] = (is_record, row)
        for sequence, slot in enumerate(slots, first):
            if slot is None:
                self._stored, self.link = None, b""
                yield Finding(sequence, "missing")
                continue
            after_gap = self._stored is None
            if not self._fits(*slot):
                yield Finding(sequence, "cannot be judged: the row before is lost" if after_gap else CHANGED)

    def _fits(self, is_record: bool, row: tuple[Any, ...]) -> bool:
        """Whether the row's link follows from the row before, be it the computed or the stored link of that one.

        The second is tried so that one changed row gives one finding, not one for each row after it.
        """
        self.rows += 1
        columns, stored = row[:-1], row[-1]
        before = self._stored
        compute = self._chain.record if is_record else self._chain.message
        try:
            link = compute(self.link, columns)
            if link != stored and isinstance(before, bytes) and before != self.link:
                link = compute(before, columns)
        except WRONG_TYPE:
            link = b""
        self._stored = stored
        if link == stored:
            self.link = link
            return True
        # after a gap the row cannot be judged by what came before: go on from what it says, having told the gap
        unknown_before = before is None
        self.link = stored if unknown_before and isinstance(stored, bytes) else link
        return False


def first_finding(connection: apsw.Connection, chain: Chain, start: Head, last: int) -> Finding | None:
    """The first thing that is wrong after `start`, up to row `last`."""
    return next(Fold(connection, chain, start).findings(last), None)


def require_key(connection: apsw.Connection, chain: Chain, identity: Identity) -> None:
    """Raises ConfigError when the chain key is not this journal's, StorageFailed when its own row is damaged."""
    expected = chain.key_check(identity.journal_id, identity.base.sequence, identity.base.link)
    if same(identity.key_check, expected):
        return
    last = min(identity.base.sequence + KEY_PROBE_ROWS, read_head(connection, identity.base).sequence)
    fold = Fold(connection, chain, identity.base)
    wrong = len(list(fold.findings(last)))
    if wrong < fold.rows:
        raise StorageFailed("journal: the journal's own row is damaged; restore the journal from its backup")
    raise ConfigError("journal: the machine key does not fit this journal; give the key that it was written with")


def anchor_finding(connection: apsw.Connection, base: Head, head: Head, anchor: Head) -> str | None:
    """Why the database is not the one that the anchor knew; None when it is, or is ahead of it (D31)."""
    if anchor.sequence > head.sequence:
        return (
            f"the journal ends at row {head.sequence}, but the anchor knows row {anchor.sequence}:"
            " rows are lost, or an older copy was put back; restore the newest journal with its anchor"
        )
    if anchor.sequence <= base.sequence:
        fits = anchor.sequence < base.sequence or base.sequence == 0 or same(base.link, anchor.link)
    else:
        fits = same(read_link(connection, anchor.sequence), anchor.link)
    if fits:
        return None
    return (
        f"row {anchor.sequence} is not the row that the anchor knows (the journal ends at row {head.sequence}):"
        " run: posd journal verify"
    )


def verify(folder: Path, chain_key: bytes, on_rows: Callable[[int], None] = lambda rows: None) -> Report:
    """Check the whole journal in `folder`; also beside a running daemon. `on_rows` is told how many rows were checked.

    Raises ConfigError: no journal, a newer one, or a wrong machine key. Raises StorageFailed: cannot be opened.
    """
    chain = Chain(chain_key)
    anchor, anchor_says = _anchor(folder / ANCHOR_FILE)  # read before the head: it lags, never leads
    if lost := _lost(folder / JOURNAL_FILE):
        known = anchor.head.sequence if anchor is not None else None
        return Report(0, Head(0, b""), known, (*anchor_says, Finding(None, lost)))
    connection = open_reader(folder / JOURNAL_FILE)
    try:
        identity = read_identity(connection)
        require_key(connection, chain, identity)
        with ThreadPoolExecutor(
            max_workers=1
        ) as beside:  # half of all the work, and SQLite needs no interpreter for it
            structure = beside.submit(_structure, folder / JOURNAL_FILE)
            head = read_head(connection, identity.base)
            fold = Fold(connection, chain, identity.base, on_rows)
            found = [*anchor_says, *islice(fold.findings(head.sequence), FINDINGS_MAX)]
            if len(found) >= FINDINGS_MAX:
                found.append(Finding(None, f"more than {FINDINGS_MAX} findings; the rest is not listed"))
            found += _surroundings(connection, chain, identity.base, head)
            found += structure.result()
        if anchor is not None and (why := anchor_finding(connection, identity.base, head, anchor.head)):
            found.append(Finding(None, why))
        return Report(fold.rows, head, anchor.head.sequence if anchor else None, tuple(found))
    finally:
        connection.close()


def _lost(path: Path) -> str:
    """Why a missing or empty journal is damage; empty: it is there, or there never was one."""
    return "" if path.is_file() and path.stat().st_size > 0 else rows_lost(path)


def _anchor(path: Path) -> tuple[AnchorReading | None, list[Finding]]:
    try:
        reading = read_anchor(path)
    except StorageFailed as error:
        return None, [Finding(None, str(error))]
    damaged = [Finding(None, f"slot {slot} of the anchor cannot be read") for slot in reading.damaged_slots]
    return reading, damaged


def _surroundings(connection: apsw.Connection, chain: Chain, base: Head, head: Head) -> Iterator[Finding]:
    """What the chain does not cover: rows before the base, snapshots."""
    for table in ("record", "message"):
        if query(connection, f"SELECT 1 FROM {table} WHERE sequence <= ? LIMIT 1", (base.sequence,)):
            yield Finding(None, f"table {table} has a row before the first row of this journal")
    try:
        for row in query(connection, "SELECT tid, sequence, fold_version, state, mac FROM snapshot"):
            if not snapshot_fits(connection, chain, base, head, row):
                yield Finding(None, f"the snapshot of terminal {row[0]} is damaged (it is not used, nothing is lost)")
    except StorageFailed as error:
        yield Finding(None, str(error))


def _structure(path: Path) -> list[Finding]:
    """SQLite's own structure with its indexes; on a connection of its own, so that it can run beside the fold."""
    try:
        connection = open_reader(path)
        try:
            lines = [str(line) for (line,) in query(connection, "PRAGMA integrity_check(20)")]
        finally:
            connection.close()
    except StorageFailed as error:
        return [Finding(None, str(error))]
    return [Finding(None, f"SQLite: {line.splitlines()[-1]}") for line in lines if line != "ok"]


def snapshot_fits(connection: apsw.Connection, chain: Chain, base: Head, head: Head, row: tuple[Any, ...]) -> bool:
    """Whether a row (tid, sequence, fold_version, state, mac) is authentic and belongs to this chain."""
    tid, sequence, fold_version, state, mac = row
    if not isinstance(sequence, int) or not base.sequence <= sequence <= head.sequence:
        return False
    link = base.link if sequence == base.sequence else read_link(connection, sequence)
    try:
        return isinstance(link, bytes) and same(mac, chain.snapshot(tid, sequence, fold_version, state, link))
    except WRONG_TYPE:
        return False
