"""A terminal's keys: its TMK, wherever that lives, and the working keys that a sign-in hands out under it.

The PIN key is never unwrapped (D27): posd knows its check value and passes the wrapped key to the terminal,
whose PIN pad is the secure device. A key whose check value differs is refused by name, never by value.
"""

import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from posd.errors import KeyTrouble
from posd.security import des, sm4
from posd.security.cipherkey import CipherKey, ClearKey
from posd.security.des import CHECK_VALUE_BYTES, KEY_BYTES_DOUBLE, KEY_BYTES_SINGLE
from posd.security.guarded import Guarded, closed

UNWRAPPED_KEPT_MAX = 4
"""Unwrapped blocks kept with their TMK: the present sign-in's and a few before it."""

SM4_SIGN_IN = "006"
"""The sign-in code whose keys are SM4's (reference 1.3)."""

NAMES = ("PIK", "MAK", "TDK")
"""The slots of field 62, in their order."""


@dataclass(frozen=True, slots=True)
class KeyCipher:
    """How keys are wrapped under a TMK of one of `tmk_bytes`, and checked."""

    name: str
    tmk_bytes: tuple[int, ...]
    block_bytes: int


DES = KeyCipher("DES", (KEY_BYTES_SINGLE, KEY_BYTES_DOUBLE), des.BLOCK_BYTES)
SM4 = KeyCipher("SM4", (sm4.KEY_BYTES,), sm4.BLOCK_BYTES)


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


@closed
@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys(Guarded):
    """What a sign-in handed out, as far as posd may know it.

    `mak`: of 8 or 16 bytes. `mak_kcv`, `pik_kcv`: check values, 8 upper-case hexadecimal digits; the PIK's is
    the host's word, not verified (D27). `tdk`: the track key, 16 bytes; None where the block has none.
    """

    mak: CipherKey
    mak_kcv: str
    pik_kcv: str
    tdk: CipherKey | None

    def __repr__(self) -> str:
        return f"<WorkingKeys MAK {self.mak_kcv} PIK {self.pik_kcv} ***>"


class Tmk(Guarded, ABC):
    """A terminal master key in one of its homes: in memory (ClearTmk), or in a token (pkcs11.py).

    What a home adds is how a wrapped key is opened; what a sign-in's block must be is the same for all of them.
    """

    __slots__ = ("_unwrapped",)

    def __init__(self) -> None:
        self._unwrapped: dict[tuple[Layout, str], WorkingKeys] = {}

    @property
    @abstractmethod
    def length(self) -> int:
        """Its bytes: 8 or 16; 0 for a terminal that needs none."""

    @property
    @abstractmethod
    def kcv(self) -> str:
        """The check value, 8 upper-case hexadecimal digits: what the acquirer prints beside the key."""

    @abstractmethod
    def as_mac_key(self) -> CipherKey | None:
        """The key itself as the key of a MAC, where there are no working keys (NAC); None: there is none."""

    @abstractmethod
    def _open(self, wrapped: bytes, layout: Layout) -> CipherKey:
        """The key that these whole blocks of a slot are, decrypted (ECB) under the TMK."""

    def require_reach(self) -> None:
        """Raises KeyOutOfReach where a sign-in's keys could not be opened now."""

    def _release(self, keys: WorkingKeys) -> None:
        """These working keys are not used any more."""

    def unwrap(self, block: str, layout: Layout) -> WorkingKeys:
        """The working keys in field 62 (`block`: hexadecimal, as a message holds it) of the answer to a sign-in.

        Raises KeyTrouble naming the key: a block of another length, a wrong check value (a wrong TMK shows as that).
        """
        known = self._unwrapped.get((layout, block))
        if known is not None:
            return known
        keys = self._unwrap(bytes.fromhex(block), layout)
        while len(self._unwrapped) >= UNWRAPPED_KEPT_MAX:
            self._release(self._unwrapped.pop(next(iter(self._unwrapped))))
        self._unwrapped[(layout, block)] = keys
        return keys

    def forget_unwrapped(self) -> None:
        """The working keys that were opened are of no use any more: open them again when they are asked for."""
        self._unwrapped.clear()

    def _unwrap(self, block: bytes, layout: Layout) -> WorkingKeys:
        if self.length not in layout.cipher.tmk_bytes:
            raise KeyTrouble(f"TMK: {self.length} bytes; {layout.cipher.name} keys come under one of 16")
        if len(block) != layout.block_bytes:
            raise KeyTrouble(
                f"key block: {len(block)} bytes, the configured sign-in brings {layout.block_bytes}; "
                "check host.sign_in against the acquirer's"
            )
        step = layout.slot_bytes + CHECK_VALUE_BYTES
        slots = [block[start : start + step] for start in range(0, len(block), step)]
        mak = self._mak(slots[1], layout)
        return WorkingKeys(
            mak=mak,
            mak_kcv=slots[1][-CHECK_VALUE_BYTES:].hex().upper(),
            pik_kcv=slots[0][-CHECK_VALUE_BYTES:].hex().upper(),
            tdk=self._checked("TDK", slots[2], layout.slot_bytes, layout) if layout.has_tdk else None,
        )

    def _mak(self, slot: bytes, layout: Layout) -> CipherKey:
        """The MAK, checked. A check value that fits the other reading of the slot says which setting is wrong."""
        mak = self._open(slot[: layout.mak_bytes], layout)
        if _is_right(mak, slot, layout):
            return mak
        for length, word in ((KEY_BYTES_SINGLE, "single"), (KEY_BYTES_DOUBLE, "double")):
            if layout.cipher is DES and length != layout.mak_bytes and length <= layout.slot_bytes:
                other = self._open(slot[:length], layout)
                if _is_right(other, slot, layout):
                    raise KeyTrouble(f"MAK: wrong check value; it fits a {word}-length MAK: write host.mak: {word}")
        raise _wrong("MAK")

    def _checked(self, name: str, slot: bytes, length: int, layout: Layout) -> CipherKey:
        key = self._open(slot[:length], layout)
        if not _is_right(key, slot, layout):
            raise _wrong(name)
        return key


class ClearTmk(Tmk):
    """A TMK in this process's memory; an empty one is that of a terminal that needs none."""

    __slots__ = ("_key", "_mac_key", "_of_sm4")

    def __init__(self, key: bytes, *, of_sm4: bool = False) -> None:
        super().__init__()
        self._key, self._of_sm4 = key, of_sm4
        self._mac_key = ClearKey(key, of_sm4=of_sm4) if key else None

    @property
    def length(self) -> int:
        return len(self._key)

    @property
    def kcv(self) -> str:
        return check_value(self._key, SM4 if self._of_sm4 else DES)

    def as_mac_key(self) -> CipherKey | None:
        return self._mac_key

    def _open(self, wrapped: bytes, layout: Layout) -> CipherKey:
        of_sm4 = layout.cipher is SM4
        return ClearKey(ClearKey(self._key, of_sm4=of_sm4).decrypt(wrapped), of_sm4=of_sm4)


NO_TMK = ClearTmk(b"")


def check_value(key: bytes, cipher: KeyCipher = DES) -> str:
    """Of a key that is in memory: 8 upper-case hexadecimal digits."""
    return _check_value(ClearKey(key, of_sm4=cipher is SM4), cipher).hex().upper()


def _check_value(key: CipherKey, cipher: KeyCipher) -> bytes:
    """A block of zeros under the key (reference 1.6, 1.12)."""
    return key.encrypt(bytes(cipher.block_bytes))[:CHECK_VALUE_BYTES]


def _is_right(key: CipherKey, slot: bytes, layout: Layout) -> bool:
    return hmac.compare_digest(_check_value(key, layout.cipher), slot[-CHECK_VALUE_BYTES:])


def _wrong(name: str) -> KeyTrouble:
    return KeyTrouble(f"{name}: wrong check value; the terminal's TMK is not the host's, or the block was damaged")
