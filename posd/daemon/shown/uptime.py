"""When posd was up and when the line was, from the station's records: the evidence of a day that went wrong.

It only reads. A killed daemon writes no last word: it is down from the last row that it wrote to the next start.
"""

import json
from dataclasses import dataclass
from itertools import chain

from posd.core.station import STATION
from posd.journal.contract import MessageView, RecordView
from posd.journal.reader import JournalReader

STARTED, STOPPED, LINE = "daemon_started", "daemon_stopped", "line_changed"

WHILE_STARTING = frozenset({"lane_opened", "signed_out"})
"""What a start may write before its own word."""
STARTING_MS = 60_000


@dataclass(frozen=True, slots=True)
class Gap:
    """Something was down from `from_ms` to `until_ms`; `rows` are what says so. `from_ms` None: since before it is
    known."""

    from_ms: int | None
    until_ms: int
    rows: tuple[RecordView | MessageView, ...]

    def touches(self, from_ms: int, until_ms: int) -> bool:
        """Whether any of it lies between these moments."""
        return (self.from_ms is None or self.from_ms <= until_ms) and from_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class Uptime:
    """What is known: gaps of the daemon and of the line, and since when starts and ends are told at all."""

    known_since_ms: int | None
    daemon: tuple[Gap, ...]
    line: tuple[Gap, ...]

    def unknown_at(self, at_ms: int) -> bool:
        """The journal does not tell whether posd was up then."""
        return self.known_since_ms is None or at_ms < self.known_since_ms


def uptime(reader: JournalReader, since_ms: int, now_ms: int, running: bool) -> Uptime:
    """From the last start before `since_ms` on. `running`: a daemon answers now."""
    rows = _station_rows(reader, since_ms)
    starts = [row.at_ms for row in rows if row.kind == STARTED]
    return Uptime(starts[0] if starts else None, _daemon(reader, rows, now_ms, running), _line(rows, now_ms))


def _station_rows(reader: JournalReader, since_ms: int) -> list[RecordView]:
    found: list[RecordView] = []
    for row in reader.records(tid=STATION, newest_first=True):
        found.append(row)
        if row.kind == STARTED and row.at_ms < since_ms:
            break
    return found[::-1]


def _daemon(reader: JournalReader, rows: list[RecordView], now_ms: int, running: bool) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    last: RecordView | None = None  # the newest start or end
    for row in (row for row in rows if row.kind in (STARTED, STOPPED)):
        if row.kind == STARTED and last is not None:
            alive = last if last.kind == STOPPED else _last_life(reader, row)
            if alive is not None:
                gaps.append(Gap(alive.at_ms, row.at_ms, (alive, row)))
        last = row
    if last is not None and not running:
        alive = last if last.kind == STOPPED else next(reader.merged(limit=1, newest_first=True), None)
        gaps.extend([Gap(alive.at_ms, now_ms, (alive,))] if alive is not None else [])
    return tuple(gaps)


def _last_life(reader: JournalReader, start: RecordView) -> RecordView | MessageView | None:
    """The last row of the daemon before this start."""
    for row in reader.merged(after=start.sequence, newest_first=True):
        starting = isinstance(row, RecordView) and row.kind in WHILE_STARTING
        if not starting or row.at_ms < start.at_ms - STARTING_MS:
            return row
    return None


def _line(rows: list[RecordView], now_ms: int) -> tuple[Gap, ...]:
    """From a word that it is down, or a start, to the next word that it is up."""
    gaps: list[Gap] = []
    down: RecordView | None = None
    for row in rows:
        if row.kind == STARTED or (row.kind == LINE and not json.loads(row.payload)["up"]):
            down = down if down is not None and down.kind == LINE else row
        elif row.kind == LINE and down is not None:
            gaps.append(Gap(down.at_ms, row.at_ms, (down, row)))
            down = None
    return tuple(chain(gaps, [Gap(down.at_ms, now_ms, (down,))] if down is not None else []))
