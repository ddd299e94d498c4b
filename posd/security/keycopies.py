"""Copies of the wrapped data keys in a place apart, kept in step: new ones copied, destroyed ones destroyed (D29).

A key that is missing here without having been destroyed was lost: its copy is what can bring it back, so it stays. It
must never write a key in the clear: what it copies is wrapped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from posd.errors import StorageFailed
from posd.security.datakeyfile import Belongs, by_batch, destroy, key_files
from posd.security.secretfile import replace_secret


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done. `lost`: keys of which only the copy is left, although nobody destroyed them. `damaged`: those that
    do not open here; a copy from before was left as it is."""

    copied: int = 0
    destroyed: int = 0
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def keep_copies(
    keys: Path, copies: Path, is_ended: Callable[[Belongs], bool], opens: Callable[[str], bool] = lambda key_id: True
) -> Kept:
    """Bring the folder `copies` in step with the folder `keys`. `is_ended`: whether a batch's numbers are gone, by the
    journal. `opens`: whether the file of a key, by its id, is whole: what is not never takes a good copy's place.

    `copies` is never made here: of a disk that is not mounted there is none. Raises StorageFailed.
    """
    try:
        folders = (keys, copies) if keys.is_dir() else (copies,)  # none yet, or lost: the copies stay either way
        ended = [path for of, paths in by_batch(*folders).items() if is_ended(of) for path in paths]
        destroyed = {path.stem for path in ended}
        here = {path.name: path for path in key_files(keys) if path.stem not in destroyed} if keys in folders else {}
        there = {path.name: path for path in key_files(copies)}
        changed = [path for name, path in here.items() if name in there and differ(path, there[name])]
        damaged = tuple(path.stem for path in changed if not opens(path.stem))
        new = [path for path in here.values() if path.name not in there or path in changed]
        new = [path for path in new if path.stem not in damaged]
        for path in new:
            copy_key(path, copies)
        gone = {path for path in (*ended, *there.values()) if path.parent == copies and path.stem in destroyed}
        destroy(gone)
        lost = tuple(path.stem for name, path in there.items() if name not in here and path.stem not in destroyed)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StorageFailed(f"backup.keys_to: {copies}: {why}; the copies of the data keys are not complete") from None
    return Kept(len(new), len(gone), lost, damaged)


def differ(one: Path, other: Path) -> bool:
    """Whether two key files say something else: a rotation wraps them anew."""
    return one.read_bytes() != other.read_bytes()


def copy_key(path: Path, folder: Path) -> None:
    """A durable copy of a key file, whole or not at all. Raises OSError."""
    replace_secret(folder / path.name, path.read_bytes())
