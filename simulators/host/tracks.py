"""Encrypted tracks as the host takes them: opened under the TDK before anything else looks (reference 1.12)."""

from posd.iso8583.message import Message
from simulators.crypto import WorkingKeys
from simulators.fields import Unreadable
from simulators.macs import Keying, decrypt_track

TRACKS = (35, 36)
ENCRYPTED = "1"


def with_clear_tracks(message: Message, keys: WorkingKeys | None, keying: Keying) -> Message:
    """The message with clear tracks. Unreadable for what the host does not take, or what the TDK does not open.

    Field 53 says whether they are encrypted. An opened track 2 that is no track, or names another card than field 2,
    was not encrypted, or under another key.
    """
    brought = {number: track for number in TRACKS if (track := message.get(number)) is not None}
    if not brought:
        return message
    encrypted = (message.get(53) or "")[2:3] == ENCRYPTED
    if keying.tracks == ("clear" if encrypted else "encrypted"):
        raise Unreadable(f"{'an encrypted' if encrypted else 'a clear'} track, which this host does not take")
    if encrypted:
        brought = _opened(brought, keys)
    named = _named(brought[35]) if 35 in brought else message.get(2)
    if named is None:
        raise Unreadable(f"track 2 is no track{' under the track key' if encrypted else ''}")
    if message.get(2) not in (None, named):
        raise Unreadable("track 2 and field 2 name different cards")
    return message.with_(brought)


def _opened(brought: dict[int, str], keys: WorkingKeys | None) -> dict[int, str]:
    if keys is None or keys.tdk is None:
        raise Unreadable("an encrypted track, but the terminal has no track key")
    try:
        return {number: decrypt_track(keys.tdk, track) for number, track in brought.items()}
    except ValueError as trouble:
        raise Unreadable(str(trouble)) from None


def _named(track: str) -> str | None:
    """The card number before the separator; None: this is no track."""
    number, separator, rest = track.partition("=")
    return number if separator and (number + rest).isdecimal() else None
