"""A message as a value: its MTI and its fields, whatever the bytes were.

It must never show card data: `repr`, `str` and f-strings give the values of harmless fields only. For a
fuller, still safe view see `masking.masked_fields`.
"""

from collections.abc import Mapping
from typing import Any

from posd.values import Quiet

SHOWN_FIELDS = frozenset({3, 4, 11, 12, 13, 15, 22, 23, 24, 25, 26, 32, 37, 38, 39, 41, 42, 49, 60, 61})
"""Fields whose values are never card data or keys in the UnionPay dialect: every other one is masked (fail closed)."""

REPR_FIELDS = SHOWN_FIELDS - {60, 61}
"""A repr knows no dialect, and in NAC 60 and 61 are free text: it shows only what is harmless in every dialect."""


class Message(Quiet, frozen=True):
    """One ISO 8583 message (reference 1.2).

    `mti`: four digits. `fields`: by number; digits and text as they stand on the wire (padding included),
    binary fields (52, 55, 62, 64) as upper-case hex, tracks with `=` as the separator. The mapping is not
    to be changed.
    """

    mti: str
    fields: Mapping[int, str]

    def get(self, field: int) -> str | None:
        """The field's value, or None when it is absent."""
        return self.fields.get(field)

    def with_(self, changes: Mapping[int, str | None], *, mti: str | None = None) -> "Message":
        """A copy with fields added or replaced; None removes one; `mti` replaces the MTI."""
        fields = {number: value for number, value in self.fields.items() if number not in changes}
        fields.update({number: value for number, value in changes.items() if value is not None})
        return Message(self.mti if mti is None else mti, fields)

    def __repr__(self) -> str:
        shown = (
            f"{number}={value!r}" if number in REPR_FIELDS else f"{number}=***"
            for number, value in sorted(self.fields.items())
        )
        return f"Message({self.mti!r}, {', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("shown", repr(self))]
