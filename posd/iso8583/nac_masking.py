"""A NAC / Hypercom message that may be shown, logged and journalled: masking.py with this dialect's private fields.

Fields 54, 60, 62 and 63 are shown only in the forms of reference 2.4, which hold no card data; else their long numbers
are masked (60, 61, 63) or nothing is shown (54, 62). Field 48 holds a CVV2 here and field 45 a track: never shown.
"""

from collections.abc import Callable

from posd.errors import MalformedMessage
from posd.iso8583.masking import mask_long_numbers, masked_field, starred
from posd.iso8583.message import Message
from posd.iso8583.nac_subfields import AmountText, Field62Invoice, Field63Totals


def masked_nac_fields(message: Message) -> dict[str, str]:
    """Every field of the message by its number as text, in order, each safe to show."""
    return {
        str(number): masked_nac_field(message.mti, number, value) for number, value in sorted(message.fields.items())
    }


def masked_nac_field(mti: str, number: int, value: str) -> str:
    """One field's value, safe to show, as it stands in a message of this MTI."""
    match number:
        case 45 | 48:
            return starred(value)
        case 54:
            return value if _reads(AmountText.parse, value) else starred(value)
        case 60 | 61:
            return mask_long_numbers(value)
        case 62:
            return value if _reads(Field62Invoice.parse, value) else starred(value)
        case 63:
            is_totals = mti[1:2] == "5" and _reads(Field63Totals.parse, value)
            return value if is_totals else mask_long_numbers(value)
        case _:
            return masked_field(mti, number, value)


def _reads(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except MalformedMessage:
        return False
    return True
