"""The keyed chain over the rows of both tables: what makes a changed, lost, added or moved row visible.

link = HMAC-SHA256(chain key, previous link || table || integers || lengths || texts and blobs). Integers and
lengths are signed 64-bit big-endian, NULL is the smallest of them; the sequence is the first integer. The chain
covers the ciphertext and never the plain text (D29). It must never be computed without the key.
"""

import hashlib
import hmac
import struct
from typing import Any

LINK_BYTES = 32
CHAIN_KEY_BYTES_MIN = 16
JOURNAL_ID_BYTES = 16

RECORD_COLUMNS = (
    *("sequence", "tid", "kind", "version", "at_ms", "payload"),
    *("request_id", "stan", "rrn", "batch", "key_id", "nonce", "sealed"),
)
MESSAGE_COLUMNS = (
    *("sequence", "tid", "at_ms", "direction", "peer", "mti", "fields", "digest"),
    *("request_id", "stan", "rrn", "batch", "key_id", "nonce", "sealed"),
)

WRONG_TYPE = (struct.error, AttributeError, TypeError, UnicodeError)
"""What encoding a damaged row raises: a column that holds another type than it was stored with."""

_NULL = -(2**63)
_RECORD_NUMBERS = struct.Struct(">13q").pack
_MESSAGE_NUMBERS = struct.Struct(">15q").pack
_BLOCK_BYTES = 64


def encode_record(row: tuple[Any, ...]) -> bytes:
    """The bytes of a record that the chain covers; `row` in the order of RECORD_COLUMNS."""
    sequence, tid, kind, version, at_ms, payload, request_id, stan, rrn, batch, key_id, nonce, sealed = row
    texts = (
        *(tid.encode(), kind.encode(), payload.encode()),
        *(_text(request_id), _text(rrn), _text(key_id), nonce, sealed),
    )
    numbers = (sequence, version, at_ms, _NULL if stan is None else stan, _NULL if batch is None else batch)
    return b"".join((b"record\0", _RECORD_NUMBERS(*numbers, *map(_length, texts)), *filter(None, texts)))


def encode_message(row: tuple[Any, ...]) -> bytes:
    """The bytes of a message that the chain covers; `row` in the order of MESSAGE_COLUMNS."""
    sequence, tid, at_ms, direction, peer, mti, fields, digest = row[:8]
    request_id, stan, rrn, batch, key_id, nonce, sealed = row[8:]
    texts = (
        *(tid.encode(), direction.encode(), peer.encode(), mti.encode(), fields.encode(), digest),
        *(_text(request_id), _text(rrn), _text(key_id), nonce, sealed),
    )
    numbers = (sequence, at_ms, _NULL if stan is None else stan, _NULL if batch is None else batch)
    return b"".join((b"message\0", _MESSAGE_NUMBERS(*numbers, *map(_length, texts)), *filter(None, texts)))


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _length(value: bytes | None) -> int:
    if value.__class__ is bytes:
        return len(value)
    if value is None:
        return _NULL
    raise TypeError("a blob column holds another type")


class Chain:
    """Computes links under one key. `chain_key`: at least 16 bytes, derived from the machine key."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, chain_key: bytes) -> None:
        if len(chain_key) < CHAIN_KEY_BYTES_MIN:
            raise ValueError(f"a chain key has at least {CHAIN_KEY_BYTES_MIN} bytes")
        # HMAC by hand, because two copied states cost half of what hmac.digest does (verify's speed)
        key = hashlib.sha256(chain_key).digest() if len(chain_key) > _BLOCK_BYTES else chain_key
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 of `data`, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()

    def record(self, previous: bytes, row: tuple[Any, ...]) -> bytes:
        """The link of a record after `previous`."""
        return self.mac(previous + encode_record(row))

    def message(self, previous: bytes, row: tuple[Any, ...]) -> bytes:
        """The link of a message after `previous`."""
        return self.mac(previous + encode_message(row))

    def genesis(self, journal_id: bytes) -> bytes:
        """The link before the first row of a new journal."""
        return self.mac(b"posd journal genesis\0" + journal_id)

    def key_check(self, journal_id: bytes, base_sequence: int, base_link: bytes) -> bytes:
        """Covers the journal's own row; tells a wrong machine key from a damaged journal."""
        return self.mac(b"posd journal key\0" + struct.pack(">q", base_sequence) + base_link + journal_id)

    def snapshot(self, tid: str, sequence: int, fold_version: int, state: str, link: bytes) -> bytes:
        """Covers a snapshot and binds it to the row that it was taken after."""
        name = tid.encode()
        numbers = struct.pack(">3q", sequence, fold_version, len(name))
        return self.mac(b"posd journal snapshot\0" + link + numbers + name + state.encode())


def same(one: object, other: bytes) -> bool:
    """Constant-time comparison of a stored value of unknown type with a computed one."""
    return isinstance(one, bytes) and hmac.compare_digest(one, other)
