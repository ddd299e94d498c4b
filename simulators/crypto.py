"""The simulators' own reading of keys, check values, PIN blocks and the ECB MAC (reference 1.6, 1.11, 1.12).

Pure: new keys come out of a seed, not out of a random source. Never use these keys for anything but a test.
"""

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

BLOCK_BYTES = 8
CHECK_VALUE_BYTES = 4
SINGLE_KEY_BYTES = 8
DOUBLE_KEY_BYTES = 16
PIN_DIGITS_MIN, PIN_DIGITS_MAX = 4, 12
SIGN_IN_SINGLE, SIGN_IN_DOUBLE, SIGN_IN_DOUBLE_TRACK = "001", "003", "004"


@dataclass(frozen=True, slots=True, repr=False)
class WorkingKeys:
    """The clear working keys of one sign-in: `pik` and `tdk` 8 or 16 bytes, `mak` always 8 (reference 1.6)."""

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


def check_value(key: bytes) -> bytes:
    """The first 4 bytes of encrypting eight zero bytes with the clear key (reference 1.6)."""
    return encrypt(key, bytes(BLOCK_BYTES))[:CHECK_VALUE_BYTES]


def ecb_mac(mak: bytes, data: bytes) -> bytes:
    """The UnionPay ECB MAC over MTI to the byte before field 64: 8 ASCII hex characters (reference 1.11)."""
    folded = 0
    for start in range(0, len(data), BLOCK_BYTES):
        folded ^= int.from_bytes(data[start : start + BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0"), "big")
    text = f"{folded:016X}".encode()
    first = encrypt(mak, text[:BLOCK_BYTES])
    second = encrypt(mak, _xor(first, text[BLOCK_BYTES:]))
    return second.hex().upper().encode()[:BLOCK_BYTES]


def new_keys(seed: int, tid: str, generation: int, sign_in_code: str) -> WorkingKeys:
    """Fresh keys for the `generation`-th sign-in of a terminal; the same arguments give the same keys."""
    length = SINGLE_KEY_BYTES if sign_in_code == SIGN_IN_SINGLE else DOUBLE_KEY_BYTES

    def key(name: str, size: int) -> bytes:
        return _odd_parity(hashlib.sha256(f"{seed}|{tid}|{generation}|{name}".encode()).digest()[:size])

    tdk = key("TDK", DOUBLE_KEY_BYTES) if sign_in_code == SIGN_IN_DOUBLE_TRACK else None
    return WorkingKeys(pik=key("PIK", length), mak=key("MAK", SINGLE_KEY_BYTES), tdk=tdk)


def key_block(tmk: bytes, keys: WorkingKeys, sign_in_code: str) -> bytes:
    """Field 62 of the 0810: 24, 40 or 60 bytes for 60.3 = 001, 003, 004 (reference 1.6)."""
    slot = keys.mak if sign_in_code == SIGN_IN_SINGLE else keys.mak + keys.mak
    block = encrypt(tmk, keys.pik) + check_value(keys.pik) + encrypt(tmk, slot) + check_value(keys.mak)
    if keys.tdk is not None:
        block += encrypt(tmk, keys.tdk) + check_value(keys.tdk)
    return block


def open_key_block(tmk: bytes, block: bytes) -> WorkingKeys:
    """The terminal's side of `key_block`: unwraps and checks each key. ValueError if one does not check."""
    half = SINGLE_KEY_BYTES if len(block) == 2 * (SINGLE_KEY_BYTES + CHECK_VALUE_BYTES) else DOUBLE_KEY_BYTES
    slots = [block[at : at + half + CHECK_VALUE_BYTES] for at in range(0, len(block), half + CHECK_VALUE_BYTES)]
    if len(slots) not in (2, 3) or len(slots[-1]) != half + CHECK_VALUE_BYTES:
        raise ValueError(f"field 62 has {len(block)} bytes, expected 24, 40 or 60")
    clear = [decrypt(tmk, slot[:half]) for slot in slots]
    clear[1] = clear[1][:SINGLE_KEY_BYTES]
    for name, key, slot in zip(("PIK", "MAK", "TDK"), clear, slots, strict=False):
        if check_value(key) != slot[half:]:
            raise ValueError(f"the check value of the {name} does not match: another TMK?")
    return WorkingKeys(pik=clear[0], mak=clear[1], tdk=clear[2] if len(clear) > 2 else None)


def pin_block(pik: bytes, pin: str, pan: str) -> bytes:
    """ISO format 0 with the PAN, encrypted under the PIK (reference 1.12)."""
    first = bytes.fromhex(f"{len(pin):02d}{pin}".ljust(2 * BLOCK_BYTES, "F"))
    return encrypt(pik, _xor(first, _pan_part(pan)))


def pin_of(pik: bytes, block: bytes, pan: str) -> str | None:
    """The PIN in an encrypted format 0 block, or None if it does not look like one under this key."""
    text = _xor(decrypt(pik, block), _pan_part(pan)).hex()
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
