"""apply(state, record): the only way to a new state. Replaying the journal is folding it; there is no other recovery.

It must never look at a clock, a setting or anything but its arguments (D5), and never decide: what a record says is
so. A change here goes with a new `payload.FOLD_VERSION`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, assert_never

from posd.core import records as r
from posd.core.answers import ExchangeKind, Totals
from posd.core.state import (
    UNENDED,
    Batch,
    CloseOutcome,
    Exchange,
    LastClose,
    Reversal,
    ReversalStatus,
    Session,
    Settlement,
    SettlementPhase,
    State,
    Transaction,
    TxnStatus,
)
from posd.values import BatchNumber, RequestId, Stan, next_stan


def opened(record: r.LaneOpened, at_ms: int) -> State:
    """The state after a terminal's first record."""
    return State(tid=record.tid, stan=record.stan, batch=Batch(1, record.batch_number, at_ms))


def apply(state: State, record: r.Record, at_ms: int) -> State:
    """The state after one more record; `at_ms` is the wall time of its row."""
    match record:
        case r.LaneOpened():
            return opened(record, at_ms)
        case r.SignInStarted() | r.SignedIn() | r.SignInFailed() | r.SignedOut() | r.TerminalKeysGiven():
            return _session(state, record, at_ms)
        case r.EchoStarted():
            return replace(state, exchange=Exchange(ExchangeKind.ECHO, None, at_ms))
        case r.EchoEnded():
            return replace(state, exchange=None)
        case r.AuthorisationStarted() | r.Approved() | r.Declined() | r.OutcomeUnknown() | r.LateAnswer():
            return _transaction(state, record, at_ms)
        case r.AnswerHandedOver():
            return _change_txn(state, record.request_id, lambda txn: replace(txn, handed_over=True))
        case r.RequestRefused() | r.TerminalClosed():
            return state
        case r.OriginalRefusedInAdvance():
            return replace(state, tombstones=(*state.tombstones, record.request_id))
        case (
            r.ReversalOwed()
            | r.ReversalAttempted()
            | r.ReversalUnanswered()
            | r.ReversalRefused()
            | r.ReversalNeedsSignIn()
            | r.ReversalAcknowledged()
            | r.ReversalStuck()
            | r.ReversalConflict()
            | r.ReversalReopened()
            | r.ReversalRetryWanted()
            | r.ReversalResolved()
            | r.ReversalCarriedOver()
        ):
            return _reversal(state, record, at_ms)
        case r.SettlementWanted() | r.SettlementPostponed() | r.SettlementBegun() | r.SettlementUnconfirmed():
            return _due(state, record, at_ms)
        case r.TotalsAsked() | r.TotalsUnanswered() | r.TotalsAnswered():
            return _totals(state, record, at_ms)
        case r.UploadSent() | r.UploadAcknowledged() | r.UploadUnanswered() | r.UploadSetAside():
            return _upload(state, record, at_ms)
        case r.TrailerSent() | r.TrailerUnanswered():
            return _trailer(state, record, at_ms)
        case r.BatchSkipped():
            close = _close(state, CloseOutcome.EMPTY, at_ms, at_ms, Totals())
            return _next_batch(state, close, state.batch.number, at_ms)
        case r.BatchClosed():
            begun = state.settlement.begun_at_ms or at_ms
            close = _close(state, record.outcome, begun, at_ms, record.totals)
            return _next_batch(state, close, record.next_number, at_ms)
        case _:
            assert_never(record)


def _session(
    state: State,
    record: r.SignInStarted | r.SignedIn | r.SignInFailed | r.SignedOut | r.TerminalKeysGiven,
    at_ms: int,
) -> State:
    session = state.session
    match record:
        case r.SignInStarted():
            exchange = Exchange(ExchangeKind.SIGN_IN, record.stan, at_ms, for_settlement=record.for_settlement)
            return replace(state, exchange=exchange, stan=_after(state, record.stan))
        case r.SignedIn():
            signed_in = Session(
                signed_in=True,
                wrapped_keys=record.wrapped_keys,
                generation=session.generation + (record.wrapped_keys != session.wrapped_keys),
                signed_in_at_ms=at_ms,
                clock_offset_ms=record.clock_offset_ms,
                terminal_generation=session.terminal_generation,
                out_because="",
            )
            batch = state.batch
            if record.batch_number is not None and state.settlement.phase is SettlementPhase.OPEN:  # D7
                batch = replace(batch, number=record.batch_number)
            return replace(state, exchange=None, session=signed_in, batch=batch)
        case r.SignInFailed():
            out = replace(session, signed_in=False, out_because=record.because)
            return replace(state, exchange=None, session=out)
        case r.SignedOut():
            return replace(state, session=replace(session, signed_in=False, out_because=record.because))
        case r.TerminalKeysGiven():
            return replace(state, session=replace(session, terminal_generation=record.generation))
        case _:
            assert_never(record)


def _transaction(
    state: State,
    record: r.AuthorisationStarted | r.Approved | r.Declined | r.OutcomeUnknown | r.LateAnswer,
    at_ms: int,
) -> State:
    match record:
        case r.AuthorisationStarted():
            return _started(state, record, at_ms)
        case r.Approved():
            state = _end_exchange(state, record.request_id)
            return _change_txn(
                state,
                record.request_id,
                lambda txn: replace(txn, status=TxnStatus.APPROVED, facts=record.facts, approval_seen=True),
            )
        case r.Declined():
            state = _end_exchange(state, record.request_id)
            return _change_txn(
                state, record.request_id, lambda txn: replace(txn, status=TxnStatus.DECLINED, facts=record.facts)
            )
        case r.OutcomeUnknown():
            state = _end_exchange(state, record.request_id)
            return _change_txn(
                state,
                record.request_id,
                lambda txn: replace(
                    txn,
                    status=TxnStatus.UNKNOWN,
                    why=record.why,
                    approval_seen=txn.approval_seen or record.approval_seen,
                ),
            )
        case r.LateAnswer():
            if not record.approval:
                return state
            return _change_txn(state, record.request_id, lambda txn: replace(txn, approval_seen=True))
        case _:
            assert_never(record)


def _started(state: State, record: r.AuthorisationStarted, at_ms: int) -> State:
    txn = Transaction(
        request_id=record.request_id,
        kind=record.kind,
        status=TxnStatus.SENT,
        amount_minor=record.amount_minor,
        stan=record.stan,
        batch=state.batch.identity,
        batch_number=record.batch_number,
        terminal_batch=record.terminal_batch,
        terminal_stan=record.terminal_stan,
        at_ms=at_ms,
        fingerprint=record.fingerprint,
        entry_mode=record.entry_mode,
        card=record.card,
        original=record.original,
    )
    return replace(
        state,
        transactions={**state.transactions, record.request_id: txn},
        exchange=Exchange(ExchangeKind.TRANSACTION, record.stan, at_ms, record.request_id),
        stan=_after(state, record.stan),
    )


def _reversal(state: State, record: Any, at_ms: int) -> State:
    """One row for each record of a reversal's life; the table with its rules stands in reversals.py."""
    of = record.request_id
    match record:
        case r.ReversalOwed():
            owed = Reversal(of, record.why, record.reason, at_ms)
            state = replace(state, reversals={**state.reversals, of: owed})
            return _change_txn(state, of, lambda txn: replace(txn, status=TxnStatus.UNKNOWN, why=record.why))
        case r.ReversalAttempted():
            txn = state.find(of)
            exchange = Exchange(ExchangeKind.REVERSAL, txn.stan if txn else None, at_ms, of)
            state = replace(state, exchange=exchange)
            return _change_reversal(
                state, of, lambda rev: replace(rev, attempts=record.attempt, last_attempt_ms=at_ms, last_code=None)
            )
        case r.ReversalUnanswered():
            state = _end_exchange(state, of)
            return _change_reversal(
                state, of, lambda rev: replace(rev, unanswered=rev.unanswered + 1, reason=record.reason)
            )
        case r.ReversalRefused():
            state = _end_exchange(state, of)
            return _change_reversal(
                state,
                of,
                lambda rev: replace(rev, refused=rev.refused + 1, reason=record.reason, last_code=record.code),
            )
        case r.ReversalNeedsSignIn():
            state = _end_exchange(state, of)
            return _change_reversal(
                state,
                of,
                lambda rev: replace(rev, signed_in_for=True, attempts=max(rev.attempts - 1, 0), last_code=record.code),
            )
        case r.ReversalAcknowledged():
            state = _end_exchange(state, of)
            state = _change_txn(state, of, lambda txn: replace(txn, status=TxnStatus.REVERSED))
            return _change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev, status=ReversalStatus.ACKNOWLEDGED, last_code=record.code, flagged=record.flagged
                ),
            )
        case r.ReversalStuck():
            return _change_reversal(state, of, lambda rev: replace(rev, status=ReversalStatus.STUCK))
        case r.ReversalConflict():
            state = _end_exchange(state, of)
            return _change_reversal(
                state, of, lambda rev: replace(rev, status=ReversalStatus.CONFLICT, last_code=record.code)
            )
        case r.ReversalReopened():
            state = _change_txn(state, of, lambda txn: replace(txn, status=TxnStatus.UNKNOWN))
            return _change_reversal(
                state, of, lambda rev: replace(rev, status=ReversalStatus.OWED, attempts=0, unanswered=0)
            )
        case r.ReversalRetryWanted():
            return _change_reversal(state, of, _retry_wanted)
        case r.ReversalResolved():
            state = _change_txn(state, of, lambda txn: replace(txn, status=TxnStatus.RESOLVED))
            return _change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev, status=ReversalStatus.RESOLVED, resolved_by=record.by, resolved_reason=record.reason
                ),
            )
        case r.ReversalCarriedOver():
            return _change_reversal(state, of, lambda rev: replace(rev, carried_over=True))
        case _:
            raise AssertionError(f"not a reversal's record: {type(record).__name__}")


def _retry_wanted(reversal: Reversal) -> Reversal:
    if reversal.status is not ReversalStatus.STUCK:
        return reversal
    return replace(reversal, status=ReversalStatus.OWED, attempts=0)


def _due(
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
                SettlementPhase.DRAINING, cause=record.cause, due_ms=record.due_ms, begun_at_ms=at_ms
            )
        case r.SettlementUnconfirmed():
            settlement = replace(settlement, phase=SettlementPhase.UNCONFIRMED, postponed_because=record.because)
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)
    return replace(state, settlement=settlement)


def _totals(state: State, record: r.TotalsAsked | r.TotalsUnanswered | r.TotalsAnswered, at_ms: int) -> State:
    settlement = state.settlement
    match record:
        case r.TotalsAsked():
            settlement = replace(
                settlement,
                phase=SettlementPhase.TOTALS,
                stan=record.stan,
                totals=record.totals,
                asked=record.attempt,
                postponed_because="",
            )
            return _in_flight(state, settlement, ExchangeKind.TOTALS, record.stan, at_ms)
        case r.TotalsUnanswered():
            return replace(state, settlement=replace(settlement, postponed_because=record.because), exchange=None)
        case r.TotalsAnswered():
            phase = SettlementPhase.UPLOADING if record.items else SettlementPhase.TRAILER
            settlement = replace(settlement, phase=phase, host=record.host, items=record.items, asked=0)
            return replace(state, settlement=settlement, exchange=None)
        case _:
            assert_never(record)


def _upload(
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
    if settlement.uploaded >= len(settlement.items):
        settlement = replace(settlement, phase=SettlementPhase.TRAILER)
    return replace(state, settlement=settlement, exchange=None)


def _trailer(state: State, record: r.TrailerSent | r.TrailerUnanswered, at_ms: int) -> State:
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
        stan=_after(state, stan),
    )


def _close(state: State, outcome: CloseOutcome, begun_ms: int, at_ms: int, totals: Totals) -> LastClose:
    carried = sum(1 for reversal in state.reversals.values() if reversal.status in UNENDED)
    return LastClose(state.batch.identity, state.batch.number, begun_ms, at_ms, outcome, totals, carried)


def _next_batch(state: State, close: LastClose, number: BatchNumber, at_ms: int) -> State:
    """The next batch; what is still owed keeps its transaction for as long as it is owed (D19, D33)."""
    reversals = {of: rev for of, rev in state.reversals.items() if rev.status in UNENDED}
    owing = {of: txn for of, txn in state.closed.items() if of in reversals}
    return replace(
        state,
        batch=Batch(state.batch.identity + 1, number, at_ms),
        transactions={},
        closed={**owing, **state.transactions},
        reversals=reversals,
        tombstones=(),
        settlement=Settlement(),
        last_close=close,
        exchange=None,
    )


def _after(state: State, stan: Stan) -> Stan:
    """A new number was used: the counter moves. A repeat with its own number leaves it alone."""
    return next_stan(stan) if stan == state.stan else state.stan


def _end_exchange(state: State, request_id: RequestId) -> State:
    if state.exchange is not None and state.exchange.request_id == request_id:
        return replace(state, exchange=None)
    return state


def _change_txn(state: State, of: RequestId, change: Callable[[Transaction], Transaction]) -> State:
    if of in state.transactions:
        return replace(state, transactions={**state.transactions, of: change(state.transactions[of])})
    if of in state.closed:
        return replace(state, closed={**state.closed, of: change(state.closed[of])})
    return state


def _change_reversal(state: State, of: RequestId, change: Callable[[Reversal], Reversal]) -> State:
    return replace(state, reversals={**state.reversals, of: change(state.reversals[of])})
