"""What the readers of every dialect share: the refusal of a terminal's message, and what is read and kept of field 55.

It knows no dialect's fields but those that all of them have: 11 and 55.
"""

from posd.core.effects import Refusal
from posd.errors import MalformedMessage
from posd.iso8583.emv_tags import SHOWN_TAGS
from posd.iso8583.message import Message
from posd.iso8583.tlv import build, parse
from posd.values import STAN_MAX, Stan

SCRIPTS = frozenset({"71", "72"})
"""Tags of what an issuer has a chip do."""


class Unusable(Exception):
    """This message cannot be served, and this is what its terminal is told."""

    def __init__(self, refusal: Refusal, because: str) -> None:
        self.refusal, self.because = refusal, because
        super().__init__(because)


def need(message: Message, field: int) -> str:
    """The value of a field that has to be there. Raises MalformedMessage naming it."""
    value = message.get(field)
    if value is None:
        raise MalformedMessage("is missing", field=str(field))
    return value


def trace(message: Message) -> Stan:
    """Field 11, 000001 to 999999. Raises MalformedMessage."""
    number = int(need(message, 11))
    if not 1 <= number <= STAN_MAX:
        raise MalformedMessage("a trace number is 000001 to 999999", field="11")
    return Stan(number)


def kept_icc(icc: str | None) -> str | None:
    """Field 55 (hexadecimal) as an advice may keep it: only tags that are known to hold no card data (P5)."""
    if icc is None:
        return None
    elements = [(tag, value) for tag, value in parse(bytes.fromhex(icc)) if tag in SHOWN_TAGS]
    return build(elements).hex().upper() or None


def elements(icc: str | None) -> list[tuple[str, bytes]]:
    """Field 55 in its order; none, where it cannot be read: nothing of ours hangs on it."""
    try:
        return parse(bytes.fromhex(icc or ""))
    except (MalformedMessage, ValueError):
        return []


def from_issuer(icc: str | None) -> tuple[str | None, int]:
    """What an answer says to the chip, less what may not be kept, and how many scripts are in it."""
    found = elements(icc)
    if not found:
        return None, 0
    return kept_icc(icc), sum(tag in SCRIPTS for tag, _ in found)
