"""The edits that every part of the fold makes: change one transaction or reversal, end an exchange, use a number."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from posd.core.records import AdviceStored, AuthorisationStarted
from posd.core.state import Advice, Reversal, State, Transaction, TxnStatus
from posd.core.tables import transactions
from posd.values import RequestId, Stan, next_stan


def after(state: State, stan: Stan) -> Stan:
    """A new number was used: the counter moves. A repeat with its own number leaves it alone."""
    return next_stan(stan) if stan == state.stan else state.stan


def confirmed(state: State, of: RequestId) -> State:
    """Whether the terminal has the approval is no longer a question."""
    if of not in state.unconfirmed:
        return state
    return replace(state, unconfirmed=tuple(other for other in state.unconfirmed if other != of))


def end_exchange(state: State, request_id: RequestId) -> State:
    if state.exchange is not None and state.exchange.request_id == request_id:
        return replace(state, exchange=None)
    return state


def change_txn(state: State, of: RequestId, change: Callable[[Transaction], Transaction]) -> State:
    if of in state.transactions:
        return replace(state, transactions={**state.transactions, of: change(state.transactions[of])})
    if of in state.closed:
        return replace(state, closed={**state.closed, of: change(state.closed[of])})
    return state


def begun(
    state: State, record: AuthorisationStarted | AdviceStored, status: TxnStatus, at_ms: int, **more: Any
) -> Transaction:
    """The transaction that this record begins, in the open batch; `more`: what only one kind of them says."""
    return Transaction(
        request_id=record.request_id,
        kind=record.kind,
        status=status,
        amount_minor=record.amount_minor,
        stan=record.stan,
        batch=state.batch.identity,
        batch_number=record.batch_number,
        terminal_batch=record.terminal_batch,
        terminal_stan=record.terminal_stan,
        at_ms=at_ms,
        fingerprint=record.fingerprint,
        entry_mode=record.entry_mode,
        options=record.options,
        card=record.card,
        original=record.original,
        reference=record.reference,
        tip_minor=record.tip_minor,
        invoice=record.invoice,
        **more,
    )


def change_reversal(state: State, of: RequestId, change: Callable[[Reversal], Reversal]) -> State:
    return replace(state, reversals={**state.reversals, of: change(state.reversals[of])})


def change_advice(state: State, of: RequestId, change: Callable[[Advice], Advice]) -> State:
    return replace(state, advices={**state.advices, of: change(state.advices[of])})


def moved(txn: Transaction, what: transactions.Input) -> Transaction:
    return replace(txn, status=transactions.move(txn.status, what))
