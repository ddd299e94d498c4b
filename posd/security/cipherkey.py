"""A key as the algorithms of the wire see it: whole blocks in, whole blocks out, wherever the key lives.

MACs, track encryption and check values are made of these four operations, so a key in a token and a key in memory are
used by the same code. Nobody may ask for its bytes: a token would not tell them.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from posd.security import des, sm4
from posd.security.guarded import Guarded


class CipherKey(Protocol):
    """One key. Raises KeyTrouble where the key cannot be used; ValueError for what is no whole blocks."""

    @property
    def length(self) -> int:
        """Its bytes, as the acquirer counts them."""

    def encrypt(self, blocks: bytes) -> bytes:
        """Each block for itself (ECB)."""

    def decrypt(self, blocks: bytes) -> bytes:
        """The reverse."""

    def cbc_last_block(self, blocks: bytes) -> bytes:
        """The last block in CBC mode, from a zero initial vector (reference 1.11)."""

    def left_half(self) -> "CipherKey":
        """The key that the first half of a double-length one is (X9.19)."""


class _Blocks(NamedTuple):
    """One block cipher: a prepared encryptor of a key, and (key, blocks) to what its name says."""

    block_encryptor: Callable[[bytes], Callable[[bytes], bytes]]
    ecb_decrypt: Callable[[bytes, bytes], bytes]
    cbc_last_block: Callable[[bytes, bytes], bytes]


_DES = _Blocks(des.block_encryptor, des.ecb_decrypt, des.cbc_last_block)
_SM4 = _Blocks(sm4.block_encryptor, sm4.ecb_decrypt, sm4.cbc_last_block)


class ClearKey(Guarded):
    """A key in this process's memory. Its prepared cipher is kept: preparing costs ten times what a block does."""

    __slots__ = ("_cipher", "_encrypt", "_key")

    def __init__(self, key: bytes, *, of_sm4: bool = False) -> None:
        self._key, self._cipher = key, _SM4 if of_sm4 else _DES
        self._encrypt: Callable[[bytes], bytes] | None = None

    @property
    def length(self) -> int:
        return len(self._key)

    def encrypt(self, blocks: bytes) -> bytes:
        """For the event loop's thread only, as `block_encryptor`."""
        if self._encrypt is None:
            self._encrypt = self._cipher.block_encryptor(self._key)
        return self._encrypt(blocks)

    def decrypt(self, blocks: bytes) -> bytes:
        return self._cipher.ecb_decrypt(self._key, blocks)

    def cbc_last_block(self, blocks: bytes) -> bytes:
        return self._cipher.cbc_last_block(self._key, blocks)

    def left_half(self) -> "ClearKey":
        return ClearKey(self._key[: len(self._key) // 2])
