"""A process that is told never to be dumped, is not: proven by a real one that is killed for it (D29)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = "6225880123456789"
DIES = """
import ctypes, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2) if sys.argv[1] == "control" else None
if sys.argv[1] != "control":
    from posd.daemon.undumped import never_dump
    never_dump()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
secret = "6225880123" + "456789"
os.kill(os.getpid(), signal.SIGABRT)
"""


def died(folder: Path, how: str) -> str:
    done = subprocess.run([sys.executable, "-c", DIES, how], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == -6, done.stderr
    return done.stdout.strip()


def cores(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("core")]


def test_d29_no_core_is_written(tmp_path: Path) -> None:
    assert died(tmp_path, "posd") == "0 0"
    assert cores(tmp_path) == []


def test_d29_no_command_is_dumped_either() -> None:
    """Ctrl-\\ while the component of a key is typed."""
    program = "import ctypes; from posd.__main__ import main; main(['version']); print(ctypes.CDLL(None).prctl(3))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise the limit again")
def test_without_it_there_is_a_core_with_the_number(tmp_path: Path) -> None:
    """A negative control, where cores are plain files."""
    if Path("/proc/sys/kernel/core_pattern").read_text().strip() != "core":
        pytest.skip("core_pattern is not a plain file in the working folder here")
    died(tmp_path, "control")
    if not cores(tmp_path):
        pytest.skip("this machine writes no cores at all")
    assert any(PLANTED.encode() in path.read_bytes() for path in cores(tmp_path))
