"""`posd keys`, as people type it: components on a real terminal, files in a script, with and without a daemon."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posd.__main__ import main
from posd.config import load
from posd.config.keyhome import key_store
from posd.daemon.shown.offline import journal_folder
from posd.journal.reader import JournalReader
from posd.security.machine import create_machine_key, load_machine_key
from posd.settings import Settings
from tests.sealing import seal_tmk

ONE, TWO, THREE = "0123456789ABCDEFFEDCBA9876543210", "1A2A4C4C5E5E707083A2B5C4D5E6F701", "1F" * 4 + "0E" * 4 + "31" * 8
PAIR_KCV, THREE_KCV = "15BEB577", "8282FC8E"
"""As openssl's des-ede has them."""
TID = "10000001"
LIMIT_S = 30.0


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A real shop's settings, its host elsewhere, without a TMK yet."""
    (tmp_path / "posd.yaml").write_text(
        'version: 1\nhost: {address: "10.0.0.1:5000"}\nstate_dir: state\ncontrol_socket: control\n'
        "machine_key_file: machine.key\njournal: {ballast_bytes: 4096, free_bytes_min: 0}\n"
        f'terminals: [{{tid: "{TID}", mid: "898100012345678"}}]\n'
    )
    create_machine_key(tmp_path / "machine.key")
    monkeypatch.setenv("POSD_CONFIG", str(tmp_path / "posd.yaml"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    return load(tmp_path / "posd.yaml")


def kinds(settings: Settings) -> list[str]:
    if not journal_folder(settings).exists():
        return []
    with JournalReader(journal_folder(settings)) as reader:
        return [row.kind for row in reader.records()]


def secrets_below(folder: Path) -> list[str]:
    """Files that hold a component or the key, as digits or bytes."""
    wanted = [form for digits in (ONE, TWO, THREE) for form in (digits.encode(), bytes.fromhex(digits))]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(form in path.read_bytes().upper() for form in wanted)]


class Conversation:
    """`posd` on a terminal of its own."""

    def __init__(self, *args: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posd", *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.shown = ""
        self._seen = 0

    def expects(self, text: str) -> None:
        while text not in self.shown[self._seen :]:
            assert self._more(), f"waited for {text!r} after {self.shown!r}"
        self._seen = self.shown.index(text, self._seen) + len(text)

    def types(self, question: str, answer: str) -> None:
        self.expects(question)
        if "not shown" in question:
            self.expects("): ")
        os.write(self.master, answer.encode() + b"\n")

    def ends(self) -> int:
        while self._more():
            pass
        os.close(self.master)
        return self.process.wait(LIMIT_S)

    def _more(self) -> bool:
        if not select.select([self.master], [], [], LIMIT_S)[0]:
            return False
        try:
            more = os.read(self.master, 4096)
        except OSError:  # EIO: the other end has hung up
            return False
        self.shown += more.decode(errors="replace")
        return bool(more)


def test_two_people_load_a_key_and_see_its_check_values(shop: Settings) -> None:
    talk = Conversation("keys", "load", "--tid", TID)
    talk.types("Component 1 of 2: holder's name", "Li Na")
    talk.types("Component 1, hexadecimal (not shown", ONE[:-2] + "11")
    talk.expects("digits 31 and 32 have no odd parity")
    talk.types("Component 1, hexadecimal (not shown", ONE)
    talk.expects("check value 08D7B4FB")
    talk.types("on your sheet? [y/n]", "n")
    talk.types("Component 1, hexadecimal (not shown", ONE.lower())
    talk.types("on your sheet? [y/n]", "y")
    talk.types("Component 2 of 2: holder's name", "li na")
    talk.expects("each component has a holder of its own")
    talk.types("Component 2 of 2: holder's name", "Wang Wei")
    talk.types("Component 2, hexadecimal (not shown", TWO)
    talk.types("on your sheet? [y/n]", "y")
    talk.expects(f"The key: check value {PAIR_KCV}")
    talk.types("letter? [y/n]", "y")
    assert talk.ends() == 0, talk.shown
    assert f"check value {PAIR_KCV}" in talk.shown
    assert not {digits for digits in (ONE, TWO) if digits in talk.shown.upper()}
    store = key_store(shop, load_machine_key(shop.machine_key_file))
    assert [(one.by, one.check_value) for one in store.list()] == [(("Li Na", "Wang Wei"), PAIR_KCV)]
    assert store.open(TID, 0).kcv == PAIR_KCV
    assert kinds(shop) == ["tmk_loaded"]
    assert secrets_below(shop.state_dir.parent) == []


@pytest.mark.parametrize("how", ["no", "ctrl-c", "end of input", "killed"])
def test_whoever_stops_keeps_nothing(shop: Settings, how: str) -> None:
    talk = Conversation("keys", "load", "--tid", TID)
    for number, (name, digits) in enumerate((("Li Na", ONE), ("Wang Wei", TWO)), start=1):
        talk.types(f"Component {number} of 2: holder's name", name)
        talk.types(f"Component {number}, hexadecimal (not shown", digits)
        talk.types("on your sheet? [y/n]", "y")
    talk.expects("letter? [y/n]")
    match how:
        case "no":
            os.write(talk.master, b"n\n")
        case "ctrl-c":
            os.write(talk.master, b"\x03")
            talk.process.send_signal(signal.SIGINT)
        case "end of input":
            os.write(talk.master, b"\x04")
        case _:
            talk.process.kill()
    assert talk.ends() != 0
    assert "Traceback" not in talk.shown
    assert not (shop.state_dir / "tmk").exists()
    assert kinds(shop) == []
    assert secrets_below(shop.state_dir.parent) == []


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def posd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(args))
        return (status, *capsys.readouterr())

    return run


def component_files(folder: Path, *components: str, mode: int = 0o600) -> list[str]:
    args = []
    for number, (digits, name) in enumerate(zip(components, ("Li Na", "Wang Wei", "Zhao Min"), strict=False)):
        path = folder / f"component{number}"
        path.write_text(digits + "\n")
        path.chmod(mode)
        args += ["--component-file", str(path), "--by", name]
    return args


def test_an_integrator_loads_from_files(shop: Settings, tmp_path: Path, posd: Run) -> None:
    files = component_files(tmp_path, ONE, TWO, THREE)
    status, out, err = posd("keys", "load", "--tid", TID, "--index", "2", *files, "--check-value", THREE_KCV, "--json")
    assert status == 0, err
    said = json.loads(out)
    assert (said["index"], said["check_value"], said["in_use"], said["cipher"]) == (2, THREE_KCV, False, "3DES")
    assert said["by"] == ["Li Na", "Wang Wei", "Zhao Min"]
    assert not {digits for digits in (ONE, TWO, THREE) if digits in (out + err).upper()}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda args: args[:-2], "one --by for each file"),
        (lambda args: args[:-4], "2 or 3 components, not of 1"),
        (lambda args: [*args[:-1], "LI NA"], "different names"),
        (lambda args: [*args[:-3], args[1], *args[-2:]], "two components are equal"),
        (lambda args: [*args, "--check-value", "00000000"], f"is {PAIR_KCV}, not the 00000000"),
        (lambda args: [*args, "--index", "10"], "less than or equal to 9"),
        (lambda args: ["--tid", "short", *args], "8 characters"),
    ],
)
def test_what_makes_no_key_is_misuse_and_keeps_nothing(
    shop: Settings, tmp_path: Path, posd: Run, change: Any, why: str
) -> None:
    args = change(component_files(tmp_path, ONE, TWO))
    status, out, err = posd("keys", "load", *([] if "--tid" in args else ["--tid", TID]), *args)
    assert (status, out) == (2, "")
    assert why in err
    assert not (shop.state_dir / "tmk").exists()
    assert not {digits for digits in (ONE, TWO) if digits in err.upper()}


def test_a_component_that_others_can_read_is_refused(shop: Settings, tmp_path: Path, posd: Run) -> None:
    status, _, err = posd("keys", "load", "--tid", TID, *component_files(tmp_path, ONE, TWO, mode=0o640))
    assert status == 2
    assert "open to other users; run: chmod 600" in err


def test_what_is_listed_and_removed(shop: Settings, posd: Run) -> None:
    assert posd("keys", "list")[0] == 0
    for index in (0, 1):
        seal_tmk(shop, TID, index)
    status, out, _ = posd("keys", "list")
    assert status == 0
    heads, first, second = out.splitlines()
    assert heads.split()[:2] == ["TERMINAL", "INDEX"]
    assert ("yes" in first, "yes" in second) == (True, False)
    assert "08D7B4FB" in first
    assert "Li Na, Wang Wei" in first
    person = ("--by", "Li Na", "--reason", "replaced by the acquirer")
    status, _, err = posd("keys", "remove", "--tid", TID, *person)
    assert status == 2
    assert "works with index 0; write another tmk_index" in err
    status, out, _ = posd("keys", "remove", "--tid", TID, "--index", "1", *person)
    assert status == 0
    assert "check value 08D7B4FB" in out
    assert [view["index"] for view in json.loads(posd("keys", "list", "--json")[1])["keys"]] == [0]
    status, _, err = posd("keys", "remove", "--tid", TID, "--index", "1", *person)
    assert status == 2
    assert "has no TMK with index 1" in err
    assert kinds(shop) == ["tmk_removed"]


def test_a_key_that_is_there_is_not_replaced_nor_recorded(shop: Settings, tmp_path: Path, posd: Run) -> None:
    seal_tmk(shop, TID)
    status, _, err = posd("keys", "load", "--tid", TID, *component_files(tmp_path, ONE, TWO))
    assert status == 2
    assert "none is ever replaced" in err
    assert kinds(shop) == []


def test_d26_posd_does_not_start_without_its_key_and_says_how_to_get_one(shop: Settings, posd: Run) -> None:
    status, _, err = posd("check-config", str(shop.state_dir.parent / "posd.yaml"))
    assert status == 2
    assert f"terminals[0].tid: terminal {TID} has no TMK with index 0; run: posd keys load --tid {TID}" in err
    seal_tmk(shop, TID)
    assert posd("check-config", str(shop.state_dir.parent / "posd.yaml"))[0] == 0
