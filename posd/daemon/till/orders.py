"""A till's wishes on their way through a lane: what goes in, what the journal keeps of it, what is told.

A till has no message in the dialect, so its wish is journalled as its masked meaning, with a digest of its exact bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from posd.core import effects as fx
from posd.core import events as e
from posd.daemon.logmask import mask_text
from posd.journal.contract import MessageRow
from posd.masks import mask_pan
from posd.profiles.contract import Order, Outgoing
from posd.values import NOBODY_KNOWN, Minor, Now, RequestId, Stan, Tid, Who, format_amount

TILL = "till"
"""The peer of these rows, and the begin of the names of their connections."""

OWN_IDS = "-till"
"""Between TID and key in the request ids of tills. It sorts before all digits: the ids of a terminal that counts up
stay above what came before them (Past.was_sent)."""

ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The till has the approval of this request (D16)."""

    request_id: RequestId


Wish = Order | Confirmation


@dataclass(frozen=True, slots=True, repr=False)
class FromTill:
    """One wish; `body`: its exact bytes. `received_s`: when its first byte came (D17). `who`: the till that asks."""

    wish: Wish
    body: bytes
    reply_to: str
    received_s: float
    who: Who = NOBODY_KNOWN


class Told(Struct, omit_defaults=True, frozen=True):
    """What the core said: the host's `code`, or a `refusal` with its reason."""

    code: str = ""
    refusal: str = ""
    because: str = ""


def till_request(tid: Tid, key: str) -> RequestId:
    """The id under which an order is known for ever (D6)."""
    return RequestId(f"{tid}/{OWN_IDS}/{key}")


def asked_again(order: Order, item: FromTill) -> e.TransactionRequested:
    """An order that is known by its id: only that and its digest count, whatever has become of its original."""
    return e.TransactionRequested(
        request_id=order.request_id,
        kind=order.kind,
        amount_minor=order.amount_minor or Minor(0),
        terminal_batch=0,
        terminal_stan=Stan(0),
        fingerprint=order.digest,
        entry_mode="",
        card=None,
        original=None,
        has_pin=False,
        reply_to=item.reply_to,
        received_s=item.received_s,
        from_till=True,
    )


def told(answer: fx.ToTerminal) -> Outgoing:
    """The answer as it is kept, and as the door gets it; the door makes HTTP of it."""
    match answer.answer:
        case fx.Result(facts=facts):
            said, rrn = Told(code=facts.code), facts.rrn
        case fx.Refused(refusal=refusal, because=because):
            said, rrn = Told(refusal=refusal.value, because=because), None
        case _:
            raise AssertionError("a till is only told results and refusals")
    shown = {name: value for name, value in msgspec.structs.asdict(said).items() if value}
    return Outgoing(msgspec.json.encode(said), ANSWER, shown, {}, rrn=rrn)


def peer_of(outgoing: Outgoing) -> str:
    """Whom an answer goes to, in the journal's words."""
    return TILL if outgoing.mti == ANSWER else "terminal"


def order_row(tid: str, item: FromTill, now: Now, key_batch: int) -> MessageRow:
    """What a till asked, masked; of its bytes the keyed digest, of the card the sealed number.

    `key_batch`: the identity of the terminal's batch.
    """
    order = item.wish if isinstance(item.wish, Order) else None
    number = order.card.number if order is not None and order.card is not None else None
    name = item.wish.request_id  # of a confirmation it may be any text
    shown = {**(_shown(order) if order is not None else {}), **({"who": item.who.name} if item.who.is_known else {})}
    return MessageRow(
        tid=tid,
        at_ms=now.wall_ms,
        direction="in",
        peer=TILL,
        mti="order" if order is not None else "confirm",
        fields=json.dumps(shown, ensure_ascii=False, separators=(",", ":")),
        raw=item.body,
        request_id=item.wish.request_id if order is not None or mask_text(name) == name else None,
        secret=number.encode() if number else None,
        key_batch=key_batch,
    )


def _shown(order: Order) -> Mapping[str, str]:
    number = order.card.number if order.card is not None else None
    said = {
        "type": order.kind.value,
        "amount": format_amount(order.amount_minor) if order.amount_minor is not None else "",
        "tip": format_amount(order.tip_minor) if order.tip_minor else "",
        "card": mask_pan(number) if number else "",
        "original": mask_text(order.original or "") or (order.receipt.rrn if order.receipt is not None else ""),
        "reference": order.reference,
    }
    return {name: value for name, value in said.items() if value}
