"""The sub-fields of fields 48, 60 and 61 as values (reference 1.3, 1.4, 1.6, 1.7).

Each has `parse` (raises MalformedMessage naming the sub-field, "60.2") and `format` (raises CannotEncode).
No card number is shown by any `repr` here. What the values decide is not said here.
"""

from dataclasses import dataclass, field

from posd.errors import CannotEncode, MalformedMessage
from posd.values import AMOUNT_MINOR_MAX, BatchNumber

COUNT_MAX = 999
"""Highest count in a totals group: three digits (D22)."""
GROUP_DIGITS = 31
UPLOAD_RECORDS_MAX = 8
RECORD_DIGITS = 40
PAN_SLOT_DIGITS = 20


def _digits(text: str, name: str, start: int, length: int) -> str:
    part = text[start : start + length]
    if len(part) != length or not (part.isascii() and part.isdigit()):
        raise MalformedMessage(f"{len(part)} characters where {length} digits stand", field=name)
    return part


def _number(value: int, length: int, name: str) -> str:
    if not 0 <= value < 10**length:
        raise CannotEncode(f"field {name}: {value} does not fit {length} digits")
    return f"{value:0{length}d}"


def _all_digits(text: str, name: str) -> str:
    if text and not (text.isascii() and text.isdigit()):
        raise MalformedMessage("not digits", field=name)
    return text


@dataclass(frozen=True, slots=True)
class Field60:
    """Field 60 (reference 1.3): type code 60.1 (2 digits), batch 60.2, code 60.3 (3 digits or absent), and
    the rest.

    `rest` holds 60.4 to 60.7 as far as they were sent: right-truncation is normal. Batch 0 is read (a
    terminal that never signed in).
    """

    type_code: str
    batch: BatchNumber
    code: str = ""
    rest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Field60":
        """From the 8, 11 or more digits of the field."""
        type_code = _digits(text, "60.1", 0, 2)
        batch = BatchNumber(int(_digits(text, "60.2", 2, 6)))
        code = _digits(text, "60.3", 8, 3) if len(text) > 8 else ""
        return cls(type_code, batch, code, _all_digits(text[11:], "60.4"))

    def format(self) -> str:
        """The digits of the field, truncated from the right as given."""
        if len(self.type_code) != 2 or len(self.code) not in (0, 3) or (self.rest and not self.code):
            raise CannotEncode("field 60: 60.1 has two digits, 60.3 three, and nothing follows an absent 60.3")
        return f"{self.type_code}{_number(self.batch, 6, '60.2')}{self.code}{self.rest}"

    @property
    def read_capability(self) -> str:
        """60.4, one digit, or empty."""
        return self.rest[0:1]

    @property
    def ic_condition(self) -> str:
        """60.5, one digit, or empty."""
        return self.rest[1:2]

    @property
    def partial_approval(self) -> str:
        """60.6, one digit, or empty (D15)."""
        return self.rest[2:3]

    @property
    def account_type(self) -> str:
        """60.7, three digits, or empty."""
        return self.rest[3:6]


@dataclass(frozen=True, slots=True)
class Field61:
    """Field 61 (reference 1.4, and 1.10 for reversals): original batch, original trace, date MMDD, and the
    rest.

    `rest` holds the authorisation mode (2 digits) and the authorising institution (up to 11), as far as sent.
    """

    batch: int
    stan: int
    date: str | None = None
    rest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Field61":
        """From the 12, 16 or more digits of the field."""
        batch = int(_digits(text, "61.1", 0, 6))
        stan = int(_digits(text, "61.2", 6, 6))
        date = _digits(text, "61.3", 12, 4) if len(text) > 12 else None
        return cls(batch, stan, date, _all_digits(text[16:], "61.4"))

    def format(self) -> str:
        """The digits of the field, truncated from the right as given."""
        if (self.rest and self.date is None) or (self.date is not None and len(self.date) != 4):
            raise CannotEncode("field 61: 61.3 has four digits, and nothing follows an absent 61.3")
        return f"{_number(self.batch, 6, '61.1')}{_number(self.stan, 6, '61.2')}{self.date or ''}{self.rest}"


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """One group of field 48 in 0500/0510 (reference 1.6): 31 digits.

    Amounts in minor units. `result`: 0 in a request; 1 balanced, 2 unbalanced, 3 error.
    """

    debit_minor: int
    debit_count: int
    credit_minor: int
    credit_count: int
    result: int = 0

    @classmethod
    def parse(cls, text: str, name: str = "48.1") -> "GroupTotals":
        """From exactly 31 digits."""
        if len(text) != GROUP_DIGITS:
            raise MalformedMessage(f"{len(text)} digits, expecting {GROUP_DIGITS}", field=name)
        parts = [_digits(text, name, start, length) for start, length in ((0, 12), (12, 3), (15, 12), (27, 3), (30, 1))]
        return cls(*(int(part) for part in parts))

    def format(self, name: str = "48.1") -> str:
        """The 31 digits of the group."""
        return (
            _number(self.debit_minor, 12, name)
            + _number(self.debit_count, 3, name)
            + _number(self.credit_minor, 12, name)
            + _number(self.credit_count, 3, name)
            + _number(self.result, 1, name)
        )


@dataclass(frozen=True, slots=True)
class Field48Totals:
    """Field 48 of a settlement (reference 1.6): the domestic group, and the foreign one unless 31 digits."""

    domestic: GroupTotals
    foreign: GroupTotals | None = None

    @classmethod
    def parse(cls, text: str) -> "Field48Totals":
        """From 62 or 31 digits."""
        if len(text) not in (GROUP_DIGITS, 2 * GROUP_DIGITS):
            raise MalformedMessage(f"{len(text)} digits, expecting 62 or 31", field="48")
        foreign = GroupTotals.parse(text[GROUP_DIGITS:], "48.2") if len(text) > GROUP_DIGITS else None
        return cls(GroupTotals.parse(text[:GROUP_DIGITS], "48.1"), foreign)

    def format(self) -> str:
        """62 digits, or 31 without a foreign group."""
        return self.domestic.format("48.1") + (self.foreign.format("48.2") if self.foreign else "")


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One magnetic record of a batch upload (reference 1.7): 40 digits.

    `card_class`: 00 domestic, 01 foreign. `stan`: the original trace. `pan`: digits, never shown.
    """

    card_class: str
    stan: int
    pan: str = field(repr=False)
    amount_minor: int

    @classmethod
    def parse(cls, text: str, name: str = "48.2") -> "UploadRecord":
        """From exactly 40 digits; the PAN's zero filling is taken off."""
        card_class = _digits(text, name, 0, 2)
        stan = int(_digits(text, name, 2, 6))
        pan = _digits(text, name, 8, PAN_SLOT_DIGITS).lstrip("0")
        return cls(card_class, stan, pan, int(_digits(text, name, 28, 12)))

    def format(self, name: str = "48.2") -> str:
        """The 40 digits of the record."""
        if len(self.card_class) != 2 or len(self.pan) > PAN_SLOT_DIGITS or not self.pan.isdigit():
            raise CannotEncode(f"field {name}: the card class has two digits, the card number up to {PAN_SLOT_DIGITS}")
        if not 0 <= self.amount_minor <= AMOUNT_MINOR_MAX:
            raise CannotEncode(f"field {name}: the amount does not fit 12 digits")
        stan = _number(self.stan, 6, name)
        return f"{self.card_class}{stan}{self.pan.zfill(PAN_SLOT_DIGITS)}{self.amount_minor:012d}"


@dataclass(frozen=True, slots=True)
class Field48Upload:
    """Field 48 of a 0320 with magnetic records (reference 1.7): their number, then up to eight of them."""

    records: tuple[UploadRecord, ...]

    @classmethod
    def parse(cls, text: str) -> "Field48Upload":
        """From 2 + 40·n digits whose first two say n."""
        count = int(_digits(text, "48.1", 0, 2))
        if not 0 < count <= UPLOAD_RECORDS_MAX:
            raise MalformedMessage(f"{count} records, expecting 1 to {UPLOAD_RECORDS_MAX}", field="48.1")
        if len(text) != 2 + count * RECORD_DIGITS:
            raise MalformedMessage(f"{len(text)} digits do not hold {count} records", field="48")
        starts = range(2, len(text), RECORD_DIGITS)
        return cls(
            tuple(
                UploadRecord.parse(text[start : start + RECORD_DIGITS], f"48.{place}")
                for place, start in enumerate(starts, start=2)
            )
        )

    def format(self) -> str:
        """2 + 40·n digits."""
        if not 0 < len(self.records) <= UPLOAD_RECORDS_MAX:
            raise CannotEncode(f"field 48: {len(self.records)} records, a message takes 1 to {UPLOAD_RECORDS_MAX}")
        parts = [record.format(f"48.{place}") for place, record in enumerate(self.records, start=2)]
        return f"{len(self.records):02d}{''.join(parts)}"


@dataclass(frozen=True, slots=True)
class Field48End:
    """Field 48 of a batch upload's end (reference 1.7): how many records were uploaded, four digits."""

    count: int

    @classmethod
    def parse(cls, text: str) -> "Field48End":
        """From exactly four digits."""
        if len(text) != 4:
            raise MalformedMessage(f"{len(text)} digits, expecting 4", field="48")
        return cls(int(_digits(text, "48", 0, 4)))

    def format(self) -> str:
        """Four digits."""
        return _number(self.count, 4, "48")
