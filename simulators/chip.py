"""The simulators' own reading of field 55 and of chip details in field 62 (reference 1.7, 1.8, 1.10).

Pure. `Unreadable` names the field or the tag and never holds content. Cryptograms are made out of hashes: they look
like the real ones and prove nothing; never use them for anything but a test.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583 import tlv
from simulators.fields import AMOUNT_DIGITS, DOMESTIC, FOREIGN, Unreadable

CONTACT, CONTACTLESS = "05", "07"
CHIP_ENTRIES = frozenset({CONTACT, CONTACTLESS, "98"})
"""The first two digits of field 22 where field 55 belongs (1.2); 91 and 96 are simplified contactless, without."""

NEEDED_TAGS = ("9F26", "9F27", "9F10", "9F36", "95")
REVERSAL_TAGS = frozenset({"95", "9F1E", "9F10", "9F36", "DF31"})
SCRIPT_RESULT, ISSUER_AUTHENTICATION, OFFLINE_CODE = "DF31", "91", "8A"
OFFLINE_APPROVED = b"Y1"
CRYPTOGRAM, CRYPTOGRAM_KIND = "9F26", "9F27"
TC, ARQC, AAC = "40", "80", "00"
SCRIPTS = ("71", "72")
CURRENCY = "156"
CRYPTOGRAM_BYTES = 8
ARPC_CODE = b"00"
APPROVED_DETAIL_CHARS, FAILED_DETAIL_CHARS = 21, 23
FAILED_CODES = frozenset({"05", "11", "13"})

Tags = dict[str, bytes]


def is_chip_entry(entry_mode: str | None) -> bool:
    """Does field 22 say that a chip was read (contact, contactless)?"""
    return (entry_mode or "")[:2] in CHIP_ENTRIES


def elements_55(text: str | None) -> list[tuple[str, bytes]]:
    """Field 55 (hex) in its order. Unreadable: no TLV, or a tag twice that is no script."""
    try:
        elements = tlv.parse(bytes.fromhex(text or ""))
    except (MalformedMessage, ValueError):
        raise Unreadable("field 55: BER-TLV expected") from None
    alone = [tag for tag, _ in elements if tag not in SCRIPTS]
    if len(set(alone)) != len(alone):
        raise Unreadable("field 55: a tag stands there twice")
    return elements


def read_55(text: str | None) -> Tags:
    """Field 55 as values by tag; of several scripts the last. Unreadable as `elements_55`."""
    return dict(elements_55(text))


def write_55(tags: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> str:
    """Tags as the hex of field 55, in their order."""
    items = tags.items() if isinstance(tags, Mapping) else tags
    return tlv.build(items).hex().upper()


def script_problem(text: str) -> str | None:
    """Why a hex text is no issuer script (a template 71 or 72 alone), or None."""
    try:
        elements = tlv.parse(bytes.fromhex(text))
    except (MalformedMessage, ValueError, CannotEncode):
        return "hex of a BER-TLV element expected"
    return None if len(elements) == 1 and elements[0][0] in SCRIPTS else "one template 71 or 72 expected"


def issuer_answer(pan: str, request: Tags) -> bytes:
    """Tag 91 for a request: eight bytes that follow from the card and its cryptogram, then the code 00."""
    digest = hashlib.sha256(pan.encode() + request.get(CRYPTOGRAM, b"")).digest()
    return digest[:CRYPTOGRAM_BYTES] + ARPC_CODE


@dataclass(frozen=True, slots=True)
class ChipDetail:
    """Field 62 of a 0320 with 60.3 = 203 to 206 (1.7, types 5 and 6).

    `code`: 00 for a TC; 11 or 13 (AAC) or 05 (ARPC failed) otherwise. `cryptogram`: 1 AAC, 2 ARPC; `arpc`: one digit.
    """

    card_class: str
    code: str
    amount_minor: int
    cryptogram: str = ""
    arpc: str = ""

    @property
    def failed(self) -> bool:
        return self.code != "00"

    @classmethod
    def parse(cls, text: str | None) -> "ChipDetail":
        """From the hex of field 62. Unreadable where the layout is another."""
        try:
            said = bytes.fromhex(text or "").decode("ascii")
        except ValueError:
            said = ""
        head, size = said[:2], len(said)
        if not said.isdecimal() or (head, size) not in (("61", APPROVED_DETAIL_CHARS), ("71", FAILED_DETAIL_CHARS)):
            raise Unreadable("field 62: 21 digits beginning with 61 or 23 beginning with 71 expected")
        found = cls(said[2:4], said[4:6], int(said[6 : 6 + AMOUNT_DIGITS]), said[21:22], said[22:23])
        code_fits = found.code in FAILED_CODES if head == "71" else not found.failed
        if not code_fits or said[18:21] != CURRENCY or found.card_class not in (DOMESTIC, FOREIGN):
            raise Unreadable("field 62: another class, code or currency than 1.7 has")
        return found

    def format(self) -> str:
        """As the hex of field 62."""
        head = "71" if self.failed else "61"
        text = f"{head}{self.card_class}{self.code}{self.amount_minor:012d}{CURRENCY}{self.cryptogram}{self.arpc}"
        return text.encode().hex().upper()
