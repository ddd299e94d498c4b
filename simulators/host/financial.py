"""The authorisation ledger: one request of 1.8 decided, booked and answered.

The ledger is idempotent on (TID, batch, STAN): the same request gets the same answer, another one under the
same key gets 94; an advice that was approved before gets 94 too (1.9). Money moves here and in reversal.py only.
"""

from posd.iso8583.message import Message
from simulators.chip import ISSUER_AUTHENTICATION, Tags, issuer_answer, read_55, write_55
from simulators.fields import Unreadable
from simulators.host.approval import PARTIAL, Decision, Effect, by_card, effect
from simulators.host.books import Batch, BatchState, Card, Entry, EntryState
from simulators.host.kinds import Kind, Row, row_of
from simulators.host.originals import by_original
from simulators.host.request import APPROVE_CODES, Request

REFUSED_LATE = "12"
BALANCE_LAYOUT = "0002156{sign}{amount:012d}"
HALVED = frozenset({Kind.SALE, Kind.SALE_VOID, Kind.REFUND, Kind.PREAUTH})


def authorise(request: Request) -> Message:
    """Answer a 0100, 0200 or 0220 and book it. The answer is without field 64."""
    message, field60 = request.message, request.field60
    row = row_of(message.mti, message.get(3), message.get(25), field60.type_code)
    batch = request.terminal.find_batch(field60.batch)
    known = batch.entries.get(request.stan) if batch else None
    if known is not None:
        return _again(request, known, row)
    if batch is None or not _open_for(request, row):
        return request.reply("77")
    if row is None:
        return request.reply("40")
    if field60.type_code != row.type_code:
        request.deviates([f"60.1 is {field60.type_code}, a {row.kind} has {row.type_code}"])
    if batch.state is BatchState.TOTALLED:
        request.remarks.append(f"a {row.kind} after the totals of its batch")
    return _book(request, batch, row, _decide(request, row, batch))


def fingerprint(message: Message, pan: str) -> tuple[str, ...]:
    """What makes a repeat the same request: MTI, fields 3, 4, 25, 37 and 61, 60.1, card."""
    texts = (message.get(number) or "" for number in (3, 4, 25, 37, 61))
    return (message.mti, *texts, (message.get(60) or "")[:2], pan)


def _open_for(request: Request, row: Row | None) -> bool:
    """The current batch; an advice also for one that was closed over it, under its old number (D19)."""
    if request.current_batch:
        return True
    late = row is not None and row.advice and request.behaviour.late_advice == "book"
    if late:
        request.remarks.append(f"an advice for batch {request.field60.batch}, which is not the current one")
    return late


def _again(request: Request, known: Entry, row: Row | None) -> Message:
    if known.fingerprint != fingerprint(request.message, request.pan):
        request.remarks.append(f"STAN {request.stan} used again for another request")
        return request.reply("94")
    known.times_asked += 1
    booked = known.state is not EntryState.DECLINED
    if row is not None and row.advice and booked and request.behaviour.repeat_advice == "94":
        return request.reply("94")
    return known.answer


def _decide(request: Request, row: Row, batch: Batch) -> Decision:
    tombstone = (batch.number, request.stan) in request.terminal.reversed_unknown
    if tombstone and request.behaviour.reverse_unknown == "refuse_later":
        return Decision(REFUSED_LATE)
    if request.refuse is not None and request.refuse not in APPROVE_CODES:
        return Decision(request.refuse)
    if row.kind is not Kind.BALANCE:
        if request.message.get(4) is None:
            return Decision("30")
        if request.amount_minor == 0:
            return Decision("13")
    decision = by_original(request, row, batch) if row.originals else by_card(request, row)
    if not decision.approved or request.refuse is None:
        return decision
    halved = request.refuse == PARTIAL and row.kind in HALVED
    amount = decision.amount_minor // 2 if halved else decision.amount_minor
    return Decision(request.refuse, amount, decision.original)


def _book(request: Request, batch: Batch, row: Row, decision: Decision) -> Message:
    pan = decision.original.pan if decision.original else request.pan
    card = request.books.cards.get(pan)
    done = effect(row.kind, decision) if decision.approved else Effect()
    if card is not None:
        card.balance_minor += done.balance_minor
        card.purse_minor += done.purse_minor
    _mark(row.kind, decision.original, done.becomes)
    online = request.chip and not row.advice and not row.originals
    scripts = card.settings.scripts if card is not None and online and decision.approved else ()
    answer = _answer(request, row, decision, card, scripts)
    batch.entries[request.stan] = Entry(
        batch=batch.number,
        stan=request.stan,
        mti=request.message.mti,
        kind=row.kind,
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
        moved_minor=done.balance_minor,
        purse_minor=done.purse_minor,
        approval=answer.get(38) or "",
        chip=request.chip and request.message.get(55) is not None,
        script="sent" if scripts and answer.get(55) is not None else "",
    )
    return answer


def _mark(kind: Kind, original: Entry | None, becomes: EntryState | None) -> None:
    """What an approval makes of its original; the hold of a voided completion is there again."""
    if original is None or becomes is None:
        return
    original.state = becomes
    if kind is Kind.COMPLETION_VOID and original.original is not None:
        original.original.state = EntryState.APPROVED


def _answer(request: Request, row: Row, decision: Decision, card: Card | None, scripts: tuple[str, ...]) -> Message:
    more: dict[int, str | None] = {}
    if decision.approved:
        given = request.message.get(38) if row.advice else None
        more[38] = given or f"{(request.books.sequence * 7919 + 100_003) % 1_000_000:06d}"
        if decision.code == PARTIAL:
            more[4] = f"{decision.amount_minor:012d}"
        if card is not None and (row.kind is Kind.BALANCE or card.settings.show_balance):
            sign = "C" if card.balance_minor >= 0 else "D"
            more[54] = BALANCE_LAYOUT.format(sign=sign, amount=abs(card.balance_minor))
        if row.kind is Kind.BALANCE:
            more[38] = None
    if request.chip and card is not None and not row.advice:
        more |= _chip_fields(request, card, scripts)
    return request.reply(decision.code, more)


def _chip_fields(request: Request, card: Card, scripts: tuple[str, ...]) -> dict[int, str | None]:
    """Fields 23 and 55 of an answer: the issuer's authentication and its scripts, where the card's settings say so."""
    try:
        asked: Tags = read_55(request.message.get(55))
    except Unreadable:
        asked = {}
    issuer = write_55({ISSUER_AUTHENTICATION: issuer_answer(request.pan, asked)}) if card.settings.issuer_auth else ""
    text = issuer + "".join(scripts)
    return {23: request.message.get(23), 55: text} if text and asked else {23: request.message.get(23)}
