"""How long card numbers are kept after the close of their batch, and what may not be taken yet (D29).

A batch's numbers go this way, once, and never back:

    kept (the batch is closed) --NumbersExpired--> expiring --NumbersDestroyed--> gone

- The record comes first: whoever finds a number gone finds out why. Killed in between, they are still expiring, and the
  next start destroys the keys again.
- Kept, however old: the numbers of an open batch, and of one of which anything is owed: a reversal, an advice, a refund
  in doubt, and what an advice that is not over refers to.
- While the gap of a restored journal is open, nothing expires: nobody knows yet what is owed.
- How old is judged by a time that the daemon vouches for: a clock that jumped must never destroy a number.
- What comes late for a batch whose numbers are gone is kept with the open one.

This is bookkeeping: it moves no money, and never holds up what does.
"""

from posd.core import events as e
from posd.core import records as r
from posd.core.draft import Draft
from posd.core.state import SettlementPhase, State


def expire(draft: Draft, event: e.NumbersDue) -> None:
    """Record what has been kept long enough; in a quiet moment only, the daemon asks again."""
    state = draft.state
    busy = state.exchange is not None or bool(draft.agenda.queue) or state.settlement.phase is not SettlementPhase.OPEN
    if busy or state.gap is not None:
        return
    due = due_batches(state, event.closed_before_ms)
    if due:
        closed_until_ms = max(state.numbers_kept[batch] for batch in due)
        draft.record(r.NumbersExpired(due, closed_until_ms, event.kept_days))
        draft.note("card_numbers_expired", batches=len(due), kept_days=event.kept_days)


def destroyed(draft: Draft, event: e.KeysDestroyed) -> None:
    """The data keys are gone everywhere."""
    draft.record(r.NumbersDestroyed(event.batches, event.key_ids, event.files))
    draft.note("card_numbers_destroyed", batches=len(event.batches), keys=len(event.key_ids), files=event.files)


def due_batches(state: State, closed_before_ms: int) -> tuple[int, ...]:
    """The closed batches whose numbers may go now, oldest first."""
    old = [batch for batch, closed_at_ms in state.numbers_kept.items() if closed_at_ms < closed_before_ms]
    if not old:
        return ()
    needed = {txn.batch for of in state.owed_requests() if (txn := state.find(of)) is not None}
    return tuple(batch for batch in old if batch not in needed and batch not in state.numbers_expiring)
