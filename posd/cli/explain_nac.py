"""Bytes of the NAC / Hypercom dialect to an explanation: what `posd decode --profile nac` shows (reference 2.2 to 2.7).

What stands around a message, and which guess at it is the best, is explain.py's. Everything here is masked already.
"""

from collections.abc import Iterator

from posd.cli.explain import ENTRY, PIN_ENTRY, Explanation, Fault, Line, explained, printable, tlv_lines
from posd.errors import MalformedMessage
from posd.iso8583.message import Message
from posd.iso8583.nac import HEADER_BYTES, NAC
from posd.iso8583.nac_masking import masked_nac_field
from posd.iso8583.nac_subfields import AmountText, Field60Batch, Field60Original, Field63Totals
from posd.profiles.nac.codes import CODES
from posd.values import format_amount

_PROCESSES = {
    "00": "sale, or authorisation",
    "01": "cash",
    "02": "void or adjustment of a sale",
    "20": "refund",
    "22": "void or adjustment of a refund",
    "30": "pre-authorisation",
}
_FUNCTIONS = {
    ("05", "920000"): "settlement",
    ("05", "960000"): "settlement, closing after an upload",
    ("03", "940000"): "certificate of a chip transaction",
    ("08", "920000"): "logon",
    ("08", "990000"): "echo test",
    ("08", "930000"): "parameter load",
    ("08", "970000"): "parameter load",
}
_ACCOUNTS = {"00": "", "10": ", savings", "20": ", cheque", "30": ", credit"}
_CONDITIONS = {"00": "normal", "06": "pre-authorisation", "05": "variant", "08": "variant"}


def explain_nac(data: bytes) -> Explanation:
    """The message in `data`, with or without 2-byte length, with or without TPDU. Never raises."""
    return explained(data, HEADER_BYTES, NAC, _inside)


def _inside(message: Message) -> Iterator[Line | Fault]:
    for number, value in sorted(message.fields.items()):
        shown = printable(masked_nac_field(message.mti, number, value))
        yield Line(str(number), NAC.spec.fields[number].name, shown, _meaning(message, number, value))
        try:
            yield from _parts(message, number, value)
        except MalformedMessage as error:
            yield Fault(error.what, error.field or str(number), 0)


def _meaning(message: Message, number: int, value: str) -> str:
    match number:
        case 3:
            return _process(message.mti, value)
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
            code = CODES.get(value)
            return "unknown code (class unconfirmed)" if code is None else f"{code.meaning_en} ({code.answer_class})"
        case _:
            return ""


def _process(mti: str, value: str) -> str:
    function = _FUNCTIONS.get((mti[:2], value))
    if function is not None:
        return function
    more = "; more follow" if mti[:2] == "03" and value.endswith("1") else ""
    return f"{_PROCESSES.get(value[:2], 'unknown processing code')}{_ACCOUNTS.get(value[2:4], '')}{more}"


def _parts(message: Message, number: int, value: str) -> Iterator[Line]:
    match number, message.mti[:2]:
        case 54, _:
            yield Line("54.1", "tip", format_amount(AmountText.parse(value, "54").minor))
        case 55, _:
            yield from tlv_lines(message, value)
        case 60, "05":
            yield Line("60.1", "batch number", f"{Field60Batch.parse(value).batch:06d}")
        case 60, "03":
            original = Field60Original.parse(value)
            yield Line("60.1", "original MTI", original.mti)
            yield Line("60.2", "original trace", f"{original.stan:06d}")
        case 60, "02":
            yield Line("60.1", "amount until now", format_amount(AmountText.parse(value).minor))
        case 63, "05":
            totals = Field63Totals.parse(value)
            yield Line("63.1", "sales", f"{totals.sale_count:03d}", format_amount(totals.sale_minor))
            yield Line("63.2", "refunds", f"{totals.refund_count:03d}", format_amount(totals.refund_minor))
