"""Reversals: matched on TID, batch (60.2) and the original's trace; however many come, money moves back once.

An unknown original gets 25 and is remembered: `reverse_unknown` says what happens when it arrives late (1.10).
"""

from posd.iso8583.message import Message
from simulators.chip import REVERSAL_TAGS, read_55
from simulators.fields import Field61, Unreadable
from simulators.host.books import BatchState, Books, Entry, EntryState
from simulators.host.kinds import MATRIX, Kind
from simulators.host.request import APPROVED, Request

NO_DATE = "0000"
BAD_MAC_REASON = "A0"
SHORT_FIELD61 = 12


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
    request.deviates(_field61_problems(request, entry))
    request.deviates(_field55_problems(request, entry))
    if not _same(request, entry):
        request.remarks.append(f"the reversal of STAN {entry.stan} differs from its original")
        return request.reply("64")
    if batch.state is BatchState.CLOSED:
        request.remarks.append(f"STAN {entry.stan} reversed after batch {batch.number} was closed")
    return request.reply(_undo(request.books, entry))


def _undo(books: Books, entry: Entry) -> str:
    """Cancel the money once; the code of field 39."""
    if not MATRIX[entry.kind].reversible:
        return "12"
    if entry.state not in (EntryState.APPROVED, EntryState.REVERSED, EntryState.DECLINED) or _overtaken(entry):
        return "12"
    entry.times_reversed += 1
    if entry.state is EntryState.APPROVED:
        entry.state = EntryState.REVERSED
        card = books.cards.get(entry.pan)
        if card is not None:
            card.balance_minor -= entry.moved_minor
            card.purse_minor -= entry.purse_minor
        _restore_original(entry)
    return APPROVED


def _overtaken(entry: Entry) -> bool:
    """A completion void whose hold was captured again or released since: taking it back would capture twice."""
    completion = entry.original if entry.kind is Kind.COMPLETION_VOID else None
    hold = completion.original if completion is not None else None
    return hold is not None and entry.state is EntryState.APPROVED and hold.state is not EntryState.APPROVED


def _restore_original(entry: Entry) -> None:
    """What a reversed void or completion named is as it was before."""
    if entry.original is None:
        return
    entry.original.state = EntryState.APPROVED
    if entry.kind is Kind.COMPLETION_VOID and entry.original.original is not None:
        entry.original.original.state = EntryState.COMPLETED


def _same(request: Request, entry: Entry) -> bool:
    """Requested amount, processing code and, where sent, the card are those of the original."""
    return (
        request.amount_minor == entry.requested_minor
        and request.message.get(3) == entry.answer.get(3)
        and request.pan in ("", entry.pan)
    )


def _field61_problems(request: Request, entry: Entry) -> list[str]:
    """Absent, or batch and trace of the reversed request itself, with 0000 after them or not (the table of 1.10)."""
    text, digits = request.message.get(61), MATRIX[entry.kind].reversal61
    what = f"in the reversal of a {entry.kind}"
    if not digits:
        return [f"field 61 {what}"] if text is not None else []
    try:
        named = Field61.parse(text)
    except Unreadable:
        return [f"no field 61 {what}"]
    if (named.batch, named.stan) != (entry.batch, entry.stan):
        return [f"field 61 {what} is not its own batch and trace"]
    dates: set[str | None] = {None} if digits == SHORT_FIELD61 else {NO_DATE}
    if digits != SHORT_FIELD61 and request.message.get(39) == BAD_MAC_REASON:
        dates.add(entry.answer.get(13))
    return [] if named.date in dates and not named.rest else [f"field 61 {what} has not {digits} digits as in 1.10"]


def _field55_problems(request: Request, entry: Entry) -> list[str]:
    """Only the five tags of 1.10, and only where the original stands for itself and had field 55."""
    text = request.message.get(55)
    wanted = entry.chip and MATRIX[entry.kind].reversal61 == 0
    if text is None:
        return [f"no field 55 in the reversal of a chip {entry.kind}"] if wanted else []
    if not wanted:
        return [f"field 55 in the reversal of a {entry.kind} without it"]
    try:
        others = sorted(read_55(text).keys() - REVERSAL_TAGS)
    except Unreadable as trouble:
        return [str(trouble)]
    return [f"field 55 of a reversal with tag {tag}" for tag in others]
