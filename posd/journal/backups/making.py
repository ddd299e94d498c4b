"""Making a backup: copied, synced, read back, checked, and only then given its name. A kill leaves nothing that looks
whole, an error leaves nothing. It must never hold up who writes the journal (copying.py).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from posd.errors import StorageFailed
from posd.journal.anchor import ANCHOR_FILE, sync_folder
from posd.journal.backups.copying import Copied, copy_journal
from posd.journal.backups.manifest import (
    FORMAT,
    MANIFEST_FILE,
    MONTH_CHARACTERS,
    FileSum,
    Manifest,
    TerminalAt,
    file_sum,
    kept_segment,
)
from posd.journal.backups.sets import FILE_MODE, FOLDER_MODE, PART, write_new
from posd.journal.chain import Chain
from posd.journal.connect import JOURNAL_FILE, open_reader, query, read_head, read_identity, storage
from posd.journal.contract import Head
from posd.journal.room import free_bytes
from posd.journal.segment import ARCHIVE_FOLDER, SUFFIX, Segment, archive_folder, read_catalog, segment_path
from posd.journal.verify import first_finding, require_key

SEGMENTS = f"*{SUFFIX}"
ROOM_BESIDE_BYTES = 8 * 1024 * 1024
"""What has to stay free beside a backup that is made."""
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """What the maker of a backup says of it beside the rows. `key_id`: the name of the machine key."""

    at_ms: int
    posd: str
    key_id: str
    fold_version: int
    final: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """Derived from the machine key for these two purposes, by whoever asks (cli/backup/parts.py)."""

    chain: bytes
    manifest: bytes


def make(
    journal: Path,
    path: Path,
    made: Made,
    keys: Keys,
    terminals: Callable[[Path], tuple[TerminalAt, ...]],
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """One more backup of the journal in the folder `journal`, below `path`. The caller holds `sets.alone`.

    `terminals` tells how they stand in a copied journal. Raises StorageFailed, ConfigError.
    """
    _require_room(journal, path)
    part = path / f"{PART}{os.getpid()}"
    try:
        with storage(f"making {part}"):
            part.mkdir(mode=FOLDER_MODE)
        copied = copy_journal(journal, part, on_rows)
        segments = tuple(_keep_segments(part, journal, path))
        files = tuple(_read_back(part / name) for name in (JOURNAL_FILE, ANCHOR_FILE))
        _require_good(part, keys.chain, copied.head)
        with _whole(part, journal):
            stand = terminals(part)
        manifest = _manifest(copied, made, files, segments, stand).sealed(keys.manifest)
        with storage(f"finishing {manifest.name}"):
            write_new(part / MANIFEST_FILE, manifest.text())
            sync_folder(part)
            os.rename(part, path / manifest.name)
            sync_folder(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return manifest


@contextmanager
def _whole(part: Path, journal: Path) -> Iterator[None]:
    """For whoever reads the copy: its segments are at hand, as they will be where it is restored."""
    link = part / ARCHIVE_FOLDER
    with storage(f"making {link}"):
        link.symlink_to(archive_folder(journal).absolute())
    try:
        yield
    finally:
        link.unlink()


def _manifest(
    copied: Copied, made: Made, files: tuple[FileSum, ...], segments: tuple[FileSum, ...], stand: tuple[TerminalAt, ...]
) -> Manifest:
    moment = datetime.fromtimestamp(made.at_ms / 1000, UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}{made.at_ms % 1000:03d}Z"
    return Manifest(
        posd_backup=FORMAT,
        name=f"{stamp}-{copied.head.sequence:09d}{'-final' if made.final else ''}",
        made_at_ms=made.at_ms,
        journal_id=copied.identity.journal_id.hex(),
        key_id=made.key_id,
        schema=copied.schema,
        fold_version=made.fold_version,
        posd=made.posd,
        base_sequence=copied.identity.base.sequence,
        head_sequence=copied.head.sequence,
        head_link=copied.head.link.hex(),
        head_at_ms=copied.head_at_ms,
        rows=copied.rows,
        final=made.final,
        files=files,
        segments=segments,
        terminals=stand,
    )


def _require_good(part: Path, chain_key: bytes, head: Head) -> None:
    """Every row that the disk gives back fits the chain, up to the head. Raises StorageFailed, ConfigError (key)."""
    connection = open_reader(part / JOURNAL_FILE)
    try:
        identity, chain = read_identity(connection), Chain(chain_key)
        require_key(connection, chain, identity)
        finding = first_finding(connection, chain, identity.base, head.sequence)
        if finding is not None or read_head(connection, identity.base) != head:
            raise StorageFailed(f"journal: {finding or 'its end'}: cannot be backed up; run: posd journal verify")
        for (line,) in query(connection, "PRAGMA integrity_check(1)"):
            if line != "ok":
                raise StorageFailed(f"backup: the copy is damaged: SQLite: {line}")
    finally:
        connection.close()


def _require_room(journal: Path, path: Path) -> None:
    with storage(f"looking at {path}"):
        kept = {_month_and_size(one) for one in (path / ARCHIVE_FOLDER).glob(SEGMENTS)}
        here = {_month_and_size(one) for one in (journal / ARCHIVE_FOLDER).glob(SEGMENTS)}
        new = sum(size for _, size in here - kept)
        needed = (journal / JOURNAL_FILE).stat().st_size + new + ROOM_BESIDE_BYTES
        free = free_bytes(path)
    if free < needed:
        room = f"{free // MIB} MiB are free, {needed // MIB + 1} MiB are needed"
        raise StorageFailed(f"backup: {path}: {room}; make room, or lower backup.keep")


def _month_and_size(segment: Path) -> tuple[str, int]:
    return segment.name[:MONTH_CHARACTERS], segment.stat().st_size


def _keep_segments(part: Path, journal: Path, path: Path) -> Iterator[FileSum]:
    """Those that the copied journal knows. They never change: each is copied once, for all backups.

    One that is not here, and of which no backup before has a good copy, is left out (sets.left_out). Raises
    StorageFailed.
    """
    with storage("keeping the archive's segments"):
        for segment in _catalog(part):
            wanted = kept_segment(segment.month, segment.file_bytes, segment.file_sum.hex())
            copy, here = path / ARCHIVE_FOLDER / wanted.name, segment_path(journal, segment)
            if _is_good(copy, wanted):
                yield wanted
            elif here.is_file():
                yield _keep(here, copy.parent, segment.month)


def _is_good(copy: Path, wanted: FileSum) -> bool:
    """Every backup relies on this one copy, so it is read each time: what has gone bad is copied anew."""
    try:
        return file_sum(copy) == wanted
    except OSError:
        return False


def _catalog(part: Path) -> tuple[Segment, ...]:
    connection = open_reader(part / JOURNAL_FILE)
    try:
        return read_catalog(connection)
    finally:
        connection.close()


def _keep(segment: Path, folder: Path, month: str) -> FileSum:
    """As it is, under the name of what it is: damage is found by the proof, and is no reason to have no backup."""
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    part = folder / f"{PART}{segment.name}"
    shutil.copyfile(segment, part)
    wanted, found = file_sum(segment), _read_back(part)
    if (found.size, found.sha256) != (wanted.size, wanted.sha256):
        raise StorageFailed(f"backup: {part}: what the disk gives back is not what was written")
    kept = kept_segment(month, found.size, found.sha256)
    os.rename(part, folder / kept.name)
    sync_folder(folder)
    return kept


def _read_back(path: Path) -> FileSum:
    """The sum of what is on the disk, and not in the cache, as far as the system lets us ask."""
    with storage(f"reading {path} back"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        return file_sum(path)
