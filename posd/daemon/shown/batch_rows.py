"""The journal's records of one batch of one terminal, and a transaction folded alone: what reports are made of.

Batches are told apart by the records that end them, not by the host's number, which may come again. It only reads, in
pages, and never needs the records before the batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from posd.core.fold.apply import apply
from posd.core.payload import load_record
from posd.core.records import AdviceStored, AuthorisationStarted, Record
from posd.core.state import Batch, State
from posd.daemon.fence import BUGS, because
from posd.errors import StorageFailed
from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from posd.values import BatchNumber, RequestId, Stan, Tid

ENDS = frozenset({"batch_closed", "batch_skipped"})
"""The records that end a batch."""

STARTED = frozenset({"authorisation_started", "advice_stored"})
"""The records that begin a transaction."""


@dataclass(frozen=True, slots=True)
class BatchRows:
    """A batch's records, oldest first. `end`: the record that ended it, its last one; None: it is open."""

    number: int
    rows: tuple[RecordView, ...]
    end: RecordView | None


def open_batch(reader: JournalReader, tid: Tid) -> BatchRows | None:
    """The open one; None: the journal has nothing of this terminal."""
    rows, end = _since_end(reader, tid, None)
    return BatchRows(_open_number(rows, end), rows, None) if rows or end is not None else None


def _open_number(rows: tuple[RecordView, ...], end: RecordView | None) -> int:
    """What the last end said, or the first record; or the host since, until the settlement began (D7).

    A row's own column does not tell: the rows that were decided together with an end still have the old number.
    """
    number = int(getattr(_record(end), "next_number", end.batch or 0)) if end is not None else 0
    for row in rows:
        if row.kind == "settlement_begun":
            return number
        if row.kind in ("lane_opened", "signed_in"):
            number = int(getattr(_record(row), "batch_number", None) or number)
    return number


def newest_end(reader: JournalReader, tid: Tid, number: int | None = None) -> RecordView | None:
    """The newest end of a batch, or of the newest batch that had this number."""
    rows = reader.records(tid=tid, batch=number, newest_first=True)
    return next((row for row in rows if row.kind in ENDS), None)


def ended_batch(reader: JournalReader, end: RecordView) -> BatchRows:
    """The batch that this record ended."""
    rows, _ = _since_end(reader, Tid(end.tid), end.sequence)
    return BatchRows(end.batch or 0, (*rows, end), end)


def _since_end(reader: JournalReader, tid: Tid, before: int | None) -> tuple[tuple[RecordView, ...], RecordView | None]:
    """What follows the newest end below `before`, oldest first, and that end."""
    rows: list[RecordView] = []
    for row in reader.records(tid=tid, after=before, newest_first=True):
        if row.kind in ENDS:
            return tuple(rows[::-1]), row
        rows.append(row)
    return tuple(rows[::-1]), None


def _record(row: RecordView) -> Record:
    return load_record(row.kind, row.version, row.payload)


def alone(rows: Iterable[RecordView], request_id: RequestId) -> State:
    """A transaction by its own records, folded onto an empty lane. Raises StorageFailed when they contradict."""
    state = empty_lane(Tid(request_id.partition("/")[0]))
    for row in rows:
        record = _record(row)
        if state.find(request_id) is None and not isinstance(record, AuthorisationStarted | AdviceStored):
            continue  # it was refused before it was sent
        try:
            state = apply(state, record, row.at_ms)
        except BUGS as error:
            raise contradicts(row, error) from None
    return state


def empty_lane(tid: Tid) -> State:
    """A state with nothing in it."""
    return State(tid, Stan(1), Batch(0, BatchNumber(1), 0))


def contradicts(row: RecordView, error: Exception) -> StorageFailed:
    """The error for a row that does not fit the ones before it."""
    why = f"row {row.sequence} ({row.kind}) contradicts the ones before it: {because(error)}"
    return StorageFailed(f"journal: {why}; run: posd journal verify")
