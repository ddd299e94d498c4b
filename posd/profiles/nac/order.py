"""A till's order as the message that a NAC terminal would have sent: a number typed in, or an original's card.

The rest (trace, invoice number, original) is given by to_host.py, as for a terminal's message. It must never serve what
it cannot say: that is an event too, `RequestUnusable`.
"""

from collections.abc import Mapping

from posd.core import events as e
from posd.core.effects import Refusal
from posd.core.rules import KindRules, TxnKind
from posd.core.state import Transaction
from posd.profiles.contract import Order, ReadRequest
from posd.profiles.nac.data import MATRIX
from posd.profiles.nac.kept import Kept
from posd.profiles.ordering import ENTERED_BY_HAND, typed_in, why_not
from posd.values import Minor, Stan

AS_ADVICE: Mapping[TxnKind, TxnKind] = {TxnKind.COMPLETION: TxnKind.COMPLETION_NOTICE}
"""What has no request here, and is told as having happened (reference 2.3)."""

SERVED = frozenset(
    {TxnKind.SALE, TxnKind.VOID, TxnKind.REFUND, TxnKind.PREAUTH, TxnKind.COMPLETION_NOTICE}
    | {TxnKind.TIP, TxnKind.OFFLINE_SALE, TxnKind.ADJUST}
)
"""What can be said with a number that was typed in."""

RECEIPTS = Refusal.NOT_SUPPORTED, "this acquirer knows no sale by its receipt; give its id, or the card"


def read_order(
    order: Order,
    original: Transaction | None,
    kinds: Mapping[TxnKind, KindRules],
    digest_key: bytes,
    reply_to: str,
    received_s: float,
) -> ReadRequest:
    """The event, the card and the message; never an error."""
    kind = AS_ADVICE.get(order.kind, order.kind)
    found = why_not(order, kind, original, kinds, SERVED) or (RECEIPTS if order.receipt is not None else None)
    if found is not None:
        return ReadRequest(e.RequestUnusable(found[0].value, found[1], reply_to, order.request_id))
    row = MATRIX[kind]
    card, message = typed_in(order, row.mti)
    whole = original.counted_minor if original is not None else Minor(0)
    event = e.TransactionRequested(
        request_id=order.request_id,
        kind=kind,
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
