"""A till's order as the message that a terminal would have sent: manual entry of a number, or an original's card.

The rest (trace, batch, original, MAC) is given by to_host.py, as for a terminal's message. It must never serve what it
cannot say: that is an event too, `RequestUnusable`.
"""

from posd.core import events as e
from posd.core.rules import TxnKind
from posd.core.schedule import local
from posd.core.state import Transaction
from posd.profiles.contract import Order, ReadRequest
from posd.profiles.ordering import ENTERED_BY_HAND, typed_in, why_not
from posd.profiles.unionpay.data import KINDS, MATRIX
from posd.profiles.unionpay.named import NamedOriginal
from posd.security.cards import CardData
from posd.values import Minor, Stan

CAPABILITY = "000" + "0"
"""60.3, and 60.4: what a till can read is not known to the host (reference 1.3)."""

SERVED = frozenset(
    {TxnKind.SALE, TxnKind.VOID, TxnKind.REFUND}
    | {TxnKind.PREAUTH, TxnKind.PREAUTH_VOID, TxnKind.COMPLETION, TxnKind.COMPLETION_VOID}
    | {TxnKind.TIP, TxnKind.OFFLINE_SALE, TxnKind.ADJUST}
)
"""What can be said with a number that was typed in."""


def read_order(
    order: Order, original: Transaction | None, digest_key: bytes, reply_to: str, received_s: float, zone: str
) -> ReadRequest:
    """The event, the card and the message; never an error."""
    found = why_not(order, order.kind, original, KINDS, SERVED)
    if found is not None:
        return ReadRequest(e.RequestUnusable(found[0].value, found[1], reply_to, order.request_id))
    card, message = typed_in(order, MATRIX[order.kind].mti)
    return ReadRequest(_event(order, original, card, digest_key, reply_to, received_s, zone), card, message)


def _event(
    order: Order,
    original: Transaction | None,
    card: CardData,
    digest_key: bytes,
    reply_to: str,
    received_s: float,
    zone: str,
) -> e.TransactionRequested:
    whole = original.counted_minor if original is not None else Minor(0)
    return e.TransactionRequested(
        request_id=order.request_id,
        kind=order.kind,
        amount_minor=order.amount_minor if order.amount_minor is not None else whole,
        terminal_batch=0,
        terminal_stan=Stan(0),
        fingerprint=order.digest,
        entry_mode=ENTERED_BY_HAND,
        card=card.reference(digest_key),
        original=_pointer(order),
        has_pin=False,
        reply_to=reply_to,
        received_s=received_s,
        options=_options(order, original, zone),
        reference=order.reference,
        tip_minor=order.tip_minor or Minor(0),
        from_till=True,
    )


def _pointer(order: Order) -> e.OriginalPointer | None:
    """By our own id; else by approval code and date, as a terminal names a pre-authorisation."""
    if order.original is not None:
        return e.OriginalPointer(None, None, None, order.original)
    if order.receipt is None or not MATRIX[order.kind].by_code:
        return None
    return e.OriginalPointer(None, None, None, approval_code=order.receipt.approval_code, date=order.receipt.date)


def _options(order: Order, original: Transaction | None, zone: str) -> str:
    """60.3 on, and the original where it may be one that we forget, or never knew (named.py)."""
    if order.approval_code:
        return NamedOriginal(approval=order.approval_code).options(CAPABILITY)
    if order.kind is not TxnKind.REFUND and not MATRIX[order.kind].by_code:
        return CAPABILITY
    if order.receipt is not None:
        receipt = order.receipt
        return NamedOriginal(receipt.rrn, receipt.approval_code, receipt.date).options(CAPABILITY)
    assert original is not None
    assert original.facts is not None
    facts = original.facts
    date = facts.host_date or local(original.at_ms, zone).strftime("%m%d")
    rrn = (facts.rrn or "") if order.kind is TxnKind.REFUND else ""
    return NamedOriginal(rrn, facts.approval_code or "", date).options(CAPABILITY)
