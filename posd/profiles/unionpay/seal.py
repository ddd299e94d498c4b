"""Message to frame and back with its MAC: the last step out and the first step in (reference 1.1, 1.11)."""

from collections.abc import Mapping
from dataclasses import dataclass

from posd.core.state import Session
from posd.errors import CannotEncode, KeyTrouble
from posd.framing.tpdu import Envelope, join
from posd.iso8583.codec import MAC_BYTES, Codec, replace_mac
from posd.iso8583.masking import masked_fields
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Outgoing, Terminal
from posd.profiles.unionpay.data import MAC_COVERED
from posd.security.keys import LAYOUTS, Layout, WorkingKeys, unwrap
from posd.security.mac import Mac, ecb_mac, matches
from posd.values import Rrn, Stan

ECHOED = (3, 4, 11, 41, 42)
"""What an answer must repeat of its request (reference 1.8, "Response checks")."""

NO_MAC_YET = "00" * MAC_BYTES


@dataclass(frozen=True, slots=True)
class Keying:
    """How this acquirer hands out its keys, and the MAC that it wants: chosen once, at start."""

    layout: Layout = LAYOUTS["004"]
    mac: Mac = ecb_mac


def keys_of(terminal: Terminal, session: Session, keying: Keying) -> WorkingKeys | None:
    """The keys of the session; None without any. Raises KeyTrouble when the held block does not open any more."""
    if session.wrapped_keys is None:
        return None
    return unwrap(terminal.tmk, session.wrapped_keys, keying.layout)


def mak_of(terminal: Terminal, session: Session, keying: Keying) -> bytes | None:
    """The MAK of the session, in the same way."""
    keys = keys_of(terminal, session, keying)
    return None if keys is None else keys.mak


def terminal_mak(arrived: Arrived, terminal: Terminal, session: Session, keying: Keying) -> bytes | None:
    """The MAK with which this message of the terminal was signed: of a block that it was given. None: of none.

    Our own keys may have changed since the terminal got its: what it asks again must still be understood, and answered
    so that it understands.
    """
    for block in session.terminal_keys or ((session.wrapped_keys,) if session.wrapped_keys is not None else ()):
        try:
            mak = unwrap(terminal.tmk, block, keying.layout).mak
        except KeyTrouble:
            continue
        if mac_is_good(arrived, mak, keying.mac):
            return mak
    return None


def pack(codec: Codec, envelope: Envelope, message: Message, mak: bytes | None, mac: Mac = ecb_mac) -> Outgoing:
    """A frame; with a MAC if `mak` is given. Raises CannotEncode naming the field."""
    if mak is not None:
        body = codec.encode(message.with_({64: NO_MAC_YET}))
        body = replace_mac(body, mac(mak, body[:-MAC_BYTES]))
    else:
        body = codec.encode(message)
    number = message.get(2)
    return Outgoing(
        frame=join(envelope, body),
        mti=message.mti,
        masked=masked_fields(message),
        echoed={field: value for field in ECHOED if (value := message.get(field)) is not None},
        stan=_stan(message),
        rrn=_rrn(message.fields),
        batch=_batch(message.fields),
        pan=number.encode() if number else None,
    )


def mac_is_good(arrived: Arrived, mak: bytes | None, mac: Mac) -> bool | None:
    """Whether the MAC fits; None: there is none."""
    received = arrived.message.get(64)
    if received is None:
        return None
    return mak is not None and matches(mac, mak, arrived.body[:-MAC_BYTES], bytes.fromhex(received))


def host_mak(terminal: Terminal, session: Session, keying: Keying, mti: str) -> bytes | None:
    """The MAK for a message to the host, None where the dialect wants no MAC. Raises CannotEncode without keys."""
    if mti not in MAC_COVERED:
        return None
    try:
        mak = mak_of(terminal, session, keying)
    except KeyTrouble as error:
        raise CannotEncode(f"{mti}: {error}") from None
    if mak is None:
        raise CannotEncode(f"{mti}: there is no MAC key; sign in first")
    return mak


def _stan(message: Message) -> Stan | None:
    text = message.get(11)
    return Stan(int(text)) if text is not None else None


def _rrn(fields: Mapping[int, str]) -> Rrn | None:
    text = fields.get(37)
    return Rrn(text) if text is not None else None


def _batch(fields: Mapping[int, str]) -> int | None:
    text = fields.get(60, "")
    return int(text[2:8]) if len(text) >= 8 else None
