"""TMKs in files, sealed under the machine key: the usual home.

One file for each key, `TID.INDEX.tmk`, mode 0600: what may be known of it as JSON, and the key wrapped (wrapping.py) so
that no word of it can be changed or put beside another key. Without the machine key, which lies elsewhere, a copy of
the folder is worth nothing. It must never write a key in the clear, nor replace one.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from posd.errors import ConfigError, KeyTrouble, StorageFailed
from posd.security.datakeyfile import destroy
from posd.security.guarded import Guarded
from posd.security.keys import ClearTmk
from posd.security.keystore import KeyInfo, NewTmk, NoSuchKey, exists_already
from posd.security.machine import MachineKey
from posd.security.rewrapped import Rewrapped
from posd.security.secretfile import FOLDER_MODE, read_private, replace_secret, write_new_secret
from posd.security.wrapping import Wrapping

PURPOSE = "tmk"
"""Of MachineKey.derive."""

SUFFIX = ".tmk"
VERSION = 1
FILE_BYTES_MAX = 4096
"""Names of three people are the longest part."""


class SealedKeys(Guarded):
    """The folder of sealed TMKs."""

    __slots__ = ("_folder", "_turn", "_wrapping")

    home = "sealed"
    because = ""

    def look(self) -> bool:
        """Files do not go away by themselves."""
        return True

    def __init__(self, folder: Path, wrapping: Wrapping) -> None:
        self._folder, self._wrapping = folder, wrapping
        self._turn = threading.Lock()
        """Of whoever changes a file: a rotation must neither miss a key that is added, nor bring back one that is
        removed."""

    def list(self) -> Sequence[KeyInfo]:
        """By terminal and index. Each is opened, so that what is listed can be used."""
        return [self._opened(path)[0] for path in self.files()]

    def open(self, tid: str, index: int) -> ClearTmk:
        path = self._path(tid, index)
        if not path.exists():
            raise NoSuchKey(tid, index)
        info, key = self._opened(path)
        if (info.tid, info.index) != (tid, index):
            raise KeyTrouble(f"TMK: {path}: is that of terminal {info.tid}, index {info.index}; put each file back")
        return ClearTmk(key, of_sm4=info.cipher == "SM4")

    def add(self, new: NewTmk) -> KeyInfo:
        path, info = self._path(new.tid, new.index), new.info(self.home)
        if path.exists():
            raise exists_already(new.tid, new.index)
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with self._turn:
                write_new_secret(path, self._sealed(info, new.key))
        except OSError as error:
            reason = (error.strerror or "cannot be written").lower()
            raise StorageFailed(f"TMK: {path}: {reason}; free or repair the disk") from None
        return info

    def remove(self, tid: str, index: int) -> None:
        """The file is overwritten and goes, with what a killed rotation left of it; a copy of it, as in a backup, still
        opens under the machine key until that is rotated. Raises StorageFailed."""
        path = self._path(tid, index)
        with self._turn:
            if not path.exists():
                raise NoSuchKey(tid, index)
            try:
                destroy([path])
            except OSError as error:
                raise StorageFailed(f"TMK: {path}: {(error.strerror or 'cannot be removed').lower()}") from None

    def rotate(self, new: MachineKey, old: MachineKey) -> Rewrapped:
        """Seal every TMK anew, as the vault does with its data keys. Raises StorageFailed."""
        done, unreadable = 0, []
        with self._turn:
            self._wrapping = both = Wrapping(PURPOSE, new, old)
            for path in self.files():
                try:
                    done += _rewrapped(path, both)
                except (KeyTrouble, ConfigError):
                    unreadable.append(str(path))
                except OSError as error:
                    raise StorageFailed(f"TMK: {path}: {(error.strerror or 'cannot be written').lower()}") from None
        return Rewrapped(done, tuple(unreadable))

    def close(self) -> None:
        """There is nothing to close."""

    def files(self) -> Sequence[Path]:
        """Every sealed key's file."""
        return sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder.is_dir() else []

    def _opened(self, path: Path) -> tuple[KeyInfo, bytes]:
        said, wrapped = read_sealed(path)
        try:
            key = self._wrapping.unwrap(wrapped, _what(said))
            info = KeyInfo(home=self.home, **{**said, "by": tuple(said["by"])})
        except KeyTrouble as error:
            raise KeyTrouble(f"TMK: {path}: {error}") from None
        except (TypeError, KeyError):
            raise KeyTrouble(
                f"TMK: {path}: of an unknown version; use the posd that wrote it, or a newer one"
            ) from None
        return info, key

    def _sealed(self, info: KeyInfo, key: bytes) -> bytes:
        said = {name: getattr(info, name) for name in ("tid", "index", "cipher", "check_value", "by", "at_ms")}
        said = json.loads(json.dumps(said))
        return sealed_file(said, self._wrapping.wrap(key, _what(said)))

    def _path(self, tid: str, index: int) -> Path:
        return sealed_path(self._folder, tid, index)


def _rewrapped(path: Path, wrapping: Wrapping) -> bool:
    said, wrapped = read_sealed(path)
    if wrapping.is_present(wrapped):
        return False
    replace_secret(path, sealed_file(said, wrapping.wrap(wrapping.unwrap(wrapped, _what(said)), _what(said))))
    return True


def sealed_path(folder: Path, tid: str, index: int) -> Path:
    """Where the TMK of a terminal is, or would be."""
    return folder / f"{quote(tid, safe='')}.{index}{SUFFIX}"


def sealed_file(said: dict[str, Any], wrapped: bytes) -> bytes:
    """The file's one line."""
    return json.dumps({"version": VERSION, **said, "wrapped": wrapped.hex()}).encode() + b"\n"


def read_sealed(path: Path) -> tuple[dict[str, Any], bytes]:
    """What stands in a sealed key's file, not yet proven, and the wrapped key. Raises KeyTrouble, ConfigError."""
    text = read_private(path, "TMK", FILE_BYTES_MAX)
    try:
        said = json.loads(text)
        version, wrapped = said.pop("version"), bytes.fromhex(said.pop("wrapped"))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise KeyTrouble(f"TMK: {path}: damaged; restore it, or load the key again") from None
    if version != VERSION:
        raise KeyTrouble(f"TMK: {path}: of version {version!r}; use the posd that wrote it, or a newer one")
    return said, wrapped


def _what(said: dict[str, Any]) -> str:
    """What binds the wrapped key to every word of its file."""
    return "tmk " + json.dumps(said, sort_keys=True, separators=(",", ":"))
