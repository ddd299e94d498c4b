"""Reversals of the NAC dialect: the same STAN, processing code and amount; answered 00 (reference 2.6).

However many come, money moves back once. An unknown original is answered 00 too, because a terminal waits for it; the
knobs `reversal_unknown` and `reverse_unknown` say otherwise.
"""

from posd.iso8583.message import Message
from simulators.host.books import BatchState, EntryState
from simulators.host.nac_books import Entry, Kind
from simulators.host.nac_request import APPROVED, NacRequest

DIFFERENT, TOO_LATE = "64", "12"


def reverse(request: NacRequest) -> Message:
    """Answer a 0400, 0401 or 0420."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    named = [
        (batch, batch.entries[request.stan]) for batch in request.terminal.batches if request.stan in batch.entries
    ]
    found = next((pair for pair in reversed(named) if _same(request, pair[1])), None)
    if found is None and named:
        request.remarks.append(f"the reversal of STAN {request.stan} differs from its original")
        return request.reply(DIFFERENT)
    if found is None:
        key = (request.terminal.batch.number, request.stan)
        unknown = request.terminal.reversed_unknown
        unknown[key] = unknown.get(key, 0) + 1
        return request.reply(request.nac.reversal_unknown)
    batch, entry = found
    if batch.state is BatchState.CLOSED:
        request.remarks.append(f"STAN {entry.stan} reversed after batch {batch.number} was closed")
    return request.reply(_undo(request, entry))


def _undo(request: NacRequest, entry: Entry) -> str:
    """Cancel the money once; the code of field 39. What was voided, adjusted or completed since is not undone."""
    moved_on = entry.state is EntryState.VOIDED or entry.amount_minor != entry.requested_minor
    if moved_on or entry.mti == "0220" or request.terminal.completion_of(entry) is not None:
        return TOO_LATE
    entry.times_reversed += 1
    if entry.state is not EntryState.APPROVED:
        return APPROVED
    entry.state = EntryState.REVERSED
    card = request.books.cards.get(entry.pan)
    if card is not None:
        card.balance_minor -= entry.moved_minor
    if entry.original is not None and entry.kind is Kind.VOID:
        entry.original.state = EntryState.APPROVED
    return APPROVED


def _same(request: NacRequest, entry: Entry) -> bool:
    """Amount, processing code and, where sent, card and invoice are those of the original."""
    return (
        request.amount_minor == entry.requested_minor
        and request.code == entry.answer.get(3)
        and request.pan in ("", entry.pan)
        and request.message.get(62) in (None, f"{entry.invoice:06d}")
    )
