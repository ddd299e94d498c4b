"""The simulators' own reading of fields 48, 60 and 61 (reference 1.3, 1.4, 1.6, 1.7).

Intended duplication (D37): posd reads the same fields elsewhere, from the same pages. Everything here raises
`Unreadable` with the field's name and never with its content, because field 48 carries card numbers.
"""

from dataclasses import dataclass

TYPE_DIGITS, BATCH_DIGITS, STAN_DIGITS, DATE_DIGITS, NETWORK_CODE_DIGITS = 2, 6, 6, 4, 3
AMOUNT_DIGITS, COUNT_DIGITS, GROUP_DIGITS = 12, 3, 31
RECORD_DIGITS, RECORDS_MAX, END_DIGITS = 40, 8, 4
PAN_SLOT_DIGITS = 20
DOMESTIC, FOREIGN = "00", "01"


class Unreadable(Exception):
    """A sub-field is not what the reference says. The text names it and holds no content."""


@dataclass(frozen=True, slots=True)
class Field60:
    """60.1 type, 60.2 batch, 60.3 network code ('' when cut off), the rest as digits (reference 1.3)."""

    type_code: str
    batch: int
    code: str = ""
    rest: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Field60":
        if text is None or len(text) < TYPE_DIGITS + BATCH_DIGITS or not _digits(text):
            raise Unreadable("field 60: at least 8 digits expected")
        return cls(text[:2], int(text[2:8]), text[8:11], text[11:])

    def format(self) -> str:
        return f"{self.type_code}{self.batch:06d}{self.code}{self.rest}"


@dataclass(frozen=True, slots=True)
class Field61:
    """Original batch, trace and MMDD (None when cut off); the rest as digits (reference 1.4, 1.10)."""

    batch: int
    stan: int
    date: str | None = None
    rest: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Field61":
        if text is None or len(text) < BATCH_DIGITS + STAN_DIGITS or not _digits(text):
            raise Unreadable("field 61: at least 12 digits expected")
        return cls(int(text[:6]), int(text[6:12]), text[12:16] or None, text[16:])

    def format(self) -> str:
        return f"{self.batch:06d}{self.stan:06d}{self.date or ''}{self.rest}"


@dataclass(frozen=True, slots=True)
class Totals:
    """One group of field 48: amounts in minor units; `result` 0 in a request, 1 balanced, 2 not, 3 error."""

    debit_minor: int = 0
    debit_count: int = 0
    credit_minor: int = 0
    credit_count: int = 0
    result: int = 0

    @classmethod
    def parse(cls, text: str) -> "Totals":
        return cls(int(text[:12]), int(text[12:15]), int(text[15:27]), int(text[27:30]), int(text[30]))

    def format(self) -> str:
        debit = f"{self.debit_minor:012d}{self.debit_count:03d}"
        return f"{debit}{self.credit_minor:012d}{self.credit_count:03d}{self.result}"

    def plus(self, other: "Totals") -> "Totals":
        """Both groups in one, for the 31-digit variant."""
        return Totals(
            self.debit_minor + other.debit_minor,
            self.debit_count + other.debit_count,
            self.credit_minor + other.credit_minor,
            self.credit_count + other.credit_count,
        )

    def same_as(self, other: "Totals") -> bool:
        """Equal in amounts and counts; the result digit does not matter."""
        return self.as_dict() == other.as_dict()

    def as_dict(self) -> dict[str, int]:
        names = ("debit_minor", "debit_count", "credit_minor", "credit_count")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One magnetic record of a 0320 (reference 1.7); the PAN never shows in repr."""

    card_class: str
    stan: int
    pan: str
    amount_minor: int

    def __repr__(self) -> str:
        return f"UploadRecord({self.card_class}, stan={self.stan}, pan=***, amount_minor={self.amount_minor})"

    def format(self) -> str:
        pan = self.pan.rjust(PAN_SLOT_DIGITS, "0")
        return f"{self.card_class}{self.stan:06d}{pan}{self.amount_minor:012d}"


def parse_totals(text: str | None) -> tuple[Totals, Totals | None]:
    """Field 48 of 0500/0510: (domestic, foreign), foreign None in the 31-digit variant (reference 1.6)."""
    if text is None or len(text) not in (GROUP_DIGITS, 2 * GROUP_DIGITS) or not _digits(text):
        raise Unreadable("field 48: 31 or 62 digits expected")
    foreign = Totals.parse(text[GROUP_DIGITS:]) if len(text) > GROUP_DIGITS else None
    return Totals.parse(text[:GROUP_DIGITS]), foreign


def parse_upload(text: str | None) -> tuple[UploadRecord, ...]:
    """Field 48 of a 0320 with 60.3 = 201: a count of two digits and that many records of 40."""
    if text is None or len(text) < 2 or not _digits(text):
        raise Unreadable("field 48: a record count expected")
    count = int(text[:2])
    if not 1 <= count <= RECORDS_MAX or len(text) != 2 + count * RECORD_DIGITS:
        raise Unreadable(f"field 48: {count} records do not make {len(text)} digits")
    return tuple(_record(text[at : at + RECORD_DIGITS]) for at in range(2, len(text), RECORD_DIGITS))


def format_upload(records: tuple[UploadRecord, ...]) -> str:
    return f"{len(records):02d}" + "".join(record.format() for record in records)


def parse_end_count(text: str | None) -> int:
    """Field 48 of the end message: four digits, the number of records uploaded."""
    if text is None or len(text) != END_DIGITS or not _digits(text):
        raise Unreadable("field 48: 4 digits expected")
    return int(text)


def mask_pan(pan: str) -> str:
    """First six and last four (PCI DSS 3.4.1); anything shorter is hidden whole."""
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}" if len(pan) >= 13 else "*" * len(pan)


def _record(text: str) -> UploadRecord:
    return UploadRecord(text[:2], int(text[2:8]), text[8:28].lstrip("0"), int(text[28:]))


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
