"""Track encryption under the TDK (reference 1.12): eight bytes of the packed track, in the place where they were.

The 16 digits that are encrypted end one byte before the end of the packed track; what stands before and behind them
stays readable. It must never decide whether a track is encrypted: that is field 53's to say.
"""

from collections.abc import Callable

from posd.errors import KeyTrouble
from posd.security.cipherkey import CipherKey

ENCRYPTED_DIGITS = 16
TAIL_DIGITS_EVEN, TAIL_DIGITS_ODD = 2, 1
"""What stays behind them: a byte, in an odd track one digit and the filling nibble."""


def encrypted_from(track: str) -> int:
    """Where the encrypted digits begin: length - 18 for an even track, length - 17 for an odd one.

    Negative for a track that is too short to be encrypted.
    """
    return len(track) - ENCRYPTED_DIGITS - (TAIL_DIGITS_ODD if len(track) % 2 else TAIL_DIGITS_EVEN)


def encrypt_track(tdk: CipherKey, track: str) -> str:
    """The track (digits with `=`) with its part encrypted: any nibble may stand there, D is written `=`.

    Raises KeyTrouble for a track that is too short.
    """
    return _in_place(track, tdk.encrypt)


def decrypt_track(tdk: CipherKey, track: str) -> str:
    """The reverse of `encrypt_track`; under another key it gives nonsense, not an error."""
    return _in_place(track, tdk.decrypt)


def _in_place(track: str, change: Callable[[bytes], bytes]) -> str:
    start = encrypted_from(track)
    if start < 0:
        raise KeyTrouble(f"a track of {len(track)} digits is too short to be encrypted; read the card again")
    end = start + ENCRYPTED_DIGITS
    part = bytes.fromhex(track[start:end].replace("=", "D"))
    return track[:start] + change(part).hex().upper().replace("D", "=") + track[end:]
