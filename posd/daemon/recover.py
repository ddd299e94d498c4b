"""State from the journal: replay and fold. There is no other recovery."""

from collections.abc import Iterator
from dataclasses import dataclass

from posd.core.fold import apply, opened
from posd.core.payload import FOLD_VERSION, dump_record, load_record, load_state, record_name, record_version
from posd.core.records import LaneOpened, Record
from posd.core.rules import Rules
from posd.core.state import SettlementPhase, State
from posd.core.totals import counts
from posd.errors import InvariantBroken, StorageFailed
from posd.journal.contract import RecordRow, Store, StoredRecord
from posd.values import BatchNumber, Stan, Tid

NO_SNAPSHOT = -1
"""A fold version that no snapshot has: replay everything."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A lane's state; `fenced` says why it must not be used any further (D4), else it is empty."""

    state: State
    fenced: str = ""


def recover(store: Store, tid: Tid, at_ms: int) -> Recovered:
    """The state of a terminal; a new terminal gets its first record. Raises StorageFailed."""
    replay = store.replay(tid, FOLD_VERSION)
    state = load_state(replay.snapshot) if replay.snapshot is not None else None
    if replay.snapshot is not None and state is None:
        replay = store.replay(tid, NO_SNAPSHOT)  # D33: a snapshot is disposable, the records are not
    recovered = fold(replay.records, state)
    return recovered if recovered is not None else Recovered(_open(store, tid, at_ms))


def fold(records: Iterator[StoredRecord], state: State | None) -> Recovered | None:
    """Fold rows onto a state; None: there was neither a state nor a row."""
    for row in records:
        record = load_record(row.kind, row.version, row.payload)
        try:
            state = _next(state, record, row.at_ms)
        except AssertionError as error:
            if state is None:
                raise StorageFailed(f"the journal of {row.tid} does not begin with its first record") from None
            return Recovered(state, f"record {row.sequence} ({row.kind}) contradicts the ones before it: {error}")
    return Recovered(state) if state is not None else None


def _next(state: State | None, record: Record, at_ms: int) -> State:
    if state is not None:
        return apply(state, record, at_ms)
    if not isinstance(record, LaneOpened):
        raise InvariantBroken("the first record is missing")
    return opened(record, at_ms)


def _open(store: Store, tid: Tid, at_ms: int) -> State:
    record = LaneOpened(tid, Stan(1), BatchNumber(1))
    name = record_name(record)
    store.write([[RecordRow(tid, name, record_version(name), at_ms, dump_record(record), batch=1)]])
    return opened(record, at_ms)


def owes(state: State, rules: Rules) -> str:
    """What keeps a terminal from being configured away; empty: nothing (D35)."""
    owed = len(state.unended_reversals())
    open_money = sum(1 for txn in state.transactions.values() if counts(txn, rules))
    if owed:
        return f"{owed} reversal(s) are owed"
    if open_money or state.settlement.phase is not SettlementPhase.OPEN:
        return f"its batch is open with {open_money} transaction(s)"
    return ""
