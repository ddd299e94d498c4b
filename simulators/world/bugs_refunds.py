"""Planted bugs of refunds: what they name, and what their silence means (D13)."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from msgspec import structs

from posd.core import records as r
from posd.core import refunds
from posd.core.rules import TxnKind
from posd.core.state import Evidence, TxnStatus
from posd.profiles.unionpay import data, from_terminal
from posd.profiles.unionpay.profile import UnionPay
from simulators.world.plan import Plan
from simulators.world.planting import patched, plain


def refund_of_anything() -> AbstractContextManager[None]:
    """A terminal's refund names a sale that posd knows, and nobody looks what became of that."""
    original = from_terminal._original

    def none_of_ours(message: Any, kind: TxnKind, row: Any, named: Any) -> Any:
        return None if kind is TxnKind.REFUND else original(message, kind, row, named)

    return patched(from_terminal, "_original", none_of_ours)


def with_slips(plan: Plan) -> Plan:
    """Customers who bring back what they bought."""
    return replace(plain(plan), slips=0.9)


def refund_reversed() -> AbstractContextManager[None]:
    """A refund without an answer is reversed like a sale."""
    kinds = {kind: structs.replace(rules, reversible=True, in_doubt=False) for kind, rules in data.KINDS.items()}
    return patched(UnionPay, "kinds", kinds)


def refund_sent_until_answered() -> AbstractContextManager[None]:
    """A refund in doubt is repeated as long as its terminal waits, not once."""
    return patched(refunds, "_may_repeat", _still_in_doubt)


def _still_in_doubt(draft: Any, request_id: Any) -> bool:
    txn = draft.state.find(request_id)
    repeat = draft.agenda.repeat
    in_time = repeat is not None and repeat[0] == request_id and repeat[1] > draft.now.monotonic_s
    return in_time and txn is not None and txn.status is TxnStatus.IN_DOUBT


def doubt_ends_as_approved() -> AbstractContextManager[None]:
    """Any totals settle what is in doubt: it will have happened."""

    def happened(draft: Any, host: Any) -> None:
        for txn in draft.state.transactions.values():
            if txn.status is TxnStatus.IN_DOUBT:
                draft.record(r.RefundResolved(txn.request_id, True, Evidence.RECONCILIATION))

    return patched(refunds, "reconcile", happened)
