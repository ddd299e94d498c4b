"""What a load run measured: how many of what, how they ended, how long they took. Counts and times only.

Pure, and bounded by the number of requests that the run is allowed to make.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil

NOT_MONEY = frozenset({"sign_in", "sign_off", "echo", "settle", "reverse", "repeat"})
UNANSWERED = frozenset({"no_answer", "line_cut", "no_line", "bad_step"})
MILLISECONDS = 1_000


@dataclass(slots=True)
class Tally:
    """Everything noted so far, by kind of step."""

    taken_s: dict[str, "array[float]"] = field(default_factory=dict)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    strays: int = 0
    given_up: int = 0

    def note(self, kind: str, result: Mapping[str, object], seconds: float) -> None:
        """One step and its result line. Only an answered step has a latency."""
        outcome, code = str(result["outcome"]), result.get("code")
        self.outcomes.setdefault(kind, Counter())[outcome] += 1
        if outcome not in UNANSWERED:
            self.taken_s.setdefault(kind, array("d")).append(seconds)
            self.codes[str(code or "none")] += 1
        strays = result.get("strays")
        self.strays += strays if isinstance(strays, int) else 0

    @property
    def answered(self) -> int:
        return sum(len(times) for times in self.taken_s.values())

    def report(self, terminals: int, seconds: float) -> dict[str, object]:
        """JSON-ready. Latencies in milliseconds from the first byte written to the answer read."""
        money = array("d", (one for kind, times in self.taken_s.items() if kind not in NOT_MONEY for one in times))
        return {
            "terminals": terminals,
            "seconds": round(seconds, 3),
            "transactions": len(money),
            "per_second": round(len(money) / seconds, 1) if seconds > 0 else 0.0,
            **latencies(money),
            "kinds": {kind: self._kind(kind) for kind in sorted(self.outcomes)},
            "codes": dict(sorted(self.codes.items())),
            "strays": self.strays,
            "reversals_given_up": self.given_up,
        }

    def _kind(self, kind: str) -> dict[str, object]:
        outcomes = self.outcomes[kind]
        times = self.taken_s.get(kind, array("d"))
        return {"count": sum(outcomes.values()), **latencies(times), "outcomes": dict(sorted(outcomes.items()))}


def latencies(times: Iterable[float]) -> dict[str, float | None]:
    """p50, p99 (nearest rank) and the longest, in milliseconds; None without a measurement."""
    ordered = sorted(times)
    ranks = {"p50_ms": 0.50, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: _rank(ordered, share) for name, share in ranks.items()}


def _rank(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    index = max(0, ceil(len(ordered) * share) - 1)
    return round(ordered[index] * MILLISECONDS, 3)


def as_table(report: Mapping[str, object]) -> str:
    """The report for a person: one row a kind, then the codes."""
    head = (
        f"{report['terminals']} terminals, {report['seconds']} s: "
        f"{report['transactions']} transactions, {report['per_second']} a second"
    )
    rows = [("", "count", "p50 ms", "p99 ms", "max ms", "outcomes"), *_rows(report)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            (row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:], strict=True)))
        )
        + f"  {row[5]}"
        for row in rows
    ]
    codes = report["codes"]
    assert isinstance(codes, dict)
    tail = [f"codes  {_counts(codes)}"] if codes else []
    tail += [f"{name}  {report[name]}" for name in ("strays", "reversals_given_up") if report[name]]
    return "\n".join([head, *lines, *tail])


def _rows(report: Mapping[str, object]) -> list[tuple[str, ...]]:
    kinds = report["kinds"]
    assert isinstance(kinds, dict)
    return [
        (
            kind,
            str(one["count"]),
            *("-" if one[name] is None else f"{one[name]:.1f}" for name in ("p50_ms", "p99_ms", "max_ms")),
            _counts(one["outcomes"]),
        )
        for kind, one in kinds.items()
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
