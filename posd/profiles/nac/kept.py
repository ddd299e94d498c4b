"""What the core keeps of a request beside its meaning, so that reversal, adjustment and upload can say it again.

Field 3 with its account digits, field 25, the terminal's date and time, and the original's reference and approval code
as the terminal gave them. None of it is card data.
"""

from dataclasses import dataclass
from typing import Self

from posd.errors import CannotEncode, MalformedMessage

PARTS = 6


@dataclass(frozen=True, slots=True)
class Kept:
    """`process` field 3, `condition` field 25, `time` hhmmss, `date` MMDD, `rrn` 37, `approval` 38; each may be ""."""

    process: str
    condition: str = ""
    time: str = ""
    date: str = ""
    rrn: str = ""
    approval: str = ""

    def options(self) -> str:
        """As the core keeps it. Raises MalformedMessage for a reference that holds the separator."""
        for field, text in (("37", self.rrn), ("38", self.approval)):
            if "|" in text:
                raise MalformedMessage("has letters and digits", field=field)
        return "|".join((self.process, self.condition, self.time, self.date, self.rrn, self.approval))

    @classmethod
    def parse(cls, options: str) -> Self:
        """From `options`. Raises CannotEncode for what this dialect did not write."""
        parts = options.split("|")
        if len(parts) != PARTS:
            raise CannotEncode("what was kept of the request is not of this dialect; was host.profile changed?")
        return cls(*parts)
