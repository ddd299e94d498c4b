"""The deterministic world: one seed is one or more shop-days with every kind of trouble (testing.md T1, wire world).

To read a seed that fails: python -m simulators.world --seed N --trace. Then write it into failed_seeds.txt.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from simulators.world import Faults, run
from simulators.world.many import outcomes

SEEDS = range(1, 201)
"""What a run of the tests lives through; CI 2,000: python -m simulators.world --seeds 1..2000 --jobs 2."""

CHUNK = 20
FAILED_SEEDS = [
    int(line.split()[0])
    for line in (Path(__file__).parent / "failed_seeds.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
]


@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, CHUNK))
def test_every_promise_is_kept_in_every_seed(first: int) -> None:
    broken = {seed: found for seed in range(first, first + CHUNK) if (found := run(seed).violations)}
    assert not broken


@pytest.mark.parametrize("seed", FAILED_SEEDS)
def test_what_failed_once_does_not_fail_again(seed: int) -> None:
    assert run(seed).violations == ()


def test_a_seed_gives_the_same_run_again() -> None:
    first, second = (run(7, traced=True) for _ in range(2))
    assert first == second
    assert len(first.transcript) > 50


def test_two_processes_come_to_the_same() -> None:
    with outcomes(range(1, 13), jobs=2) as lived:
        assert list(lived) == [run(seed) for seed in range(1, 13)]


def test_a_broken_promise_ends_with_exit_status_1() -> None:
    """What CI goes by, from a worker process too."""
    words = [sys.executable, "-m", "simulators.world", "--seeds", "1..10", "--jobs", "2", "--bug", "day_closed_twice"]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "closed twice" in done.stdout


def test_the_troubles_do_happen() -> None:
    """A world without trouble proves nothing: over some seeds every kind of it has to show."""
    wanted = {
        "deaths",
        "outcome_unknown",
        "answer_matches_nothing",
        "answer_unreadable",
        "reversal_acknowledged",
        "reversal_stuck",
        "reversal_carried_over",
        "settlement_postponed",
        "settlement_out_of_balance",
        "settlement_unconfirmed",
        "sign_in_failed",
        "refund_in_doubt",
        "refund_did_not_happen",
        "advice_acknowledged",
        "advice_carried_over",
        "advice_refused",
        "advice_settled",
        "advice_stuck",
        "posd: cancelled",
        "host: batch moved",
        "host_batch_number_changed",
        "closed: agreed",
        "closed: out_of_balance",
        "closed: empty",
        "terminal: approved",
        "terminal: declined",
        "terminal: failed",
        "terminal: taken back",
        "terminal: forgotten",
        "till: approved",
        "till: approved, not confirmed",
        "till: confirmed too late",
        "till: declined",
        "till: failed",
        "till: not confirmed in time",
        "request_key_reused",
        "chip details",
        "terminal: the chip refused",
        "a frame was withdrawn",
        "an exchange was lost",
        "routes: all routes failed",
        "routes: back to a better route",
        "routes: failed over",
    }
    missing = wanted
    for seed in SEEDS:
        missing = missing - run(seed).stats.keys()
        if not missing:
            break
    assert not missing


def test_a_perfect_day_is_perfect() -> None:
    """No trouble, no alert: every close agrees, nothing is reversed, nobody is told "failed"."""
    for seed in range(1, 6):
        outcome = run(seed, Faults())
        assert outcome.violations == ()
        troubles = {"outcome_unknown", "reversal_stuck", "terminal: failed", "settlement_unconfirmed", "deaths"}
        assert not troubles & outcome.stats.keys()
