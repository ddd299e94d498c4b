"""A till's order as the message that a NAC terminal would have sent: a number typed in, or an original's card.

The rest (trace, invoice number, original) is given by to_host.py, as for a terminal's message. It must never serve what
it cannot say: that is an event too, `RequestUnusable`.
"""

from collections.abc import Mapping

from posd.core import events as e
from posd.core.effects import Refusal
from posd.core.rules import KindRules, TxnKind
from posd.core.state import Transaction
from posd.iso8583.message import Message
from posd.profiles.contract import Order, ReadRequest
from posd.profiles.nac.data import MATRIX
from posd.profiles.nac.kept import Kept
from posd.security.cards import CardData
from posd.values import Minor, Stan

ENTERED_BY_HAND = "012"
"""Field 22: typed in, no PIN pad (reference 2.2)."""

SERVED = frozenset(
    {TxnKind.SALE, TxnKind.VOID, TxnKind.REFUND, TxnKind.PREAUTH} | {TxnKind.TIP, TxnKind.OFFLINE_SALE, TxnKind.ADJUST}
)
"""What can be said with a number that was typed in."""


def read_order(
    order: Order,
    original: Transaction | None,
    kinds: Mapping[TxnKind, KindRules],
    digest_key: bytes,
    reply_to: str,
    received_s: float,
) -> ReadRequest:
    """The event, the card and the message; never an error."""
    found = _refusal(order, original, kinds)
    if found is not None:
        return ReadRequest(e.RequestUnusable(found[0].value, found[1], reply_to, order.request_id))
    assert order.card is not None
    card = CardData(pan=order.card.number, expiry=order.card.expiry, entry_mode=ENTERED_BY_HAND)
    fields = {2: card.pan, 14: card.expiry, 22: ENTERED_BY_HAND}
    row = MATRIX[order.kind]
    message = Message(row.mti, {number: value for number, value in fields.items() if value is not None})
    whole = original.counted_minor if original is not None else Minor(0)
    event = e.TransactionRequested(
        request_id=order.request_id,
        kind=order.kind,
        amount_minor=order.amount_minor if order.amount_minor is not None else whole,
        terminal_batch=0,
        terminal_stan=Stan(0),
        fingerprint=order.digest,
        entry_mode=ENTERED_BY_HAND,
        card=card.reference(digest_key),
        original=e.OriginalPointer(None, None, None, order.original) if order.original is not None else None,
        has_pin=False,
        reply_to=reply_to,
        received_s=received_s,
        options=Kept(f"{row.process}0000", row.condition, approval=order.approval_code).options(),
        reference=order.reference,
        tip_minor=order.tip_minor or Minor(0),
        from_till=True,
    )
    return ReadRequest(event, card, message)


def _refusal(
    order: Order, original: Transaction | None, kinds: Mapping[TxnKind, KindRules]
) -> tuple[Refusal, str] | None:
    """Why no message can be made of it."""
    if order.kind not in SERVED:
        return Refusal.NOT_SUPPORTED, f"a till cannot order a {order.kind} of this acquirer"
    if order.receipt is not None:
        return Refusal.NOT_SUPPORTED, "this acquirer knows no sale by its receipt; give its id, or the card"
    wanted = kinds[order.kind].original
    if wanted is not None and (order.original is not None or wanted.known):
        if original is None:
            return Refusal.NO_ORIGINAL, "posd does not know this transaction, or it is older than the last batches"
        if original.kind not in wanted.kinds:
            return Refusal.NO_ORIGINAL, f"a {order.kind} cannot refer to a {original.kind}"
        if original.facts is None and not wanted.replaces:
            return Refusal.NO_ORIGINAL, "the host has not answered this transaction: there is nothing to refer to"
    if order.card is None or order.card.number is None:
        return Refusal.NO_ORIGINAL, "the card of this transaction is not known any more"
    return None
