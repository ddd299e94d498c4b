"""Message to frame and back with its MAC: the last step out and the first step in (reference 1.1, 1.11)."""

from collections.abc import Mapping
from dataclasses import dataclass

from posd.core.state import Session
from posd.errors import CannotEncode, KeyOutOfReach, KeyTrouble
from posd.framing.tpdu import Envelope
from posd.iso8583.codec import Codec
from posd.iso8583.masking import masked_fields
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Outgoing, Terminal
from posd.profiles.packing import mac_fits, packed, unsayable
from posd.profiles.unionpay.data import MAC_COVERED
from posd.security.cipherkey import CipherKey
from posd.security.keys import LAYOUTS, Layout, WorkingKeys
from posd.security.mac import Mac, ecb_mac

ECHOED = (3, 4, 11, 41, 42)
"""What an answer must repeat of its request (reference 1.8, "Response checks")."""


@dataclass(frozen=True, slots=True)
class Keying:
    """How this acquirer hands out its keys, and the MAC that it wants: chosen once, at start."""

    layout: Layout = LAYOUTS["004"]
    mac: Mac = ecb_mac


def keys_of(terminal: Terminal, session: Session, keying: Keying) -> WorkingKeys | None:
    """The keys of the session; None without any. Raises KeyTrouble when the held block does not open any more."""
    if session.wrapped_keys is None:
        return None
    return terminal.tmk.unwrap(session.wrapped_keys, keying.layout)


def mak_of(terminal: Terminal, session: Session, keying: Keying) -> CipherKey | None:
    """The MAK of the session, in the same way."""
    keys = keys_of(terminal, session, keying)
    return None if keys is None else keys.mak


def terminal_mak(arrived: Arrived, terminal: Terminal, session: Session, keying: Keying) -> CipherKey | None:
    """The MAK with which this message of the terminal was signed: of a block that it was given. None: of none.

    Our own keys may have changed since the terminal got its: what it asks again must still be understood, and answered
    so that it understands. Raises KeyOutOfReach where that cannot be told now.
    """
    for block in session.terminal_keys or ((session.wrapped_keys,) if session.wrapped_keys is not None else ()):
        try:
            mak = terminal.tmk.unwrap(block, keying.layout).mak
        except KeyOutOfReach:
            raise
        except KeyTrouble:
            continue
        if mac_is_good(arrived, mak, keying.mac):
            return mak
    return None


def pack(codec: Codec, envelope: Envelope, message: Message, mak: CipherKey | None, mac: Mac = ecb_mac) -> Outgoing:
    """A frame; with a MAC if `mak` is given. Raises CannotEncode naming the field."""
    batch = _batch(message.fields)
    return packed(codec, envelope, message, mak, mac, masked=masked_fields, echoed=ECHOED, batch=batch)


def mac_is_good(arrived: Arrived, mak: CipherKey | None, mac: Mac) -> bool | None:
    """Whether the MAC fits; None: there is none."""
    return mac_fits(arrived, mak, mac)


def host_mak(terminal: Terminal, session: Session, keying: Keying, mti: str) -> CipherKey | None:
    """The MAK for a message to the host, None where the dialect wants no MAC. Raises CannotEncode without keys."""
    if mti not in MAC_COVERED:
        return None
    try:
        mak = mak_of(terminal, session, keying)
    except KeyTrouble as error:
        raise unsayable(mti, error) from None
    if mak is None:
        raise CannotEncode(f"{mti}: there is no MAC key; sign in first")
    return mak


def _batch(fields: Mapping[int, str]) -> int | None:
    text = fields.get(60, "")
    return int(text[2:8]) if len(text) >= 8 else None
