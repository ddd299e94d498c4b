"""The card vault: seals what must be kept of a card under a data key, and keeps the data keys, wrapped, in
files.

Each start begins a new data key (D29); its file is durable before anything is sealed under it. Data keys
live in a folder of their own, outside the journal's database and outside its backups, so that destroying the
files destroys the card numbers while the chain over the ciphertext still holds. It must never write a key in
the clear.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble, StorageFailed
from posd.security.guarded import Guarded
from posd.security.machine import MachineKey
from posd.security.secretfile import FOLDER_MODE, write_new_secret
from posd.security.wrapping import OVERHEAD_BYTES, Wrapping

DATA_KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
NONCES_AT_ONCE = 64
WRAPPED_BYTES = DATA_KEY_BYTES + OVERHEAD_BYTES
SEALS_PER_KEY_MAX = 2**28
"""Random nonces are safe for 2**32 messages under one AES-GCM key (NIST SP 800-38D 8.3); stay well below."""


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


class DataKeys(Guarded):
    """Seals under the present data key, opens what was sealed under any key whose file is still in the
    folder.

    File `<key_id>.key`, mode 0600: the data key, wrapped (wrapping.py) as its key id.
    """

    __slots__ = ("_ciphers", "_folder", "_key_id", "_nonces", "_seals", "_wrapping")

    def __init__(self, folder: Path, machine_key: MachineKey) -> None:
        self._folder = folder
        self._wrapping = Wrapping("card", machine_key)
        self._ciphers: dict[str, AESGCM] = {}
        self._key_id = ""
        self._seals = 0
        self._nonces: Iterator[bytes] = iter(())

    def begin(self) -> str:
        """Make a new data key, durable on disk, and use it from now on; its id.

        The daemon calls this at start (D29); a reader that only opens never does. Raises StorageFailed.
        """
        key_id, key = os.urandom(KEY_ID_BYTES).hex(), os.urandom(DATA_KEY_BYTES)
        wrapped = self._wrapping.wrap(key, key_id)
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_new_secret(self._path(key_id), wrapped)
        except OSError as error:
            reason = (error.strerror or "cannot be written").lower()
            raise StorageFailed(f"data key: {self._path(key_id)}: {reason}; free or repair the disk") from None
        self._ciphers[key_id] = AESGCM(key)
        self._key_id, self._seals = key_id, 0
        return key_id

    def seal(self, plain: bytes, aad: bytes) -> Sealed:
        """Encrypt `plain`, bound to `aad` (the journal: TID|sequence). Raises StorageFailed as `begin`."""
        if not self._key_id or self._seals >= SEALS_PER_KEY_MAX:
            self.begin()
        self._seals += 1
        nonce = next(self._nonces, None) or self._fresh_nonce()
        return Sealed(self._key_id, nonce, self._ciphers[self._key_id].encrypt(nonce, plain, aad))

    def _fresh_nonce(self) -> bytes:
        """The first of a handful that one call of the system brought; each is used once, by the one writer."""
        random = os.urandom(NONCES_AT_ONCE * NONCE_BYTES)
        self._nonces = iter([random[at : at + NONCE_BYTES] for at in range(0, len(random), NONCE_BYTES)])
        return next(self._nonces)

    def open(self, sealed: SealedText, aad: bytes) -> bytes:
        """The plain bytes again. Raises KeyTrouble: key file missing or damaged, row changed or moved."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            cipher = self._ciphers[sealed.key_id] = AESGCM(self._unwrap(sealed.key_id))
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, aad)
        except (InvalidTag, ValueError):  # ValueError: a nonce of a wrong length
            raise KeyTrouble(f"card data sealed under data key {sealed.key_id} was changed or moved") from None

    def _unwrap(self, key_id: str) -> bytes:
        # the id comes from a database row: it must never become another path
        if len(key_id) != 2 * KEY_ID_BYTES or not all(digit in "0123456789abcdef" for digit in key_id):
            raise KeyTrouble("the row names no data key that posd could have made; run: posd journal verify")
        path = self._path(key_id)
        try:
            with path.open("rb") as file:
                wrapped = file.read(WRAPPED_BYTES + 1)
        except FileNotFoundError:
            raise KeyTrouble(f"data key {key_id}: {path}: missing; destroyed with its batch, or restore it") from None
        except OSError as error:
            raise KeyTrouble(f"data key {key_id}: {path}: {(error.strerror or 'unreadable').lower()}") from None
        try:
            return self._wrapping.unwrap(wrapped, key_id)
        except KeyTrouble as error:
            raise KeyTrouble(f"data key {key_id}: {path}: {error}") from None

    def _path(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.key"
