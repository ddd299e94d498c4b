"""Where the chain is cut: by months of the shop's zone, and not by a clock that has jumped."""

from typing import Any

import pytest

from posd.journal.contract import Head
from posd.journal.months import Cut, Run, cuts, month_of, runs

SHANGHAI, UTC = "Asia/Shanghai", "UTC"
NEW_YEAR_IN_SHANGHAI_MS = 1_767_196_800_000


@pytest.mark.parametrize(
    ("at_ms", "zone", "month"),
    [
        (NEW_YEAR_IN_SHANGHAI_MS - 1, SHANGHAI, "2025-12"),
        (NEW_YEAR_IN_SHANGHAI_MS, SHANGHAI, "2026-01"),
        (NEW_YEAR_IN_SHANGHAI_MS, UTC, "2025-12"),
        (0, UTC, "1970-01"),
    ],
)
def test_a_month_is_the_shops_own(at_ms: int, zone: str, month: str) -> None:
    assert month_of(at_ms, zone) == month


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([Run("2026-01", 10, 10), Run("2026-02", 5, 15), Run("2026-03", 5, 20)], [("2026-01", 10), ("2026-02", 15)]),
        # three rows in 2099, and the month goes on: they are in it
        ([Run("2026-01", 4, 4), Run("2099-01", 3, 7), Run("2026-01", 6, 13), Run("2026-03", 9, 22)], [("2026-01", 13)]),
        # a start in 1970 in the middle of March moves nothing
        ([Run("2026-01", 4, 4), Run("2026-03", 6, 10), Run("1970-01", 2, 12), Run("2026-03", 6, 18)], [("2026-01", 4)]),
        # as many before as after: the earlier place, which takes less away
        ([Run("2026-01", 4, 4), Run("2026-03", 4, 8), Run("2026-01", 4, 12), Run("2026-03", 9, 21)], [("2026-01", 4)]),
        # a clock that was wrong for a whole month's time: its rows are where most of them are
        ([Run("2026-03", 5, 5)], []),
        ([], []),
        ([Run("1970-01", 3, 3), Run("2026-03", 9, 12)], [("1970-01", 3)]),
    ],
)
def test_a_cut_has_the_fewest_rows_on_its_wrong_side(found: list[Run], expected: list[tuple[str, int]]) -> None:
    assert [(cut.month, cut.last) for cut in cuts(found, "2026-03")] == expected


def test_months_that_were_archived_before_are_not_cut_again() -> None:
    late = [Run("2026-01", 2, 12), Run("2026-02", 5, 17), Run("2026-04", 2, 19)]
    assert cuts(late, "2026-04", "2026-01") == [Cut("2026-02", 17)]


def test_runs_are_counted_over_the_borders_of_reads(opened: Any, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    at = [NEW_YEAR_IN_SHANGHAI_MS + offset for offset in (-3, -2, -1, 0, 1, 2, 3)]
    store.write(
        [
            [type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "at_ms": ms})]
            for ms in at
            for row in [rows.record(ms % 1000, secret=None)]
        ]
    )
    for block in (1, 2, 3, 5, 100):
        monkeypatch.setattr("posd.journal.months.BLOCK_ROWS", block)
        assert runs(store.ask, store.base, store.head(), SHANGHAI) == [Run("2025-12", 3, 3), Run("2026-01", 4, 7)]
    assert runs(store.ask, Head(3, b""), store.head(), SHANGHAI) == [Run("2026-01", 4, 7)]
