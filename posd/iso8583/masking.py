"""A message that may be shown, logged and journalled: what is not known to be harmless is masked (fail
closed).

Must never give back: a whole card number, expiry, track, PIN block, IC data that holds any of them, a key.
"""

import re

from posd.errors import MalformedMessage
from posd.iso8583.emv_tags import SHOWN_TAGS
from posd.iso8583.message import SHOWN_FIELDS, Message
from posd.iso8583.subfields import Field48Upload
from posd.iso8583.tlv import parse
from posd.masks import mask_pan as mask_pan

_SHOWN_WITH_CARE = frozenset({44, 63})
_SHOWN_ALSO = frozenset({53})
_LONG_NUMBER = re.compile(r"[0-9]{13,19}")


def masked_fields(message: Message) -> dict[str, str]:
    """Every field of the message by its number as text, in order, each safe to show.

    Shown as they are: trace, amount, times, ids, codes. Partly: 2, 48 with upload records, 55 (tags), 44
    and 63 (long numbers inside). All others: `***` with their length.
    """
    return {str(number): masked_field(message.mti, number, value) for number, value in sorted(message.fields.items())}


def masked_field(mti: str, number: int, value: str) -> str:
    """One field's value, safe to show, as it stands in a message of this MTI."""
    if number in SHOWN_FIELDS or number in _SHOWN_ALSO:
        return value
    if number in _SHOWN_WITH_CARE:
        return mask_long_numbers(value)
    match number:
        case 2:
            return mask_pan(value)
        case 48:
            return _masked_48(mti, value)
        case 55:
            return _masked_55(value)
        case _:
            return starred(value)


def starred(value: str) -> str:
    """No content, only how many characters there were."""
    return f"***({len(value)})"


def masked_tag(tag: str, value: bytes) -> str:
    """One EMV element's value in hex; stars unless the tag is known to be harmless; 5A as a masked number."""
    if tag == "5A":
        return mask_pan(value.hex().upper().rstrip("F"))
    return value.hex().upper() if tag in SHOWN_TAGS else starred(value.hex())


def mask_long_numbers(text: str) -> str:
    """The text with every number that could be a card's (13 to 19 digits, Luhn) masked."""
    return _LONG_NUMBER.sub(lambda found: mask_pan(found[0]) if _luhn(found[0]) else found[0], text)


def _masked_48(mti: str, value: str) -> str:
    """Totals (05xx) and counts (03xx) are shown; of upload records their masked form; of others nothing."""
    if value.isdigit() and ((mti[1:2] == "5" and len(value) in (31, 62)) or (mti[1:2] == "3" and len(value) == 4)):
        return value
    try:
        upload = Field48Upload.parse(value)
    except MalformedMessage:
        return starred(value)
    records = (f"{r.card_class} {r.stan:06d} {mask_pan(r.pan)} {r.amount_minor}" for r in upload.records)
    return f"{len(upload.records):02d}[{', '.join(records)}]"


def _masked_55(value: str) -> str:
    try:
        elements = parse(bytes.fromhex(value))
    except (MalformedMessage, ValueError):
        return starred(value)
    return " ".join(f"{tag}={masked_tag(tag, content)}" for tag, content in elements)


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
