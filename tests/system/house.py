"""Real processes in a folder: `posd run`, the host simulator, and systemd's ear; the terminals are in the test."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from posd.journal.verify import verify
from posd.security.machine import load_machine_key
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.daemon.audit import differences
from tests.daemon.stage import MID, TMK, configuration, free_port, merged, write_configuration, write_keys

CANARY = "6225887000000000017"
"""The card of every sale; 19 digits that nothing else could write by chance."""

EXPIRY = "3012"
ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0


@dataclass
class House:
    """`folder` is posd's; the host's own files, which hold card numbers, lie in `outside`."""

    folder: Path
    outside: Path
    tids: tuple[str, ...]
    faults: tuple[dict[str, Any], ...] = ()
    change: dict[str, Any] = field(default_factory=dict)
    host_arguments: tuple[str, ...] = ()
    world: dict[str, str] = field(default_factory=dict)
    """Of posd's environment, from its next start."""
    scheme: str = ""
    """Of the host's address: "https"; then the host needs the arguments for it."""
    posd: subprocess.Popen[bytes] | None = None
    host: subprocess.Popen[bytes] | None = None
    notices: list[str] = field(default_factory=list)

    @property
    def keys(self) -> Path:
        """Where the clear keys lie: beside everything else, unless a test wants to search that."""
        return self.folder

    def open(self) -> None:
        write_keys(self.keys, self.tids)
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(str(self.folder / "notify"))
        self.door_port = free_port()
        self._start_host()
        self.settings = merged(configuration(self.folder, self.host_port, self.door_port, self.tids), self.change)
        self.settings["machine_key_file"] = str(self.keys / "machine.key")
        for terminal in self.settings["terminals"]:
            terminal["tmk_file"] = str(self.keys / f"{terminal['tid']}.tmk")
        if self.scheme:
            self.settings["host"]["address"] = f"{self.scheme}://localhost:{self.host_port}/webtrans"
        self.config = write_configuration(self.folder, self.settings)

    def host_settings(self) -> dict[str, Any]:
        """What the host simulator is told."""
        return {
            "terminals": [{"tid": tid, "mid": MID, "tmk": TMK} for tid in self.tids],
            "cards": [{"pan": CANARY, "balance": "9000000.00", "expiry": EXPIRY}],
            "faults": list(self.faults),
        }

    def _start_host(self) -> None:
        path = self.outside / "host.yaml"
        path.write_text(json.dumps(self.host_settings()))
        command = ["simulators.host", "--config", str(path), "--listen", "127.0.0.1:0", "--quiet", *self.host_arguments]
        self.host = subprocess.Popen(
            [sys.executable, "-m", *command, "--books", str(self.outside / "books.json")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self.host.stdout is not None
        self.host_port = json.loads(self.host.stdout.readline())["port"]

    def close(self) -> None:
        for process in (self.posd, self.host):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        if self.host is not None and self.host.stdout is not None:
            self.host.stdout.close()
        self.ear.close()

    # --- posd ----------------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        notify = {"NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "400000"}
        return {**os.environ, **notify, "PYTHONPATH": str(ROOT), **self.world}

    def start(
        self, *, python: tuple[str, ...] = (), before: Callable[[], None] | None = None, log: int | None = None
    ) -> None:
        """`posd run`, its log and its errors appended to files."""
        with (self.folder / "log").open("ab") as lines, (self.folder / "errors").open("ab") as errors:
            self.posd = subprocess.Popen(
                [sys.executable, *python, "-m", "posd", "run", "--config", str(self.config)],
                cwd=self.folder,
                env=self.environment(),
                stdout=lines if log is None else log,
                stderr=errors,
                preexec_fn=before,
            )

    def refused(self, *, before: Callable[[], None] | None = None) -> tuple[int, str]:
        """A posd that must not start: its status and what it said on standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "posd", "run", "--config", str(self.config)],
            cwd=self.folder,
            env={**self.environment(), "NOTIFY_SOCKET": ""},
            capture_output=True,
            timeout=READY_S,
            preexec_fn=before,
            check=False,
        )
        return done.returncode, done.stderr.decode()

    async def ready(self) -> None:
        """Until the newest posd says READY."""
        self.ear.setblocking(False)
        async with asyncio.timeout(READY_S):
            while "READY=1" not in self._listen():
                assert self.posd is not None
                assert self.posd.poll() is None, f"posd ended with {self.posd.returncode}: {self.errors()}"
                await asyncio.sleep(0.01)

    def _listen(self) -> list[str]:
        new = []
        try:
            while True:
                new += self.ear.recv(4096).decode().splitlines()
        except BlockingIOError:
            self.notices += new
            return new

    def kill(self) -> None:
        """kill -9, and whatever it still said is not believed."""
        assert self.posd is not None
        self.posd.kill()
        self.posd.wait()
        self._listen()

    async def ended(self, limit_s: float = 15.0) -> int:
        """The status with which posd ends by itself."""
        assert self.posd is not None
        async with asyncio.timeout(limit_s):
            while self.posd.poll() is None:
                self._listen()
                await asyncio.sleep(0.02)
        return int(self.posd.returncode)

    async def terminated(self) -> int:
        assert self.posd is not None
        self.posd.send_signal(signal.SIGTERM)
        return await self.ended()

    def errors(self) -> str:
        return (self.folder / "errors").read_text()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]

    def memory_kib(self, name: str = "VmRSS") -> int:
        assert self.posd is not None
        lines = Path(f"/proc/{self.posd.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    # --- the auditor ---------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        return dict(json.loads((self.outside / "books.json").read_text()))

    def records(self) -> list[RecordView]:
        with JournalReader(self.folder / "state" / "journal") as reader:
            return list(reader.records())

    def differences(self) -> list[str]:
        return differences(self.books(), self.records())

    async def agreed(self, limit_s: float = 60.0) -> None:
        """Until the host's books and the journal tell the same story."""
        async with asyncio.timeout(limit_s):
            while self.differences():
                await asyncio.sleep(0.2)

    async def settled(self, limit_s: float = 30.0) -> None:
        """Until a batch is closed."""
        async with asyncio.timeout(limit_s):
            while "batch_closed" not in [row.kind for row in self.records()]:
                await asyncio.sleep(0.1)

    def chain_findings(self) -> list[str]:
        chain_key = load_machine_key(self.keys / "machine.key").derive("chain")
        return [str(finding) for finding in verify(self.folder / "state" / "journal", chain_key).findings]

    def canary_in(self) -> list[str]:
        """Every file of posd's in which the card number stands, as text or packed."""
        packed = bytes.fromhex(CANARY + "0"), bytes.fromhex("0" + CANARY)
        shapes = (CANARY.encode(), CANARY.encode("utf-16-le"), CANARY[:-1].encode(), *packed)
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert any(path.name.startswith("journal") for path in files)
        return [str(path) for path in files if any(shape in path.read_bytes() for shape in shapes)]


@dataclass
class Shopper:
    """A terminal that sells, voids, and takes back by its own 0400 whatever it got no answer to.

    `settles`: how often, of all that it does, it asks for a settlement.
    """

    house: House
    tid: str
    seed: int
    approved: set[int] = field(default_factory=set)
    settles: float = 0.0
    asked: int = 0
    stop: bool = False

    def __post_init__(self) -> None:
        terminal = Terminal(self.tid, MID, bytes.fromhex(TMK))
        self.client = TerminalClient(terminal, "127.0.0.1", self.house.door_port, timeout_s=3.0)
        self.chance = random.Random(self.seed)

    async def shop(self) -> None:
        while not self.stop:
            result = await self.client.do(self._step())
            self.asked += 1
            if result["do"] not in ("sale", "void"):
                continue
            if result["outcome"] in ("no_answer", "line_cut", "bad_mac"):
                await self._take_back(int(str(result["stan"])))
            elif result["outcome"] == "approved":
                self.approved.add(int(str(result["stan"])))
            elif result["outcome"] == "no_line":
                await asyncio.sleep(0.05)
        await self.client.close()

    def _step(self) -> dict[str, Any]:
        if self.chance.random() < self.settles:
            return {"do": "settle"}
        log = self.client.terminal.log
        sales = [stan for stan in self.approved if stan in log and not log[stan].credit]
        if sales and self.chance.random() < 0.15:
            return {"do": "void", "of_stan": self.chance.choice(sorted(sales))}
        cents = self.chance.randrange(1, 100_000)
        return {"do": "sale", "amount": f"{cents // 100}.{cents % 100:02d}", "card": CANARY, "expiry": EXPIRY}

    async def _take_back(self, stan: int) -> None:
        """Until somebody says that it is done; 25 and 12 count as that to a terminal (reference 1.10)."""
        while True:
            result = await self.client.do({"do": "reverse", "stan": stan})
            if result["code"] in ("00", "12", "25"):
                return
            await asyncio.sleep(0.05)

    def approved_in(self, records: list[RecordView]) -> set[int]:
        """The requests of this terminal that stand approved in the journal, by the terminal's own STAN."""
        mine: dict[str, str] = {}
        for row in records:
            if row.tid == self.tid and row.request_id and row.kind in ("approved", "reversal_owed"):
                mine[row.request_id] = row.kind
        return {
            int(name.split("/")[2]) for name, kind in mine.items() if kind == "approved" and not name.endswith("310000")
        }


def moments(seed: int, kills: int, longest_s: float) -> Iterator[float]:
    chance = random.Random(seed)
    for _ in range(kills):
        yield chance.random() ** 2 * longest_s
