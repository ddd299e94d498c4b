"""The UnionPay ECB MAC (reference 1.11): eight ASCII characters over everything from the MTI to before field
64.

It must never compare a MAC with `==`: a comparison that stops early tells how much of a guess was right.
"""

import hmac
from functools import reduce
from operator import xor
from struct import pack, unpack

from posd.errors import KeyTrouble
from posd.security.des import BLOCK_BYTES, KEY_BYTES_DOUBLE, KEY_BYTES_SINGLE, block_encryptor

MAC_CHARACTERS = 8


def xor_of_blocks(data: bytes) -> bytes:
    """All 8-byte blocks of the zero-padded `data` XORed to 8 bytes (reference 1.11 steps 1 and 2)."""
    padded = data + bytes(-len(data) % BLOCK_BYTES)
    return pack(">Q", reduce(xor, unpack(f">{len(padded) // BLOCK_BYTES}Q", padded), 0))


def ecb_mac(key: bytes, data: bytes) -> bytes:
    """Field 64 over `data` (MTI up to the byte before field 64): 8 ASCII characters, upper-case hexadecimal.

    `key`: the MAK, 8 bytes (the usual, reference 1.6) or 16. Raises KeyTrouble for another length.
    """
    if len(key) not in (KEY_BYTES_SINGLE, KEY_BYTES_DOUBLE):
        raise KeyTrouble(f"MAK: {len(key)} bytes; a MAK has 8 or 16")
    encrypt = block_encryptor(key)
    folded = xor_of_blocks(data).hex().upper().encode("ascii")
    first = int.from_bytes(encrypt(folded[:BLOCK_BYTES]), "big")
    mixed = first ^ int.from_bytes(folded[BLOCK_BYTES:], "big")
    return encrypt(mixed.to_bytes(BLOCK_BYTES, "big")).hex().upper().encode("ascii")[:MAC_CHARACTERS]


def ecb_mac_matches(key: bytes, data: bytes, mac: bytes) -> bool:
    """Whether `mac` (field 64 as received, 8 bytes) is the MAC of `data`; in constant time."""
    return hmac.compare_digest(ecb_mac(key, data), mac)
