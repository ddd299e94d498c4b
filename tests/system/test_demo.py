"""`posd demo` for real: three processes, real sockets, kill -9, an audit in agreement, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

DEMO = [sys.executable, "-m", "posd", "demo"]
LIMIT_S = 120
PROCESSES = 3

pytestmark = pytest.mark.system


def demo(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False, **more)


@pytest.mark.parametrize("seed", [2, 7])
def test_a_day_of_trouble_agrees_to_the_cent(seed: int, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    done = demo("--seed", str(seed), "--json", "--keep", str(keep))
    assert done.returncode == 0, done.stderr
    audit = json.loads(done.stdout)
    assert audit["agreed"]
    assert [check["findings"] for check in audit["checks"] if not check["good"]] == []
    whys = {why for row in audit["transactions"] for why in row["why_unknown"]}
    assert {"timeout", "mac", "link", "restart"} <= whys
    assert [batch["state"] for batch in audit["batches"]] == ["closed"] * 4 + ["open"]
    assert [row["told"] for row in audit["transactions"] if row["kind"] == "refund"] == ["approved 00", "declined 98"]
    assert sum(row["journal"] == "approved" for row in audit["transactions"]) >= 15
    for words in ("ended with 202", "happened: yes", "approved by Li Na", "was missed"):
        assert words in done.stderr
    kept = {path.name for path in keep.rglob("*")}
    assert {"posd.yaml", "journal.db", "books.json", "posd.log", "terminal.log"} <= kept


def test_a_seed_is_a_story(tmp_path: Path) -> None:
    """Without --json the story goes to standard output, and nothing stays."""
    done = demo(env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert "kill -9" in done.stdout
    assert "all agree" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = demo("--keep", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"posd demo: --keep {tmp_path}: is not empty; name a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with started(tmp_path) as running:
        pids = processes_of(running.stdout)
        running.send_signal(number)
        rest = running.communicate(timeout=LIMIT_S)
        assert running.returncode == 130
        assert "interrupted" in rest[1]
    assert [pid for pid in pids if is_alive(pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_fails_is_status_3_and_no_audit(tmp_path: Path) -> None:
    with started(tmp_path) as running:
        host, posd, terminal = processes_of(running.stdout)
        os.kill(host, signal.SIGKILL)
        rest = running.communicate(timeout=LIMIT_S)
        assert running.returncode == 3
        assert "no audit" in rest[0]
    assert [pid for pid in (posd, terminal) if is_alive(pid)] == []
    assert list(tmp_path.iterdir()) == []


def started(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def processes_of(story: IO[str] | None) -> list[int]:
    """The ids of the demo's processes, as soon as it has told all three."""
    assert story is not None
    pids: list[int] = []
    for line in story:
        pids += map(int, re.findall(r"process (\d+)", line))
        if len(pids) == PROCESSES:
            break
    return pids


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
