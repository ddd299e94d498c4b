"""The README's doors, as a reader tries them: its commands are typed as they stand, but for the ports."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.stage import free_port
from tests.system.house import ROOT

pytestmark = pytest.mark.system

README = (ROOT / "README.md").read_text(encoding="utf-8")
SALE = re.search(r"Type `({.*?})`", README)
WITHIN_S = 60.0


def blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


class Reader:
    """Somebody at a shell, with a posd of their own on ports that are free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {number: str(free_port()) for number in ("5000", "7000", "7080")}
        (folder / "config").mkdir()
        for name in ("host-sim.example.yaml", "posd.example.yaml"):
            (folder / "config" / name).write_text(self._moved((ROOT / "config" / name).read_text()))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.shell = {"env": {**os.environ, "PATH": path, "HOME": str(folder)}, "text": True, "executable": "/bin/bash"}

    def _moved(self, text: str) -> str:
        for number, port in self.ports.items():
            text = text.replace(f"127.0.0.1:{number}", f"127.0.0.1:{port}")
        return text

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self._moved(command), shell=True, cwd=self.folder, start_new_session=True, **self.shell)

    def type(self, command: str, said: str = "") -> str:
        """What it prints."""
        done = subprocess.run(
            self._moved(command),
            shell=True,
            cwd=self.folder / "try",
            input=said,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
            **self.shell,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    at_the_shell = Reader(tmp_path)
    (setting_up,) = [block for block in blocks() if block.startswith("mkdir try")]
    running = at_the_shell.start(setting_up)
    try:
        asked = "curl -sf --unix-socket till.sock http://till/v1/health | grep -q 'signed_in.:true'"
        health = f"until {asked}; do sleep 0.1; done"
        subprocess.run(
            f"until cd try 2>/dev/null; do sleep 0.1; done; {health}",
            shell=True,
            cwd=tmp_path,
            timeout=WITHIN_S,
            check=True,
            **at_the_shell.shell,
        )
        yield at_the_shell
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(WITHIN_S)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on the PATH: apt-get install curl")
def test_the_doors_open_as_the_readme_says(reader: Reader) -> None:
    assert SALE is not None
    (at_a_terminal,) = re.findall(r"\| TCP \| .*? \| `(python .*?)` \|", README)
    sold = json.loads(reader.type(at_a_terminal, SALE[1] + "\n"))
    assert (sold["outcome"], sold["amount"]) == ("approved", 1234)
    (at_the_socket,) = re.findall(r"`(curl --unix-socket .*?)`", README)
    assert '"signed_in":true' in reader.type(at_the_socket.replace("/run/posd/till.sock", "till.sock"))
    (orders,) = [block for block in blocks() if "Idempotency-Key: sale-0001" in block]
    lines = [line for line in orders.replace("\\\n", " ").splitlines() if not line.startswith("curl -N")]
    told = reader.type("\n".join(lines).replace("/etc/posd/keys/till.token", "till.token"))
    assert [told.count(words) for words in ('"kind":"sale"', '"kind":"void"', '"openapi":"3.1.0"')] == [3, 1, 1]
    assert '"phase":' in told
