"""Which fields a request must and may carry (reference 1.6, 1.7, 1.8, 1.10), as data.

A deviation is a finding in the books, never a refusal: real hosts differ, and an audit wants to know.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from posd.iso8583.message import Message
from simulators.chip import NEEDED_TAGS, OFFLINE_APPROVED, OFFLINE_CODE, is_chip_entry, read_55
from simulators.fields import Unreadable
from simulators.host.kinds import Kind, row_of

CARD = (2, 14, 22, 23, 26, 35, 36, 52, 53)
STORED = (2, 3, 4, 11, 22, 25, 41, 42, 49, 60)
CHIP_ONLY_KINDS = frozenset({Kind.EC_SALE, Kind.EC_LOAD, Kind.EC_CASH_LOAD, Kind.EC_TRANSFER_LOAD})


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of one kind of request: mandatory and conditional; anything else is a deviation."""

    must: frozenset[int]
    may: frozenset[int]

    def without_mac(self) -> "Shape":
        return Shape(self.must - {64}, self.may - {64})


def _shape(must: tuple[int, ...], may: tuple[int, ...] = ()) -> Shape:
    return Shape(frozenset(must), frozenset(may) - frozenset(must))


SALE = _shape((3, 4, 11, 22, 25, 41, 42, 49, 60, 64), (*CARD, 55, 59))
VOID = _shape((3, 4, 11, 22, 25, 37, 41, 42, 49, 53, 60, 61, 64), (*CARD, 38))
BY_CODE = _shape((3, 4, 11, 22, 25, 38, 41, 42, 49, 53, 60, 61, 64), (*CARD, 37))
BY_BOTH = _shape((3, 4, 11, 22, 25, 37, 38, 41, 42, 49, 53, 60, 61, 64), CARD)
REFUND = _shape((3, 4, 11, 22, 25, 37, 41, 42, 49, 60, 61, 63, 64), (*CARD, 38))
LOAD = _shape((3, 4, 11, 22, 23, 25, 41, 42, 49, 55, 60, 64), (*CARD, 48, 59, 62))
SHAPES = {
    Kind.SALE: SALE,
    Kind.PREAUTH: SALE,
    Kind.SALE_VOID: VOID,
    Kind.PREAUTH_VOID: BY_CODE,
    Kind.COMPLETION: BY_CODE,
    Kind.COMPLETION_VOID: BY_BOTH,
    Kind.BALANCE: _shape((3, 11, 22, 25, 41, 42, 49, 60, 64), (*CARD, 55)),
    Kind.REFUND: REFUND,
    # Advices are stored until they are acknowledged: the number, never a track or a PIN (1.9).
    Kind.COMPLETION_NOTICE: _shape((*STORED, 38, 61, 64), (14, 23, 37, 53)),
    Kind.OFFLINE_SALE: _shape((*STORED, 64), (14, 23, 38, 61, 62, 63)),
    Kind.ADJUST: _shape((*STORED, 61, 64), (14, 23, 37, 38, 62, 63)),
    Kind.TIP: _shape((*STORED, 61, 64), (14, 23, 37, 38, 62, 63)),
    Kind.EC_SALE: _shape((*STORED, 23, 55, 63, 64), (14,)),
    Kind.EC_REFUND: _shape((3, 4, 11, 22, 25, 41, 42, 49, 60, 61, 64), (*CARD, 37, 38, 55, 62, 63)),
    Kind.EC_LOAD: LOAD,
    Kind.EC_CASH_LOAD: LOAD,
    Kind.EC_TRANSFER_LOAD: LOAD,
    Kind.EC_CASH_LOAD_VOID: _shape((3, 4, 11, 22, 25, 37, 41, 42, 49, 60, 61, 64), (*CARD, 38, 55, 62)),
}
UPLOADED = {
    Kind.EC_SALE: _shape((*STORED, 23, 55, 63), (14,)),
    Kind.REFUND: _shape((*STORED, 37, 61, 63), (14, 23, 38)),
    Kind.EC_REFUND: _shape((*STORED, 61), (14, 23, 37, 38, 55, 62, 63)),
    Kind.COMPLETION_NOTICE: _shape((*STORED, 38, 61), (14, 23, 37, 63)),
    Kind.OFFLINE_SALE: _shape(STORED, (14, 23, 38, 61, 62, 63)),
    Kind.ADJUST: _shape((*STORED, 61), (14, 23, 37, 38, 62, 63)),
    Kind.TIP: _shape((*STORED, 61), (14, 23, 37, 38, 62, 63)),
}
"""Records that are uploaded one a message, without MAC (1.7, types 1, 2, 4)."""

REVERSAL = _shape((3, 4, 11, 22, 25, 39, 41, 42, 49, 60, 64), (2, 14, 23, 38, 53, 55, 61, 62))
SCRIPT = _shape((3, 11, 22, 25, 41, 42, 49, 55, 60, 61, 64), (2, 4, 14, 23, 32, 37, 38))
SIGN_IN = _shape((11, 41, 42, 60), (62, 63))
MANAGEMENT = _shape((41, 42, 60), (11, 62, 63))
ECHO = _shape((41, 42, 60))
TOTALS = _shape((11, 41, 42, 48, 49, 60, 63))
RECORDS = _shape((11, 41, 42, 48, 60))
CHIP_DETAIL = _shape((2, 4, 11, 22, 23, 41, 42, 55, 60, 62))
REASONS = frozenset({"98", "A0", "06", "96"})


def deviations(message: Message) -> Iterator[str]:
    """What is odd about a request, in words that hold no content but reason codes and entry modes."""
    shape = _shape_of(message)
    if shape is None:
        return
    present = frozenset(message.fields)
    for number in sorted(shape.must - present):
        yield f"{message.mti} without field {number}"
    for number in sorted(present - shape.must - shape.may):
        yield f"{message.mti} with field {number}"
    if message.mti == "0400" and message.get(39) not in REASONS:
        yield f"0400 with reason {message.get(39)}"
    if (26 in present) is not (52 in present):
        yield f"{message.mti} with field {26 if 26 in present else 52} and not {52 if 26 in present else 26}"
    yield from _chip_deviations(message, shape)


def _kind(message: Message) -> Kind | None:
    mti = message.mti
    if mti == "0320":
        mti = "0200" if (message.get(60) or "")[:2] == "36" else "0220"
    row = row_of(mti, message.get(3), message.get(25), (message.get(60) or "")[:2])
    return row.kind if row else None


def _shape_of(message: Message) -> Shape | None:
    code = (message.get(60) or "")[8:11]
    match message.mti:
        case "0100" | "0200" | "0220":
            kind = _kind(message)
            return SHAPES[kind] if kind else None
        case "0320":
            return _uploaded(message, code)
        case "0400":
            return REVERSAL
        case "0500":
            return TOTALS
        case "0620":
            return SCRIPT
        case "0820" if code == "301":
            return ECHO
        case "0800" | "0820":
            return MANAGEMENT if code[:2] in ("36", "37", "38") else SIGN_IN
        case _:
            return None


def _uploaded(message: Message, code: str) -> Shape | None:
    if code in ("203", "204", "205", "206"):
        return CHIP_DETAIL
    if message.get(4) is None:
        return RECORDS
    kind = _kind(message)
    return UPLOADED.get(kind) if kind else None


def _chip_deviations(message: Message, shape: Shape) -> Iterator[str]:
    """Where a chip was read, fields 23 and 55 are there if the kind has them; 55 is TLV with what an issuer needs."""
    chip, text = is_chip_entry(message.get(22)), message.get(55)
    if chip and message.mti in ("0100", "0200"):
        for number in (23, 55):
            if number in shape.may and message.get(number) is None:
                yield f"{message.mti} of a chip without field {number}"
    if text is None:
        return
    if not chip:
        yield f"{message.mti} with field 55 and entry mode {message.get(22)}"
    try:
        tags = read_55(text)
    except Unreadable as trouble:
        yield str(trouble)
        return
    if message.mti in ("0100", "0200", "0320"):
        for tag in NEEDED_TAGS:
            if tag not in tags:
                yield f"{message.mti}: field 55 without tag {tag}"
    if message.mti == "0320" and _kind(message) is Kind.EC_SALE and tags.get(OFFLINE_CODE) != OFFLINE_APPROVED:
        yield f"0320: tag {OFFLINE_CODE} of an offline sale is not Y1"
