"""The terminal's own close: compared with our books of its batch, item by item, and a reason to settle ours (D25).

Its 0500 is answered at once from our books; its upload messages are accepted, each item once, and every difference is
recorded and alerted; after its end message what our books hold beside is named. What it tells of chips is no record of
money, and is kept for our own upload. It must never move money: the acquirer is settled with from our books, not from
the terminal's.
"""

from posd.core import chips
from posd.core import records as r
from posd.core.answers import AnswerFacts, GroupResult
from posd.core.draft import Draft
from posd.core.effects import Result, TotalsResult, ToTerminal
from posd.core.events import TerminalTotalsGiven, TerminalUploaded, UploadedItem
from posd.core.fold.terminal_close import of_batch, results
from posd.core.originals import newest
from posd.core.settlement import nothing_to_settle
from posd.core.state import (
    ChipResult,
    SettlementCause,
    SettlementPhase,
    State,
    Transaction,
    TxnStatus,
)
from posd.core.totals import counts, totals_of
from posd.values import Stan


def totals_given(draft: Draft, event: TerminalTotalsGiven) -> None:
    """The terminal's own 0500: compared with our books of its batch, answered at once, and ours is due (D25)."""
    state = draft.state
    ours = totals_of(_books(state, event.terminal_batch).values(), draft.rules)
    draft.record(r.TerminalClosed(event.terminal_batch, event.totals, ours, event.terminal_stan))
    if event.totals != ours:
        draft.alert("terminal_totals_differ", terminal_batch=event.terminal_batch)
    if event.ends and not (told := of_batch(draft.state.terminal_upload, event.terminal_batch)).ended:
        _end(draft, event.terminal_batch, len(told.seen))  # this dialect tells no number of them
    open_still = state.settlement.phase is SettlementPhase.OPEN and state.settlement.wanted is None
    if open_still and not nothing_to_settle(draft):
        draft.record(r.SettlementWanted(SettlementCause.TERMINAL))
    draft.answer(ToTerminal(event.reply_to, TotalsResult(ours, *results(event.totals, ours))))


def uploaded(draft: Draft, event: TerminalUploaded) -> None:
    """The terminal's 0320: accepted for its sake, and compared; what it told before it may tell again."""
    upload = draft.state.terminal_upload
    batch = event.terminal_batch or (upload.terminal_batch if upload is not None else 0)
    before = of_batch(upload, batch)
    fresh = [item for item in event.items if item.terminal_stan not in before.seen]
    if fresh:
        _compare(draft, batch, fresh)
        _note_chips(draft, batch, fresh)
    if event.stated is not None and not before.ended:
        _end(draft, batch, event.stated)
    draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"))))


def _books(state: State, terminal_batch: int) -> dict[Stan, Transaction]:
    """What we know of the terminal's batch, by the terminal's own trace number; its batch may span two of ours.

    Before its first close a terminal that does not tell its batch is in one without a number. What a till sold under
    the same id has no trace number of the terminal's, and is not its business.
    """
    every = (*state.closed.values(), *state.transactions.values())
    first = state.terminal_upload is None or state.terminal_upload.terminal_batch == terminal_batch
    batches = (terminal_batch, 0) if first else (terminal_batch,)
    return {txn.terminal_stan: txn for txn in every if txn.terminal_batch in batches and txn.terminal_stan}


def _compare(draft: Draft, terminal_batch: int, items: list[UploadedItem]) -> None:
    books = _books(draft.state, terminal_batch)
    differing = tuple(found for item in items if (found := _difference(draft, item, books.get(item.terminal_stan))))
    stans = tuple(dict.fromkeys(item.terminal_stan for item in items))
    draft.record(r.TerminalItemsCompared(terminal_batch, stans, differing))
    if differing:
        first = differing[0]
        draft.alert(
            "terminal_items_differ",
            terminal_batch=terminal_batch,
            items=len(differing),
            first_stan=first.terminal_stan,
            first_is=first.what.value,
        )


def _note_chips(draft: Draft, terminal_batch: int, items: list[UploadedItem]) -> None:
    """How its chips ended: what of it has not left yet is uploaded so, as long as it does not contradict our books.

    Nobody signs a 0320: what it says against them is a difference, for a person (D25).
    """
    books = _books(draft.state, terminal_batch)
    settlement = draft.state.settlement
    left = settlement.items[: settlement.uploaded + settlement.in_flight]
    for item in items:
        txn = books.get(item.terminal_stan)
        if item.chip is None or txn is None or txn.request_id in left:
            continue
        refused = chips.result_of(draft.state, txn) is ChipResult.REFUSED or chips.may_be_refused(draft.state, txn)
        told_of = refused or chips.result_of(draft.state, txn) is not None
        known = told_of and txn.request_id in draft.state.transactions
        if known and refused is (item.chip.result is ChipResult.REFUSED):
            draft.record(r.ChipEndTold(txn.request_id, item.chip.result, item.chip.code, item.chip.icc))


def _difference(draft: Draft, item: UploadedItem, txn: Transaction | None) -> r.ItemDiffers | None:
    """An adjusted transaction may be uploaded as itself, with its amount of now (reference 2.5)."""
    txn = newest(draft.state, draft.rules, txn) if txn is not None else None
    if txn is None:
        what = r.ItemDifference.UNKNOWN_HERE
    elif item.chip is not None:
        if not _contradicts(draft, item.chip.result, txn):
            return None
        what = r.ItemDifference.COUNTED_HERE
    elif not counts(txn, draft.rules):
        what = r.ItemDifference.NOT_COUNTED_HERE
    elif txn.counted_minor != item.amount_minor:
        what = r.ItemDifference.AMOUNT
    elif item.card is not None and txn.card is not None and txn.card.digest != item.card:
        what = r.ItemDifference.CARD
    elif item.foreign is not None and txn.foreign is not item.foreign:
        what = r.ItemDifference.GROUP
    else:
        return None
    ours_minor = txn.counted_minor if txn is not None else None
    return r.ItemDiffers(
        item.terminal_stan, what, item.amount_minor, ours_minor, txn.request_id if txn is not None else None
    )


def _contradicts(draft: Draft, result: ChipResult, txn: Transaction) -> bool:
    """The customer went without what our books call approved: its reversal never came here."""
    return result is ChipResult.REFUSED and txn.status is TxnStatus.APPROVED


def _end(draft: Draft, terminal_batch: int, stated: int) -> None:
    """Only an unbalanced group is uploaded whole: of a balanced one nothing is missed."""
    upload = of_batch(draft.state.terminal_upload, terminal_batch)
    unbalanced = {False: upload.domestic is GroupResult.UNBALANCED, True: upload.foreign is GroupResult.UNBALANCED}
    books = _books(draft.state, terminal_batch)
    # An adjusted transaction may have been uploaded as itself.
    told = {newest(draft.state, draft.rules, books[stan]).request_id for stan in upload.seen if stan in books}
    missing = tuple(
        txn.request_id
        for stan, txn in books.items()
        if counts(txn, draft.rules)
        and unbalanced[txn.foreign]
        and stan not in upload.seen
        and txn.request_id not in told
    )
    draft.record(r.TerminalUploadEnded(terminal_batch, stated, len(upload.seen), missing))
    if missing or stated != len(upload.seen):
        draft.alert(
            "terminal_upload_incomplete",
            terminal_batch=terminal_batch,
            missing=len(missing),
            stated=stated,
            seen=len(upload.seen),
        )
