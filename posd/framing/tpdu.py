"""What stands between the length and the message: TPDU, an optional LRI block, the message header
(reference 1.1).

Opaque bytes to us, except that an answer goes back with destination and source exchanged. Never reads the
message.
"""

from msgspec import Struct
from msgspec.structs import replace

from posd.errors import MalformedMessage

TPDU_BYTES = 5
LRI_MARK = b"LRI"
LRI_BYTES = 33
HEADER_BYTES = 6
"""The dialect's default; 0 (NAC) and 2 (variant) are seen too."""


class Envelope(Struct, frozen=True):
    """`tpdu`: id 1, destination 2, source 2 bytes. `lri`: 33 bytes or none. `header`: 0, 2 or 6 bytes."""

    tpdu: bytes
    lri: bytes
    header: bytes

    def answered(self) -> "Envelope":
        """The envelope of an answer: TPDU destination and source exchanged, the rest as it came."""
        tpdu = self.tpdu
        return replace(self, tpdu=tpdu[:1] + tpdu[3:5] + tpdu[1:3])


def split(frame: bytes, header_bytes: int) -> tuple[Envelope, bytes]:
    """A frame (without length prefix) as envelope and message bytes.

    An LRI block is recognised by its first three bytes after the TPDU. Raises MalformedMessage naming
    `TPDU`, `LRI` or `header` when the frame ends before the message begins.
    """
    if len(frame) < TPDU_BYTES:
        raise MalformedMessage(f"{len(frame)} bytes, expecting {TPDU_BYTES}", field="TPDU", offset=0)
    has_lri = frame[TPDU_BYTES : TPDU_BYTES + len(LRI_MARK)] == LRI_MARK
    header_at = TPDU_BYTES + (LRI_BYTES if has_lri else 0)
    body_at = header_at + header_bytes
    if len(frame) < header_at:
        raise MalformedMessage(
            f"{len(frame) - TPDU_BYTES} bytes, expecting {LRI_BYTES}", field="LRI", offset=TPDU_BYTES
        )
    if len(frame) < body_at:
        raise MalformedMessage(
            f"{len(frame) - header_at} bytes, expecting {header_bytes}", field="header", offset=header_at
        )
    return Envelope(frame[:TPDU_BYTES], frame[TPDU_BYTES:header_at], frame[header_at:body_at]), frame[body_at:]


def join(envelope: Envelope, body: bytes) -> bytes:
    """Envelope and message bytes as one frame, without length prefix."""
    return envelope.tpdu + envelope.lri + envelope.header + body
