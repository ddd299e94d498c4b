"""A terminal's keys: the TMK from its file, and the working keys that a sign-in hands out under it.

The PIN key is never unwrapped (D27): posd knows its check value and passes the wrapped key to the terminal,
whose PIN pad is the secure device. A key whose check value differs is refused by name, never by value.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

from posd.errors import KeyTrouble
from posd.security import des, sm4
from posd.security.des import CHECK_VALUE_BYTES, KEY_BYTES_DOUBLE, KEY_BYTES_SINGLE
from posd.security.guarded import Guarded
from posd.security.secretfile import read_secret_hex

UNWRAPPED_KEPT_MAX = 4
"""Unwrapped blocks kept with their TMK: the present sign-in's and a few before it."""

SM4_SIGN_IN = "006"
"""The sign-in code whose keys are SM4's (reference 1.3)."""

NAMES = ("PIK", "MAK", "TDK")
"""The slots of field 62, in their order."""


@dataclass(frozen=True, slots=True)
class KeyCipher:
    """How keys are wrapped under a TMK of one of `tmk_bytes`, encrypted with and checked."""

    name: str
    tmk_bytes: tuple[int, ...]
    encrypt: Callable[[bytes, bytes], bytes]
    decrypt: Callable[[bytes, bytes], bytes]
    check_value: Callable[[bytes], bytes]


DES = KeyCipher("DES", (KEY_BYTES_SINGLE, KEY_BYTES_DOUBLE), des.ecb_encrypt, des.ecb_decrypt, des.check_value)
SM4 = KeyCipher("SM4", (sm4.KEY_BYTES,), sm4.ecb_encrypt, sm4.ecb_decrypt, sm4.check_value)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How field 62 is cut (reference 1.6): PIK, MAK and perhaps TDK, each a slot and 4 check bytes.

    `mak_bytes`: how much of its slot is the MAK; the check value covers that.
    """

    slot_bytes: int
    has_tdk: bool
    mak_bytes: int = KEY_BYTES_SINGLE
    cipher: KeyCipher = DES

    @property
    def block_bytes(self) -> int:
        return (self.slot_bytes + CHECK_VALUE_BYTES) * (3 if self.has_tdk else 2)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "001": Layout(slot_bytes=KEY_BYTES_SINGLE, has_tdk=False),
        "003": Layout(slot_bytes=KEY_BYTES_DOUBLE, has_tdk=False),
        "004": Layout(slot_bytes=KEY_BYTES_DOUBLE, has_tdk=True),
        SM4_SIGN_IN: Layout(slot_bytes=sm4.KEY_BYTES, has_tdk=True, mak_bytes=sm4.KEY_BYTES, cipher=SM4),
    }
)
"""The usual layout of field 62 by sign-in code, field 60.3. That of 006 is a guess (reference 1.12)."""


@cache
def layout_of(sign_in_code: str, mak: str = "single", sm4_key_block: str = "with_tdk") -> Layout:
    """The layout under the settings of an acquirer; the same one for the same settings.

    `mak`: "single" (the first 8 bytes of the slot) or "double" (all 16); SM4 knows no such choice. `sm4_key_block`:
    "with_tdk" or "without_tdk", of 006 only. Raises KeyTrouble for a code without layout, and for 001 with a double
    MAK.
    """
    usual = LAYOUTS.get(sign_in_code)
    if usual is None:
        raise KeyTrouble(f"key block: no layout for sign-in code {sign_in_code!r}; use {', '.join(LAYOUTS)}")
    if usual.cipher is SM4:
        return usual if sm4_key_block == "with_tdk" else Layout(usual.slot_bytes, False, usual.mak_bytes, SM4)
    if mak == "single":
        return usual
    if usual.slot_bytes < KEY_BYTES_DOUBLE:
        raise KeyTrouble(f"sign-in code {sign_in_code} brings single-length keys; there is no double-length MAK in it")
    return Layout(usual.slot_bytes, usual.has_tdk, KEY_BYTES_DOUBLE)


@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys(Guarded):
    """What a sign-in handed out, as far as posd may know it.

    `mak`: 8 or 16 clear bytes. `mak_kcv`, `pik_kcv`: check values, 8 upper-case hexadecimal digits; the PIK's is
    the host's word, not verified (D27). `tdk`: the clear track key, 16 bytes; None where the block has none.
    """

    mak: bytes
    mak_kcv: str
    pik_kcv: str
    tdk: bytes | None

    def __repr__(self) -> str:
        return f"<WorkingKeys MAK {self.mak_kcv} PIK {self.pik_kcv} ***>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Tmk(Guarded):
    """A terminal master key, 8 or 16 bytes, with the blocks it has unwrapped lately."""

    key: bytes
    unwrapped: dict[tuple[Layout, str], WorkingKeys] = field(default_factory=dict)

    @property
    def kcv(self) -> str:
        """The check value, 8 upper-case hexadecimal digits: what the acquirer prints beside the key."""
        return des.check_value(self.key).hex().upper()


def load_tmk(path: Path, tid: str, cipher: KeyCipher = DES) -> Tmk:
    """The TMK of terminal `tid`: 16 or 32 hexadecimal digits (SM4: 32), mode 0600. Raises ConfigError, one line."""
    digits = {2 * length for length in cipher.tmk_bytes}
    return Tmk(read_secret_hex(path, digits, f"TMK of terminal {tid}"))


def unwrap(tmk: Tmk, block: str, layout: Layout) -> WorkingKeys:
    """The working keys in field 62 (`block`: hexadecimal, as a message holds it) of the answer to a sign-in.

    Raises KeyTrouble naming the key: a block of another length, a wrong check value (a wrong TMK shows as that).
    """
    known = tmk.unwrapped.get((layout, block))
    if known is not None:
        return known
    keys = _unwrap(tmk.key, bytes.fromhex(block), layout)
    while len(tmk.unwrapped) >= UNWRAPPED_KEPT_MAX:
        del tmk.unwrapped[next(iter(tmk.unwrapped))]
    tmk.unwrapped[(layout, block)] = keys
    return keys


def _unwrap(tmk: bytes, block: bytes, layout: Layout) -> WorkingKeys:
    if len(tmk) not in layout.cipher.tmk_bytes:
        raise KeyTrouble(f"TMK: {len(tmk)} bytes; {layout.cipher.name} keys come under one of 16")
    if len(block) != layout.block_bytes:
        raise KeyTrouble(
            f"key block: {len(block)} bytes, the configured sign-in brings {layout.block_bytes}; "
            "check host.sign_in against the acquirer's"
        )
    step = layout.slot_bytes + CHECK_VALUE_BYTES
    slots = [block[start : start + step] for start in range(0, len(block), step)]
    mak_slot = slots[1]
    tdk = _open(tmk, slots[2], layout) if layout.has_tdk else None
    mak = _mak(tmk, mak_slot, layout)
    if tdk is not None:
        _verify("TDK", tdk, slots[2], layout)
    return WorkingKeys(
        mak=mak,
        mak_kcv=mak_slot[-CHECK_VALUE_BYTES:].hex().upper(),
        pik_kcv=slots[0][-CHECK_VALUE_BYTES:].hex().upper(),
        tdk=tdk,
    )


def _open(tmk: bytes, slot: bytes, layout: Layout) -> bytes:
    return layout.cipher.decrypt(tmk, slot[:-CHECK_VALUE_BYTES])


def _mak(tmk: bytes, slot: bytes, layout: Layout) -> bytes:
    """The MAK, checked. A check value that fits the other reading of the slot says which setting is wrong."""
    whole = _open(tmk, slot, layout)
    mak, expected = whole[: layout.mak_bytes], slot[-CHECK_VALUE_BYTES:]
    if not _is_right(mak, expected, layout) and layout.cipher is DES:
        for length, word in ((KEY_BYTES_SINGLE, "single"), (KEY_BYTES_DOUBLE, "double")):
            if length <= len(whole) and _is_right(whole[:length], expected, layout):
                raise KeyTrouble(f"MAK: wrong check value; it fits a {word}-length MAK: write host.mak: {word}")
    _verify("MAK", mak, slot, layout)
    return mak


def _is_right(key: bytes, expected: bytes, layout: Layout) -> bool:
    return hmac.compare_digest(layout.cipher.check_value(key), expected)


def _verify(name: str, key: bytes, slot: bytes, layout: Layout) -> None:
    if not _is_right(key, slot[-CHECK_VALUE_BYTES:], layout):
        raise KeyTrouble(f"{name}: wrong check value; the terminal's TMK is not the host's, or the block was damaged")
