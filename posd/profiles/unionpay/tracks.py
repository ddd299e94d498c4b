"""Tracks under the TDK, as the acquirer wants them (reference 1.12).

The terminal's tracks come clear, or encrypted under the TDK of the block that posd handed it, which is the host's own
(D26). What came encrypted goes on as it came, and only while that TDK is the current one; what came clear is encrypted
here if `host.track_encryption` says so, under the TDK of the moment at which it leaves. Nothing is encrypted twice.
"""

from posd.core.state import Session
from posd.errors import CannotEncode, KeyTrouble
from posd.iso8583.message import Message
from posd.profiles.contract import Terminal
from posd.profiles.packing import unsayable
from posd.profiles.unionpay.data import ENCRYPTED_TRACKS, NO_SECURITY_CONTROL, TRACKS
from posd.profiles.unionpay.seal import Keying, keys_of
from posd.security.cards import CardData
from posd.security.cipherkey import CipherKey
from posd.security.keys import DES
from posd.security.tracks import decrypt_track, encrypt_track, encrypted_from


def are_encrypted(message: Message) -> bool:
    """Whether the tracks of a message are encrypted: field 53 says so, nothing else can."""
    return (message.get(53) or "")[2:3] == ENCRYPTED_TRACKS


def carries_tracks(message: Message) -> bool:
    return any(field in message.fields for field in TRACKS)


def too_short(message: Message) -> int | None:
    """The field of a track that is too short to be encrypted."""
    return next((n for n in TRACKS if (track := message.get(n)) is not None and encrypted_from(track) < 0), None)


def with_encrypted_tracks(message: Message, terminal: Terminal, session: Session, keying: Keying) -> Message:
    """The message with its clear tracks encrypted and field 53 saying so. Raises CannotEncode without a TDK."""
    tracks = {field: track for field in TRACKS if (track := message.get(field)) is not None}
    if not tracks or are_encrypted(message):
        return message
    try:
        keys = keys_of(terminal, session, keying)
        if keys is None or keys.tdk is None:
            raise CannotEncode(f"{message.mti}: there is no track key; sign in first")
        hidden = {field: encrypt_track(keys.tdk, track) for field, track in tracks.items()}
    except KeyTrouble as error:
        raise unsayable(f"{message.mti}: fields 35 and 36", error) from None
    control = message.get(53) or NO_SECURITY_CONTROL
    return message.with_({**hidden, 53: f"{control[:2]}{ENCRYPTED_TRACKS}{control[3:]}"})


def said_wrongly(message: Message, terminal: Terminal, session: Session, keying: Keying) -> int | None:
    """The field of a track that field 53 calls encrypted though it is clear: as it stands it is a track's digits, and
    opened with the track key it is not. None where that cannot be told."""
    tdk = _track_key(terminal, session, keying)
    if tdk is None or not are_encrypted(message):
        return None
    tracks = ((field, track) for field in TRACKS if (track := message.get(field)) and encrypted_from(track) >= 0)
    return next((n for n, track in tracks if _is_clear(track) and not _is_clear(decrypt_track(tdk, track))), None)


def with_number(card: CardData, terminal: Terminal, session: Session, keying: Keying) -> CardData:
    """The card with its number, where the encryption of track 2 has reached it: an upload will have to name it.

    Nothing else of what is opened here is kept. The card as it was, if our TDK does not open the track.
    """
    if card.number is not None or card.track2 is None or not card.encrypted or encrypted_from(card.track2) < 0:
        return card
    tdk = _track_key(terminal, session, keying)
    return card if tdk is None else card.with_pan(CardData(track2=decrypt_track(tdk, card.track2)).number)


def _is_clear(track: str) -> bool:
    return track.replace("=", "").isdecimal()


def _track_key(terminal: Terminal, session: Session, keying: Keying) -> CipherKey | None:
    """The present TDK, as far as there is one under which tracks are known to be encrypted: SM4's is none."""
    if keying.layout.cipher is not DES:
        return None
    try:
        keys = keys_of(terminal, session, keying)
    except KeyTrouble:
        return None
    return None if keys is None else keys.tdk
