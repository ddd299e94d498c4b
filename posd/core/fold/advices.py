"""The fold of an advice's records; the table with its rules stands in advices.py."""

from typing import assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.fold.edits import after, begun, change_advice, change_txn, end_exchange, moved
from posd.core.rules import Why
from posd.core.state import HISTORY_MAX, Advice, AdviceStatus, Attempt, Exchange, State, TxnStatus
from posd.core.tables import advices, transactions
from posd.core.tables.advices import Input

Answered = r.AdviceUnanswered | r.AdviceNeedsSignIn | r.AdviceAcknowledged | r.AdviceRefused
"""What ends the attempt in flight, if one is."""

Between = r.AdviceStuck | r.AdviceNotBooked | r.AdviceSettled | r.AdviceCarriedOver
Changed = Between | r.AdviceCancelled | r.AdviceRetryWanted | r.AdviceResolved
"""What happens to an advice between its attempts."""

AdviceRecord = r.AdviceStored | r.AmountReplaced | r.AdviceAttempted | Answered | Changed

MOVES_TXN: dict[type, transactions.Input] = {
    r.AdviceAcknowledged: transactions.Input.APPROVED,
    r.AdviceSettled: transactions.Input.APPROVED,
    r.AdviceRefused: transactions.Input.DECLINED,
    r.AdviceCancelled: transactions.Input.CANCELLED,
    r.AdviceResolved: transactions.Input.RESOLVED,
}
"""What an advice's record does to its transaction."""


def apply_advice(state: State, record: AdviceRecord, at_ms: int) -> State:
    """The state after one record of an advice's life."""
    of = record.request_id
    if (what := MOVES_TXN.get(type(record))) is not None:
        state = change_txn(state, of, lambda txn: moved(txn, what))
    match record:
        case r.AdviceStored():
            return _stored(state, record, at_ms)
        case r.AmountReplaced():
            return change_txn(state, of, lambda txn: replace(txn, replaced_by=record.by))
        case r.AdviceAttempted():
            return _attempted(state, record, at_ms)
        case r.AdviceUnanswered() | r.AdviceNeedsSignIn() | r.AdviceRefused():
            return change_advice(end_exchange(state, of), of, lambda advice: _after_answer(advice, record))
        case r.AdviceAcknowledged():
            state = change_txn(end_exchange(state, of), of, lambda txn: replace(txn, facts=record.facts))
            return change_advice(state, of, lambda advice: _after_answer(advice, record))
        case _:
            return change_advice(state, of, lambda advice: _after(advice, record))


def _stored(state: State, record: r.AdviceStored, at_ms: int) -> State:
    of = record.request_id
    txn = begun(state, record, TxnStatus.STORED, at_ms, of_foreign=record.foreign)
    return replace(
        state,
        transactions={**state.transactions, of: txn},
        advices={**state.advices, of: Advice(of, at_ms)},
        stan=after(state, record.stan),
    )


def _attempted(state: State, record: r.AdviceAttempted, at_ms: int) -> State:
    of = record.request_id
    state = change_txn(state, of, lambda txn: replace(txn, batch_number=record.batch_number))
    txn = state.find(of)
    exchange = Exchange(ExchangeKind.TRANSACTION, txn.stan if txn is not None else None, at_ms, of)
    return change_advice(
        replace(state, exchange=exchange),
        of,
        lambda advice: replace(
            advice,
            attempts=record.attempt,
            last_attempt_ms=at_ms,
            last_code=None,
            unsayable="",
            wanted=False,
            history=(*advice.history, Attempt(at_ms, ""))[-HISTORY_MAX:],
        ),
    )


def _after_answer(advice: Advice, record: Answered) -> Advice:
    """The attempt in flight has ended: with a code, or without an answer that can be trusted."""
    match record:
        case r.AdviceUnanswered():
            return replace(
                advice,
                status=_to(advice, Input.UNANSWERED),
                attempts=max(advice.attempts - (record.because is Why.NOT_SENT), 0),
                unanswered=advice.unanswered + record.may_have_arrived,
                last_code=record.code,
                history=_ended(advice, record.code, record.because),
            )
        case r.AdviceNeedsSignIn():
            attempts = max(advice.attempts - 1, 0)
            history = _ended(advice, record.code)
            return replace(advice, signed_in_for=True, attempts=attempts, last_code=record.code, history=history)
        case r.AdviceRefused():
            code, history = record.code, _ended(advice, record.code)
            what = Input.DOUBTED if record.may_be_booked else Input.REFUSED
            return replace(advice, status=_to(advice, what), last_code=code, history=history)
        case r.AdviceAcknowledged():
            code, history = record.facts.code, _ended(advice, record.facts.code)
            return replace(advice, status=_to(advice, Input.ACKNOWLEDGED), last_code=code, history=history)
        case _:
            assert_never(record)


def _after(advice: Advice, record: Changed) -> Advice:
    """Something happened to it between its attempts. A stuck one that is retried gets its attempts anew."""
    match record:
        case r.AdviceStuck():
            return replace(advice, status=_to(advice, Input.EXHAUSTED), unsayable=record.because)
        case r.AdviceNotBooked():
            return replace(advice, status=_to(advice, Input.NOT_BOOKED))
        case r.AdviceSettled():
            return replace(advice, status=_to(advice, Input.SETTLED), settled=record.how)
        case r.AdviceCarriedOver():
            return replace(advice, carried_over=True)
        case r.AdviceCancelled():
            return replace(advice, status=_to(advice, Input.CANCELLED))
        case r.AdviceRetryWanted():
            attempts = 0 if advice.status is AdviceStatus.STUCK else advice.attempts
            return replace(advice, status=_to(advice, Input.RETRY), attempts=attempts, wanted=True, held=False)
        case r.AdviceResolved():
            ended = _to(advice, Input.RESOLVED)
            return replace(advice, status=ended, resolved_by=record.by, resolved_reason=record.reason)
        case _:
            assert_never(record)


def _ended(advice: Advice, code: str | None = None, because: Why | None = None) -> tuple[Attempt, ...]:
    """The history with the outcome of the attempt that was in flight; what the upload said belongs to none."""
    if not advice.history or advice.history[-1].code is not None or advice.history[-1].because is not None:
        return advice.history
    *earlier, last = advice.history
    return (*earlier, replace(last, code=code, because=because))


def _to(advice: Advice, what: Input) -> AdviceStatus:
    return advices.move(advice.status, what)
