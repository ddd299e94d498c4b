"""One tiny benchmark for real: every process starts, every figure is there, nothing is left running or lying about."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = (
    "1 terminal: straight",
    "1 terminal: posd",
    "1 terminal: posd / straight",
    "1 terminal: disk, append + fdatasync",
    "1 terminal: CPU of posd",
    "1 terminal: resident memory",
    "exec -> READY, 1 terminal",
    "upload of 20 items",
    "restart after 300 transactions",
    "verify after 300 transactions",
)


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simulators.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.system
def test_a_tiny_benchmark_measures_everything_and_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("b")  # short: a Unix socket's path has 107 bytes
    arguments = ("--quick", "--json", "--terminals", "1", "--seconds", "0.2", "--pasts", "300", "--items", "20")
    done = bench(*arguments, "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert all(figures[name]["value"] > 0 for name in FIGURES)
    assert figures["restart after 300 transactions"]["target"] == {"sense": "at most", "bound": 1.0}
    assert not list(folder.iterdir())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = bench("--dir", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "no such folder" in done.stderr
