"""A person gives the open batch another number, where it is the terminal that counts batches (D7, reference 2.4).

A host that expects another number refuses the totals ("bad batch number") and has closed nothing; but from the totals
on nothing else leaves, so that nothing is sold until the number is right.

- Only where requests do not carry the number: else those that are open were sent under the old one, and the host gives
  the next number itself, with a sign-in.
- Never while the host may have acted on the old number: a message on its way, totals without an answer, an upload, an
  end message. Then the question is whether it closed the batch (settlement.decide).
- Never while something of the open batch is owed: nobody knows into which batch of the host's it will fall.
- Each transaction keeps the number that it was sent with. Totals that were refused are asked anew, as a new question.
"""

from posd.core import records as r
from posd.core.advices import undelivered_in_batch
from posd.core.draft import Draft
from posd.core.events import SetBatchNumber
from posd.core.settlement import SETTLE, owed_in_batch
from posd.core.state import SettlementPhase

NOT_ASKED = frozenset({SettlementPhase.OPEN, SettlementPhase.DRAINING})


def set_number(draft: Draft, event: SetBatchNumber) -> tuple[bool, str]:
    """Whether it was set, and what to tell the person."""
    before = draft.state.batch.number
    why_not = _why_not(draft, event)
    if why_not:
        return False, f"{why_not}; it stays {before:06d}"
    draft.record(r.BatchNumberSet(event.number, event.by, event.reason, event.who))
    draft.at_once(SETTLE)
    draft.note("batch_number_set", number=event.number, before=before, by=event.by)
    text = f"the open batch is {event.number:06d} from now on (it was {before:06d}), set by {event.by}"
    last = draft.state.last_close
    if last is not None and last.batch_number == event.number:
        draft.alert("batch_number_was_closed_by_us", number=event.number)
        text += "; posd closed a batch of this number: make sure that the acquirer has it open"
    return True, text


def _why_not(draft: Draft, event: SetBatchNumber) -> str:
    state, settlement = draft.state, draft.state.settlement
    if draft.rules.terminal_tells_batch:
        return "this acquirer gives the batch number itself, with each sign-in"
    if state.gap is not None:
        return "posd was restored from a backup; say which batch the host has open with posd restore-gap admit"
    if event.number == state.batch.number:
        return "that is its number already"
    if state.exchange is not None:
        return "a message is on its way to the host; wait for its answer, then try again"
    asked = settlement.phase not in NOT_ASKED
    if asked and (settlement.phase is not SettlementPhase.TOTALS or settlement.unanswered):
        return "the host may have closed the batch under this number; say whether it did: posd settle --decide"
    if owed_in_batch(draft) or undelivered_in_batch(state):
        return "reversals or advices of this batch are owed; they have to be delivered or resolved first"
    return ""
