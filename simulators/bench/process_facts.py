"""What the kernel says of a process: CPU time, memory, the file system below a path, what strace counted.

Reading and parsing only. Every parser takes text, so that it can be tested without a kernel.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})

_SYNC = re.compile(r"^\d+\s+(\d+\.\d+)\s+(?:fdatasync|fsync)\(\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of a process and of its main thread alone (for posd: the event loop)."""

    process_s: float
    main_thread_s: float

    def since(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(self.process_s - earlier.process_s, self.main_thread_s - earlier.main_thread_s)


def cpu_seconds(stat: str) -> float:
    """User and system time of a /proc/PID/stat line; its second column may hold blanks and brackets."""
    columns = stat.rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / TICKS_PER_S


def cpu_of(pid: int) -> CpuTime:
    """The CPU time of a live process. OSError when it has ended."""
    proc = Path("/proc", str(pid))
    main = proc / "task" / str(pid) / "stat"
    return CpuTime(cpu_seconds((proc / "stat").read_text()), cpu_seconds(main.read_text()))


def resident_bytes(status: str) -> int:
    """VmRSS of the text of /proc/PID/status."""
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * KIB


def resident_of(pid: int) -> int:
    """The resident memory of a live process, in bytes. OSError when it has ended."""
    return resident_bytes(Path("/proc", str(pid), "status").read_text())


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system that holds `path` (absolute), by the text of /proc/self/mountinfo."""
    best, kind = Path("/"), "unknown"
    for line in mountinfo.splitlines():
        columns, _, tail = line.partition(" - ")
        point = Path(columns.split()[4].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, tail.split()[0]
    return kind


def is_in_memory(path: Path) -> bool:
    """Whether what is written at `path` stays in memory: a disk's figures would be none."""
    mounts = Path("/proc/self/mountinfo").read_text()
    return file_system_of(path.resolve(), mounts) in MEMORY_FILE_SYSTEMS


def syncs_by_file(trace: str, begun_s: float, ended_s: float) -> Counter[str]:
    """fdatasync and fsync calls of an `strace -f -ttt -y` text between two wall times, by the name of the file.

    Only where a call begins is counted: strace may write its end on a line of its own.
    """
    found = (match for line in trace.splitlines() if (match := _SYNC.match(line)))
    return Counter(Path(match[2]).name for match in found if begun_s <= float(match[1]) <= ended_s)
