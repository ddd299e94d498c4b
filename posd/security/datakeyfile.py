"""Data key files: what one says, which there are, and how they end.

A file is one line of JSON that says in the clear which batch it belongs to, so that whoever destroys what is past its
time needs no key for it. It must never hold a data key in the clear, and nothing here decides that a key may go.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from posd.errors import KeyTrouble
from posd.security.wrapping import VERSION_NAMELESS

KEY_ID_BYTES = 8
SUFFIX = ".key"
FILE_VERSION = 2
"""The first one was the wrapped key alone."""
FILE_BYTES_MAX = 1024
"""More than any of them has."""
_DRAFT = re.compile(rf"\.([0-9a-f]{{{2 * KEY_ID_BYTES}}}){re.escape(SUFFIX)}\..+")
"""As secretfile.py names what it writes before it has its name."""


class Belongs(Struct, frozen=True, order=True):
    """Whose card data a key seals: one terminal's, of one batch: our identity of it, not the host's number (D7)."""

    tid: str
    batch: int


class DataKeyFile(Struct, frozen=True, kw_only=True):
    """What a file says. `wrapped`: hexadecimal. `batch` 0: made before keys belonged to batches."""

    version: int = FILE_VERSION
    key_id: str
    tid: str = ""
    batch: int = 0
    wrapped: Annotated[str, Meta(pattern="^(?:[0-9a-f]{2})+$")]

    def __repr__(self) -> str:
        return f"<DataKeyFile {self.key_id}>"

    @property
    def belongs(self) -> Belongs:
        return Belongs(self.tid, self.batch)

    @property
    def what(self) -> str:
        """As what the data key is wrapped: a file that is renamed, or says another batch, does not open."""
        return f"data key {self.key_id} of {self.tid} batch {self.batch}" if self.batch else self.key_id

    def text(self) -> bytes:
        """The content of a file of the present version."""
        return msgspec.json.encode(self) + b"\n"


def is_key_id(text: str) -> bool:
    """Whether posd could have made it. It comes from a database row, and must never become another path."""
    return len(text) == 2 * KEY_ID_BYTES and all(digit in "0123456789abcdef" for digit in text)


def path_in(folder: Path, key_id: str) -> Path:
    """Where the file of a data key is."""
    return folder / f"{key_id}{SUFFIX}"


def read_key_file(path: Path, key_id: str | None = None) -> DataKeyFile:
    """What the file of the key `key_id` says; None: as it is named. Raises KeyTrouble (damaged), OSError."""
    key_id = key_id or path.stem
    with path.open("rb") as file:
        text = file.read(FILE_BYTES_MAX + 1)
    if text.startswith(VERSION_NAMELESS):
        return DataKeyFile(key_id=key_id, wrapped=text.hex())
    try:
        said = msgspec.json.decode(text, type=DataKeyFile)
    except msgspec.MsgspecError:
        raise KeyTrouble("damaged; restore it") from None
    if said.version != FILE_VERSION or said.text() != text:
        raise KeyTrouble("damaged, or of a newer posd; restore it")
    if said.key_id != key_id:
        raise KeyTrouble("damaged, or put in the place of another; restore it")
    return said


def key_files(folder: Path) -> Iterator[Path]:
    """Every data key file of a folder. Raises OSError: a folder that is not there may still hold some, elsewhere."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    yield from (folder / name for name in names if is_key_id(name.removesuffix(SUFFIX)))


def by_batch(*folders: Path) -> dict[Belongs, list[Path]]:
    """The files of the folders by what they belong to; a file that cannot be read belongs to nobody. Raises OSError.

    A file of which only a draft is left, by a kill, is named as if it were there: `destroy` takes its drafts.
    """
    found: dict[Belongs, list[Path]] = {}
    for folder in folders:
        for path in sorted({*key_files(folder), *_left_as_drafts(folder)}):
            try:
                belongs = _said_in(path).belongs
            except (KeyTrouble, FileNotFoundError):  # damaged, or destroyed meanwhile
                continue
            found.setdefault(belongs, []).append(path)
    return found


def _left_as_drafts(folder: Path) -> Iterator[Path]:
    names = (_DRAFT.fullmatch(name) for name in os.listdir(folder))
    yield from (path_in(folder, name[1]) for name in names if name is not None)


def _said_in(path: Path) -> DataKeyFile:
    try:
        return read_key_file(path)
    except FileNotFoundError:
        draft = next(drafts_of(path), None)
        if draft is None:
            raise
        return read_key_file(draft, path.stem)


def drafts_of(path: Path) -> Iterator[Path]:
    """What a kill left of a file that was being written."""
    yield from path.parent.glob(f".{path.name}.*")


def destroy(paths: Iterable[Path]) -> None:
    """Overwrite each file, remove it, and make that durable. Done again after a crash it ends the same. Raises OSError.

    Overwriting reaches the old bytes on a plain magnetic disk. Flash, and file systems that copy on write, keep old
    blocks for as long as they like; what is left there is a wrapped key, which opens nothing without the machine key.
    """
    folders = set()
    for path in [each for one in paths for each in (one, *drafts_of(one))]:
        folders.add(path.parent)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            os.pwrite(descriptor, os.urandom(os.fstat(descriptor).st_size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink(missing_ok=True)
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
