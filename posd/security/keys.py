"""A terminal's keys: the TMK from its file, and the working keys that a sign-in hands out under it.

The PIN key is never unwrapped (D27): posd knows its check value and passes the wrapped key to the terminal,
whose PIN pad is the secure device. A key whose check value differs is refused by name, never by value.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from posd.errors import KeyTrouble
from posd.security.des import (
    CHECK_VALUE_BYTES,
    KEY_BYTES_DOUBLE,
    KEY_BYTES_SINGLE,
    check_value,
    ecb_decrypt,
)
from posd.security.guarded import Guarded
from posd.security.secretfile import read_secret_hex

UNWRAPPED_KEPT_MAX = 4
"""Unwrapped blocks kept with their TMK: the present sign-in's and a few before it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How field 62 is cut (reference 1.6): PIK, MAK and perhaps TDK, each a slot and 4 check bytes."""

    slot_bytes: int
    has_tdk: bool

    @property
    def block_bytes(self) -> int:
        return (self.slot_bytes + CHECK_VALUE_BYTES) * (3 if self.has_tdk else 2)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "001": Layout(slot_bytes=KEY_BYTES_SINGLE, has_tdk=False),
        "003": Layout(slot_bytes=KEY_BYTES_DOUBLE, has_tdk=False),
        "004": Layout(slot_bytes=KEY_BYTES_DOUBLE, has_tdk=True),
    }
)
"""The layout of field 62 by sign-in code, field 60.3."""


@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys(Guarded):
    """What a sign-in handed out, as far as posd may know it.

    `mak`: 8 clear bytes. `mak_kcv`, `pik_kcv`: check values, 8 upper-case hexadecimal digits; the PIK's is
    the host's word, not verified (D27). `has_tdk`: a track key came and its check value is right.
    """

    mak: bytes
    mak_kcv: str
    pik_kcv: str
    has_tdk: bool

    def __repr__(self) -> str:
        return f"<WorkingKeys MAK {self.mak_kcv} PIK {self.pik_kcv} ***>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Tmk(Guarded):
    """A terminal master key, 8 or 16 bytes, with the blocks it has unwrapped lately."""

    key: bytes
    unwrapped: dict[tuple[str, bytes], WorkingKeys] = field(default_factory=dict)

    @property
    def kcv(self) -> str:
        """The check value, 8 upper-case hexadecimal digits: what the acquirer prints beside the key."""
        return check_value(self.key).hex().upper()


def load_tmk(path: Path, tid: str) -> Tmk:
    """The TMK of terminal `tid`: 16 or 32 hexadecimal digits, mode 0600. Raises ConfigError, one line."""
    digits = {2 * KEY_BYTES_SINGLE, 2 * KEY_BYTES_DOUBLE}
    return Tmk(read_secret_hex(path, digits, f"TMK of terminal {tid}"))


def unwrap(tmk: Tmk, block: bytes, sign_in_code: str) -> WorkingKeys:
    """The working keys in field 62 (`block`, as received) of the answer to a sign-in with 60.3 =
    `sign_in_code`.

    Raises KeyTrouble naming the key: an unknown code, a block of another length, a wrong check value (a
    wrong TMK shows as that). The MAK is the first 8 bytes of its slot, decrypted; its check value covers
    those (reference 1.6).
    """
    known = tmk.unwrapped.get((sign_in_code, block))
    if known is not None:
        return known
    keys = _unwrap(tmk.key, block, sign_in_code)
    while len(tmk.unwrapped) >= UNWRAPPED_KEPT_MAX:
        del tmk.unwrapped[next(iter(tmk.unwrapped))]
    tmk.unwrapped[(sign_in_code, block)] = keys
    return keys


def _unwrap(tmk: bytes, block: bytes, sign_in_code: str) -> WorkingKeys:
    layout = LAYOUTS.get(sign_in_code)
    if layout is None:
        raise KeyTrouble(f"key block: no layout for sign-in code {sign_in_code!r}; use 001, 003 or 004")
    if len(block) != layout.block_bytes:
        raise KeyTrouble(
            f"key block: {len(block)} bytes, sign-in code {sign_in_code} brings {layout.block_bytes}; "
            "check host.sign_in against the acquirer's"
        )
    step = layout.slot_bytes + CHECK_VALUE_BYTES
    slots = [block[start : start + step] for start in range(0, len(block), step)]
    pik_slot, mak_slot = slots[0], slots[1]
    mak = ecb_decrypt(tmk, mak_slot[:-CHECK_VALUE_BYTES])[:KEY_BYTES_SINGLE]
    _verify("MAK", mak, mak_slot[-CHECK_VALUE_BYTES:])
    if layout.has_tdk:
        tdk_slot = slots[2]
        _verify("TDK", ecb_decrypt(tmk, tdk_slot[:-CHECK_VALUE_BYTES]), tdk_slot[-CHECK_VALUE_BYTES:])
    return WorkingKeys(
        mak=mak,
        mak_kcv=mak_slot[-CHECK_VALUE_BYTES:].hex().upper(),
        pik_kcv=pik_slot[-CHECK_VALUE_BYTES:].hex().upper(),
        has_tdk=layout.has_tdk,
    )


def _verify(name: str, key: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(check_value(key), expected):
        raise KeyTrouble(f"{name}: wrong check value; the terminal's TMK is not the host's, or the block was damaged")
