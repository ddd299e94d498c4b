"""What a chip says to this terminal: field 55 of requests, notices and uploads (reference 1.7, 1.8, 1.10).

Pure. Cryptograms follow from card, trace and amount: they look like the real ones and prove nothing.
"""

import hashlib
from dataclasses import dataclass

from simulators.chip import (
    ARQC,
    CRYPTOGRAM,
    CRYPTOGRAM_KIND,
    OFFLINE_APPROVED,
    OFFLINE_CODE,
    REVERSAL_TAGS,
    SCRIPT_RESULT,
    TC,
    Tags,
    write_55,
)

COUNTRY = CURRENCY = bytes.fromhex("0156")
SERIAL = b"SIM00001"
ISSUER_DATA = "07010103A0A802010A0100000000"
"""Tag 9F10 of a request: length, key, version, then three bytes of results that begin with "no second cryptogram"."""

FIRST_ARQC = 0x20
SCRIPT_DONE = "2000000000"
"""Tag DF31: the script was processed without an error."""

NOTICE_TAGS = ("9F33", "95", "9F37", "9F1E", "9F10", "9F26", "9F36", "82", "9F1A", "9A")
CARD_SEQUENCE = "001"


@dataclass(frozen=True, slots=True, repr=False)
class Chip:
    """A chip in the reader: the card's number, and what the transaction is about. `date` is YYMMDD."""

    pan: str
    stan: int
    amount_minor: int
    date: str

    def request(self) -> Tags:
        """Field 55 of an online request: an ARQC and what an issuer needs to check it."""
        return {
            CRYPTOGRAM: self._cryptogram(ARQC),
            CRYPTOGRAM_KIND: bytes.fromhex(ARQC),
            "9F10": bytes.fromhex(ISSUER_DATA),
            "9F37": self._cryptogram("random")[:4],
            "9F36": (self.stan % 65_536).to_bytes(2, "big"),
            "95": bytes.fromhex("0080046000"),
            "9A": bytes.fromhex(self.date),
            "9C": b"\x00",
            "9F02": bytes.fromhex(f"{self.amount_minor:012d}"),
            "5F2A": CURRENCY,
            "82": bytes.fromhex("7C00"),
            "9F1A": COUNTRY,
            "9F03": bytes(6),
            "9F33": bytes.fromhex("E0E1C8"),
            "9F34": bytes.fromhex("420300"),
            "9F35": b"\x22",
            "9F1E": SERIAL,
            "84": bytes.fromhex("A000000333010101"),
            "9F09": bytes.fromhex("0020"),
            "9F41": self.stan.to_bytes(4, "big"),
        }

    def offline(self) -> Tags:
        """Field 55 of an offline sale: a TC and tag 8A = Y1."""
        return self.request() | self.final(TC) | {OFFLINE_CODE: OFFLINE_APPROVED}

    def final(self, kind: str) -> Tags:
        """The second cryptogram, TC (40) or AAC (00), and that it was asked for in the card's results (9F10)."""
        results = bytes.fromhex(ISSUER_DATA[:8]) + bytes([int(kind, 16) | FIRST_ARQC]) + bytes.fromhex(ISSUER_DATA[10:])
        return {CRYPTOGRAM: self._cryptogram(kind), CRYPTOGRAM_KIND: bytes.fromhex(kind), "9F10": results}

    def _cryptogram(self, kind: str) -> bytes:
        text = f"{self.pan}|{self.stan}|{self.amount_minor}|{kind}"
        return hashlib.sha256(text.encode()).digest()[:8]


def in_reversal(tags: Tags) -> str:
    """Field 55 of a 0400: only the tags of 1.10."""
    return write_55({tag: value for tag, value in tags.items() if tag in REVERSAL_TAGS})


def in_notice(tags: Tags, result: str = SCRIPT_DONE) -> str:
    """Field 55 of a 0620: what the card ended with, and the script's result (hex) in DF31."""
    known = {tag: tags[tag] for tag in NOTICE_TAGS if tag in tags}
    return write_55(known | {SCRIPT_RESULT: bytes.fromhex(result)})
