"""One peer of the simulated host: what it may still be told, and how much of it waits.

Bounded: a peer that does not read is dropped at UNSENT_BYTES_MAX.
"""

import asyncio
from dataclasses import dataclass, field

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope
from posd.iso8583.message import Message
from simulators.host.faults import Rule

UNSENT_BYTES_MAX = 1_048_576
READ_BYTES = 65_536


@dataclass(slots=True)
class Connection:
    """One peer. `deaf`: nothing more is read from it; `mute`: our FIN is out; `storming`: echoes pour on it."""

    writer: asyncio.StreamWriter
    peer: str
    port: int = 0
    """Ours, by which it came: a host may be reached by several routes."""
    deaf: bool = False
    frames: LengthPrefixed = field(default_factory=LengthPrefixed)
    mute: bool = False
    storming: bool = False

    def framed(self, frame: bytes) -> bytes:
        """With its length, as this peer has it."""
        return with_length(frame, self.frames.length)

    @property
    def closing(self) -> bool:
        return self.writer.is_closing()

    @property
    def unsent_bytes(self) -> int:
        return int(self.writer.transport.get_write_buffer_size())

    async def take(self, reader: asyncio.StreamReader) -> bytes:
        """The next bytes of the stream of frames; b"" at its end."""
        return await reader.read(READ_BYTES)

    def write(self, data: bytes) -> bool:
        """Queue bytes; False when nothing more can be said to this peer."""
        if self.mute or self.closing:
            return False
        if self.unsent_bytes > UNSENT_BYTES_MAX:
            self.writer.transport.abort()
            return False
        self.writer.write(data)
        return True

    def finish(self) -> None:
        """Send FIN after what waits, and go on reading."""
        if not self.mute and not self.closing:
            self.mute = True
            if self.writer.can_write_eof():
                self.writer.write_eof()
            else:
                self.close()  # TLS has no half of a connection

    def close(self) -> None:
        """Send what waits, then close both ways."""
        self.writer.close()

    def abort(self) -> None:
        """Drop the peer and what waits (RST)."""
        self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Arrived:
    """One readable message with what it came in and the rule that applies to it."""

    connection: Connection
    envelope: Envelope
    message: Message
    body: bytes
    rule: Rule | None

    @property
    def do(self) -> str | None:
        return self.rule.do if self.rule else None

    @property
    def original(self) -> tuple[str, str, str]:
        """(TID, batch, STAN): what a request and its reversal have in common (1.10)."""
        return (self.message.get(41) or "", (self.message.get(60) or "")[2:8], self.message.get(11) or "")
