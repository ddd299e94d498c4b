"""How a message names its original: fields 37, 38 and 61 (reference 1.4), as the terminal gave them.

The original may be of another day, another batch or another terminal: what the terminal gives is passed on as it is,
and is kept in the core's `options`, so that a reversal, an advice or an upload can say it again. None of it is card
data.
"""

import re
from dataclasses import dataclass
from typing import Self

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.subfields import Field61

RRN_CHARACTERS = 12
APPROVAL_CHARACTERS = 6
_OPTIONS = re.compile(
    r"(?P<rest>[0-9]*)(?:\|(?P<rrn>[^|]*)\|(?P<approval>[^|]*)\|(?P<date>(?:[0-9]{4})?)(?:\|(?P<mode>[0-9]*))?)?"
)


@dataclass(frozen=True, slots=True)
class NamedOriginal:
    """`rrn` 12 characters, `approval` 6, `date` MMDD, `mode` what follows the date in field 61; each may be empty."""

    rrn: str = ""
    approval: str = ""
    date: str = ""
    mode: str = ""

    @classmethod
    def of_refund(cls, message: Message) -> Self:
        """Of a terminal's refund, which has to name its sale. Raises MalformedMessage naming the field."""
        named = cls.of(message)
        if len(named.rrn.strip()) != RRN_CHARACTERS:
            raise MalformedMessage("a refund names its sale with 12 characters", field="37")
        if not named.date:
            raise MalformedMessage("a refund gives the date of its sale", field="61.3")
        return cls(named.rrn, named.approval, named.date)

    @classmethod
    def by_code(cls, message: Message) -> Self:
        """Of what names a pre-authorisation by its approval code and date. Raises MalformedMessage naming the field."""
        named = cls.of(message)
        if len(named.approval) != APPROVAL_CHARACTERS or not named.approval.strip():
            raise MalformedMessage("the approval code of the pre-authorisation has 6 characters", field="38")
        if not named.date:
            raise MalformedMessage("the date of the pre-authorisation is needed", field="61.3")
        return named

    @classmethod
    def dated(cls, message: Message) -> Self:
        """Of what gives money back for an offline sale. Raises MalformedMessage naming the field."""
        named = cls.of(message)
        if not named.date:
            raise MalformedMessage("the date of the sale is needed", field="61.3")
        return named

    @classmethod
    def of(cls, message: Message) -> Self:
        """Whatever a terminal's message names. Raises MalformedMessage naming the field."""
        rrn, approval, text = message.get(37) or "", message.get(38) or "", message.get(61)
        if "|" in rrn:
            raise MalformedMessage("a reference has letters and digits", field="37")
        if "|" in approval:
            raise MalformedMessage("an approval code has letters and digits", field="38")
        named = Field61.parse(text) if text is not None else None
        return cls(rrn, approval, (named.date or "") if named else "", named.rest if named else "")

    def options(self, rest: str) -> str:
        """Behind 60.3 to 60.7, as the core keeps it."""
        mode = f"|{self.mode}" if self.mode else ""
        return f"{rest}|{self.rrn}|{self.approval}|{self.date}{mode}"

    @classmethod
    def parse(cls, options: str) -> tuple[str, Self]:
        """60.3 to 60.7 and the original; of what names none, an empty one."""
        match = _OPTIONS.fullmatch(options)
        if match is None:
            raise CannotEncode("field 60: what was kept of 60.3 to 60.7 cannot be read; run: posd journal verify")
        return match["rest"], cls(*(match[name] or "" for name in ("rrn", "approval", "date", "mode")))

    def fields(self) -> dict[int, str]:
        """Fields 37, 38 and 61 as far as they were given: batch and trace are the terminal's own, and left out."""
        dated = bool(self.date or self.mode)
        field_61 = Field61(0, 0, self.date or "0000", self.mode).format() if dated else ""
        named = {37: self.rrn, 38: self.approval, 61: field_61}
        return {field: value for field, value in named.items() if value}

    def refund_fields(self) -> dict[int, str]:
        """Fields 37, 38 and 61: batch and trace are zero, the date is the sale's."""
        if not self.date:
            raise CannotEncode("0220: the sale that this refund names is not known")
        fields = {37: self.rrn, 61: Field61(0, 0, self.date).format()}
        return fields | ({38: self.approval} if self.approval else {})
