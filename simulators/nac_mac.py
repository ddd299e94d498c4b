"""The simulators' own retail MAC for the NAC dialect, where a key is configured (reference 1.11, 2.2: "MAC, optional").

ANSI X9.19 with a key of 16 bytes, X9.9 (plain CBC) with one of 8: zero IV, zero padding, from the MTI to the byte
before field 64. No source says which a NAC host uses: a guess that both ends of a test share.
"""

from simulators.crypto import BLOCK_BYTES, decrypt, encrypt


def mac_of(key: bytes, data: bytes) -> bytes:
    """8 raw bytes."""
    left, right = key[:BLOCK_BYTES], key[BLOCK_BYTES:]
    last = bytes(BLOCK_BYTES)
    for start in range(0, len(data), BLOCK_BYTES):
        block = data[start : start + BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0")
        last = encrypt(left, bytes(a ^ b for a, b in zip(last, block, strict=True)))
    return encrypt(left, decrypt(right, last)) if right else last
