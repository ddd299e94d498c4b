"""What may be written in a log line: everything that could be card data is masked, everything unknown is not shown.

Fail closed: a value of a type that is not listed here shows as its type's name, bytes as their length. It must never
let a whole card number, a track or raw bytes through, not even in the text of somebody else's exception.
"""

import re
import traceback
from collections.abc import Mapping
from datetime import date, time, timedelta
from enum import Enum
from pathlib import PurePath

from posd.errors import PosdError
from posd.masks import mask_pan
from posd.security.guarded import Guarded

CARD_DIGITS_MIN = 13
CARD_DIGITS_MAX = 19
CERTAIN_DIGITS_MIN = 16
"""From here on every number is taken for a card's: many issued cards have no Luhn digit, and nothing that a log
needs is a plain number so long."""

TEXT_CHARACTERS_MAX = 8_192
ITEMS_MAX = 100
DEPTH_MAX = 6
HIDDEN = "***"

SECRET_NAMES = frozenset(
    {"pan", "card_number", "track", "track1", "track2", "track3", "pin", "pin_block", "cvv", "cvv2", "icc", "expiry"}
    | {"mak", "pik", "tdk", "tmk", "secret"}
)
"""Names whose values are never shown, whatever they look like."""

Shown = str | int | float | bool | None | list["Shown"] | dict[str, "Shown"]

_TRACK_2 = re.compile(r"[0-9]{12,19} ?[=D] ?[0-9]{3,}[0-9=DF]*", re.IGNORECASE)
_TRACK_1 = re.compile(r"[0-9]{12,19} ?\^[^^]*\^[^\s?]*")
_DIGIT_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_HEX = re.compile(r"[0-9A-F]{16,}")
"""As binary fields stand in a message: a PIN block, a chip's data, a key. Ids of posd's own are in small letters."""
_HEX_OF_ANY_KIND = re.compile(r"[0-9A-Fa-f]{14,}")
_BYTES_SHOWN = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|bytearray\([^)]*\)""")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_BREAK = re.compile(r"[\n\t\u2028\u2029]")


def mask_value(value: object, name: str = "", depth: int = 0) -> Shown:
    """`value` as something that may be written under `name`; total, for any object."""
    if name.lower() in SECRET_NAMES and value is not None:
        return HIDDEN
    match value:
        case None | bool() | float():
            return value
        case Enum():
            return mask_value(value.value, name, depth)
        case int():
            text = mask_text(str(int(value)))
            return int(value) if text == str(int(value)) else text
        case str():
            return one_line(mask_text(value))
        case Guarded() | PurePath() | date() | time() | timedelta():
            return one_line(mask_text(str(value)))
        case PosdError():
            return one_line(mask_text(_exception_line(value)))
        case BaseException():
            return one_line(mask_foreign(_exception_line(value)))
        case bytes() | bytearray() | memoryview():
            return f"<{len(value)} bytes>"
        case _ if depth >= DEPTH_MAX:
            return HIDDEN
        case Mapping():
            pairs = list(value.items())[:ITEMS_MAX]
            return {one_line(mask_text(str(key))): mask_value(item, str(key), depth + 1) for key, item in pairs}
        case list() | tuple() | set() | frozenset():
            return [mask_value(item, name, depth + 1) for item in list(value)[:ITEMS_MAX]]
        case _:
            return f"<{type(value).__name__}>"


def mask_text(text: str, binary: re.Pattern[str] = _HEX) -> str:
    """`text` without card numbers, tracks and the contents of bytes; control characters are written out.

    `binary`: what is taken for the hexadecimal of something that nobody may see.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        # cut at a place that leaves no half of a number behind
        text = re.sub(r"[0-9=D -]*\Z", "", text[:TEXT_CHARACTERS_MAX]) + "…"
    text = _BYTES_SHOWN.sub("<bytes>", text)
    text = _TRACK_1.sub("<track>", text)
    text = _TRACK_2.sub("<track>", text)
    text = binary.sub(_mask_hex, text)
    text = _DIGIT_RUN.sub(_mask_run, text)
    return _CONTROL.sub(_written_out, text)


def one_line(text: str) -> str:
    """`text` with its line breaks and tabs written out, so that no value can pretend to be a line of the log."""
    return _LINE_BREAK.sub(_written_out, text)


def looks_like_card(digits: str) -> bool:
    """Whether 13 to 19 digits may be a card number: all of 16 or more, shorter ones that pass Luhn.

    Not taken for one: 13 digits that begin with 1 (milliseconds since 1970, until 2033) and 15 that begin with 8
    (a merchant id); no card is numbered so.
    """
    if len(digits) >= CERTAIN_DIGITS_MIN:
        return True
    if (len(digits), digits[0]) in ((13, "1"), (15, "8")):
        return False
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    total = sum(int(digit) for digit in digits[::-2]) + sum(number - 9 if number > 9 else number for number in doubled)
    return total % 10 == 0


def mask_foreign(text: str) -> str:
    """The text of an error that is none of posd's own, or of a traceback: nobody vouches for what stands in it."""
    return mask_text(text, _HEX_OF_ANY_KIND)


def _mask_hex(match: re.Match[str]) -> str:
    return match[0] if match[0].isdigit() else f"<{len(match[0])} hexadecimal digits>"


def _mask_run(match: re.Match[str]) -> str:
    digits = re.sub("[ -]", "", match[0])
    if len(digits) > CARD_DIGITS_MAX:  # a dump: a card number may stand anywhere in it
        return f"<{len(digits)} digits>"
    return mask_pan(digits) if looks_like_card(digits) else match[0]


def _exception_line(error: BaseException) -> str:
    # the traceback module survives exceptions whose own text cannot be made
    return "".join(traceback.format_exception_only(error)).strip()


def _written_out(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
