"""An older journal that was restored: what came after the backup is not in it. unknown → known → ended by a person.

    gap      found  admitted  resolved
    unknown  known  unknown   -
    known    -      known     ended

While it lasts, nothing is done that what is not known could make wrong:

- *Numbers.* The trace number jumps past the gap at once, before anything leaves, and the numbers jumped over are shown.
  The sign-in comes first; the batch number that the host then gives wins (D7). If it is another one, the batch of the
  backup was closed without this journal: here it ends *unconfirmed*, and a new one begins. Where the host gives none,
  a named person does (`admit`).
- *Settlement.* None, until a person ends the gap: the books of the open batch are not whole, and totals or an upload
  from them could drop what the host has, or claim again what was taken back since. Then that batch is settled even if
  it is empty here: the host may have money in it, and says so. Totals that had been asked in the
  backup are *unconfirmed* (D20): the host may have closed the batch since.
- *What was owed* in the backup, reversals and advices, is held: the host may have acknowledged it since, a person may
  have ended it, and the request that was in flight may have been approved and handed out. Each waits for a person, who
  has it sent (retry) or ends it (resolve). What was unconfirmed at a till is not reversed by itself (D16).
- *Sales* begin again when the host's batch is known, and what is new can be told from a repeat of what was asked before
  the restore and is not known any more (D6). A terminal counts its own numbers up: so it has to sign in first (as for
  new keys, D26), and only what is above the number of that sign-in is new. A till's keys have no order, some terminals
  never sign in, and a terminal that begins to count anew proves nothing: there a named person has to admit them.
- A terminal's 0400 for what is not known is answered as ever (D17) and remembered here: the host may have the original.

Only a named person with a reason ends a gap, and not while anything is held. It must never be ended by time.
"""

from posd.core import records as r
from posd.core.draft import Draft
from posd.core.effects import BatchEnded, Refusal
from posd.core.events import AdmitAfterRestore, ResolveGap, Restored, TerminalSignInRequested, TransactionRequested
from posd.core.limits import SETTLE
from posd.core.state import CloseOutcome, Gap, State
from posd.core.totals import totals_of
from posd.values import STAN_MAX, BatchNumber, Stan
from posd.values import is_above as is_above

STAN_GAP = 10_000
"""Numbers that are jumped over when nobody knows the last one that was used: several days of a busy terminal."""


def jumped(stan: Stan, by: int) -> Stan:
    """The trace number so many further; 999999 is followed by 1."""
    return Stan((stan - 1 + by) % STAN_MAX + 1)


def begin(draft: Draft, event: Restored) -> None:
    """The backup has been put in place; what was in flight in it has ended already, without an outcome."""
    draft.record(r.LaneRestored(event.backup, event.since_ms, event.next_stan))
    gap = draft.state.gap
    assert gap is not None
    draft.alert(
        "restored",
        backup=gap.backup,
        since_ms=gap.since_ms,
        first_stan=gap.first_stan,
        next_stan=gap.next_stan,
        held=len(draft.state.held()),
    )


def host_told(draft: Draft, number: BatchNumber | None) -> None:
    """The answer to a sign-in; None: this host gives no batch number."""
    gap = draft.state.gap
    if gap is not None and gap.number is None and number is not None:
        _found(draft, number, "")


def _found(draft: Draft, number: BatchNumber, by: str) -> None:
    """The host's open batch is known: ours goes on in it, or was closed without us."""
    ours = draft.state.batch.number
    if number != ours:
        totals = draft.state.settlement.totals or totals_of(draft.state.transactions.values(), draft.rules)
        draft.record(r.BatchClosed(CloseOutcome.UNCONFIRMED, totals, number, by))
        draft.alert("batch_closed_unconfirmed", batch=ours, next_number=number, by=by)
        draft.at_once(SETTLE)
        draft.effects.append(BatchEnded())
    draft.record(r.HostBatchFound(number, by))


def terminal_signed_in(draft: Draft, event: TerminalSignInRequested) -> None:
    """Its number tells what is new from now on, if it goes on counting where this journal knows it."""
    gap, stan = draft.state.gap, event.terminal_stan
    if gap is None or gap.mark is not None or gap.admitted_by or stan is None:
        return
    newest = _newest_of_terminal(draft.state)
    if newest is None or is_above(stan, newest):
        draft.record(r.TerminalAdmitted(stan))
    else:
        draft.alert("terminal_counts_anew", terminal_stan=stan, known=newest)


def _newest_of_terminal(state: State) -> Stan | None:
    """The terminal's own number of its newest request that is known; a till's have none."""
    every = (*state.closed.values(), *state.transactions.values())
    return next((txn.terminal_stan for txn in reversed(every) if txn.terminal_stan), None)


def refusal(state: State, event: TransactionRequested) -> tuple[Refusal, str] | None:
    """Why a request that is not known here is not taken; None: it is new."""
    gap = state.gap
    if gap is None:
        return None
    if gap.number is None:
        return Refusal.RESTORED, "posd was restored from a backup; it is not known yet which batch the host has open"
    if gap.admitted_by:
        return None
    if event.from_till:
        return Refusal.RESTORED, "posd was restored from a backup; what tills ordered before is not known"
    if gap.mark is None:
        return Refusal.SIGN_IN_FIRST, "posd was restored from a backup; the terminal has to sign in first"
    if not is_above(event.terminal_stan, gap.mark):
        return Refusal.RESTORED, "it may have been done before posd was restored from a backup; it is not done again"
    return None


def holds_settlement(state: State) -> bool:
    """The books of the open batch are not whole."""
    return state.gap is not None


def admit(draft: Draft, event: AdmitAfterRestore) -> str | None:
    """A named person vouches for what is new. Returns why not, or None."""
    gap = draft.state.gap
    if gap is None:
        return "nothing is unknown since a restore; nothing was changed"
    if gap.number is None and event.number is None:
        return "the host has not said which batch it has open; ask the acquirer, and say it with --batch"
    if gap.number is not None and event.number not in (None, gap.number):
        return f"the host has batch {gap.number:06d} open; nothing was changed"
    if draft.state.exchange is not None and gap.number is None:
        return "a message is on its way to the host; wait for its answer, then try again"
    if gap.number is None and event.number is not None:
        _found(draft, event.number, event.by)
    draft.record(r.TerminalAdmitted(event.terminal_stan, event.by, event.reason, event.who))
    return None


def resolve(draft: Draft, event: ResolveGap) -> str | None:
    """A named person has reconciled it. Returns why not, or None."""
    gap = draft.state.gap
    if gap is None:
        return "nothing is unknown since a restore; nothing was changed"
    if gap.number is None:
        return "it is not known yet which batch the host has open; wait for the sign-in, or: posd restore-gap admit"
    if held := draft.state.held():
        return f"{len(held)} held reversal(s) or advice(s) first: retry or resolve each; the first is {held[0]}"
    draft.record(r.GapResolved(event.by, event.reason, event.who))
    draft.at_once(SETTLE)
    draft.note("restore_gap_resolved", by=event.by)
    return None


def numbers_lost(gap: Gap) -> int:
    """How many trace numbers lie in the gap."""
    return (gap.next_stan - gap.first_stan) % STAN_MAX
