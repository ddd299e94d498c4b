"""Room on the disk (D32): a ballast to throw off when it is full, and a floor below which sales are refused.

The ballast is freed at the first ENOSPC, so that the next start has room to send what is owed. It is taken again as
soon as there is room for both, and must never be while the disk is nearly full.
"""

import os
from contextlib import suppress
from pathlib import Path

from posd.journal.anchor import sync_folder

BALLAST_FILE = "ballast"
BALLAST_BYTES = 16 * 1024 * 1024
"""Room for some ten thousand rows: every owed reversal and a settlement."""
FREE_BYTES_MIN = 64 * 1024 * 1024
"""Below this much free space new sales are refused."""
FILE_MODE = 0o600


def free_bytes(folder: Path) -> int:
    """Bytes that this process may still write on the folder's file system. Raises OSError."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def has_room(folder: Path, free_bytes_min: int = FREE_BYTES_MIN) -> bool:
    """Whether new sales may be taken. Raises OSError."""
    return free_bytes(folder) >= free_bytes_min


class Ballast:
    """A preallocated file of `size_bytes` in the journal's folder; 0: none is wanted."""

    __slots__ = ("_path", "_size_bytes")

    def __init__(self, folder: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self._path, self._size_bytes = folder / BALLAST_FILE, size_bytes

    def held(self) -> bool:
        """Whether the ballast is there in full."""
        if self._size_bytes == 0:
            return True
        try:
            return self._path.stat().st_blocks * 512 >= self._size_bytes
        except FileNotFoundError:
            return False

    def ensure(self, free_bytes_min: int = FREE_BYTES_MIN) -> bool:
        """Take the ballast if `free_bytes_min` stay free beside it; whether it is held. Raises OSError."""
        if self.held():
            return True
        if free_bytes(self._path.parent) < self._size_bytes + free_bytes_min:
            return False
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self._path.parent)
        return True

    def release(self) -> None:
        """Give its room back; never raises: it is called when the disk fails already."""
        with suppress(OSError):
            self._path.unlink()
