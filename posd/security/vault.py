"""The card vault: seals what must be kept of a card under a data key, and keeps the data keys, wrapped, in
files.

A data key belongs to one batch of one terminal, and is made when that batch first needs one; each start makes new ones
(D29). Its file is durable before anything is sealed under it. Data keys live in a folder of their own, outside the
journal's database and outside its backups, so that destroying the files of a batch destroys its card numbers while the
chain over the ciphertext still holds. It must never write a key in the clear.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble, StorageFailed
from posd.security.datakeyfile import (
    KEY_ID_BYTES,
    Belongs,
    DataKeyFile,
    destroy,
    is_key_id,
    key_files,
    path_in,
    read_key_file,
)
from posd.security.guarded import Guarded
from posd.security.machine import MachineKey
from posd.security.rewrapped import Rewrapped
from posd.security.secretfile import FOLDER_MODE, replace_secret, write_new_secret
from posd.security.wrapping import Wrapping

DATA_KEY_BYTES = 32
NONCE_BYTES = 12
NONCES_AT_ONCE = 64
SEALS_PER_KEY_MAX = 2**28
"""Random nonces are safe for 2**32 messages under one AES-GCM key (NIST SP 800-38D 8.3); stay well below."""

OPENED_MAX = 256
"""So many data keys of older batches stay opened in memory, so that looking something up need not read a file again."""

USED_MAX = 2
"""So many data keys of one terminal are in use: its open batch's, and that of one before it which is owed something."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Ciphertext and what is needed to open it again; safe to store, useless without the data key.

    `key_id`: 16 lower-case hexadecimal digits. `nonce`: 12 bytes. `ciphertext`: as long as the plain text +
    16.
    """

    key_id: str
    nonce: bytes
    ciphertext: bytes


class SealedText(Protocol):
    """The three attributes that opening needs; a journal's own row type has them too."""

    @property
    def key_id(self) -> str: ...

    @property
    def nonce(self) -> bytes: ...

    @property
    def ciphertext(self) -> bytes: ...


@dataclass(slots=True)
class _InUse:
    """A data key that is sealed under."""

    key_id: str
    cipher: AESGCM
    seals: int = 0


class DataKeys(Guarded):
    """Seals under the present data key of a batch, opens what was sealed under any key whose file is still there.

    `machine_key`, `earlier`: the one to wrap under, and those under which files may still be wrapped (rotation).
    """

    __slots__ = ("_files", "_folder", "_in_use", "_lock", "_making", "_nonces", "_opened", "_wrapping")

    def __init__(self, folder: Path, machine_key: MachineKey, *earlier: MachineKey) -> None:
        self._folder = folder
        self._wrapping = Wrapping("card", machine_key, *earlier)
        self._in_use: dict[str, OrderedDict[int, _InUse]] = {}
        self._opened: OrderedDict[str, AESGCM] = OrderedDict()
        self._nonces: Iterator[bytes] = iter(())
        self._lock = threading.Lock()
        self._files = threading.Lock()
        self._making = threading.Lock()

    def require_folder(self) -> None:
        """Raises StorageFailed unless data keys can be made: found out at the start, and not by the first sale."""
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "permission denied")
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def begin(self, tid: str, batch: int) -> str:
        """Make a new data key for a batch, durable on disk, and use it from now on; its id. Raises StorageFailed."""
        if batch < 1:
            raise StorageFailed("data key: card data of no batch: its key could never be destroyed; a bug of posd")
        key_id, key = os.urandom(KEY_ID_BYTES).hex(), os.urandom(DATA_KEY_BYTES)
        self._write(DataKeyFile(key_id=key_id, tid=tid, batch=batch, wrapped=""), key)
        cipher = AESGCM(key)
        with self._lock:
            used = self._in_use.setdefault(tid, OrderedDict())
            used.pop(batch, None)
            used[batch] = _InUse(key_id, cipher)
            while len(used) > USED_MAX:
                used.popitem(last=False)
        self._remember(key_id, cipher)
        return key_id

    def _write(self, said: DataKeyFile, key: bytes) -> None:
        """Under one machine key, and visible, before a rotation looks which files there are: it must miss none."""
        path = path_in(self._folder, said.key_id)
        with self._making:
            wrapped = self._wrapping.wrap(key, said.what).hex()
            try:
                self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                write_new_secret(path, msgspec.structs.replace(said, wrapped=wrapped).text())
            except OSError as error:
                raise _unwritable(path, error) from error

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> Sealed:
        """Encrypt `plain`, bound to `aad` (the journal: TID|sequence), under the key of that batch.

        By one thread only. Raises StorageFailed as `begin`.
        """
        key = self._key_of(tid, batch)
        if key is None or key.seals >= SEALS_PER_KEY_MAX:
            self.begin(tid, batch)
            key = self._in_use[tid][batch]
        key.seals += 1
        nonce = next(self._nonces, None) or self._fresh_nonce()
        return Sealed(key.key_id, nonce, key.cipher.encrypt(nonce, plain, aad))

    def _key_of(self, tid: str, batch: int) -> _InUse | None:
        used = self._in_use.get(tid)
        return used.get(batch) if used is not None else None

    def _fresh_nonce(self) -> bytes:
        """The first of a handful that one call of the system brought; each is used once, by the one writer."""
        random = os.urandom(NONCES_AT_ONCE * NONCE_BYTES)
        self._nonces = iter([random[at : at + NONCE_BYTES] for at in range(0, len(random), NONCE_BYTES)])
        return next(self._nonces)

    def open(self, sealed: SealedText, aad: bytes) -> bytes:
        """The plain bytes again. Raises KeyTrouble: key file missing or damaged, row changed or moved."""
        cipher = self._cipher(sealed.key_id)
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, aad)
        except (InvalidTag, ValueError):  # ValueError: a nonce of a wrong length
            raise KeyTrouble(f"card data sealed under data key {sealed.key_id} was changed or moved") from None

    def can_open(self, key_id: str) -> bool:
        """Whether what was sealed under this key can still be read: its file is there, and of a machine key we have."""
        try:
            self._cipher(key_id)
        except KeyTrouble:
            return False
        return True

    def destroy(self, belongs: Iterable[Belongs], paths: Iterable[Path]) -> None:
        """The end of these batches' keys: in memory, and in the files at `paths` wherever they lie. Raises OSError.

        For a thread that may wait for disks. The record that explains it is durable before (rule 0).
        """
        gone = list(paths)
        with self._lock:
            for one in belongs:
                self._in_use.get(one.tid, OrderedDict()).pop(one.batch, None)
            for path in gone:
                self._opened.pop(path.stem, None)
        with self._files:
            destroy(gone)

    def rotate(self, new: MachineKey, old: MachineKey) -> Rewrapped:
        """Wrap every data key anew. What is made meanwhile is under `new` already.

        For a thread that may wait for a disk, as often as it takes: what is under `new` is left alone. Raises
        StorageFailed.
        """
        both = Wrapping("card", new, old)
        with self._making:  # what is being made under the old key has its name before the files are listed
            self._wrapping = both
        done, unreadable = 0, []
        for path in key_files(self._folder):
            try:
                with self._files:  # one that is being destroyed must not come back
                    done += self._rewrapped(path, both)
            except KeyTrouble:
                unreadable.append(str(path))
        return Rewrapped(done, tuple(unreadable))

    def _rewrapped(self, path: Path, wrapping: Wrapping) -> bool:
        try:
            said = read_key_file(path)
            wrapped = bytes.fromhex(said.wrapped)
            if wrapping.is_present(wrapped):
                return False
            anew = wrapping.wrap(wrapping.unwrap(wrapped, said.what), said.what).hex()
            replace_secret(path, DataKeyFile(key_id=said.key_id, tid=said.tid, batch=said.batch, wrapped=anew).text())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unwritable(path, error) from error
        return True

    def _cipher(self, key_id: str) -> AESGCM:
        with self._lock:
            known = self._opened.get(key_id)
            if known is not None:
                self._opened.move_to_end(key_id)
                return known
        cipher = AESGCM(self._unwrap(key_id))
        self._remember(key_id, cipher)
        return cipher

    def _remember(self, key_id: str, cipher: AESGCM) -> None:
        with self._lock:
            self._opened[key_id] = cipher
            while len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)

    def _unwrap(self, key_id: str) -> bytes:
        if not is_key_id(key_id):
            raise KeyTrouble("the row names no data key that posd could have made; run: posd journal verify")
        path = path_in(self._folder, key_id)
        try:
            said = read_key_file(path)
            return self._wrapping.unwrap(bytes.fromhex(said.wrapped), said.what)
        except FileNotFoundError:
            raise KeyTrouble(
                f"the card number is gone: its data key {key_id} was destroyed when its time was over, or lost"
            ) from None
        except OSError as error:
            raise KeyTrouble(f"data key {key_id}: {path}: {(error.strerror or 'unreadable').lower()}") from None
        except KeyTrouble as error:
            raise KeyTrouble(f"data key {key_id}: {path}: {error}") from None


def _unwritable(path: Path, error: OSError) -> StorageFailed:
    reason = (error.strerror or "cannot be written").lower()
    return StorageFailed(f"data key: {path}: {reason}; free or repair the disk")
