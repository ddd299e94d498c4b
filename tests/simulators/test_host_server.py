"""The server on real sockets: one terminal, every fault, any bytes, the process itself."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posd.yamlmarks import load_model
from simulators.host.__main__ import main
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults, Rule
from simulators.host.server import HostServer
from simulators.host.settings import HostSettings
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.simulators.bench import DOMESTIC, MID, TID, TMK, settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "host-sim.example.yaml"
HOST = (sys.executable, "-m", "simulators.host")
TERMINAL = (sys.executable, "-m", "simulators.terminal")
SALE = {"do": "sale", "amount": "12.34", "card": DOMESTIC.pan, "expiry": "3012"}


class Line:
    """A signed-in terminal on a real socket to a server with the given fault rules."""

    def __init__(self, rules: tuple[Rule, ...], books: Path | None, state: Path | None, behaviour: Any) -> None:
        self.events: list[dict[str, object]] = []
        self.acquirer = Acquirer(settings(**behaviour), seed=3)
        faults = Faults(rules, 3)
        self.server = HostServer(self.acquirer, faults, emit=self.events.append, books=books, state=state)
        self.client = TerminalClient(Terminal(TID, MID, bytes.fromhex(TMK)), "127.0.0.1", 0, timeout_s=1.0)

    async def do(self, step: dict[str, object]) -> dict[str, object]:
        return await self.client.do(step)

    def transactions(self) -> list[dict[str, Any]]:
        dump: Any = self.acquirer.dump()
        rows: list[dict[str, Any]] = dump["terminals"][0]["batches"][0]["transactions"]
        return rows


@asynccontextmanager
async def line(
    *rules: Rule, books: Path | None = None, state: Path | None = None, **behaviour: Any
) -> AsyncIterator[Line]:
    one = Line(rules, books, state, behaviour)
    one.client.port = await one.server.start("127.0.0.1", 0)
    try:
        yield one
    finally:
        await one.client.close()
        await one.server.close()


def play(scene: Callable[[Line], Awaitable[None]], *rules: Rule, **how: Any) -> Line:
    """Play a scene with a signed-in terminal. `how`: books, state, and settings of the host's behaviour."""

    async def run() -> Line:
        async with line(*rules, **how) as one:
            assert (await one.do({"do": "sign_in"}))["outcome"] == "approved"
            await scene(one)
            return one

    return asyncio.run(run())


def test_a_day_without_faults(tmp_path: Path) -> None:
    books = tmp_path / "books.json"

    async def scene(one: Line) -> None:
        sale = await one.do(SALE)
        assert (sale["outcome"], sale["code"], sale["amount"]) == ("approved", "00", 1234)
        assert await one.do({"do": "repeat", "stan": sale["stan"]}) == sale
        assert (await one.do({"do": "void", "of_stan": sale["stan"]}))["outcome"] == "approved"
        second = await one.do(SALE)
        assert (await one.do({"do": "reverse", "stan": second["stan"]}))["code"] == "00"
        assert (await one.do({"do": "balance", "card": DOMESTIC.pan, "expiry": "3012"}))["outcome"] == "approved"
        assert (await one.do({"do": "echo"}))["code"] == "00"
        settled = await one.do({"do": "settle"})
        assert (settled["outcome"], settled["next_batch"]) == ("balanced", 9)
        assert (await one.do({"do": "sign_off"}))["code"] == "00"

    one = play(scene, books=books)
    written = books.read_text()
    assert json.loads(written) == json.loads(json.dumps(one.acquirer.dump()))
    assert DOMESTIC.pan not in written + json.dumps(one.events)
    assert one.acquirer.books.terminals[TID].remarks == []


@pytest.mark.parametrize(
    ("fault", "outcome", "booked"),
    [
        ({"do": "lose_request"}, "no_answer", 0),
        ({"do": "lose_answer"}, "no_answer", 1),
        ({"do": "delay", "ms": 1200}, "no_answer", 1),
        ({"do": "delay_request", "ms": 5000}, "no_answer", 0),
        ({"do": "wrong_stan"}, "no_answer", 1),
        ({"do": "garbage"}, "no_answer", 1),
        ({"do": "never_read"}, "no_answer", 0),
        ({"do": "wrong_mac"}, "bad_mac", 1),
        ({"do": "no_mac"}, "bad_mac", 1),
        ({"do": "partial"}, "line_cut", 1),
        ({"do": "close"}, "line_cut", 1),
        ({"do": "close", "when": "before"}, "line_cut", 0),
        ({"do": "refuse", "code": "91"}, "declined", 1),
        ({"do": "answer_code", "code": "68"}, "declined", 1),
        ({"do": "forget_keys"}, "declined", 0),
        ({"do": "move_batch", "number": 40}, "declined", 0),
        ({"do": "duplicate"}, "approved", 1),
        ({"do": "header_digit", "digit": 3}, "approved", 1),
        ({"do": "delay", "ms": 20}, "approved", 1),
    ],
)
def test_each_fault_on_a_real_line(fault: dict[str, object], outcome: str, booked: int) -> None:
    async def scene(one: Line) -> None:
        assert (await one.do(SALE))["outcome"] == outcome
        assert len(one.transactions()) == booked

    one = play(scene, Rule.model_validate({"mti": "0200", **fault}))
    assert [event["do"] for event in one.events if event["event"] == "fault"] == [fault["do"]]


def test_after_a_cut_the_terminal_connects_again_and_reverses() -> None:
    async def scene(one: Line) -> None:
        lost = await one.do(SALE)
        assert lost["outcome"] == "line_cut"
        assert (await one.do({"do": "reverse", "stan": lost["stan"]}))["code"] == "00"
        assert one.transactions()[0]["state"] == "reversed"

    play(scene, Rule(do="partial", mti="0200"))


def test_25_and_then_the_delayed_original_on_a_line() -> None:
    async def scene(one: Line) -> None:
        late = await one.do(SALE)
        assert (await one.do({"do": "reverse", "stan": late["stan"]}))["code"] == "25"
        while not one.transactions():
            await asyncio.sleep(0.02)
        assert (await one.do({"do": "reverse", "stan": late["stan"]}))["code"] == "00"

    one = play(scene, Rule(do="delay_request", mti="0200", ms=1300, times=1))
    assert "holding" in [event["event"] for event in one.events]


def test_unbalanced_settlement_with_upload_over_the_line() -> None:
    async def scene(one: Line) -> None:
        for _ in range(9):
            await one.do(SALE)
        lost = await one.do(SALE | {"amount": "0.77"})
        assert lost["outcome"] == "no_answer"
        settled = await one.do({"do": "settle"})
        assert (settled["outcome"], settled["uploads"]) == ("unbalanced", 2)

    play(scene, Rule(do="lose_answer", mti="0200", amount="*77"))


@pytest.mark.parametrize(
    "data",
    ["0000", "FFFF", "000100", "00026000", "000B6000030000603100310100", "0014" + "60" * 20, "00", "0015" + "FF" * 21],
)
def test_any_bytes_never_stop_the_server(data: str) -> None:
    async def scene(one: Line) -> None:
        await one.do({"do": "raw", "hex": data})
        await one.client.close()
        assert (await one.do(SALE))["outcome"] == "approved"

    play(scene)


def test_a_readable_mti_with_a_bad_field_gets_30() -> None:
    async def scene(one: Line) -> None:
        frame = "6000030000" + "603100310100" + "0200" + "2000000000000000" + "00000A"
        answer = await one.do({"do": "raw", "hex": f"{len(frame) // 2:04X}{frame}"})
        assert (answer["mti"], answer["code"]) == ("0210", "30")

    play(scene)


def test_the_example_configuration_loads() -> None:
    assert load_model(EXAMPLE, HostSettings).terminals[0].tid == TID


@pytest.mark.system
def test_the_process_prints_its_port_serves_and_ends_with_its_books(tmp_path: Path) -> None:
    books = tmp_path / "books.json"
    host = subprocess.Popen(
        [*HOST, "--config", str(EXAMPLE), "--listen", "127.0.0.1:0", "--books", str(books)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert host.stdout is not None
        port = json.loads(host.stdout.readline())["port"]
        steps = '{"do": "sign_in"}\n{"do": "sale", "amount": "1.00", "card": "4761730000000011", "expiry": "3012"}\n'
        terminal = subprocess.run(
            [*TERMINAL, "--connect", f"127.0.0.1:{port}", "--tid", TID, "--mid", MID, "--tmk", TMK],
            input=steps + '{"do": "settle"}\nnonsense\n',
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        host.send_signal(signal.SIGTERM)
        assert host.wait(10) == 0
    finally:
        host.kill()
        host.wait()
    results = [json.loads(row) for row in terminal.stdout.splitlines()]
    assert [row["outcome"] for row in results] == ["approved", "approved", "balanced", "bad_step"]
    assert terminal.returncode == 2
    assert json.loads(books.read_text())["terminals"][0]["batch"] == 2


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("terminals: []\n", "terminals"),
        ("terminal:\n  - {tid: '1'}\n", "terminal"),
        (EXAMPLE.read_text().replace("127.0.0.1:5000", "nowhere"), "HOST:PORT"),
        (EXAMPLE.read_text().replace("do: delay,", "do: dealy,"), "faults"),
    ],
)
def test_misconfiguration_is_status_2_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, names: str
) -> None:
    file = tmp_path / "host.yaml"
    file.write_text(text)
    assert main(["--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert names in error
    assert "Traceback" not in error
    assert TMK not in error


@pytest.mark.system
def test_a_used_port_is_status_2() -> None:
    async def scene(one: Line) -> None:
        arguments = ["--config", str(EXAMPLE), "--listen", f"127.0.0.1:{one.client.port}"]
        done = await asyncio.create_subprocess_exec(
            *HOST, *arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, error = await done.communicate()
        assert done.returncode == 2
        assert error.decode().startswith("posd-host-sim: cannot listen on 127.0.0.1:")
        assert error.decode().count("\n") == 1

    play(scene)


def test_a_host_that_ends_with_terminals_connected_says_nothing_but_that() -> None:
    """asyncio prints a traceback for a connection's task that was cancelled."""
    said: list[dict[str, Any]] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        host = HostServer(Acquirer(settings()), Faults((), 1), emit=lambda _: None)
        _, writer = await asyncio.open_connection("127.0.0.1", await host.start("127.0.0.1", 0))
        await asyncio.sleep(0.05)
        await host.close()
        await asyncio.sleep(0.05)
        writer.close()

    asyncio.run(story())
    assert said == []
