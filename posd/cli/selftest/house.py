"""A posd, an acquirer and a terminal in this process, in a temporary folder and on loopback sockets, for a rehearsal.

posd is the real one: its lanes, its journal on a disk, its vault, its line and its door. What is of the shop's own
configuration is the dialect (profile, knobs, TPDU, header, keys and MAC) and its rules; what is not are folders, keys,
addresses and limits: those of the real machine are never opened.
"""

import asyncio
import io
import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from posd.addresses import Address, parse_host
from posd.config.dialect import NO_MAC
from posd.core.state import State
from posd.daemon.assemble import assemble
from posd.daemon.daemon import Daemon
from posd.daemon.log import set_up
from posd.dialects import UNIONPAY
from posd.errors import PosdError
from posd.journal.reader import JournalReader
from posd.journal.verify import verify
from posd.security.machine import create_machine_key, load_machine_key
from posd.settings import (
    AdviceRetry,
    HostSettings,
    KeySettings,
    LogSettings,
    ReconnectSettings,
    ReversalRetry,
    Settings,
    SettlementRetry,
    TerminalSettlement,
    TillSettings,
    TlsSettings,
)
from posd.values import Tid
from simulators.host.dialects import AnyAcquirer
from simulators.host.faults import Faults
from simulators.host.server import HostServer

LOOPBACK = "127.0.0.1"
TMK_BYTES = 16
REPLY_TIMEOUT_S, CONNECT_TIMEOUT_S, TERMINAL_TIMEOUT_S = 3.0, 3.0, 15.0
"""One answer is lost in a day, so the first of these is waited for once."""
PATIENCE_S = 60.0
"""For anything to become true; it takes so long only where something is wrong."""

BALLAST_BYTES = 1 << 20
FOLDER_BYTES_MAX = 90


class Stuck(PosdError):
    """Something did not become true in time; says what."""


@dataclass
class House:
    """`tmk`: made for this rehearsal, of the first terminal of `settings`. `log`: what posd said, JSON lines."""

    settings: Settings
    folder: Path
    tmk: bytes = field(default_factory=lambda: secrets.token_bytes(TMK_BYTES))
    log: io.StringIO = field(default_factory=io.StringIO)
    door_port: int = 0
    daemon: Daemon | None = None

    @property
    def tid(self) -> Tid:
        return Tid(self.settings.terminals[0].tid)

    @property
    def state(self) -> State:
        """What the terminal's lane has adopted."""
        assert self.daemon is not None
        return self.daemon.lanes[self.tid].lane.engine.state

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "journal"

    @property
    def in_service(self) -> bool:
        """Whether the terminal can trade: signed in, where its host wants that."""
        assert self.daemon is not None
        engine = self.daemon.lanes[self.tid].lane.engine
        return engine.state.session.signed_in or not engine.rules.sign_in_needed

    async def until(self, what: str, true: Callable[[], object]) -> None:
        """Raises Stuck."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not true():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Stuck(f"{what}: not within {PATIENCE_S:g} s") from None

    def alerts(self) -> list[str]:
        """The names of what posd alerted, in order."""
        return [line["event"] for line in self.lines() if line.get("alert")]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def damage(self) -> list[str]:
        """What is wrong with the journal's chain."""
        chain_key = load_machine_key(self.folder / "machine.key").derive("chain")
        return [str(finding) for finding in verify(self.journal, chain_key).findings]

    def records(self) -> list[tuple[str, str | None, dict[str, Any]]]:
        """Kind, request id and facts of each record of the terminal."""
        with JournalReader(self.journal) as reader:
            return [(row.kind, row.request_id, json.loads(row.payload)) for row in reader.records(tid=self.tid)]


@asynccontextmanager
async def opened(house: House, acquirer: AnyAcquirer) -> AsyncIterator[None]:
    """The acquirer and posd live; both end with it."""
    heard: list[object] = []
    host = HostServer(acquirer, Faults(acquirer.settings.faults, 1), emit=heard.append)
    host_port = await host.start(LOOPBACK, 0)
    try:
        house.door_port = _free_port()
        _write_keys(house)
        set_up("json", "info", house.log)
        house.daemon = assemble(rehearsed(house, host_port))
        life = asyncio.create_task(house.daemon.live())
        try:
            await asyncio.sleep(0)  # it has begun, and taken the signals
            _end_on_signals()
            await house.until("posd starts", lambda: house.daemon and (house.daemon.ready or life.done()))
            yield
        finally:
            house.daemon.stop()
            await asyncio.wait_for(life, PATIENCE_S)
    finally:
        await host.close()


def _end_on_signals() -> None:
    """A rehearsal that is interrupted leaves nothing behind; without this its daemon alone would stop."""
    loop, day = asyncio.get_running_loop(), asyncio.current_task()
    assert day is not None
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, day.cancel)


def rehearsed(house: House, host_port: int) -> Settings:
    """The shop's settings with other folders, keys, addresses and limits; the first of its terminals."""
    given, folder = house.settings, house.folder
    terminal = given.terminals[0].model_copy(
        update={
            "tmk_file": folder / "terminal.tmk" if _has_key(given) else None,
            "tmk_index": 0,
            "settlement": TerminalSettlement(zone=zone_of(given)),
        }
    )
    quick = {"first_s": 0.2, "max_s": 1.0}
    return given.model_copy(
        update={
            "state_dir": folder / "state",
            "control_socket": folder / "c",
            "machine_key_file": folder / "machine.key",
            "log": LogSettings(),
            "host": _host(given.host, host_port),
            "door": given.door.model_copy(
                update={"listen": (Address(LOOPBACK, house.door_port),), "terminal_timeout_s": TERMINAL_TIMEOUT_S}
            ),
            "till": TillSettings(),
            "keys": KeySettings(),
            "reversal": given.reversal.model_copy(update={"retry": ReversalRetry(**quick)}),
            "advice": given.advice.model_copy(update={"retry": AdviceRetry(**quick)}),
            "settlement": given.settlement.model_copy(
                update={
                    "at": (_far_from_now(zone_of(given)),),
                    "retry": SettlementRetry(**quick),
                    "minimum": 0,
                    "maximum": 0,
                    "host_cutover_at": None,
                }
            ),
            "journal": given.journal.model_copy(update={"free_bytes_min": 0, "ballast_bytes": BALLAST_BYTES}),
            "terminals": (terminal,),
        }
    )


def _has_key(given: Settings) -> bool:
    """A NAC terminal has one for its MAC, if there is a MAC at all."""
    return given.host.profile == UNIONPAY or given.host.mac_algorithm != NO_MAC


def zone_of(settings: Settings) -> str:
    """Of the first terminal."""
    return settings.schedule_of(settings.terminals[0]).zone


def _host(given: HostSettings, port: int) -> HostSettings:
    return given.model_copy(
        update={
            "address": parse_host(f"{LOOPBACK}:{port}"),
            "routes": (),
            "tls": TlsSettings(),
            "mode": "persistent",
            "reply_timeout_s": REPLY_TIMEOUT_S,
            "connect_timeout_s": CONNECT_TIMEOUT_S,
            "reconnect": ReconnectSettings(first_s=0.2, max_s=1.0),
            "echo_interval_s": 0.0,
            "idle_limit_s": 0.0,
        }
    )


def _far_from_now(zone: str) -> Any:
    """No due moment falls into the rehearsal: its settlements are asked for."""
    return (datetime.now(ZoneInfo(zone)) + timedelta(hours=12)).time().replace(second=0, microsecond=0)


def _write_keys(house: House) -> None:
    create_machine_key(house.folder / "machine.key")
    with open(os.open(house.folder / "terminal.tmk", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as tmk:
        tmk.write(house.tmk.hex() + "\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def house_of(settings: Settings) -> AsyncIterator[House]:
    """A house in a folder of its own that is gone afterwards; short, for the control socket's path."""
    _end_on_signals()
    os.environ.pop("NOTIFY_SOCKET", None)  # the service manager is not told of a rehearsal
    folder = Path(tempfile.mkdtemp(prefix="posd-"))
    if len(os.fsencode(folder)) > FOLDER_BYTES_MAX:  # the kernel wants the control socket's path short
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="posd-", dir="/tmp"))
    try:
        yield House(settings, folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
