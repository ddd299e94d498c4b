"""The fold of the terminal's own close (D25)."""

from msgspec.structs import replace

from posd.core import records as r
from posd.core.answers import GroupResult, Totals
from posd.core.state import State, TerminalUpload, Transaction
from posd.values import RequestId, Stan, is_above


def told(
    upload: TerminalUpload | None, record: r.TerminalClosed | r.TerminalItemsCompared | r.TerminalUploadEnded
) -> TerminalUpload:
    """Where the terminal's own close stands after one more record of it."""
    upload = of_batch(upload, record.terminal_batch)
    match record:
        case r.TerminalClosed():
            domestic, foreign = results(record.theirs, record.ours)
            return replace(upload, domestic=domestic, foreign=foreign)
        case r.TerminalItemsCompared():
            return replace(upload, seen=(*upload.seen, *record.stans))
        case r.TerminalUploadEnded():
            return replace(upload, ended=True)


def over_until(state: State, stan: Stan) -> State:
    """Whatever its terminal had asked for by then is over for it; a late 0500 says nothing of what came after it."""
    return replace(state, transactions=_over(state.transactions, stan), closed=_over(state.closed, stan))


def _over(known: dict[RequestId, Transaction], until: Stan) -> dict[RequestId, Transaction]:
    return {
        of: txn if not txn.terminal_stan or is_above(txn.terminal_stan, until) else replace(txn, over=True)
        for of, txn in known.items()
    }


def of_batch(upload: TerminalUpload | None, batch: int) -> TerminalUpload:
    return upload if upload is not None and upload.terminal_batch == batch else TerminalUpload(batch)


def results(theirs: Totals, ours: Totals) -> tuple[GroupResult, GroupResult]:
    pairs = ((theirs.domestic, ours.domestic), (theirs.foreign, ours.foreign))
    domestic, foreign = (GroupResult.BALANCED if one == other else GroupResult.UNBALANCED for one, other in pairs)
    return domestic, foreign
