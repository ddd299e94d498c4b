"""A journal with three months of sales, of which two are closed: what the tests of the archive begin with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posd.journal import archive, making
from posd.journal.archive import Work, do, works_to_archive, works_to_finish
from posd.journal.months import Cut, cuts, runs
from posd.journal.reader import JournalReader
from posd.journal.sqlite import SqliteStore

ZONE = "Asia/Shanghai"
MONTH_MS = {"2026-01": 1_768_000_000_000, "2026-02": 1_770_600_000_000, "2026-03": 1_773_000_000_000}
SALES = 12
"""In each month: 24 rows."""
TIDS = ("10000001", "10000002")
OPEN_MONTH = "2026-03"


def sale(rows: Any, month: str, number: int) -> list[Any]:
    """Two rows of one sale; every third request is refused, and has no sealed facts."""
    tid = TIDS[number % 2]
    serial = list(MONTH_MS).index(month) * 1000 + number
    of = f"{tid}/000001/{serial:06d}/0200/000000"
    at_ms = MONTH_MS[month] + number * 1000
    secret = None if number % 3 == 2 else f"secret {serial}".encode()
    record = rows.record(serial, tid, request_id=of, secret=secret)
    message = rows.message(serial, tid, request_id=of)
    return [
        type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "at_ms": at_ms})
        for row in (record, message)
    ]


def fill(store: SqliteStore, rows: Any) -> None:
    for month in MONTH_MS:
        for number in range(SALES):
            store.write([sale(rows, month, number)])
    for tid in TIDS:
        store.save_snapshot(tid, store.head().sequence, 1, f'{{"of":"{tid}"}}')


def take_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few rows go through every kind of step more than once."""
    monkeypatch.setattr(making, "COPY_ROWS", 10)
    monkeypatch.setattr(archive, "COPY_ROWS", 10)
    monkeypatch.setattr(archive, "REMOVE_ROWS", 9)
    monkeypatch.setattr(archive, "PART_DIGESTS", 3)
    monkeypatch.setattr(archive, "PARTS_AT_ONCE", 2)
    monkeypatch.setattr(archive, "FREE_PAGES_KEPT", 1)
    monkeypatch.setattr(archive, "GIVE_BACK_PAGES", 1)


def plan(store: SqliteStore, before: str = OPEN_MONTH) -> list[Cut]:
    newest = max((one.month for one in store.segments), default="")
    return cuts(runs(store.ask, store.base, store.head(), ZONE), before, newest)


def works(store: SqliteStore) -> Iterator[Work]:
    yield from works_to_finish(store)
    for cut in plan(store):
        yield from works_to_archive(store, cut.month, cut.last)


def archive_all(store: SqliteStore) -> int:
    """How many works it took."""
    count = 0
    for work in works(store):
        do(work)
        count += 1
    return count


def everything(folder: Path) -> list[dict[str, Any]]:
    with JournalReader(folder) as reader:
        return [row.as_dict() for row in reader.merged()]
