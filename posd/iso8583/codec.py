"""Bytes to `Message` and back, in one dialect. What is well-formed passes through closures compiled from its spec
(compiled.py); whatever they do not take is read by pyiso8583, the reference, which alone says what is wrong.

Total: any bytes give a Message or `Unreadable`, never another exception. Errors name field and offset and
never carry values: pyiso8583's own exceptions hold the whole card, so they are dropped before ours is
raised (not even `__context__` keeps them).
"""

from collections.abc import Mapping

from iso8583 import DecodeError, EncodeError, decode, encode

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.compiled import IRREGULAR, MTI_DIGITS, CompiledSpec
from posd.iso8583.message import Message
from posd.iso8583.spec import PRIMARY_FIELD_MAX, Kind, Spec

MTI_BYTES = 2
BITMAP_BYTES = 8
MAC_BYTES = 8

_NAMES = {"t": "MTI", "p": "bitmap"}


class Unreadable(MalformedMessage):
    """Bytes that are no message of the dialect. `partial`: what stood before the fault, None without an MTI."""

    def __init__(self, what: str, *, field: str, offset: int, partial: Message | None) -> None:
        super().__init__(what, field=field, offset=offset)
        self.partial = partial


class Codec:
    """The codec of one dialect; holds nothing of any message."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._compiled = CompiledSpec(spec)
        self._rows = spec.as_pyiso8583()
        self._numbers = {str(number): number for number in range(1, PRIMARY_FIELD_MAX + 1)}
        self._digits = {str(f.number) for f in spec.fields.values() if f.kind is Kind.DIGITS} | {"t"}
        self._tracks = {str(f.number) for f in spec.fields.values() if f.kind is Kind.TRACK and not f.ascii}

    def decode(self, data: bytes) -> Message:
        """The message in `data`: MTI, bitmap and fields, without TPDU and header (reference 1.1, 1.2).

        Raises `Unreadable` for anything else, trailing bytes included; its offset counts from the MTI.
        """
        try:
            return self._compiled.decode(data)
        except IRREGULAR:
            pass  # and out of here, so that no error has this one, which may hold card data, as its context
        return self.decode_by_reference(data)

    def decode_by_reference(self, data: bytes) -> Message:
        """The same by pyiso8583 alone."""
        try:
            decoded, encoded = decode(data, self._rows)
        except DecodeError as error:
            fault = self._fault(error)
        else:
            bad = self._first_without_digits(decoded)
            if bad is None:
                return self._message(decoded)
            fault = self._no_digits(bad, decoded, encoded)
        raise fault

    def encode(self, message: Message) -> bytes:
        """The bytes of a message, from the MTI on. Raises CannotEncode naming the field.

        Nothing is filled up or cut: values have exactly the length that the field table asks for.
        """
        try:
            return self._compiled.encode(message)
        except IRREGULAR:
            pass
        return self.encode_by_reference(message)

    def encode_by_reference(self, message: Message) -> bytes:
        """The same by pyiso8583 alone."""
        document = self._document(message)
        try:
            data, _ = encode(document, self._rows)
        except EncodeError as error:
            what, field = error.msg, error.field
        else:
            return bytes(data)
        raise CannotEncode(f"{message.mti}: {_where(field)}: {_say(what)}")

    def _document(self, message: Message) -> dict[str, str]:
        """A fresh dict for pyiso8583, which changes what it is given and does not check digits."""
        document = {"t": message.mti}
        if len(message.mti) != MTI_DIGITS or not message.mti.isdigit():
            raise CannotEncode(f"MTI {message.mti!r} is not four digits")
        fields = self.spec.fields
        for number, value in message.fields.items():
            if number not in fields:
                raise CannotEncode(f"{message.mti}: field {number} is not in dialect {self.spec.name}")
            key = str(number)
            if key in self._digits and value and not value.isdigit():
                raise CannotEncode(f"{message.mti}: field {number}: is not digits")
            document[key] = value.replace("=", "D") if key in self._tracks else value
        return document

    def _message(self, decoded: Mapping[str, str]) -> Message:
        numbers, tracks = self._numbers, self._tracks
        fields = {
            numbers[key]: value.replace("D", "=") if key in tracks else value
            for key, value in decoded.items()
            if key in numbers
        }
        return Message(decoded["t"], fields)

    def _first_without_digits(self, decoded: Mapping[str, str]) -> str | None:
        digits = self._digits
        for key, value in decoded.items():
            if key in digits and value and not value.isdigit():
                return key
        return None

    def _fault(self, error: DecodeError) -> Unreadable:
        decoded = dict(error.doc_dec)
        trailing = error.msg.startswith("Extra data")
        if not trailing:
            decoded.pop(error.field, None)
        bad = self._first_without_digits(decoded)
        if bad is not None:  # earlier than what pyiso8583 stumbled over
            return self._no_digits(bad, decoded, error.doc_enc)
        number = self._numbers.get(error.field)
        if trailing:
            what = f"{len(error.s) - error.pos} bytes after the last field"
        elif number is not None and number not in self.spec.fields:
            what = "the bitmap names a field that this dialect does not have"
        else:
            what = self._pad_fault(error, number) or _say(error.msg)
        partial = self._message(decoded) if "t" in decoded else None
        return Unreadable(what, field=_NAMES.get(error.field, error.field), offset=error.pos, partial=partial)

    def _pad_fault(self, error: DecodeError, number: int | None) -> str | None:
        """pyiso8583 reports a wrong filling nibble as a length one too long."""
        field = None if number is None else self.spec.fields.get(number)
        data: bytes = error.doc_enc.get(error.field, {}).get("data", b"")
        nibbles = len(data) * 2
        if field is None or not nibbles or not error.msg.endswith(f"is {nibbles} nibbles, expecting {nibbles - 1}"):
            return None
        return f"the nibble that fills up an odd length is not {field.pad_nibble}"

    def _no_digits(
        self, bad: str, decoded: Mapping[str, str], encoded: Mapping[str, Mapping[str, bytes]]
    ) -> Unreadable:
        """The fault of a BCD field with a nibble above 9, with the offset of its first digit."""
        offset = len(encoded[bad]["len"])
        before: dict[str, str] = {}
        for key, value in decoded.items():
            if key == bad:
                break
            before[key] = value
            offset += len(encoded[key]["len"]) + len(encoded[key]["data"])
        partial = self._message(before) if "t" in before else None
        return Unreadable("not decimal digits", field=_NAMES.get(bad, bad), offset=offset, partial=partial)


def replace_mac(data: bytes, mac: bytes) -> bytes:
    """An encoded message (packed, not ASCII) whose field 64, its last 8 bytes, is `mac` (8 bytes, reference 1.11)."""
    if len(mac) != MAC_BYTES or len(data) < MTI_BYTES + BITMAP_BYTES + MAC_BYTES:
        raise CannotEncode(f"field 64: a MAC has {MAC_BYTES} bytes and ends a message")
    if not data[MTI_BYTES + BITMAP_BYTES - 1] & 1:
        raise CannotEncode("field 64: the message has no MAC to replace")
    return data[:-MAC_BYTES] + mac


def _where(field: str) -> str:
    return _NAMES.get(field, f"field {field}")


def _say(what: str) -> str:
    """pyiso8583's text, which holds lengths only, in our words."""
    words = what.removeprefix("Failed to decode field, ").removeprefix("Failed to encode field, ")
    words = words.replace("Failed to decode field length", "length prefix")
    words = words.replace("Field data is", "data is").replace("Field length is", "length prefix is")
    return words[0].lower() + words[1:]
