"""Scenarios: every shipped one loads, says what it is, and makes its trouble."""

from pathlib import Path

import pytest

from posd.errors import ConfigError
from simulators.host.__main__ import main
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults, Rule
from simulators.host.scenario import FOLDER, Scenario, ScenarioFile, find, laid_over, scenarios
from simulators.host.server import HostServer
from simulators.host.settings import Behaviour, CardSettings, HostSettings
from simulators.terminal.core import Terminal
from simulators.terminal.driver import KINDS, Plan
from simulators.terminal.load import Load, run_load
from tests.simulators import idle_clock
from tests.simulators.bench import BALANCE_MINOR, DOMESTIC, MID, TID, TMK, settings
from tests.simulators.counter import SCRIPT

NAMED = {
    "quiet_day",
    "lost_answers",
    "bad_macs",
    "flaky_line",
    "unbalanced_domestic",
    "unbalanced_foreign",
    "closes_early",
    "zero_repeat",
    "batch_jump",
    "echo_storm",
    "slow_host",
    "forgets_keys",
    "refuses_reversals",
    "denies_reversals",
    "mid_upload_restart",
    "late_answers",
}
PLAN = Plan({"sale": 6, "void": 2}, ((DOMESTIC.pan, "3012"),), timeout_s=0.08)


def test_the_promised_ones_are_there_and_every_one_loads() -> None:
    found = {one.name: one.file for one in scenarios()}
    assert found.keys() >= NAMED
    for name, file in found.items():
        assert (FOLDER / f"{name}.yaml").read_text().startswith("# "), name
        quiet = not file.faults and not file.behaviour.model_fields_set and not file.nac.model_fields_set
        assert quiet is (name in ("quiet_day", "nac_quiet_day"))
        assert (file.profile == "nac") is name.startswith("nac_")


def test_behaviour_is_laid_over_setting_by_setting_and_rules_as_a_whole() -> None:
    base = settings(close_at="totals", institution="12345678").model_copy(update={"faults": (Rule(do="garbage"),)})
    laid = laid_over(base, [find("unbalanced_foreign"), find("zero_repeat")])
    assert laid.behaviour == Behaviour(
        close_at="totals", repeat_after_close="zero", unbalance="foreign", institution="12345678"
    )
    assert [rule.do for rule in laid.faults] == ["lose_answer"]
    assert laid.terminals == base.terminals
    assert laid_over(base, [find("quiet_day")]).faults == ()
    assert laid_over(base, []) == base


def test_several_rules_stand_one_after_the_other() -> None:
    both = laid_over(settings(), [find("refuses_reversals"), find("forgets_keys")])
    assert [rule.do for rule in both.faults] == ["lose_answer", "refuse", "forget_keys", "forget_keys"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("quite_day", "did you mean 'quiet_day'"),
        ("xyz", "--list-scenarios"),
        ("../../config/host-sim.example", "no such file"),
        ("none.yaml", "none.yaml: no such file"),
        ("\x1b[2J", r"there is no '\\x1b\[2J'"),
    ],
)
def test_an_unknown_name_is_explained(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find(name)


def test_one_of_yours_by_its_path_and_its_mistakes_by_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("about: mine\nabout_zh: 我的\nfaults:\n  - {do: garbage}\n")
    assert find(str(mine)).file.faults == (Rule(do="garbage"),)
    mine.write_text("about: mine\nabout_zh: 我的\nfaults:\n  - {do: explode}\n")
    with pytest.raises(ConfigError, match=r"mine.yaml:4:6: faults\[0\]"):
        find(str(mine))


def test_the_list_and_an_unknown_name_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--list-scenarios"]) == 0
    listed = capsys.readouterr().out
    assert "quiet_day" in listed
    assert "批上送" in listed
    config = tmp_path / "host.yaml"
    config.write_text(f'terminals: [{{tid: "{TID}", mid: "{MID}", tmk: "{TMK}"}}]\n')
    assert main(["--config", str(config), "--scenario", "lost_answer"]) == 2
    assert capsys.readouterr().err == "--scenario: there is no 'lost_answer'; did you mean 'lost_answers'?\n"


def day(
    scenario: Scenario, base: HostSettings | None = None, plan: Plan = PLAN, count: int = 40
) -> tuple[HostServer, list[dict[str, object]], dict[str, object]]:
    """Some steps of a well-behaved, impatient terminal under a scenario."""
    settled: HostSettings = laid_over(base or settings(), [scenario])
    acquirer, events = Acquirer(settled, 3), list[dict[str, object]]()
    server = HostServer(acquirer, Faults(settled.faults, 3), emit=events.append)

    async def run() -> dict[str, object]:
        port = await server.start("127.0.0.1", 0)
        terminal = Terminal(TID, MID, bytes.fromhex(TMK), 8)
        report = await run_load(Load("127.0.0.1", port, (terminal,), plan, seconds=20, count=count, seed=2))
        await server.close()
        return report

    return server, events, idle_clock.run(run())


@pytest.mark.parametrize(
    "name",
    [
        "quiet_day",
        "lost_answers",
        "late_answers",
        "bad_macs",
        "flaky_line",
        "forgets_keys",
        "refuses_reversals",
        "denies_reversals",
        "unclear_codes",
        "partial_approvals",
        "echo_storm",
    ],
)
def test_a_day_under_it_shows_its_trouble(name: str) -> None:
    scenario = find(name)
    server, events, report = day(scenario)
    acted = {str(event["do"]) for event in events if event["event"] == "fault"}
    wanted = {rule.do for rule in scenario.file.faults if rule.mti == "0200" and rule.probability is None}
    assert acted >= wanted
    remarks = server.acquirer.books.terminals[TID].remarks
    assert remarks == [], "a well-behaved terminal is well-behaved under trouble too"
    assert report["transactions"]


MATRIX_PLAN = Plan(
    {name: 1 for name in KINDS if name not in ("echo", "balance")},
    ((DOMESTIC.pan, "3012"),),
    timeout_s=0.08,
)


EXPECTED_DIFFERENCES = {"refused_advices": {"declined", "missing"}, "unknown_94": {"declined"}}
"""Missing: what a declined adjustment names counts at the host still, and at the terminal no more."""


@pytest.mark.parametrize(
    "name",
    ["refused_advices", "silent_advices", "unknown_94", "lost_scripts", "talkative_issuer", "unbalanced_both"],
)
def test_a_day_of_the_whole_matrix_under_it(name: str) -> None:
    scripted = CardSettings(pan=DOMESTIC.pan, balance=BALANCE_MINOR, issuer_auth=True, scripts=(SCRIPT,))
    base = settings().model_copy(update={"cards": (scripted,)})
    server, events, report = day(find(name), base, MATRIX_PLAN, 200)
    books = server.acquirer.books.terminals[TID]
    acted = {str(event["do"]) for event in events if event["event"] == "fault"}
    assert acted >= {rule.do for rule in find(name).file.faults}
    assert books.conformance == []
    done = [one for batch in books.batches for one in batch.settlements]
    assert done
    for one in done:
        assert (one.end_count_agrees, one.chip_missing) == (True, [])
        kinds = {found.kind for found in one.differences.values()}
        assert kinds <= EXPECTED_DIFFERENCES.get(name, set())
    balanced = all(one.balanced for one in done)
    assert balanced is (name in ("silent_advices", "lost_scripts", "talkative_issuer"))
    assert report["reversals_given_up"] == 0


def test_a_scenario_file_has_one_line_about_itself() -> None:
    with pytest.raises(ValueError, match="one line"):
        ScenarioFile(about="a\nb", about_zh="c")
