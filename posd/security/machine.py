"""The machine's key: the one secret that every key of the journal is derived from.

The file holds 64 hexadecimal digits. It must never be used itself: each purpose has its own derived key, so
a key that leaks opens one room only.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from posd.errors import ConfigError
from posd.security.guarded import Guarded, closed
from posd.security.secretfile import read_secret_hex, write_new_secret

MACHINE_KEY_BYTES = 32
DERIVED_KEY_BYTES = 32
MACHINE_KEY_ID_BYTES = 8


@closed
@dataclass(frozen=True, slots=True, repr=False)
class MachineKey(Guarded):
    """The key itself (32 bytes), never shown; ask for a derived one."""

    secret: bytes

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key for `purpose`: "chain" (the journal's HMAC), "digest" (cards), "card" (data keys).

        HKDF-SHA256 with the purpose as its info: the same for ever, and different for each purpose.
        """
        info = b"posd " + purpose.encode("ascii")
        return HKDF(algorithm=SHA256(), length=DERIVED_KEY_BYTES, salt=None, info=info).derive(self.secret)

    @property
    def id(self) -> str:
        """Which machine key it is, 16 hexadecimal digits: safe to show, and nothing can be opened with it."""
        return self.derive("id")[:MACHINE_KEY_ID_BYTES].hex()


def load_machine_key(path: Path) -> MachineKey:
    """The key in the file at `path`: 64 hexadecimal digits, mode 0600. Raises ConfigError, one line."""
    return MachineKey(read_secret_hex(path, {2 * MACHINE_KEY_BYTES}, "machine key"))


def create_machine_key(path: Path) -> MachineKey:
    """Make a new random key in a new file, mode 0600, synced. An existing file is refused: ConfigError.

    A lost or replaced machine key makes the journal unreadable, so this is an installation step, never a
    repair.
    """
    secret = os.urandom(MACHINE_KEY_BYTES)
    try:
        write_new_secret(path, secret.hex().encode("ascii") + b"\n")
    except FileExistsError:
        raise ConfigError(f"machine key: {path}: exists already; posd never replaces a machine key") from None
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise ConfigError(f"machine key: {path}: {reason}; make its folder writable for posd's user") from None
    return MachineKey(secret)
