"""Kinds that name an original: voids, completions, adjustments, tips (reference 1.4, 1.6, 1.8)."""

from simulators.fields import Field61, Unreadable
from simulators.host.approval import Decision
from simulators.host.books import Batch, Entry, EntryState
from simulators.host.kinds import Kind, Row
from simulators.host.request import APPROVED, Request

PERCENT = 100
WHOLE = frozenset({Kind.SALE_VOID, Kind.PREAUTH_VOID, Kind.COMPLETION_VOID, Kind.EC_CASH_LOAD_VOID})
"""Kinds that take back the whole amount."""

CHANGES = frozenset({Kind.ADJUST, Kind.TIP})
OF_WHAT_COUNTS = CHANGES | {Kind.SALE_VOID}
"""Kinds that name the sale, and mean what counts in its place by now (1.6)."""

OF_ANY_BATCH = frozenset({Kind.PREAUTH_VOID, Kind.COMPLETION, Kind.COMPLETION_NOTICE})
BY_APPROVAL_CODE = OF_ANY_BATCH | {Kind.COMPLETION_VOID}
BY_REFERENCE = frozenset({Kind.SALE_VOID, Kind.COMPLETION_VOID, Kind.EC_CASH_LOAD_VOID})


def by_original(request: Request, row: Row, batch: Batch) -> Decision:
    """25 where nothing fits, 12 where it is not open any more, 64, 61 or 13 where the amount does not fit."""
    try:
        named = Field61.parse(request.message.get(61))
    except Unreadable:
        return Decision("30")
    original = _find(request, row, batch, named)
    if original is not None and original.kind in CHANGES:
        request.deviates([f"field 61 of a {row.kind} names a {original.kind}, not the sale"])
    if original is None or original.kind not in row.originals or not _identified(request, row, original):
        return Decision("25")
    if request.pan not in ("", original.pan):
        return Decision("64")
    if row.kind in OF_WHAT_COUNTS:
        original = _newest(batch, original)
    code = _amount_code(request, row, original)
    if code != APPROVED:
        return Decision(code)
    if original.state is not EntryState.APPROVED:
        return Decision("12")
    return Decision(APPROVED, request.amount_minor, original)


def _find(request: Request, row: Row, batch: Batch, named: Field61) -> Entry | None:
    if row.kind not in OF_ANY_BATCH:
        return batch.entries.get(named.stan) if named.batch == batch.number else None
    if named.stan:
        earlier = request.terminal.find_batch(named.batch)
        return earlier.entries.get(named.stan) if earlier is not None else None
    held = (one for one in request.terminal.entries() if one.kind is Kind.PREAUTH and one.pan == request.pan)
    return next((one for one in held if one.approval == request.message.get(38)), None)


def _newest(batch: Batch, entry: Entry) -> Entry:
    """The last adjustment or tip that was approved in its place, or itself."""
    changes = (one for one in batch.entries.values() if one.kind in CHANGES and one.went_through)
    for change in changes:  # in the order of their coming
        if change.original is entry:
            entry = change
    return entry


def _sold(entry: Entry) -> Entry:
    """What it was before any tip."""
    while entry.kind is Kind.TIP and entry.original is not None:
        entry = entry.original
    return entry


def _identified(request: Request, row: Row, original: Entry) -> bool:
    """Reference and approval code are those of the original, as far as its kind is known by them."""
    message = request.message
    if row.kind in BY_REFERENCE and message.get(37) != original.rrn:
        return False
    if row.kind not in BY_APPROVAL_CODE:
        return message.get(37) in (None, original.rrn)
    first = original.original.approval if original.original is not None else original.approval
    return message.get(38) in (original.approval, first)


def _amount_code(request: Request, row: Row, original: Entry) -> str:
    amount = request.amount_minor
    if row.kind in WHOLE:
        return APPROVED if amount == original.amount_minor else "64"
    if row.kind is Kind.TIP:
        return _tip_code(request, amount, _sold(original).amount_minor)
    if row.kind is Kind.ADJUST:
        return APPROVED
    limit = original.amount_minor * request.behaviour.completion_percent_max
    if amount * PERCENT > limit:
        return "61"
    card = request.books.cards.get(original.pan)
    room = card.balance_minor - original.moved_minor if card is not None else 0
    return APPROVED if amount <= room else "51"


def _tip_code(request: Request, amount: int, sold: int) -> str:
    """The whole amount: what was sold, and not too much more."""
    percent = request.behaviour.tip_percent_max
    if amount * PERCENT > sold * (PERCENT + percent):
        request.deviates([f"a tip of more than {percent} percent"])
        return "61"
    return APPROVED if amount >= sold else "13"
