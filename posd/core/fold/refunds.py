"""The fold of what becomes of a refund in doubt; the rules stand in refunds.py (D13)."""

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.fold.edits import change_txn, end_exchange, moved
from posd.core.state import Exchange, FoundOut, State
from posd.core.tables import transactions


def apply_refund(state: State, record: r.RefundInDoubt | r.RefundRepeated | r.RefundResolved, at_ms: int) -> State:
    """The state after one record of a refund in doubt."""
    of = record.request_id
    match record:
        case r.RefundInDoubt():
            return change_txn(
                end_exchange(state, of),
                of,
                lambda txn: replace(
                    moved(txn, transactions.Input.DOUBTED),
                    why=record.why,
                    approval_seen=txn.approval_seen or record.approval_seen,
                    facts=None,
                    found_out=None,
                ),
            )
        case r.RefundRepeated():
            txn = state.find(of)
            exchange = Exchange(ExchangeKind.TRANSACTION, txn.stan if txn else None, at_ms, of)
            return change_txn(replace(state, exchange=exchange), of, lambda txn: replace(txn, repeated=True))
        case r.RefundResolved():
            what = transactions.Input.HAPPENED if record.happened else transactions.Input.MISSING
            known = FoundOut(record.happened, record.how, at_ms, record.by, record.reason)
            return change_txn(
                end_exchange(state, of),
                of,
                lambda txn: replace(moved(txn, what), facts=record.facts, found_out=known),
            )
