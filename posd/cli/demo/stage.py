"""The stage of the demo: a folder, free ports, configurations, and three real processes on loopback sockets.

What belongs to posd lies in a folder of its own (`posd/`), because the audit searches all of it for card data; the host
and the terminal have theirs. It must never use a path or a port that the demo did not make, and never need root.
"""

import json
import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from posd.cli.demo.interrupts import INTERRUPTS
from posd.cli.demo.plan import (
    EXPIRY,
    MID,
    OPENING_BALANCE_MINOR,
    REFUND_LOST,
    SETTLE_MAXIMUM_MINOR,
    TID,
    TMK_HEX,
    Plan,
)
from posd.cli.demo.process import Event, Process, StageFailed
from posd.security.machine import create_machine_key
from posd.values import format_amount

LOOPBACK = "127.0.0.1"
ZONE = "Asia/Shanghai"
START_LIMIT_S = 20.0
ANSWER_LIMIT_S = 15.0
"""What the demo waits for one answer at most; the terminal itself waits TERMINAL_TIMEOUT_S."""
TERMINAL_TIMEOUT_S = 12
REPLY_TIMEOUT_S = 2
CONNECT_TIMEOUT_S = 1
SOCKET_NAME = "c"
SOCKET_PATH_BYTES_MAX = 100
PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections: the door's is still free when posd comes again."""
PORTS_TRIED = 50

_POSD_YAML = """\
# The demo's own; config/posd.example.yaml explains every setting.
version: 1
state_dir: state
control_socket: {socket}
machine_key_file: machine.key
log: {{format: json, level: info}}
host:
  address: "{loopback}:{host_port}"
  connect_timeout_s: {connect_timeout_s}
  reply_timeout_s: {reply_timeout_s}
  reconnect: {{first_s: 0.3, max_s: 1}}
door: {{listen: "{loopback}:{door_port}", terminal_timeout_s: {terminal_timeout_s}}}
reversal: {{retry: {{first_s: 0.3, max_s: 1}}}}
settlement:
  at: ["{due}"]
  zone: {zone}
  maximum: "{maximum}"
  retry: {{first_s: 0.5, max_s: 2}}
journal: {{free_bytes_min: 1048576, ballast_bytes: 1048576}}
terminals:
  - {{tid: "{tid}", mid: "{mid}", tmk_file: {tid}.tmk, mac: required}}
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything of one demo lies."""

    root: Path

    @property
    def posd(self) -> Path:
        return self.root / "posd"

    @property
    def host(self) -> Path:
        return self.root / "host"

    @property
    def terminal(self) -> Path:
        return self.root / "terminal"

    @property
    def books(self) -> Path:
        """The host's books, rewritten whole after every message."""
        return self.host / "books.json"

    @property
    def journal(self) -> Path:
        """posd's journal: a folder."""
        return self.posd / "state" / "journal"

    @property
    def machine_key(self) -> Path:
        return self.posd / "machine.key"

    @property
    def tmk(self) -> Path:
        return self.posd / f"{TID}.tmk"

    @property
    def log(self) -> Path:
        """Everything that posd printed."""
        return self.posd / "posd.log"

    @property
    def told(self) -> Path:
        """What the terminal was told: its own JSON lines."""
        return self.terminal / "terminal.log"

    @property
    def key_files(self) -> tuple[Path, Path]:
        """The only files of posd's that hold a secret as it is."""
        return self.machine_key, self.tmk


class Stage:
    """The processes of one demo. `close` ends whatever runs, whatever happened."""

    plan: Plan

    def __init__(self, folder: Folder, plan: Plan | None = None) -> None:
        self.folder = folder
        if plan is not None:  # another dialect's stage has its own
            self.plan = plan
        self._sockets = _short_folder()
        self._host_port = 0
        self._door_port = _free_port(random.Random())
        self._processes: list[Process] = []
        self.due_at: datetime | None = None

    # --- the parts --------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Folders, keys, the host's configuration."""
        for path in (self.folder.posd, self.folder.host, self.folder.terminal):
            path.mkdir(mode=0o700)
        create_machine_key(self.folder.machine_key)
        with open(os.open(self.folder.tmk, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as tmk:
            tmk.write(TMK_HEX + "\n")
        text = json.dumps(host_configuration(self.plan), indent=2)
        (self.folder.host / "host.yaml").write_text(f"# JSON is YAML too.\n{text}\n")

    def start_host(self, scenario: str | None = None) -> None:
        """The acquirer, on a port that it takes itself and keeps; it goes on with its state."""
        arguments = ["--config", "host.yaml", "--listen", f"{LOOPBACK}:{self._host_port}"]
        arguments += ["--books", self.folder.books.name, "--state", "state.json"]
        arguments += ["--scenario", scenario] if scenario else []
        self.host = self._start("host simulator", "simulators.host", arguments, self.folder.host / "host.log")
        listening = self.host.wait_for("address", lambda event: event.get("event") == "listening", START_LIMIT_S)
        self._host_port = listening["port"]

    def start_posd(self, due_in: timedelta) -> None:
        """The daemon, its settlement due in so long; READY when this returns."""
        self.due_at = (datetime.now(ZoneInfo(ZONE)) + due_in).replace(microsecond=0)
        (self.folder.posd / "posd.yaml").write_text(self._posd_yaml(self.due_at))
        arguments = ["run", "--config", "posd.yaml"]
        self.posd = self._start("posd", "posd", arguments, self.folder.log)
        self.posd.wait_for("'ready'", lambda event: event.get("event") == "ready", START_LIMIT_S)

    def start_terminal(self) -> None:
        """The card terminal, driven line by line."""
        plan = self.plan
        numbers = {"batch": plan.terminal_batch, "stan": plan.terminal_stan, "timeout-s": TERMINAL_TIMEOUT_S}
        texts = {"connect": f"{LOOPBACK}:{self._door_port}", "tid": TID, "mid": MID, "tmk": TMK_HEX}
        arguments = [f"--{name}={value}" for name, value in {**texts, **numbers}.items()]
        self.terminal = self._start("terminal", "simulators.terminal", arguments, self.folder.told, listens=True)

    def do(self, step: Mapping[str, object]) -> Event:
        """One step of the terminal and what came of it. Raises StageFailed, also when a process has ended."""
        for process in self._processes:
            process.require_running()
        mark = self.terminal.mark()
        self.terminal.tell(step)
        return self.terminal.wait_for(f"answer to {step['do']}", lambda event: "outcome" in event, ANSWER_LIMIT_S, mark)

    def end(self) -> None:
        """Terminal, daemon and host end as they should. Raises StageFailed when one of them does not."""
        for process in (self.terminal, self.posd, self.host):
            self._processes.remove(process)
            status = process.end()
            if status != 0:
                raise StageFailed(f"{process.name} ended with status {status} when it was told to stop")

    def restart_host(self, scenario: str | None) -> None:
        """The acquirer again, with the same books; posd's line is up again when this returns."""
        mark = self.posd.mark()
        self._processes.remove(self.host)
        if (status := self.host.end()) != 0:
            raise StageFailed(f"host simulator ended with status {status} when it was told to stop")
        self.start_host(scenario)
        self.posd.wait_for("line to the host", lambda event: event.get("event") == "line_up", ANSWER_LIMIT_S, mark)

    def stop_posd(self) -> None:
        """As when the machine is switched off in the evening. Raises StageFailed when it does not end well."""
        self._processes.remove(self.posd)
        if (status := self.posd.end()) != 0:
            raise StageFailed(f"posd ended with status {status} when it was told to stop")

    def kill_posd(self) -> None:
        """kill -9."""
        self._processes.remove(self.posd)
        self.posd.kill()

    def close(self) -> None:
        """Whatever still runs is ended, if need be at once; the folder of the control socket is removed."""
        try:
            for process in reversed(self._processes):
                process.end()
        finally:  # a second Ctrl-C, for one
            for process in self._processes:
                process.kill()
            self._processes.clear()
            shutil.rmtree(self._sockets, ignore_errors=True)

    # --- particulars ------------------------------------------------------------------------------------------

    def _start(self, name: str, module: str, arguments: list[str], log: Path, *, listens: bool = False) -> Process:
        with INTERRUPTS.held():
            process = Process(name, [sys.executable, "-m", module, *arguments], log, listens=listens)
            self._processes.append(process)
        return process

    def _posd_yaml(self, due_at: datetime) -> str:
        return _POSD_YAML.format(
            socket=json.dumps(str(self._sockets / SOCKET_NAME)),
            loopback=LOOPBACK,
            host_port=self._host_port,
            door_port=self._door_port,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            reply_timeout_s=REPLY_TIMEOUT_S,
            terminal_timeout_s=TERMINAL_TIMEOUT_S,
            due=f"{due_at:%H:%M:%S}",
            zone=ZONE,
            maximum=format_amount(SETTLE_MAXIMUM_MINOR),
            tid=TID,
            mid=MID,
        )


def host_configuration(plan: Plan) -> dict[str, object]:
    """The acquirer's terminals, cards and faults; each fault is tied to the amount of its sale."""
    return {
        "seed": plan.seed,
        "terminals": [{"tid": TID, "mid": MID, "tmk": TMK_HEX, "batch": plan.host_batch}],
        "cards": [
            {
                "pan": card.pan,
                "scheme": card.scheme,
                "balance": format_amount(OPENING_BALANCE_MINOR),
                "expiry": EXPIRY,
                **({"pin": card.pin} if card.pin else {}),
            }
            for card in plan.cards
        ],
        "faults": [
            {**rule, "amount": format_amount(sale.amount_minor)}
            for sale in plan.sales
            if sale.trouble is not None
            for rule in sale.trouble.rules
        ]
        + [REFUND_LOST],
    }


def _short_folder() -> Path:
    """A folder for the control socket, whose path the kernel wants short."""
    path = Path(tempfile.mkdtemp(prefix="posd-"))
    if len(os.fsencode(path / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
        path.rmdir()
        path = Path(tempfile.mkdtemp(prefix="posd-", dir="/tmp"))
    return path


def _free_port(dice: random.Random) -> int:
    """A port on which nobody listens now."""
    for port in dice.sample(PORTS, PORTS_TRIED):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise StageFailed(f"no free port among {PORTS_TRIED} between {PORTS.start} and {PORTS.stop}")
