"""Sale, void, refund, pre-authorisation and the offline advices of the NAC dialect (reference 2.3, 2.4).

The ledger is idempotent on (TID, batch, STAN): the same request gets the same answer, another one under the same
number gets 94. Money moves here and in nac_reversal.py only.
"""

from dataclasses import dataclass

from posd.iso8583.message import Message
from simulators.chip import ISSUER_AUTHENTICATION, issuer_answer, read_55, write_55
from simulators.fields import Unreadable
from simulators.host.books import BatchState, Card, EntryState
from simulators.host.nac_books import REFUNDS, SALES, Batch, Entry, Kind
from simulators.host.nac_request import APPROVE_CODES, APPROVED, AUTHORISED, NacRequest
from simulators.nac_fields import amount, invoice_number

NOT_SUPPORTED, FORMAT_ERROR, NOT_FOUND, SPENT, OTHER_AMOUNT = "12", "30", "78", "12", "64"
REFUSED_LATE, OVER_LIMIT = "12", "61"


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """A code and, where money moves, by how much the card's balance changes and against which original."""

    code: str
    moved_minor: int = 0
    original: Entry | None = None

    @property
    def approved(self) -> bool:
        return self.code in APPROVE_CODES


def authorise(request: NacRequest) -> Message:
    """Answer a 0100, 0200 or 0220 and book it."""
    batch, kind = request.terminal.batch, request.kind
    known = batch.entries.get(request.stan)
    if known is not None:
        return _again(request, known)
    if kind is None:
        return request.reply(NOT_SUPPORTED)
    if batch.state is BatchState.TOTALLED:
        request.remarks.append(f"a {kind} while its batch is being uploaded")
    try:
        invoice = invoice_number(request.message.get(62))
        tip = amount(request.message.get(54), 54) if request.message.get(54) else 0
        decision = _decide(request, kind, batch, invoice)
    except Unreadable as trouble:
        request.remarks.append(str(trouble))
        return request.reply(FORMAT_ERROR)
    return _book(request, batch, kind, invoice, tip, decision)


def fingerprint(message: Message, pan: str) -> tuple[str, ...]:
    """What makes a repeat the same request: processing code, amounts, reference, invoice, card."""
    return (message.mti[:3], *(message.get(number) or "" for number in (3, 4, 37, 54, 60, 62)), pan)


def _again(request: NacRequest, known: Entry) -> Message:
    if known.fingerprint != fingerprint(request.message, request.pan):
        request.remarks.append(f"STAN {request.stan} used again for another request")
        return request.reply("94")
    known.times_asked += 1
    # 94 tells a terminal "done before" (D14): never to a repeat of what was declined.
    taken = known.mti == "0220" and known.state is not EntryState.DECLINED
    if taken and request.behaviour.repeat_advice == "94":
        return request.reply("94", {37: known.rrn})
    return known.answer


def _decide(request: NacRequest, kind: Kind, batch: Batch, invoice: int) -> Decision:
    tombstone = (batch.number, request.stan) in request.terminal.reversed_unknown
    if tombstone and request.behaviour.reverse_unknown == "refuse_later":
        return Decision(REFUSED_LATE)
    if request.refuse is not None and request.refuse not in APPROVE_CODES:
        return Decision(request.refuse)
    if request.message.get(4) is None:
        return Decision(FORMAT_ERROR)
    if request.amount_minor == 0 and kind is not Kind.ADJUST:
        return Decision("13")
    decision = _by_kind(request, kind, batch, invoice)
    if not decision.approved or request.refuse is None:
        return decision
    return Decision(request.refuse, decision.moved_minor, decision.original)


def _by_kind(request: NacRequest, kind: Kind, batch: Batch, invoice: int) -> Decision:
    match kind:
        case Kind.VOID:
            return _void(request, _original(request, batch, invoice))
        case Kind.ADJUST:
            return _adjust(request, _original(request, batch, invoice))
        case Kind.COMPLETION:
            return _complete(request)
    card = request.books.cards.get(request.pan)
    if card is None:
        return Decision("14")
    expiry = request.message.get(14) or (request.message.get(35) or "").partition("=")[2][:4]
    if (card.settings.expiry is not None and expiry not in ("", card.settings.expiry)) or (
        (card.settings.expiry or expiry or "9912") < request.clock.yymm
    ):
        return Decision("54")
    if kind in REFUNDS:
        return Decision(APPROVED, request.amount_minor)
    if kind is not Kind.OFFLINE_SALE and request.amount_minor > card.balance_minor:
        return Decision("51")
    return Decision(APPROVED, -request.amount_minor)


def _original(request: NacRequest, batch: Batch, invoice: int) -> Entry | None:
    """What a void or an adjustment names: by field 37 where it is sent, and by its invoice number."""
    rrn, wanted = request.message.get(37), (SALES if request.code.startswith("0") else REFUNDS)
    for entry in reversed(batch.entries.values()):
        if entry.state is EntryState.DECLINED or entry.kind not in wanted or entry.invoice != invoice:
            continue
        if rrn in (None, entry.rrn):
            return entry if request.pan in ("", entry.pan) else None
    return None


def _void(request: NacRequest, original: Entry | None) -> Decision:
    """The whole amount as it stands now, once."""
    if original is None:
        return Decision(NOT_FOUND)
    if original.state is not EntryState.APPROVED:
        return Decision(SPENT)
    if original.amount_minor != request.amount_minor:
        request.remarks.append(f"the void of STAN {original.stan} has another amount")
        return Decision(OTHER_AMOUNT)
    return Decision(APPROVED, -_charged(original, original.amount_minor), original)


def _adjust(request: NacRequest, original: Entry | None) -> Decision:
    """Field 60 is the amount until now, field 4 the new one; zero voids it (2.3: "adjust / void advice")."""
    before = amount(request.message.get(60), 60)
    if original is None:
        return Decision(NOT_FOUND)
    if original.state is not EntryState.APPROVED:
        return Decision(SPENT)
    if original.amount_minor != before:
        request.remarks.append(f"the adjustment of STAN {original.stan} names another original amount")
        return Decision(OTHER_AMOUNT)
    return Decision(APPROVED, _charged(original, request.amount_minor - before), original)


def _complete(request: NacRequest) -> Decision:
    """By the reference of the pre-authorisation, in whatever batch; what it held is released."""
    original = request.terminal.find_rrn(request.message.get(37) or "")
    if original is None or original.kind is not Kind.PRE_AUTH or request.pan not in ("", original.pan):
        return Decision(NOT_FOUND)
    if request.terminal.completion_of(original) is not None or original.state is not EntryState.APPROVED:
        return Decision(SPENT)
    if request.amount_minor * 100 > original.amount_minor * request.behaviour.completion_percent_max:
        return Decision(OVER_LIMIT)
    return Decision(APPROVED, original.amount_minor - request.amount_minor, original)


def _charged(original: Entry, minor: int) -> int:
    """What so much more of a sale, or of a refund, does to the card's balance."""
    return -minor if original.kind in SALES else minor


def _book(request: NacRequest, batch: Batch, kind: Kind, invoice: int, tip: int, decision: Decision) -> Message:
    original = decision.original
    pan = original.pan if original else request.pan
    card = request.books.cards.get(pan)
    if decision.approved and card is not None:
        card.balance_minor += decision.moved_minor
    if decision.approved and original is not None:
        _change(kind, original, request.amount_minor, tip)
    answer = request.reply(decision.code, _from_issuer(request, card, decision))
    batch.entries[request.stan] = Entry(
        batch=batch.number,
        stan=request.stan,
        mti=request.mti,
        kind=kind,
        pan=pan,
        invoice=invoice,
        requested_minor=request.amount_minor,
        amount_minor=request.amount_minor,
        tip_minor=tip,
        moved_minor=decision.moved_minor if decision.approved else 0,
        rrn=answer.get(37) or "",
        code=decision.code,
        state=EntryState.APPROVED if decision.approved else EntryState.DECLINED,
        at_ms=request.now_ms,
        fingerprint=fingerprint(request.message, request.pan),
        answer=answer,
        original=original,
    )
    return answer


def _from_issuer(request: NacRequest, card: Card | None, decision: Decision) -> dict[int, str | None]:
    """Field 55 of an answer: the issuer's authentication and scripts, where the card's settings say so."""
    if card is None or not decision.approved or request.message.get(55) is None or request.mti not in AUTHORISED:
        return {}
    try:
        tags = read_55(request.message.get(55))
    except Unreadable as trouble:
        request.remarks.append(str(trouble))
        return {}
    issuer = write_55({ISSUER_AUTHENTICATION: issuer_answer(request.pan, tags)}) if card.settings.issuer_auth else ""
    return {55: (issuer + "".join(card.settings.scripts)) or None}


def _change(kind: Kind, original: Entry, amount_minor: int, tip_minor: int) -> None:
    if kind is Kind.VOID or (kind is Kind.ADJUST and amount_minor == 0):
        original.state = EntryState.VOIDED
    elif kind is Kind.ADJUST:
        original.amount_minor, original.tip_minor = amount_minor, tip_minor
