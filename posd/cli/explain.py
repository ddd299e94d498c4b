"""Bytes to an explanation that a person can read: what `posd decode` shows. Pure, and never shows card data.

`explain` finds out by itself what stands around the message. Everything in an `Explanation` is masked already.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from posd.errors import MalformedMessage
from posd.framing.length_prefix import LENGTH_BYTES
from posd.framing.tpdu import HEADER_BYTES, LRI_BYTES, Envelope, split
from posd.iso8583.codec import BITMAP_BYTES, MTI_BYTES, Codec, Unreadable
from posd.iso8583.emv_tags import TAG_NAMES
from posd.iso8583.masking import mask_long_numbers, mask_pan, masked_field, masked_tag, starred
from posd.iso8583.message import Message
from posd.iso8583.printed import remarks
from posd.iso8583.subfields import Field48End, Field48Totals, Field48Upload, Field60, Field61, GroupTotals
from posd.iso8583.tlv import parse
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.unionpay.codes import CODES, NETWORK_CODES, REVERSAL_REASONS, TRANSACTION_TYPES
from posd.security.des import CHECK_VALUE_BYTES
from posd.security.keys import LAYOUTS, NAMES
from posd.values import format_amount

TPDU_ID = b"\x60"

_MTI_CLASSES = {
    "1": "authorisation",
    "2": "financial",
    "3": "batch upload",
    "4": "reversal",
    "5": "settlement",
    "6": "script notice",
    "8": "network management",
}
_MTI_FUNCTIONS = {"0": "request", "1": "answer", "2": "notice", "3": "answer to a notice"}
_APPLICATIONS = {
    "60": "magnetic financial",
    "61": "IC financial",
    "62": "magnetic value-add",
    "63": "IC value-add",
    "65": "script POS",
    "66": "phone POS",
    "67": "mPOS",
    "68": "personal payment",
}
_HOST_WISHES = {
    "0": "host asks nothing",
    "1": "host asks: download parameters",
    "2": "host asks: upload status",
    "3": "host asks: sign in again",
    "4": "host asks: update CA keys",
    "5": "host asks: download IC parameters",
    "6": "host asks: TMS",
    "7": "host asks: card-BIN blacklist",
    "8": "host asks: FX rate",
    "9": "host asks: contactless parameters",
}
_PROCESSING = {
    "000000": "sale or completion",
    "200000": "void or refund",
    "310000": "balance inquiry",
    "030000": "pre-authorisation",
}
ENTRY = {"01": "manual", "02": "swiped", "05": "chip", "07": "contactless"}
PIN_ENTRY = {"0": "PIN unspecified", "1": "with PIN", "2": "without PIN"}
_CONDITIONS = {"00": "normal", "06": "pre-authorisation", "91": "load"}
_READ_CAPABILITIES = {"0": "unknown", "2": "magnetic", "5": "magnetic, contact IC", "6": "with contactless"}
_IC_CONDITIONS = {"0": "normal", "1": "irregular swipe of an IC card", "2": "fallback after chip failure"}
_GROUP_RESULTS = {0: "no result", 1: "balanced", 2: "unbalanced", 3: "error"}
_REMARKS = ("issuer", "centre", "acquirer", "terminal")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing in a message: `label` is "39", "60.3" or "55.9F26"; `value` is safe to show."""

    label: str
    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, in which field, at which byte of the input."""

    what: str
    field: str
    offset: int

    def __str__(self) -> str:
        return f"{self.what} (field {self.field}, offset {self.offset})"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A message explained: `lines` from the outside in, and the fault that ended the reading, if any."""

    lines: tuple[Line, ...]
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """One guess at what stands around the message, and how far it carried."""

    length: int | None
    follow: int
    has_tpdu_id: bool
    envelope: Envelope | None
    body_at: int
    bitmap: str
    message: Message | None
    fault: Fault | None

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Higher is likelier: reads without fault; then a real MTI and a TPDU id, an honest length; then fields."""
        mti = self.message.mti if self.message else ""
        is_real = mti[:1] == "0" and mti[1:2] in _MTI_CLASSES
        is_honest = self.length is None or self.length == self.follow
        fields = len(self.message.fields) if self.message and is_real else 0
        return (self.fault is None, 2 * is_real + 2 * self.has_tpdu_id + is_honest, fields)


def explain(data: bytes, header_bytes: int = HEADER_BYTES, codec: Codec = UNIONPAY) -> Explanation:
    """The message in `data`, with or without 2-byte length, with or without TPDU and header of `header_bytes`.

    Never raises: what cannot be read ends in a fault, after the lines that could.
    """
    return explained(data, header_bytes, codec, None)


Inside = Callable[[Message], Iterator[Line | Fault]]


def explained(data: bytes, header_bytes: int, codec: Codec, inside: Inside | None) -> Explanation:
    """The best reading of `data`, its fields told by `inside`; None: by this module, for UnionPay."""
    readings = [_read(data, start, header, codec) for start in (0, LENGTH_BYTES) for header in (None, header_bytes)]
    best = max(readings, key=lambda reading: reading.rank)
    lines, fault = list(_outside(best)), best.fault
    if best.message is not None:
        for line in inside(best.message) if inside is not None else _inside(best, codec):
            if isinstance(line, Fault):
                fault = fault or line
            else:
                lines.append(line)
    return Explanation(tuple(lines), fault)


def _read(data: bytes, start: int, header_bytes: int | None, codec: Codec) -> _Reading:
    follow = len(data) - start
    length = int.from_bytes(data[:start], "big") if start and follow >= 0 else None
    frame = data[start:] if length is None else data[start : start + length]
    has_tpdu_id = header_bytes is not None and frame[:1] == TPDU_ID
    envelope: Envelope | None = None
    message: Message | None = None
    body, body_at, fault = frame, start, None
    try:
        if header_bytes is not None:
            envelope, body = split(frame, header_bytes)
            body_at = start + len(frame) - len(body)
        message = codec.decode(body)
    except Unreadable as error:
        message = error.partial
        fault = Fault(error.what, error.field or "", body_at + (error.offset or 0))
    except MalformedMessage as error:
        fault = Fault(error.what, error.field or "", start + (error.offset or 0))
        body = b""
    if start and length != follow and fault is None:
        fault = Fault(f"the length says {length} bytes, {follow} follow", "length", 0)
    bitmap = body[MTI_BYTES : MTI_BYTES + BITMAP_BYTES].hex().upper()
    return _Reading(length, follow, has_tpdu_id, envelope, body_at, bitmap, message, fault)


def _outside(reading: _Reading) -> Iterator[Line]:
    if reading.length is not None:
        lie = "" if reading.length == reading.follow else f"but {reading.follow} bytes follow"
        yield Line("length", "bytes that follow", str(reading.length), lie)
    if reading.envelope is not None:
        yield from _envelope_lines(reading.envelope)
    if reading.message is None:
        return
    mti = reading.message.mti
    words = (_MTI_CLASSES.get(mti[1], "unknown class"), _MTI_FUNCTIONS.get(mti[2], "unknown function"))
    yield Line("MTI", "message type", mti, " ".join(words))
    if len(reading.bitmap) == 2 * BITMAP_BYTES:
        bits = f"{int(reading.bitmap, 16):064b}"
        fields = " ".join(str(number) for number, bit in enumerate(bits, start=1) if bit == "1")
        yield Line("bitmap", "fields present", reading.bitmap, fields)


def _envelope_lines(envelope: Envelope) -> Iterator[Line]:
    tpdu = envelope.tpdu.hex().upper()
    yield Line("TPDU", "transport address", tpdu, f"destination {tpdu[2:6]}, source {tpdu[6:]}")
    if envelope.lri:
        yield Line("LRI", "access network block", f"***({LRI_BYTES})")
    if envelope.header:
        header = envelope.header.hex().upper()
        yield Line("header", "message header", header, _header_meaning(header))


def _header_meaning(header: str) -> str:
    if len(header) != 2 * HEADER_BYTES:
        return ""
    application = _APPLICATIONS.get(header[:2], "unknown application")
    wish = _HOST_WISHES.get(header[5], f"host asks {header[5]}")
    return f"{application}, generation {header[2:4]}, state {header[4]}, {wish}, version {header[6:]}"


def _inside(reading: _Reading, codec: Codec) -> Iterator[Line | Fault]:
    """The fields with their sub-fields; a fault where a sub-field cannot be read."""
    message = reading.message
    assert message is not None
    for number, value in sorted(message.fields.items()):
        shown = printable(masked_field(message.mti, number, value))
        yield Line(str(number), codec.spec.fields[number].name, shown, _meaning(message, number, value))
        parts = _SUB_FIELDS.get(number)
        if parts is None:
            continue
        try:
            yield from parts(message, value)
        except MalformedMessage as error:
            before = {other: text for other, text in message.fields.items() if other < number}
            at = len(codec.encode(Message(message.mti, before))) + codec.spec.fields[number].prefix_bytes
            yield Fault(error.what, error.field or str(number), reading.body_at + at + (error.offset or 0))


def _meaning(message: Message, number: int, value: str) -> str:
    match number:
        case 3:
            return _PROCESSING.get(value, "")
        case 4:
            return format_amount(int(value))
        case 12:
            return f"{value[:2]}:{value[2:4]}:{value[4:]}"
        case 13 | 15:
            return f"month {value[:2]}, day {value[2:]}"
        case 22:
            return ", ".join(word for word in (ENTRY.get(value[:2], ""), PIN_ENTRY.get(value[2:], "")) if word)
        case 25:
            return _CONDITIONS.get(value, "")
        case 39:
            return _code_meaning(message.mti, value)
        case 49:
            return "CNY" if value == "156" else ""
        case _:
            return ""


def _code_meaning(mti: str, value: str) -> str:
    if mti == "0400":
        return REVERSAL_REASONS.get(value, "unknown reason")
    code = CODES.get(value)
    return "unknown code (class unconfirmed)" if code is None else f"{code.meaning_en} (class {code.answer_class})"


def _parts_44(_: Message, value: str) -> Iterator[Line]:
    shown = mask_long_numbers(value)  # before it is cut: a number must not hide across two parts
    for label, name, part in (("44.1", "issuer", shown[:11]), ("44.2", "acquirer", shown[11:22])):
        if part.strip():
            yield Line(label, name, printable(part.strip()))


def _parts_48(message: Message, value: str) -> Iterator[Line]:
    kind = message.mti[1]
    if kind == "5":
        totals = Field48Totals.parse(value)
        yield _group_line("48.1", "domestic", totals.domestic)
        if totals.foreign is not None:
            yield _group_line("48.2", "foreign", totals.foreign)
    elif kind == "3" and len(value) == 4:
        yield Line("48.1", "records uploaded", str(Field48End.parse(value).count))
    elif kind == "3":
        upload = Field48Upload.parse(value)
        yield Line("48.1", "records", str(len(upload.records)))
        for place, record in enumerate(upload.records, start=2):
            card_class = {"00": "domestic", "01": "foreign"}.get(record.card_class, record.card_class)
            amount = format_amount(record.amount_minor)
            yield Line(f"48.{place}", f"trace {record.stan:06d}", mask_pan(record.pan), f"{amount}, {card_class}")


def _group_line(label: str, name: str, group: GroupTotals) -> Line:
    debit = f"debit {format_amount(group.debit_minor)} in {group.debit_count}"
    credit = f"credit {format_amount(group.credit_minor)} in {group.credit_count}"
    return Line(label, name, f"{debit}, {credit}", _GROUP_RESULTS.get(group.result, "unknown result"))


def tlv_lines(_: Message, value: str) -> Iterator[Line]:
    """Field 55, tag by tag; the values that may be shown. Raises MalformedMessage."""
    for tag, content in parse(bytes.fromhex(value)):
        yield Line(f"55.{tag}", TAG_NAMES.get(tag, "unknown tag"), masked_tag(tag, content))


def _parts_60(_: Message, value: str) -> Iterator[Line]:
    field = Field60.parse(value)
    yield Line("60.1", "transaction type", field.type_code, TRANSACTION_TYPES.get(field.type_code, "unknown"))
    yield Line("60.2", "batch number", f"{field.batch:06d}")
    rows: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
        ("60.3", "network code", field.code, NETWORK_CODES),
        ("60.4", "read capability", field.read_capability, _READ_CAPABILITIES),
        ("60.5", "IC condition", field.ic_condition, _IC_CONDITIONS),
        ("60.6", "partial approval", field.partial_approval, {"0": "not supported", "1": "supported"}),
        ("60.7", "account type", field.account_type, {}),
    )
    for label, name, text, meanings in rows:
        if text:
            yield Line(label, name, text, meanings.get(text, ""))


def _parts_61(_: Message, value: str) -> Iterator[Line]:
    field = Field61.parse(value)
    yield Line("61.1", "original batch", f"{field.batch:06d}")
    yield Line("61.2", "original trace", f"{field.stan:06d}")
    rows = (
        ("61.3", "original date", field.date or ""),
        ("61.4", "authorisation mode", field.rest[:2]),
        ("61.5", "authorising institution", field.rest[2:]),
    )
    yield from (Line(label, name, text) for label, name, text in rows if text)


def _parts_62(message: Message, value: str) -> Iterator[Line]:
    """The key block of a sign-in's answer (reference 1.6): the wrapped keys stay hidden, their check values do not."""
    layout = LAYOUTS.get((message.get(60) or "")[8:11])
    step = 2 * (layout.slot_bytes + CHECK_VALUE_BYTES) if layout is not None else 0
    if message.mti != "0810" or layout is None or len(value) not in (2 * step, 3 * step):
        return
    for place, name in enumerate(NAMES[: len(value) // step]):
        slot = value[place * step : (place + 1) * step]
        wrapped, check = slot[: 2 * layout.slot_bytes], slot[2 * layout.slot_bytes :]
        yield Line(f"62.{2 * place + 1}", f"{name}, wrapped", starred(wrapped))
        yield Line(f"62.{2 * place + 2}", f"{name} check value", check)


def _parts_63(message: Message, value: str) -> Iterator[Line]:
    """Operator in requests of management and settlement, scheme and remarks (GBK) in financial answers."""
    shown = mask_long_numbers(value)
    is_answer = message.mti[2] in "13"
    if not is_answer or message.mti[1] in "58":
        name = "operator" if message.mti[1] in "58" else "scheme or reason"
        yield Line("63.1", name, printable(shown[:3]))
        return
    yield Line("63.1", "card scheme", printable(shown[:3]), "domestic" if value[:3] == "CUP" else "foreign")
    told = remarks(value[3:])
    for part, name in enumerate(_REMARKS, start=2):
        if name in told:
            yield Line(f"63.{part}", f"{name} remark", told[name])


_SUB_FIELDS: Mapping[int, Callable[[Message, str], Iterator[Line]]] = {
    44: _parts_44,
    48: _parts_48,
    55: tlv_lines,
    60: _parts_60,
    61: _parts_61,
    62: _parts_62,
    63: _parts_63,
}


def printable(text: str) -> str:
    """The text without anything that a screen would obey: other characters become `\\xNN`."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
