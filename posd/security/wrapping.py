"""Wrapping: one secret under a key that is derived from the machine key, as a few bytes that may lie on a disk.

The vault's data keys and the sealed key store are kept so. What comes out names the machine key that opens it, so that
in the middle of a rotation, and after it, nobody has to guess. It must never write a secret in the clear, and never
open one as anything else than what it was wrapped as.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posd.errors import KeyTrouble
from posd.security.guarded import Guarded
from posd.security.machine import MACHINE_KEY_ID_BYTES, MachineKey

NONCE_BYTES = 12
TAG_BYTES = 16
VERSION_NAMELESS = b"\x01"
"""Version, nonce, ciphertext: of the first data keys, which do not say whose they are."""
VERSION = b"\x02"
"""Version, the id of the machine key, nonce, ciphertext."""
OVERHEAD_BYTES = len(VERSION) + MACHINE_KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES
"""So much longer than the secret is what lies on the disk."""


class Wrapping(Guarded):
    """Wraps under `present`, opens what was wrapped under it or under one of `earlier`, all for one `purpose`.

    `purpose` is that of MachineKey.derive: what was wrapped for one purpose cannot be opened for another.
    """

    __slots__ = ("_ciphers", "_present")

    def __init__(self, purpose: str, present: MachineKey, *earlier: MachineKey) -> None:
        self._present = present.id
        self._ciphers = {key.id: AESGCM(key.derive(purpose)) for key in (present, *earlier)}

    def wrap(self, secret: bytes, what: str) -> bytes:
        """`secret` under the present machine key. `what` it is (with its name) stands in no byte and binds it."""
        header, nonce = VERSION + bytes.fromhex(self._present), os.urandom(NONCE_BYTES)
        return header + nonce + self._ciphers[self._present].encrypt(nonce, secret, header + what.encode())

    def unwrap(self, wrapped: bytes, what: str) -> bytes:
        """The secret again. Raises KeyTrouble: damaged, wrapped as something else, or of a machine key not given."""
        if wrapped.startswith(VERSION_NAMELESS):
            return self._unwrap_nameless(wrapped[len(VERSION_NAMELESS) :], what)
        header, rest = wrapped[: len(VERSION) + MACHINE_KEY_ID_BYTES], wrapped[len(VERSION) + MACHINE_KEY_ID_BYTES :]
        cipher = self._ciphers.get(wrapped_under(wrapped))
        if cipher is None:
            raise KeyTrouble(f"damaged, or of another machine key: {wrapped_under(wrapped)}, here is {self._present}")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + what.encode())
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise KeyTrouble("damaged, or put in the place of another; restore it") from None

    def is_present(self, wrapped: bytes) -> bool:
        """Whether it was wrapped under the present machine key: if not, a rotation has yet to wrap it anew.

        Raises KeyTrouble for what nothing of posd's has wrapped.
        """
        return not wrapped.startswith(VERSION_NAMELESS) and wrapped_under(wrapped) == self._present

    def _unwrap_nameless(self, rest: bytes, what: str) -> bytes:
        for cipher in self._ciphers.values():
            try:
                return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], what.encode())
            except (InvalidTag, ValueError):
                continue
        raise KeyTrouble("damaged, or of another machine key")


def wrapped_under(wrapped: bytes) -> str:
    """The id of the machine key that opens it, by what it says itself. Raises KeyTrouble for no such bytes."""
    end = len(VERSION) + MACHINE_KEY_ID_BYTES
    if not wrapped.startswith(VERSION) or len(wrapped) < OVERHEAD_BYTES:
        raise KeyTrouble("damaged; restore it")
    return wrapped[len(VERSION) : end].hex()
