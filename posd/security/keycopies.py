"""Copies of the wrapped data keys in a place apart, kept in step: new ones copied, destroyed ones destroyed (D29).

A key that is missing here without having been destroyed was lost: its copy is what can bring it back, so it stays. It
must never write a key in the clear: what it copies is wrapped.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posd.errors import StorageFailed
from posd.security.datakeyfile import Belongs, by_batch, destroy, key_files
from posd.security.secretfile import FILE_MODE


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done. `lost`: keys of which only the copy is left, although nobody destroyed them."""

    copied: int = 0
    destroyed: int = 0
    lost: tuple[str, ...] = ()


def keep_copies(keys: Path, copies: Path, is_ended: Callable[[Belongs], bool]) -> Kept:
    """Bring the folder `copies` in step with the folder `keys`. `is_ended`: whether a batch's numbers are gone, by the
    journal.

    `copies` is never made here: of a disk that is not mounted there is none. Raises StorageFailed.
    """
    try:
        folders = (keys, copies) if keys.is_dir() else (copies,)  # none yet, or lost: the copies stay either way
        destroyed = {path.stem for of, paths in by_batch(*folders).items() if is_ended(of) for path in paths}
        here = {path.name: path for path in key_files(keys) if path.stem not in destroyed} if keys in folders else {}
        there = {path.name: path for path in key_files(copies)}
        new = [path for name, path in here.items() if name not in there or differ(path, there[name])]
        for path in new:
            copy_key(path, copies)
        gone = [path for path in there.values() if path.stem in destroyed]
        destroy(gone)
        lost = tuple(path.stem for name, path in there.items() if name not in here and path.stem not in destroyed)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StorageFailed(f"backup.keys_to: {copies}: {why}; the copies of the data keys are not complete") from None
    return Kept(len(new), len(gone), lost)


def differ(one: Path, other: Path) -> bool:
    """Whether two key files say something else: a rotation wraps them anew."""
    return one.read_bytes() != other.read_bytes()


def copy_key(path: Path, folder: Path) -> None:
    """A durable copy of a key file, whole or not at all. Raises OSError."""
    draft = folder / f".{path.name}.new"
    shutil.copyfile(path, draft)
    descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, folder / path.name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
