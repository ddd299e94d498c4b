"""The manifest of a backup: which journal it is, up to which row, and the sums of its files, under a MAC.

The MAC is keyed (HMAC-SHA256 under a key that is derived from the machine key for this alone), so that whoever can
write to the place of the backups cannot make one up. It must never hold a key, a card number or a setting.
"""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from posd.errors import StorageFailed
from posd.journal.contract import Head
from posd.journal.segment import SUFFIX

FORMAT = 1
MANIFEST_FILE = "manifest.json"
MANIFEST_BYTES_MAX = 16 * 1024 * 1024
READ_BYTES = 1024 * 1024
MONTH_CHARACTERS = len("2026-03")
SUM_CHARACTERS = 16
"""Of a segment's sum, in its name."""


class FileSum(Struct, frozen=True):
    """One file: its name below the backup, or below the archive beside it."""

    name: str
    size: int
    sha256: str

    @property
    def in_journal(self) -> "FileSum":
        """A segment as it is called in the journal's own archive."""
        return FileSum(f"{self.name[:MONTH_CHARACTERS]}{SUFFIX}", self.size, self.sha256)


def kept_segment(month: str, size: int, sha256: str) -> FileSum:
    """A segment as it is called beside the backups. Its sum is in its name: a journal that was restored may archive the
    same month again, with other rows, and two journals may share a place; neither may take the other's away."""
    return FileSum(f"{month}-{sha256[:SUM_CHARACTERS]}{SUFFIX}", size, sha256)


class TerminalAt(Struct, frozen=True):
    """How a terminal stood at the last row: what a proof by replaying has to come to again.

    `debit_minor`, `credit_minor`: what its open batch counts. `owed`: reversals that are not ended; `advices`: not
    delivered; `in_doubt`: refunds. `fenced`: why its lane was not used any more (D4).
    """

    tid: str
    stan: int
    batch: int
    batch_number: int
    phase: str
    transactions: int
    counted: int
    debit_minor: int
    credit_minor: int
    owed: int
    advices: int
    in_doubt: int
    fenced: str = ""


class Manifest(Struct, frozen=True):
    """`made_at_ms`, `head_at_ms`: wall times, of the backup and of its last row. `final`: the journal was ended with it
    and lives on elsewhere. `key_id`: of the machine key that the journal is under; its name, not a part of it."""

    posd_backup: int
    name: str
    made_at_ms: int
    journal_id: str
    key_id: str
    schema: int
    fold_version: int
    posd: str
    base_sequence: int
    head_sequence: int
    head_link: str
    head_at_ms: int
    rows: int
    final: bool
    files: tuple[FileSum, ...]
    segments: tuple[FileSum, ...]
    terminals: tuple[TerminalAt, ...]
    mac: str = ""

    @property
    def head(self) -> Head:
        """Its last row."""
        return Head(self.head_sequence, bytes.fromhex(self.head_link))

    @property
    def months(self) -> frozenset[str]:
        """Of the archive, those that are in it."""
        return frozenset(one.name[:MONTH_CHARACTERS] for one in self.segments)

    @property
    def size(self) -> int:
        """Bytes of everything that belongs to it."""
        return sum(one.size for one in (*self.files, *self.segments))

    def sealed(self, key: bytes) -> "Manifest":
        """The same with its MAC."""
        return msgspec.structs.replace(self, mac=self._mac(key))

    def is_authentic(self, key: bytes) -> bool:
        """Whether it was made under this key, as it is."""
        return hmac.compare_digest(self._mac(key), self.mac)

    def _mac(self, key: bytes) -> str:
        said = msgspec.json.encode(msgspec.structs.replace(self, mac=""))
        return hmac.digest(key, b"posd backup manifest\0" + said, "sha256").hex()

    def text(self) -> bytes:
        """For the file; people read it too."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def manifest_key(chain_key: bytes) -> bytes:
    """Of the MAC: it follows from the chain's, which stays when the machine key is rotated."""
    return hmac.digest(chain_key, b"posd backup", "sha256")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the backup in `folder`; not yet believed. Raises StorageFailed."""
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(MANIFEST_BYTES_MAX), type=Manifest)
    except FileNotFoundError:
        raise StorageFailed(
            f"backup: {folder}: there is no manifest: no backup, or one that was never finished"
        ) from None
    except OSError as error:
        raise StorageFailed(f"backup: {path}: {(error.strerror or 'cannot be read').lower()}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StorageFailed(f"backup: {path}: damaged: it is no manifest of posd's; use another backup") from None
    if found.posd_backup != FORMAT:
        raise StorageFailed(f"backup: {path}: format {found.posd_backup} is not known to this posd; use the newer posd")
    if not all(_is_plain(one.name) for one in (*found.files, *found.segments)):
        raise StorageFailed(f"backup: {path}: it names files elsewhere: not a manifest of posd's")
    return found


def _is_plain(name: str) -> bool:
    """A manifest that is not believed yet must not lead out of its folder."""
    return bool(name) and "/" not in name and not name.startswith(".")


def file_sum(path: Path, name: str = "") -> FileSum:
    """Size and SHA-256 of a file as the disk gives it back. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            digest.update(part)
            size += len(part)
    return FileSum(name or path.name, size, digest.hexdigest())


def differing(folder: Path, wanted: tuple[FileSum, ...]) -> Iterator[str]:
    """What is missing or not as it was, of these files in `folder`."""
    for one in wanted:
        path = folder / one.name
        try:
            found = file_sum(path, one.name)
        except FileNotFoundError:
            yield f"{path}: missing"
        except OSError as error:
            yield f"{path}: {(error.strerror or 'cannot be read').lower()}"
        else:
            if found != one:
                what = f"{found.size} bytes instead of {one.size}" if found.size != one.size else "another content"
                yield f"{path}: {what}"
