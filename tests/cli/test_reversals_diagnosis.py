"""`posd reversals list` says for each why it is owed: the cause, the evidence, and what a person can do."""

import json
from collections.abc import Callable
from typing import Any

from posd.core.diagnosis import Cause, SignOf
from posd.core.rules import TxnKind
from posd.daemon.shown import words

Posd = Callable[..., Any]


def test_each_reversal_is_listed_with_its_diagnosis(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sticks()
    said = posd("reversals", "list").out
    assert f"{of}: stuck" in said
    assert "cause: the host" in said
    assert said.count("attempt with reason 98: the host did not answer in time") == 2
    assert "2026-03-02 10:00:30  owed: the host did not answer in time" in said
    assert "look: ask the acquirer" in said
    (view,) = json.loads(posd("reversals", "list", "--json").out)["reversals"]
    assert view["diagnosis"]["cause"] == "host"
    assert view["diagnosis"]["evidence"][0]["at"][11:19] == "10:00:30"


def test_a_line_that_is_down_is_said_first(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sticks()
    place.shop.link_up, place.shop.link_why = False, "connection refused"
    said = posd("reversals", "list").out
    assert "cause: the line" in said
    assert "now  the line is down: connection refused" in said


def test_without_a_daemon_that_is_the_cause(posd: Posd, place: Any) -> None:
    place.runner.sticks()
    said = posd("reversals", "list").out
    assert "cause: posd" in said
    assert "now  posd is not running" in said


def test_a_refund_has_no_reversal(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(400, code=None, kind=TxnKind.REFUND)
    assert posd("reversals", "list").out == "No reversal is owed.\n"


def test_every_cause_and_sign_has_its_words() -> None:
    assert set(words.DIAGNOSIS) == set(words.LOOK_AT) == set(Cause)
    assert set(words.SIGN) == set(SignOf)
