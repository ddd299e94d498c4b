"""The anchor: a second memory of the journal's head, outside the database (D31).

SQLite cuts a damaged write-ahead log without a word, and an older copy of the database is a good database: only
a number kept elsewhere tells. Two slots take turns, each in a block of its own so that a torn write hurts one.
Written after the commit returned, so it may lag and never leads; it must never be written before.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from posd.errors import StorageFailed
from posd.journal.chain import LINK_BYTES
from posd.journal.contract import Head

ANCHOR_FILE = "anchor"
SLOTS = 2
SLOT_BLOCK_BYTES = 4096
FILE_BYTES = SLOTS * SLOT_BLOCK_BYTES
FILE_MODE = 0o640
READ_TRIES = 3
"""A reader beside the running daemon may see half of a write: it looks again."""

_MAGIC = b"posdanc1"
_SLOT = struct.Struct(f">8sQQ{LINK_BYTES}s")
_CRC = struct.Struct(">I")
SLOT_BYTES = _SLOT.size + _CRC.size


@dataclass(frozen=True, slots=True)
class AnchorReading:
    """What the file says: the newest head, and which slots cannot be read (numbers 0 and 1)."""

    head: Head
    generation: int
    damaged_slots: tuple[int, ...]


def pack_slot(generation: int, head: Head) -> bytes:
    """One slot's bytes: magic, generation, sequence, link, CRC-32; big-endian."""
    body = _SLOT.pack(_MAGIC, generation, head.sequence, head.link)
    return body + _CRC.pack(zlib.crc32(body))


def _unpack_slot(slot: bytes) -> tuple[int, Head] | None:
    body, crc = slot[: _SLOT.size], slot[_SLOT.size : SLOT_BYTES]
    if len(crc) != _CRC.size or _CRC.unpack(crc)[0] != zlib.crc32(body):
        return None
    magic, generation, sequence, link = _SLOT.unpack(body)
    return (generation, Head(sequence, link)) if magic == _MAGIC else None


def read_anchor(path: Path) -> AnchorReading:
    """The newest readable slot. Raises StorageFailed: no such file, or neither slot is readable."""
    for _ in range(READ_TRIES):
        slots = _read_slots(path)
        if None not in slots:
            break
    readable = [slot for slot in slots if slot is not None]
    if not readable:
        raise StorageFailed(f"journal: {path}: neither slot of the anchor is readable; restore it with its journal")
    generation, head = max(readable)
    return AnchorReading(head, generation, tuple(i for i, slot in enumerate(slots) if slot is None))


def _read_slots(path: Path) -> list[tuple[int, Head] | None]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise StorageFailed(f"journal: {path}: the anchor is missing; restore it with its journal") from None
    except OSError as error:
        raise StorageFailed(f"journal: {path}: reading the anchor: {error.strerror}") from None
    return [_unpack_slot(data[i * SLOT_BLOCK_BYTES :][:SLOT_BYTES]) for i in range(SLOTS)]


def create_anchor(path: Path, head: Head) -> None:
    """A durable anchor at `head`, in both slots. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        slots = [pack_slot(generation, head).ljust(SLOT_BLOCK_BYTES, b"\0") for generation in range(SLOTS)]
        os.write(descriptor, b"".join(slots))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Anchor:
    """The writer's hold on the file. Its methods raise OSError: the store turns that into StorageFailed."""

    __slots__ = ("_descriptor", "_dirty", "_generation", "reading")

    def __init__(self, path: Path) -> None:
        self.reading = read_anchor(path)
        self._generation = self.reading.generation
        self._dirty = True  # what is in it may never have been synced
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def write(self, head: Head) -> None:
        """Overwrite the older slot; without waiting for the disk."""
        self._generation += 1
        offset = self._generation % SLOTS * SLOT_BLOCK_BYTES
        written = os.pwrite(self._descriptor, pack_slot(self._generation, head), offset)
        if written != SLOT_BYTES:
            raise OSError(f"{written} of {SLOT_BYTES} bytes written")
        self._dirty = True

    def sync(self) -> None:
        """Wait until what was written is durable; free when nothing was."""
        if self._dirty:
            os.fdatasync(self._descriptor)
            self._dirty = False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
