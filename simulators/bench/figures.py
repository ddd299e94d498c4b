"""What was measured as figures: percentiles, targets reached or missed, the aligned table, the JSON. Pure.

A figure never hides a miss: it says by how much. A figure that could not be measured says why instead of a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Sense = Literal["at most", "at least"]

GAP = "  "


class BenchTrouble(Exception):
    """The benchmark cannot go on, or must not begin: one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the issue asks of a figure: `sense` and the bound, in the figure's own unit."""

    sense: Sense
    bound: float

    def __str__(self) -> str:
        return f"{'≤' if self.sense == 'at most' else '≥'} {number(self.bound)}"

    def verdict(self, value: float) -> str:
        """'reached', or 'missed by 12 %' of the bound."""
        reached = value <= self.bound if self.sense == "at most" else value >= self.bound
        if reached:
            return "reached"
        return f"missed by {abs(value - self.bound) / self.bound * 100:.0f} %"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `value` None: not measured, `note` says why."""

    name: str
    value: float | None
    unit: str
    target: Target | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The columns of its line in the table."""
        shown = "not measured" if self.value is None else number(self.value)
        verdict = self.target.verdict(self.value) if self.target is not None and self.value is not None else ""
        return (self.name, shown, self.unit, str(self.target or ""), verdict, self.note)

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        target = None if self.target is None else {"sense": self.target.sense, "bound": self.target.bound}
        verdict = self.target.verdict(self.value) if self.target is not None and self.value is not None else None
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "target": target,
            "verdict": verdict,
            "note": self.note,
        }


HEADINGS = ("figure", "value", "unit", "target", "verdict", "note")
RIGHT = frozenset({1})


def table(figures: Sequence[Figure]) -> str:
    """The figures as aligned lines, headings first."""
    lines = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        GAP.join(
            cell.rjust(width) if column in RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """Three digits that matter, thousands apart: 0.143, 12.5, 1 480."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    places = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{places}f}".rstrip("0").rstrip(".")


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` 0 to 1. ValueError without values."""
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def median(values: Sequence[float]) -> float:
    """The middle value (of two middle ones the lower)."""
    return percentile(values, 0.5)
