"""One close as the acquirer sees it: groups compared, records and chip details that came, the end message.

Plain state; settlement.py and chip_details.py decide what stands in it.
"""

from dataclasses import dataclass, field

from simulators.fields import Totals, UploadRecord
from simulators.host.differences import Difference


@dataclass(frozen=True, slots=True)
class ChipRecord:
    """One chip detail that was uploaded (1.7, types 5 and 6): 60.3, the amount, and why it does not fit, or ''."""

    code: str
    stan: int
    amount_minor: int
    odd: str = ""

    @property
    def failed(self) -> bool:
        return self.code in ("204", "206")


@dataclass(slots=True, repr=False)
class Settlement:
    """One 0500 and what followed it: groups (asked, ours, result), uploads matched, the end message."""

    stan: int
    at_ms: int
    groups: dict[str, tuple[Totals, Totals, int]]
    uploaded: dict[tuple[int, str], UploadRecord] = field(default_factory=dict)
    chip: dict[int, ChipRecord] = field(default_factory=dict)
    chip_missing: list[str] = field(default_factory=list)
    matched: int = 0
    mismatched: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    end_code: str | None = None
    end_count: int | None = None
    differences: dict[tuple[int, str], Difference] = field(default_factory=dict)

    @property
    def end_count_agrees(self) -> bool | None:
        """Is the count of the end message what we counted, chip details included? None before it came."""
        if self.end_count is None:
            return None
        return self.end_count == self.arrived

    @property
    def arrived(self) -> int:
        """All records of the upload, each once."""
        return len(self.uploaded) + len(self.chip)

    @property
    def balanced(self) -> bool:
        return all(result == 1 for _, _, result in self.groups.values())

    def agreed(self, foreign: bool) -> bool:
        """Was the group of such a card balanced? A single group holds both."""
        name = "foreign" if foreign and "foreign" in self.groups else "domestic"
        return self.groups[name][2] == 1

    def dump(self) -> dict[str, object]:
        return {
            "stan": self.stan,
            "at_ms": self.at_ms,
            "balanced": self.balanced,
            "groups": {
                name: {"asked": asked.as_dict(), "ours": ours.as_dict(), "result": result}
                for name, (asked, ours, result) in self.groups.items()
            },
            "uploaded": len(self.uploaded),
            "chip_details": len(self.chip),
            "chip_failed": sum(one.failed for one in self.chip.values()),
            "chip_odd": [one.odd for one in self.chip.values() if one.odd],
            "chip_missing": list(self.chip_missing),
            "matched": self.matched,
            "mismatched": list(self.mismatched),
            "extra": list(self.extra),
            "missing": list(self.missing),
            "end_code": self.end_code,
            "end_count": self.end_count,
            "end_count_agrees": self.end_count_agrees,
            "differences": [one.dump() for _, one in sorted(self.differences.items(), key=lambda item: item[0])],
        }
