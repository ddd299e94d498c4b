"""Gaps grow, stay jittered, are capped, and begin small again only when told."""

import random

import pytest

from posd.daemon.links.backoff import Backoff


def test_gaps_grow_to_the_cap_and_stay_there() -> None:
    backoff = Backoff(1, 30, random.Random(7))
    gaps = [backoff.next() for _ in range(40)]
    for gap, ceiling in zip(gaps, [1, 2, 4, 8, 16, *[30] * 35], strict=True):
        assert ceiling / 2 <= gap <= ceiling


def test_gaps_are_jittered_by_the_given_source() -> None:
    first = [Backoff(1, 30, random.Random(seed)).next() for seed in range(20)]
    assert len(set(first)) == 20
    assert Backoff(1, 30, random.Random(3)).next() == first[3]


def test_reset_begins_small() -> None:
    backoff = Backoff(1, 30, random.Random(7))
    for _ in range(9):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1


@pytest.mark.parametrize(("first_s", "max_s"), [(0, 1), (-1, 1), (2, 1)])
def test_nonsense_is_refused(first_s: float, max_s: float) -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(first_s, max_s, random.Random(1))
