"""The real program in a process of its own: statuses, no traceback ever, and a daemon that stays light (D38)."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 60


def run(*args: str, place: Any = None, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **more.pop("environment", {})}
    if place is not None:
        environment["POSD_CONFIG"] = str(place.config)
    return subprocess.run(
        [sys.executable, "-m", "posd", *args],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
        check=False,
        **more,
    )


def light_after(*args: str) -> list[str]:
    """The heavy modules that `posd run` has loaded when it ends."""
    program = (
        "import sys, json\nfrom posd.__main__ import main\n"
        f"main({list(args)!r})\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules} & {'typer', 'rich', 'click'})))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    loaded: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return loaded


def test_d38_run_loads_neither_typer_nor_rich(place: Any) -> None:
    place.store.close()
    (place.folder / "control").write_text("no socket")  # refused when all parts have been assembled
    assert light_after("run", "--config", str(place.config)) == []
    assert (place.settings.state_dir / "keys").is_dir()
    assert light_after("run", "--config", str(place.folder / "none.yaml")) == []
    assert light_after("version") == ["typer"], "the test can see what is loaded"


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["run", "--config", "/nonexistent/posd.yaml"], 2),
        (["run", "--confgi", "x"], 2),
        (["check-config", "/nonexistent/posd.yaml"], 2),
        (["status", "--config", "/nonexistent/posd.yaml"], 2),
        (["journal", "verify", "--config", "/dev/null"], 2),
        (["journal", "verify", "--config", "/"], 2),
        (["nonsense"], 2),
        (["reversals", "resolve"], 2),
        ([], 2),
        (["version"], 0),
        (["decode", "--test-data", "00"], 1),
    ],
)
def test_statuses_without_a_traceback(args: list[str], status: int) -> None:
    ended = run(*args)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    if status == 2 and args:
        assert all(line.startswith(("posd: ", "/nonexistent")) for line in ended.stderr.splitlines())
        assert ended.stderr.strip()


def test_findings_and_failures_have_their_statuses(place: Any) -> None:
    place.runner.sells(100)
    assert run("status", place=place).returncode == 1
    assert run("settle", place=place).returncode == 3
    assert run("txn", "list", place=place).returncode == 0
    assert run("journal", "verify", place=place).returncode == 0
    place.store.close()
    journal = place.settings.state_dir / "journal"
    (journal / "journal.db-wal").unlink(missing_ok=True)
    (journal / "journal.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    for args in (["status"], ["journal", "verify"], ["journal", "export"], ["txn", "show", "x"]):
        ended = run(*args, place=place)
        assert ended.returncode in (2, 3), args
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count("\n") <= 2


def test_a_reader_that_goes_away_is_no_error(place: Any) -> None:
    for _ in range(40):
        place.runner.sells(100)
    program = f"{sys.executable} -m posd journal export | head -n 1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "POSD_CONFIG": str(place.config)},
        check=False,
    )
    assert json.loads(ended.stdout)["sequence"] == 1
    assert ended.stderr == ""
    assert ended.returncode in (0, 141)


def test_ctrl_c_is_130_without_a_word() -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "posd", "decode"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until_reading(waiting)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=LIMIT_S)
    finally:
        waiting.kill()
        waiting.wait()
    assert waiting.returncode == 130
    assert (out, err) == ("", "")


READ = {"0", "63"}
"""The kernel's number of read(2) on x86-64 and on arm64."""


def until_reading(process: subprocess.Popen[str]) -> None:
    """Until the process waits in a read of its standard input."""
    while process.poll() is None:
        call = Path(f"/proc/{process.pid}/syscall").read_text().split()
        if call[0] in READ and call[1] == "0x0":
            return
    raise AssertionError("it ended instead of reading")


def test_a_shop_with_an_old_locale_still_reads(place: Any) -> None:
    ended = run("status", "--lang", "zh", place=place, environment={"PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "\\u" in ended.stdout
