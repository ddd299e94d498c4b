"""Says how fast verify folds (run with -s); a million rows must take seconds. Counts are asserted, never time."""

import time
from pathlib import Path
from typing import Any

from posd.journal.verify import verify

ROWS = 20_000


def rows_per_second(folder: Path, chain_key: bytes) -> tuple[int, float]:
    """Rows that verify read, and how many it read in a second."""
    begin = time.perf_counter()
    report = verify(folder, chain_key)
    return report.rows, report.rows / (time.perf_counter() - begin)


def test_verify_reads_every_row_and_says_how_fast(opened: Any, rows: Any, folder: Path, chain_key: bytes) -> None:
    opened().write([rows.sale(number) for number in range(ROWS // 2)])
    read, speed = rows_per_second(folder, chain_key)
    print(f"\nverify: {speed:,.0f} rows/s")
    assert read == ROWS
