"""A whole posd in this process: a real journal in a folder, real loopback sockets, the simulated host and terminals.

`Rig` stands between posd and its journal: it notes what was durable when, can be slow, and can fail at a chosen write.
`Watch` stands in the host and notes every message that arrives there, with what was durable at that moment.
"""

import asyncio
import io
import json
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from posd.config import load
from posd.core.state import State
from posd.daemon import assemble as assembling
from posd.daemon.daemon import Daemon
from posd.daemon.log import set_up
from posd.errors import StorageFailed
from posd.journal.contract import MessageRow, RecordRow, Row
from posd.journal.opening import open_store
from posd.journal.reader import JournalReader
from posd.journal.verify import verify
from posd.security.machine import create_machine_key, load_machine_key
from posd.values import Tid
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults
from simulators.host.server import HostServer
from simulators.host.settings import HostSettings
from simulators.host.web import Web
from simulators.terminal.client import TerminalClient
from simulators.terminal.core import Terminal
from tests.daemon.audit import differences

TID, SECOND = "10000001", "10000002"
MID = "898100012345678"
TMK = "0123456789ABCDEFFEDCBA9876543210"
CARD, EXPIRY = "6225880123456789", "3012"
OTHER_CARD = "6225880000000014"
UNTIL_S = 20.0
"""The longest that a test waits for something to become true; on a slow machine a fact may take its time."""

NEVER_SAID = frozenset(
    {
        "deadline_in_the_past",
        "lane_fenced",
        "station_item_dropped",
        "fenced_item_dropped",
        "broken",
        "till_request_failed",
        "till_connection_failed",
    }
)

Story = Callable[["Stage"], Awaitable[None]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mapping by mapping."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def write_keys(folder: Path, tids: Sequence[str], tmk: str = TMK) -> None:
    if not (folder / "machine.key").exists():
        create_machine_key(folder / "machine.key")
    for tid in tids:
        path = folder / f"{tid}.tmk"
        path.touch(mode=0o600)
        path.write_text(tmk + "\n")


def configuration(folder: Path, host_port: int, door_port: int, tids: Sequence[str]) -> dict[str, Any]:
    """Settings with short limits; one terminal an item of `tids`."""
    return {
        "version": 1,
        "state_dir": str(folder / "state"),
        "control_socket": str(folder / "control.sock"),
        "machine_key_file": str(folder / "machine.key"),
        "log": {"format": "json", "level": "info"},
        "drain_timeout_s": 3,
        "host": {
            "address": f"127.0.0.1:{host_port}",
            "reply_timeout_s": 0.5,
            "connect_timeout_s": 0.5,
            "reconnect": {"first_s": 0.05, "max_s": 0.2},
        },
        "door": {"listen": f"127.0.0.1:{door_port}", "terminal_timeout_s": 4},
        "reversal": {"retry": {"first_s": 0.05, "max_s": 0.2}, "stuck_retry_s": 1},
        "settlement": {"retry": {"first_s": 0.05, "max_s": 0.2}},
        "journal": {"ballast_bytes": 65536, "free_bytes_min": 0},
        "terminals": [{"tid": tid, "mid": MID, "tmk_file": str(folder / f"{tid}.tmk")} for tid in tids],
    }


def write_configuration(folder: Path, settings: dict[str, Any]) -> Path:
    """JSON is YAML."""
    path = folder / "posd.yaml"
    path.write_text(json.dumps(settings, indent=1))
    return path


def host_settings(
    tids: Sequence[str],
    faults: Sequence[dict[str, Any]],
    card: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    **behaviour: Any,
) -> HostSettings:
    known = {"balance": "100000.00", "expiry": EXPIRY, **(card or {})}
    return HostSettings.model_validate(
        {
            "terminals": [{"tid": tid, "mid": MID, "tmk": TMK} for tid in tids],
            "cards": [{"pan": pan, **known} for pan in (CARD, OTHER_CARD)],
            "faults": list(faults),
            "behaviour": behaviour,
            "parameters": parameters or {},
        }
    )


@dataclass
class Rig:
    """A Store around the real one. `durable` holds every row whose commit has returned, in order."""

    store: Any
    slow_s: float = 0.0
    fail_at: int | None = None
    keeps: bool = False
    writes: int = 0
    durable: list[Row] = field(default_factory=list)

    def write(self, groups: Sequence[Sequence[Row]]) -> int:
        self.writes += 1
        fails = self.fail_at is not None and self.writes >= self.fail_at
        if fails and not self.keeps:
            raise StorageFailed("journal: commit: the rig's disk failed")
        time.sleep(self.slow_s)
        last = int(self.store.write(groups))
        self.durable += [row for group in groups for row in group]
        if fails:
            raise StorageFailed("journal: commit: the rig's disk failed after it wrote")
        return last

    def fail_next(self, keeps: bool = False, after: int = 0) -> None:
        """The next write but `after` fails; with `keeps` its rows are durable all the same."""
        self.fail_at, self.keeps = self.writes + 1 + after, keeps

    def records(self, kind: str | None = None) -> list[RecordRow]:
        return [row for row in self.durable if isinstance(row, RecordRow) and kind in (None, row.kind)]

    def messages(self, direction: str, peer: str, mti: str | None = None) -> list[MessageRow]:
        return [
            row
            for row in self.durable
            if isinstance(row, MessageRow) and (row.direction, row.peer) == (direction, peer) and mti in (None, row.mti)
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


@dataclass
class Stage:
    """`start` begins posd, `end` stops it as SIGTERM would; the host lives through both."""

    folder: Path
    patch: pytest.MonkeyPatch
    tids: tuple[str, ...] = (TID,)
    faults: tuple[dict[str, Any], ...] = ()
    change: dict[str, Any] = field(default_factory=dict)
    behaviour: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    """What the host's cards have beside balance and expiry."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What the host has to download."""
    slow_s: float = 0.0
    routes: int = 1
    """Ports of the one host; with several, posd has as many routes, named r0, r1 …"""
    terminals: dict[str, Any] = field(default_factory=dict)
    web: Web | None = None
    """The host answers POSTs; `change` has to say so to posd."""
    said: list[dict[str, Any]] = field(default_factory=list)
    early: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[str, TerminalClient] = field(default_factory=dict)
    log: io.StringIO = field(default_factory=io.StringIO)

    def events(self) -> set[str]:
        """The names of everything that was logged."""
        return {str(json.loads(line)["event"]) for line in self.log.getvalue().splitlines()}

    def alerts(self, event: str) -> list[dict[str, Any]]:
        """The alerts of this name, oldest first."""
        every = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [said for said in every if said["event"] == event and said.get("alert")]

    async def open(self) -> None:
        write_keys(self.folder, self.tids)
        acquirer = host_settings(self.tids, self.faults, self.card, self.parameters, **self.behaviour)
        self.acquirer = Acquirer(acquirer, 1)
        self.host = HostServer(self.acquirer, Faults(acquirer.faults, 1), emit=self._hear, web=self.web)
        more = [("127.0.0.1", 0)] * (self.routes - 1)
        self.host_port = await self.host.start("127.0.0.1", 0, *more)
        self.door_port = free_port()
        settings = configuration(self.folder, self.host_port, self.door_port, self.tids)
        if self.routes > 1:
            del settings["host"]["address"]
            settings["host"]["routes"] = [
                {"name": f"r{n}", "address": f"127.0.0.1:{port}"} for n, port in enumerate(self.host.ports)
            ]
        # where the host is honest nobody waits for it in vain, however slow the machine is
        patient = merged(settings, {} if self.faults else {"host": {"reply_timeout_s": 3}})
        self.settings = merged(patient, self.change)

    def _hear(self, event: dict[str, Any]) -> None:
        """Rule 0, seen from the host: whatever arrives was durable before."""
        self.said.append(event)
        if event["event"] == "received":
            known = {(row.tid, row.mti, row.stan) for row in self.rig.messages("out", "host")}
            if (event.get("tid"), event["mti"], event.get("stan")) not in known:
                self.early.append(event)

    async def start(self, signed_in: bool = True) -> Daemon:
        real = open_store

        def rigged(*args: Any, **kwargs: Any) -> Any:
            self.rig = Rig(real(*args, **kwargs), self.slow_s)
            return self.rig

        path = write_configuration(self.folder, self.settings)
        with self.patch.context() as patch:
            patch.setattr(assembling, "open_store", rigged)
            self.daemon = assembling.assemble(load(path), path)
        self.life = asyncio.create_task(self.daemon.live())
        await self.until(lambda: self.daemon.ready or self.life.done())
        if self.life.done():
            await self.life
        if signed_in:
            await self.until(lambda: all(self.state(tid).session.signed_in for tid in self.tids))
        return self.daemon

    async def end(self) -> None:
        self.daemon.stop()
        async with asyncio.timeout(UNTIL_S):
            await self.life

    async def close(self) -> None:
        for client in self.clients.values():
            await client.close()
        if hasattr(self, "life") and not self.life.done():
            await self.end()
        await self.host.close()

    async def until(self, true: Callable[[], object], limit_s: float = UNTIL_S) -> None:
        async with asyncio.timeout(limit_s):
            while not true():
                await asyncio.sleep(0.005)

    def hold(self) -> list[Callable[[], None]]:
        """What the faults `delay` and `delay_request` hold back waits in this list until the test calls it."""
        held: list[Callable[[], None]] = []
        self.patch.setattr(self.host, "_hold", lambda ms, arrived, go_on: held.append(go_on))
        return held

    def cut(self) -> None:
        """Every line to the host breaks."""
        for connection in self.host._connections.values():
            connection.writer.transport.abort()

    def hang_up(self) -> None:
        """The host is gone for good."""
        for port in self.host.ports:
            self.host.cut(port)

    # --- what the tests look at ----------------------------------------------------------------------------------

    def state(self, tid: str = TID) -> State:
        return self.daemon.lanes[Tid(tid)].lane.engine.state

    def terminal(self, tid: str = TID, name: str = "", tmk: str | None = TMK) -> TerminalClient:
        """The terminal of this id; with `name` another device that says it is this terminal."""
        known = self.clients.get(tid + name)
        if known is None:
            key = bytes.fromhex(tmk) if tmk is not None else None
            known = TerminalClient(
                Terminal(tid, MID, key, **self.terminals), "127.0.0.1", self.door_port, timeout_s=4.0
            )
            self.clients[tid + name] = known
        return known

    async def sale(self, amount: str, tid: str = TID, **more: Any) -> dict[str, Any]:
        step = {"do": "sale", "amount": amount, "card": CARD, "expiry": EXPIRY, **more}
        return await self.terminal(tid).do(step)

    def received(self, mti: str, tid: str = TID) -> list[dict[str, Any]]:
        return [said for said in self.said if said["event"] == "received" and (said["mti"], said["tid"]) == (mti, tid)]

    def differences(self) -> list[str]:
        """The audit: the host's books against the journal, and the chain."""
        folder = self.folder / "state" / "journal"
        chain_key = load_machine_key(self.folder / "machine.key").derive("chain")
        with JournalReader(folder) as reader:
            found = differences(self.acquirer.dump(), list(reader.records()))
        return [*found, *(str(finding) for finding in verify(folder, chain_key).findings)]


def play(stage: Stage, story: Story, limit_s: float = 60.0, may_say: frozenset[str] = frozenset()) -> None:
    """Run a story on an open stage.

    Afterwards nothing may have left before its rows were durable, no card stands in the log, and nothing was logged
    that only a bug of ours can cause, but for what the story plants (`may_say`).
    """

    async def run() -> None:
        async with asyncio.timeout(limit_s):
            await stage.open()
            try:
                await story(stage)
            finally:
                await stage.close()

    set_up("json", "info", stage.log)
    try:
        asyncio.run(run())
    finally:
        set_up()
        print(stage.log.getvalue())
    assert stage.early == []
    assert CARD not in stage.log.getvalue()
    assert stage.events().isdisjoint(NEVER_SAID - may_say)
