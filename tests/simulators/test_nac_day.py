"""NAC over real sockets: the terminal simulator straight against the host simulator, whole days, every trouble."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posd.errors import ConfigError
from posd.yamlmarks import load_model
from simulators.host.faults import Faults, Rule
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.scenario import find, laid_over
from simulators.host.server import HostServer
from simulators.host.settings import Behaviour, HostSettings
from simulators.terminal.nac_client import NacClient
from tests.simulators import bench as unionpay
from tests.simulators.nac_bench import CARD, MID, OTHER, TID, settings, terminal

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "host-sim-nac.example.yaml"
TERMINAL = (sys.executable, "-m", "simulators.terminal", "--profile", "nac")
SALE = {"do": "sale", "amount": "12.34", "card": CARD.pan, "expiry": "3012"}
CHIP_SALE = SALE | {"entry": "051"}
OTHERS_SALE = {"do": "sale", "amount": "20.00", "card": OTHER.pan, "expiry": "3012", "entry": "012"}
UNKNOWN = ("no_answer", "line_cut")
ASKED_AT_MOST = 12

Result = dict[str, Any]


class Line:
    """A terminal on a real socket to a NAC host of these settings."""

    def __init__(self, asked: HostSettings, **files: Path | None) -> None:
        self.events: list[dict[str, object]] = []
        self.acquirer = NacAcquirer(asked, seed=3)
        self.server = HostServer(self.acquirer, Faults(asked.faults, 3), emit=self.events.append, **files)
        self.client = NacClient(terminal(), "127.0.0.1", 0, timeout_s=0.6)

    async def do(self, step: Result) -> Result:
        return await self.client.do(step)

    async def surely(self, step: Result) -> Result:
        """A request as a good terminal makes it: unknown is reversed until 00, an advice is repeated until answered."""
        result = await self.do(step)
        if result["outcome"] not in UNKNOWN:
            return result
        advice = step["do"] in ("tip", "adjust", "offline_sale", "complete")
        again = {"do": "repeat" if advice else "reverse", "stan": result["stan"]}
        for _ in range(ASKED_AT_MOST):
            answer = await self.do(again)
            if answer["code"] in ("00", "94"):
                return result | {"reversed": not advice}
        raise AssertionError("never acknowledged")

    @property
    def books(self) -> Any:
        return json.loads(json.dumps(self.acquirer.dump()))["terminals"][0]


@asynccontextmanager
async def line(asked: HostSettings, **files: Path | None) -> AsyncIterator[Line]:
    one = Line(asked, **files)
    one.client.port = await one.server.start("127.0.0.1", 0)
    try:
        yield one
    finally:
        await one.client.close()
        await one.server.close()


def play(scene: Callable[[Line], Awaitable[None]], asked: HostSettings | None = None, **files: Path | None) -> Line:
    async def run() -> Line:
        async with line(asked or settings(), **files) as one:
            await scene(one)
            return one

    return asyncio.run(run())


async def shop_day(one: Line) -> Result:
    """Every kind of transaction, then the settlement; its result."""
    assert (await one.do({"do": "logon"}))["code"] == "00"
    assert (await one.do({"do": "echo"}))["code"] == "00"
    sales = [await one.surely(step) for step in (SALE, OTHERS_SALE, SALE, OTHERS_SALE, SALE, CHIP_SALE)]
    approved = [sale for sale in sales if sale["outcome"] == "approved"]
    await one.surely({"do": "tip", "of_stan": approved[0]["stan"], "tip": "1.00"})
    await one.surely({"do": "void", "of_stan": approved[1]["stan"]})
    await one.surely({"do": "refund", "amount": "5.00", "card": CARD.pan, "expiry": "3012"})
    await one.surely(OTHERS_SALE | {"do": "offline_sale", "approval": "654321"})
    held = await one.surely(SALE | {"do": "preauth"})
    if held["outcome"] == "approved":
        await one.surely({"do": "complete", "of_stan": held["stan"], "amount": "10.00"})
    if sales[-1]["outcome"] == "approved":
        assert (await one.do({"do": "tc", "of_stan": sales[-1]["stan"]}))["code"] == "00"
    return await one.do({"do": "settle"})


def day(asked: HostSettings) -> tuple[Line, Result]:
    results: list[Result] = []

    async def scene(one: Line) -> None:
        results.append(await shop_day(one))

    return play(scene, asked), results[0]


def balance_of_books(one: Line) -> None:
    """What the cards paid is what the batches say: nothing booked twice, nothing booked and forgotten."""
    spent = sum(1_000_000 - card.balance_minor for card in one.acquirer.books.cards.values())
    groups = [batch["totals"]["all"] for batch in one.books["batches"]]
    assert spent == sum(group["debit_minor"] - group["credit_minor"] for group in groups)


def test_a_whole_day_balances(tmp_path: Path) -> None:
    books = tmp_path / "books.json"

    async def scene(one: Line) -> None:
        settled = await shop_day(one)
        assert (settled["outcome"], settled["uploads"], settled["next_batch"]) == ("balanced", 0, 8)

    one = play(scene, books=books)
    totals = one.books["batches"][0]["totals"]["all"]
    assert (totals["debit_count"], totals["credit_count"]) == (7, 1)
    assert totals["debit_minor"] == 4 * 1_234 + 100 + 2_000 + 2_000 + 1_000
    assert one.books["remarks"] == []
    written = books.read_text()
    assert json.loads(written) == json.loads(json.dumps(one.acquirer.dump()))
    assert CARD.pan not in written + json.dumps(one.events)
    balance_of_books(one)


@pytest.mark.parametrize(
    ("name", "outcome", "uploads"),
    [
        ("nac_quiet_day", "balanced", 0),
        ("nac_transfer", "closed", 8),
        ("nac_out_of_balance", "out_of_balance", 8),
        ("nac_second_95", "out_of_balance", 8),
        ("nac_lost_0510", "balanced", 0),
        ("nac_lost_0330", "closed", 8),
        ("nac_duplicates", "balanced", 0),
    ],
)
def test_a_day_under_a_scenario_ends_as_it_says(name: str, outcome: str, uploads: int) -> None:
    one, settled = day(laid_over(settings(), [find(name)]))
    assert (settled["outcome"], settled["uploads"]) == (outcome, uploads)
    assert [batch["number"] for batch in one.books["batches"]] == [7, 8], "closed exactly once"
    assert one.books["batches"][0]["state"] == "closed"
    assert one.books["remarks"] == [], "a well-behaved terminal is well-behaved under trouble too"
    acted = {str(event["do"]) for event in one.events if event["event"] == "fault"}
    assert acted == {rule.do for rule in find(name).file.faults}
    balance_of_books(one)


def test_reversals_are_refused_and_then_accepted() -> None:
    one, settled = day(laid_over(settings(), [find("nac_refuses_reversals")]))
    assert settled["outcome"] == "balanced"
    assert [event["code"] for event in one.events if event["event"] == "answered" and event["mti"] == "0410"][:3] == [
        "12",
        "25",
        "96",
    ]
    reversed_ = [row for row in one.books["batches"][0]["transactions"] if row["state"] == "reversed"]
    assert len(reversed_) >= 2
    balance_of_books(one)


def test_a_reversal_answered_00_and_not_booked_is_a_real_difference() -> None:
    one, settled = day(laid_over(settings(), [find("nac_real_difference")]))
    assert (settled["outcome"], settled["code"]) == ("out_of_balance", "77")
    (found,) = one.books["batches"][0]["settlements"][0]["differences"]
    assert (found["kind"], found["uploaded"], found["ours"]["amount"]) == ("missing", None, 2_000)


@pytest.mark.parametrize(
    ("fault", "outcome", "booked"),
    [
        (Rule(do="lose_request", mti="0200"), "no_answer", 0),
        (Rule(do="lose_answer", mti="0200"), "no_answer", 1),
        (Rule(do="delay", mti="0200", ms=2_000), "no_answer", 1),
        (Rule(do="wrong_stan", mti="0200"), "no_answer", 1),
        (Rule(do="garbage", mti="0200"), "no_answer", 1),
        (Rule(do="partial", mti="0200"), "line_cut", 1),
        (Rule(do="close", mti="0200"), "line_cut", 1),
        (Rule(do="close", mti="0200", when="before"), "line_cut", 0),
        (Rule(do="never_read", mti="0200"), "no_answer", 0),
        (Rule(do="duplicate", mti="0200"), "approved", 1),
        (Rule(do="refuse", mti="0200", code="05"), "declined", 1),
        (Rule(do="answer_code", mti="0200", code="91"), "declined", 1),
        (Rule(do="echo_storm", mti="0200", ms=50), "approved", 1),
    ],
)
def test_the_faults_of_the_line(fault: Rule, outcome: str, booked: int) -> None:
    async def scene(one: Line) -> None:
        result = await one.do(SALE)
        assert result["outcome"] == outcome
        assert len(one.books["batches"][0]["transactions"]) == booked

    play(scene, settings().model_copy(update={"faults": (fault,)}))


def test_a_late_answer_after_its_reversal() -> None:
    rule = Rule(do="answer_after_reversal", mti="0200", ms=1)

    async def scene(one: Line) -> None:
        sale = await one.do(SALE)
        assert (await one.do({"do": "reverse", "stan": sale["stan"]}))["code"] == "00"
        await asyncio.sleep(0.05)
        assert (await one.do({"do": "echo"}))["strays"] == 1

    one = play(scene, settings().model_copy(update={"faults": (rule,)}))
    balance_of_books(one)


def test_a_host_that_restarts_in_the_upload_goes_on(tmp_path: Path) -> None:
    rule = Rule(do="restart", mti="0320", nth=3, ms=50)
    asked = laid_over(settings(), [find("nac_transfer")]).model_copy(update={"faults": (rule,)})

    async def scene(one: Line) -> None:
        for _ in range(4):
            assert (await one.do(SALE))["outcome"] == "approved"
        for _ in range(ASKED_AT_MOST):
            settled = await one.do({"do": "settle"})
            if not str(settled["outcome"]).endswith(("no_line", *UNKNOWN)):
                break
            await asyncio.sleep(0.05)
        assert settled["outcome"] == "closed"

    one = play(scene, asked, state=tmp_path / "state.json")
    assert [batch["number"] for batch in one.books["batches"]] == [7, 8]


def test_any_bytes_leave_the_host_alive() -> None:
    async def scene(one: Line) -> None:
        for raw in (
            "0003600001",
            "000960000100000200FFFF",
            "001C6000010000FFFF200001000080000099000000013132333435363738",
        ):
            await one.do({"do": "raw", "hex": raw, "timeout_s": 0.1})
        assert (await one.do({"do": "echo"}))["code"] == "00"

    play(scene)


@pytest.mark.parametrize("wire", [{"pad": "0"}, {"pad": "F"}, {"pad": "right"}, {"ascii_wire": True}])
def test_every_wire(wire: dict[str, Any]) -> None:
    async def scene(one: Line) -> None:
        one.client.terminal.codec = one.acquirer.codec
        assert (await one.do(SALE))["outcome"] == "approved"
        assert (await one.do({"do": "settle"}))["outcome"] == "balanced"

    play(scene, settings(**wire))


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"do": "dance"},
        {"do": "sale"},
        {"do": "void", "of_stan": 77},
        {"do": "complete", "of_stan": "x", "amount": "1.00"},
        SALE | {"amount": "1.234"},
        SALE | {"card": "not digits"},
    ],
)
def test_a_bad_step_is_said(step: Result) -> None:
    async def scene(one: Line) -> None:
        assert (await one.do(step))["outcome"] == "bad_step"
        assert [event["event"] for event in one.events] == ["listening"]

    play(scene)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("profile: nac\nfaults: [{do: forget_keys}]", "no meaning"),
        ('profile: nac\nfaults: [{do: lose_answer, code60: "201"}]', "no meaning"),
        ("nac: {disagree: totals}", "profile: nac"),
        ("profile: unionpay", "needs tmk"),
        ("profile: nac\nnac: {disagre: totals}", "disagree"),
        ("profile: nac\nbehaviour: {unbalance: both}", "unbalance has no meaning"),
        ('profile: nac\ncards: [{pan: "4761739001010119", purse: "1.00"}]', "purse has no meaning"),
        ('profile: nac\nnac: {ascii_wire: true, mac_key: "0123456789ABCDEFFEDCBA9876543210"}', "ASCII wire"),
        ("profile: nca", "profile"),
    ],
)
def test_what_the_other_dialect_has_is_a_mistake(document: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    path.write_text(f'terminals: [{{tid: "{TID}", mid: "{MID}"}}]\n{document}\n')
    with pytest.raises(ConfigError, match=says):
        load_model(path, HostSettings)


def test_a_scenario_of_the_other_profile_is_refused() -> None:
    with pytest.raises(ConfigError, match="nac_transfer is for profile: nac, not unionpay"):
        laid_over(unionpay.settings(), [find("nac_transfer")])
    with pytest.raises(ConfigError, match="unbalanced_domestic: unbalance has no meaning"):
        laid_over(settings(), [find("unbalanced_domestic")])
    assert laid_over(settings(), [find("lost_answers")]).faults, "a scenario of the line fits both"


def test_the_shipped_example_serves_the_programs(tmp_path: Path) -> None:
    steps = [{"do": "logon"}, SALE, {"do": "settle"}]
    host = subprocess.Popen(
        [sys.executable, "-m", "simulators.host", "--config", str(EXAMPLE), "--listen", "127.0.0.1:0", "--quiet"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    try:
        assert host.stdout is not None
        port = json.loads(host.stdout.readline())["port"]
        told = subprocess.run(
            [*TERMINAL, "--connect", f"127.0.0.1:{port}", "--tid", TID, "--mid", MID],
            input="\n".join(json.dumps(step) for step in steps),
            capture_output=True,
            cwd=ROOT,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        host.terminate()
        host.wait(timeout=10)
    results = [json.loads(row) for row in told.stdout.splitlines()]
    assert [row["outcome"] for row in results] == ["approved", "approved", "balanced"]
    assert results[1]["invoice"] == "000001"
    assert host.returncode == 0


def test_d14_94_is_done_only_after_silence() -> None:
    async def scene(one: Line) -> None:
        advice = OTHERS_SALE | {"do": "offline_sale", "approval": "654321"}
        refused = await one.do(advice)
        assert (refused["code"], refused["outcome"]) == ("94", "declined")
        silent = await one.do(advice)
        assert silent["outcome"] == "no_answer"
        again = await one.do({"do": "repeat", "stan": silent["stan"]})
        assert (again["code"], again["outcome"]) == ("94", "approved")
        assert (await one.do({"do": "settle"}))["outcome"] == "balanced"

    rules = (Rule(do="refuse", mti="0220", nth=1, code="94"), Rule(do="lose_answer", mti="0220", nth=2))
    play(scene, settings(Behaviour(repeat_advice="94")).model_copy(update={"faults": rules}))
