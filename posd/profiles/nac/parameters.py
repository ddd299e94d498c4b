"""A terminal's own parameter load (0800 with field 3 = 93.... or 97...., reference 2.3): it goes on to the host as it
is, and the answer comes back as it is.

No public source says what stands in it: the private fields are carried as they came, with field 3, whose last digit may
say that more follows. It must never carry field 48 (a CVV2 here) or what else belongs to a card.
"""

from posd.errors import CannotEncode
from posd.iso8583.message import Message

LOADS = frozenset({"93", "97"})
CARRIED = (3, 60, 61, 62, 63)


def is_load(process: str) -> bool:
    """Whether this field 3 asks for parameters."""
    return process[:2] in LOADS


def block_of(message: Message) -> str:
    """What is carried, as one text: 'field:hexadecimal;…'."""
    said = ((number, message.get(number)) for number in CARRIED)
    return ";".join(f"{number}:{text.encode('latin-1').hex()}" for number, text in said if text is not None)


def fields_of(block: str) -> dict[int, str]:
    """The fields of `block_of`. Raises CannotEncode for what this dialect did not write."""
    pairs = (part.partition(":") for part in block.split(";") if part)
    try:
        return {int(number): bytes.fromhex(text).decode("latin-1") for number, _, text in pairs}
    except ValueError:
        raise CannotEncode("what was kept of the parameter load is not of this dialect") from None
