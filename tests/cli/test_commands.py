"""Every command on a real journal and a real control socket: what it says, and with which status it ends."""

import json
import os
import sys
from collections.abc import Callable
from datetime import time
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from posd.core.answers import GroupResult
from posd.core.events import LinkDown, SettleNow, Tick
from posd.core.fold import settlement as fold_settlement
from posd.daemon.shown.questions import version
from tests.cli.conftest import Served
from tests.daemon.shop import OTHER_TID, TID

Posd = Callable[..., Any]


# --- status --------------------------------------------------------------------------------------------------------


def test_status_of_a_quiet_shop_is_good(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(123456)
    ran = posd("status")
    assert ran.status == 0
    assert ran.err == ""
    assert f"posd {version()}, running for 1 h 0 min; line to the host: up" in ran.out
    assert "1 (1 to settle)" in ran.out
    assert "1,234.56 (1)" in ran.out
    assert "due 2026-03-02 23:00" in ran.out
    assert "Nothing needs a person." in ran.out
    assert "\x1b" not in ran.out, "colours are for terminals"


def test_status_with_something_stuck_is_a_finding(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sticks()
    ran = posd("status", "--tid", TID)
    assert ran.status == 1
    assert f"! {TID}: 1 reversal(s) stuck" in ran.out
    assert f"do: posd reversals list --tid {TID}" in ran.out
    assert OTHER_TID not in ran.out


def test_status_in_chinese_says_the_same(posd: Posd, place: Any, served: Any, monkeypatch: Any) -> None:
    place.runner.sells(100)
    place.runner.sticks()
    place.shop.link_up, place.shop.link_why = False, "connection refused"
    by_option = posd("status", "--lang", "zh")
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    by_locale = posd("status")
    assert by_option.status == by_locale.status == 1
    assert by_option.out == by_locale.out
    assert "终端号" in by_option.out
    assert "1 笔冲正卡住：多次发送未成功" in by_option.out
    assert "主机线路断开：连接被拒绝" in by_option.out
    assert "TERMINAL" not in by_option.out


def test_status_without_a_daemon_comes_from_the_journal(posd: Posd, place: Any) -> None:
    place.runner.sells(100)
    ran = posd("status", "--json")
    said = json.loads(ran.out)
    assert ran.status == 1, "a shop without its daemon needs a person"
    assert not said["posd"]["running"]
    assert said["terminals"][0]["transactions"]["count"] == 1
    assert "no daemon answers" in ran.err
    assert ran.err.count("\n") == 1
    assert posd("status", "--lang", "zh").status == 1


def test_status_of_a_fenced_and_of_a_late_terminal(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(100)
    place.runner.happen(LinkDown("cable pulled"))
    place.shop.clock.wait(14 * 3600)
    ran = posd("status")
    assert ran.status == 1
    assert "LATE since 2026-03-02 23:00" in ran.out
    assert "应于 2026-03-02T23:00:00+08:00" in posd("status", "--lang", "zh").out
    place.runner.fenced = "a test fenced it"
    assert "fenced, nothing is done for this terminal: a test fenced it" in posd("status").out


# --- settle --------------------------------------------------------------------------------------------------------


def test_settle_shows_phases_beside_the_result(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(100)
    served.host_answers()
    ran = posd("settle", "--tid", TID)
    assert ran.status == 0
    assert (
        ran.out
        == f"terminal {TID}: batch 000007: closed, totals agreed; debit 1.00 (1), credit 0.00 (0); next batch 000008\n"
    )
    assert ran.err.splitlines() == [
        f"{TID}: signing in",
        f"{TID}: comparing the totals",
        f"{TID}: closing the batch",
    ]
    assert place.runner.asked[-1].by != ""
    again = posd("settle", "--lang", "zh")
    assert again.status == 0
    assert f"终端 {TID}：没有可结算的交易" in again.out


def test_settle_that_is_postponed_is_a_finding(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(100)
    place.runner.happen(LinkDown("cable pulled"))
    place.shop.link_up, place.shop.link_why = False, "cable pulled"
    ran = posd("settle", "--tid", TID, "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["terminals"][0]["outcome"] == "postponed"
    assert "cable pulled" in posd("settle").out


def test_settle_needs_a_daemon(posd: Posd, place: Any) -> None:
    ran = posd("settle")
    assert ran.status == 3
    assert "no posd listens" in ran.err


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--decide", "closed"], "needs --reason TEXT"),
        (["--decide", "closed", "--by", "Li"], "needs --reason TEXT"),
        (["--decide", "perhaps", "--by", "Li", "--reason", "r"], "'closed'"),
        (["--reason", "r"], "goes with --approve or --decide"),
        (["--tid", "99999999"], "no terminal"),
        (["--lang", "fr"], "en or zh"),
    ],
)
def test_settle_misused(posd: Posd, place: Any, served: Any, args: list[str], text: str) -> None:
    ran = posd("settle", *args)
    assert ran.status == 2
    assert text in ran.err
    assert ran.err.startswith("posd: ")
    assert ran.err.count("\n") == 1


def test_d7_a_person_gives_the_open_batch_another_number(posd: Posd, place: Any) -> None:
    args = ("terminal", "batch", TID, "--number", "41", "--by", "Li", "--reason", "the acquirer has 41 open")
    place.runner.sells()
    assert posd(*args).status == 3, "without a daemon nothing is changed"
    with Served(place):
        refused = posd(*args)
        assert (refused.status, "gives the batch number itself" in refused.err) == (3, True)
        limited(place, terminal_tells_batch=False)
        ran = posd(*args)
        assert (ran.status, ran.err) == (0, "")
        assert f"terminal {TID}: the open batch is 000041 from now on" in ran.out
        assert "by Li" in ran.out
        assert "000041" in posd("status").out


def test_a_decision_that_the_lane_refuses_is_a_failure(posd: Posd, place: Any, served: Any) -> None:
    ran = posd("settle", "--tid", TID, "--decide", "closed", "--by", "Li", "--reason", "the bank says so")
    assert ran.status == 3
    assert "no unconfirmed" in ran.err


@pytest.fixture
def held(place: Any) -> None:
    """A settlement above the maximum, due and held."""
    limited(place, settle_maximum_minor=1500)
    place.runner.sells(2000)
    place.shop.clock.wait(14 * 3600)
    place.runner.happen(Tick())


def limited(place: Any, **changes: Any) -> None:
    """The daemon's rules, changed."""
    engine = place.runner.lane.engine
    engine.rules = replace(engine.rules, **changes)


APPROVE = ("settle", "--approve", "--by", "Li Na", "--reason", "slips checked")


def test_a_held_settlement_is_approved_once_by_name(posd: Posd, place: Any, served: Any, held: None) -> None:
    ran = posd(*APPROVE, "--tid", TID, "--batch", "7")
    assert (ran.status, ran.out) == (0, f"terminal {TID}: approved by Li Na; the settlement begins\n")
    again = posd(*APPROVE, "--tid", TID)
    assert again.status == 3
    assert "approved already, by Li Na; nothing is sent twice" in again.err
    place.runner.signs_in()
    begun = posd(*APPROVE, "--tid", TID, "--batch", "7")
    assert "begun already (totals); nothing is sent twice" in begun.err
    place.runner.agrees().answers("").signs_in()
    closed = posd(*APPROVE, "--tid", TID, "--batch", "7")
    assert (closed.status, "batch 000007 is not the open one" in closed.err) == (3, True)
    assert len(place.rows("settlement_approved")) == 1
    assert len(place.rows("totals_asked")) == 1


def test_approve_says_what_is_held_when_the_terminal_is_not_named(
    posd: Posd, place: Any, served: Any, held: None
) -> None:
    ran = posd(*APPROVE)
    assert ran.status == 2
    assert f"say which terminal with 'tid'; held: {TID}" in ran.err
    said = json.loads(posd(*APPROVE, "--tid", TID, "--json").out)
    assert said == {"tid": TID, "text": "approved by Li Na; the settlement begins", "waits": False}


@pytest.mark.parametrize("more", [["--batch", "8"], []])
def test_nothing_is_approved_that_is_not_held(posd: Posd, place: Any, served: Any, more: list[str]) -> None:
    place.runner.sells(2000)
    ran = posd(*APPROVE, "--tid", TID, *more)
    assert ran.status == 3
    assert "nothing was approved" in ran.err
    assert place.rows("settlement_approved") == []


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--approve"], "needs --reason TEXT"),
        (["--approve", "--by", "Li"], "needs --reason TEXT"),
        (["--approve", "--by", " ", "--reason", "r"], "'by' is missing"),
        (["--up-to", "10.00"], "--up-to goes with --approve"),
        (["--approve", "--by", "Li", "--reason", "r", "--up-to", "much"], "'up_to' must be an amount"),
        (["--approve", "--decide", "open", "--by", "Li", "--reason", "r"], "give one of"),
        (["--approve", "--by", "Li", "--reason", "r", "--tid", "99999999"], "no terminal"),
        (["--batch", "7"], "goes with --approve"),
    ],
)
def test_approve_misused(posd: Posd, place: Any, served: Any, held: None, args: list[str], text: str) -> None:
    ran = posd("settle", *args)
    assert ran.status == 2
    assert text in ran.err
    assert ran.err.count("\n") == 1
    assert place.runner.state.settlement.approved_by is None


def test_a_held_settlement_asked_for_by_hand_says_who_may_end_that(posd: Posd, place: Any, served: Any) -> None:
    limited(place, settle_maximum_minor=1500)
    place.runner.sells(2000)
    ran = posd("settle", "--tid", TID)
    assert ran.status == 1
    assert "it waits for a person" in ran.out
    assert "须由专人批准" in posd("settle", "--tid", TID, "--lang", "zh").out
    assert place.rows("settlement_begun") == []


def test_status_of_held_and_deferred_settlements(posd: Posd, place: Any, served: Any, held: None) -> None:
    ran = posd("status", "--tid", TID)
    assert ran.status == 1
    assert "HELD: 20.00 above 15.00" in ran.out
    assert f"do: look at it, then: posd settle --tid {TID} --approve --by NAME --reason TEXT" in ran.out
    assert "late" not in ran.out.lower(), "it waits for a person, posd is not late"
    chinese = posd("status", "--tid", TID, "--lang", "zh")
    assert "结算待批准：20.00 超过上限 15.00" in chinese.out
    assert "posd settle --tid 10000001 --approve --by 姓名" in chinese.out
    limited(place, settle_maximum_minor=0, settle_minimum_minor=5000)
    ran = posd("status", "--tid", TID)
    assert ran.status == 0, "that less than the minimum waits is the shop's own wish"
    assert "deferred until 2026-03-03 23:00" in ran.out
    assert "20.00 is below the minimum of 50.00" in ran.out
    chinese = posd("status", "--tid", TID, "--lang", "zh")
    assert "顺延至 2026-03-03 23:00" in chinese.out
    assert "低于下限 50.00" in chinese.out


def test_d23_status_tells_that_the_hosts_day_ends_soon(posd: Posd, place: Any, served: Any) -> None:
    limited(place, host_cutover_at=time(10, 20))
    assert posd("status").status == 0, "there is nothing to settle"
    place.runner.sells(100)
    ran = posd("status", "--tid", TID)
    assert ran.status == 1
    assert "the host cuts its day over at 2026-03-02T10:20:00+08:00" in ran.out
    assert "主机将于 2026-03-02T10:20:00+08:00 日切" in posd("status", "--lang", "zh").out
    limited(place, host_cutover_at=time(12, 0))
    assert posd("status").status == 0


def test_a_close_out_of_balance_leads_to_its_report(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(100)
    place.runner.happen(SettleNow("c", "Li"))
    place.runner.signs_in().agrees(GroupResult.UNBALANCED).answers("").answers("").signs_in()
    for lang, words in (("en", "closed, but the totals did not agree"), ("zh", "已结算，但对账不平")):
        ran = posd("status", "--lang", lang)
        assert words in ran.out
        assert f"posd settle --show 7 --tid {TID}" in ran.out


def test_status_of_a_settled_terminal_says_so(posd: Posd, place: Any, served: Any) -> None:
    place.runner.sells(100)
    place.runner.happen(SettleNow("c", "Li"))
    place.runner.signs_in().agrees().answers("").signs_in()
    assert "settled; next due 2026-03-02 23:00" in posd("status", "--tid", TID).out
    assert "已结清，下次 2026-03-02 23:00" in posd("status", "--tid", TID, "--lang", "zh").out
    assert json.loads(posd("status", "--tid", TID, "--json").out)["terminals"][0]["settlement"]["standing"] == "settled"


# --- reversals -----------------------------------------------------------------------------------------------------


def test_reversals_are_listed_retried_and_resolved(posd: Posd, place: Any, served: Any) -> None:
    assert posd("reversals", "list").out == "No reversal is owed.\n"
    assert posd("reversals", "retry").out == "No reversal is owed or stuck.\n"
    of = place.runner.sticks()
    listed = posd("reversals", "list")
    assert listed.status == 1
    assert of in listed.out
    assert "the host did not answer in time" in listed.out
    assert f"posd reversals resolve {of} --by NAME --reason TEXT" in listed.out
    retried = posd("reversals", "retry", of)
    assert (retried.status, retried.out) == (0, f"terminal {TID}: 1 reversal(s) will be tried now\n")
    assert "on its way" in posd("reversals", "list").out
    on_its_way = posd("reversals", "resolve", of, "--by", "Wang", "--reason", "agreed")
    assert on_its_way.status == 3
    assert "an attempt is on its way" in on_its_way.err
    place.runner.keeps_silent()
    resolved = posd("reversals", "resolve", f"{TID}/1", "--by", "Wang", "--reason", "agreed with the bank")
    assert resolved.status == 0
    assert "resolved by Wang" in resolved.out
    assert posd("reversals", "list").status == 0
    ended = json.loads(posd("reversals", "list", "--ended", "--json").out)["reversals"]
    assert [(one["status"], one["resolved_by"]) for one in ended] == [("resolved", "Wang")]


def test_resolve_without_a_name_or_a_reason_is_misuse(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sticks()
    assert posd("reversals", "resolve", of, "--reason", "r").status == 2
    assert posd("reversals", "resolve", of, "--by", "Wang").status == 2
    assert posd("reversals", "resolve", of, "--by", " ", "--reason", "r").status == 2
    assert place.runner.asked == []


# --- transactions ---------------------------------------------------------------------------------------------------


def test_transactions_are_listed_and_shown_with_their_history(posd: Posd, place: Any, served: Any) -> None:
    of = place.runner.sells(1234)
    place.runner.sells(500, code="51")
    listed = posd("txn", "list")
    assert listed.status == 0
    assert "12.34" in listed.out
    assert "622848******0017" in listed.out
    assert json.loads(posd("txn", "list", "--status", "declined", "--json").out)["transactions"][0]["code"] == "51"
    assert posd("txn", "list", "--status", "reversed").out == "No transaction fits.\n"
    shown = posd("txn", "show", of)
    assert shown.status == 0
    assert shown.err == ""
    assert "status           approved" in shown.out
    assert "authorisation_started" in shown.out
    document = json.loads(posd("txn", "show", of, "--json").out)
    assert document["transaction"]["amount_minor"] == 1234
    assert [row["kind"] for row in document["history"]] == [
        "authorisation_started",
        "approved",
        "answer_handed_over",
    ]


def test_an_older_batch_comes_from_the_journal_beside_the_daemon(
    posd: Posd, place: Any, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_settlement, "EARLIER_MAX", 0)
    of = place.runner.sells(1111)
    for number in range(2):
        place.runner.happen(SettleNow(f"c{number}", "Li"))
        place.runner.signs_in().agrees().answers("").signs_in()
        place.runner.sells(2222)
    assert place.runner.state.find(of) is None
    assert of in posd("txn", "list", "--batch", "7").out
    ran = posd("txn", "show", of)
    assert (ran.status, ran.err) == (0, "")
    assert "11.11" in ran.out


SAID_WRONG = [
    ["reversals", "resolve", "nope", "--by", "Li", "--reason", "r"],
    ["reversals", "resolve", "nope", "--by", " ", "--reason", "r"],
    ["reversals", "retry", "nope"],
    ["reversals", "retry", "--tid", "99999999"],
    ["txn", "resolve", "nope", "--happened", "yes", "--by", "Li", "--reason", "r"],
    ["txn", "show", "nope"],
    ["txn", "list", "--status", "nope"],
    ["settle", "--approve", "--by", "Li\nNa", "--reason", "r"],
    ["settle", "--decide", "closed", "--by", "L" * 65, "--reason", "r"],
    ["settle", "--by", "6228480000000000017"],
    ["terminal", "batch", "99999999", "--number", "7", "--by", "Li", "--reason", "r"],
    ["terminal", "batch", TID, "--number", "0", "--by", "Li", "--reason", "r"],
    ["terminal", "batch", TID, "--number", "8", "--by", " ", "--reason", "r"],
    ["journal", "show", "--tid", "99999999"],
    ["journal", "export", "--tid", "99999999"],
]


@pytest.mark.parametrize("args", SAID_WRONG)
def test_misuse_is_misuse_whether_a_daemon_runs(posd: Posd, place: Any, args: list[str]) -> None:
    place.runner.sells()
    down = posd(*args)
    with Served(place):
        up = posd(*args)
    assert (down.status, up.status) == (2, 2), (down.err, up.err)
    assert place.runner.asked == []


def test_what_is_right_but_needs_a_daemon_is_a_failure(posd: Posd, place: Any) -> None:
    of = place.runner.sticks()
    for args in (["reversals", "retry", of], ["reversals", "resolve", of, "--by", "Li", "--reason", "r"], ["settle"]):
        assert posd(*args).status == 3, args


def test_a_transaction_that_nobody_knows_is_misuse(posd: Posd, place: Any, served: Any) -> None:
    for name in ("nope", f"{TID}/000099", f"{TID}/000001/000099/0200/000000"):
        ran = posd("txn", "show", name)
        assert ran.status == 2
        assert "no transaction" in ran.err


# --- the journal ----------------------------------------------------------------------------------------------------


def test_journal_rows_are_shown_and_exported_masked(posd: Posd, place: Any) -> None:
    place.runner.sells(100)
    shown = posd("journal", "show", "--tid", TID)
    assert shown.status == 0
    assert "lane_opened" in shown.out
    exported = [json.loads(line) for line in posd("journal", "export").out.splitlines()]
    assert [row["sequence"] for row in exported] == list(range(1, len(exported) + 1))
    keys = [row["payload"]["wrapped_keys"] for row in exported if row["kind"] == "signed_in"]
    assert keys == ["***", "***"], "keys are not shown, not even under the TMK"
    some = [json.loads(line) for line in posd("journal", "export", "--after", "2", "--limit", "2").out.splitlines()]
    assert [row["sequence"] for row in some] == [3, 4]
    newest = [json.loads(line) for line in posd("journal", "show", "--json", "--limit", "1").out.splitlines()]
    assert [row["sequence"] for row in newest] == [len(exported)]
    assert "A1A1" not in shown.out
    by_stan = posd("journal", "export", "--tid", TID, "--stan", "2").out.splitlines()
    assert {json.loads(row)["kind"] for row in by_stan} == {"authorisation_started", "approved"}


def test_verify_is_good_until_a_byte_is_changed(posd: Posd, place: Any) -> None:
    place.runner.sells(100)
    ran = posd("journal", "verify")
    assert ran.status == 0
    assert "intact" in ran.out
    place.store.close()
    connection = apsw.Connection(str(place.settings.state_dir / "journal" / "journal.db"))
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute(
        "UPDATE record SET payload = replace(payload, '100', '900') WHERE kind = 'authorisation_started'"
    )
    connection.close()
    ran = posd("journal", "verify")
    assert ran.status == 1
    assert "does not fit the chain" in ran.out
    document = json.loads(posd("journal", "verify", "--json").out)
    assert not document["intact"]
    assert document["findings"][0]["sequence"] is not None


def test_no_journal_and_no_configuration_are_misuse(posd: Posd, place: Any, monkeypatch: Any) -> None:
    ran = posd("journal", "show", "--config", str(place.folder / "none.yaml"))
    assert ran.status == 2
    assert ran.err.startswith("posd: ")
    place.config.write_text(place.config.read_text().replace("state_dir: state", "state_dir: elsewhere"))
    for command in (["journal", "show"], ["journal", "verify"], ["status"], ["txn", "list"], ["reversals", "list"]):
        ran = posd(*command)
        assert ran.status == 2, command
        assert "elsewhere" in ran.err


# --- the small ones -------------------------------------------------------------------------------------------------


def test_check_config_and_version_and_decode(posd: Posd, place: Any) -> None:
    assert posd("check-config", str(place.config)).status == 0
    assert posd("check-config", str(place.folder / "none.yaml")).status == 2
    assert posd("version").out == f"posd {version()}\n"
    assert posd("--version").out == posd("version").out
    assert json.loads(posd("version", "--json").out) == {"posd": version()}
    assert posd("decode", "--test-data", "zz").status == 2
    assert posd("decode", "--test-data", "0800").status == 1


def test_every_command_has_an_example_and_nothing_heavy_is_needed_for_help(posd: Posd, place: Any) -> None:
    commands = ["run", "check-config", "status", "routes", "settle", "decode", "demo", "version"]
    groups = {
        "reversals": ["list", "retry", "resolve"],
        "txn": ["list", "show", "resolve"],
        "journal": ["show", "export", "verify"],
    }
    for command in [[name] for name in commands] + [[group, name] for group in groups for name in groups[group]]:
        ran = posd(*command, "--help")
        assert ran.status == 0
        assert "Example" in ran.out
        assert f"posd {' '.join(command)}" in ran.out.split("Example", 1)[1], command


def test_d29_decode_takes_no_message_as_a_bare_argument(posd: Posd) -> None:
    """It would stay in the shell's history; `--test-data` says that there is nothing to hide."""
    assert posd("decode", "0800").status == 2
    said = posd("decode", "--test-data", "0800").err
    assert "malformed" in said


def test_misuse_never_repeats_a_card_number(posd: Posd, place: Any) -> None:
    ran = posd("decode", "6225880212345678901")
    assert ran.status == 2
    assert "6225880212345678901" not in ran.err + ran.out
    assert ran.err.count("\n") == 1


def test_a_bug_ends_in_one_line_and_status_3(place: Any, monkeypatch: Any, capsys: Any) -> None:
    from posd import __main__ as program

    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    try:
        raise KeyError("6225880212345678901")
    except KeyError:
        program._bug(*sys.exc_info())  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert ended == [3]
    assert "6225880212345678901" not in said.err
    assert said.err.startswith("posd: internal error: KeyError at ")
