"""What goes to a screen: aligned tables, colours on a terminal only, JSON for programs, progress beside the result.

Results go to standard output, everything else to standard error. It must never be told anything that is not masked.
"""

import json
import os
import sys
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from posd.daemon.clock import SystemClock

PROGRESS_AFTER_S = 1.0
"""Work that is done sooner needs no progress."""
PROGRESS_TTY_S, PROGRESS_PIPE_S = 0.2, 10.0
"""Between two words on progress, on a terminal and in a file."""

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def columns(text: str) -> int:
    """Columns on a screen: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def paint(text: str, colour: str) -> str:
    """`text` in a colour, if standard output is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if wanted and colour else text


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), colours: Sequence[str] = ()
) -> str:
    """Aligned columns under their heads. `right`: the places of columns that are aligned to the right; `colours`: one
    for each row, "" for none."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(columns(row[place]) for row in [list(heads), *cells]) for place in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        padded = []
        for place, cell in enumerate(row):
            fill = " " * (widths[place] - columns(cell))
            padded.append(fill + cell if place in right else cell + fill)
        return "  ".join(padded).rstrip()

    lines = [paint(line(heads), "dim")]
    lines += [paint(line(row), colour) for row, colour in zip(cells, colours or [""] * len(cells), strict=True)]
    return "\n".join(lines)


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, aligned; empty values are left out."""
    shown = [(name, printable(value)) for name, value in rows if value]
    width = max((columns(name) for name, _ in shown), default=0)
    return "\n".join(f"{name}{' ' * (width - columns(name))}  {value}" for name, value in shown)


def printable(text: str) -> str:
    """One line without anything that a screen would obey."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def print_json(value: Any) -> None:
    """For programs: one document."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """For programs: one line of many."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def note(text: str) -> None:
    """A word beside the result."""
    print(f"posd: {text}", file=sys.stderr)


class Progress:
    """Says on standard error that work goes on, and how far it is; use it as a context."""

    def __init__(self, what: str, unit: str = "") -> None:
        self._what, self._unit = what, unit
        self._clock = SystemClock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self.count = 0

    def tell(self, count: int) -> None:
        """How far it is."""
        self.count = count

    def __enter__(self) -> Self:
        self._started_s = self._clock.monotonic_s()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _tell(self) -> None:
        if self._done.wait(PROGRESS_AFTER_S):
            return
        is_tty = sys.stderr.isatty()
        while not self._done.wait(PROGRESS_TTY_S if is_tty else PROGRESS_PIPE_S):
            print(
                f"{self._line()}{chr(27)}[K\r" if is_tty else self._line() + "\n", end="", file=sys.stderr, flush=True
            )
        if is_tty:
            print(f"{chr(27)}[K", end="", file=sys.stderr, flush=True)

    def _line(self) -> str:
        seconds = round(self._clock.monotonic_s() - self._started_s)
        counted = f"{self.count:,} {self._unit}, " if self.count else ""
        return f"posd: {self._what}: {counted}{seconds} s"
