"""`posd doctor`: the machine that posd runs on: clock, disk, engine, folders, service. It changes nothing."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from posd.cli.setup.place import Place
from posd.daemon.clock import synchronised
from posd.errors import ConfigError
from posd.journal.connect import require_engine
from posd.journal.room import free_bytes
from posd.settings import Settings

GOOD, NOTE, WARNING, ALERT = "good", "note", "warning", "alert"
EXPOSURE_MAX = 1.5
"""Of what `systemd-analyze security` counts, for the unit that ships (its own is 1.4)."""
ROOM = 4
"""A disk with less than this many times journal.free_bytes_min is near its end."""
MIB = 1024 * 1024
OPEN_TO_OTHERS = 0o077
COMMAND_LIMIT_S = 20.0
PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "NRestarts",
    "NeedDaemonReload",
    "WatchdogUSec",
    "User",
    "MemorySwapMax",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What one look gave: a code of doctor_words.py, and its facts."""

    check: str
    level: str
    code: str
    facts: dict[str, Any] = field(default_factory=dict)


def clock() -> Iterator[Found]:
    """Whether a time service keeps it in step (D24). Outside of the service, where the kernel may be asked."""
    in_step = synchronised()
    if in_step is None:
        yield Found("clock", NOTE, "clock_unknown")
    else:
        yield Found("clock", GOOD if in_step else WARNING, "clock_good" if in_step else "clock_free")


def disk(settings: Settings) -> Iterator[Found]:
    """Room for what is owed, and long before that a word (D32)."""
    folder = next(there for there in (settings.state_dir, *settings.state_dir.parents) if there.exists())
    try:
        free = free_bytes(folder)
    except OSError as error:
        yield Found("disk", NOTE, "disk_unseen", {"folder": folder, "why": error.strerror or error})
        return
    floor = settings.journal.free_bytes_min
    facts = {"free_mib": free // MIB, "floor_mib": floor // MIB, "folder": folder}
    if free < floor:
        yield Found("disk", ALERT, "disk_full", facts)
    else:
        yield Found(
            "disk", WARNING if free < ROOM * floor else GOOD, "disk_low" if free < ROOM * floor else "disk_good", facts
        )


def engine() -> Iterator[Found]:
    """The SQLite that posd brings along."""
    try:
        require_engine()
    except ConfigError as error:
        yield Found("sqlite", ALERT, "sqlite_old", {"why": error})
    else:
        yield Found("sqlite", GOOD, "sqlite_good", {"version": apsw.sqlite_lib_version()})


def state(settings: Settings) -> Iterator[Found]:
    """The journal's folder is its user's alone."""
    folder = settings.state_dir
    if not folder.exists():
        yield Found("state", NOTE, "state_none", {"folder": folder})
        return
    mode = folder.stat().st_mode & 0o777
    facts = {"folder": folder, "mode": f"{mode:04o}"}
    yield (
        Found("state", WARNING, "state_open", facts)
        if mode & OPEN_TO_OTHERS
        else Found("state", GOOD, "state_good", facts)
    )


# --- the service -----------------------------------------------------------------------------------------------------


def unit_of(place: Place) -> dict[str, str]:
    """What systemd knows of the unit; empty without systemd."""
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return {}
    said = _said("systemctl", "show", place.unit, *(f"-p{name}" for name in PROPERTIES))
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def service(place: Place, unit: dict[str, str], running: bool) -> Iterator[Found]:
    """Whether posd is a service that lasts, and as hard as the one that ships."""
    facts: dict[str, Any] = {"unit": place.unit}
    if not unit:
        yield Found("service", NOTE, "no_systemd")
        return
    if unit.get("LoadState") != "loaded":
        yield Found("service", WARNING, "no_unit", facts)
        return
    if place.instance:
        yield Found("service", NOTE, "service_instance", {"config": place.config})
    yield from _lasting(unit, facts, running)
    yield from _hardening(place, unit)


def _lasting(unit: dict[str, str], facts: dict[str, Any], running: bool) -> Iterator[Found]:
    active = unit["ActiveState"] == "active"
    if unit["NeedDaemonReload"] == "yes":
        yield Found("service", WARNING, "service_reload", facts)
    if active and int(unit.get("NRestarts") or 0):
        yield Found("service", NOTE, "service_restarted", {**facts, "count": unit["NRestarts"]})
    if not active and running:
        yield Found("service", WARNING, "daemon_only", facts)
    elif active and not unit["UnitFileState"].startswith("enabled"):
        yield Found("service", WARNING, "service_not_enabled", facts)
    elif active:
        yield Found("service", GOOD, "service_good", facts)


def _hardening(place: Place, unit: dict[str, str]) -> Iterator[Found]:
    watchdog = unit.get("WatchdogUSec", "0")
    if watchdog in ("0", "infinity", ""):
        yield Found("hardening", WARNING, "no_watchdog", {"unit": place.unit})
    said = _said("systemd-analyze", "security", "--no-pager", place.unit)
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", said)
    facts = {
        "unit": place.unit,
        "most": EXPOSURE_MAX,
        "watchdog": watchdog,
        "exposure": exposure[1] if exposure else "",
    }
    if exposure is None:
        yield Found("hardening", NOTE, "hardening_unseen", facts)
    elif float(exposure[1]) > EXPOSURE_MAX:
        yield Found("hardening", WARNING, "hardening_weak", facts)
    else:
        yield Found("hardening", GOOD, "hardening_good", facts)


def swap(unit: dict[str, str], swaps: Path = Path("/proc/swaps")) -> Iterator[Found]:
    """What is in memory stays in memory: a page that is swapped out holds what no file of posd's ever does (D29)."""
    try:
        areas = [line.split()[0] for line in swaps.read_text().splitlines()[1:] if line.strip()]
    except OSError:
        return
    if not areas:
        yield Found("swap", GOOD, "swap_none")
    elif unit.get("MemorySwapMax") == "0":
        yield Found("swap", GOOD, "swap_kept_off")
    else:
        yield Found("swap", WARNING, "swap_on", {"areas": ", ".join(areas)})


def _said(*words: str) -> str:
    """What a command says, also when it fails; empty when there is none or it hangs."""
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def as_view(found: Found, text: str, to_do: str) -> dict[str, Any]:
    """For programs."""
    facts = json.loads(json.dumps(found.facts, default=str))
    return {
        "check": found.check,
        "level": found.level,
        "code": found.code,
        "text": text,
        "to_do": to_do,
        "facts": facts,
    }
