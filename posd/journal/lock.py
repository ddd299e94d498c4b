"""One posd for one journal: a lock on a file of its own (D30), because SQLite's locks let a second writer in.

The kernel drops it when the process ends, however it ends. The file stays: it must never be deleted.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from posd.errors import ConfigError

LOCK_FILE = "posd.lock"
FILE_MODE = 0o640
PID_BYTES_MAX = 20


class Lock:
    """Held from `take` to `release`."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Raises ConfigError: another process holds it (its pid is named), or the folder is not writable."""
        path = folder / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise ConfigError(f"journal: {path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, PID_BYTES_MAX, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(f"journal: {folder}: another posd is running on it (pid {pid}); stop it first") from None
        with suppress(OSError):  # a full disk must not keep recovery from starting: the lock holds without a pid
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
