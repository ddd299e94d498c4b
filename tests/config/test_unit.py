"""The unit that ships agrees with the settings that ship (D39), and systemd understands all of it."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from posd.config import load, shipped

UNIT = shipped("systemd/posd.service")
TEMPLATE = shipped("systemd/posd@.service")
BESIDE = tuple(
    shipped(f"systemd/posd-{what}{at}.{kind}")
    for what in ("backup", "verify")
    for at in ("", "@")
    for kind in ("service", "timer")
)
SERVICES = (UNIT, TEMPLATE, *(file for file in BESIDE if file.suffix == ".service"))
EXPOSURE_MAX = 15
"""Tenths of what `systemd-analyze security` counts."""

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_it_runs_posd_as_a_notifying_service(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"] == "/opt/posd/bin/posd run --config /etc/posd/posd.yaml"
    assert int(service["WatchdogSec"]) > 0


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_it_executes_nothing_that_a_bare_debian_has_not(file: Path) -> None:
    found = {line.partition("=")[2].split()[0] for line in directives(file) if line.startswith("Exec")}
    assert found <= {"/opt/posd/bin/posd", "/bin/sh"}


def test_a_bad_configuration_is_not_restarted_and_all_else_is(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["Restart"] == "on-failure"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_d39_its_folders_and_times_are_those_of_the_settings(unit: configparser.ConfigParser) -> None:
    settings = load(shipped("config/posd.example.yaml"))
    service = unit["Service"]
    assert settings.state_dir == Path("/var/lib") / service["StateDirectory"]
    assert settings.control_socket.parent == Path("/run") / service["RuntimeDirectory"]
    assert int(service["TimeoutStopSec"]) > settings.drain_timeout_s


def test_d29_keys_never_reach_a_disk(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["LimitCORE"] == "0"
    assert unit["Service"]["MemorySwapMax"] == "0"


def test_serial_ports_are_not_closed_by_the_sandbox() -> None:
    """ProtectClock= implies a list of devices, on which nothing else stands (systemd issue 18142)."""
    allowed = {line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith("DeviceAllow=")}
    assert {"char-ttyS rw", "char-166 rw", "char-188 rw", "char-204 rw"} <= allowed


def test_a_shop_that_is_off_line_starts(unit: configparser.ConfigParser) -> None:
    assert "time-sync.target" in unit["Unit"]["Wants"]
    assert "time-sync.target" not in unit["Unit"]["After"]
    assert "Requires" not in unit["Unit"]


def directives(unit: Path) -> list[str]:
    return [line for line in unit.read_text().splitlines() if line and not line.startswith("#")]


def test_an_instance_differs_from_the_only_one_by_its_name_alone() -> None:
    renamed = [line.replace("posd-%i", "posd").replace(" (%i)", "") for line in directives(TEMPLATE)]
    assert renamed == directives(UNIT)


@pytest.mark.parametrize("name", [file.name for file in BESIDE if "@" not in file.name])
def test_what_runs_beside_posd_has_instances_too(name: str) -> None:
    what, _, kind = name.partition(".")
    renamed = [
        line.replace("posd-%i", "posd").replace("@%i", "").replace(" (%i)", "")
        for line in directives(shipped(f"systemd/{what}@.{kind}"))
    ]
    assert renamed == directives(shipped(f"systemd/{name}"))


@pytest.mark.parametrize("file", [file for file in BESIDE if file.suffix == ".service"], ids=lambda file: file.name)
def test_what_runs_beside_posd_is_as_hard_as_posd(file: Path) -> None:
    """As its user, with its keys, without devices; and without its sockets' folder, which would go when it ends."""
    of_posd = directives(TEMPLATE if "@" in file.name else UNIT)
    hard = of_posd[of_posd.index("NoNewPrivileges=yes") : of_posd.index("[Install]")]
    lines = directives(file)
    assert [line for line in hard if not line.startswith("DeviceAllow=") and line not in lines] == []
    for name in ("User", "Group", "LoadCredential", "LimitCORE", "MemorySwapMax", "UMask"):
        wanted = [line for line in of_posd if line.startswith(f"{name}=")]
        assert [line for line in lines if line.startswith(f"{name}=")] == wanted
    assert not any(line.startswith("RuntimeDirectory") for line in lines)


def test_keys_come_as_credentials_of_root(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["LoadCredential"] == "keys:/etc/posd/keys"
    sealed = directives(shipped("systemd/posd-sealed-keys.conf"))
    assert sealed == ["[Service]", "LoadCredential=", "LoadCredentialEncrypted=keys:/etc/posd/sealed"]


def test_d24_the_clock_is_guarded(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["ProtectClock"] == "yes"


@with_systemd
@pytest.mark.parametrize("file", [UNIT, TEMPLATE, *BESIDE], ids=lambda file: file.name)
def test_systemd_understands_it(file: Path, tmp_path: Path) -> None:
    """It exits 0 on unknown keys, so what counts is that it says nothing."""
    copy = tmp_path / file.name
    if file.suffix == ".timer":  # it is for a service
        beside = file.with_suffix(".service")
        (tmp_path / beside.name).write_text(beside.read_text().replace("/opt/posd/bin/posd", "/bin/true"))
    copy.write_text(file.read_text().replace("/opt/posd/bin/posd", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@with_systemd
@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_it_exposes_little(file: Path) -> None:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
