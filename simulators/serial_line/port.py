"""A serial port that looks like a TCP connection to the rest of a simulator: length-prefixed frames in and out.

It answers ACK or NAK by itself, repeats what is not acknowledged, and ends its stream when nobody acknowledges or the
port is gone. `acks` can be set to false: a terminal whose acknowledgements get lost.
"""

import asyncio
import contextlib
import os
from collections import deque
from functools import reduce

import serial

from posd.errors import MalformedMessage
from posd.framing.length_prefix import LengthPrefixed, with_length
from simulators.serial_line.where import SerialAt

STX, ETX, ACK, NAK = b"\x02", b"\x03", b"\x06", b"\x15"
AROUND = 5
"""STX, two bytes of length, ETX, LRC."""


def framed(body: bytes) -> bytes:
    """STX, the length of the body in four decimal digits packed, the body, ETX, and the XOR of all after STX."""
    digits = f"{len(body):04d}"
    checked = bytes(int(digits[at]) * 16 + int(digits[at + 1]) for at in (0, 2)) + body + ETX
    return STX + checked + bytes([checksum(checked)])


def checksum(data: bytes) -> int:
    return reduce(lambda left, right: left ^ right, data, 0)


class SerialPort:
    """Opened by making one, in a running loop; OSError where that cannot be."""

    def __init__(self, at: SerialAt) -> None:
        self._at, self._stx = at, at.framing == "stx"
        self._port = serial.Serial(
            at.device, at.baud, parity=at.parity, stopbits=at.stop, inter_byte_timeout=0, exclusive=True
        )
        self._fd = self._port.fileno()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)
        self.reader = asyncio.StreamReader()
        self.acks = True
        self._given = LengthPrefixed()
        self._came = bytearray()
        self._last: tuple[bytes, float] = (b"", 0.0)
        self._to_say: deque[bytes] = deque()
        self._saying: bytes | None = None
        self._tries = 0
        self._closed = False
        self._silence: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    # As asyncio.StreamWriter.

    def write(self, data: bytes) -> None:
        """Whole frames with their length; what is none goes out as it is."""
        try:
            bodies = self._given.feed(data)
        except MalformedMessage:
            self._given, bodies = LengthPrefixed(), []
        if not bodies and not self._given.pending:
            self._put(data)
        for body in bodies:
            self._to_say.append(framed(body) if self._stx else with_length(body))
        self._go_on()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for timer in (self._silence, self._patience):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._fd)
        self._port.close()
        self.reader.feed_eof()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    # Out.

    def _go_on(self) -> None:
        while self._to_say and self._saying is None and not self._closed:
            frame = self._to_say.popleft()
            if self._stx:
                self._saying, self._tries = frame, 0
                self._say()
            else:
                self._put(frame)

    def _say(self) -> None:
        """Once more, or never again."""
        assert self._saying is not None
        if self._tries > self._at.retries:
            self.close()
            return
        self._tries += 1
        self._put(self._saying)
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._loop.call_later(self._at.ack_timeout_s, self._say)

    def _put(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    # In.

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if not self._stx:
            self.reader.feed_data(data)
            return
        if self._silence is not None:
            self._silence.cancel()
        self._came += data
        self._read_on()
        if self._came and not self._closed:
            self._silence = self._loop.call_later(self._at.inter_byte_s, self._refuse)

    def _read_on(self) -> None:
        came = self._came
        while came:
            if came[:1] != STX:
                self._between(bytes(came[:1]))
                del came[:1]
                continue
            if len(came) < 3:
                return
            digits = came[1:3].hex()
            if not digits.isdecimal() or len(came) < AROUND + int(digits):
                return  # what never becomes whole ends with the silence
            whole = bytes(came[: AROUND + int(digits)])
            del came[: len(whole)]
            if whole[-2:-1] != ETX or whole[-1] != checksum(whole[1:-1]):
                self._refuse()
                return
            self._take(whole[3:-2])

    def _take(self, body: bytes) -> None:
        if self.acks:
            self._put(ACK)
        now_s = self._loop.time()
        last, until_s = self._last
        if body != last or now_s > until_s:
            self._last = body, now_s + (self._at.retries + 1) * self._at.ack_timeout_s
            self.reader.feed_data(with_length(body))

    def _refuse(self) -> None:
        self._came.clear()
        self._put(NAK)

    def _between(self, byte: bytes) -> None:
        if self._saying is None:
            return
        if byte == NAK:
            self._say()
        elif byte == ACK:
            if self._patience is not None:
                self._patience.cancel()
            self._saying, self._last = None, (b"", 0.0)
            self._go_on()
