"""What a fault rule makes of an answer's bytes, and the echoes of a storm.

Pure: server.py decides when it is said, to whom, and whether at all.
"""

import hashlib
from collections.abc import Iterator
from itertools import cycle

from posd.errors import CannotEncode
from posd.framing.tpdu import Envelope, join
from posd.iso8583.message import Message
from simulators.chip import ISSUER_AUTHENTICATION, SCRIPTS, elements_55, write_55
from simulators.host.acquirer import Answer
from simulators.host.dialects import AnyAcquirer
from simulators.host.faults import Rule

GARBAGE_BYTES = 32
HEADER_DIGIT_BYTE = 2
STAN_SHIFT = 500_000


def spoiled(acquirer: AnyAcquirer, rule: Rule | None, answer: Answer) -> bytes | None:
    """The answer's bytes with the one thing wrong that a rule asks for. CannotEncode by replace_fields only."""
    if rule is None or answer.message is None or answer.body is None:
        return answer.body
    match rule.do:
        case "wrong_stan":
            other = f"{(answer.stan + STAN_SHIFT) % 1_000_000:06d}"
            return acquirer.seal(answer.tid, answer.message.with_({11: other}))
        case "wrong_mac" if answer.message.get(64) is not None:
            return answer.body[:-1] + bytes([answer.body[-1] ^ 1])
        case "no_mac":
            return acquirer.seal(answer.tid, answer.message.with_({64: None}))
        case "replace_fields":
            changes = {number: text or None for number, text in rule.fields.items()}
            return acquirer.seal(answer.tid, answer.message.with_(changes))
        case "drop_script" | "bad_arpc":
            return acquirer.seal(answer.tid, answer.message.with_({55: _spoiled_55(rule.do, answer.message.get(55))}))
        case _:
            return answer.body


def _spoiled_55(do: str, text: str | None) -> str | None:
    """Field 55 without the issuer's scripts, or with another issuer authentication."""
    if text is None:
        return None
    elements = elements_55(text)
    if do == "drop_script":
        return write_55(one for one in elements if one[0] not in SCRIPTS) or None
    return write_55((tag, _flipped(value) if tag == ISSUER_AUTHENTICATION else value) for tag, value in elements)


def _flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def noise(answer: Answer) -> bytes:
    """A frame that is no message; the same answer makes the same noise."""
    return hashlib.sha256(answer.body or b"").digest()[:GARBAGE_BYTES]


def with_digit(envelope: Envelope, digit: int) -> Envelope:
    """The header with its sixth digit, the host's processing requirement, set (1.1)."""
    header = bytearray(envelope.header)
    if len(header) > HEADER_DIGIT_BYTE:
        header[HEADER_DIGIT_BYTE] = header[HEADER_DIGIT_BYTE] & 0xF0 | digit
    return Envelope(envelope.tpdu, envelope.lri, bytes(header))


def echoes(acquirer: AnyAcquirer, envelope: Envelope, trigger: Message) -> Iterator[bytes]:
    """Frames without end that nobody asked for: echoes and answers to echoes, for the trigger's terminal."""
    said = acquirer.unasked(trigger)
    try:
        bodies = [acquirer.codec.encode(Message(one.mti, dict(sorted(one.fields.items())))) for one in said]
    except CannotEncode:
        return
    yield from cycle([join(envelope.answered(), body) for body in bodies])
