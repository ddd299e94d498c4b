"""The fold of a reversal's records; the table with its rules stands in reversals.py."""

from dataclasses import replace
from typing import Any

from posd.core import records as r
from posd.core import reversals, transactions
from posd.core.answers import ExchangeKind
from posd.core.edits import change_reversal, change_txn, confirmed, end_exchange, moved
from posd.core.rules import Why
from posd.core.state import HISTORY_MAX, Attempt, Exchange, Reversal, ReversalStatus, State


def apply_reversal(state: State, record: Any, at_ms: int) -> State:
    """The state after one record of a reversal's life."""
    of = record.request_id
    match record:
        case r.ReversalOwed():
            owed = Reversal(of, record.why, record.reason, at_ms)
            state = confirmed(replace(state, reversals={**state.reversals, of: owed}), of)
            return change_txn(
                state,
                of,
                lambda txn: replace(
                    txn, status=transactions.move(txn.status, transactions.Input.UNKNOWN), why=record.why
                ),
            )
        case r.ReversalAttempted():
            txn = state.find(of)
            exchange = Exchange(ExchangeKind.REVERSAL, txn.stan if txn else None, at_ms, of)
            state = replace(state, exchange=exchange)
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    attempts=record.attempt,
                    last_attempt_ms=at_ms,
                    last_code=None,
                    unsayable="",
                    history=(*rev.history, Attempt(at_ms, record.reason))[-HISTORY_MAX:],
                ),
            )
        case r.ReversalUnanswered():
            state = end_exchange(state, of)
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    status=_to(rev, reversals.Input.UNANSWERED),
                    unanswered=rev.unanswered + 1,
                    reason=record.reason,
                    history=_ended(rev, because=record.because),
                ),
            )
        case r.ReversalRefused():
            state = end_exchange(state, of)
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    status=_to(rev, reversals.Input.REFUSED),
                    refused=rev.refused + 1,
                    reason=record.reason,
                    last_code=record.code,
                    history=_ended(rev, code=record.code),
                ),
            )
        case r.ReversalNeedsSignIn():
            state = end_exchange(state, of)
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    signed_in_for=True,
                    attempts=max(rev.attempts - 1, 0),
                    last_code=record.code,
                    history=_ended(rev, code=record.code),
                ),
            )
        case r.ReversalAcknowledged():
            state = end_exchange(state, of)
            state = change_txn(state, of, lambda txn: moved(txn, transactions.Input.ACKNOWLEDGED))
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    status=_to(rev, reversals.Input.ACKNOWLEDGED),
                    last_code=record.code,
                    flagged=record.flagged,
                    history=_ended(rev, code=record.code),
                ),
            )
        case r.ReversalStuck():
            return change_reversal(
                state,
                of,
                lambda rev: replace(rev, status=_to(rev, reversals.Input.EXHAUSTED), unsayable=record.because),
            )
        case r.ReversalConflict():
            state = end_exchange(state, of)
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev,
                    status=_to(rev, reversals.Input.CONTRADICTED),
                    last_code=record.code,
                    history=_ended(rev, code=record.code),
                ),
            )
        case r.ReversalReopened():
            state = change_txn(state, of, lambda txn: moved(txn, transactions.Input.REOPENED))
            return change_reversal(
                state, of, lambda rev: replace(rev, status=_to(rev, reversals.Input.REOPENED), attempts=0)
            )
        case r.ReversalRetryWanted():
            return change_reversal(state, of, _retry_wanted)
        case r.ReversalResolved():
            state = change_txn(state, of, lambda txn: moved(txn, transactions.Input.RESOLVED))
            return change_reversal(
                state,
                of,
                lambda rev: replace(
                    rev, status=_to(rev, reversals.Input.RESOLVED), resolved_by=record.by, resolved_reason=record.reason
                ),
            )
        case r.ReversalCarriedOver():
            return change_reversal(state, of, lambda rev: replace(rev, carried_over=True))
        case _:
            raise AssertionError(f"not a reversal's record: {type(record).__name__}")


def _ended(reversal: Reversal, code: str | None = None, because: Why | None = None) -> tuple[Attempt, ...]:
    """The history with the outcome of the attempt that was in flight."""
    if not reversal.history:
        return ()
    *earlier, last = reversal.history
    return (*earlier, replace(last, code=code, because=because))


def _retry_wanted(reversal: Reversal) -> Reversal:
    """A stuck one gets its attempts anew."""
    attempts = 0 if reversal.status is ReversalStatus.STUCK else reversal.attempts
    return replace(reversal, status=_to(reversal, reversals.Input.RETRY), attempts=attempts)


def _to(reversal: Reversal, what: reversals.Input) -> ReversalStatus:
    return reversals.move(reversal.status, what)
