"""The sale that a void or a refund names, and whether its money may still be given back. Pure questions of a state."""

from posd.core.effects import Refusal
from posd.core.events import OriginalPointer, TransactionRequested
from posd.core.rules import TxnKind
from posd.core.state import State, Transaction, TxnStatus
from posd.values import RequestId, format_amount

Refused = tuple[Refusal, str]


def named(state: State, pointer: OriginalPointer) -> Transaction | None:
    """The sale that is meant: by its id, else, of the open batch, by the terminal's own batch and trace, and by RRN."""
    if pointer.request_id is not None:
        known = state.find(pointer.request_id)
        return known if known is not None and known.kind is TxnKind.SALE else None
    for txn in state.transactions.values():
        same_key = (txn.terminal_batch, txn.terminal_stan) == (pointer.terminal_batch, pointer.terminal_stan)
        same_rrn = txn.facts is not None and txn.facts.rrn is not None and txn.facts.rrn == pointer.rrn
        by_trace = pointer.terminal_stan is not None
        if txn.kind is TxnKind.SALE and (same_key if by_trace else same_rrn) and (same_rrn or pointer.rrn is None):
            return txn
    return None


def refuse_void(state: State, event: TransactionRequested, original: Transaction | None) -> Refused | None:
    """Why this void must not leave; None: it may."""
    in_open_batch = original is not None and original.request_id in state.transactions
    if original is None or not in_open_batch or original.status is not TxnStatus.APPROVED:
        return Refusal.NO_ORIGINAL, "there is no approved sale of the open batch to void"
    if voided_by(state, original.request_id):
        return Refusal.ALREADY_VOIDED, "this sale was voided already"
    if given_back_minor(state, original.request_id):
        return Refusal.ALREADY_VOIDED, "money of this sale was refunded already"
    if original.counted_minor != event.amount_minor:
        return Refusal.AMOUNT_DIFFERS, "the amount is not that of the sale"
    if original.card and event.card and original.card.digest != event.card.digest:
        return Refusal.CARD_DIFFERS, "the card is not that of the sale"
    return None


def refuse_refund(state: State, event: TransactionRequested, original: Transaction | None) -> Refused | None:
    """Why this refund of a sale that is named by its id must not leave; None: it may."""
    if original is None or original.status is not TxnStatus.APPROVED:
        return Refusal.NO_ORIGINAL, "there is no approved sale of that id in the last batches"
    if voided_by(state, original.request_id):
        return Refusal.ALREADY_VOIDED, "this sale was voided already"
    left = original.counted_minor - given_back_minor(state, original.request_id)
    if event.amount_minor > left:
        return Refusal.AMOUNT_DIFFERS, f"of this sale {format_amount(left)} is left to give back"
    return None


def voided_by(state: State, sale: RequestId) -> RequestId | None:
    """The void of this sale that was approved or whose outcome is still open."""
    standing = (TxnStatus.SENT, TxnStatus.APPROVED, TxnStatus.UNKNOWN)
    known = (*state.transactions.values(), *state.closed.values())
    voids = (t for t in known if t.kind is TxnKind.VOID and t.original == sale)
    return next((void.request_id for void in voids if void.status in standing), None)


def given_back_minor(state: State, sale: RequestId) -> int:
    """What refunds that name this sale have given back, or may have."""
    standing = (TxnStatus.SENT, TxnStatus.APPROVED, TxnStatus.IN_DOUBT)
    known = (*state.closed.values(), *state.transactions.values())
    refunds = (txn for txn in known if txn.kind is TxnKind.REFUND and txn.original == sale)
    return sum(txn.counted_minor for txn in refunds if txn.status in standing)
