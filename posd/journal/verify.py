"""Whether the journal is what was written: the archive's segments, the chain over the rows, the anchor, the snapshots.

It finds every lost, changed, added or moved row (fold_chain.py), and a head that is not the anchor's. It must never
write.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import apsw

from posd.errors import ConfigError, PosdError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, AnchorReading, read_anchor
from posd.journal.chain import WRONG_TYPE, Chain, same
from posd.journal.connect import (
    JOURNAL_FILE,
    Identity,
    open_reader,
    query,
    read_head,
    read_identity,
    read_link,
    rows_lost,
)
from posd.journal.contract import Head
from posd.journal.finding import Finding
from posd.journal.fold_chain import Fold
from posd.journal.segment import Segment, catalog_finding, read_catalog
from posd.journal.shelf import Shelf
from posd.journal.verify_archive import ArchiveCheck, Looks, SegmentReport

FINDINGS_MAX = 1000
"""Findings that a report names; after that it stops and says so."""
TRIES = 5
"""An archive run may move rows away while they are checked; then it begins anew."""
KEY_PROBE_ROWS = 8
"""Rows looked at to tell a wrong machine key from damage."""

SNAPSHOT = "SELECT tid, sequence, fold_version, state, mac FROM snapshot WHERE tid = ? AND fold_version = ?"

TIDS = (  # hops from one terminal to the next in the index, instead of reading all of it
    "WITH RECURSIVE hop(tid) AS (SELECT min(tid) FROM record UNION ALL"
    " SELECT (SELECT min(tid) FROM record WHERE tid > hop.tid) FROM hop WHERE hop.tid IS NOT NULL)"
    " SELECT tid FROM hop WHERE tid IS NOT NULL"
)


LOOKS_AT_ALL = Looks()


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` were read up to `head`; `anchor_sequence` is None when the anchor could not be read.

    `base_sequence`: the rows up to it are in `segments`. `notes`: what is no damage, and worth a word.
    """

    rows: int
    head: Head
    anchor_sequence: int | None
    findings: tuple[Finding, ...]
    base_sequence: int = 0
    segments: tuple[SegmentReport, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        return not self.findings


def first_finding(
    connection: apsw.Connection,
    chain: Chain,
    start: Head,
    last: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Finding | None:
    """The first thing that is wrong after `start`, up to row `last`."""
    return next(Fold(connection, chain, start, on_rows).findings(last), None)


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


class Links(Protocol):
    """Where the links of archived rows are found (shelf.py)."""

    def link(self, sequence: int) -> bytes | None: ...


def anchor_finding(
    connection: apsw.Connection, base: Head, head: Head, anchor: Head, archive: Links | None = None
) -> str | None:
    """Why the database is not the one that the anchor knew; None when it is, or is ahead of it (D31)."""
    if anchor.sequence > head.sequence:
        return (
            f"the journal ends at row {head.sequence}, but the anchor knows row {anchor.sequence}:"
            " rows are lost, or an older copy was put back; restore the newest journal with its anchor"
        )
    if anchor.sequence > base.sequence:
        fits = same(read_link(connection, anchor.sequence), anchor.link)
    elif anchor.sequence == base.sequence:
        fits = base.sequence == 0 or same(base.link, anchor.link)
    else:
        archived = archive.link(anchor.sequence) if archive is not None else None
        fits = archived is None or same(archived, anchor.link)
    if fits:
        return None
    return (
        f"row {anchor.sequence} is not the row that the anchor knows (the journal ends at row {head.sequence}):"
        " run: posd journal verify"
    )


def verify(
    folder: Path, chain_key: bytes, on_rows: Callable[[int], None] = lambda rows: None, looks: Looks = LOOKS_AT_ALL
) -> Report:
    """Check the whole journal in `folder`; also beside a running daemon. `on_rows` is told how many rows were checked.

    Raises ConfigError: no journal, a newer one, or a wrong machine key. Raises StorageFailed: cannot be opened.
    """
    for _ in range(TRIES):
        report = _verified(folder, chain_key, on_rows, looks)
        if _base_of(folder) in (report.base_sequence, None):
            return report
    raise StorageFailed("journal: months go into the archive meanwhile; verify again when that is over")


def _base_of(folder: Path) -> int | None:
    """Where the journal begins now; None: it does not say. An archive run moves it while rows are checked."""
    try:
        connection = open_reader(folder / JOURNAL_FILE)
        try:
            return read_identity(connection).base.sequence
        finally:
            connection.close()
    except PosdError:
        return None


def _verified(folder: Path, chain_key: bytes, on_rows: Callable[[int], None], looks: Looks) -> Report:
    chain = Chain(chain_key)
    anchor, anchor_says = _anchor(folder / ANCHOR_FILE)  # read before the head: it lags, never leads
    if lost := _lost(folder / JOURNAL_FILE):
        known = anchor.head.sequence if anchor is not None else None
        return Report(0, Head(0, b""), known, (*anchor_says, Finding(None, lost)))  # and it has no base
    connection = open_reader(folder / JOURNAL_FILE)
    try:
        shelf = Shelf(connection, folder, _pass_over)
    except StorageFailed as error:
        connection.close()
        return Report(0, Head(0, b""), None, (*anchor_says, Finding(None, str(error))), _base_of(folder) or 0)
    try:
        identity = read_identity(connection)
        require_key(connection, chain, identity)
        archive = ArchiveCheck(folder, connection, chain, identity, on_rows)
        with ThreadPoolExecutor(
            max_workers=1
        ) as beside:  # half of all the work, and SQLite needs no interpreter for it
            structure = beside.submit(_structure, folder / JOURNAL_FILE)
            segments, listed = _archived(connection, chain, identity, archive, looks)
            head = read_head(connection, identity.base)
            fold = Fold(connection, chain, identity.base, lambda rows: on_rows(archive.rows + rows))
            found = [*anchor_says, *listed, *(finding for segment in segments for finding in segment.findings)]
            found += islice(fold.findings(head.sequence), max(FINDINGS_MAX - len(found), 0))
            if len(found) >= FINDINGS_MAX:
                found.append(Finding(None, f"more than {FINDINGS_MAX} findings; the rest is not listed"))
            found += _snapshots(connection, chain, identity.base, head)
            found += structure.result()
        if anchor is not None and (why := anchor_finding(connection, identity.base, head, anchor.head, shelf)):
            found.append(Finding(None, why))
        beside_it = [*archive.strangers(shelf.segments), *archive.leftovers(shelf.link)]
        found += [one for one in beside_it if isinstance(one, Finding)]
        notes = tuple(one for one in beside_it if isinstance(one, str))
        rows, known = archive.rows + fold.rows, anchor.head.sequence if anchor else None
        return Report(rows, head, known, tuple(found), identity.base.sequence, tuple(segments), notes)
    finally:
        shelf.close()
        connection.close()


def _pass_over(segment: Segment) -> None:
    """That a segment is not here is said where it is looked for."""


def _archived(
    connection: apsw.Connection, chain: Chain, identity: Identity, archive: ArchiveCheck, looks: Looks
) -> tuple[list[SegmentReport], list[Finding]]:
    """Each segment, and what is wrong with the list of them."""
    try:
        listed = read_catalog(connection)
    except StorageFailed as error:
        return [], [Finding(None, str(error))]
    if unknown := looks.months - {segment.month for segment in listed}:
        raise ConfigError(f"there is no segment {min(unknown)}; posd journal archives lists those that there are")
    why = catalog_finding(listed, chain, identity)
    reports = [archive.segment(segment, looks) for segment in listed]
    return reports, [Finding(None, why)] if why else []


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


def _snapshots(connection: apsw.Connection, chain: Chain, base: Head, head: Head) -> Iterator[Finding]:
    """What the chain does not cover."""
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
