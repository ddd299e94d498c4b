"""The fold of a settlement's records, and the step to the next batch; the table stands in settlement.py."""

from dataclasses import replace
from typing import assert_never

from posd.core import records as r
from posd.core import settlement as settlements
from posd.core.answers import ExchangeKind, Totals
from posd.core.edits import after
from posd.core.state import UNENDED, Batch, CloseOutcome, Exchange, LastClose, Settlement, SettlementPhase, State
from posd.values import BatchNumber, Stan


def apply_due(
    state: State,
    record: r.SettlementWanted | r.SettlementPostponed | r.SettlementBegun | r.SettlementUnconfirmed,
    at_ms: int,
) -> State:
    settlement = state.settlement
    match record:
        case r.SettlementWanted():
            settlement = replace(settlement, wanted=record.cause)
        case r.SettlementPostponed():
            settlement = replace(settlement, postponed_because=record.because)
        case r.SettlementBegun():
            settlement = Settlement(
                _phase(state, settlements.Input.BEGUN), cause=record.cause, due_ms=record.due_ms, begun_at_ms=at_ms
            )
        case r.SettlementUnconfirmed():
            settlement = replace(
                settlement, phase=_phase(state, settlements.Input.UNCLEAR), postponed_because=record.because
            )
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)
    return replace(state, settlement=settlement)


def apply_totals(state: State, record: r.TotalsAsked | r.TotalsUnanswered | r.TotalsAnswered, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.TotalsAsked():
            settlement = replace(
                settlement,
                phase=_phase(state, settlements.Input.ASKED),
                stan=record.stan,
                totals=record.totals,
                asked=record.attempt,
                postponed_because="",
            )
            return _in_flight(state, settlement, ExchangeKind.TOTALS, record.stan, at_ms)
        case r.TotalsUnanswered():
            phase = _phase(state, settlements.Input.UNANSWERED)
            settlement = replace(settlement, phase=phase, postponed_because=record.because)
            return replace(state, settlement=settlement, exchange=None)
        case r.TotalsAnswered():
            what = settlements.Input.ITEMS_WANTED if record.items else settlements.Input.NO_ITEMS
            phase = _phase(state, what)
            settlement = replace(settlement, phase=phase, host=record.host, items=record.items, asked=0)
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)


def apply_upload(
    state: State, record: r.UploadSent | r.UploadAcknowledged | r.UploadUnanswered | r.UploadSetAside, at_ms: int
) -> State:
    settlement = state.settlement
    match record:
        case r.UploadSent():
            settlement = replace(settlement, stan=record.stan, in_flight=record.count, asked=record.attempt)
            return _in_flight(state, settlement, ExchangeKind.UPLOAD, record.stan, at_ms)
        case r.UploadAcknowledged():
            settlement = replace(settlement, uploaded=record.cursor, in_flight=0, asked=0)
        case r.UploadUnanswered():
            settlement = replace(settlement, postponed_because=record.because)
        case r.UploadSetAside():
            aside = (*settlement.set_aside, *record.request_ids)
            settlement = replace(settlement, uploaded=record.cursor, in_flight=0, asked=0, set_aside=aside)
        case _:
            assert_never(record)
    done = settlement.uploaded >= len(settlement.items)
    what = settlements.Input.ALL_UPLOADED if done else settlements.Input.MOVED_ON
    settlement = replace(settlement, phase=_phase(state, what))
    return replace(state, settlement=settlement, exchange=None)


def apply_trailer(state: State, record: r.TrailerSent | r.TrailerUnanswered, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.TrailerSent():
            settlement = replace(settlement, trailer_stan=record.stan, asked=record.attempt)
            return _in_flight(state, settlement, ExchangeKind.TRAILER, record.stan, at_ms)
        case r.TrailerUnanswered():
            settlement = replace(settlement, postponed_because=record.because)
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


def closing(state: State, outcome: CloseOutcome, begun_ms: int, at_ms: int, totals: Totals) -> LastClose:
    carried = sum(1 for reversal in state.reversals.values() if reversal.status in UNENDED)
    return LastClose(state.batch.identity, state.batch.number, begun_ms, at_ms, outcome, totals, carried)


def next_batch(state: State, close: LastClose, number: BatchNumber, at_ms: int) -> State:
    """The next batch; what is still owed keeps its transaction for as long as it is owed (D19, D33)."""
    what = settlements.Input.SKIPPED if close.outcome is CloseOutcome.EMPTY else settlements.Input.CLOSED
    phase = _phase(state, what)
    unended = {of: rev for of, rev in state.reversals.items() if rev.status in UNENDED}
    owing = {of: txn for of, txn in state.closed.items() if of in unended}
    return replace(
        state,
        batch=Batch(state.batch.identity + 1, number, at_ms),
        transactions={},
        closed={**owing, **state.transactions},
        reversals=unended,
        tombstones=(),
        settlement=Settlement(phase),
        last_close=close,
        exchange=None,
    )


def _phase(state: State, what: settlements.Input) -> SettlementPhase:
    return settlements.move(state.settlement.phase, what)
