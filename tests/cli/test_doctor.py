"""`posd doctor` beside real files and sockets, without a daemon. Beside one, and systemd: tests/system/test_box.py."""

import json
import os
import pwd
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.cli.doctor.machine import clock, swap
from posd.cli.doctor.words import CHECKS, TEXTS, TO_DO
from posd.config import load
from posd.config.keyhome import key_store
from posd.daemon.assemble import JOURNAL_FOLDER
from posd.daemon.clock import SystemClock
from posd.journal.opening import open_store
from posd.security.keys import DES
from posd.security.keystore import NewTmk
from posd.security.machine import load_machine_key
from posd.security.vault import DataKeys
from posd.values import Now
from tests.daemon.stage import MID, TID, TMK, configuration, free_port, merged, write_configuration, write_keys
from tests.transport.pki import DAY, Pki

NOTHING_TO_DO = ("_good", "_none", "_up", "_reachable", "_serial", "_kept_off", "_unseen", "_instance", "no_systemd")

Look = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def host() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def look(tmp_path: Path, host: socket.socket, capsys: pytest.CaptureFixture[str]) -> Look:
    write_keys(tmp_path, (TID,))

    def doctor(*more: str, **change: Any) -> tuple[int, list[dict[str, Any]]]:
        settings = configuration(tmp_path, host.getsockname()[1], free_port(), (TID,))
        config = write_configuration(tmp_path, merged(settings, change))
        status = main(["doctor", "--config", str(config), "--json", *more])
        said = json.loads(capsys.readouterr().out)
        assert said["good"] is (status == 0)
        return status, said["findings"]

    return doctor


def make_journal(folder: Path) -> None:
    key = load_machine_key(folder / "machine.key")
    (folder / "state").mkdir(mode=0o700)
    place, keys = folder / "state" / JOURNAL_FOLDER, DataKeys(folder / "state" / "keys", key)
    open_store(place, key.derive("chain"), key.derive("digest"), keys, ballast_bytes=4096, free_bytes_min=0).close()


def only(findings: list[dict[str, Any]], code: str) -> dict[str, Any]:
    (found,) = [one for one in findings if one["code"] == code]
    return dict(found)


def test_a_machine_on_which_nothing_runs_yet(look: Look) -> None:
    status, findings = look()
    assert status == 1
    wrong = {one["code"] for one in findings if one["level"] in ("warning", "alert")}
    assert wrong - {"clock_free", "no_unit", "swap_on"} == {"daemon_not_started"}
    assert only(findings, "route_reachable")["facts"]["ms"] >= 0
    assert only(findings, "keys_good")["facts"]["count"] == 2


def test_certificates_in_files_are_looked_at_without_a_daemon(look: Look) -> None:
    pki = Pki.shared()
    pki.pair("ending", "ending", (-DAY, 3 * DAY))
    good = {"ca_file": str(pki.ca)}
    address = {"address": "tls://127.0.0.1:9"}
    _, findings = look(host={**address, "tls": good}, certificates={"alert_days": 7})
    assert only(findings, "certificates_good")["facts"]["name"] == "A private authority"
    own = {"certificate_file": str(pki.file("ending.pem")), "key_file": str(pki.file("ending.key"))}
    _, findings = look(host={**address, "tls": {**good, **own}}, certificates={"alert_days": 7})
    assert "our certificate for the host (ending, " in only(findings, "certificates_wanted")["text"]
    assert "systemctl reload posd" in only(findings, "certificates_wanted")["to_do"]
    verify = {"verify": "no_anyone_may_pretend_to_be_the_host"}
    _, findings = look(host={**address, "tls": verify})
    (wanted,) = [one for one in findings if one["check"] == "certificates"]
    assert "tls://127.0.0.1:9 is not verified: anyone may pretend to be it" in wanted["text"]


def test_a_route_is_connected_to_and_nothing_is_sent(look: Look, host: socket.socket) -> None:
    look()
    host.settimeout(5)
    connection, _ = host.accept()
    with connection:
        assert connection.recv(100) == b""


def test_a_host_that_is_not_there(look: Look) -> None:
    status, findings = look(host={"address": f"127.0.0.1:{free_port()}"})
    assert status == 1
    found = only(findings, "route_down")
    assert "refused" in found["text"]
    assert found["to_do"]


def test_a_key_that_others_can_read(look: Look, tmp_path: Path) -> None:
    (tmp_path / f"{TID}.tmk").chmod(0o644)
    found = only(look()[1], "key_bad")
    assert (found["level"], found["to_do"]) == ("alert", f"run: chmod 600 {tmp_path / f'{TID}.tmk'}")
    assert TMK not in json.dumps(found)


def test_keys_that_are_worth_a_word(look: Look, tmp_path: Path) -> None:
    _, findings = look()
    assert only(findings, "key_plain")["level"] == "note"
    os.utime(tmp_path / "machine.key", (0, 0))
    (tmp_path / "machine.key.new").write_bytes(load_machine_key(tmp_path / "machine.key").successor().text())
    (tmp_path / "machine.key.new").chmod(0o600)
    _, findings = look()
    assert only(findings, "machine_key_old")["to_do"] == "posd keys rotate --by NAME"
    assert only(findings, "rotation_unfinished")["level"] == "warning"


def test_a_tmk_that_is_missing_open_to_others_or_old(look: Look, tmp_path: Path) -> None:
    change = {"terminals": [{"tid": TID, "mid": MID}]}
    found = only(look(**change)[1], "key_bad")
    assert (found["level"], found["to_do"]) == ("alert", f"run: posd keys load --tid {TID}")
    settings = load(tmp_path / "posd.yaml")
    key, new = bytes.fromhex(TMK), 1_000_000_000_000
    store = key_store(settings, load_machine_key(settings.machine_key_file))
    store.add(NewTmk(TID, 0, key, DES, ("Li Na", "Wang Wei"), new))
    assert only(look(**change)[1], "tmk_old")["facts"]["tid"] == TID
    (sealed,) = (settings.state_dir / "tmk").iterdir()
    sealed.chmod(0o644)
    assert only(look(**change)[1], "key_bad")["to_do"] == f"run: chmod 600 {sealed}"


def test_a_key_that_belongs_to_somebody_else(look: Look, tmp_path: Path) -> None:
    try:
        os.chown(tmp_path / "machine.key", 4242, -1)
    except PermissionError:
        pytest.skip("only root can give a file away")
    found = only(look()[1], "key_of_another")
    assert found["facts"] == {"file": str(tmp_path / "machine.key"), "owner": "user id 4242"}


def test_a_disk_without_room(look: Look) -> None:
    assert only(look(journal={"free_bytes_min": 2**62})[1], "disk_full")["level"] == "alert"


def test_a_disk_that_is_nearly_full(look: Look, tmp_path: Path) -> None:
    half = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize // 2
    assert only(look(journal={"free_bytes_min": half, "ballast_bytes": 4096})[1], "disk_low")["level"] == "warning"


def test_an_engine_that_is_too_old(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: "3.7.0")
    monkeypatch.setattr("posd.journal.connect.apsw.sqlite_lib_version", lambda: "3.7.0")
    assert "install posd again" in only(look()[1], "sqlite_old")["to_do"]


def test_how_old_the_backups_are_and_whether_they_are_proven(
    look: Look, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change = {"backup": {"path": str(tmp_path / "backups")}}
    assert only(look(**change)[1], "backup_missing")["to_do"].startswith("posd setup makes the folder")
    (tmp_path / "backups").mkdir(mode=0o700)
    assert only(look(**change)[1], "backup_missing")["level"] == "warning"
    make_journal(tmp_path)
    assert main(["backup", "create", "--config", str(tmp_path / "posd.yaml")]) == 0
    assert main(["backup", "verify", "--config", str(tmp_path / "posd.yaml")]) == 0
    capsys.readouterr()
    _, findings = look(**change)
    assert only(findings, "backup_good")["facts"]["hours"] == 0
    assert [one for one in findings if one["code"].startswith("backup_unproven")] == []
    now_ms = SystemClock().now().wall_ms
    for days, code, unit in ((2, "backup_old", "posd-backup"), (9, "backup_unproven_long", "posd-verify")):
        later = Now(now_ms + days * 24 * 3600 * 1000, 0.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("posd.cli.doctor.backups.SystemClock.now", lambda self, later=later: later)
            found = only(look(**change)[1], code)
        assert (found["level"], found["to_do"].split()[2]) == ("warning", unit)


def test_a_state_that_others_can_look_into(look: Look, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state").chmod(0o755)
    assert only(look()[1], "state_open")["to_do"] == f"chmod 700 {tmp_path / 'state'}"


def test_a_journal_that_is_none_is_a_failure(look: Look, tmp_path: Path) -> None:
    (tmp_path / "state" / "journal").mkdir(parents=True)
    (tmp_path / "state" / "journal" / "journal.db").write_bytes(b"no database" * 1000)
    status, findings = look()
    assert status == 3
    assert only(findings, "journal_unread")["level"] == "alert"


def test_a_configuration_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(("in_step", "code"), [(True, "clock_good"), (False, "clock_free"), (None, "clock_unknown")])
def test_d24_what_the_kernel_says_of_the_clock(
    monkeypatch: pytest.MonkeyPatch, in_step: bool | None, code: str
) -> None:
    monkeypatch.setattr("posd.cli.doctor.machine.synchronised", lambda: in_step)
    assert [one.code for one in clock()] == [code]


def test_a_shop_reads_it_in_chinese(look: Look) -> None:
    assert only(look("--lang", "zh")[1], "daemon_not_started")["text"] == "posd 未运行"


def test_each_code_is_complete() -> None:
    """Both languages name the same facts, and every remedy belongs to a text."""
    assert set(TO_DO) <= set(TEXTS)
    assert [code for code in TEXTS if code not in TO_DO and not code.endswith(NOTHING_TO_DO)] == []
    for english, chinese in (*TEXTS.values(), *TO_DO.values(), *CHECKS.values()):
        assert set(re.findall(r"{\w+", english)) == set(re.findall(r"{\w+", chinese))


@pytest.mark.parametrize(
    ("areas", "unit", "code"),
    [
        ("", {}, "swap_none"),
        ("/dev/sda2 partition 1048572 0 -2\n", {}, "swap_on"),
        ("/dev/sda2 partition 1048572 0 -2\n", {"MemorySwapMax": "infinity"}, "swap_on"),
        ("/swapfile file 1048572 0 -2\n", {"MemorySwapMax": "0"}, "swap_kept_off"),
    ],
)
def test_d29_swap_that_could_hold_card_numbers(tmp_path: Path, areas: str, unit: dict[str, str], code: str) -> None:
    (tmp_path / "swaps").write_text(f"Filename Type Size Used Priority\n{areas}")
    assert [found.code for found in swap(unit, tmp_path / "swaps")] == [code]
    assert list(swap(unit, tmp_path / "absent")) == []


def test_who_may_do_what(look: Look) -> None:
    assert only(look()[1], "access_unset")["level"] == "note"
    status, findings = look(access={"approve": ["user:no-such-user"]})
    assert only(findings, "access_unknown")["facts"] == {"one": "user:no-such-user", "role": "approve"}
    assert status == 1
    assert only(look(access={"approve": ["user:0"]})[1], "access_good")


def test_a_till_that_could_approve(look: Look, tmp_path: Path) -> None:
    """Its socket lies where the control socket does, and `approve` is for whoever can open that."""
    beside = {"till": {"socket": str(tmp_path / "till.sock")}}
    assert only(look(**beside)[1], "till_approves")["level"] == "warning"
    (tmp_path / "tills").mkdir()
    apart = {"till": {"socket": str(tmp_path / "tills" / "till.sock")}}
    for good in (apart, beside | {"access": {"approve": ["user:0"]}}):
        assert not [one for one in look(**good)[1] if one["code"] == "till_approves"]


def test_a_door_for_tills_that_is_open_to_a_network(look: Look, tmp_path: Path) -> None:
    token = tmp_path / "till.token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 2)
    listen = f"0.0.0.0:{free_port()}"
    words = {"open_to_network": "yes, behind our own TLS proxy", "token_file": str(token)}
    status, findings = look(till={"listen": listen, **words})
    assert status == 1
    assert only(findings, "till_open")["facts"] == {"listen": listen}


def test_a_person_with_a_role_whom_the_socket_keeps_out(look: Look, tmp_path: Path) -> None:
    """Mode 0660: who is not of its group never gets so far as to be asked who they are."""
    other = next(one for one in pwd.getpwall() if one.pw_uid not in (0, os.geteuid()))
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "control.sock"))
        os.chown(tmp_path / "control.sock", -1, os.getgid())
        findings = look(control_socket=str(tmp_path / "control.sock"), access={"approve": [f"user:{other.pw_name}"]})[1]
    kept_out = os.getgid() not in os.getgrouplist(other.pw_name, other.pw_gid)
    assert [one["facts"]["user"] for one in findings if one["code"] == "access_kept_out"] == [other.pw_name] * kept_out
