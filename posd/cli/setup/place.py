"""Where one posd of a machine has its files, its user and its unit: what the units of systemd/ say, in one place."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from posd.errors import ConfigError

UNITS = Path("/etc/systemd/system")
PACKAGED_UNITS = Path("/lib/systemd/system")
SHIPPED_PROGRAM = "/opt/posd/bin/posd"
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome= and PrivateTmp= hide from the service."""


@dataclass(frozen=True, slots=True)
class Place:
    """The only posd of a machine (`instance` empty), or one of several."""

    instance: str = ""

    @property
    def name(self) -> str:
        """Of its user, its group and its folders."""
        return f"posd-{self.instance}" if self.instance else "posd"

    @property
    def etc(self) -> Path:
        return Path("/etc") / self.name

    @property
    def config(self) -> Path:
        return self.etc / "posd.yaml"

    @property
    def keys(self) -> Path:
        return self.etc / "keys"

    @property
    def state(self) -> Path:
        return Path("/var/lib") / self.name

    @property
    def control_socket(self) -> Path:
        return Path("/run") / self.name / "control.sock"

    @property
    def unit(self) -> str:
        """What systemctl calls it."""
        return f"posd@{self.instance}.service" if self.instance else "posd.service"

    @property
    def timers(self) -> tuple[str, ...]:
        """What makes and proves backups."""
        at = f"@{self.instance}" if self.instance else ""
        return f"posd-backup{at}.timer", f"posd-verify{at}.timer"

    @property
    def unit_files(self) -> tuple[str, ...]:
        """All that ship for it, the service first."""
        at = "@" if self.instance else ""
        beside = (f"posd-{what}{at}.{kind}" for what in ("backup", "verify") for kind in ("service", "timer"))
        return (self.unit_file, *beside)

    @property
    def unit_file(self) -> str:
        return "posd@.service" if self.instance else "posd.service"


def require_seen(path: Path, what: str) -> None:
    """Raises ConfigError for a place that a service cannot see."""
    if any(path.is_relative_to(hidden) for hidden in HIDDEN):
        raise ConfigError(f"{what}: {path} lies where a service cannot see it ({', '.join(HIDDEN)}); choose another")


def place_of(instance: str | None) -> Place:
    """Raises ConfigError for a name that users, folders and units cannot all have."""
    if instance is not None and re.fullmatch(r"[a-z][a-z0-9]{0,23}", instance) is None:
        raise ConfigError("--instance takes a small letter, then up to 23 small letters and digits; example: north")
    return Place(instance or "")


def place_with(config: Path) -> Place:
    """The place that a configuration file belongs to; the only posd's, where it lies elsewhere."""
    match = re.fullmatch(r"/etc/posd-([a-z][a-z0-9]{0,23})/posd\.yaml", str(config.absolute()))
    return Place(match[1] if match else "")


def program() -> Path:
    """The `posd` beside this interpreter, where the service can execute it. Raises ConfigError."""
    found = Path(sys.prefix) / "bin" / "posd"
    if not found.is_file():
        raise ConfigError(
            f"{found} is not there; install posd: python3 -m venv /opt/posd && /opt/posd/bin/pip install posd"
        )
    for path in (found, (Path(sys.prefix) / "bin" / "python3").resolve()):
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            what = f"{path} lies where a service cannot see it"
            raise ConfigError(f"{what}; install with the system's own Python: /usr/bin/python3 -m venv /opt/posd")
    return found
