"""SM4 on whole blocks, as acquirers with national algorithms use it (reference 1.11, 1.12; GB/T 32907).

The same words as des.py, with blocks and keys of 16 bytes. It must never be used for what stays on this machine.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from posd.errors import KeyTrouble

BLOCK_BYTES = 16
KEY_BYTES = 16


def ecb_encrypt(key: bytes, blocks: bytes) -> bytes:
    """SM4 of whole 16-byte blocks."""
    encryptor = Cipher(_algorithm(key), ECB()).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def ecb_decrypt(key: bytes, blocks: bytes) -> bytes:
    """The reverse of `ecb_encrypt`."""
    decryptor = Cipher(_algorithm(key), ECB()).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def block_encryptor(key: bytes) -> Callable[[bytes], bytes]:
    """`ecb_encrypt` with a prepared cipher, as in des.py."""
    update = Cipher(_algorithm(key), ECB()).encryptor().update

    def encrypt(blocks: bytes) -> bytes:
        if len(blocks) % BLOCK_BYTES:
            raise ValueError(f"{len(blocks)} bytes are no whole blocks")
        return update(blocks)

    return encrypt


def cbc_last_block(key: bytes, blocks: bytes) -> bytes:
    """The last block of SM4-CBC over whole blocks, from a zero initial vector."""
    return Cipher(_algorithm(key), CBC(bytes(BLOCK_BYTES))).encryptor().update(blocks)[-BLOCK_BYTES:]


def _algorithm(key: bytes) -> SM4:
    if len(key) != KEY_BYTES:
        raise KeyTrouble(f"SM4 key: {len(key)} bytes; it has {KEY_BYTES}")
    return SM4(key)
