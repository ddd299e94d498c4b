"""Putting a restored journal in its place: made whole beside it, then renamed into it, the old one moved aside.

Between the two renames there is no journal, and a posd that started then would begin a new one. So a marker stands
there from before the first to after the last, and posd does not start while it stands (opening.py). It must never
remove or overwrite a journal.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from posd.errors import ConfigError, StorageFailed
from posd.journal.anchor import ANCHOR_FILE, sync_folder
from posd.journal.backups.sets import FOLDER_MODE, write_new
from posd.journal.connect import JOURNAL_FILE, storage
from posd.journal.lock import Lock
from posd.journal.marker import marker_of
from posd.journal.segment import ARCHIVE_FOLDER


class Restoring(Struct, frozen=True):
    """What the marker says: which backup, whether it is the newest state, and where the old journal went ("": none)."""

    backup: str
    newest: bool
    aside: str


def interrupted(journal: Path) -> Restoring | None:
    """A restore that was ended half way; None: none was. Raises StorageFailed."""
    with storage("reading the marker of a restore"):
        try:
            return msgspec.json.decode(marker_of(journal).read_bytes(), type=Restoring)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            return Restoring("", newest=False, aside="")


def is_there(journal: Path) -> bool:
    """Whether the folder has a journal, whole or not: segments alone are the only copy of their rows."""
    return any((journal / name).exists() for name in (JOURNAL_FILE, ANCHOR_FILE, ARCHIVE_FOLDER))


def place(journal: Path, what: Restoring, fill: Callable[[Path], None]) -> Path | None:
    """Have `fill` make the journal in an empty folder, then put it in the place; where the old one is now, if any.

    Raises ConfigError (posd is running), StorageFailed. Whatever ends it, the place holds the old journal, none behind
    a marker, or the new one.
    """
    was_here = journal.is_dir()
    lock = _locked(journal)
    try:
        staged = journal.with_name(f".{journal.name}.restored")
        with storage(f"making {staged}"):
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(mode=FOLDER_MODE, parents=True)
        try:
            fill(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            if not was_here:
                shutil.rmtree(journal, ignore_errors=True)
            raise
        with storage(f"putting {journal} in its place"):
            return _swap(journal, staged, what)
    finally:
        lock.release()


def _locked(journal: Path) -> Lock:
    """The lock of the journal that is there, with which it goes aside; of an empty place all the same, so that no posd
    and no other restore begins there meanwhile."""
    with storage(f"making {journal}"):
        journal.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return Lock.take(journal)


def _swap(journal: Path, staged: Path, what: Restoring) -> Path | None:
    marker, folder = marker_of(journal), journal.parent
    aside = journal.with_name(what.aside) if what.aside else None
    if is_there(journal) and (aside is None or aside.exists()):
        raise StorageFailed(f"journal: {journal}: there is a journal, and no free name to move it to")
    begun = not marker.exists()
    if begun:
        write_new(marker, msgspec.json.encode(what) + b"\n")
        sync_folder(folder)
    if is_there(journal):
        assert aside is not None
        try:
            os.rename(journal, aside)
        except OSError:
            if begun:  # nothing was moved: posd may go on with it
                marker.unlink()
            raise
        sync_folder(folder)
    elif journal.is_dir():
        shutil.rmtree(journal)  # a lock, a ballast: no journal was ever in it
    os.rename(staged, journal)
    sync_folder(folder)
    marker.unlink()
    sync_folder(folder)
    return aside if aside is not None and aside.is_dir() else None


def require_place(journal: Path, move_aside: bool) -> None:
    """Raises ConfigError when a journal is there and nobody said that it may be moved."""
    if is_there(journal) and not move_aside:
        raise ConfigError(
            f"{journal}: there is a journal, which is never overwritten; --move-aside moves it to a folder beside it"
        )
