"""Message to frame with its MAC, and the check of one that came: the same in every dialect (reference 1.11)."""

from collections.abc import Callable, Mapping

from posd.errors import CannotEncode, CannotEncodeNow, KeyOutOfReach, KeyTrouble
from posd.framing.tpdu import Envelope, join
from posd.iso8583.codec import MAC_BYTES, Codec, replace_mac
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Outgoing
from posd.security.cipherkey import CipherKey
from posd.security.mac import Mac, matches
from posd.values import RequestId, Rrn, Stan

NO_MAC_YET = "00" * MAC_BYTES


def packed(
    codec: Codec,
    envelope: Envelope,
    message: Message,
    mak: CipherKey | None,
    mac: Mac,
    *,
    masked: Callable[[Message], Mapping[str, str]],
    echoed: tuple[int, ...],
    batch: int | None,
) -> Outgoing:
    """A frame; with a MAC if `mak` is given. `echoed`: what its answer must repeat. Raises CannotEncode."""
    if mak is not None:
        body = codec.encode(message.with_({64: NO_MAC_YET}))
        try:
            body = replace_mac(body, mac(mak, body[:-MAC_BYTES]))
        except KeyTrouble as error:
            raise unsayable(message.mti, error) from None
    else:
        body = codec.encode(message)
    number, trace, rrn = message.get(2), message.get(11), message.get(37)
    return Outgoing(
        frame=join(envelope, body),
        mti=message.mti,
        masked=masked(message),
        echoed={field: value for field in echoed if (value := message.get(field)) is not None},
        stan=Stan(int(trace)) if trace is not None else None,
        rrn=Rrn(rrn) if rrn is not None else None,
        batch=batch,
        pan=number.encode() if number else None,
    )


def unsayable(what: str, error: KeyTrouble) -> CannotEncode:
    """Why a message cannot be said: its key is wrong, or out of reach for now."""
    return (CannotEncodeNow if isinstance(error, KeyOutOfReach) else CannotEncode)(f"{what}: {error}")


def mac_fits(arrived: Arrived, mak: CipherKey | None, mac: Mac) -> bool | None:
    """Whether the MAC of a message fits; None: it has none. Raises KeyOutOfReach where that cannot be told now."""
    received = arrived.message.get(64)
    if received is None:
        return None
    try:
        return mak is not None and matches(mac, mak, arrived.body[:-MAC_BYTES], bytes.fromhex(received))
    except KeyOutOfReach:
        raise
    except KeyTrouble:
        return False


def unreadable(mti: str, what: str, of: RequestId) -> CannotEncode:
    """What of a request lies in the vault, and cannot be read from it."""
    return CannotEncode(f"{mti}: {what} of {of} cannot be read; see the vault's data keys", of)
