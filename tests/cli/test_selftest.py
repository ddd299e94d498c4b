"""`posd selftest`: what it replays and plays, that a fault is found, and that it leaves the real machine alone."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.cli.lang import Lang
from posd.cli.selftest import command as selftest
from posd.cli.selftest import house as selftest_house
from posd.cli.selftest import vectors as selftest_vectors
from posd.cli.selftest.command import SCRIPTS, selftest_command
from posd.cli.selftest.day import Day, Ours, differences
from posd.cli.selftest.house import House, house_of, rehearsed
from posd.config import load, shipped
from posd.daemon.assemble import profile_of
from posd.settings import Settings

TERMINALS: list[dict[str, Any]] = [{"tid": "20000007", "mid": "898100012345999", "tmk_index": 3}]
TOKEN = {"home": "pkcs11", "module": "/nonexistent/token.so", "token": "shop", "pin_file": "/nonexistent/pin"}
"""A rehearsal needs no token."""
LIMIT_S = 60.0
HOST = {"address": "10.9.8.7:5000"}


def configured(folder: Path, **changes: Any) -> Path:
    """A shop's file, whose keys and folders do not exist here."""
    settings = {
        "version": 1,
        "state_dir": str(folder / "state"),
        "control_socket": str(folder / "control.sock"),
        "machine_key_file": "/nonexistent/shop/machine.key",
        "host": HOST | changes.pop("host", {}),
        "terminals": [given(TERMINALS[0] | changes.pop("terminal", {}))],
        **changes,
    }
    path = folder / "posd.yaml"
    path.write_text(json.dumps(settings))
    return path


def given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def checks(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def day_of(profile: str) -> tuple[set[str], list[str]]:
    """The kinds that the journal of a day tells of, and the names of the checks with findings."""

    async def lived() -> tuple[set[str], list[str]]:
        settings = selftest._own_settings(profile)
        async with house_of(settings) as house:
            found = await Day(house, SCRIPTS[profile](settings, house), lambda _: None).live()
            kinds = {facts["kind"] for kind, _, facts in house.records() if "kind" in facts and "stan" in facts}
            return kinds, [check.name for check in found if not check.good]

    return asyncio.run(lived())


@pytest.mark.parametrize("profile", SCRIPTS)
def test_a_day_has_every_kind_of_its_matrix(profile: str) -> None:
    kinds, bad = day_of(profile)
    assert bad == []
    assert kinds == set(profile_of(selftest._own_settings(profile)).kinds)


def test_all_of_it_is_good_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--lang", "en"]) == 0
    text = capsys.readouterr().out
    assert "✓ all good" in text
    assert "✗" not in text
    assert all(f"profile {profile}" in text for profile in SCRIPTS)


def test_it_speaks_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--profile", "unionpay", "--lang", "zh"]) == 0
    assert "✓ 全部通过" in capsys.readouterr().out


@pytest.mark.parametrize(
    "host",
    [
        {"tpdu": "6001020304", "header": "613200320401", "lri": "refuse", "operator": "07 "},
        {"header": "0100", "header_bytes": 2},
        {"header": "", "header_bytes": 0, "sign_in": "001"},
        {"sign_in": "003", "mak": "double", "mac_algorithm": "x9.19", "refund_repeat": "once"},
        {"sign_in": "006", "mac_algorithm": "sm4-cbc", "sm4_pin_block_bytes": 16},
        {"track_encryption": "yes", "mode": "one_shot", "unmaced_decline": "reverse", "partial_approval": "accept"},
        {"address": "https://host.example:8443/path", "mode": "one_shot", "sign_off_after_close": "yes"},
        {"field_22": "right", "field_23": "left", "field_61": "ascii", "pad": "F", "upload_records_max": 2},
        {"pad": "right", "totals_groups": 1, "end_without_items": "skip", "completion_percent_max": 100},
    ],
    ids=["tpdu", "header of 2", "no header", "x9.19", "sm4", "tracks", "https", "wire", "one group"],
)
def test_the_day_is_played_by_the_shops_own_settings(
    host: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(tmp_path, host=host)
    assert selftest_command(path, None, True, Lang.EN) == 0
    assert all(check["good"] for check in checks(capsys).values())
    assert [file.name for file in tmp_path.iterdir()] == ["posd.yaml"]


@pytest.mark.parametrize(
    ("host", "terminal"),
    [
        ({"tpdu": "6001230000", "nac": {"nii": "123", "pad": "F", "totals_digits": 30}}, {"unsigned": "accept"}),
        ({"nac": {"pad": "right", "times": "always", "more_follows": "yes", "batch_number_first": 777}}, {}),
        ({"nac": {"wire": "ascii", "logon": "none", "settle_with_reversal_owed": "yes"}}, {}),
        ({"nac": {"logon_after_close": "yes", "voids": "credited"}}, {"unsigned": "accept"}),
        ({"mac_algorithm": "x9.19"}, {"mac": "required"}),
        ({"mac_algorithm": "x9.9"}, {"mac": "none"}),
    ],
    ids=["F", "right", "ascii", "credited", "x9.19", "x9.9"],
)
def test_a_nac_day_is_played_by_the_shops_own_settings(
    host: dict[str, Any], terminal: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(tmp_path, host=host | {"profile": "nac"}, terminal=terminal)
    assert selftest_command(path, None, True, Lang.EN) == 0
    found = checks(capsys)
    assert ("refund_void" in found) is (terminal != {})  # refused where nothing is signed and nobody is trusted


@pytest.mark.parametrize("bank", ["bank-unionpay.example.yaml", "bank-nac.example.yaml"])
def test_a_bank_with_a_file_of_its_own_is_rehearsed_too(
    bank: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = "nac" if "nac" in bank else "unionpay"
    host = {"profile": profile, "profile_file": str(shipped(f"config/{bank}"))}
    terminal = {"unsigned": "accept"} if profile == "nac" else {}
    assert selftest_command(configured(tmp_path, host=host, terminal=terminal), None, True, Lang.EN) == 0
    assert checks(capsys)["sale"]["good"]


def test_a_shop_that_refuses_pins_and_small_closes_passes_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would hold or defer a real close must not hold the rehearsed one; a PIN is not tried where it is refused."""
    settlement = {"minimum": "9999.00", "maximum": "10000.00", "zone": "Europe/Berlin", "empty_batch": "send"}
    path = configured(
        tmp_path, settlement=settlement, terminal={"pin": "refused", "mac": "required"}, reversal={"on_stuck": "block"}
    )
    assert selftest_command(path, None, True, Lang.EN) == 0
    assert "pin_sale" not in checks(capsys)


def test_what_is_not_the_shops_is_not_used(tmp_path: Path) -> None:
    """Every setting is the file's but those that name this machine, its network or its patience."""
    given = load(configured(tmp_path, host={"tpdu": "6001020304", "echo_interval_s": 40}, keys=TOKEN))
    used = rehearsed(House(given, tmp_path / "rehearsal", door_port=7), 8)
    changed = {name for name in Settings.model_fields if getattr(used, name) != getattr(given, name)}
    assert changed == {
        *("state_dir", "control_socket", "machine_key_file", "host", "door", "reversal", "advice", "settlement"),
        *("journal", "terminals", "keys"),
    }
    of_host = {name for name in type(given.host).model_fields if getattr(used.host, name) != getattr(given.host, name)}
    assert of_host == {"address", "reply_timeout_s", "connect_timeout_s", "reconnect", "echo_interval_s"}
    assert used.host.address is not None
    assert str(used.host.address).startswith("127.0.0.1:")
    assert used.terminals[0].tid == "20000007"


def test_a_day_that_goes_wrong_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here the acquirer has another key than posd: nobody can sign in, and that is what it says."""
    real = SCRIPTS["unionpay"]

    def other_key(settings: Settings, house: House) -> Any:
        right, house.tmk = house.tmk, bytes(16)
        script = real(settings, house)
        house.tmk = right
        return script

    monkeypatch.setattr(selftest, "SCRIPTS", {"unionpay": other_key})
    monkeypatch.setattr(selftest_house, "PATIENCE_S", 1.0)
    assert selftest_command(None, "unionpay", False, Lang.EN) == 1
    text = capsys.readouterr().out
    assert "✗" in text
    assert "posd signs in with the acquirer: not within 1 s" in text


def test_a_difference_between_journal_and_books_is_found() -> None:
    ours = {"a": Ours((1, 1), "sale", 100, "approved"), "b": Ours((1, 2), "sale", 100, "reversed")}
    entries = {(1, 1): {"state": "reversed"}, (1, 2): {"state": "approved"}, (1, 3): {"state": "approved"}}
    found = list(differences(ours, entries))
    assert len(found) == 3
    assert "STAN 3: the host has it" in found[0]


@pytest.mark.parametrize(
    ("file", "what"), [("unionpay.json", "hex"), ("nac.json", "hex"), ("unionpay_matrix.json", "mti")]
)
def test_a_changed_vector_is_found(
    file: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(selftest_vectors.FOLDER, tmp_path / "vectors")
    path = tmp_path / "vectors" / file
    document = json.loads(path.read_text())
    row = document["messages"][-1]
    row[what] = row[what][:-1] + ("0" if row[what][-1] != "0" else "1")
    path.write_text(json.dumps(document))
    monkeypatch.setattr(selftest_vectors, "FOLDER", tmp_path / "vectors")
    bad = [check for check in selftest_vectors.vector_checks(("unionpay", "nac")) if not check.good]
    assert [check.name for check in bad] == [f"vectors_{path.stem}"]
    assert bad[0].findings[0].startswith(row["name"])


def test_a_changed_mac_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(selftest_vectors.FOLDER, tmp_path / "vectors")
    path = tmp_path / "vectors" / "macs.json"
    path.write_text(path.read_text().replace("3841394539314238", "3841394539314239", 1))
    monkeypatch.setattr(selftest_vectors, "FOLDER", tmp_path / "vectors")
    bad = [check for check in selftest_vectors.vector_checks(()) if not check.good]
    assert [finding for check in bad for finding in check.findings] == ["A1: another MAC"]


def test_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--profile", "klingon"]) == 2
    assert "--profile takes unionpay" in capsys.readouterr().err
    assert main(["selftest", "--config", str(tmp_path / "none.yaml")]) == 2
    (tmp_path / "posd.yaml").write_text("version: 1\nhosts: {}\n")
    assert main(["selftest", "--config", str(tmp_path / "posd.yaml")]) == 2
    assert main(["selftest", "--profile", "nac", "--config", str(configured(tmp_path))]) == 2


def test_without_its_vectors_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest_vectors, "FOLDER", tmp_path)
    assert main(["selftest"]) == 3
    assert "install it again" in capsys.readouterr().err


@pytest.mark.system
@pytest.mark.parametrize("there", ["posd-*", "posd-*/state/journal/*", "posd-*/c"])
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(name: signal.Signals, there: str, tmp_path: Path) -> None:
    """Wherever the day is: as soon as this of it is there, the signal comes."""
    command = [sys.executable, "-m", "posd", "selftest", "--profile", "unionpay"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + LIMIT_S
        while not list(tmp_path.glob(there)) and time.monotonic() < deadline:
            time.sleep(0.001)
        child.send_signal(name)
        _, said = child.communicate(timeout=LIMIT_S)
    assert (child.returncode, "Traceback" in said) == (130, False)
    assert list(tmp_path.iterdir()) == []
