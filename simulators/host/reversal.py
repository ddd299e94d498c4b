"""Reversals: matched on TID, batch (60.2) and the original's trace; however many come, money moves back once.

An unknown original gets 25 and is remembered: `reverse_unknown` says what happens when it arrives late (1.10).
"""

from posd.iso8583.message import Message
from simulators.fields import Field61, Unreadable
from simulators.host.books import BatchState, Books, Entry, EntryState, Kind
from simulators.host.request import APPROVED, Request

NOT_REVERSIBLE = frozenset({Kind.REFUND, Kind.BALANCE})


def reverse(request: Request) -> Message:
    """Answer a 0400 (without field 64)."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    batch = request.terminal.find_batch(request.field60.batch)
    entry = batch.entries.get(request.stan) if batch else None
    if batch is None or entry is None:
        key = (request.field60.batch, request.stan)
        unknown = request.terminal.reversed_unknown
        unknown[key] = unknown.get(key, 0) + 1
        return request.reply("25")
    _remark_field61(request, entry)
    if not _same(request, entry):
        request.remarks.append(f"the reversal of STAN {entry.stan} differs from its original")
        return request.reply("64")
    if batch.state is BatchState.CLOSED:
        request.remarks.append(f"STAN {entry.stan} reversed after batch {batch.number} was closed")
    return request.reply(_undo(request.books, entry))


def _undo(books: Books, entry: Entry) -> str:
    """Cancel the money once; the code of field 39."""
    if entry.kind in NOT_REVERSIBLE or entry.state is EntryState.VOIDED:
        return "12"
    entry.times_reversed += 1
    if entry.state is EntryState.APPROVED:
        entry.state = EntryState.REVERSED
        card = books.cards.get(entry.pan)
        if card is not None:
            card.balance_minor += entry.amount_minor if entry.kind is Kind.SALE else -entry.amount_minor
        if entry.original is not None:
            entry.original.state = EntryState.APPROVED
    return APPROVED


def _same(request: Request, entry: Entry) -> bool:
    """Requested amount, processing code and, where sent, the card are those of the original."""
    return (
        request.amount_minor == entry.requested_minor
        and request.message.get(3) == entry.answer.get(3)
        and request.pan in ("", entry.pan)
    )


def _remark_field61(request: Request, entry: Entry) -> None:
    """Absent for a sale; batch and trace of the void itself, twelve digits, for a void (1.10)."""
    text = request.message.get(61)
    if entry.kind is Kind.SALE:
        if text is not None:
            request.remarks.append("field 61 in the reversal of a sale")
        return
    try:
        named = Field61.parse(text)
    except Unreadable:
        request.remarks.append("no field 61 in the reversal of a void")
        return
    if (named.batch, named.stan, named.date) != (entry.batch, entry.stan, None):
        request.remarks.append("field 61 in the reversal of a void is not the void's own batch and trace")
