"""`posd swap-check`: a machine is not replaceable while anything is open; with the daemon up or down."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from posd.cli.swap_check import TO_DO, WHY
from posd.core.rules import TxnKind
from posd.daemon.shown.swap import against

Posd = Callable[..., Any]


def codes(posd: Posd, status: int = 1) -> dict[str, int]:
    ran = posd("swap-check", "--json")
    assert ran.status == status, ran.out + ran.err
    said = json.loads(ran.out)
    assert said["may_be_replaced"] is (status == 0)
    return {one["code"]: one["count"] for one in said["against"]}


def test_an_idle_machine_may_go(place: Any, posd: Posd, served: Any) -> None:
    assert codes(posd, status=0) == {}
    assert "may be replaced" in posd("swap-check").out


def test_money_that_is_not_settled(place: Any, posd: Posd) -> None:
    """Also by the journal alone."""
    place.runner.sells(1000)
    assert codes(posd) == {"unsettled": 1}
    said = posd("swap-check").out
    assert "posd settle --tid 10000001" in said
    assert "Do not replace" in said
    assert "请勿" in posd("swap-check", "--lang", "zh").out


def test_d35_money_of_a_terminal_that_is_configured_no_more(place: Any, posd: Posd) -> None:
    """A running posd had refused to start so; of a stopped one nobody else would say it."""
    place.runner.sells(1000)
    text = place.config.read_text()
    place.config.write_text("\n".join(line for line in text.splitlines() if "10000001" not in line) + "\n")
    assert codes(posd) == {"forgotten": 1}
    said = posd("swap-check").out
    assert "10000001: it is not in the configuration any more, but its batch is open" in said
    assert "Do not replace" in said


def test_what_is_owed_and_in_doubt(place: Any, posd: Posd, served: Any) -> None:
    place.runner.sticks()
    place.runner.sells(400, code=None, kind=TxnKind.REFUND)
    found = codes(posd)
    assert found["reversals"] == 1
    assert found["refunds"] == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"fenced": "a bug"}, "fenced"),
        ({"restore_gap": {}}, "gap"),
        ({"settlement": {"phase": "unconfirmed", "nothing_to_settle": True}}, "unconfirmed"),
        ({"settlement": {"phase": "trailer", "nothing_to_settle": True}}, "unfinished"),
        ({"settlement": {"phase": "open", "nothing_to_settle": False}}, "unsettled"),
        ({"advices": {"owed": 0, "stuck": 0, "refused": 0, "held": 1}}, "advices"),
        ({"script_results": {"owed": 2, "refused": 0}}, "scripts_owed"),
        ({"scripts_not_told": ["a"]}, "scripts_not_told"),
        ({"last_close": {"outcome": "unconfirmed", "batch": 7}}, "close_unconfirmed"),
        ({"out_of_balance": {"outcome": "out_of_balance", "batch": 7}}, "close_out_of_balance"),
    ],
)
def test_each_reason_has_its_words(change: dict[str, Any], code: str) -> None:
    view: dict[str, Any] = {
        "tid": "10000001",
        "fenced": "",
        "restore_gap": None,
        "settlement": {"phase": "open", "nothing_to_settle": True},
        "transactions": {"in_totals": 0, "count": 0},
        "reversals": {"owed": 0, "stuck": 0, "conflict": 0, "held": 0},
        "advices": {"owed": 0, "stuck": 0, "refused": 0, "held": 0},
        "refunds_in_doubt": [],
        "script_results": {"owed": 0, "refused": 0},
        "scripts_not_told": [],
        "last_close": None,
        "out_of_balance": None,
    }
    assert list(against(view)) == []
    (one,) = against({**view, **change})
    assert one["code"] == code
    for texts in (WHY, TO_DO):
        for text in texts[code]:
            assert text.format(tid="10000001", **one)
    assert set(WHY) == set(TO_DO)
