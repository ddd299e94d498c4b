"""Sign-in with new keys every time, sign-off, echo, downloads and status (1.3, 1.6, 1.14). The host's batch wins."""

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583 import tlv
from posd.iso8583.message import Message
from simulators.chip import read_55
from simulators.crypto import (
    SIGN_IN_DOUBLE,
    SIGN_IN_DOUBLE_TRACK,
    SIGN_IN_SINGLE,
    SIGN_IN_SM4,
    key_block,
    new_keys,
)
from simulators.fields import Unreadable
from simulators.host.parameters import Status
from simulators.host.request import APPROVED, Request
from simulators.host.settings import HostSettings

SIGN_IN_CODES = frozenset({SIGN_IN_SINGLE, SIGN_IN_DOUBLE, SIGN_IN_DOUBLE_TRACK, SIGN_IN_SM4})
SIGN_OFF, ECHO = "002", "301"
PARAMETERS, STATUS = "360", "362"
DOWNLOADS, DOWNLOAD_ENDS, QUERIES = ("370", "380"), ("371", "381"), ("372", "382")
NONE_FOUND, FOUND = b"0", b"1"
KEY_OF_RECORD = ("9F06", "9F22")
"""What a terminal asks a CA key by: RID and index. IC parameters have the first only."""


def manage(request: Request, settings: HostSettings, seed: int) -> Message:
    """Answer a 0800 or 0820."""
    if request.refuse is not None:
        return request.reply(request.refuse)
    match request.message.mti, request.field60.code:
        case "0800", code if code in SIGN_IN_CODES:
            return _sign_in(request, seed)
        case "0820", code if code == SIGN_OFF:
            request.terminal.keys = None
            return request.reply(APPROVED)
        case "0820", code if code == ECHO:
            return request.reply(APPROVED, {37: None, 32: None})
        case "0800", code if code == PARAMETERS:
            return request.reply(APPROVED, {62: settings.parameters.block.hex().upper() or None})
        case "0820", code if code == STATUS:
            return _status(request)
        case "0800", code if code in DOWNLOADS:
            return _download(request, settings)
        case "0800", code if code in DOWNLOAD_ENDS:
            return request.reply(APPROVED)
        case "0820", code if code in QUERIES:
            return _query(request, settings)
        case _:
            return request.reply("40")


def _sign_in(request: Request, seed: int) -> Message:
    terminal, code = request.terminal, request.field60.code
    terminal.sign_ins += 1
    agreed = request.behaviour.keys
    terminal.keys = new_keys(
        seed,
        terminal.settings.tid,
        terminal.sign_ins,
        code,
        double_mak=agreed.mak == "double" and code != SIGN_IN_SINGLE,
        sm4_tdk=agreed.sm4_key_block == "with_tdk",
    )
    block = key_block(bytes.fromhex(terminal.settings.tmk), terminal.keys, code)
    field60 = f"{request.field60.type_code}{terminal.batch.number:06d}{code}"
    return request.reply(APPROVED, {60: field60, 62: block.hex().upper()})


def _status(request: Request) -> Message:
    """Keep what the terminal says of its parameters; 30 where it cannot be read."""
    try:
        request.terminal.status = Status.parse(bytes.fromhex(request.message.get(62) or "")).values
    except Unreadable as trouble:
        request.deviates([str(trouble)])
        return request.reply("30")
    return request.reply(APPROVED)


def _records(request: Request, settings: HostSettings) -> tuple[str, ...]:
    return settings.ca_keys if request.field60.code.startswith("37") else settings.ic_parameters


def _query(request: Request, settings: HostSettings) -> Message:
    """What there is to download: 1 and the names of the records, or 0."""
    names = b"".join(_name(record) for record in _records(request, settings))
    return request.reply(APPROVED, {62: ((FOUND if names else NONE_FOUND) + names).hex().upper()})


def _download(request: Request, settings: HostSettings) -> Message:
    """The one record that field 62 names: 1 and its TLV, or 0."""
    try:
        asked = tlv.build(tlv.parse(bytes.fromhex(request.message.get(62) or "")))
    except (MalformedMessage, CannotEncode):
        request.deviates(["field 62 of a download names no record"])
        return request.reply("30")
    found = next((one for one in _records(request, settings) if _name(one) == asked), None)
    block = NONE_FOUND if found is None else FOUND + bytes.fromhex(found)
    return request.reply(APPROVED, {62: block.hex().upper()})


def _name(record: str) -> bytes:
    tags = read_55(record)
    return tlv.build((tag, tags[tag]) for tag in KEY_OF_RECORD if tag in tags)
