"""The keyed chain over the rows of both tables: what makes a changed, lost, added or moved row visible.

link = HMAC-SHA256(chain key, previous link || table || 0 || integers and lengths || columns never NULL ||
lengths || columns that may be NULL). Integers and lengths are signed 64-bit big-endian, NULL is the smallest of
them; the order within each part is the table's, integers before lengths. The chain covers the ciphertext and
never the plain text (D29). It must never be computed without the key.
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
_RECORD_NUMBERS = struct.Struct(">8q").pack
_MESSAGE_NUMBERS = struct.Struct(">10q").pack
_OPTIONAL_NUMBERS = struct.Struct(">5q").pack
_BLOCK_BYTES = 64


def encode_record(row: tuple[Any, ...]) -> bytes:
    """The bytes of a record that the chain covers; `row` in the order of RECORD_COLUMNS."""
    return b"".join(_record(row))


def encode_message(row: tuple[Any, ...]) -> bytes:
    """The bytes of a message that the chain covers; `row` in the order of MESSAGE_COLUMNS."""
    return b"".join(_message(row))


def _record(row: tuple[Any, ...]) -> tuple[bytes, ...]:
    sequence, tid, kind, version, at_ms, payload, request_id, stan, rrn, batch, key_id, nonce, sealed = row
    text = tid + kind + payload  # encoded at one time; whatever is no text raises one of WRONG_TYPE
    size = len if text.isascii() else _utf8_length
    numbers = _RECORD_NUMBERS(
        *(sequence, version, at_ms, _NULL if stan is None else stan, _NULL if batch is None else batch),
        *(size(tid), size(kind), size(payload)),
    )
    return b"record\0", numbers, text.encode(), *_optional(request_id, rrn, key_id, nonce, sealed)


def _message(row: tuple[Any, ...]) -> tuple[bytes, ...]:
    sequence, tid, at_ms, direction, peer, mti, fields, digest, request_id, stan, rrn, batch, key_id, nonce, sealed = (
        row
    )
    text = tid + direction + peer + mti + fields
    size = len if text.isascii() else _utf8_length
    numbers = _MESSAGE_NUMBERS(
        *(sequence, at_ms, _NULL if stan is None else stan, _NULL if batch is None else batch),
        *(size(tid), size(direction), size(peer), size(mti), size(fields), _blob_length(digest)),
    )
    return b"message\0", numbers, text.encode(), digest, *_optional(request_id, rrn, key_id, nonce, sealed)


def _optional(
    request_id: str | None, rrn: str | None, key_id: str | None, nonce: bytes | None, sealed: bytes | None
) -> tuple[bytes, bytes, bytes, bytes]:
    """The columns that may be NULL: their lengths, then their bytes."""
    request = "" if request_id is None else request_id
    reference = "" if rrn is None else rrn
    key = "" if key_id is None else key_id
    text = request + reference + key
    size = len if text.isascii() else _utf8_length
    lengths = _OPTIONAL_NUMBERS(
        _NULL if request_id is None else size(request),
        _NULL if rrn is None else size(reference),
        _NULL if key_id is None else size(key),
        _NULL if nonce is None else _blob_length(nonce),
        _NULL if sealed is None else _blob_length(sealed),
    )
    return lengths, text.encode(), nonce or b"", sealed or b""


def _utf8_length(text: str) -> int:
    return len(text.encode())


def _blob_length(value: bytes) -> int:
    if value.__class__ is not bytes:
        raise TypeError("a blob column holds another type")
    return len(value)


class Hmac:
    """HMAC-SHA256 under one key, from two copied states.

    That costs half of what hmac.digest does, and keeps the interpreter's lock: hmac.digest gives it up for every row,
    and the writer's thread then waits for a busy loop, up to 5 ms each time.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        short = hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key
        padded = short.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def mac(self, data: bytes) -> bytes:
        """HMAC-SHA256 of `data`, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.digest()


class Chain(Hmac):
    """Computes links under one key. `chain_key`: at least 16 bytes, derived from the machine key."""

    __slots__ = ()

    def __init__(self, chain_key: bytes) -> None:
        if len(chain_key) < CHAIN_KEY_BYTES_MIN:
            raise ValueError(f"a chain key has at least {CHAIN_KEY_BYTES_MIN} bytes")
        super().__init__(chain_key)

    def record(self, previous: bytes, row: tuple[Any, ...]) -> bytes:
        """The link of a record after `previous`."""
        return self.mac(b"".join((previous, *_record(row))))

    def message(self, previous: bytes, row: tuple[Any, ...]) -> bytes:
        """The link of a message after `previous`."""
        return self.mac(b"".join((previous, *_message(row))))

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
