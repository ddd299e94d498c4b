"""A shop in a box: posd installed by the README's commands, the acquirer outside, a terminal at the door."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader
from tests.daemon.audit import differences
from tests.daemon.stage import EXPIRY, MID, TID, TMK
from tests.system.box import HOST, ROOT, Box
from tests.system.house import CANARY

PORT = 5000
SALE_S = 20.0
POSD = "/opt/posd/bin/posd"
QUICK = "[Service]\nWatchdogSec=2\nRestartSec=1\n"
"""As in the unit, in less time."""


def commands_of_the_readme() -> list[str]:
    """What stands in the shell blocks of its chapter "For real", line by line."""
    chapter = (ROOT / "README.md").read_text().split("\n## For real\n")[1].split("\n## ")[0].split("\n### ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Shop:
    """`said`: the README's commands that ran in the box, with what came of each."""

    def __init__(self, folder: Path, outside: Path) -> None:
        self.box, self.outside = Box(folder), outside
        self.host: subprocess.Popen[str] | None = None
        self.terminal: subprocess.Popen[str] | None = None
        self.said: dict[str, subprocess.CompletedProcess[str]] = {}

    def open(self) -> None:
        self.box.build()
        self.box.install()
        fetched, typed = split(commands_of_the_readme())
        for line in fetched:
            self.box.with_network(line)
        self.box.boot()
        self.start_host()
        for line in typed:
            self.said[line] = self.box.typed(line, given=f"{TMK}\n")
        self.hurry()

    def hurry(self) -> None:
        """Limits as short as a test wants them."""
        self.drop_in("quick", QUICK)
        hurry = "s/reply_timeout_s: 30 /reply_timeout_s: 3 /; s/first_s: 60$/first_s: 1/"
        self.box.shell(f"sed -i '{hurry}' /etc/posd/posd.yaml; systemctl restart posd")

    def drop_in(self, name: str, text: str) -> None:
        """A change of the unit that is gone after the next boot."""
        self.box.shell(
            f"mkdir -p /run/systemd/system/posd.service.d; cat > /run/systemd/system/posd.service.d/{name}.conf; "
            "systemctl daemon-reload",
            given=text,
        )

    def start_host(self, *faults: dict[str, Any]) -> None:
        """The acquirer, with the books that it had."""
        if self.host is not None:
            self.host.kill()
            self.host.wait()
        settings = self.outside / "host.yaml"
        terminals = [{"tid": tid, "mid": MID, "tmk": TMK} for tid in (TID, "20000001")]
        cards = [{"pan": CANARY, "balance": "900000.00", "expiry": EXPIRY}]
        settings.write_text(json.dumps({"terminals": terminals, "cards": cards, "faults": list(faults)}))
        files = ("--books", str(self.outside / "books.json"), "--state", str(self.outside / "state.json"))
        with (self.outside / "host.log").open("w") as log:
            listen = ("--listen", f"{HOST}:{PORT}")
            self.host = self.box.beside("simulators.host", "--config", str(settings), *listen, *files, stdout=log)
        self.box.until(lambda: "listening" in self.heard(), "the acquirer")

    def heard(self) -> str:
        """What the acquirer said since it was started."""
        return (self.outside / "host.log").read_text()

    def close(self) -> None:
        for process in (self.host, self.terminal):
            if process is not None:
                process.kill()
                process.communicate()
        self.box.scrap()

    # --- the day -------------------------------------------------------------------------------------------------

    def sell(self, amount: str) -> dict[str, Any]:
        """The terminal at the door of the box sells something; it lives as long as the shop, and counts on."""
        if self.terminal is None:
            door = ("--connect", "127.0.0.1:7000", "--tid", TID, "--mid", MID)
            self.terminal = self.box.beside("simulators.terminal", *door, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.terminal.stdin is not None
        assert self.terminal.stdout is not None
        step = {"do": "sale", "amount": amount, "card": CANARY, "expiry": EXPIRY}
        self.terminal.stdin.write(json.dumps(step) + "\n")
        self.terminal.stdin.flush()
        return dict(json.loads(self.terminal.stdout.readline()))

    def sold(self, amount: str) -> None:
        """As soon as the line is up, which it need not be right after a start."""
        deadline = time.monotonic() + SALE_S
        while (said := self.sell(amount))["outcome"] != "approved":
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.box.typed(f"{POSD} status --json").stdout))

    def books(self) -> dict[str, Any]:
        return dict(json.loads((self.outside / "books.json").read_text()))

    def records(self) -> list[RecordView]:
        with JournalReader(self.box.disk / "var/lib/posd/journal") as reader:
            return list(reader.records())

    def kinds(self) -> list[str]:
        return [row.kind for row in self.records()]

    def differences(self) -> list[str]:
        return differences(self.books(), self.records())

    def restarted(self, old_pid: int) -> None:
        """Until another posd is ready."""
        self.box.until(lambda: self.box.is_ready() and self.box.pid() not in (0, old_pid), "posd to be started again")


def split(lines: list[str]) -> tuple[list[str], list[str]]:
    """What fetches packages, and what is typed into the box, which has no way to the internet."""
    fetched = [line for line in lines if "pip install" in line or line.startswith("apt-get install")]
    assert fetched
    assert fetched == lines[: len(fetched)], "the README installs first"
    return fetched, lines[len(fetched) :]
