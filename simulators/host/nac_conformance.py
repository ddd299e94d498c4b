"""Which fields a NAC request must and may carry (reference 2.2, 2.4, 2.6), as data.

A deviation is a remark in the books, never a refusal: real hosts differ, and an audit wants to know.
"""

from collections.abc import Iterator

from posd.iso8583.message import Message
from simulators.chip import is_chip_entry
from simulators.host.conformance import Shape
from simulators.host.nac_request import first_mti
from simulators.nac_fields import TC_UPLOAD

CARD = frozenset({2, 14, 22, 23, 35, 45, 48, 52, 55})
CHIP = frozenset({23, 55})
IDENTITY = frozenset({24, 41, 42})
TIMES = frozenset({12, 13})
ANYWHERE = frozenset({49, 61, 64})

FINANCIAL = Shape(frozenset({3, 4, 11, 22, 25, 62}) | IDENTITY, CARD | TIMES | {37, 38, 54})
VOID = Shape(frozenset({3, 4, 11, 22, 25, 37, 62}) | IDENTITY, CARD | TIMES | {38, 54, 60})
ADVICE = Shape(frozenset({3, 4, 11, 12, 13, 22, 25, 62}) | IDENTITY, CARD | {37, 38, 39, 54, 60})
ADJUST = Shape(ADVICE.must | {60}, ADVICE.may)
REVERSAL = Shape(frozenset({3, 4, 11, 22, 25}) | IDENTITY, TIMES | {2, 14, 23, 37, 38, 54, 55, 60, 62})
TOTALS = Shape(frozenset({3, 11, 60, 63}) | IDENTITY, TIMES | {62})
UPLOAD = Shape(frozenset({2, 3, 4, 11, 12, 13, 22, 25, 37, 60, 62}) | IDENTITY, frozenset({14, 23, 38, 39, 54, 55}))
CERTIFICATE = Shape(UPLOAD.must - {12, 13} | {55}, UPLOAD.may | TIMES)
LOGON = Shape(frozenset({3, 24, 41}), TIMES | {11, 42, 60, 62, 63})


def deviations(message: Message, nii: str) -> Iterator[str]:
    """What is odd about a request, in words that hold no card data."""
    shape = _shape_of(message)
    if shape is None:
        return
    present = frozenset(message.fields)
    for number in sorted(shape.must - present):
        yield f"{message.mti} without field {number}"
    for number in sorted(present - shape.must - shape.may - ANYWHERE):
        yield f"{message.mti} with field {number}"
    if shape is FINANCIAL and is_chip_entry(message.get(22)) and not present >= CHIP:
        yield f"{message.mti} of a chip without fields 23 and 55"
    if (message.get(24) or nii) != nii:
        yield f"field 24 is not our NII {nii}"


def _shape_of(message: Message) -> Shape | None:
    code = message.get(3) or ""
    match first_mti(message.mti):
        case "0200" if code[:2] in ("02", "22"):
            return VOID
        case "0100" | "0200":
            return FINANCIAL
        case "0220":
            return ADJUST if code[:2] in ("02", "22") else ADVICE
        case "0400":
            return REVERSAL
        case "0500":
            return TOTALS
        case "0320":
            return CERTIFICATE if code == TC_UPLOAD else UPLOAD
        case "0800":
            return LOGON
        case _:
            return None
