"""The machine's key: the one secret that every key of the journal is derived from.

The file holds 64 hexadecimal digits. It must never be used itself: each purpose has its own derived key, so
a key that leaks opens one room only. A rotation puts another in its place, which keeps what the rows of the journal
were chained and digested with, so that whoever has the file of the newest machine key can prove the whole journal.
"""

import hmac
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from posd.errors import ConfigError
from posd.security.guarded import Guarded, closed
from posd.security.secretfile import read_private, write_new_secret

MACHINE_KEY_BYTES = 32
DERIVED_KEY_BYTES = 32
MACHINE_KEY_ID_BYTES = 8


KEPT = ("chain", "digest", "backup")
"""The purposes whose keys outlive a rotation: the journal's rows, and the backups of it, were written under them and
are never written again. They say nothing of card data and open nothing."""

NEXT, LAST = ".new", ".old"
"""What the file of a machine key is called beside the present one, in the middle of a rotation."""

KEY_FILE_BYTES_MAX = 1024


@closed
@dataclass(frozen=True, slots=True, repr=False)
class MachineKey(Guarded):
    """The key itself (32 bytes), never shown; ask for a derived one.

    `kept`: the keys for the purposes KEPT, by name, where they come from a machine key before this one.
    """

    secret: bytes
    kept: tuple[tuple[str, bytes], ...] = ()

    def derive(self, purpose: str) -> bytes:
        """The 32-byte key for `purpose`: "chain" (the journal's HMAC), "digest" (cards), "card" (data keys).

        HKDF-SHA256 with the purpose as its info: the same for ever, and different for each purpose.
        """
        for name, key in self.kept:
            if name == purpose:
                return key
        info = b"posd " + purpose.encode("ascii")
        return HKDF(algorithm=SHA256(), length=DERIVED_KEY_BYTES, salt=None, info=info).derive(self.secret)

    @property
    def id(self) -> str:
        """Which machine key it is, 16 hexadecimal digits: safe to show, and nothing can be opened with it."""
        return self.derive("id")[:MACHINE_KEY_ID_BYTES].hex()

    def successor(self) -> "MachineKey":
        """Another random machine key, for the same journal."""
        return MachineKey(os.urandom(MACHINE_KEY_BYTES), tuple((name, self.derive(name)) for name in KEPT))

    def continues(self, other: "MachineKey") -> bool:
        """Whether both are machine keys of one journal."""
        return all(hmac.compare_digest(self.derive(name), other.derive(name)) for name in KEPT)

    def text(self) -> bytes:
        """The content of its file: the key, then each kept one with its name."""
        lines = [self.secret.hex(), *(f"{name} {key.hex()}" for name, key in self.kept)]
        return "".join(f"{line}\n" for line in lines).encode("ascii")


def load_machine_key(path: Path) -> MachineKey:
    """The key in the file at `path`: 64 hexadecimal digits, mode 0600; after a rotation with the keys that it keeps.

    Raises ConfigError, one line.
    """
    text = read_private(path, "machine key", KEY_FILE_BYTES_MAX)
    return _parsed(text, path)


def load_machine_keys(path: Path) -> tuple[MachineKey, ...]:
    """The machine key to wrap under, and in the middle of a rotation the one before it, which still opens what was not
    wrapped anew yet. Raises ConfigError."""
    present = load_machine_key(path)
    following = path.with_name(path.name + NEXT)
    if not following.exists():
        return (present,)
    new = load_machine_key(following)
    if not new.continues(present):
        raise ConfigError(f"machine key: {following}: is not of the same journal as {path}; move it away")
    return (new, present)


def parse_machine_key(text: bytes) -> MachineKey:
    """A machine key from the content of its file. Raises ConfigError."""
    return _parsed(text, None)


def _parsed(text: bytes, path: Path | None) -> MachineKey:
    first, *lines = text.decode("ascii", "replace").strip().splitlines() or [""]
    kept = tuple((name, digits) for name, _, digits in (line.partition(" ") for line in lines))
    names = tuple(name for name, _ in kept)
    where = f"machine key: {path}" if path is not None else "machine key"
    digits = [first.strip(), *(each.strip() for _, each in kept)]
    if names not in ((), KEPT) or len(digits[0]) != 2 * MACHINE_KEY_BYTES:
        raise ConfigError(
            f"{where}: {len(text.strip())} characters; write 64 hexadecimal digits, or the whole old file"
        )
    if not all(re.fullmatch(r"[0-9a-fA-F]{64}", each, re.ASCII) for each in digits):
        raise ConfigError(f"{where}: not hexadecimal; write 64 hexadecimal digits, or the whole file of the copy")
    secrets = [bytes.fromhex(each) for each in digits]
    return MachineKey(secrets[0], tuple(zip(names, secrets[1:], strict=True)))


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
