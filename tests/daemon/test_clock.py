"""Two clocks, and the step between them."""

import time

import pytest

from posd.daemon.clock import SystemClock, step_s
from posd.values import Now


def test_both_clocks_are_read_in_their_units() -> None:
    before_s, before_monotonic_s = time.time(), time.monotonic()
    now = SystemClock().now()
    assert before_s * 1000 - 1 <= now.wall_ms <= time.time() * 1000 + 1
    assert before_monotonic_s <= now.monotonic_s <= time.monotonic()
    assert now.monotonic_s <= SystemClock().monotonic_s()


@pytest.mark.parametrize(
    ("wall_ms", "monotonic_s", "step"),
    [
        (30_000, 30.0, 0.0),
        (30_500, 30.0, 0.5),
        (3_630_000, 30.0, 3600.0),
        (-3_570_000, 30.0, 3600.0),
        (30_000, 0.0, 30.0),
    ],
    ids=["none", "drift", "forward", "back", "slept"],
)
def test_a_step_is_what_one_clock_moved_and_the_other_did_not(wall_ms: int, monotonic_s: float, step: float) -> None:
    start = Now(wall_ms=1_700_000_000_000, monotonic_s=500.0)
    later = Now(wall_ms=start.wall_ms + wall_ms, monotonic_s=start.monotonic_s + monotonic_s)
    assert step_s(start, later) == pytest.approx(step)
