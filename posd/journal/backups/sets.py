"""The folder of the backups: one folder for each backup, the archive's segments beside them, once for all.

    path/  .lock  20260302T230000000Z-000120000/ {manifest.json, journal.db, anchor}  archive/ {2026-01-SUM.segment}

What has a backup's name is whole: it is made under a name that begins with a dot (making.py), and one that is removed
loses its name first. It must never touch what it did not make.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import sync_folder
from posd.journal.backups.copying import sync_file
from posd.journal.backups.manifest import MANIFEST_FILE, FileSum, Manifest, differing, manifest_key, read_manifest
from posd.journal.connect import storage
from posd.journal.reader import JournalReader
from posd.journal.segment import ARCHIVE_FOLDER

FOLDER_MODE, FILE_MODE = 0o700, 0o600
LOCK_FILE = ".lock"
PART, GONE = ".part-", ".gone-"
"""Before the name of what is being made, or removed."""
USED_FILE = "restored.json"
CARRIED_FILE = "carried"
NAME = re.compile(r"\d{8}T\d{9}Z-\d{9,}(-final)?")
SHOWN_CHARACTERS_MAX = 80


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The folder of the backups for this process alone. It is never made here: a disk that is not mounted has none.

    Raises ConfigError, StorageFailed.
    """
    if not path.is_dir():
        raise ConfigError(f"backup.path: {path}: there is no such folder; mount its disk, or make it for posd's user")
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        if os.geteuid() == 0:
            with suppress(PermissionError):  # a share that knows one owner only
                os.fchown(descriptor, path.stat().st_uid, path.stat().st_gid)  # the service has to open it too
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"backup.path: {path}: {why}; it has to be a folder that posd's user may write") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageFailed(f"backup: {path}: another backup is under way there; wait for its end") from None
    try:
        clean(path)
        yield
    finally:
        os.close(descriptor)


def clean(path: Path) -> None:
    """What a killed predecessor left: it never had a backup's name, or has it no more."""
    for one in [*path.glob(f"{PART}*"), *path.glob(f"{GONE}*"), *(path / ARCHIVE_FOLDER).glob(f"{PART}*")]:
        if one.is_dir():
            shutil.rmtree(one, ignore_errors=True)
        else:
            with suppress(OSError):
                one.unlink()


# --- what is there ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup that has its name; `trouble`: why it cannot be used, as far as its manifest and sizes tell."""

    folder: Path
    manifest: Manifest | None
    trouble: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


def kept(path: Path) -> list[Kept]:
    """The backups below `path`, oldest first; other folders are none. Raises ConfigError: it cannot be read."""
    try:
        names = sorted(one.name for one in path.iterdir() if NAME.fullmatch(one.name) and one.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"backup.path: {path}: {(error.strerror or 'cannot be read').lower()}") from None
    return [_kept(path / name) for name in names]


def _kept(folder: Path) -> Kept:
    try:
        manifest = read_manifest(folder)
    except StorageFailed as error:
        return Kept(folder, None, str(error))
    return Kept(folder, manifest, next(_sizes_differ(folder, manifest), ""))


def _sizes_differ(folder: Path, manifest: Manifest) -> Iterator[str]:
    places = [(folder / one.name, one) for one in manifest.files]
    places += [(segment_of(folder, one), one) for one in manifest.segments]
    for place, wanted in places:
        try:
            size = place.stat().st_size
        except OSError as error:
            yield f"{place}: {(error.strerror or 'cannot be read').lower()}"
            continue
        if size != wanted.size:
            yield f"{place}: {size} bytes instead of {wanted.size}"


def segment_of(folder: Path, segment: FileSum) -> Path:
    """Where a segment of a backup is: in the archive beside it, or, where it was carried to, in it, beside it without a
    folder (rsync), or in a folder of its own name (rclone)."""
    usual, name = folder.parent / ARCHIVE_FOLDER / segment.name, segment.name
    carried = (folder / ARCHIVE_FOLDER / name, folder.parent / name, folder.parent / name / name)
    return next((path for path in (usual, *carried) if path.is_file()), usual)


def damaged_segments(folder: Path, manifest: Manifest) -> dict[FileSum, str]:
    """Those of a backup that are missing, or not as they were; what is wrong with each."""
    return {one: found for one in manifest.segments for found in differing(segment_of(folder, one).parent, (one,))}


def find(path: Path | None, name: str | None) -> Path:
    """The folder of a backup: `name` is a name below `path`, or a folder; None: the newest. Raises ConfigError."""
    if name is not None and (Path(name) / MANIFEST_FILE).is_file():
        return Path(name)
    if path is None:
        raise ConfigError("there is no backup.path in the configuration; give the folder of a backup")
    every = kept(path)
    if name is None and every:
        return every[-1].folder
    for one in every:
        if one.name == name:
            return one.folder
    what = "no backup" if name is None else f"no backup {name[:SHOWN_CHARACTERS_MAX]!r}"
    raise ConfigError(f"{path}: there is {what}; posd backup list shows what there is")


# --- what goes, and what was used ------------------------------------------------------------------------------------


def keep_newest(path: Path, count: int, made: str) -> list[str]:
    """Remove what is older than the newest `count` whole backups of the journal of which `made` is; their names.

    A final one stays: a person removes it. So does `made`, the one that was just made, which is not the newest by its
    name if a clock was wrong. The caller holds `alone`. Raises StorageFailed.
    """
    whole = {one.name: one.manifest for one in kept(path) if one.manifest is not None and not one.trouble}
    ours = [name for name, one in whole.items() if made in whole and one.journal_id == whole[made].journal_id]
    past = ours[: max(len(ours) - count, 0)]
    old = [name for name in past if name != made and not whole[name].final]
    with storage("removing an old backup"):
        for name in old:
            gone = path / f"{GONE}{name}"
            os.rename(path / name, gone)
            sync_folder(path)
            shutil.rmtree(gone)
    return old


def mark_used(folder: Path, at_ms: int) -> bool:
    """Write beside a final backup that it was restored; whether that could be written. Only the first is the newest."""
    try:
        write_new(folder / USED_FILE, msgspec.json.encode({"restored_at_ms": at_ms}) + b"\n")
        sync_folder(folder)
    except OSError:
        return False
    return True


def was_used(folder: Path) -> bool:
    """Whether it was restored before, or its journal went on here after all."""
    return (folder / USED_FILE).exists()


def spend_finals(path: Path, journal_id: str, at_ms: int) -> None:
    """No final backup of this journal below `path` is the newest state any more: the journal goes on after it.

    Raises StorageFailed: one cannot be marked so, and would be restored as if nothing had come after it.
    """
    for one in kept(path):
        manifest = one.manifest
        if manifest is None or not manifest.final or manifest.journal_id != journal_id or was_used(one.folder):
            continue
        with storage(f"marking {one.name}: the journal goes on after it"):
            write_new(one.folder / USED_FILE, msgspec.json.encode({"went_on_at_ms": at_ms}) + b"\n")
            sync_folder(one.folder)


def mark_carried(folder: Path) -> None:
    """The backup is at another place too, with its segments. Raises StorageFailed."""
    with storage(f"marking {folder.name} as carried"):
        (folder / CARRIED_FILE).touch(mode=FILE_MODE)


def was_carried(folder: Path) -> bool:
    """Whether it is known to be at another place too."""
    return (folder / CARRIED_FILE).exists()


def went_on(path: Path, manifest: Manifest) -> str:
    """The name of a backup below `path` that was made of the same journal later; "": none is there, or can be seen."""
    try:
        later = [one.manifest for one in kept(path) if one.manifest is not None]
    except ConfigError:
        return ""
    found = [one for one in later if one.journal_id == manifest.journal_id and one.made_at_ms > manifest.made_at_ms]
    return found[-1].name if found else ""


def newest_of(path: Path, chain_key: bytes) -> str:
    """The newest backup below `path` that was made under this machine key; "": there is none, or none can be seen."""
    key = manifest_key(chain_key)
    try:
        ours = [one.name for one in kept(path) if one.manifest is not None and one.manifest.is_authentic(key)]
    except ConfigError:
        return ""
    return ours[-1] if ours else ""


def left_out(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Archived months whose segments were not here when it was made, and so are not in it. Raises StorageFailed."""
    with JournalReader(folder) as reader:
        months = [placed.segment.month for placed in reader.archived()]
    return tuple(month for month in months if month not in manifest.months)


# --- copies ----------------------------------------------------------------------------------------------------------


def copy_set(folder: Path, manifest: Manifest, target: Path) -> None:
    """The files of a backup as a journal's folder, durably; `target` is empty. Raises StorageFailed.

    Copies, never links: a journal that is opened for writing must not change its backup.
    """
    with storage(f"copying {folder.name}"):
        for one in manifest.files:
            _copy(folder / one.name, target / one.name)
        if manifest.segments:
            (target / ARCHIVE_FOLDER).mkdir(mode=FOLDER_MODE)
            for one in manifest.segments:
                _copy(segment_of(folder, one), target / ARCHIVE_FOLDER / one.in_journal.name)
            sync_folder(target / ARCHIVE_FOLDER)
        sync_folder(target)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, FILE_MODE)
    sync_file(target)


def write_new(path: Path, content: bytes) -> None:
    """A new file, durable but for its name. Raises OSError."""
    with path.open("xb") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
