"""Which rows belong to which month, and where the chain may be cut (D33).

Rows stand in the order in which they were written, and a clock may have jumped meanwhile: a cut is put where the fewest
rows stand on the wrong side of it, so that a minute in 1970 or in 2099 moves no boundary. It only reads.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from posd.core.schedule import local
from posd.journal.contract import Head

BLOCK_ROWS = 2000
"""Rows of one short read (D30)."""

_BETWEEN = (
    "(SELECT sequence, at_ms FROM record WHERE sequence BETWEEN ?1 AND ?2"
    " UNION ALL SELECT sequence, at_ms FROM message WHERE sequence BETWEEN ?1 AND ?2)"
)


Ask = Callable[[str, tuple[int, int]], list[tuple[Any, ...]]]


class Run(NamedTuple):
    """Rows of one month that follow each other."""

    month: str
    rows: int
    last: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A month that can be told apart: its rows are those after the cut before, up to and with `last`."""

    month: str
    last: int


def month_of(at_ms: int, zone: str) -> str:
    """The local month of a moment, YYYY-MM."""
    return local(at_ms, zone).strftime("%Y-%m")


def runs(ask: Ask, base: Head, head: Head, zone: str) -> list[Run]:
    """The months of the rows after `base`, in their order. `ask` does one short read. Raises what it raises."""
    found: list[Run] = []
    for first in range(base.sequence + 1, head.sequence + 1, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS - 1, head.sequence)
        for run in _runs_of(ask, first, last, zone):
            if found and found[-1].month == run.month:
                found[-1] = Run(run.month, found[-1].rows + run.rows, run.last)
            else:
                found.append(run)
    return found


def _runs_of(ask: Ask, first: int, last: int, zone: str) -> list[Run]:
    earliest, latest, rows = ask(f"SELECT min(at_ms), max(at_ms), count(*) FROM {_BETWEEN}", (first, last))[0]
    if rows == 0:
        return []
    month = month_of(earliest, zone)
    if month == month_of(latest, zone):
        return [Run(month, rows, last)]
    every = ask(f"SELECT sequence, at_ms FROM {_BETWEEN} ORDER BY sequence", (first, last))
    return [Run(month_of(at_ms, zone), 1, sequence) for sequence, at_ms in every]


def cuts(found: Iterable[Run], before: str, after: str = "") -> list[Cut]:
    """Where the months between `after` and `before`, without these, end; one without rows has no end. Oldest first."""
    every = list(found)
    wanted = sorted({run.month for run in every if after < run.month < before})
    made: list[Cut] = []
    for month in wanted:
        last = _end_of(every, month)
        if last > (made[-1].last if made else 0):
            made.append(Cut(month, last))
    return made


def _end_of(found: list[Run], month: str) -> int:
    """The row after which the fewest rows are on the wrong side; 0: before all of them."""
    best, end, score = 0, 0, 0
    for run in found:
        score += run.rows if run.month <= month else -run.rows
        if score > best:
            best, end = score, run.last
    return end
