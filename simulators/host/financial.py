"""Sale, sale void, refund and balance inquiry: the authorisation ledger (reference 1.8).

The ledger is idempotent on (TID, batch, STAN): the same request gets the same answer, another one under the
same key gets 94. Money moves here and in reversal.py only.
"""

from dataclasses import dataclass

from posd.iso8583.message import Message
from simulators.crypto import pin_of
from simulators.fields import Field61, Unreadable
from simulators.host.books import Batch, BatchState, Card, Entry, EntryState, Kind
from simulators.host.request import APPROVE_CODES, APPROVED, Request

# (MTI, processing code, condition code) -> (kind, 60.1), reference 1.8
KINDS = {
    ("0200", "000000", "00"): (Kind.SALE, "22"),
    ("0200", "200000", "00"): (Kind.SALE_VOID, "23"),
    ("0220", "200000", "00"): (Kind.REFUND, "25"),
    ("0200", "310000", "00"): (Kind.BALANCE, "01"),
}
PARTIAL = "10"
REFUSED_LATE = "12"
BALANCE_LAYOUT = "0002156{sign}{amount:012d}"


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """A code and, when money moves, how much and against which original."""

    code: str
    amount_minor: int = 0
    original: Entry | None = None

    @property
    def approved(self) -> bool:
        return self.code in APPROVE_CODES


def authorise(request: Request) -> Message:
    """Answer a 0200 or 0220 and book it. The answer is without field 64."""
    batch = request.terminal.find_batch(request.field60.batch)
    known = batch.entries.get(request.stan) if batch else None
    if known is not None:
        return _again(request, known)
    if batch is None or not request.current_batch:
        return request.reply("77")
    row = KINDS.get((request.message.mti, request.message.get(3) or "", request.message.get(25) or ""))
    if row is None:
        return request.reply("40")
    kind, type_code = row
    if request.field60.type_code != type_code:
        request.remarks.append(f"60.1 is {request.field60.type_code}, a {kind} has {type_code}")
    if batch.state is BatchState.TOTALLED:
        request.remarks.append(f"a {kind} after the totals of its batch")
    return _book(request, batch, kind, _decide(request, kind, batch))


def fingerprint(message: Message, pan: str) -> tuple[str, ...]:
    """What makes a repeat the same request: MTI, processing code, amount, card, fields 37 and 61."""
    return (message.mti, *(message.get(number) or "" for number in (3, 4, 37, 61)), pan)


def _again(request: Request, known: Entry) -> Message:
    if known.fingerprint != fingerprint(request.message, request.pan):
        request.remarks.append(f"STAN {request.stan} used again for another request")
        return request.reply("94")
    known.times_asked += 1
    return known.answer


def _decide(request: Request, kind: Kind, batch: Batch) -> Decision:
    tombstone = (batch.number, request.stan) in request.terminal.reversed_unknown
    if tombstone and request.behaviour.reverse_unknown == "refuse_later":
        return Decision(REFUSED_LATE)
    if request.refuse is not None and request.refuse not in APPROVE_CODES:
        return Decision(request.refuse)
    if kind is not Kind.BALANCE:
        if request.message.get(4) is None:
            return Decision("30")
        if request.amount_minor == 0:
            return Decision("13")
    decision = _by_kind(request, kind, batch)
    if not decision.approved or request.refuse is None:
        return decision
    amount = decision.amount_minor // 2 if request.refuse == PARTIAL else decision.amount_minor
    return Decision(request.refuse, amount, decision.original)


def _by_kind(request: Request, kind: Kind, batch: Batch) -> Decision:
    if kind is Kind.SALE_VOID:
        return _void(request, batch)
    card = request.books.cards.get(request.pan)
    if card is None:
        return Decision("14")
    if _expired(request, card):
        return Decision("54")
    if kind is Kind.REFUND:
        return Decision(APPROVED, request.amount_minor)
    if not _pin_fits(request, card):
        return Decision("55")
    if kind is Kind.SALE and request.amount_minor > card.balance_minor:
        return Decision("51")
    return Decision(APPROVED, request.amount_minor)


def _void(request: Request, batch: Batch) -> Decision:
    """By field 61 (batch, trace) and field 37; the whole amount, the same card, once."""
    try:
        original_at = Field61.parse(request.message.get(61))
    except Unreadable:
        return Decision("30")
    original = batch.entries.get(original_at.stan) if original_at.batch == batch.number else None
    if original is None or original.kind is not Kind.SALE or original.rrn != request.message.get(37):
        return Decision("25")
    if original.amount_minor != request.amount_minor or request.pan not in ("", original.pan):
        return Decision("64")
    if original.state is not EntryState.APPROVED:
        return Decision("12")
    return Decision(APPROVED, request.amount_minor, original)


def _book(request: Request, batch: Batch, kind: Kind, decision: Decision) -> Message:
    pan = decision.original.pan if decision.original else request.pan
    card = request.books.cards.get(pan)
    if decision.approved and card is not None:
        _move(kind, decision, card)
    answer = _answer(request, kind, decision, card)
    batch.entries[request.stan] = Entry(
        batch=batch.number,
        stan=request.stan,
        mti=request.message.mti,
        kind=kind,
        pan=pan,
        foreign=card.foreign if card else False,
        requested_minor=request.amount_minor,
        amount_minor=decision.amount_minor if decision.approved else request.amount_minor,
        rrn=answer.get(37) or "",
        code=decision.code,
        state=EntryState.APPROVED if decision.approved else EntryState.DECLINED,
        at_ms=request.now_ms,
        fingerprint=fingerprint(request.message, request.pan),
        answer=answer,
        original=decision.original,
    )
    return answer


def _move(kind: Kind, decision: Decision, card: Card) -> None:
    match kind:
        case Kind.SALE:
            card.balance_minor -= decision.amount_minor
        case Kind.SALE_VOID | Kind.REFUND:
            card.balance_minor += decision.amount_minor
        case Kind.BALANCE:
            pass
    if decision.original is not None:
        decision.original.state = EntryState.VOIDED


def _answer(request: Request, kind: Kind, decision: Decision, card: Card | None) -> Message:
    more: dict[int, str | None] = {}
    if decision.approved:
        more[38] = f"{(request.books.sequence * 7919 + 100_003) % 1_000_000:06d}"
        if decision.code == PARTIAL:
            more[4] = f"{decision.amount_minor:012d}"
        if kind is Kind.BALANCE and card is not None:
            sign = "C" if card.balance_minor >= 0 else "D"
            more[54] = BALANCE_LAYOUT.format(sign=sign, amount=abs(card.balance_minor))
            more[38] = None
    return request.reply(decision.code, more)


def _expired(request: Request, card: Card) -> bool:
    track = (request.message.get(35) or "").partition("=")[2][:4]
    shown = request.message.get(14) or track
    known = card.settings.expiry
    return (known is not None and shown not in ("", known)) or ((known or shown or "9912") < request.clock.yymm)


def _pin_fits(request: Request, card: Card) -> bool:
    """The PIN block is opaque unless the card has a PIN configured."""
    keys, block = request.terminal.keys, request.message.get(52)
    if card.settings.pin is None or keys is None:
        return True
    return block is not None and pin_of(keys.pik, bytes.fromhex(block), request.pan) == card.settings.pin
