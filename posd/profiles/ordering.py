"""What the dialects share of a till's order: how its number came in, and why no message can be made of it."""

from collections.abc import Collection, Mapping

from posd.core.effects import Refusal
from posd.core.rules import KindRules, TxnKind
from posd.core.state import Transaction
from posd.iso8583.message import Message
from posd.profiles.contract import Order
from posd.security.cards import CardData

ENTERED_BY_HAND = "012"
"""Field 22: the number was typed in, and there is no PIN pad (reference 1.5, 2.2)."""


def typed_in(order: Order, mti: str) -> tuple[CardData, Message]:
    """The card of an order that can be said, and the message that a terminal would have sent with it."""
    assert order.card is not None
    card = CardData(pan=order.card.number, expiry=order.card.expiry, entry_mode=ENTERED_BY_HAND)
    fields = {2: card.pan, 14: card.expiry, 22: ENTERED_BY_HAND}
    return card, Message(mti, {number: value for number, value in fields.items() if value is not None})


def why_not(
    order: Order,
    kind: TxnKind,
    original: Transaction | None,
    kinds: Mapping[TxnKind, KindRules],
    served: Collection[TxnKind],
) -> tuple[Refusal, str] | None:
    """Why no message of this kind can be made of it; None: one can. `served`: what a dialect says for tills."""
    if kind not in served:
        return Refusal.NOT_SUPPORTED, f"a till cannot order a {order.kind} of this acquirer"
    wanted = kinds[kind].original
    if wanted is not None and order.receipt is None and (order.original is not None or wanted.known):
        if original is None:
            return Refusal.NO_ORIGINAL, "posd does not know this transaction, or it is older than the last batches"
        if original.kind not in wanted.kinds:
            return Refusal.NO_ORIGINAL, f"a {order.kind} cannot refer to a {original.kind}"
        if original.facts is None and not wanted.replaces:
            return Refusal.NO_ORIGINAL, "the host has not answered this transaction: there is nothing to refer to"
    if order.card is None or order.card.number is None:
        return Refusal.NO_ORIGINAL, "the card of this transaction is not known any more"
    return None
