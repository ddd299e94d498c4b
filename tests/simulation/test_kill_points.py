"""Every numbered kill point and every failing commit of the scripted days (testing.md T2).

The machine dies at point k: before a commit, after it, after it was adopted, after something was sent or answered. Or
commit c fails, its rows durable or not. It starts again, and the day has to end right.
"""

import pytest

from simulators.world.scene import Outcome
from simulators.world.scripts import SCRIPTED, ScriptedDay

DAYS = tuple(SCRIPTED)


def ends_right(day: ScriptedDay, outcome: Outcome) -> bool:
    """Every promise kept; each batch closed as the script says, or skipped where the kill emptied it."""
    closes = {name.removeprefix("closed: ") for name in outcome.stats if name.startswith("closed: ")}
    return outcome.violations == () and bool(closes) and closes <= {day.outcome, day.when_killed, "agreed", "empty"}


@pytest.mark.parametrize("name", DAYS)
def test_the_day_itself_ends_as_it_is_written(name: str) -> None:
    outcome = SCRIPTED[name].run()
    assert outcome.violations == ()
    assert f"closed: {SCRIPTED[name].outcome}" in outcome.stats
    assert "deaths" not in outcome.stats


@pytest.mark.parametrize("name", DAYS)
def test_killed_at_every_point_the_day_ends_right(name: str) -> None:
    day = SCRIPTED[name]
    points = day.run().points
    outcomes = {point: day.run(kill_at=point) for point in range(1, points + 1)}
    assert all(outcome.stats.get("deaths") == 1 for outcome in outcomes.values())
    assert {point: outcome.violations for point, outcome in outcomes.items() if not ends_right(day, outcome)} == {}


@pytest.mark.parametrize("durable", [False, True], ids=["lost", "durable"])
@pytest.mark.parametrize("name", DAYS)
def test_broken_at_every_commit_the_day_ends_right(name: str, durable: bool) -> None:
    day = SCRIPTED[name]
    commits = day.run().commits
    outcomes = {commit: day.run(fail_at=(commit, durable)) for commit in range(1, commits + 1)}
    assert all(outcome.stats.get("deaths") == 1 for outcome in outcomes.values())
    assert {commit: outcome.violations for commit, outcome in outcomes.items() if not ends_right(day, outcome)} == {}
