"""Field 55, and field 62 of chip details: what goes on, what is kept, what is told again (reference 1.7, 1.10).

What is kept of a chip are the tags that are known to hold no card data (P5): nothing else is ever told again.
"""

from collections.abc import Iterable

from posd.core.state import ChipEnd, ChipResult, Transaction
from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.tlv import build, parse
from posd.profiles.reading import kept_icc, need

REVERSAL_TAGS = ("95", "9F1E", "9F10", "9F36", "DF31")
"""Field 55 of a 0400 (reference 1.10)."""

SCRIPTS = frozenset({"71", "72"})
CRYPTOGRAM_KIND = "9F27"
ACCEPTED, REFUSED = bytes.fromhex("40"), bytes.fromhex("00")
"""Tag 9F27: the chip ended with a TC, or with an AAC."""

CHIP_DETAILS = frozenset({"203", "204", "205", "206"})
DOMESTIC, FOREIGN = "00", "01"
CURRENCY = "156"
REFUSED_CODE, UNPROVEN_CODE = "11", "05"
APPROVED_CHARS, FAILED_CHARS = 21, 23

RESULT_OF = {REFUSED_CODE: ChipResult.REFUSED, "13": ChipResult.REFUSED, UNPROVEN_CODE: ChipResult.UNPROVEN}
"""Field 62 of record type 6: why it failed."""

ENDS = {ChipResult.REFUSED: "10", ChipResult.UNPROVEN: "21"}
"""The last two characters of it: 1 AAC or 2 ARPC, and the result of the ARPC."""


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


def in_reversal(kept: str | None, told: str) -> str | None:
    """Field 55 of a 0400: what the terminal told last, else what its request said."""
    tags = dict(elements(kept)) | dict(elements(told))
    return _hex((tag, tags[tag]) for tag in REVERSAL_TAGS if tag in tags)


def told_in_reversal(message: Message) -> str:
    """What a terminal's own 0400 tells of its chip; a field 55 that cannot be read must not be in its way."""
    return in_reversal(message.get(55), "") or ""


def final(kept: str | None, txn: Transaction, result: ChipResult) -> str:
    """Field 55 of a chip detail: the request's, with the chip's last words where its terminal told them.

    Where it did not, the cryptogram is the request's own: nobody else saw the last one.
    """
    tags = dict(elements(kept)) | dict(elements(txn.chip_end.icc if txn.chip_end is not None else None))
    if not tags:
        raise CannotEncode(f"0320: what the chip of {txn.request_id} said cannot be read; see the vault's data keys")
    tags[CRYPTOGRAM_KIND] = REFUSED if result is ChipResult.REFUSED else ACCEPTED
    return _hex(tags.items()) or ""


def code_of(result: ChipResult, balanced: bool) -> str:
    """Field 60.3 of a chip detail (reference 1.3)."""
    if result is ChipResult.ACCEPTED:
        return "203" if balanced else "205"
    return "204" if balanced else "206"


def detail(txn: Transaction, result: ChipResult) -> str:
    """Field 62 of a chip detail, as hexadecimal."""
    group = FOREIGN if txn.foreign else DOMESTIC
    amount = f"{txn.counted_minor:012d}{CURRENCY}"
    if result is ChipResult.ACCEPTED:
        return f"61{group}00{amount}".encode().hex().upper()
    usual = REFUSED_CODE if result is ChipResult.REFUSED else UNPROVEN_CODE
    told = txn.chip_end.code if txn.chip_end is not None and txn.chip_end.result is result else usual
    return f"71{group}{told}{amount}{ENDS[result]}".encode().hex().upper()


def told_end(message: Message) -> tuple[ChipEnd, bool]:
    """How a chip ended, of a terminal's own 0320 with a chip detail, and whether in the foreign group.

    Raises MalformedMessage naming the field.
    """
    text = bytes.fromhex(need(message, 62)).decode("latin-1")
    head, code = text[:2], text[4:6]
    shape = (head, len(text))
    if not (text.isascii() and text.isdigit()) or shape not in (("61", APPROVED_CHARS), ("71", FAILED_CHARS)):
        raise MalformedMessage(f"{len(text)} characters that are no chip detail", field="62")
    result = ChipResult.ACCEPTED if head == "61" else RESULT_OF.get(code)
    if result is None:
        raise MalformedMessage("an unknown kind of failed chip detail", field="62")
    return ChipEnd(result, code, kept_icc(message.get(55)) or ""), text[2:4] == FOREIGN


def _hex(tags: Iterable[tuple[str, bytes]]) -> str | None:
    return build(tags).hex().upper() or None
