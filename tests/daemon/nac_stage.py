"""The stage for a NAC shop: the same posd in this process, the simulated NAC host and terminals on real sockets."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posd.core.events import Command
from posd.core.state import State
from posd.security.machine import create_machine_key
from posd.values import Tid
from simulators.host.faults import Faults
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.server import HostServer
from simulators.host.settings import HostSettings
from simulators.serial_line.where import SerialAt
from simulators.terminal.nac_client import NacClient
from simulators.terminal.nac_core import NacTerminal
from tests.daemon.audit import STANDING, requests
from tests.daemon.stage import Stage, configuration, free_port, merged

TID, MID = "12345678", "000000012345678"
CARD, OTHER, EXPIRY = "4761739001010119", "5413330089010434", "3012"
MAC_KEY = "0123456789ABCDEFFEDCBA9876543210"
BALANCE_MINOR = 10_000_000


def host_settings(
    tids: Sequence[str],
    faults: Sequence[dict[str, Any]],
    nac: dict[str, Any],
    card: dict[str, Any] | None = None,
    **behaviour: Any,
) -> HostSettings:
    return HostSettings.model_validate(
        {
            "profile": "nac",
            "terminals": [{"tid": tid, "mid": MID, "batch": 1} for tid in tids],
            "cards": [
                {"pan": CARD, "balance": "100000.00", "expiry": EXPIRY, "scheme": "VIS", **(card or {})},
                {"pan": OTHER, "balance": "100000.00", "scheme": "MCC"},
            ],
            "faults": list(faults),
            "behaviour": behaviour,
            "nac": nac,
        }
    )


@dataclass
class NacStage(Stage):
    """`nac`: what the host does otherwise. `terminal_knobs`: what the terminals are made with."""

    tids: tuple[str, ...] = (TID,)
    nac: dict[str, Any] = field(default_factory=dict)
    terminal_knobs: dict[str, Any] = field(default_factory=dict)
    serial: SerialAt | None = None
    """The terminal's end of a line, where it is not on TCP."""
    commands: int = 0
    nac_clients: dict[str, NacClient] = field(default_factory=dict)

    async def open(self) -> None:
        create_machine_key(self.folder / "machine.key")
        settings = host_settings(self.tids, self.faults, self.nac, self.card, **self.behaviour)
        self.acquirer = NacAcquirer(settings, 1)  # type: ignore[assignment]
        self.host = HostServer(self.acquirer, Faults(settings.faults, 1), emit=self._hear)
        self.host_port = await self.host.start("127.0.0.1", 0)
        self.door_port = free_port()
        own = configuration(self.folder, self.host_port, self.door_port, self.tids)
        own["host"]["profile"] = "nac"
        own["terminals"] = [{"tid": tid, "mid": MID, "unsigned": "accept"} for tid in self.tids]
        patient = merged(own, {} if self.faults else {"host": {"reply_timeout_s": 3}})
        self.settings = merged(patient, self.change)

    def _hear(self, event: dict[str, Any]) -> None:
        """Rule 0; an echo of this dialect has no trace."""
        self.said.append(event)
        if event["event"] == "received":
            known = {(row.tid, row.mti, row.stan) for row in self.rig.messages("out", "host")}
            if (event.get("tid"), event["mti"], event.get("stan")) not in known:
                self.early.append(event)

    async def close(self) -> None:
        for client in self.nac_clients.values():
            await client.close()
        await super().close()

    def nac_terminal(self, tid: str = TID) -> NacClient:
        known = self.nac_clients.get(tid)
        if known is None:
            terminal = NacTerminal(tid, MID, **self.terminal_knobs)
            known = self.nac_clients[tid] = NacClient(terminal, "127.0.0.1", self.door_port, 6.0, serial=self.serial)
        return known

    async def do(self, what: str, **step: Any) -> dict[str, Any]:
        """One step of the terminal and what came of it."""
        return dict(await self.nac_terminal().do({"do": what, **step}))

    async def sale(self, amount: str = "10.00", card: str = CARD, **more: Any) -> dict[str, Any]:  # type: ignore[override]
        return await self.do("sale", amount=amount, card=card, expiry=EXPIRY, **more)

    def state(self, tid: str = TID) -> State:
        return super().state(tid)

    async def command(self, event: Callable[[str], Command]) -> bool:
        """What a person asks for; whether it was done."""
        self.commands += 1
        return (await self.daemon.lanes[Tid(TID)].command(event(f"c{self.commands}"))).ok

    async def insist(self, event: Callable[[str], Command]) -> None:
        """A command that has to wait while a message is on its way to the host."""
        while not await self.command(event):
            await asyncio.sleep(0.02)

    def batches(self) -> list[dict[str, Any]]:
        books: Any = self.acquirer.dump()
        return list(books["terminals"][0]["batches"])

    def remarks(self) -> list[str]:
        books: Any = self.acquirer.dump()
        return list(books["terminals"][0]["remarks"])

    def spent(self, card: str = CARD) -> int:
        return BALANCE_MINOR - self.acquirer.books.cards[card].balance_minor

    def not_agreed(self) -> list[str]:
        """The audit: what the host's books and the journal do not agree on. A void stands as its own entry."""
        ours = requests(self.rig.records())  # type: ignore[arg-type]
        theirs = {(TID, b["number"], one["stan"]): one for b in self.batches() for one in b["transactions"]}
        told = {(row.tid, row.batch, row.stan) for row in self.rig.records("advice_stored")}
        found = [f"{key}: the host has it, the journal does not" for key in theirs if key not in ours.keys() | told]
        found += [f"{key}: an advice that the host has not" for key in told if key not in theirs]
        for key, one in ours.items():
            entry = theirs.get(key)
            standing = entry is not None and entry["state"] in STANDING
            if (one.status == "approved") != standing and key not in told:
                found.append(f"{key} {one.kind}: {one.status} here, {entry['state'] if entry else 'unknown'} there")
        return found


def stage(folder: Path, patch: Any, **how: Any) -> NacStage:
    return NacStage(folder, patch, **how)
