"""What the core keeps of a request beside its meaning, so that reversal, adjustment and upload can say it again.

Field 3 with its account digits, field 25, the terminal's date and time, the original's reference and approval code
as the terminal gave them, and its own word for an offline approval. None of it is card data.
"""

from dataclasses import dataclass
from typing import Self

from posd.errors import CannotEncode, MalformedMessage

PARTS, WITH_CODE = 6, 7
"""With `code` only where the terminal told one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`process` field 3, `condition` field 25, `time` hhmmss, `date` MMDD, `rrn` 37, `approval` 38, `code` 39 (Y1, Y3);
    each may be ""."""

    process: str
    condition: str = ""
    time: str = ""
    date: str = ""
    rrn: str = ""
    approval: str = ""
    code: str = ""

    def options(self) -> str:
        """As the core keeps it. Raises MalformedMessage for a reference that holds the separator."""
        for field, text in (("37", self.rrn), ("38", self.approval), ("39", self.code)):
            if "|" in text:
                raise MalformedMessage("has letters and digits", field=field)
        parts = (self.process, self.condition, self.time, self.date, self.rrn, self.approval)
        return "|".join((*parts, self.code) if self.code else parts)

    @classmethod
    def parse(cls, options: str) -> Self:
        """From `options`. Raises CannotEncode for what this dialect did not write."""
        parts = options.split("|")
        if len(parts) not in (PARTS, WITH_CODE):
            raise CannotEncode("what was kept of the request is not of this dialect; was host.profile changed?")
        return cls(*parts)
