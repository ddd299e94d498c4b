"""Real processes: kill -9 in mid writing loses nothing that was acknowledged; the system calls are counted."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posd.journal.verify import verify

CHILD = Path(__file__).with_name("journal_child.py")
KILLS = 6
COMMITS = 50


def acknowledged_before_a_kill(folder: Path, rows: int) -> int:
    """Let a process write, kill it after `rows` acknowledgements, and return the last that it gave."""
    command = [sys.executable, CHILD, "write", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()}) as child:
        assert child.stdout is not None
        last = b""
        for _ in range(rows):
            last = child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        lines = [last, *child.stdout.read().splitlines(keepends=True)]
    return int([line for line in lines if line.endswith(b"\n")][-1])


@pytest.mark.system
def test_every_acknowledged_row_survives_a_kill(folder: Path, opened: Any, chain_key: bytes) -> None:
    for kill in range(KILLS):
        acknowledged = acknowledged_before_a_kill(folder, 1 + 137 * kill)
        assert verify(folder, chain_key).intact
        store = opened()
        sequences = [record.sequence for record in store.replay("12345678", 1).records]
        payloads = [record.payload for record in store.replay("12345678", 1).records]
        assert sequences == list(range(1, store.head().sequence + 1))
        assert payloads == [f'{{"n":{sequence}}}' for sequence in sequences]
        assert acknowledged <= store.head().sequence <= acknowledged + 1
        store.close()


@pytest.mark.system
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_d31_exactly_one_fdatasync_for_each_commit(folder: Path, tmp_path: Path) -> None:
    counts = [syncs(folder, tmp_path / "trace", commits) for commits in (1, 1, 1 + COMMITS)]
    # the second run of one commit is the cost of opening; what comes on top is the commits alone
    assert counts[2] - counts[1] == COMMITS


def syncs(folder: Path, trace: Path, commits: int) -> int:
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", trace, sys.executable]
    command += [CHILD, "write", folder, "--commits", str(commits)]
    traced = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if traced.returncode != 0 and b"PTRACE" in traced.stderr:
        pytest.skip("tracing is not allowed here")
    assert traced.returncode == 0, traced.stderr
    return len(re.findall(r"\b(?:fsync|fdatasync|sync_file_range|msync)\(", trace.read_text()))
