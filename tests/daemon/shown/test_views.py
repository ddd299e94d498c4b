"""Views of real states: what a person is told, and when it becomes a finding."""

import json

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core.answers import ExchangeKind, GroupResult
from posd.core.effects import Alert
from posd.core.rules import Why
from posd.core.state import CloseOutcome, ReversalStatus, SettlementPhase, State, TxnStatus
from posd.daemon.shown import words
from posd.daemon.shown.findings import findings
from posd.daemon.shown.questions import Seen, answer
from posd.daemon.shown.terminal_view import terminal_view
from posd.daemon.shown.views import Around, named, reversal_view, transaction_view
from posd.errors import ConfigError
from posd.profiles.codes import meanings
from posd.profiles.unionpay.codes import CODES
from tests.daemon.shop import OTHER_TID, RULES, TID, Runner, Shop, a_shop, request_id, wall_ms

MEANINGS = meanings(CODES)


def around(shop: Shop, **more: object) -> Around:
    runner = next(iter(shop.lanes.values()))
    known = {"agenda": runner.lane.engine.agenda, "link_up": True, "meanings": MEANINGS, "fenced": runner.fenced}
    return Around(**{"rules": RULES, "now": shop.clock.now(), **known, **more})  # type: ignore[arg-type]


def status(shop: Shop, **more: object) -> dict[str, object]:
    return terminal_view(shop.lanes[TID].state, around(shop, **more))


def codes(shop: Shop, **more: object) -> list[str]:
    return [finding["code"] for finding in findings(status(shop, **more))]


@pytest.fixture
def shop() -> Shop:
    return a_shop()


@pytest.fixture
def runner(shop: Shop) -> Runner:
    return shop.lanes[TID]


def test_quiet_terminal_has_no_findings(shop: Shop, runner: Runner) -> None:
    runner.sells(1000)
    runner.sells(250)
    runner.sells(99, code="51")
    view = terminal_view(runner.state, around(shop))
    assert view["transactions"] == {"count": 3, "in_totals": 2, "by_status": {"approved": 2, "declined": 1}}
    assert view["totals"]["domestic"]["debit"] == "12.50"
    assert view["totals"]["domestic"]["debit_count"] == 2
    assert view["settlement"]["next_due_at"] == "2026-03-02T23:00:00+08:00"
    assert not view["settlement"]["due"]
    assert findings(view) == []
    json.dumps(view)


def test_settlement_is_late_only_after_a_while_and_only_with_money(shop: Shop, runner: Runner) -> None:
    shop.clock.wall = wall_ms("2026-03-02 23:10:00")
    assert not status(shop)["settlement"]["late"], "there is nothing to settle"
    shop.clock.wall = wall_ms("2026-03-02 22:00:00")
    runner.sells()
    runner.happen(e.LinkDown("cable pulled"))
    shop.clock.wall = wall_ms("2026-03-02 23:01:00")
    assert status(shop, link_up=False)["settlement"]["due"]
    assert codes(shop, link_up=False) == [], "it may take a minute"
    shop.clock.wall = wall_ms("2026-03-02 23:10:00")
    found = findings(status(shop, link_up=False, link_why="cable pulled"))
    late = next(finding for finding in found if finding["code"] == "settlement_late")
    assert late["level"] == "alert"
    assert "2026-03-02T23:00:00+08:00" in late["text"]
    assert "cable pulled" in late["text"]


def test_a_begun_settlement_says_its_phase_and_what_it_waits_for(shop: Shop, runner: Runner) -> None:
    runner.sells(code=None)
    runner.keeps_silent()
    runner.happen(e.SettleNow("c1", "Li"))
    while runner.state.settlement.phase is SettlementPhase.OPEN:
        runner.signs_in() if runner.state.exchange.kind == "sign_in" else runner.keeps_silent()
    view = status(shop)["settlement"]
    assert view["phase"] == "draining"
    assert view["blocked_by"][0]["code"] == "reversals"
    shop.clock.wait(RULES.settle_hold_max_s + 500)
    assert status(shop)["settlement"]["late"]


def test_clock_that_differs_postpones(shop: Shop, runner: Runner) -> None:
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.answers("00", wrapped_keys="A1" * 40, batch_number=7, host_clock="0302120000")
    view = status(shop)["settlement"]
    assert view["late"]
    assert "clock" in view["blocked_by"][0]["text"]


def test_stuck_and_conflict_are_alerts_and_say_what_to_do(shop: Shop, runner: Runner) -> None:
    of = runner.sticks()
    assert "reversals_stuck" in codes(shop)
    view = reversal_view(runner.state.reversals[of], runner.state, around(shop))
    assert view["attempts"] == 2
    assert view["why_owed"] == "the host did not answer in time"
    assert view["next_try_at"] is not None
    assert f"posd reversals resolve {of}" in view["to_do"]
    state = runner.state
    conflict = replace(state.reversals[of], status=ReversalStatus.CONFLICT, last_code="25")
    state = replace(state, reversals={of: conflict})
    view = reversal_view(conflict, state, around(shop))
    assert view["next_try_at"] is None
    assert view["meaning"] == MEANINGS["25"]
    assert next(f["code"] for f in findings(terminal_view(state, around(shop)))) == "reversals_conflict"


def test_close_out_of_balance_is_noted(shop: Shop, runner: Runner) -> None:
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.signs_in().agrees(GroupResult.UNBALANCED).answers("").answers("")
    view = status(shop)
    assert view["last_close"]["outcome"] == "out_of_balance"
    assert view["last_close"]["batch"] == 7
    assert "last_close" in codes(shop)


def alerts(runner: Runner) -> list[str]:
    return [effect.event for effect in runner.effects if isinstance(effect, Alert)]


def test_each_bad_outcome_is_alerted_under_its_own_name(runner: Runner) -> None:
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.signs_in().agrees().answers("").signs_in()
    assert alerts(runner) == []
    runner.sells()
    runner.happen(e.SettleNow("c2", "Li"))
    runner.signs_in().agrees(GroupResult.UNBALANCED).answers("").answers("").signs_in()
    assert alerts(runner) == ["settlement_out_of_balance", "batch_closed_out_of_balance"]
    runner.effects.clear()
    runner.sells()
    runner.happen(e.SettleNow("c3", "Li"))
    runner.signs_in().keeps_silent()
    runner.clock.wait(1000)
    runner.happen(e.Tick())
    runner.answers("94").keeps_silent()
    runner.happen(e.DecideSettlement("d", "Wang", "the bank paid", True))
    assert alerts(runner)[-1] == "batch_closed_unconfirmed"
    assert "settlement_unconfirmed" in alerts(runner)


def test_fenced_and_not_running_are_told(shop: Shop, runner: Runner) -> None:
    runner.sells()
    runner.fenced = "a transaction that is approved cannot become declined"
    found = findings(status(shop))
    assert [(one["code"], one["level"]) for one in found] == [("fenced", "alert")]
    shop.clock.wall = wall_ms("2026-03-03 08:00:00")
    view = status(shop, running=False)
    assert view["settlement"]["blocked_by"][0]["text"] == "posd is not running"


def test_unconfirmed_settlement_asks_for_a_person(shop: Shop, runner: Runner) -> None:
    runner.sells()
    state: State = runner.state
    state = replace(state, settlement=replace(state.settlement, phase=SettlementPhase.UNCONFIRMED))
    found = findings(terminal_view(state, around(shop)))
    assert found[0]["code"] == "settlement_unconfirmed"
    assert f"posd settle --tid {TID} --decide closed|open --by NAME --reason TEXT" == found[0]["to_do"]


def test_a_settlement_that_fails_again_and_again_asks_for_a_person(shop: Shop, runner: Runner) -> None:
    runner.sells()
    runner.happen(e.SettleNow("c1", "Li"))
    runner.signs_in()
    assert not status(shop)["settlement"]["failing"]
    for _ in range(RULES.settle_attempts_max):
        runner.answers("96")
        if "settlement_failing" in codes(shop):
            break
        shop.clock.wait(1000)
        runner.happen(e.Tick())
    found = findings(status(shop))[0]
    assert found["code"] == "settlement_failing"
    assert "96" in found["text"]
    assert "--decide closed|open" in found["to_do"]


def test_transaction_says_whether_the_terminal_has_its_approval(shop: Shop, runner: Runner) -> None:
    of = runner.sells()
    view = transaction_view(runner.state.find(of), runner.state, around(shop))
    assert view["given_to_terminal"] is False
    assert view["text"] == "approved"
    assert view["card"] == "622848******0017"
    later = runner.sells()
    assert transaction_view(runner.state.find(of), runner.state, around(shop))["given_to_terminal"] is True
    declined = runner.sells(code="51")
    view = transaction_view(runner.state.find(declined), runner.state, around(shop))
    assert view["given_to_terminal"] is None
    assert view["meaning"] == MEANINGS["51"]
    assert later != of


def test_a_transaction_is_named_in_three_ways(runner: Runner) -> None:
    of = runner.sells()
    txn = runner.state.find(of)
    assert txn.stan != txn.terminal_stan
    for name in (of, txn.facts.rrn, f"{TID}/{txn.stan}", f"{TID}/{txn.terminal_stan:06d}"):
        assert [found.request_id for found in named(runner.state, name)] == [of], name
    assert named(runner.state, f"{OTHER_TID}/1") == []
    assert named(runner.state, "1") == []


def test_an_unknown_transaction_is_left_to_the_journal(shop: Shop) -> None:
    everything = {TID: Seen(shop.lanes[TID].state, around(shop))}
    assert answer("txn.show", {"id": "nope"}, everything, {"findings": []}) == {"transaction": None}


def test_every_status_has_words() -> None:
    assert set(words.TRANSACTION) == set(TxnStatus)
    assert set(words.REVERSAL) == set(words.TO_DO) == set(ReversalStatus)
    assert set(words.PHASE) == set(SettlementPhase)
    assert set(words.OUTCOME) == set(CloseOutcome)
    assert set(words.WHY) == set(Why)
    assert set(words.DOING) == set(ExchangeKind)


@pytest.mark.parametrize(
    ("verb", "args", "text"),
    [
        ("status", {"tdi": TID}, "did you mean 'tid'?"),
        ("status", {"tid": 7}, "must be a text"),
        ("status", {"tid": "10000009"}, f"did you mean {TID}?"),
        ("txn.list", {"status": "lost"}, "one of sent, approved"),
        ("txn.list", {"batch": 0}, "1 to 999999"),
        ("txn.list", {"batch": True}, "must be a whole number"),
        ("txn.list", {"limit": -1}, "1 or more"),
        ("txn.show", {}, "give an id"),
    ],
)
def test_bad_arguments_teach(shop: Shop, verb: str, args: dict[str, object], text: str) -> None:
    everything = {TID: Seen(shop.lanes[TID].state, around(shop))}
    with pytest.raises(ConfigError) as refused:
        answer(verb, args, everything, {"findings": []})
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_list_filters_and_keeps_the_newest(shop: Shop, runner: Runner) -> None:
    for amount in (100, 200, 300):
        runner.sells(amount)
    runner.sells(400, code="51")
    everything = {TID: Seen(runner.state, around(shop)), OTHER_TID: Seen(None, around(shop))}

    def listed(**args: object) -> list[str]:
        return [txn["amount"] for txn in answer("txn.list", args, everything, {"findings": []})["transactions"]]

    assert listed() == ["1.00", "2.00", "3.00", "4.00"]
    assert listed(status="declined") == ["4.00"]
    assert listed(limit=2) == ["3.00", "4.00"]
    assert listed(batch=8) == []
    assert listed(tid=OTHER_TID) == []
    view = answer("status", {}, everything, {"findings": []})
    assert [terminal["tid"] for terminal in view["terminals"]] == [TID, OTHER_TID]
    assert view["good"]


def test_an_ambiguous_name_is_refused_with_candidates(shop: Shop, runner: Runner) -> None:
    runner.sells()
    runner.sells()
    stan = runner.state.find(request_id(1)).stan
    assert runner.state.find(request_id(2)).terminal_stan == stan
    with pytest.raises(ConfigError, match="fits 2 transactions; say which"):
        answer("txn.show", {"id": f"{TID}/{stan}"}, {TID: Seen(runner.state, around(shop))}, {"findings": []})
