"""The simulators' own reading of keys, check values, PIN blocks and the ECB MAC (reference 1.6, 1.11, 1.12).

The other MACs are in macs.py.

Pure: new keys come out of a seed, not out of a random source. Never use these keys for anything but a test.
"""

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

BLOCK_BYTES = 8
CHECK_VALUE_BYTES = 4
SINGLE_KEY_BYTES = 8
DOUBLE_KEY_BYTES = 16
PIN_DIGITS_MIN, PIN_DIGITS_MAX = 4, 12
SIGN_IN_SINGLE, SIGN_IN_DOUBLE, SIGN_IN_DOUBLE_TRACK, SIGN_IN_SM4 = "001", "003", "004", "006"


@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys:
    """The clear working keys of one sign-in: 8 or 16 bytes; `mak` 16 only if it is double-length or SM4's (1.6)."""

    pik: bytes
    mak: bytes
    tdk: bytes | None = None

    def __repr__(self) -> str:
        return "WorkingKeys(***)"


def encrypt(key: bytes, data: bytes) -> bytes:
    """(3)DES-ECB of whole 8-byte blocks under an 8-, 16- or 24-byte key."""
    step = Cipher(TripleDES(_full_length(key)), modes.ECB()).encryptor()
    return step.update(data) + step.finalize()


def decrypt(key: bytes, data: bytes) -> bytes:
    """The inverse of `encrypt`."""
    step = Cipher(TripleDES(_full_length(key)), modes.ECB()).decryptor()
    return step.update(data) + step.finalize()


def sm4(key: bytes, data: bytes) -> bytes:
    """SM4-ECB of whole 16-byte blocks."""
    step = Cipher(SM4(key), modes.ECB()).encryptor()
    return step.update(data) + step.finalize()


def sm4_decrypt(key: bytes, data: bytes) -> bytes:
    """The inverse of `sm4`."""
    step = Cipher(SM4(key), modes.ECB()).decryptor()
    return step.update(data) + step.finalize()


def check_value(key: bytes) -> bytes:
    """The first 4 bytes of encrypting eight zero bytes with the clear key (reference 1.6)."""
    return encrypt(key, bytes(BLOCK_BYTES))[:CHECK_VALUE_BYTES]


def sm4_check_value(key: bytes) -> bytes:
    """The leading 4 bytes of SM4 over sixteen zero bytes (reference 1.12)."""
    return sm4(key, bytes(DOUBLE_KEY_BYTES))[:CHECK_VALUE_BYTES]


def ecb_mac(mak: bytes, data: bytes) -> bytes:
    """The UnionPay ECB MAC over MTI to the byte before field 64: 8 ASCII hex characters (reference 1.11)."""
    folded = 0
    for start in range(0, len(data), BLOCK_BYTES):
        folded ^= int.from_bytes(data[start : start + BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0"), "big")
    text = f"{folded:016X}".encode()
    first = encrypt(mak, text[:BLOCK_BYTES])
    second = encrypt(mak, _xor(first, text[BLOCK_BYTES:]))
    return second.hex().upper().encode()[:BLOCK_BYTES]


def new_keys(
    seed: int, tid: str, generation: int, sign_in_code: str, *, double_mak: bool = False, sm4_tdk: bool = True
) -> WorkingKeys:
    """Fresh keys for the `generation`-th sign-in of a terminal; the same arguments give the same keys.

    `double_mak`: a true double-length MAK; SM4 has no other. `sm4_tdk`: SM4 keys come with a track key.
    """
    length = SINGLE_KEY_BYTES if sign_in_code == SIGN_IN_SINGLE else DOUBLE_KEY_BYTES

    def key(name: str, size: int) -> bytes:
        return _odd_parity(hashlib.sha256(f"{seed}|{tid}|{generation}|{name}".encode()).digest()[:size])

    national = sign_in_code == SIGN_IN_SM4
    with_tdk = sign_in_code == SIGN_IN_DOUBLE_TRACK or (national and sm4_tdk)
    tdk = key("TDK", DOUBLE_KEY_BYTES) if with_tdk else None
    mak_bytes = DOUBLE_KEY_BYTES if double_mak or national else SINGLE_KEY_BYTES
    return WorkingKeys(pik=key("PIK", length), mak=key("MAK", mak_bytes), tdk=tdk)


def key_block(tmk: bytes, keys: WorkingKeys, sign_in_code: str) -> bytes:
    """Field 62 of the 0810: 24, 40 or 60 bytes for 60.3 = 001, 003, 004 (1.6); of 006 as 004, with SM4 (1.12)."""
    wrap, check = (sm4, sm4_check_value) if sign_in_code == SIGN_IN_SM4 else (encrypt, check_value)
    slot = keys.mak if len(keys.mak) == len(keys.pik) else keys.mak + keys.mak
    block = wrap(tmk, keys.pik) + check(keys.pik) + wrap(tmk, slot) + check(keys.mak)
    if keys.tdk is not None:
        block += wrap(tmk, keys.tdk) + check(keys.tdk)
    return block


def open_key_block(tmk: bytes, block: bytes, sign_in_code: str = "", *, double_mak: bool = False) -> WorkingKeys:
    """The terminal's side of `key_block`: unwraps and checks each key. ValueError if one does not check.

    But for 006 the length of the block says which code it answers.
    """
    national = sign_in_code == SIGN_IN_SM4
    unwrap, check = (sm4_decrypt, sm4_check_value) if national else (decrypt, check_value)
    half = SINGLE_KEY_BYTES if len(block) == 2 * (SINGLE_KEY_BYTES + CHECK_VALUE_BYTES) else DOUBLE_KEY_BYTES
    slots = [block[at : at + half + CHECK_VALUE_BYTES] for at in range(0, len(block), half + CHECK_VALUE_BYTES)]
    if len(slots) not in (2, 3) or len(slots[-1]) != half + CHECK_VALUE_BYTES:
        raise ValueError(f"field 62 has {len(block)} bytes, expected 24, 40 or 60")
    clear = [unwrap(tmk, slot[:half]) for slot in slots]
    if not (national or double_mak):
        clear[1] = clear[1][:SINGLE_KEY_BYTES]
    for name, key, slot in zip(("PIK", "MAK", "TDK"), clear, slots, strict=False):
        if check(key) != slot[half:]:
            raise ValueError(f"the check value of the {name} does not match: another TMK?")
    return WorkingKeys(pik=clear[0], mak=clear[1], tdk=clear[2] if len(clear) > 2 else None)


def pin_block(pik: bytes, pin: str, pan: str, size: int = BLOCK_BYTES) -> bytes:
    """ISO format 0 with the PAN, encrypted under the PIK (reference 1.12); 16 bytes are SM4's.

    How SM4 fills its block no public source says: here with zeros.
    """
    first = bytes.fromhex(f"{len(pin):02d}{pin}".ljust(2 * BLOCK_BYTES, "F"))
    clear = _xor(first, _pan_part(pan))
    return encrypt(pik, clear) if size == BLOCK_BYTES else sm4(pik, clear.ljust(size, b"\0"))


def pin_of(pik: bytes, block: bytes, pan: str) -> str | None:
    """The PIN in an encrypted format 0 block, or None if it does not look like one under this key."""
    clear = decrypt(pik, block) if len(block) == BLOCK_BYTES else sm4_decrypt(pik, block)[:BLOCK_BYTES]
    text = _xor(clear, _pan_part(pan)).hex()
    digits = int(text[1], 16)
    pin = text[2 : 2 + digits]
    fits = text[0] == "0" and PIN_DIGITS_MIN <= digits <= PIN_DIGITS_MAX and pin.isdecimal()
    return pin if fits and set(text[2 + digits :]) <= {"f"} else None


def _pan_part(pan: str) -> bytes:
    return bytes.fromhex("0000" + pan[:-1][-12:].rjust(12, "0"))


def _full_length(key: bytes) -> bytes:
    """Expand to 24 bytes: shorter ones are on their way out of the library (libraries.md)."""
    if len(key) == SINGLE_KEY_BYTES:
        return key * 3
    return key + key[:SINGLE_KEY_BYTES] if len(key) == DOUBLE_KEY_BYTES else key


def _odd_parity(key: bytes) -> bytes:
    return bytes((byte & 0xFE) | (1 - (byte >> 1).bit_count() % 2) for byte in key)


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
