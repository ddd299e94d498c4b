"""A refund in doubt: shown by status and list, ended by a named person (D13)."""

import json
from collections.abc import Callable
from typing import Any

from posd.core.rules import TxnKind
from tests.daemon.shop import TID

Posd = Callable[..., Any]


def test_d13_a_refund_in_doubt_is_shown_until_a_named_person_resolves_it(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sells(400, code=None, kind=TxnKind.REFUND)
    status = posd("status")
    assert status.status == 1
    assert f"! {TID}: 1 refund(s) in doubt" in status.out
    assert "1 笔退货存疑" in posd("status", "--lang", "zh").out
    (listed,) = json.loads(posd("txn", "list", "--status", "in_doubt", "--json").out)["transactions"]
    assert listed["request_id"] == of
    assert "posd txn resolve" in posd("txn", "show", of).out
    said = posd("txn", "resolve", of, "--happened", "yes", "--by", "Wang", "--reason", "on the acquirer's list")
    assert said.status == 0
    assert "it counts in the totals of the open batch" in said.out
    assert posd("status").status == 0
    shown = posd("txn", "show", of).out
    assert "it happened: so it was said by Wang: on the acquirer's list" in shown
    again = posd("txn", "resolve", of, "--happened", "no", "--by", "Wang", "--reason", "changed my mind")
    assert (again.status, "no such refund is in doubt" in again.err) == (3, True)


def test_d13_resolve_without_a_name_a_reason_or_a_word_is_misuse(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sells(400, code=None, kind=TxnKind.REFUND)
    assert posd("txn", "resolve", of, "--by", "Wang", "--reason", "r").status == 2
    assert posd("txn", "resolve", of, "--happened", "maybe", "--by", "Wang", "--reason", "r").status == 2
    assert posd("txn", "resolve", of, "--happened", "yes", "--by", "Wang").status == 2
    assert posd("txn", "resolve", of, "--happened", "yes", "--by", " ", "--reason", "r").status == 2
    assert place.runner.state.in_doubt()


def test_d13_what_is_no_refund_in_doubt_is_refused(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sells(400)
    said = posd("txn", "resolve", of, "--happened", "no", "--by", "Wang", "--reason", "r")
    assert (said.status, "no such refund is in doubt" in said.err) == (3, True)
