"""Approvals that a till has to confirm within a time, or they are reversed (D16, `confirm_within_s`).

- Wanted for a till's reversible requests, where the setting is on; what was wanted stands in the record of the request.
- The time begins with the approval, and again with a restart: a till cannot confirm to a posd that is not there.
- Only the till's own word confirms: that it took the answer, or asked for something else, says nothing. To name a sale
  in a void or refund does: it has the sale.
- When the time is over a reversal is owed like any other; a confirmation that comes after that is refused.
- The totals of a batch wait for its open confirmations (settlement.py); they end by themselves, one way or the other.
"""

from msgspec.structs import replace

from posd.core import originals
from posd.core import records as r
from posd.core.answers import AnswerFacts
from posd.core.draft import Draft
from posd.core.effects import Refusal, Result, ToTerminal
from posd.core.events import TillConfirmed
from posd.core.rules import Why
from posd.core.state import State, Transaction, TxnStatus
from posd.values import RequestId

SWITCHED_OFF_S = 60.0
"""For what was to be confirmed when posd ended, where the setting was switched off since: its till still owes its word,
and must have the time to say it."""


def still_open(state: State) -> list[Transaction]:
    """Approvals of the open batch that wait for the till's word; oldest first."""
    waiting = (state.transactions.get(request_id) for request_id in state.unconfirmed)
    return [txn for txn in waiting if txn is not None and txn.confirm and txn.status is TxnStatus.APPROVED]


def begin(draft: Draft, request_id: RequestId) -> None:
    """It was approved: the till has so long to confirm it."""
    txn = draft.state.find(request_id)
    if txn is not None and txn.confirm:
        until_s = draft.now.monotonic_s + (draft.rules.confirm_within_s or SWITCHED_OFF_S)
        waiting = {**draft.agenda.confirm_until_s, request_id: until_s}
        draft.agenda = replace(draft.agenda, confirm_until_s=waiting)


def begin_again(draft: Draft) -> None:
    """After a restart nobody knows how long it has been: the whole time for each."""
    for txn in still_open(draft.state):
        begin(draft, txn.request_id)


def confirmed(draft: Draft, event: TillConfirmed) -> None:
    """The till has it."""
    txn = draft.state.find(event.request_id)
    if txn is None:
        draft.refuse(event.reply_to, Refusal.NO_ORIGINAL, "there is no such transaction")
    elif txn.status is not TxnStatus.APPROVED:
        why = "it has no outcome yet" if txn.status is TxnStatus.SENT else f"it is {txn.status}"
        draft.refuse(event.reply_to, Refusal.NOT_CONFIRMABLE, f"only what is approved can be confirmed; {why}")
    else:
        by_word(draft, txn)
        facts = txn.facts or AnswerFacts("00")
        draft.answer(ToTerminal(event.reply_to, Result(facts, txn.request_id, txn.approved_minor)))


def by_word(draft: Draft, txn: Transaction) -> None:
    """The till says, or shows by naming it, that it has the approval."""
    if txn.request_id in draft.state.unconfirmed:
        draft.record(r.AnswerHandedOver(txn.request_id))


def by_naming(draft: Draft, original: Transaction) -> None:
    """Who names it has it, and has the void because of which it is there to be named again."""
    by_word(draft, original)
    for void in originals.freed_by(draft.state, draft.rules, original.request_id):
        by_word(draft, void)


def expire(draft: Draft) -> None:
    """What was not confirmed in time is reversed."""
    waiting = draft.agenda.confirm_until_s
    if not waiting:
        return
    for txn in still_open(draft.state):
        if waiting.get(txn.request_id, draft.now.monotonic_s) <= draft.now.monotonic_s:
            draft.record(r.ReversalOwed(txn.request_id, Why.NOT_CONFIRMED, _reason(draft)))
            draft.alert("not_confirmed", request_id=txn.request_id)
    waited_for = {txn.request_id for txn in still_open(draft.state)}
    left = {request_id: until_s for request_id, until_s in waiting.items() if request_id in waited_for}
    draft.agenda = replace(draft.agenda, confirm_until_s=left)


def _reason(draft: Draft) -> str:
    return draft.rules.reversal_reasons[Why.NOT_CONFIRMED]
