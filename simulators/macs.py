"""The simulators' own reading of the other MACs and of encrypted tracks (reference 1.11, 1.12).

Written block by block, as the definitions read, and slow for that; the usual MAC is in crypto.py. Pure. Where no public
source has an answer the simulators do what posd's settings call the default, so that both can be run together.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from simulators import crypto

SM4_BLOCK_BYTES = 16
FIELD_64_BYTES = 8

Block = Callable[[bytes], bytes]


def _number(value: object) -> object:
    """A file's text as a number: a Literal takes no other type for it."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


class Keying(BaseModel):
    """What an acquirer and its terminals have agreed on; the names are those of posd's settings.

    `tracks`: what the host takes, or the terminal sends; "any" is for the host, a terminal then sends them clear.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mac_algorithm: Literal["unionpay-ecb", "x9.9", "x9.19", "3des-cbc", "9606", "sm4-ecb", "sm4-cbc"] = "unionpay-ecb"
    mac_output: Literal["usual", "hex", "raw"] = "usual"
    mak: Literal["single", "double"] = "single"
    sm4_key_block: Literal["with_tdk", "without_tdk"] = "with_tdk"
    sm4_security_digit: Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] = "6"
    sm4_pin_block_bytes: Annotated[Literal[8, 16], BeforeValidator(_number)] = 8
    tracks: Literal["any", "clear", "encrypted"] = "any"

    def mac(self, mak: bytes, data: bytes) -> bytes:
        """Field 64: 8 bytes, raw or ASCII."""
        if self.mac_algorithm == "unionpay-ecb" and self.mac_output == "usual":
            return crypto.ecb_mac(mak, data)
        block = _last_block(self.mac_algorithm, mak, data)
        as_text = self.mac_algorithm in ("unionpay-ecb", "sm4-ecb") if self.mac_output == "usual" else None
        if as_text or self.mac_output == "hex":
            return block.hex().upper()[:FIELD_64_BYTES].encode()
        return block[:FIELD_64_BYTES]


USUAL = Keying()


def encrypt_track(tdk: bytes, track: str) -> str:
    """16 digits that end one byte before the end of the packed track, under the TDK (1.12); `=` is nibble D.

    ValueError for a track that is too short.
    """
    return _on_track(track, lambda part: crypto.encrypt(tdk, part))


def decrypt_track(tdk: bytes, track: str) -> str:
    """The inverse of `encrypt_track`."""
    return _on_track(track, lambda part: crypto.decrypt(tdk, part))


def _on_track(track: str, change: Block) -> str:
    """On the packed bytes, as the wire has them: all but the last, and of those the last eight."""
    packed = bytes.fromhex(f"{track}0"[: len(track) + len(track) % 2].replace("=", "D"))
    if len(packed) <= crypto.BLOCK_BYTES:
        raise ValueError("a track too short to be encrypted")
    head, part, tail = packed[:-9], packed[-9:-1], packed[-1:]
    return (head + change(part) + tail).hex().upper()[: len(track)].replace("D", "=")


def _last_block(algorithm: str, mak: bytes, data: bytes) -> bytes:
    match algorithm:
        case "unionpay-ecb":
            return _twice(lambda block: crypto.encrypt(mak, block), data, crypto.BLOCK_BYTES)
        case "sm4-ecb":
            return _twice(lambda block: crypto.sm4(mak, block), data, SM4_BLOCK_BYTES)
        case "9606":
            return crypto.encrypt(mak, _folded(data, crypto.BLOCK_BYTES))
        case "sm4-cbc":
            return _chained(lambda block: crypto.sm4(mak, block), data, SM4_BLOCK_BYTES)
        case "x9.19":
            left, right = mak[: crypto.BLOCK_BYTES], mak[crypto.BLOCK_BYTES :]
            last = _chained(lambda block: crypto.encrypt(left, block), data, crypto.BLOCK_BYTES)
            return crypto.encrypt(left, crypto.decrypt(right, last))
        case _:  # x9.9 and 3des-cbc differ in the length of their key only
            return _chained(lambda block: crypto.encrypt(mak, block), data, crypto.BLOCK_BYTES)


def _blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size].ljust(size, b"\0") for at in range(0, len(data), size))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))


def _folded(data: bytes, size: int) -> bytes:
    total = bytes(size)
    for block in _blocks(data, size):
        total = _xor(total, block)
    return total


def _twice(encrypt: Block, data: bytes, size: int) -> bytes:
    """The XOR of all blocks as hex characters; the first half encrypted, XORed with the second, encrypted again."""
    text = _folded(data, size).hex().upper().encode()
    return encrypt(_xor(encrypt(text[:size]), text[size:]))


def _chained(encrypt: Block, data: bytes, size: int) -> bytes:
    state = bytes(size)
    for block in _blocks(data, size):
        state = encrypt(_xor(state, block))
    return state
