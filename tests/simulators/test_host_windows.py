"""Rules that are awake only for a while: times of the host's day, seconds after the start."""

import pytest
from pydantic import ValidationError

from posd.iso8583.message import Message
from simulators.host.faults import Faults, Rule
from tests.simulators.bench import NOON_MS

SALE = Message("0200", {4: "000000001234", 41: "10000001", 60: "22000008000500"})
UTC8 = 480
MINUTE_MS = 60_000


def acts(rule: dict[str, object], at_ms: int, started_ms: int = NOON_MS) -> bool:
    faults = Faults((Rule.model_validate({"do": "lose_answer", **rule}),))
    faults.begin(started_ms, UTC8)
    return faults.plan(SALE, at_ms) is not None


@pytest.mark.parametrize(
    ("between", "minute", "awake"),
    [
        ("12:00-12:05", 0, True),
        ("12:00-12:05", 4, True),
        ("12:00-12:05", 5, False),
        ("12:01-13:00", 0, False),
        ("22:00-12:01", 0, True),
        ("22:00-12:01", 1, False),
        ("22:00-06:00", 10 * 60, True),
        ("22:00-06:00", 18 * 60, False),
        ("04:00-04:10", 0, False),
    ],
)
def test_times_of_day_are_the_hosts_and_may_span_midnight(between: str, minute: int, awake: bool) -> None:
    assert acts({"between": between}, NOON_MS + minute * MINUTE_MS) is awake


@pytest.mark.parametrize(
    ("rule", "seconds", "awake"),
    [
        ({"from_s": "10"}, 9.9, False),
        ({"from_s": "10"}, 10, True),
        ({"until_s": "10"}, 9.9, True),
        ({"until_s": "10"}, 10, False),
        ({"from_s": "1", "until_s": "2"}, 1.5, True),
        ({"from_s": "1", "until_s": "2", "between": "13:00-14:00"}, 1.5, False),
    ],
)
def test_seconds_after_the_start(rule: dict[str, object], seconds: float, awake: bool) -> None:
    assert acts(rule, NOON_MS + int(seconds * 1000)) is awake


def test_a_rule_that_sleeps_counts_nothing() -> None:
    faults = Faults((Rule(do="lose_answer", from_s=10, nth=2),))
    faults.begin(NOON_MS, UTC8)
    plans = [faults.plan(SALE, NOON_MS + second * 1000) for second in (1, 2, 11, 12, 13)]
    assert [plan is not None for plan in plans] == [False, False, False, True, False]


def test_without_a_time_only_rules_without_a_window_act() -> None:
    faults = Faults((Rule(do="lose_answer", from_s=0), Rule(do="duplicate")))
    plan = faults.plan(SALE)
    assert plan is not None
    assert plan.do == "duplicate"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"from_s": 5, "until_s": 5}, "never acts"),
        ({"between": "12:00-12:00"}, "same time"),
        ({"between": "24:00-12:00"}, "pattern"),
        ({"between": "noon"}, "pattern"),
    ],
)
def test_windows_that_cannot_be_are_refused(rule: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Rule.model_validate({"do": "lose_answer", **rule})
