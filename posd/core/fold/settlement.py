"""The fold of a settlement's records, and the step to the next batch; the table stands in settlement.py."""

from typing import assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import ExchangeKind, Totals
from posd.core.fold.edits import after
from posd.core.state import (
    EARLIER_MAX,
    Batch,
    CloseOutcome,
    Exchange,
    LastClose,
    Settlement,
    SettlementPhase,
    State,
)
from posd.core.tables import settlement as table
from posd.values import BatchNumber, Stan

DueRecord = r.SettlementWanted | r.SettlementPostponed | r.SettlementBegun
WaitRecord = r.SettlementDeferred | r.SettlementHeld | r.SettlementApproved
DoubtRecord = r.SettlementUnconfirmed | r.SettlementDecided
TotalsRecord = r.TotalsAsked | r.TotalsUnanswered | r.TotalsNotSent | r.TotalsAnswered
UploadRecord = r.UploadSent | r.UploadAcknowledged | r.UploadUnanswered | r.UploadSetAside
TrailerRecord = r.TrailerSent | r.TrailerUnanswered
CloseRecord = r.BatchSkipped | r.BatchClosed
SettlementRecord = (
    r.BatchNumberSet | DueRecord | WaitRecord | DoubtRecord | TotalsRecord | UploadRecord | TrailerRecord | CloseRecord
)


def apply_settlement(state: State, record: SettlementRecord, at_ms: int) -> State:
    """The state after one record of a settlement."""
    if isinstance(record, r.BatchNumberSet):
        return _renumbered(state, record.number)
    if isinstance(record, DueRecord):
        return _due(state, record, at_ms)
    if isinstance(record, WaitRecord):
        return _wait(state, record)
    if isinstance(record, DoubtRecord):
        return _doubt(state, record)
    if isinstance(record, TotalsRecord):
        return _totals(state, record, at_ms)
    if isinstance(record, UploadRecord):
        return _upload(state, record, at_ms)
    if isinstance(record, TrailerRecord):
        return _trailer(state, record, at_ms)
    return _closed(state, record, at_ms)


def _renumbered(state: State, number: BatchNumber) -> State:
    """Totals that were refused under the old number are a new question under this one."""
    settlement = replace(state.settlement, stan=None, totals=None, asked=0, refused=0, postponed_because="")
    return replace(state, batch=replace(state.batch, number=number), settlement=settlement)


def _closed(state: State, record: CloseRecord, at_ms: int) -> State:
    match record:
        case r.BatchSkipped():
            close = _closing(state, CloseOutcome.EMPTY, at_ms, at_ms, Totals())
            return _next_batch(state, close, state.batch.number, at_ms)
        case r.BatchClosed():
            begun = state.settlement.begun_at_ms or at_ms
            close = _closing(state, record.outcome, begun, at_ms, record.totals)
            return _next_batch(state, close, record.next_number, at_ms)
        case _:
            assert_never(record)


def _due(state: State, record: DueRecord, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.SettlementWanted():
            settlement = replace(settlement, wanted=record.cause)
        case r.SettlementPostponed():
            settlement = replace(settlement, postponed_because=record.because)
        case r.SettlementBegun():
            settlement = Settlement(
                _phase(state, table.Input.BEGUN), cause=record.cause, due_ms=record.due_ms, begun_at_ms=at_ms
            )
        case _:
            assert_never(record)
    return replace(state, settlement=settlement)


def _wait(state: State, record: WaitRecord) -> State:
    """It is due and waits: for more money, or for a person (D23)."""
    settlement = state.settlement
    match record:
        case r.SettlementDeferred():
            settlement = replace(settlement, deferred_due_ms=record.due_ms)
        case r.SettlementHeld():
            settlement = replace(settlement, held_minor=record.gross_minor)
        case r.SettlementApproved():
            settlement = replace(settlement, approved_by=record.by)
        case _:
            assert_never(record)
    return replace(state, settlement=settlement)


def _doubt(state: State, record: DoubtRecord) -> State:
    """Whether the host has closed the batch is not known; or a person says so. If it has, BatchClosed follows."""
    settlement = state.settlement
    match record:
        case r.SettlementUnconfirmed():
            phase = _phase(state, table.Input.UNCLEAR)
            settlement = replace(settlement, phase=phase, postponed_because=record.because)
            return replace(state, settlement=settlement, exchange=None)
        case r.SettlementDecided():
            if record.closed:
                return state
            # Asked anew: what was taken for a repeat before is no evidence against the person's word.
            phase = _phase(state, table.Input.NOT_CLOSED)
            return replace(state, settlement=replace(settlement, phase=phase, asked=0, unanswered=0, refused=0))
        case _:
            assert_never(record)


def _no_answer(settlement: Settlement, because: str, code: str) -> Settlement:
    """One attempt more without success: refused, or not answered at all."""
    return replace(
        settlement,
        postponed_because=because,
        refused=settlement.refused + (code != ""),
        unanswered=settlement.unanswered + (code == ""),
    )


def _settled(settlement: Settlement) -> Settlement:
    """The current message is over: what comes next is counted anew."""
    return replace(settlement, asked=0, unanswered=0, refused=0, in_flight=0, postponed_because="")


def _totals(state: State, record: TotalsRecord, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.TotalsAsked():
            settlement = replace(
                settlement,
                phase=_phase(state, table.Input.ASKED),
                stan=record.stan,
                totals=record.totals,
                asked=record.attempt,
                postponed_because="",
            )
            return _in_flight(state, settlement, ExchangeKind.TOTALS, record.stan, at_ms)
        case r.TotalsUnanswered():
            phase = _phase(state, table.Input.UNANSWERED)
            settlement = replace(_no_answer(settlement, record.because, record.code), phase=phase)
            return replace(state, settlement=settlement, exchange=None)
        case r.TotalsNotSent():
            phase, asked = _phase(state, table.Input.UNANSWERED), max(settlement.asked - 1, 0)
            settlement = replace(settlement, phase=phase, asked=asked, postponed_because=record.because)
            return replace(state, settlement=settlement, exchange=None)
        case r.TotalsAnswered():
            what = table.Input.ITEMS_WANTED if record.items else table.Input.NO_ITEMS
            phase = _phase(state, what)
            settlement = replace(_settled(settlement), phase=phase, host=record.host, items=record.items)
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)


def _upload(state: State, record: UploadRecord, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.UploadSent():
            before = settlement.in_flight
            splits = record.count < before and settlement.refused > 0
            until = record.cursor + before if splits else settlement.alone_until  # they go one by one
            settlement = replace(settlement, stan=record.stan, in_flight=record.count, asked=record.attempt)
            settlement = replace(settlement, alone_until=until)
            return _in_flight(state, settlement, ExchangeKind.UPLOAD, record.stan, at_ms)
        case r.UploadAcknowledged():
            settlement = replace(_settled(settlement), uploaded=record.cursor)
        case r.UploadUnanswered():
            settlement = _no_answer(settlement, record.because, record.code)
        case r.UploadSetAside():
            aside = (*settlement.set_aside, *record.request_ids)
            settlement = replace(_settled(settlement), uploaded=record.cursor, set_aside=aside)
        case _:
            assert_never(record)
    done = settlement.uploaded >= len(settlement.items)
    what = table.Input.ALL_UPLOADED if done else table.Input.MOVED_ON
    settlement = replace(settlement, phase=_phase(state, what))
    return replace(state, settlement=settlement, exchange=None)


def _trailer(state: State, record: TrailerRecord, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.TrailerSent():
            settlement = replace(settlement, trailer_stan=record.stan, asked=record.attempt)
            return _in_flight(state, settlement, ExchangeKind.TRAILER, record.stan, at_ms)
        case r.TrailerUnanswered():
            phase = _phase(state, table.Input.UNANSWERED)
            settlement = replace(_no_answer(settlement, record.because, record.code), phase=phase)
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)


def _in_flight(state: State, settlement: Settlement, kind: ExchangeKind, stan: Stan, at_ms: int) -> State:
    return replace(
        state,
        settlement=settlement,
        exchange=Exchange(kind, stan, at_ms),
        stan=after(state, stan),
    )


def _closing(state: State, outcome: CloseOutcome, begun_ms: int, at_ms: int, totals: Totals) -> LastClose:
    carried = len(state.unended_reversals()) + len(state.undelivered_advices())
    before_ms = state.last_close.judged_ms if state.last_close is not None else 0
    begun = state.settlement.begun_at_ms is not None  # one that only the host's number ended was judged by nobody
    judged_ms = before_ms if outcome is CloseOutcome.EMPTY or not begun else begun_ms
    batch = state.batch
    return LastClose(batch.identity, batch.number, begun_ms, at_ms, outcome, totals, carried, judged_ms)


def _next_batch(state: State, close: LastClose, number: BatchNumber, at_ms: int) -> State:
    """The next batch. What is still owed keeps its transaction for as long as it is owed (D19, D33).

    Several closes may follow each other quickly (D18): a request that the terminal asks for again, takes back, or that
    is answered late must be known over more than one of them, else it would be sent again (D6).
    """
    skipped = close.outcome is CloseOutcome.EMPTY
    phase = _phase(state, table.Input.SKIPPED if skipped else table.Input.CLOSED)
    owed = state.owed_requests()
    settled = [of for of in state.closed if of not in owed]
    forgotten = set(settled[: max(len(settled) - EARLIER_MAX, 0)])
    closed = {of: txn for of, txn in state.closed.items() if of not in forgotten} | state.transactions
    return replace(
        state,
        batch=Batch(state.batch.identity + 1, number, at_ms, unknown=state.gap is not None),
        transactions={},
        closed=closed,
        reversals={of: rev for of, rev in state.reversals.items() if of in closed},
        advices={of: advice for of, advice in state.advices.items() if of in closed},
        settlement=Settlement(phase),
        last_close=close,
        out_of_balance=_unbalanced(state, close),
        exchange=None,
        numbers_kept={**state.numbers_kept, state.batch.identity: at_ms},
    )


def _unbalanced(state: State, close: LastClose) -> LastClose | None:
    """An empty close, or one that nobody confirmed, says nothing of the one before it."""
    if close.outcome is CloseOutcome.OUT_OF_BALANCE:
        return close
    return None if close.outcome is CloseOutcome.AGREED else state.out_of_balance


def _phase(state: State, what: table.Input) -> SettlementPhase:
    return table.move(state.settlement.phase, what)
