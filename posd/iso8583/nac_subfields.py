"""The private fields 54, 60, 62 and 63 of the NAC / Hypercom dialect as values (reference 2.2, 2.4). All are ASCII.

Each has `parse` (raises MalformedMessage naming the field) and `format` (raises CannotEncode). Which message carries
which is the profile's; field 60 alone has three meanings, by message.
"""

from dataclasses import dataclass, field

from posd.errors import CannotEncode, MalformedMessage
from posd.values import AMOUNT_MINOR_MAX, BatchNumber, Stan

NUMBER_DIGITS = 6
"""Batch, STAN and invoice numbers."""

MTI_DIGITS, AMOUNT_DIGITS, COUNT_DIGITS = 4, 12, 3
RESERVED_CHARS = 12
INVOICE_MAX = 999_999
COUNT_MAX = 999
"""Highest count in field 63: three digits (D22)."""

TOTALS_DIGITS = 30
TOTALS_LENGTHS = (30, 33, 36, 90)
"""Lengths of field 63 in 0500 (reference 2.4): bare, one more group of 3, Amex, six groups of 15."""

TOTALS_LENGTH = 90


def _digits(text: str, name: str, what: str) -> str:
    if not _are_digits(text):
        raise MalformedMessage(f"{what}: not digits", field=name)
    return text


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _of_length(text: str, length: int, name: str) -> str:
    if len(text) != length:
        raise MalformedMessage(f"{len(text)} characters, expecting {length}", field=name)
    return text


def _number(value: int, length: int, name: str) -> str:
    if not 0 <= value < 10**length:
        raise CannotEncode(f"field {name}: {value} does not fit {length} digits")
    return f"{value:0{length}d}"


@dataclass(frozen=True, slots=True)
class Field60Batch:
    """Field 60 of a 0500: the batch number, six digits."""

    batch: BatchNumber

    @classmethod
    def parse(cls, text: str) -> "Field60Batch":
        """From exactly six digits."""
        return cls(BatchNumber(int(_digits(_of_length(text, NUMBER_DIGITS, "60"), "60", "batch number"))))

    def format(self) -> str:
        """Six digits."""
        return _number(self.batch, NUMBER_DIGITS, "60")


@dataclass(frozen=True, slots=True)
class Field60Original:
    """Field 60 of a 0320: what the uploaded transaction was sent as. 22 characters: MTI 4, STAN 6, reserved 12.

    `reserved`: spaces as a rule; kept as it came.
    """

    mti: str
    stan: Stan
    reserved: str = " " * RESERVED_CHARS

    @classmethod
    def parse(cls, text: str) -> "Field60Original":
        """From exactly 22 characters."""
        _of_length(text, MTI_DIGITS + NUMBER_DIGITS + RESERVED_CHARS, "60")
        mti, stan = text[:MTI_DIGITS], text[MTI_DIGITS : MTI_DIGITS + NUMBER_DIGITS]
        _digits(mti + stan, "60", "original MTI and STAN")
        return cls(mti, Stan(int(stan)), text[MTI_DIGITS + NUMBER_DIGITS :])

    def format(self) -> str:
        """22 characters."""
        if len(self.mti) != MTI_DIGITS or not _are_digits(self.mti) or len(self.reserved) != RESERVED_CHARS:
            raise CannotEncode(f"field 60: an MTI of four digits and {RESERVED_CHARS} reserved characters stand here")
        return f"{self.mti}{_number(self.stan, NUMBER_DIGITS, '60')}{self.reserved}"


@dataclass(frozen=True, slots=True)
class AmountText:
    """Twelve ASCII digits, minor units: field 60 of a 0220 adjust or void (the original amount), field 54 (the tip)."""

    minor: int

    @classmethod
    def parse(cls, text: str, name: str = "60") -> "AmountText":
        """From exactly twelve digits. `name`: the field that an error names."""
        return cls(int(_digits(_of_length(text, AMOUNT_DIGITS, name), name, "amount")))

    def format(self, name: str = "60") -> str:
        """Twelve digits."""
        if not 0 <= self.minor <= AMOUNT_MINOR_MAX:
            raise CannotEncode(f"field {name}: the amount does not fit {AMOUNT_DIGITS} digits")
        return f"{self.minor:0{AMOUNT_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class Field62Invoice:
    """Field 62 of a financial message: the invoice (ROC) number, six digits, kept through void, adjust and upload."""

    invoice: int

    @classmethod
    def parse(cls, text: str) -> "Field62Invoice":
        """From exactly six digits."""
        return cls(int(_digits(_of_length(text, NUMBER_DIGITS, "62"), "62", "invoice number")))

    def format(self) -> str:
        """Six digits."""
        return _number(self.invoice, NUMBER_DIGITS, "62")


def next_invoice(invoice: int) -> int:
    """The invoice number after this one; 999999 is followed by 1."""
    return 1 if invoice >= INVOICE_MAX else invoice + 1


@dataclass(frozen=True, slots=True)
class Field63Totals:
    """Field 63 of a 0500 (reference 2.4): counts of three digits, amounts in minor units of twelve.

    `rest`: digits behind the first 30 as they came (debit and authorise groups, which stay zero in what we know);
    not compared, because it says nothing about these totals.
    """

    sale_count: int
    sale_minor: int
    refund_count: int
    refund_minor: int
    rest: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> "Field63Totals":
        """From 30, 33, 36 or 90 digits."""
        if len(text) not in TOTALS_LENGTHS:
            raise MalformedMessage(f"{len(text)} characters, expecting 30, 33, 36 or 90", field="63")
        _digits(text, "63", "totals")
        sales, refunds = text[:15], text[15:TOTALS_DIGITS]
        return cls(int(sales[:3]), int(sales[3:]), int(refunds[:3]), int(refunds[3:]), text[TOTALS_DIGITS:])

    def format(self, length: int = TOTALS_LENGTH) -> str:
        """`length` digits: 30, 33, 36 or 90; filled up with zeros behind `rest`."""
        if length not in TOTALS_LENGTHS or len(self.rest) > length - TOTALS_DIGITS:
            raise CannotEncode(f"field 63: {length} digits do not hold these totals; 30, 33, 36 and 90 are known")
        head = (
            _number(self.sale_count, COUNT_DIGITS, "63")
            + _number(self.sale_minor, AMOUNT_DIGITS, "63")
            + _number(self.refund_count, COUNT_DIGITS, "63")
            + _number(self.refund_minor, AMOUNT_DIGITS, "63")
        )
        return (head + self.rest).ljust(length, "0")
