"""The load generator: counts that are true, bounds that hold, a terminal that behaves under trouble."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from posd.yamlmarks import load_model
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults, Rule
from simulators.host.server import HostServer
from simulators.host.settings import HostSettings
from simulators.terminal.driver import KINDS, Plan
from simulators.terminal.load import (
    TEST_TMK,
    Load,
    _parser,
    cards_of,
    host_configuration,
    main,
    mix_of,
    run_load,
    terminals_of,
)
from simulators.terminal.tally import Tally, as_table, latencies

CARDS = cards_of([])


def drive(
    tmp_path: Path, *rules: Rule, terminals: int = 4, count: int = 60, mix: str = "sale=6,void=2,balance=1", **how: Any
) -> tuple[dict[str, Any], Any, list[dict[str, object]]]:
    """A run against a host of its own; the report, the host's books, its events."""
    options = _parser().parse_args(["--terminals", str(terminals), "--tmk", TEST_TMK, "--stan", "1"])
    knows = tmp_path / "host.yaml"
    knows.write_text(host_configuration(terminals_of(options), CARDS, TEST_TMK))
    settings = load_model(knows, HostSettings)
    acquirer, events = Acquirer(settings, 1), list[dict[str, object]]()

    async def run() -> dict[str, Any]:
        server = HostServer(acquirer, Faults(rules, 1), emit=events.append)
        port = await server.start("127.0.0.1", 0)
        plan = Plan(mix_of(mix), CARDS, how.pop("timeout_s", 2.0), "1122")
        load = Load("127.0.0.1", port, terminals_of(options), plan, how.pop("seconds", 10.0), count, **how)
        report: dict[str, Any] = await run_load(load)
        await server.close()
        return report

    report = asyncio.run(run())
    return report, json.loads(json.dumps(acquirer.dump())), events


def booked(books: Any) -> list[Any]:
    return [row for one in books["terminals"] for batch in one["batches"] for row in batch["transactions"]]


def test_what_is_reported_is_what_the_host_booked(tmp_path: Path) -> None:
    report, books, _ = drive(tmp_path)
    rows = booked(books)
    assert report["transactions"] == len(rows) == 60 - 4
    assert report["codes"] == {"00": 60}
    assert report["kinds"]["sign_in"]["count"] == 4
    assert report["kinds"]["sale"]["count"] == sum(row["kind"] == "sale" for row in rows)
    assert report["kinds"]["void"]["count"] == sum(row["kind"] == "sale_void" for row in rows) > 0
    assert 0 < report["p50_ms"] <= report["p99_ms"] <= report["max_ms"]
    assert [one["remarks"] for one in books["terminals"]] == [[]] * 4
    assert "sale" in as_table(report)


def test_every_kind_of_the_mix(tmp_path: Path) -> None:
    report, books, _ = drive(tmp_path, mix="sale=4,void=1,balance=1,refund=2,echo=1,settle=1", count=150)
    assert report["kinds"].keys() == {"sign_in", "sale", "void", "balance", "refund", "echo", "settle"}
    assert report["codes"] == {"00": 150}
    closed = [batch for one in books["terminals"] for batch in one["batches"] if batch["state"] == "closed"]
    assert len(closed) == report["kinds"]["settle"]["outcomes"]["balanced"] > 0
    assert [one["remarks"] for one in books["terminals"]] == [[]] * 4


def test_the_whole_matrix_under_load_with_lost_answers(tmp_path: Path) -> None:
    names = [one for one in KINDS if one not in ("echo", "balance")]
    mix = ",".join(f"{name}={2 if name in ('sale', 'preauth') else 1}" for name in names)
    rules = tuple(Rule(do="lose_answer", type60=code, times=2) for code in ("24", "30", "34", "10", "20"))
    report, books, _ = drive(tmp_path, *rules, mix=mix, count=260, timeout_s=1.0)
    assert report["kinds"].keys() >= set(names) - {"chip_sale"} | {"reverse", "repeat"}
    kinds = {row["kind"] for row in booked(books)}
    assert kinds >= {"preauth", "completion", "completion_void", "completion_notice", "adjust", "tip", "ec_sale"}
    for one in books["terminals"]:
        assert one["conformance"] == []
        for batch in one["batches"]:
            for done in batch["settlements"]:
                assert (done["balanced"], done["chip_missing"], done["chip_odd"]) == (True, [], [])
    assert report["reversals_given_up"] == 0


def test_lost_answers_are_reversed_and_forgotten_keys_signed_in_to(tmp_path: Path) -> None:
    rules = (Rule(do="lose_answer", mti="0200", every=9), Rule(do="forget_keys", mti="0200", every=11))
    report, books, events = drive(tmp_path, *rules, timeout_s=1.0)
    lost = sum(event["event"] == "fault" and event["do"] == "lose_answer" for event in events)
    assert lost > 0
    assert (
        report["kinds"]["sale"]["outcomes"]["no_answer"]
        + report["kinds"]["void"]["outcomes"].get("no_answer", 0)
        + report["kinds"]["balance"]["outcomes"].get("no_answer", 0)
        == lost
    )
    reversed_rows = [row for row in booked(books) if row["state"] == "reversed"]
    assert len(reversed_rows) == report["kinds"]["reverse"]["outcomes"]["approved"] > 0
    assert report["kinds"]["sign_in"]["count"] > 4
    assert report["reversals_given_up"] == 0


def test_a_host_that_refuses_reversals_does_not_hold_the_run_up(tmp_path: Path) -> None:
    rules = (Rule(do="lose_answer", mti="0200", times=1), Rule(do="refuse", mti="0400", code="96"))
    report, _, _ = drive(tmp_path, *rules, timeout_s=1.0, terminals=1, count=10, mix="sale=1")
    assert report["reversals_given_up"] == 1
    assert report["kinds"]["reverse"]["count"] == 3


def test_time_and_rate_bound_a_run(tmp_path: Path) -> None:
    report, _, _ = drive(tmp_path, seconds=0.4, rate=100.0, count=10_000)
    assert 0.3 < report["seconds"] < 3
    assert 10 <= report["transactions"] <= 45


def test_nobody_there_ends_at_once_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert main(["--connect", "127.0.0.1:9", "--terminals", "3", "--seconds", "30"]) == 1
    assert time.monotonic() - began < 5
    said = capsys.readouterr()
    assert "no_line 9" in said.out
    assert "is anybody listening on 127.0.0.1:9" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--connect"),
        (["--connect", "nowhere"], "HOST:PORT"),
        (["--connect", "a:1", "--terminals", "0"], "--terminals: from 1 to 1000"),
        (["--connect", "a:1", "--seconds", "nan"], "--seconds"),
        (["--connect", "a:1", "--count", "0"], "--count"),
        (["--connect", "a:1", "--rate", "0"], "--rate"),
        (["--connect", "a:1", "--mix", "sale"], "--mix"),
        (["--connect", "a:1", "--mix", "sale=0"], "every weight is 0"),
        (["--connect", "a:1", "--mix", "sale=1,sale=2"], "each once"),
        (["--connect", "a:1", "--mix", "dance=1"], "kinds are sale, void"),
        (["--connect", "a:1", "--tid-from", "99999999", "--terminals", "2"], "--tid-from"),
        (["--connect", "a:1", "--mid", "1"], "--mid"),
        (["--connect", "a:1", "--tmk", "xyz"], "--tmk"),
        (["--connect", "a:1", "--stan", "1000000"], "--stan"),
        (["--connect", "a:1", "--card", "622588000000000X:3012"], "--card: PAN:EXPIRY"),
    ],
)
def test_misuse_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert "622588" not in error


def test_the_printed_configuration_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-config", "--terminals", "3", "--tid-from", "20000009"]) == 0
    file = tmp_path / "host.yaml"
    file.write_text(capsys.readouterr().out)
    assert [one.tid for one in load_model(file, HostSettings).terminals] == ["20000009", "20000010", "20000011"]


def test_percentiles_are_nearest_rank() -> None:
    times = [n / 1000 for n in range(1, 201)]
    assert latencies(times) == {"p50_ms": 100.0, "p99_ms": 198.0, "max_ms": 200.0}
    assert latencies([0.007]) == {"p50_ms": 7.0, "p99_ms": 7.0, "max_ms": 7.0}
    assert latencies([]) == {"p50_ms": None, "p99_ms": None, "max_ms": None}


def test_only_answers_have_a_latency() -> None:
    tally = Tally()
    tally.note("sale", {"outcome": "no_answer", "code": None}, 30.0)
    tally.note("sale", {"outcome": "approved", "code": "00", "strays": 3}, 0.5)
    report: Any = tally.report(1, 2.0)
    assert (report["transactions"], report["per_second"], report["max_ms"], report["strays"]) == (1, 0.5, 500.0, 3)
    assert report["kinds"]["sale"]["count"] == 2
    assert "strays  3" in as_table(report)
