"""BER-TLV as field 55 uses it (EMV book 3, annex B): bytes to (tag, value) and back.

Total and bounded: input is at most a field long, nothing is nested (a template's content stays its value),
and lengths are checked before anything is cut. Values are card data: no error text carries one.
"""

from collections.abc import Iterable

from posd.errors import CannotEncode, MalformedMessage

TAG_BYTES_MAX = 3
LENGTH_BYTES_MAX = 2
"""Bytes that may follow a long-form length byte: field 55 has at most 255 bytes, so two are plenty."""
VALUE_BYTES_MAX = 65_535

_MORE_TAG_BYTES = 0x1F
_CONTINUES = 0x80


def parse(data: bytes, *, name: str = "55") -> list[tuple[str, bytes]]:
    """The elements of `data` in order: tag as upper-case hex, value as bytes. Zero bytes between elements are
    filling and are skipped.

    Raises MalformedMessage naming the field (`name`, and the tag once known) and the offset in `data`.
    """
    elements: list[tuple[str, bytes]] = []
    at = 0
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        tag, at = _tag(data, at, name)
        value_at, length = _length(data, at, f"{name}.{tag}")
        if value_at + length > len(data):
            raise MalformedMessage(
                f"length {length} but {len(data) - value_at} bytes left", field=f"{name}.{tag}", offset=at
            )
        elements.append((tag, data[value_at : value_at + length]))
        at = value_at + length
    return elements


def build(elements: Iterable[tuple[str, bytes]]) -> bytes:
    """The bytes of elements, lengths in their shortest form. Raises CannotEncode naming the tag."""
    out = bytearray()
    for tag, value in elements:
        out += _tag_bytes(tag)
        size = len(value)
        if size > VALUE_BYTES_MAX:
            raise CannotEncode(f"tag {tag}: {size} bytes, at most {VALUE_BYTES_MAX}")
        if size < _CONTINUES:
            out.append(size)
        else:
            width = 1 if size <= 0xFF else 2
            out.append(_CONTINUES | width)
            out += size.to_bytes(width, "big")
        out += value
    return bytes(out)


def _tag(data: bytes, start: int, name: str) -> tuple[str, int]:
    end = start + 1
    if data[start] & _MORE_TAG_BYTES == _MORE_TAG_BYTES:
        while True:
            if end >= len(data):
                raise MalformedMessage("ends within a tag", field=name, offset=start)
            if end - start >= TAG_BYTES_MAX:
                raise MalformedMessage(f"a tag of more than {TAG_BYTES_MAX} bytes", field=name, offset=start)
            end += 1
            if not data[end - 1] & _CONTINUES:
                break
    return data[start:end].hex().upper(), end


def _length(data: bytes, at: int, name: str) -> tuple[int, int]:
    """Where the value begins, and how long it is."""
    if at >= len(data):
        raise MalformedMessage("ends before a length", field=name, offset=at)
    first = data[at]
    if first < _CONTINUES:
        return at + 1, first
    width = first & ~_CONTINUES
    if not 0 < width <= LENGTH_BYTES_MAX or at + 1 + width > len(data):
        raise MalformedMessage("a length that cannot be read", field=name, offset=at)
    return at + 1 + width, int.from_bytes(data[at + 1 : at + 1 + width], "big")


def _tag_bytes(tag: str) -> bytes:
    """The tag's bytes, only if `parse` would read them as this one tag."""
    try:
        raw = bytes.fromhex(tag)
        elements = parse(raw + b"\x00") if len(raw) <= TAG_BYTES_MAX else []
    except (ValueError, MalformedMessage):
        elements = []
    if elements != [(tag.upper(), b"")]:
        raise CannotEncode(f"tag {tag[:8]!r} is not a tag of 1 to {TAG_BYTES_MAX} bytes in hex")
    return raw
