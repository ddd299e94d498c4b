"""The MACs of field 64 as a closed table of names (reference 1.11), over everything from the MTI to before field 64.

Each is chosen once, at start, by `mac_of`; what it returns is all that a message costs. It must never compare a MAC
with `==`: a comparison that stops early tells how much of a guess was right.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from struct import pack, unpack
from types import MappingProxyType
from typing import Literal

from posd.errors import KeyTrouble
from posd.security import des, sm4
from posd.security.cipherkey import CipherKey, ClearKey

MAC_BYTES = 8
"""Field 64: 8 raw bytes, or 8 ASCII characters that are upper-case hexadecimal digits."""

Mac = Callable[[CipherKey, bytes], bytes]
"""(MAK, data) to field 64, 8 bytes. Raises KeyTrouble for a key of another length than the algorithm's."""

Output = Literal["usual", "hex", "raw"]

_WORD_BYTES = 8


def xor_of_blocks(data: bytes) -> bytes:
    """All 8-byte blocks of the zero-padded `data` XORed to 8 bytes (reference 1.11 steps 1 and 2)."""
    padded = data + bytes(-len(data) % _WORD_BYTES)
    return pack(">Q", reduce(xor, unpack(f">{len(padded) // _WORD_BYTES}Q", padded), 0))


def xor_of_long_blocks(data: bytes) -> bytes:
    """The same with blocks of 16 bytes, as SM4 has them."""
    padded = data + bytes(-len(data) % sm4.BLOCK_BYTES)
    words = unpack(f">{len(padded) // _WORD_BYTES}Q", padded)
    return pack(">QQ", reduce(xor, words[::2], 0), reduce(xor, words[1::2], 0))


def _unionpay_ecb(key: CipherKey, data: bytes) -> bytes:
    """Reference 1.11 steps 1 to 5; a MAK of 16 bytes makes both encryptions 3DES."""
    encrypt = key.encrypt
    folded = xor_of_blocks(data).hex().upper().encode("ascii")
    first = int.from_bytes(encrypt(folded[:8]), "big")
    mixed = first ^ int.from_bytes(folded[8:], "big")
    return encrypt(mixed.to_bytes(8, "big"))


def _sm4_ecb(key: CipherKey, data: bytes) -> bytes:
    """The same steps with blocks of 16 bytes."""
    encrypt = key.encrypt
    folded = xor_of_long_blocks(data).hex().upper().encode("ascii")
    first = int.from_bytes(encrypt(folded[:16]), "big")
    mixed = first ^ int.from_bytes(folded[16:], "big")
    return encrypt(mixed.to_bytes(16, "big"))


def _9606(key: CipherKey, data: bytes) -> bytes:
    """One encryption of all blocks XORed."""
    return key.encrypt(xor_of_blocks(data))


def _des_cbc(key: CipherKey, data: bytes) -> bytes:
    """Every block in CBC mode, zero initial vector: X9.9 under 8 bytes, 3DES-CBC under 16."""
    return key.cbc_last_block(_padded(data, des.BLOCK_BYTES))


def _x9_19(key: CipherKey, data: bytes) -> bytes:
    """CBC under the left half; the last block decrypted under the right and encrypted under the left.

    Encrypt, decrypt, encrypt is 3DES: so only the last block goes through the whole key.
    """
    blocks = _padded(data, des.BLOCK_BYTES)
    head, last = blocks[:-8], int.from_bytes(blocks[-8:], "big")
    if head:
        last ^= int.from_bytes(key.left_half().cbc_last_block(head), "big")
    return key.encrypt(last.to_bytes(8, "big"))


def _sm4_cbc(key: CipherKey, data: bytes) -> bytes:
    return key.cbc_last_block(_padded(data, sm4.BLOCK_BYTES))


def _padded(data: bytes, block_bytes: int) -> bytes:
    """Zero bytes up to whole blocks, at least one: there is no MAC without a block."""
    return data + bytes(-len(data) % block_bytes) if data else bytes(block_bytes)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of the table.

    `result`: (MAK, data) to the last block, 8 or 16 bytes. `hexadecimal`: field 64 is its first 8 hexadecimal digits
    as ASCII, else its first 8 bytes. `key_bytes`: the lengths of its MAK; 16 of SM4 are no double length.
    """

    result: Callable[[CipherKey, bytes], bytes]
    hexadecimal: bool
    key_bytes: tuple[int, ...]
    sm4: bool = False

    def clear_key(self, key: bytes) -> ClearKey:
        """A key of this row that is in memory."""
        return ClearKey(key, of_sm4=self.sm4)


DEFAULT = "unionpay-ecb"

ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        DEFAULT: Algorithm(_unionpay_ecb, hexadecimal=True, key_bytes=(8, 16)),
        "x9.9": Algorithm(_des_cbc, hexadecimal=False, key_bytes=(8,)),
        "x9.19": Algorithm(_x9_19, hexadecimal=False, key_bytes=(16,)),
        "3des-cbc": Algorithm(_des_cbc, hexadecimal=False, key_bytes=(16,)),
        "9606": Algorithm(_9606, hexadecimal=False, key_bytes=(8, 16)),
        "sm4-ecb": Algorithm(_sm4_ecb, hexadecimal=True, key_bytes=(16,), sm4=True),
        "sm4-cbc": Algorithm(_sm4_cbc, hexadecimal=False, key_bytes=(16,), sm4=True),
    }
)
"""By the name in `host.mac_algorithm`. Reference 1.11 gives the output of unionpay-ecb, x9.9 and sm4-ecb; the other
three say no more than their last block, and field 64 has 8 bytes: its leading ones, as x9.9 has them."""


def mac_of(name: str, output: Output = "usual") -> Mac:
    """The MAC function of a row; `output` overrides its form (some hosts want a CBC MAC as text).

    Raises KeyError for a name that the table has not.
    """
    algorithm = ALGORITHMS[name]
    as_text = algorithm.hexadecimal if output == "usual" else output == "hex"
    return (_text if as_text else _raw)(algorithm.result, algorithm.key_bytes)


def _text(result: Callable[[CipherKey, bytes], bytes], lengths: tuple[int, ...]) -> Mac:
    def mac(key: CipherKey, data: bytes) -> bytes:
        if key.length not in lengths:
            raise _of_another_length(key, lengths)
        return result(key, data)[: MAC_BYTES // 2].hex().upper().encode("ascii")

    return mac


def _raw(result: Callable[[CipherKey, bytes], bytes], lengths: tuple[int, ...]) -> Mac:
    def mac(key: CipherKey, data: bytes) -> bytes:
        if key.length not in lengths:
            raise _of_another_length(key, lengths)
        return result(key, data)[:MAC_BYTES]

    return mac


def _of_another_length(key: CipherKey, lengths: tuple[int, ...]) -> KeyTrouble:
    wanted = " or ".join(map(str, lengths))
    return KeyTrouble(f"MAK: {key.length} bytes; host.mac_algorithm wants {wanted}: see host.mak and host.sign_in")


ecb_mac: Mac = mac_of(DEFAULT)
"""The usual one: field 64 is 8 ASCII characters."""


def matches(mac: Mac, key: CipherKey, data: bytes, received: bytes) -> bool:
    """Whether `received` (field 64, 8 bytes) is the MAC of `data`; in constant time."""
    return hmac.compare_digest(mac(key, data), received)
