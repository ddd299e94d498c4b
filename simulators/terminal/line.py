"""A terminal on a TCP or a serial line, whatever dialect it speaks: one step at a time, each with its result.

It never raises for what a line or a host does: no answer, a cut line and nonsense are outcomes.
"""

import asyncio
import contextlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from posd.errors import CannotEncode, MalformedMessage
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from simulators.host.settings import minor_units
from simulators.serial_line.port import SerialPort
from simulators.serial_line.where import SerialAt
from simulators.terminal.core import CardInHand, Sent

Result = dict[str, object]
Step = Mapping[str, object]

READ_BYTES = 65_536
TIMEOUT_S = 30.0
NO_ANSWER, LINE_CUT, NO_LINE, BAD_STEP = "no_answer", "line_cut", "no_line", "bad_step"


class Speaker(Protocol):
    """What a line needs of a terminal."""

    codec: Codec

    def answers(self, sent: Sent, answer: Message) -> bool: ...

    def take(self, sent: Sent, answer: Message, body: bytes) -> dict[str, object]: ...

    def result(self, sent: Sent, outcome: str) -> dict[str, object]: ...


T = TypeVar("T", bound=Speaker)


@dataclass(slots=True, repr=False)
class Line(ABC, Generic[T]):
    """One terminal connected to HOST:PORT, or to the port `serial` where that is given.

    It connects at the first step and again after the line was cut; by `tls`, where given, to whoever proves to be
    `server_name` (else HOST).
    """

    terminal: T
    host: str
    port: int
    timeout_s: float = TIMEOUT_S
    tpdu: bytes = b""
    header: bytes = b""
    serial: SerialAt | None = None
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | SerialPort | None = None
    _frames: LengthPrefixed = field(default_factory=LengthPrefixed)
    _waiting: list[bytes] = field(default_factory=list)
    _bytes: dict[int, Sent] = field(default_factory=dict)

    async def do(self, step: Step) -> Result:
        """One step of the script; the result line that belongs to it."""
        try:
            timeout_s = float(str(step.get("timeout_s") or self.timeout_s))
            wait_s = float(str(step.get("s", 1)))
        except ValueError:
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "seconds expected"}
        match step.get("do"):
            case "wait_s":
                await asyncio.sleep(wait_s)
                return {"do": "wait_s", "outcome": "done"}
            case "reconnect":
                await self.close()
                return {"do": "reconnect", "outcome": "done" if await self._connect(timeout_s) else NO_LINE}
            case "raw":
                return await self._raw(str(step.get("hex", "")), timeout_s)
            case "settle":
                return await self.settle(timeout_s)
            case _:
                return self.noted(step) or await self._one(step, timeout_s)

    def noted(self, step: Step) -> Result | None:
        """The result of a step that sends nothing; None for any other."""
        return None

    @abstractmethod
    def build(self, step: Step) -> Sent | None:
        """The message of one step; None for a step that this dialect has not. KeyError, ValueError, CannotEncode."""

    @abstractmethod
    async def settle(self, timeout_s: float) -> Result:
        """The whole settlement of a dialect."""

    async def close(self) -> None:
        """Cut the line."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, step: Step, timeout_s: float) -> Result:
        try:
            sent = self._bytes[int(str(step["stan"]))] if step.get("do") == "repeat" else self.build(step)
        except (KeyError, ValueError, TypeError, CannotEncode) as trouble:
            why = f"{type(trouble).__name__} in {sorted(step)}"
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": why}
        if sent is None:
            return {"do": step.get("do"), "outcome": BAD_STEP, "why": "unknown step"}
        return await self.exchange(sent, timeout_s)

    async def exchange(self, sent: Sent, timeout_s: float) -> Result:
        """Send one request and wait for its answer; frames that answer something else are counted as strays."""
        if sent.message.mti != "0400" and (sent.message.mti != "0320" or sent.message.get(4) is None):
            # a reversal and an uploaded record have the trace of another request
            self._bytes[sent.stan] = sent
        frame = join(Envelope(self.tpdu, b"", self.header), sent.body)
        result = self.terminal.result(sent, NO_ANSWER)
        if not await self._connect(timeout_s):
            return result | {"outcome": NO_LINE}
        strays = 0
        try:
            async with asyncio.timeout(timeout_s):
                self._write(with_length(frame))
                while (body := await self._next()) is not None:
                    answer = self._answer(sent, body)
                    if answer is not None:
                        return answer | ({"strays": strays} if strays else {})
                    strays += 1
        except TimeoutError:
            return result | ({"strays": strays} if strays else {})
        await self.close()
        return result | {"outcome": LINE_CUT}

    def _answer(self, sent: Sent, frame: bytes) -> Result | None:
        try:
            envelope, body = split(frame, len(self.header))
            message = self.terminal.codec.decode(body)
        except MalformedMessage:
            return None
        if envelope.tpdu != Envelope(self.tpdu, b"", b"").answered().tpdu:  # exchanged, or not for us (2.1)
            return None
        return self.terminal.take(sent, message, body) if self.terminal.answers(sent, message) else None

    async def _raw(self, text: str, timeout_s: float) -> Result:
        """Bytes as they are, length prefix included; any frame that comes back is an answer."""
        try:
            data = bytes.fromhex(text)
        except ValueError:
            return {"do": "raw", "outcome": BAD_STEP, "why": "hex expected"}
        if not await self._connect(timeout_s):
            return {"do": "raw", "outcome": NO_LINE}
        try:
            async with asyncio.timeout(timeout_s):
                self._write(data)
                frame = await self._next()
        except TimeoutError:
            return {"do": "raw", "outcome": NO_ANSWER}
        if frame is None:
            await self.close()
            return {"do": "raw", "outcome": LINE_CUT}
        return {"do": "raw", "outcome": "answered", "bytes": len(frame), **self._code_of(frame)}

    def _code_of(self, frame: bytes) -> Result:
        try:
            message = self.terminal.codec.decode(split(frame, len(self.header))[1])
        except MalformedMessage:
            return {}
        return {"mti": message.mti, "code": message.get(39)}

    async def _connect(self, timeout_s: float) -> bool:
        if self._writer is not None and not self._writer.is_closing() and not self._at_end():
            return True
        await self.close()
        try:
            async with asyncio.timeout(timeout_s):
                if self.serial is not None:
                    self._writer = SerialPort(self.serial)
                    self._reader = self._writer.reader
                else:
                    name = (self.server_name or self.host) if self.tls is not None else None
                    self._reader, self._writer = await asyncio.open_connection(
                        self.host, self.port, ssl=self.tls, server_hostname=name
                    )
        except (OSError, TimeoutError):
            return False
        self._frames, self._waiting = LengthPrefixed(), []
        return True

    def _at_end(self) -> bool:
        return self._reader is None or self._reader.at_eof()

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def _next(self) -> bytes | None:
        """The next whole frame; None when the line is cut or speaks nonsense."""
        assert self._reader is not None
        while not self._waiting:
            try:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    return None
                self._waiting += self._frames.feed(data)
            except (OSError, MalformedMessage):
                return None
        return self._waiting.pop(0)


def card_of(step: Step) -> CardInHand:
    """The card of a step; 021 with a PIN, else 022, unless `entry` says."""
    pin = step.get("pin")
    entry = str(step.get("entry") or ("021" if pin else "022"))
    card = CardInHand(str(step["card"]), str(step["expiry"]), entry, None if pin is None else str(pin))
    return card if step.get("sequence") is None else replace(card, sequence=str(step["sequence"]))


def amount_of(step: Step, name: str = "amount") -> int:
    """'12.34' in the step is 1234; a number is minor units already."""
    value = minor_units(step[name])
    if not isinstance(value, int):
        raise ValueError(name)
    return value
