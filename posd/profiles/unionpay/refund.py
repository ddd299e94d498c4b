"""What a refund says of the sale that it gives back: fields 37, 38 and 61, kept as long as the refund (reference 1.4).

The sale may be of another day, another batch or another terminal: what the terminal gives is passed on as it is, and is
kept in the core's `options`, so that an upload can say it again. None of it is card data.
"""

import re
from dataclasses import dataclass
from typing import Self

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field61

RRN_CHARACTERS = 12
_OPTIONS = re.compile(r"(?P<rest>[0-9]*)(?:\|(?P<rrn>[^|]*)\|(?P<approval>[^|]*)\|(?P<date>[0-9]{4}))?")


@dataclass(frozen=True, slots=True)
class RefundOriginal:
    """`rrn` 12 characters, `approval` 6 or empty, `date` MMDD."""

    rrn: str
    approval: str
    date: str

    @classmethod
    def of(cls, message: Message) -> Self:
        """Of a terminal's 0220. Raises MalformedMessage naming the field."""
        rrn, text = message.get(37), message.get(61)
        if rrn is None or len(rrn.strip()) != RRN_CHARACTERS or "|" in rrn:
            raise MalformedMessage("a refund names its sale with 12 characters", field="37")
        date = Field61.parse(text).date if text is not None else None
        if date is None:
            raise MalformedMessage("a refund gives the date of its sale", field="61.3")
        approval = message.get(38) or ""
        if "|" in approval:
            raise MalformedMessage("an approval code has letters and digits", field="38")
        return cls(rrn, approval, date)

    def options(self, rest: str) -> str:
        """Behind 60.3 to 60.7, as the core keeps it."""
        return f"{rest}|{self.rrn}|{self.approval}|{self.date}"

    @classmethod
    def parse(cls, options: str) -> tuple[str, Self]:
        """60.3 to 60.7 and the original; of what is no refund, an empty one."""
        match = _OPTIONS.fullmatch(options)
        if match is None:
            raise CannotEncode("field 60: what was kept of 60.3 to 60.7 cannot be read; run: posd journal verify")
        return match["rest"], cls(match["rrn"] or "", match["approval"] or "", match["date"] or "")

    def fields(self) -> dict[int, str]:
        """Fields 37, 38 and 61: batch and trace are zero, the date is the sale's."""
        if not self.date:
            raise CannotEncode("0220: the sale that this refund names is not known")
        fields = {37: self.rrn, 61: Field61(0, 0, self.date).format()}
        return fields | ({38: self.approval} if self.approval else {})
