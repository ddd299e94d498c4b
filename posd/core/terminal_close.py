"""The terminal's own close: compared with our books of its batch, and a reason to settle ours (D25).

It must never move money: the acquirer is settled with from our books, not from the terminal's.
"""

from typing import TYPE_CHECKING

from posd.core import records as r
from posd.core.answers import AnswerFacts, GroupResult
from posd.core.effects import Result, TotalsResult, ToTerminal
from posd.core.events import TerminalTotalsGiven, TerminalUploaded
from posd.core.settlement import nothing_to_settle
from posd.core.state import SettlementCause, SettlementPhase
from posd.core.totals import totals_of

if TYPE_CHECKING:
    from posd.core.draft import Draft


def totals_given(draft: "Draft", event: TerminalTotalsGiven) -> None:
    """The terminal's own 0500: compared with our books of its batch, answered at once, and ours is due (D25)."""
    state = draft.state
    every = [*state.closed.values(), *state.transactions.values()]
    ours = totals_of((txn for txn in every if txn.terminal_batch == event.terminal_batch), draft.rules)
    draft.record(r.TerminalClosed(event.terminal_batch, event.totals, ours))
    domestic, foreign = (
        GroupResult.BALANCED if theirs == mine else GroupResult.UNBALANCED
        for theirs, mine in ((event.totals.domestic, ours.domestic), (event.totals.foreign, ours.foreign))
    )
    if event.totals != ours:
        draft.alert("terminal_totals_differ", terminal_batch=event.terminal_batch)
    open_still = state.settlement.phase is SettlementPhase.OPEN and state.settlement.wanted is None
    if open_still and not nothing_to_settle(draft):
        draft.record(r.SettlementWanted(SettlementCause.TERMINAL))
    draft.answer(ToTerminal(event.reply_to, TotalsResult(ours, domestic, foreign)))


def uploaded(draft: "Draft", event: TerminalUploaded) -> None:
    """The terminal's 0320: accepted, for its sake; the money is settled from our books."""
    draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"))))
