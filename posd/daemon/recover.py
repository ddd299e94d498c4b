"""State from the journal: replay and fold. There is no other recovery.

It must never guess: a row that contradicts the ones before it fences its lane; one that cannot be read ends the start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from posd.core.chips import to_upload
from posd.core.fold.apply import apply, opened
from posd.core.payload import FOLD_VERSION, dump_record, load_record, load_state, record_name, record_version
from posd.core.records import LaneOpened, Record, SignedOut
from posd.core.rules import Rules
from posd.core.state import SettlementPhase, State
from posd.core.totals import counts
from posd.daemon.fence import BUGS, because
from posd.daemon.log import alert
from posd.errors import InvariantBroken, StorageFailed
from posd.journal.contract import RecordRow, Store, StoredRecord
from posd.values import BatchNumber, Stan, Tid

NO_SNAPSHOT = -1
"""A fold version that no snapshot has: replay everything."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A lane's state; `fenced` says why it must not be used any further (D4), else it is empty.

    `snapshot_sequence`: the row after which it was folded, and from which on the next start has to verify.
    """

    state: State
    fenced: str = ""
    snapshot_sequence: int = 0


def recover(store: Store, tid: Tid, at_ms: int, number: int = 1) -> Recovered:
    """The state of a terminal; a new terminal gets its first record, with batch `number`. Raises StorageFailed."""
    recovered = known(store, tid)
    return recovered if recovered is not None else Recovered(_open(store, tid, at_ms, BatchNumber(number)))


def known(store: Store, tid: Tid) -> Recovered | None:
    """The state of a terminal as the journal has it; None: it has none. Raises StorageFailed.

    A snapshot is disposable, the records are not (D33): one that cannot be read, or that its records contradict, is
    left alone and every record is folded.
    """
    replay = store.replay(tid, FOLD_VERSION)
    if replay.snapshot is not None:
        state = load_state(replay.snapshot)
        recovered = fold(replay.records, state) if state is not None else None
        if recovered is not None and not recovered.fenced:
            return replace(recovered, snapshot_sequence=replay.snapshot_sequence)
        alert("snapshot_not_used", tid=tid, because=recovered.fenced if recovered is not None else "unreadable")
        replay = store.replay(tid, NO_SNAPSHOT)
    return fold(replay.records, None)


def sign_out(store: Store, state: State, why: str, at_ms: int) -> State:
    """Durably: the next thing that this terminal says to the host is a sign-in. Raises StorageFailed."""
    record = SignedOut(why)
    store.write([[_row(state.tid, record, at_ms, state.batch.number)]])
    return apply(state, record, at_ms)


def fold(records: Iterator[StoredRecord], state: State | None) -> Recovered | None:
    """Fold rows onto a state; None: there was neither a state nor a row."""
    for row in records:
        record = load_record(row.kind, row.version, row.payload)
        try:
            state = _next(state, record, row.at_ms)
        except BUGS as error:
            if state is None:
                raise StorageFailed(f"the journal of {row.tid} does not begin with its first record") from None
            why = f"record {row.sequence} ({row.kind}) contradicts the ones before it: {because(error)}"
            return Recovered(state, why)
    return Recovered(state) if state is not None else None


def _next(state: State | None, record: Record, at_ms: int) -> State:
    if state is not None:
        return apply(state, record, at_ms)
    if not isinstance(record, LaneOpened):
        raise InvariantBroken("the first record is missing")
    return opened(record, at_ms)


def _open(store: Store, tid: Tid, at_ms: int, number: BatchNumber) -> State:
    record = LaneOpened(tid, Stan(1), number)
    store.write([[_row(tid, record, at_ms, record.batch_number)]])
    return opened(record, at_ms)


def record_row(state: State, record: Record, at_ms: int) -> RecordRow:
    """A record of a lane that no lane wrote, with the columns by which it is found."""
    of = getattr(record, "request_id", None)
    txn = state.find(of) if of is not None else None
    name, number = record_name(record), txn.batch_number if txn is not None else state.batch.number
    stan = txn.stan if txn is not None else None
    version, payload = record_version(name), dump_record(record)
    return RecordRow(state.tid, name, version, at_ms, payload, request_id=of, stan=stan, batch=number)


def _row(tid: Tid, record: Record, at_ms: int, batch: BatchNumber) -> RecordRow:
    name = record_name(record)
    return RecordRow(tid, name, record_version(name), at_ms, dump_record(record), batch=batch)


def configured_away(tid: str, why: str) -> tuple[str, str]:
    """What is wrong with settings without a terminal that owes, and what to do (D35)."""
    what = f"terminal {tid} is not in the configuration any more, but {why}"
    return what, "put it back, settle it (posd settle), then remove it"


def owes(state: State, rules: Rules) -> str:
    """What keeps a terminal from being configured away; empty: nothing (D35)."""
    if state.gap is not None:
        return "nobody has ended what is not known since a backup was restored (posd restore-gap)"
    owed = len(state.unended_reversals())
    open_money = sum(1 for txn in state.transactions.values() if counts(txn, rules))
    if owed:
        return f"{owed} reversal(s) are owed"
    if advices := len(state.undelivered_advices()):
        return f"{advices} advice(s) are not delivered"
    if doubts := len(state.in_doubt()):
        return f"{doubts} refund(s) are in doubt"
    if open_money or state.settlement.phase is not SettlementPhase.OPEN:
        return f"its batch is open with {open_money} transaction(s)"
    if details := len(to_upload(state)):
        return f"its batch is open with {details} chip record(s) to upload"
    return ""
