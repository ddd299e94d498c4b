"""`posd advices list | retry | resolve`, what `posd status` and `posd txn show` say of them, with posd up and down."""

import json
from collections.abc import Callable
from typing import Any

from posd.core.state import AdviceStatus, Settled
from posd.daemon.shown import words

Posd = Callable[..., Any]


def test_what_waits_is_listed_and_needs_nobody(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.tells()
    listed = posd("advices", "list")
    assert listed.status == 0
    assert f"{of}: owed" in listed.out
    assert "offline_sale" in listed.out
    assert "posd advices retry" in listed.out
    (view,) = json.loads(posd("advices", "list", "--json").out)["advices"]
    assert (view["status"], view["amount"], view["attempts"]) == ("owed", "4.00", 0)


def test_without_a_daemon_the_journal_says_the_same(posd: Posd, place: Any) -> None:
    of = place.runner.tells()
    (view,) = json.loads(posd("advices", "list", "--json").out)["advices"]
    assert (view["request_id"], view["status"]) == (of, "owed")
    shown = json.loads(posd("txn", "show", of, "--json").out)["transaction"]
    assert (shown["status"], shown["in_totals"]) == ("stored", True)
    said = posd("txn", "show", of).out
    assert "not delivered to the host yet" in said
    assert "owed: posd delivers it after the next approval" in said
    assert of in posd("txn", "list", "--status", "stored").out


def test_what_the_host_refused_needs_a_person_who_ends_it(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.tells()
    place.runner.sells(100)
    place.runner.answers("14")
    listed = posd("advices", "list")
    assert listed.status == 1
    assert "answered 14" in listed.out
    said = posd("status")
    assert said.status == 1
    assert "1 advice(s) refused by the host" in said.out
    assert "离线交易被主机拒绝" in posd("status", "--lang", "zh").out
    ended = posd("advices", "resolve", of, "--by", "Li Na", "--reason", "paid in cash")
    assert ended.status == 0
    assert posd("advices", "list").out == "No advice waits.\n"
    assert "by Li Na: paid in cash" in posd("advices", "list", "--ended").out
    again = posd("advices", "resolve", of, "--by", "Li Na", "--reason", "paid in cash")
    assert again.status == 3
    assert "no such advice is owed, stuck or refused" in again.err


def test_a_person_wants_one_delivered_now(posd: Posd, place: Any, served: Any) -> None:
    assert posd("advices", "retry").out == "No advice is owed or stuck.\n"
    of = place.runner.tells()
    assert "1 advice(s) will be tried now" in posd("advices", "retry", of).out
    assert place.runner.state.exchange.request_id == of
    assert "on its way" in posd("advices", "list").out
    place.runner.answers("00")
    assert posd("advices", "list").out == "No advice waits.\n"
    assert "the host has it" in posd("advices", "list", "--ended").out


def test_status_counts_what_waits(posd: Posd, place: Any, served: Any) -> None:
    place.runner.tells()
    said = json.loads(posd("status", "--json").out)
    assert said["terminals"][0]["advices"] == {"owed": 1, "stuck": 0, "refused": 0, "doubtful": 0, "held": 0}
    assert [found["code"] for found in said["findings"]] == ["advices_owed"]
    assert said["good"] is True


def test_an_approval_with_a_reservation_is_shown_as_such(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sells(100, code="A4")
    shown = json.loads(posd("txn", "show", of, "--json").out)["transaction"]
    assert (shown["status"], shown["code"], shown["flagged"]) == ("approved", "A4", True)
    assert "the issuer has to confirm it" in posd("txn", "show", of).out
    said = json.loads(posd("status", "--json").out)
    assert [found["code"] for found in said["findings"]] == ["approvals_flagged"]
    plain = place.runner.sells(100)
    assert json.loads(posd("txn", "show", plain, "--json").out)["transaction"]["flagged"] is False


def test_every_status_has_its_words() -> None:
    assert set(words.ADVICE) == set(words.ADVICE_TO_DO) == set(AdviceStatus)
    assert set(words.SETTLED) == set(Settled)
