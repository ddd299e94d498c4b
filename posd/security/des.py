"""DES and triple DES on whole blocks, as terminals use them (reference 1.6, 1.11, 1.12).

The library wants 24-byte keys, so 8-byte keys are given three times and 16-byte keys as K1 K2 K1. It must
never be used for anything but what the field demands: working keys, check values, MACs.
"""

from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

BLOCK_BYTES = 8
KEY_BYTES_SINGLE = 8
KEY_BYTES_DOUBLE = 16
CHECK_VALUE_BYTES = 4


def ecb_encrypt(key: bytes, blocks: bytes) -> bytes:
    """DES (8-byte key) or 3DES (16-byte key) of whole 8-byte blocks."""
    encryptor = _cipher(key).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def block_encryptor(key: bytes) -> Callable[[bytes], bytes]:
    """`ecb_encrypt` with a prepared cipher, for a key that is used again and again.

    ECB carries nothing from one call to the next as long as only whole blocks are given, so anything else is refused
    (ValueError). Not for several threads at once.
    """
    update = _cipher(key).encryptor().update

    def encrypt(blocks: bytes) -> bytes:
        if len(blocks) % BLOCK_BYTES:
            raise ValueError(f"{len(blocks)} bytes are no whole blocks")
        return update(blocks)

    return encrypt


def ecb_decrypt(key: bytes, blocks: bytes) -> bytes:
    """The reverse of `ecb_encrypt`."""
    decryptor = _cipher(key).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def cbc_last_block(key: bytes, blocks: bytes) -> bytes:
    """The last block of (3)DES-CBC over whole blocks, from a zero initial vector (reference 1.11)."""
    return Cipher(_algorithm(key), CBC(bytes(BLOCK_BYTES))).encryptor().update(blocks)[-BLOCK_BYTES:]


def _cipher(key: bytes) -> Cipher[ECB]:
    return Cipher(_algorithm(key), ECB())


def _algorithm(key: bytes) -> TripleDES:
    return TripleDES((key * 3)[:24])
