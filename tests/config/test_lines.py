"""Serial lines in the settings: where they may stand, what contradicts them, what a machine says of a device."""

import os
from pathlib import Path

import pytest

from posd.addresses import Address, SerialAddress
from posd.config import load, load_document
from posd.config.machine import check_environment, device_problem
from posd.errors import ConfigError
from posd.security.machine import create_machine_key
from tests.sealing import seal_tmk

LINE = "serial:///dev/ttyUSB0"
SMALL = """\
version: 1
state_dir: state
control_socket: run/control.sock
machine_key_file: machine.key
host:
  address: 127.0.0.1:5000
terminals:
  - tid: 00012345
    mid: "898100012345678"
    tmk_index: 0
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "posd.yaml"
    path.write_text(text)
    return path


def _lines(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(_write(folder, text))
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def with_host(address: str, more: str = "") -> str:
    return SMALL.replace("address: 127.0.0.1:5000", f"address: {address}{more}")


def test_a_door_listens_at_one_address_or_at_several(tmp_path: Path) -> None:
    one = load(_write(tmp_path, f"{SMALL}door: {{listen: '{LINE}?baud=9600'}}\n"))
    assert one.door.listen == (SerialAddress("/dev/ttyUSB0", baud=9600),)
    several = load(_write(tmp_path, f"{SMALL}door:\n  listen:\n    - 127.0.0.1:7000\n    - {LINE}\n"))
    assert several.door.listen == (Address("127.0.0.1", 7000), SerialAddress("/dev/ttyUSB0"))
    assert load(_write(tmp_path, SMALL)).door.listen == (Address("127.0.0.1", 7000),)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"door: {{listen: '{LINE}?boud=9600'}}", "posd.yaml:11:8: door.listen[0]: a parameter is unknown; did you"),
        (f"door: {{listen: ['127.0.0.1:7000', '{LINE}?lrc=x']}}", "door.listen[1]: lrc must be one of length-etx, "),
        (f"door: {{listen: ['{LINE}', '{LINE}?baud=9600']}}", "door.listen: the same item stands here twice; keep"),
        ("door: {listen: ['127.0.0.1:7000', '127.0.0.1:7000']}", "door.listen: the same item stands here twice"),
        ("door: {listen: []}", "door.listen: must not be empty"),
    ],
)
def test_what_is_refused_has_its_place(tmp_path: Path, text: str, what: str) -> None:
    (line,) = _lines(tmp_path, f"{SMALL}{text}\n")
    assert what in line
    assert "ttyUSB0" not in line


def test_d28_a_line_is_local_and_a_network_beside_it_is_not(tmp_path: Path) -> None:
    load(_write(tmp_path, f"{SMALL}door: {{listen: ['{LINE}', '127.0.0.1:7000']}}\n"))
    (line,) = _lines(tmp_path, f"{SMALL}door: {{listen: ['{LINE}', '0.0.0.0:7000']}}\n")
    assert "terminals[0].mac: must be required, because door.listen" in line


def test_one_device_has_one_peer(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, with_host(LINE) + f"door: {{listen: '{LINE}'}}\n")
    assert line == (
        "posd.yaml:6:3: host.address: is also in door.listen (line 11); a serial line has one peer: give each its own"
    )


def test_d2_a_request_is_not_repeated_after_its_reversal_is_owed(tmp_path: Path) -> None:
    """4 attempts of 8 s are more than the reply limit of 30 s."""
    load(_write(tmp_path, with_host(f"{LINE}?ack_timeout_s=7")))
    (line,) = _lines(tmp_path, with_host(f"{LINE}?ack_timeout_s=8"))
    assert line.startswith(
        "posd.yaml:6:3: host.address: the line would repeat a frame for 32.4 s, not less than host.reply_timeout_s "
        "(30 s, default); a request must not be repeated after its reversal is owed"
    )
    load(_write(tmp_path, with_host(f"{LINE}?framing=length")))


def test_a_line_is_opened_once(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, with_host(LINE, "\n  mode: one_shot"))
    assert "host.mode: is one_shot, but host.address is a serial line, which is opened once; write mode: per" in line


def test_d17_a_slow_line_takes_its_time_of_the_terminals(tmp_path: Path) -> None:
    text = f"{SMALL}door: {{listen: '{LINE}?baud=1200', terminal_timeout_s: %s}}\n"
    (line,) = _lines(tmp_path, text % "57")
    assert "+ 17.1 s for question and answer on the serial line of door.listen; the terminal would give up" in line
    assert "raise this above 57.0667" in line
    load(_write(tmp_path, text % "58"))


def _found(folder: Path, text: str) -> list[str]:
    create_machine_key(folder / "machine.key")
    settings, document = load_document(_write(folder, text))
    seal_tmk(settings, "00012345")
    return [str(problem) for problem in check_environment(settings, document)]


def test_a_device_that_is_not_there_may_still_come(tmp_path: Path) -> None:
    assert _found(tmp_path, f"{SMALL}door: {{listen: 'serial://{tmp_path}/ttyUSB9'}}\n") == []


def test_a_device_that_is_there_is_looked_at(tmp_path: Path) -> None:
    master, slave = os.openpty()
    assert _found(tmp_path, f"{SMALL}door: {{listen: 'serial://{os.ttyname(slave)}'}}\n") == []
    os.close(master)
    os.close(slave)


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = _found(tmp_path, with_host(f"serial://{tmp_path}/file"))
    assert f"host.address: {tmp_path}/file is no serial port; give the path of one" in problem


def test_a_route_says_where_its_device_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    route = f"{{name: modem, address: 'serial://{tmp_path}/file'}}"
    text = SMALL.replace("address: 127.0.0.1:5000", f"routes: [{route}]")
    (problem,) = _found(tmp_path, text)
    assert f"host.routes[0].address: {tmp_path}/file is no serial port" in problem


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_device_that_this_user_may_not_use() -> None:
    master, slave = os.openpty()
    device = os.ttyname(slave)
    os.fchmod(slave, 0o600)
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        what = f"{device} cannot be used by user id 65534"
        found = device_problem(SerialAddress(device))
        os._exit(0 if found == [(what, "run: usermod -aG dialout posd, and start posd again")] else 1)
    assert os.waitpid(child, 0)[1] == 0
    os.close(master)
    os.close(slave)
