"""What the benchmark runs: the simulated acquirer and posd as child processes with real configurations and keys.

Every child is ended by its own handle, whatever happens; nothing outside the given folder is touched.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from posd.errors import ConfigError
from posd.security.machine import create_machine_key
from simulators.bench.figures import BenchTrouble
from simulators.bench.process_facts import cpu_of

TMK = "0123456789ABCDEFFEDCBA9876543210"
MID = "898100012345678"
DOMESTIC_PAN, FOREIGN_PAN = "6225880000000005", "4761730000000011"
EXPIRY = "3012"
BALANCE = "9999999999.00"

READY_S_MAX = 120.0
"""A start that takes longer has failed."""
STOP_S_MAX = 30.0
LISTEN_S_MAX = 30.0
MESSAGE_BYTES_MAX = 4096


@dataclass(slots=True)
class Child:
    """A process of ours; `stop` ends it with SIGTERM, and with SIGKILL when it does not listen."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As a power cut would end it."""
        self.process.kill()
        self.process.wait()

    def must_live(self) -> None:
        """Raises BenchTrouble with the last line of its log when it has ended."""
        if self.process.poll() is not None:
            raise BenchTrouble(f"{self.log.stem} ended with status {self.process.returncode}: {_last_line(self.log)}")


def start(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Child:
    """A child whose output goes to `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    return Child(process, log)


@contextlib.contextmanager
def ended(child: Child) -> Iterator[Child]:
    """The child, ended at the end."""
    try:
        yield child
    finally:
        child.stop()


# --- the acquirer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Host:
    """A running acquirer."""

    child: Child
    port: int


@contextlib.contextmanager
def host(folder: Path, tids: Sequence[str]) -> Iterator[Host]:
    """The whole simulator, for these terminals.

    It says "unbalanced" to every settlement, so that there is something to upload.
    """
    config = folder / "host.yaml"
    cards = [(DOMESTIC_PAN, "CUP"), (FOREIGN_PAN, "VIS")]
    config.write_text(
        json.dumps(
            {
                "terminals": [{"tid": tid, "mid": MID, "tmk": TMK} for tid in tids],
                "cards": [{"pan": pan, "balance": BALANCE, "scheme": scheme} for pan, scheme in cards],
                "behaviour": {"unbalance": "both", "utc_offset_minutes": 0},
            }
        )
    )
    command = [sys.executable, "-m", "simulators.host", "--config", str(config), "--listen", "127.0.0.1:0", "--quiet"]
    with ended(start(command, folder / "host.log")) as child:
        yield Host(child, _listening(child))


def _listening(child: Child) -> int:
    until = time.monotonic() + LISTEN_S_MAX
    while time.monotonic() < until:
        child.must_live()
        for line in child.log.read_text().splitlines():
            if line.startswith("{"):
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise BenchTrouble("the simulated host did not begin to listen")


# --- posd --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PosdPlace:
    """A folder with posd's configuration, keys and state."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        return self.folder / "posd.yaml"

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "journal"

    @property
    def machine_key(self) -> Path:
        return self.folder / "machine.key"


@dataclass(frozen=True, slots=True)
class Posd:
    """A running posd. `ready_s`: from exec to READY=1; `ready_cpu_s`: the CPU time it took for that."""

    child: Child
    place: PosdPlace
    ready_s: float
    ready_cpu_s: float


def posd_place(folder: Path, tids: Sequence[str], host_port: int, connections: int, mac: str = "none") -> PosdPlace:
    """Write everything that posd needs; nothing falls due during the run. An existing machine key is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    place = PosdPlace(folder, free_port())
    with contextlib.suppress(ConfigError):
        create_machine_key(place.machine_key)
    tmk = folder / "tmk"
    tmk.write_text(TMK + "\n")
    tmk.chmod(0o600)
    far = datetime.now(UTC) + timedelta(hours=12)
    settings = {
        "version": "1",
        "state_dir": str(folder / "state"),
        "control_socket": str(folder / "control.sock"),
        "machine_key_file": str(place.machine_key),
        "log": {"level": "warning"},
        "host": {"address": f"127.0.0.1:{host_port}"},
        "door": {"listen": f"127.0.0.1:{place.port}", "connections_max": str(connections)},
        "settlement": {"at": f"{far:%H:%M}", "zone": "UTC"},
        "terminals": [{"tid": tid, "mid": MID, "tmk_file": str(tmk), "mac": mac} for tid in tids],
    }
    place.config.write_text(yaml.safe_dump(settings))
    return place


def posd_command(place: PosdPlace) -> list[str]:
    return [sys.executable, "-m", "posd", "run", "--config", str(place.config)]


def launch(place: PosdPlace, command: Sequence[str] | None = None) -> Posd:
    """posd, up to its READY. BenchTrouble when it does not come. The caller ends `child`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind("")  # an abstract name of the kernel's choice: no path that could be too long
        address = "@" + notify.getsockname()[1:].decode("ascii")
        notify.settimeout(0.2)
        begun = time.perf_counter()
        child = start(command or posd_command(place), place.folder / "posd.log", {"NOTIFY_SOCKET": address})
        try:
            ready_s = _ready(child, notify, begun)
        except BaseException:
            child.kill()
            raise
    return Posd(child, place, ready_s, cpu_of(child.pid).process_s)


@contextlib.contextmanager
def posd(place: PosdPlace, command: Sequence[str] | None = None) -> Iterator[Posd]:
    """posd, ready; ended at the end."""
    running = launch(place, command)
    with ended(running.child):
        yield running


def _ready(child: Child, notify: socket.socket, begun: float) -> float:
    while time.perf_counter() - begun < READY_S_MAX:
        child.must_live()
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notify.recv(MESSAGE_BYTES_MAX):
                return time.perf_counter() - begun
    raise BenchTrouble(f"posd was not ready within {READY_S_MAX:.0f} s: {_last_line(child.log)}")


def free_port() -> int:
    """A port of the loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"
