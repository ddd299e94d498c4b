"""The settings: the shipped example, every limit, every contradiction, and the machine they are to run on."""

import json
import os
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from posd.cli.check_config import check_config_command
from posd.config import load, load_document, shipped
from posd.config.machine import check_environment
from posd.errors import ConfigError
from posd.security.machine import create_machine_key
from posd.settings import Address, Schedule, Settings, TerminalSettings
from posd.yamlmarks import ConfigProblems, Place, read_document

OWN = (("host", "address"), ("terminals", 0, "tmk_file"))
"""What an example has to give some value."""

EXAMPLE = shipped("config/posd.example.yaml")
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
    tmk_file: keys/00012345.tmk
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "posd.yaml"
    path.write_text(text)
    return path


def _lines(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(_write(folder, text))
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def _settings(model: type[BaseModel], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every setting that the model knows, with its default; a list's settings under item 0."""
    for name, field in model.model_fields.items():
        inner = {"terminals": (TerminalSettings, 0)}.get(name, (field.annotation, None))
        at = (*place, name) if inner[1] is None else (*place, name, inner[1])
        if isinstance(inner[0], type) and issubclass(inner[0], BaseModel):
            yield from _settings(inner[0], at)
        else:
            yield at, field


def test_the_example_names_every_setting() -> None:
    named = read_document(EXAMPLE).paths()
    missing = [place for place, _ in _settings(Settings) if place not in named and place[:2] != ("host", "nac")]
    assert missing == []


def test_the_example_holds_the_defaults() -> None:
    settings = load(EXAMPLE)
    for place, field in _settings(Settings):
        if field.is_required() or place[:3] == ("terminals", 0, "settlement") or place in OWN:
            continue
        value: Any = settings
        for step in place:
            value = value[step] if isinstance(step, int) else getattr(value, step)
        assert value == field.default, place
    assert settings.schedule_of(settings.terminals[0]) == Schedule((time(23),), "Asia/Shanghai")


def test_the_example_is_the_same_to_another_yaml_reader() -> None:
    """An independent reading: nothing in the example depends on our way of taking scalars."""
    assert set(yaml.safe_load(EXAMPLE.read_text())) == set(Settings.model_fields)


def test_a_small_file_takes_the_defaults(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, SMALL))
    assert settings.host.address == Address("127.0.0.1", 5000)
    assert settings.terminals[0].tid == "00012345"
    assert settings.state_dir == tmp_path / "state"
    assert settings.terminals[0].tmk_file == tmp_path / "keys" / "00012345.tmk"
    assert settings.settlement.at == (time(23),)
    assert settings.schedule_of(settings.terminals[0]) == Schedule((time(23),), "Asia/Shanghai")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, SMALL))
    with pytest.raises(ValidationError):
        settings.host.tpdu = "6000000000"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("at: 23:00", (time(23),)),
        ("at: [23:00]", (time(23),)),
        ("at: ['12:30', 23:59:59]", (time(12, 30), time(23, 59, 59))),
        ("at:\n    - 00:00\n    - 01:02:03", (time(0), time(1, 2, 3))),
    ],
)
def test_times_are_read_as_text(tmp_path: Path, text: str, times: tuple[time, ...]) -> None:
    assert load(_write(tmp_path, f"{SMALL}settlement:\n  {text}\n")).settlement.at == times


def test_a_terminal_may_have_its_own_times_or_zone(tmp_path: Path) -> None:
    settings = load(_write(tmp_path, SMALL + "    settlement: {at: '04:00'}\n"))
    assert settings.schedule_of(settings.terminals[0]) == Schedule((time(4),), "Asia/Shanghai")
    settings = load(_write(tmp_path, SMALL + "    settlement: {zone: Europe/Berlin}\n"))
    assert settings.schedule_of(settings.terminals[0]) == Schedule((time(23),), "Europe/Berlin")


ONE_VALUE = [
    ("settlement: {at: []}", "settlement.at: must not be empty"),
    ("settlement: {at: [23:00, '23:00:00']}", "settlement.at: the same item stands here twice; keep one"),
    ("settlement: {at: [24:00]}", "settlement.at[0]: must be a time of day"),
    ("settlement: {at: 1380}", "settlement.at[0]: must be a time of day"),
    ("settlement: {zone: Asia/Shangai}", "settlement.zone: not a time zone; did you mean 'Asia/Shanghai'?"),
    ("settlement: {zone: Asia}", "settlement.zone: not a time zone; "),
    ("settlement: {zone: ../../etc/passwd}", "settlement.zone: not a time zone; "),
    ("settlement: {zone: ''}", "settlement.zone: not a time zone; write an IANA name"),
    ("settlement: {hold_max_s: -1}", "settlement.hold_max_s: must be greater than or equal to 0"),
    ("settlement: {hold_max_s: nan}", "settlement.hold_max_s: must be a number"),
    ("settlement: {clock_skew_max_s: 0}", "settlement.clock_skew_max_s: must be greater than 0"),
    ("settlement: {clock_skew_max: 5}", "unknown setting; did you mean 'clock_skew_max_s'?"),
    ("door: {listen: 7000}", "door.listen[0]: must be an address and a port"),
    ("door: {listen: '127.0.0.1:0'}", "door.listen[0]: the port must be 1 to 65535"),
    ("door: {listen: '127.0.0.1:65536'}", "door.listen[0]: the port must be 1 to 65535"),
    ("door: {listen: '127.0.0.300:70'}", "door.listen[0]: not an IP address"),
    ("door: {listen: '::1:70'}", "door.listen[0]: must be an address and a port"),
    ("door: {connections_max: 0}", "door.connections_max: must be greater than or equal to 1"),
    ("door: {frame_bytes_max: 70000}", "door.frame_bytes_max: must be less than or equal to 65535"),
    ("reversal: {attempts: 0}", "reversal.attempts: must be greater"),
    ("reversal: {on_stuck: stop}", "reversal.on_stuck: must be 'continue' or 'block'"),
    ("advice: {stored_max: 0}", "advice.stored_max: must be greater than or equal to 1"),
    ("advice: {attempts: 100}", "advice.attempts: must be less than or equal to 99"),
    ("advice: {stored: 5}", "unknown setting; did you mean 'stored_max'?"),
    ("log: {format: xml}", "log.format: must be 'json' or 'console'"),
    ("journal: {ballast_bytes: 8M}", "journal.ballast_bytes: must be a whole number"),
    ("drain_timeout_s: 0", "drain_timeout_s: must be greater than 0"),
]


@pytest.mark.parametrize(("text", "what"), ONE_VALUE)
def test_each_limit(tmp_path: Path, text: str, what: str) -> None:
    (line,) = _lines(tmp_path, f"{SMALL}{text}\n")
    assert line.startswith("posd.yaml:11:")
    assert what in line


HOST_VALUE = [
    ("profile: visa", "host.profile: must be 'unionpay' or 'nac'"),
    ("sign_in: 4", "host.sign_in: must be '001', '003', '004' or '006'"),
    ("mac_algorithm: ecb", "host.mac_algorithm: must be 'unionpay-ecb', 'x9.9', "),
    ("mac_output: ascii", "host.mac_output: must be 'usual', 'hex' or 'raw'"),
    ("mak: triple", "host.mak: must be 'single' or 'double'"),
    ("upload_records_max: 9", "host.upload_records_max: must be less than or equal to 8"),
    ("totals_groups: 3", "host.totals_groups: must be less than or equal to 2"),
    ("sm4_pin_block_bytes: 12", "host.sm4_pin_block_bytes: must be 8 or 16"),
    ("sm4_pin_block_bytes: 16", "host.sm4_pin_block_bytes: is for SM4 keys, but host.sign_in (004), default, brings"),
    ("sm4_security_digit: 66", "host.sm4_security_digit: must be one digit"),
    ("track_encryption: true", "host.track_encryption: must be 'no' or 'yes'"),
    ("sm4_key_block: 60", "host.sm4_key_block: must be 'with_tdk' or 'without_tdk'"),
    ("tpdu: 600003", "host.tpdu: must be 10 digits"),
    ("header: 60310031010", "host.header: must be 12, 4 or no digits"),
    ("header_bytes: 4", "host.header_bytes: must be 6, 2 or 0"),
    ("operator: '01'", "host.operator: must be 3 characters"),
    ("reversal_success_codes: ['12', '25']", 'host.reversal_success_codes: must contain "00"'),
    ("reversal_success_codes: ['00', '00']", "host.reversal_success_codes: the same item stands here twice"),
    ("reversal_success_codes: ['00', '123']", "host.reversal_success_codes[1]: must be 2 characters"),
    ("reply_timeout_s: 1e999", "host.reply_timeout_s: must be a number"),
    ("unmaced_decline: approve", "host.unmaced_decline: must be 'accept' or 'reverse'"),
    ("partial_approval: true", "host.partial_approval: must be 'reverse' or 'accept'"),
    ("refund_repeat: twice", "host.refund_repeat: must be 'never' or 'once'"),
    ("parameters: maybe", "host.parameters: must be 'show' or 'apply'"),
]


@pytest.mark.parametrize(("text", "what"), HOST_VALUE)
def test_each_knob_of_the_host(tmp_path: Path, text: str, what: str) -> None:
    (line,) = _lines(tmp_path, SMALL.replace("host:\n", f"host:\n  {text}\n"))
    assert line.startswith("posd.yaml:6:")
    assert what in line


TERMINAL_VALUE = [
    ("tid: 00012345", "tid: 1234567", "terminals[0].tid: must be 8 characters"),
    ("tid: 00012345", "tid: '1234 678'", "terminals[0].tid: must be 8 characters"),
    ('mid: "898100012345678"', "mid: 89810001234567", "terminals[0].mid: must be 15 characters"),
    ("version: 1", "version: 2", "version: this posd reads version 1 only"),
    ("machine_key_file: machine.key", "machine_key_file:", "machine_key_file: must be a path"),
    ("run/control.sock", "x" * 120, "control_socket: longer than 107 bytes"),
    ("  - tid", "  - mac: no\n    tid", "terminals[0].mac: must be 'none' or 'required'"),
    ("  - tid", "  - pin: none\n    tid", "terminals[0].pin: must be 'passthrough' or 'refused'"),
]


@pytest.mark.parametrize(("old", "new", "what"), TERMINAL_VALUE)
def test_each_setting_of_a_terminal_and_of_the_whole(tmp_path: Path, old: str, new: str, what: str) -> None:
    (line,) = _lines(tmp_path, SMALL.replace(old, new))
    assert what in line


@pytest.mark.parametrize("key", ["0123456789ABCDEF", "0123456789abcdeffedcba9876543210", "ab" * 32])
@pytest.mark.parametrize("name", ["keys/00012345.tmk", "machine.key"])
def test_a_key_pasted_for_its_path_is_refused_unseen(tmp_path: Path, name: str, key: str) -> None:
    (line,) = _lines(tmp_path, SMALL.replace(name, key))
    assert "looks like a key; write the path of a file" in line
    assert key not in line


KEYS_AND_MAC = [
    ("x9.9", "004", "single", ""),
    ("9606", "001", "single", ""),
    ("9606", "003", "double", ""),
    ("unionpay-ecb", "004", "double", ""),
    ("x9.19", "004", "double", ""),
    ("3des-cbc", "003", "double", ""),
    ("sm4-ecb", "006", "single", ""),
    ("sm4-cbc", "006", "double", ""),
    ("x9.9", "004", "double", "mak: is double, but host.mac_algorithm (x9.9) wants a single-length MAK; write mak: "),
    (
        "x9.19",
        "004",
        "single",
        "mak: is single, but host.mac_algorithm (x9.19) wants a double-length MAK",
    ),
    ("3des-cbc", "001", "single", "mak: is single, but host.mac_algorithm (3des-cbc) wants a double-length MAK"),
    ("x9.19", "001", "double", "mak: sign-in code 001 brings single-length keys; there is no double-length MAK"),
    ("sm4-cbc", "004", "single", "mac_algorithm: wants SM4 keys, but host.sign_in (004), line 6, brings DES keys"),
    ("unionpay-ecb", "006", "single", "sign_in: brings SM4 keys, but host.mac_algorithm (unionpay-ecb) wants DES"),
]


@pytest.mark.parametrize(("algorithm", "sign_in", "mak", "what"), KEYS_AND_MAC)
def test_keys_and_mac_must_fit(tmp_path: Path, algorithm: str, sign_in: str, mak: str, what: str) -> None:
    text = SMALL.replace("host:\n", f"host:\n  sign_in: {sign_in}\n  mak: {mak}\n  mac_algorithm: {algorithm}\n")
    if not what:
        assert load(_write(tmp_path, text)).host.mac_algorithm == algorithm
        return
    (line,) = _lines(tmp_path, text)
    assert f": host.{what}" in line


@pytest.mark.parametrize(
    ("sign_in", "algorithm", "brings"),
    [("004", "x9.9", ""), ("001", "x9.9", "none"), ("003", "x9.9", "none"), ("006", "sm4-ecb", "SM4 keys, of which")],
)
def test_track_encryption_wants_a_track_key(tmp_path: Path, sign_in: str, algorithm: str, brings: str) -> None:
    knobs = f"sign_in: {sign_in}\n  mac_algorithm: {algorithm}\n  track_encryption: yes"
    text = SMALL.replace("host:\n", f"host:\n  {knobs}\n")
    if not brings:
        assert load(_write(tmp_path, text)).host.track_encryption == "yes"
        return
    (line,) = _lines(tmp_path, text)
    assert line.startswith("posd.yaml:8:")
    assert f"host.track_encryption: wants a track key, but host.sign_in ({sign_in}), line 6, brings {brings}" in line


def test_no_terminal(tmp_path: Path) -> None:
    head = SMALL[: SMALL.index("terminals:")]
    assert _lines(tmp_path, head + "terminals: []\n") == [
        "posd.yaml:7:1: terminals: must not be empty; write one item a line, each after '- '"
    ]
    assert _lines(tmp_path, head) == ["posd.yaml:1:1: terminals: the setting is missing; see the example"]


def test_d17_a_terminal_that_gives_up_before_posd_does(tmp_path: Path) -> None:
    """D17: also when the sum equals the limit, and when a part of it is a default."""
    text = SMALL.replace("host:\n", "host:\n  connect_timeout_s: 45\n") + "door:\n  terminal_timeout_s: 75\n"
    assert _lines(tmp_path, text) == [
        (
            "posd.yaml:13:3: door.terminal_timeout_s: 75 s is not longer than host.connect_timeout_s (45 s, line 6) "
            "+ host.reply_timeout_s (30 s, default); the terminal would give up first: "
            "raise this above 75, or lower those"
        )
    ]
    load(_write(tmp_path, text.replace("terminal_timeout_s: 75", "terminal_timeout_s: 75.5")))


def test_a_contradiction_with_a_default_is_found(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path, SMALL.replace("host:\n", "host:\n  reply_timeout_s: 70\n"))
    assert line.startswith("posd.yaml:1:1: door.terminal_timeout_s: 75 s is not longer than")
    assert "host.reply_timeout_s (70 s, line 6)" in line


@pytest.mark.parametrize("address", ["0.0.0.0:7000", "192.168.1.5:7000", "'[::]:7000'", "shop.example:7000"])
def test_d28_an_open_door_demands_macs(tmp_path: Path, address: str) -> None:
    """D28."""
    text = f"{SMALL}door:\n  listen: {address}\n"
    (line,) = _lines(tmp_path, text)
    assert line.startswith("posd.yaml:8:5: terminals[0].mac: must be required, because door.listen (line 12)")
    load(_write(tmp_path, text.replace("  - tid", "  - mac: required\n    tid")))


@pytest.mark.parametrize("address", ["127.0.0.1:7000", "127.8.9.1:1", "'[::1]:7000'", "localhost:65535"])
def test_a_loopback_door_does_not(tmp_path: Path, address: str) -> None:
    load(_write(tmp_path, f"{SMALL}door:\n  listen: {address}\n"))


@pytest.mark.parametrize("header", ["", "0100", "603100310100"])
def test_header_bytes_must_be_the_headers(tmp_path: Path, header: str) -> None:
    text = SMALL.replace("host:\n", f'host:\n  header: "{header}"\n  header_bytes: COUNT\n')
    for count in (0, 2, 6):
        if 2 * count == len(header):
            load(_write(tmp_path, text.replace("COUNT", str(count))))
            continue
        (line,) = _lines(tmp_path, text.replace("COUNT", str(count)))
        assert line.startswith(
            f"posd.yaml:7:3: host.header_bytes: {count} bytes are {2 * count} digits, but host.header"
        )


def test_gaps_grow_and_terminals_differ_all_said_at_once(tmp_path: Path) -> None:
    text = SMALL + (
        '  - tid: 00012345\n    mid: "898100012345678"\n    tmk_file: b\n'
        "reversal:\n  retry: {first_s: 301}\nsettlement:\n  retry: {first_s: 5, max_s: 4}\n"
    )
    text = text.replace("host:\n", "host:\n  reconnect:\n    max_s: 0.5\n")
    assert _lines(tmp_path, text) == [
        (
            "posd.yaml:6:3: host.reconnect.first_s: 1 s is longer than host.reconnect.max_s (0.5 s, line 7); "
            "gaps grow from the first to the longest"
        ),
        "posd.yaml:13:5: terminals[1].tid: terminal 00012345 stands already at line 10; each terminal once",
        (
            "posd.yaml:17:11: reversal.retry.first_s: 301 s is longer than reversal.retry.max_s (300 s, default); "
            "gaps grow from the first to the longest"
        ),
        (
            "posd.yaml:19:11: settlement.retry.first_s: 5 s is longer than settlement.retry.max_s (4 s, line 19); "
            "gaps grow from the first to the longest"
        ),
    ]


def _ready(folder: Path) -> Path:
    (folder / "keys").mkdir()
    create_machine_key(folder / "machine.key")
    tmk = folder / "keys" / "00012345.tmk"
    tmk.write_text("0123456789ABCDEFFEDCBA9876543210\n")
    tmk.chmod(0o600)
    return _write(folder, SMALL)


def test_a_machine_that_is_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _ready(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert check_environment(load(path)) == []
    assert check_config_command(path, as_json=False) == 0
    assert capsys.readouterr() == (f"{path}: good\n", "")
    assert check_config_command(path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert sorted(tmp_path.rglob("*")) == before  # nothing was made


def test_everything_a_machine_lacks(tmp_path: Path) -> None:
    path = _ready(tmp_path)
    (tmp_path / "machine.key").chmod(0o644)
    (tmp_path / "keys" / "00012345.tmk").write_text("0123")
    (tmp_path / "state").write_text("in the way")
    (tmp_path / "run").symlink_to(tmp_path / "state")
    settings, document = load_document(path)
    lines = [str(problem).replace(f"{tmp_path}/", "") for problem in check_environment(settings, document)]
    assert lines == [
        "posd.yaml:4:1: machine_key_file: machine key: machine.key: open to other users; run: chmod 600 machine.key",
        (
            "posd.yaml:10:5: terminals[0].tmk_file: TMK of terminal 00012345: keys/00012345.tmk: 4 characters; "
            "write 16 or 32 hexadecimal digits"
        ),
        "posd.yaml:2:1: state_dir: state is a file, not a folder; give another path, or move the file away",
        "posd.yaml:3:1: control_socket: run is a file, not a folder; give another path, or move the file away",
    ]
    assert str(check_environment(settings)[2]).startswith("state_dir: ")


@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool) -> None:
    path = _ready(tmp_path)
    settings = load(path)
    if existing:
        settings.state_dir.mkdir()
    # root may write anywhere, so the kernel's answer to another user is given in its place
    monkeypatch.setattr(os, "access", lambda folder, mode: folder not in (settings.state_dir, tmp_path))
    lines = [str(problem) for problem in check_environment(settings)]
    assert lines[0].startswith(f"state_dir: {tmp_path}/state cannot be {'written to' if existing else 'made'} by user")
    assert len(lines) == 2


def test_check_config_says_all_and_returns_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, SMALL)
    assert check_config_command(path, as_json=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[2] for line in err.splitlines()] == ["machine_key_file", "terminals[0].tmk_file"]
    _write(tmp_path, SMALL.replace("version", "versoin"))
    assert check_config_command(path, as_json=True) == 2
    found = json.loads(capsys.readouterr().out)
    assert found[1] == {
        "file": str(path),
        "line": 1,
        "column": 1,
        "path": "versoin",
        "what": "unknown setting",
        "hint": "did you mean 'version'?",
    }
    assert check_config_command(tmp_path / "absent.yaml", as_json=False) == 2


def test_what_does_not_ship_is_named() -> None:
    assert shipped("systemd/posd.service").is_file()
    with pytest.raises(ConfigError, match=r"config/other\.yaml: does not ship"):
        shipped("config/other.yaml")


def test_problems_are_config_errors() -> None:
    assert issubclass(ConfigProblems, ConfigError)


def test_d23_a_minimum_above_the_maximum(tmp_path: Path) -> None:
    text = SMALL + 'settlement:\n  minimum: "500.00"\n  maximum: "100.00"\n'
    assert _lines(tmp_path, text) == [
        (
            "posd.yaml:12:3: settlement.minimum: 500.00 is above settlement.maximum (100.00, line 13); "
            "lower this, raise that, or write 0.00 for off"
        )
    ]
    assert load(_write(tmp_path, text.replace("100.00", "500.01"))).settlement.maximum == 50_001
    load(_write(tmp_path, text.replace("100.00", "0.00")))


@pytest.mark.parametrize(
    ("at", "cutover", "good"),
    [("23:00", "23:30", True), ("23:00", "00:30", True), ("23:00", "22:30", False), ("23:00", "23:00", True)],
)
def test_d23_the_settlement_comes_before_the_cutover(tmp_path: Path, at: str, cutover: str, good: bool) -> None:
    text = SMALL + f'settlement:\n  at: ["{at}"]\n  host_cutover_at: "{cutover}"\n'
    if good:
        load(_write(tmp_path, text))
        return
    assert _lines(tmp_path, text) == [
        (
            "posd.yaml:12:3: settlement.at: the day's last settlement would come after settlement.host_cutover_at "
            f"({cutover}, line 13); settle some minutes before the host's cut-over"
        )
    ]


def test_a_terminal_with_its_own_times_is_held_against_the_cutover(tmp_path: Path) -> None:
    text = SMALL.replace("  - tid", '  - settlement: {at: ["22:45"]}\n    tid') + (
        'settlement:\n  at: ["22:00"]\n  host_cutover_at: "22:30"\n'
    )
    (line,) = _lines(tmp_path, text)
    assert "terminals[0].settlement.at: the day's last settlement would come after" in line


@pytest.mark.parametrize("amount", ["1.5", "-1.00", "1,000.00", "lots", "1.005"])
def test_an_amount_has_two_decimals(tmp_path: Path, amount: str) -> None:
    (line,) = _lines(tmp_path, SMALL + f'settlement:\n  maximum: "{amount}"\n')
    assert 'must be an amount; write it with two decimals, as "1000.00"' in line
