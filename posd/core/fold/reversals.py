"""The fold of a reversal's records; the table with its rules stands in reversals.py."""

from typing import assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.fold.edits import change_reversal, change_txn, confirmed, end_exchange, moved
from posd.core.rules import Why
from posd.core.state import HISTORY_MAX, Attempt, Exchange, Reversal, ReversalStatus, State
from posd.core.tables import reversals, transactions
from posd.core.tables.reversals import Input
from posd.values import RequestId, Stan

Answered = (
    r.ReversalUnanswered | r.ReversalRefused | r.ReversalNeedsSignIn | r.ReversalAcknowledged | r.ReversalConflict
)
"""What ends the attempt in flight."""

Changed = r.ReversalStuck | r.ReversalReopened | r.ReversalRetryWanted | r.ReversalResolved | r.ReversalCarriedOver
"""What happens to a reversal between its attempts."""

ReversalRecord = r.ReversalOwed | r.ReversalAttempted | Answered | Changed

SILENT = frozenset({Why.TIMEOUT, Why.LINK, Why.RESTART})
"""Only silence leaves open whether the host has reversed; an answer that cannot be trusted does not (D11)."""

MOVES_TXN: dict[type, transactions.Input] = {
    r.ReversalOwed: transactions.Input.UNKNOWN,
    r.ReversalAcknowledged: transactions.Input.ACKNOWLEDGED,
    r.ReversalReopened: transactions.Input.REOPENED,
    r.ReversalResolved: transactions.Input.RESOLVED,
}
"""What a reversal's record does to its transaction."""


def apply_reversal(state: State, record: ReversalRecord, at_ms: int) -> State:
    """The state after one record of a reversal's life."""
    of = record.request_id
    if (what := MOVES_TXN.get(type(record))) is not None:
        state = change_txn(state, of, lambda txn: moved(txn, what))
    match record:
        case r.ReversalOwed():
            return _owed(state, record, at_ms)
        case r.ReversalAttempted():
            return _attempted(state, record, at_ms)
        case r.ReversalStuck() | r.ReversalReopened() | r.ReversalRetryWanted() | r.ReversalResolved():
            return change_reversal(state, of, lambda reversal: _after(reversal, record))
        case r.ReversalCarriedOver():
            return change_reversal(state, of, lambda reversal: replace(reversal, carried_over=True))
        case _:
            return change_reversal(end_exchange(state, of), of, lambda reversal: _after_answer(reversal, record))


def _owed(state: State, record: r.ReversalOwed, at_ms: int) -> State:
    of = record.request_id
    owed = Reversal(of, record.why, record.reason, at_ms, icc=record.icc)
    state = replace(state, reversals={**state.reversals, of: owed})
    return confirmed(change_txn(_count_again(state, of), of, lambda txn: replace(txn, why=record.why)), of)


def _count_again(state: State, of: RequestId) -> State:
    """A void that is taken back leaves its original in the totals."""
    txn = state.find(of)
    original = state.find(txn.original) if txn is not None and txn.original is not None else None
    if original is None or original.replaced_by != of:
        return state
    return change_txn(state, original.request_id, lambda one: replace(one, replaced_by=None))


def _attempted(state: State, record: r.ReversalAttempted, at_ms: int) -> State:
    of = record.request_id
    state = replace(state, exchange=Exchange(ExchangeKind.REVERSAL, _stan(state, of), at_ms, of))
    attempt = Attempt(at_ms, record.reason)
    return change_reversal(
        state,
        of,
        lambda reversal: replace(
            reversal,
            attempts=record.attempt,
            last_attempt_ms=at_ms,
            last_code=None,
            unsayable="",
            history=(*reversal.history, attempt)[-HISTORY_MAX:],
        ),
    )


def _stan(state: State, of: RequestId) -> Stan | None:
    txn = state.find(of)
    return txn.stan if txn is not None else None


def _after_answer(reversal: Reversal, record: Answered) -> Reversal:
    """The attempt in flight has ended: with a code, or without an answer that can be trusted."""
    if isinstance(record, r.ReversalUnanswered):
        return replace(
            reversal,
            status=_to(reversal, Input.UNANSWERED),
            attempts=max(reversal.attempts - (record.because is Why.NOT_SENT), 0),
            unanswered=reversal.unanswered + (record.because in SILENT),
            reason=record.reason,
            history=_ended(reversal, because=record.because),
        )
    reversal = replace(reversal, last_code=record.code, history=_ended(reversal, code=record.code))
    match record:
        case r.ReversalRefused():
            refused = reversal.refused + 1
            return replace(reversal, status=_to(reversal, Input.REFUSED), refused=refused, reason=record.reason)
        case r.ReversalNeedsSignIn():
            return replace(reversal, signed_in_for=True, attempts=max(reversal.attempts - 1, 0))
        case r.ReversalAcknowledged():
            return replace(reversal, status=_to(reversal, Input.ACKNOWLEDGED), flagged=record.flagged)
        case r.ReversalConflict():
            return replace(reversal, status=_to(reversal, Input.CONTRADICTED))
        case _:
            assert_never(record)


def _after(
    reversal: Reversal, record: r.ReversalStuck | r.ReversalReopened | r.ReversalRetryWanted | r.ReversalResolved
) -> Reversal:
    """Something happened to it between its attempts. A stuck one that is retried gets its attempts anew."""
    match record:
        case r.ReversalStuck():
            return replace(reversal, status=_to(reversal, Input.EXHAUSTED), unsayable=record.because)
        case r.ReversalReopened():
            # The denial refuted that an earlier attempt had reversed it: those count no more (D11).
            return replace(reversal, status=_to(reversal, Input.REOPENED), attempts=0, unanswered=0)
        case r.ReversalRetryWanted():
            attempts = 0 if reversal.status is ReversalStatus.STUCK else reversal.attempts
            return replace(reversal, status=_to(reversal, Input.RETRY), attempts=attempts, held=False)
        case r.ReversalResolved():
            ended = _to(reversal, Input.RESOLVED)
            return replace(reversal, status=ended, held=False, resolved_by=record.by, resolved_reason=record.reason)
        case _:
            assert_never(record)


def _ended(reversal: Reversal, code: str | None = None, because: Why | None = None) -> tuple[Attempt, ...]:
    """The history with the outcome of the attempt that was in flight."""
    if not reversal.history:
        return ()
    *earlier, last = reversal.history
    return (*earlier, replace(last, code=code, because=because))


def _to(reversal: Reversal, what: Input) -> ReversalStatus:
    return reversals.move(reversal.status, what)
