"""What a terminal still lives by, and so must stay in the database: pure, from its state (D33).

A state holds the open and the last closed batch; older transactions are looked up by index, in segments too. Whatever
is not over stays whole, however old it is. It must never let anything go because it is old.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from posd.core.state import SettlementPhase, State
from posd.values import RequestId, Tid


@dataclass(frozen=True, slots=True)
class Keep:
    """No row may go from the first one of `request_id` on; None: from the begin of the settlement. `why`: in words."""

    tid: Tid
    request_id: RequestId | None
    why: str


def keeps(state: State, configured: bool = True) -> Iterator[Keep]:
    """Everything that this terminal still needs; the first transaction of a batch stands for all of it.

    One that is `configured` no more asks for nothing again: of it only what is not over stays.
    """
    tid = state.tid
    for of in list(state.transactions)[:1]:
        yield Keep(tid, of, "its batch is open")
    if state.settlement.phase is not SettlementPhase.OPEN:
        yield Keep(tid, None, "its settlement is under way")
    last = state.last_close.batch if state.last_close is not None else None
    for txn in [txn for txn in state.closed.values() if configured and txn.batch == last][:1]:
        yield Keep(tid, txn.request_id, "it is of the last closed batch")
    for reversal in state.unended_reversals():
        yield Keep(tid, reversal.request_id, "its reversal is owed")
    for advice in [advice for advice in state.advices.values() if not state.is_over(advice)]:
        yield Keep(tid, advice.request_id, "its advice is not over")
        for of in state.named_by(advice.request_id) - {advice.request_id}:
            yield Keep(tid, of, "an advice about it is not over")
    for txn in state.in_doubt():
        yield Keep(tid, txn.request_id, "it is a refund in doubt")
    for of in state.unconfirmed:
        yield Keep(tid, of, "its approval is not confirmed")
    if state.exchange is not None and state.exchange.request_id is not None:
        yield Keep(tid, state.exchange.request_id, "its answer is waited for")
