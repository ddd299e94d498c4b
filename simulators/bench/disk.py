"""What the disk itself can do: append a block and fdatasync, again and again. The limit of every durable commit."""

import os
import time
from pathlib import Path

BLOCK_BYTES = 4096
WARM_UP_TIMES = 20


def syncs_per_second(folder: Path, seconds: float) -> float:
    """Appends of 4 KiB, each followed by fdatasync, per second, over `seconds`."""
    path = folder / "append-and-sync"
    block = os.urandom(BLOCK_BYTES)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC, 0o600)
    try:
        for _ in range(WARM_UP_TIMES):
            _append(descriptor, block)
        begun, times = time.perf_counter(), 0
        while (took := time.perf_counter() - begun) < seconds:
            _append(descriptor, block)
            times += 1
        return times / took
    finally:
        os.close(descriptor)
        path.unlink()


def _append(descriptor: int, block: bytes) -> None:
    os.write(descriptor, block)
    os.fdatasync(descriptor)
