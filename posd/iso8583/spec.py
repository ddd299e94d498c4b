"""What a dialect says about its fields, as data; and the same said to pyiso8583.

A dialect is a `Spec`; a bank is a spec with a difference (`Spec.changed`). Nothing here reads or writes
bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

PRIMARY_FIELD_MAX = 64
"""Highest field number of a dialect with one bitmap (reference 1.1)."""


class Kind(Enum):
    """How a field's value is written on the wire."""

    DIGITS = "n"  # packed BCD; the length counts digits
    TRACK = "z"  # packed nibbles, `=` as D; encrypted tracks hold any nibble; the length counts nibbles
    TEXT = "an"  # ASCII
    BYTES_AS_TEXT = "ans"  # any byte (GBK remarks, TLV): latin-1, so that every byte comes back as it was
    BINARY = "b"  # bytes, shown as upper-case hex; the length counts bytes


class Pad(Enum):
    """On which side of an odd number of digits the filling nibble stands."""

    LEFT = "left_pad"
    RIGHT = "right_pad"


class VariablePad(Enum):
    """How a host fills up an odd number of digits in fields of variable length (reference 2.2, F2; "Dialect knobs")."""

    ZERO = "0"  # left-justified, a trailing nibble 0
    F = "F"  # left-justified, a trailing nibble F
    RIGHT = "right"  # right-justified, a leading nibble 0


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a field table.

    `length`: exact when `prefix_bytes` is 0, else the maximum; in digits for DIGITS and TRACK, in bytes
    otherwise. `prefix_bytes`: width of the BCD length prefix (LL = 1, LLL = 2).
    """

    number: int
    name: str
    kind: Kind
    length: int
    prefix_bytes: int = 0
    pad: Pad = Pad.LEFT
    pad_nibble: str = "0"
    ascii: bool = False
    """Digits, tracks and the length prefix are ASCII digits instead of packed ones; the padding means nothing then."""

    def filled(self, pad: VariablePad) -> "Field":
        """The same field, if it has digits of variable length, filled up in another way."""
        if not self.prefix_bytes or self.kind not in (Kind.DIGITS, Kind.TRACK):
            return self
        return replace(self, pad=Pad.LEFT) if pad is VariablePad.RIGHT else replace(self, pad_nibble=pad.value)

    @property
    def prefix_width(self) -> int:
        """Bytes of the length prefix on the wire: LL and LLL have two and three digits in ASCII."""
        return self.prefix_bytes + 1 if self.ascii and self.prefix_bytes else self.prefix_bytes

    @property
    def length_max(self) -> int:
        """The longest value, in the field's unit: what the table says, or what its prefix can say."""
        if not self.prefix_bytes:
            return self.length
        base = 10 if self.ascii else 100
        longest: int = base**self.prefix_width - 1
        return min(self.length, longest)

    def as_pyiso8583(self) -> dict[str, object]:
        """The row in pyiso8583's words; `left_pad` and `right_pad` are never both given (a trap of its)."""
        match self.kind:
            case Kind.DIGITS | Kind.TRACK if self.ascii:
                coding: dict[str, object] = {"data_enc": "ascii"}
            case Kind.DIGITS | Kind.TRACK:
                coding = {
                    "data_enc": "b",
                    "len_count": "nibbles",
                    self.pad.value: self.pad_nibble,
                }
            case Kind.BINARY:
                coding = {"data_enc": "b"}
            case Kind.TEXT:
                coding = {"data_enc": "ascii"}
            case Kind.BYTES_AS_TEXT:
                coding = {"data_enc": "latin-1"}
        prefix = {"len_enc": "ascii" if self.ascii else "bcd", "len_type": self.prefix_width}
        return {**prefix, "max_len": self.length, **coding}


@dataclass(frozen=True, slots=True)
class Spec:
    """A field table under the name of its dialect. `ascii`: the MTI is four ASCII digits; the bitmap stays binary."""

    name: str
    fields: Mapping[int, Field]
    ascii: bool = False

    @classmethod
    def of(cls, name: str, fields: Iterable[Field]) -> "Spec":
        """A spec from rows."""
        return cls(name, {field.number: field for field in fields})

    def changed(self, name: str, fields: Iterable[Field]) -> "Spec":
        """This spec with rows replaced or added: a base and a difference."""
        return Spec(name, {**self.fields, **{field.number: field for field in fields}}, self.ascii)

    def filled(self, pad: VariablePad) -> "Spec":
        """This spec with odd numbers of variable length filled up in another way."""
        return Spec(self.name, {number: field.filled(pad) for number, field in self.fields.items()}, self.ascii)

    def in_ascii(self, name: str) -> "Spec":
        """The same table with MTI, digits, tracks and length prefixes as ASCII digits; binary fields stay binary."""
        return Spec(name, {number: replace(field, ascii=True) for number, field in self.fields.items()}, ascii=True)

    @property
    def mti_bytes(self) -> int:
        """2 packed, 4 in ASCII."""
        return 4 if self.ascii else 2

    def as_pyiso8583(self) -> dict[str, dict[str, object]]:
        """The whole spec in pyiso8583's words.

        Fields that the dialect does not have, and the secondary bitmap, get a coding that always fails,
        because pyiso8583 answers a missing row with KeyError and loses what it had decoded.
        """
        absent: dict[str, object] = {"data_enc": "absent", "len_enc": "bcd", "len_type": 0, "max_len": 1}
        rows: dict[str, dict[str, object]] = {
            "h": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 0},
            "t": {
                "data_enc": "ascii" if self.ascii else "b",
                "len_enc": "bcd",
                "len_type": 0,
                "max_len": self.mti_bytes,
            },
            "p": {"data_enc": "b", "len_enc": "bcd", "len_type": 0, "max_len": 8},
        }
        for number in range(1, PRIMARY_FIELD_MAX + 1):
            field = self.fields.get(number)
            rows[str(number)] = absent if field is None else field.as_pyiso8583()
        return rows
