"""The simulators' own reading of the NAC dialect's fields 3, 60, 62 and 63 (reference 2.3, 2.4).

Intended duplication (D37), as in fields.py. Everything raises `Unreadable` with the field's name and never its content.
"""

from dataclasses import dataclass

from simulators.fields import Unreadable, mask_pan

NUMBER_DIGITS, AMOUNT_DIGITS, MTI_DIGITS = 6, 12, 4
TOTALS_LENGTHS = (30, 33, 36, 90)
ORIGINAL_CHARS = 22
SETTLE, CLOSE, LOGON, ECHO, TC_UPLOAD = "920000", "960000", "920000", "990000", "940000"
PARAMETER_LOADS = frozenset({"93", "97"})
"""The first digits of field 3 of an 0800 that asks for parameters; the last says whether more follow."""

NUMBER_MAX = 999_999


@dataclass(frozen=True, slots=True)
class Totals:
    """Field 63 of a 0500: sales and refunds, each a count and an amount in minor units."""

    sale_count: int = 0
    sale_minor: int = 0
    refund_count: int = 0
    refund_minor: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Totals":
        if text is None or len(text) not in TOTALS_LENGTHS or not _digits(text):
            raise Unreadable("field 63: 30, 33, 36 or 90 digits expected")
        return cls(int(text[:3]), int(text[3:15]), int(text[15:18]), int(text[18:30]))

    def format(self, length: int = 90) -> str:
        text = f"{self.sale_count:03d}{self.sale_minor:012d}{self.refund_count:03d}{self.refund_minor:012d}"
        return text.ljust(length, "0")

    def as_dict(self) -> dict[str, int]:
        """In the words of the books: sales are debit, refunds credit."""
        return {
            "debit_minor": self.sale_minor,
            "debit_count": self.sale_count,
            "credit_minor": self.refund_minor,
            "credit_count": self.refund_count,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One uploaded transaction: what it was sent as, its invoice, card and amount. The PAN never shows."""

    stan: int
    invoice: int
    pan: str
    amount_minor: int
    refund: bool = False

    def __repr__(self) -> str:
        return f"Record(stan={self.stan}, invoice={self.invoice}, pan=***, amount_minor={self.amount_minor})"

    def dump(self) -> dict[str, object]:
        """Masked and JSON-ready."""
        return {"amount": self.amount_minor, "card": mask_pan(self.pan), "invoice": f"{self.invoice:06d}"}


def batch_number(text: str | None) -> int:
    """Field 60 of a 0500: six digits."""
    if text is None or len(text) != NUMBER_DIGITS or not _digits(text):
        raise Unreadable("field 60: a batch number of 6 digits expected")
    return int(text)


def original(text: str | None) -> tuple[str, int]:
    """Field 60 of a 0320: the original's MTI and STAN; twelve characters more that say nothing."""
    if text is None or len(text) != ORIGINAL_CHARS or not _digits(text[:10]):
        raise Unreadable("field 60: original MTI, STAN and 12 spaces expected")
    return text[:MTI_DIGITS], int(text[MTI_DIGITS:10])


def format_original(mti: str, stan: int) -> str:
    return f"{mti}{stan:06d}".ljust(ORIGINAL_CHARS)


def amount(text: str | None, field: int) -> int:
    """Field 60 of an adjustment, field 54: twelve digits, minor units."""
    if text is None or len(text) != AMOUNT_DIGITS or not _digits(text):
        raise Unreadable(f"field {field}: an amount of 12 digits expected")
    return int(text)


def invoice_number(text: str | None) -> int:
    """Field 62 of a financial message: six digits."""
    if text is None or len(text) != NUMBER_DIGITS or not _digits(text):
        raise Unreadable("field 62: an invoice number of 6 digits expected")
    return int(text)


def next_number(number: int) -> int:
    """999999 is followed by 1: batch, STAN, invoice (reference 2.5)."""
    return 1 if number >= NUMBER_MAX else number + 1


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
