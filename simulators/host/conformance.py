"""Which fields a request must and may carry (reference 1.6, 1.7, 1.8, 1.10), as data.

A deviation is a remark in the books, never a refusal: real hosts differ, and an audit wants to know.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from posd.iso8583.message import Message

CARD = (2, 14, 22, 23, 26, 35, 36, 52, 53)


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of one kind of request: mandatory and conditional; anything else is a deviation."""

    must: frozenset[int]
    may: frozenset[int]


def _shape(must: tuple[int, ...], may: tuple[int, ...] = ()) -> Shape:
    return Shape(frozenset(must), frozenset(may) - frozenset(must))


SALE = _shape((3, 4, 11, 22, 25, 41, 42, 49, 60, 64), (*CARD, 55, 59))
VOID = _shape((3, 4, 11, 22, 25, 37, 41, 42, 49, 53, 60, 61, 64), (*CARD, 38))
BALANCE = _shape((3, 11, 22, 25, 41, 42, 49, 60, 64), (*CARD, 55))
REFUND = _shape((3, 4, 11, 22, 25, 37, 41, 42, 49, 60, 61, 63, 64), (*CARD, 38))
REVERSAL = _shape((3, 4, 11, 22, 25, 39, 41, 42, 49, 60, 64), (2, 14, 23, 38, 53, 55, 61, 62))
SIGN_IN = _shape((11, 41, 42, 60), (62, 63))
ECHO = _shape((41, 42, 60))
TOTALS = _shape((11, 41, 42, 48, 49, 60, 63))
RECORDS = _shape((11, 41, 42, 48, 60))
REASONS = frozenset({"98", "A0", "06", "96"})


def deviations(message: Message) -> Iterator[str]:
    """What is odd about a request, in words that hold no field content but reason codes."""
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


def _shape_of(message: Message) -> Shape | None:
    code = (message.get(60) or "")[8:11]
    match message.mti, message.get(3):
        case "0200", "000000":
            return SALE
        case "0200", "200000":
            return VOID
        case "0200", "310000":
            return BALANCE
        case "0220", "200000":
            return REFUND
        case "0400", _:
            return REVERSAL
        case "0500", _:
            return TOTALS
        case "0320", None if code in ("201", "202", "207"):
            return RECORDS
        case "0820", _ if code == "301":
            return ECHO
        case (("0800" | "0820"), _):
            return SIGN_IN
        case _:
            return None
