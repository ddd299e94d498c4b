"""A field table turned into one closure per field and direction: what every well-formed message passes through.

Only the regular case is here. Anything else raises one of IRREGULAR, whose text is never to be shown (it may hold
card data): the codec then asks the reference reading, which names field and offset. So a closure may refuse too much,
and must never accept what the reference refuses, nor give another result (tests/iso8583/test_compiled.py).
"""

from binascii import a2b_hex
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar, assert_never

from posd.iso8583.message import Message
from posd.iso8583.spec import PRIMARY_FIELD_MAX, Field, Kind, Pad, Spec

BITMAP_BYTES = PRIMARY_FIELD_MAX // 8

MTI_DIGITS = 4

PLANS_MAX = 512
"""Bitmaps, and orders of fields, that a codec remembers: a dialect uses some dozens, a stranger may send any."""

PREFIXES_MAX = 1024

IRREGULAR = (ValueError, LookupError, TypeError)
"""What the compiled reading raises for anything but a well-formed message."""

Decode = Callable[[bytes, int], tuple[str, int]]
"""The value that begins at an offset, and the offset after it. Past the end it may give less; the end then tells."""

Encode = Callable[[str], bytes]
"""A value's bytes with its length prefix."""


_Closure = TypeVar("_Closure", Decode, Encode)


class CompiledSpec:
    """The closures of a spec. Holds nothing of any message."""

    def __init__(self, spec: Spec) -> None:
        fields = [field for number, field in spec.fields.items() if 1 < number <= PRIMARY_FIELD_MAX]
        self._decoders = {field.number: decoder(field) for field in fields}
        self._encoders = {field.number: encoder(field) for field in fields}
        self._decoding = lru_cache(maxsize=PLANS_MAX)(self._plan_decoding)
        self._encoding = lru_cache(maxsize=PLANS_MAX)(self._plan_encoding)
        self._mti_end, self._bitmap_end = spec.mti_bytes, spec.mti_bytes + BITMAP_BYTES
        self._mti_of: Callable[[bytes], str] = _decode_ascii if spec.ascii else bytes.hex
        self._mti_as: Callable[[str], bytes] = _encode_ascii if spec.ascii else a2b_hex

    def decode(self, data: bytes) -> Message:
        """The message, from the MTI on. Raises IRREGULAR."""
        mti = self._mti_of(data[: self._mti_end])
        if not mti.isdigit():
            raise ValueError
        fields: dict[int, str] = {}
        at = self._bitmap_end
        for number, value_at in self._decoding(data[self._mti_end : at]):
            fields[number], at = value_at(data, at)
        if at != len(data):  # offsets only grow, so a field that was cut short is seen here too
            raise ValueError
        return Message(mti, fields)

    def encode(self, message: Message) -> bytes:
        """The bytes, from the MTI on. Raises IRREGULAR."""
        mti, fields = message.mti, message.fields
        if len(mti) != MTI_DIGITS or not mti.isdigit():
            raise ValueError
        bitmap, encoders = self._encoding(tuple(fields))
        return b"".join((self._mti_as(mti), bitmap, *[encode(fields[number]) for number, encode in encoders]))

    def _plan_decoding(self, bitmap: bytes) -> tuple[tuple[int, Decode], ...]:
        if len(bitmap) != BITMAP_BYTES:
            raise ValueError
        bits = int.from_bytes(bitmap, "big")
        numbers = [n for n in range(1, PRIMARY_FIELD_MAX + 1) if bits >> (PRIMARY_FIELD_MAX - n) & 1]
        return _in_order(numbers, self._decoders)

    def _plan_encoding(self, numbers: tuple[int, ...]) -> tuple[bytes, tuple[tuple[int, Encode], ...]]:
        encoders = _in_order(sorted(numbers), self._encoders)
        bits = sum(1 << (PRIMARY_FIELD_MAX - number) for number, _ in encoders)
        return bits.to_bytes(BITMAP_BYTES, "big"), encoders


def _in_order(numbers: Iterable[int], closures: Mapping[int, _Closure]) -> tuple[tuple[int, _Closure], ...]:
    """Raises KeyError for a field that the dialect does not have."""
    return tuple((number, closures[number]) for number in numbers)


# --- bytes to values -----------------------------------------------------------------------------------------------


DataAt = Callable[[bytes, int, int], tuple[str, int]]
"""(message, offset, length in the field's own unit) to the value and the offset after it."""


def decoder(field: Field) -> Decode:
    """The closure that reads this field."""
    data_at: DataAt
    match field.kind:
        case Kind.DIGITS if field.ascii:
            data_at = _ascii_digits
        case Kind.TRACK if field.ascii:
            data_at = _text("ascii")
        case Kind.DIGITS | Kind.TRACK:
            data_at = _nibbles(field)
        case Kind.TEXT:
            data_at = _text("ascii")
        case Kind.BYTES_AS_TEXT:
            data_at = _text("latin-1")
        case Kind.BINARY:
            data_at = _binary
        case _:
            assert_never(field.kind)
    if field.prefix_bytes:
        return _after_prefix(field, data_at)
    if field.kind is Kind.DIGITS and field.length % 2 == 0 and not field.ascii:
        return _whole_digits(field.length // 2)
    return _of_length(field.length, data_at)


def _of_length(length: int, data_at: DataAt) -> Decode:
    return lambda data, at: data_at(data, at, length)


def _after_prefix(field: Field, data_at: DataAt) -> Decode:
    width, most = field.prefix_width, field.length
    text_of = _prefix_digits if field.ascii else bytes.hex

    def decode(data: bytes, at: int) -> tuple[str, int]:
        begin = at + width
        length = int(text_of(data[at:begin]))  # a prefix that is cut, or holds no digits, raises or ends past the end
        if length > most:
            raise ValueError
        return data_at(data, begin, length) if length else ("", begin)

    return decode


def _prefix_digits(data: bytes) -> str:
    if not data.isdigit():  # int() would take a sign, blanks and underscores
        raise ValueError
    return data.decode("ascii")


def _ascii_digits(data: bytes, at: int, length: int) -> tuple[str, int]:
    end = at + length
    value = data[at:end].decode("ascii")
    if not value.isdigit():
        raise ValueError
    return value, end


def _decode_ascii(data: bytes) -> str:
    return data.decode("ascii")


def _whole_digits(size: int) -> Decode:
    def decode(data: bytes, at: int) -> tuple[str, int]:
        end = at + size
        value = data[at:end].hex()
        if not value.isdigit():
            raise ValueError
        return value, end

    return decode


def _nibbles(field: Field) -> DataAt:
    """Digits or a track, without the nibble that fills up an odd length."""
    pad, is_track = field.pad_nibble[:1], field.kind is Kind.TRACK
    filling, kept = (0, slice(1, None)) if field.pad is Pad.LEFT else (-1, slice(None, -1))

    def decode(data: bytes, at: int, length: int) -> tuple[str, int]:
        end = at + (length + 1) // 2
        value = data[at:end].hex().upper()
        if length % 2:
            if value[filling] != pad:
                raise ValueError
            value = value[kept]
        if is_track:
            return value.replace("D", "="), end
        if not value.isdigit():
            raise ValueError
        return value, end

    return decode


def _text(encoding: str) -> DataAt:
    def decode(data: bytes, at: int, length: int) -> tuple[str, int]:
        end = at + length
        return data[at:end].decode(encoding), end

    return decode


def _binary(data: bytes, at: int, length: int) -> tuple[str, int]:
    end = at + length
    return data[at:end].hex().upper(), end


# --- values to bytes -----------------------------------------------------------------------------------------------


def encoder(field: Field) -> Encode:
    """The closure that writes this field."""
    match field.kind:
        case Kind.DIGITS:
            return _framed(field, _checked_digits if field.ascii else _digits(field))
        case Kind.TRACK if field.ascii:
            return _framed(field, _encode_ascii)
        case Kind.TRACK:
            return _framed(field, _track(field))
        case Kind.TEXT:
            return _framed(field, _encode_ascii)
        case Kind.BYTES_AS_TEXT:
            return _framed(field, lambda value: value.encode("latin-1"))
        case Kind.BINARY:
            return _framed(field, a2b_hex, characters_each=2)
        case _:
            assert_never(field.kind)


def _framed(field: Field, data_of: Callable[[str], bytes], characters_each: int = 1) -> Encode:
    """With the length prefix, or of the exact length. A unit of length is `characters_each` characters long."""
    width, most = field.prefix_width, field.length_max
    prefix_of = _ascii_prefix if field.ascii else _prefix

    def exact(value: str) -> bytes:
        if len(value) != most * characters_each:
            raise ValueError
        return data_of(value)

    def prefixed(value: str) -> bytes:
        length = len(value) // characters_each
        if length > most:
            raise ValueError
        return prefix_of(length, width) + data_of(value)

    return prefixed if width else exact


@lru_cache(maxsize=PREFIXES_MAX)
def _prefix(length: int, width: int) -> bytes:
    return a2b_hex(str(length).zfill(2 * width))


def _ascii_prefix(length: int, width: int) -> bytes:
    return str(length).zfill(width).encode("ascii")


def _encode_ascii(value: str) -> bytes:
    return value.encode("ascii")


def _checked_digits(value: str) -> bytes:
    if value and not value.isdigit():
        raise ValueError
    return value.encode("ascii")


def _digits(field: Field) -> Callable[[str], bytes]:
    pad, left = field.pad_nibble[:1], field.pad is Pad.LEFT

    def encode(value: str) -> bytes:
        if value and not value.isdigit():
            raise ValueError
        if len(value) % 2:
            value = pad + value if left else value + pad
        return a2b_hex(value)

    return encode


def _track(field: Field) -> Callable[[str], bytes]:
    pad, left = field.pad_nibble[:1], field.pad is Pad.LEFT

    def encode(value: str) -> bytes:
        value = value.replace("=", "D")
        if len(value) % 2:
            value = pad + value if left else value + pad
        return a2b_hex(value)

    return encode
