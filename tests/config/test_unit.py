"""The unit that ships agrees with the settings that ship (D39), and systemd understands all of it."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from posd.config import load, shipped

UNIT = shipped("systemd/posd.service")


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


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_it() -> None:
    """It exits 0 on unknown keys, so what counts is what it says."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line and "not executable" not in line]
    assert complaints == []
