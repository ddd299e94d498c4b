"""Where TMKs live: one contract, three homes. Nobody outside of a home may know where a key's bytes are.

Homes: sealedkeys.py (files under the machine key), tokenkeys.py (a PKCS#11 token), plainkeys.py (test keys of the
configuration, which are read and never kept here). A key that is there is never replaced; only its check value is
ever shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from posd.errors import ConfigError
from posd.security.guarded import Guarded, closed
from posd.security.keys import SM4, KeyCipher, Tmk, check_value
from posd.security.machine import MachineKey
from posd.security.rewrapped import Rewrapped


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be known of a TMK. `cipher`: DES, 3DES or SM4. `at_ms`: when it was entered; 0: not known."""

    tid: str
    index: int
    cipher: str
    check_value: str
    home: str
    by: tuple[str, ...]
    at_ms: int


@closed
@dataclass(frozen=True, slots=True, repr=False)
class NewTmk(Guarded):
    """A TMK that is about to be kept, entered by the people of `by`. `signs`: it is the key of a MAC itself (NAC)."""

    tid: str
    index: int
    key: bytes
    cipher: KeyCipher
    by: tuple[str, ...]
    at_ms: int
    signs: bool = False

    def info(self, home: str) -> KeyInfo:
        """What may be known of it."""
        name = "SM4" if self.cipher is SM4 else "3DES" if len(self.key) > 8 else "DES"
        return KeyInfo(self.tid, self.index, name, check_value(self.key, self.cipher), home, self.by, self.at_ms)


class KeyStore(Protocol):
    """One home. Each method may take its time, as long as a disk or a token does; each raises KeyTrouble or ConfigError
    in one line that says what to do."""

    home: str
    because: str
    """Why its keys are out of reach; empty: they are not."""

    def look(self) -> bool:
        """Whether they are in reach, asked anew; what was lost is sought again."""

    def list(self) -> Sequence[KeyInfo]:
        """Every TMK that is kept here."""

    def open(self, tid: str, index: int) -> Tmk:
        """The TMK to work with. Raises NoSuchKey."""

    def add(self, new: NewTmk) -> KeyInfo:
        """Keep it, durable when this returns. One that is there is refused, not replaced."""

    def remove(self, tid: str, index: int) -> None:
        """Destroy it. Raises NoSuchKey."""

    def rotate(self, new: MachineKey, old: MachineKey) -> Rewrapped:
        """Put what is kept under `old` under `new`, where the machine key guards it."""

    def close(self) -> None:
        """Nothing of it is used any more."""


class NoSuchKey(ConfigError):
    """There is no TMK of this terminal with this index."""

    def __init__(self, tid: str, index: int) -> None:
        option = f" --index {index}" if index else ""
        super().__init__(f"terminal {tid} has no TMK with index {index}; run: posd keys load --tid {tid}{option}")


def exists_already(tid: str, index: int) -> ConfigError:
    """No key is ever replaced."""
    return ConfigError(
        f"terminal {tid} has a TMK with index {index} already, and none is ever replaced; "
        "load it with another --index, or run posd keys remove first"
    )
