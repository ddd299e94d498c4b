"""Sign-in with new keys every time, sign-off, echo (reference 1.3, 1.6). The host's batch number wins."""

from posd.iso8583.message import Message
from simulators.crypto import (
    SIGN_IN_DOUBLE,
    SIGN_IN_DOUBLE_TRACK,
    SIGN_IN_SINGLE,
    key_block,
    new_keys,
)
from simulators.host.request import APPROVED, Request

SIGN_IN_CODES = frozenset({SIGN_IN_SINGLE, SIGN_IN_DOUBLE, SIGN_IN_DOUBLE_TRACK})
SIGN_OFF, ECHO = "002", "301"


def manage(request: Request, seed: int) -> Message:
    """Answer a 0800 or 0820."""
    code = request.field60.code
    if request.refuse is not None:
        return request.reply(request.refuse)
    if request.message.mti == "0800" and code in SIGN_IN_CODES:
        return _sign_in(request, seed)
    if request.message.mti == "0820" and code == SIGN_OFF:
        request.terminal.keys = None
        return request.reply(APPROVED)
    if request.message.mti == "0820" and code == ECHO:
        return request.reply(APPROVED, {37: None, 32: None})
    return request.reply("40")


def _sign_in(request: Request, seed: int) -> Message:
    terminal, code = request.terminal, request.field60.code
    terminal.sign_ins += 1
    terminal.keys = new_keys(seed, terminal.settings.tid, terminal.sign_ins, code)
    block = key_block(bytes.fromhex(terminal.settings.tmk), terminal.keys, code)
    field60 = f"{request.field60.type_code}{terminal.batch.number:06d}{code}"
    return request.reply(APPROVED, {60: field60, 62: block.hex().upper()})
