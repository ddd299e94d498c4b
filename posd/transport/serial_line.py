"""A `Channel` of length-prefixed frames over a raw line: what TCP carries, with a serial framing underneath.

So links and doors handle a serial line as they handle TCP. One frame at a time is with the line; `unsent_bytes` counts
those of which the kernel has not everything, so that they can be taken back (D2). A frame is never repeated once the
channel has ended. A peer that does not acknowledge ends the channel: what it was sent is of unknown fate.
It must never read a message, and an acknowledgement on the line must never mean more than that bytes arrived.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import assert_never

from posd.addresses import SerialAddress
from posd.errors import MalformedMessage
from posd.framing.length_line import LengthLine
from posd.framing.length_prefix import FRAME_BYTES_LIMIT, LENGTH_BYTES, LengthPrefixed, with_length
from posd.framing.line import Bad, Frame, GivenUp, LineEvent, LineFraming, Repeated, Write
from posd.framing.stx import StxKnobs, StxLine
from posd.transport.contract import Channel
from posd.transport.serial import open_serial

CLOSE_TIMEOUT_S = 2.0

Trouble = Callable[[str, str, int], None]
"""Told of trouble that the line mends by itself: the device, what, how often that kind came since it was opened."""


class LineChannel:
    """Frames over `raw`, kept to `posd.transport.contract.ConfirmingChannel`.

    `send` takes whole frames with their length. Its owner must keep receiving, also where it only wants to send:
    acknowledgements come that way.
    """

    def __init__(self, raw: Channel, framing: LineFraming, on_trouble: Trouble) -> None:
        self._raw, self._framing, self._on_trouble = raw, framing, on_trouble
        self._loop = asyncio.get_running_loop()
        self._prefixed = LengthPrefixed(FRAME_BYTES_LIMIT)
        self._outbox: deque[bytes] = deque()
        self._leaving_bytes = 0  # of the frame that the kernel has not wholly taken; on the line, then with its length
        self._leaving_counted = 0
        self._behind_bytes = 0  # ACK and NAK that wait behind it
        self._received = bytearray()
        self._troubles: dict[type[LineEvent], int] = {}
        self._ending = ""
        self._flushed, self._settled = asyncio.Event(), asyncio.Event()
        self._flushed.set()
        self._settled.set()
        self._timer: asyncio.TimerHandle | None = None
        self._draining: asyncio.Future[None] | None = None

    @property
    def peer(self) -> str:
        return self._raw.peer

    @property
    def ended(self) -> bool:
        return bool(self._ending) or self._raw.ended

    @property
    def ending(self) -> str:
        return self._ending or self._raw.ending

    @property
    def unsent_bytes(self) -> int:
        return self._leaving_unsent() + sum(LENGTH_BYTES + len(body) for body in self._outbox)

    @property
    def delivered(self) -> bool:
        """As ConfirmingChannel says: about bytes, never about a transaction. A bare length prefix confirms nothing."""
        return self._framing.confirms and not self.ended and self.unsent_bytes == 0 and self._framing.ready

    async def receive(self) -> bytes:
        while not self._received:
            data = await self._raw.receive()
            if not data:
                self._end(self._raw.ending)
                return b""
            self._handle(self._framing.feed(data, self._loop.time()))
        frames = bytes(self._received)
        self._received.clear()
        return frames

    def send(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            bodies = self._prefixed.feed(data)
        except MalformedMessage as error:
            self._fail(f"cannot be said on this line: {error}")
            return
        self._outbox += bodies
        if any(len(body) > self._framing.frame_bytes_max for body in bodies):
            self._fail(f"a frame is longer than this line's {self._framing.frame_bytes_max} bytes")
        self._pump()

    async def drained(self) -> None:
        await self._flushed.wait()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._raw.abort()

    async def close(self) -> None:
        """Flush, and wait for the last acknowledgement, for a limited time; somebody has to be receiving meanwhile."""
        if not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._settled.wait()
        self._end("closed by this side")
        await self._raw.close()

    # What the framing wants done.

    def _handle(self, events: list[LineEvent]) -> None:
        for event in events:
            match event:
                case Frame(body):
                    self._received += with_length(body)
                case Write(again=True) if self._raw.unsent_bytes:
                    self._fail("the line takes no bytes")  # a repeat behind the frame itself would help nobody
                case Write(data, again):
                    self._write(data)
                    if again:
                        self._trouble(event, "a frame of ours was sent again")
                case Bad(what):
                    self._trouble(event, what)
                case Repeated():
                    self._trouble(event, "a repeated frame was acknowledged again and not delivered again")
                case GivenUp(why):
                    self._fail(why)
                case _ as never:
                    assert_never(never)
        self._pump()

    def _write(self, data: bytes) -> None:
        self._raw.send(data)
        if self._raw.unsent_bytes:
            self._behind_bytes += len(data)

    def _pump(self) -> None:
        """Give the line the next frame when the one before it is acknowledged and wholly with the kernel."""
        while self._outbox and not self.ended and self._framing.ready and not self._raw.unsent_bytes:
            body = self._outbox.popleft()
            for event in self._framing.send(body, self._loop.time()):
                if isinstance(event, Write):
                    self._raw.send(event.data)
                    self._leaving_bytes, self._leaving_counted = len(event.data), LENGTH_BYTES + len(body)
                    self._behind_bytes = 0
        self._look()
        self._arm()

    def _leaving_unsent(self) -> int:
        """Of the frame that is leaving: all of it while the kernel has taken nothing, 0 once it has everything."""
        unsent = self._raw.unsent_bytes - self._behind_bytes
        if self._raw.unsent_bytes == 0 or unsent <= 0 or not self._leaving_counted:
            return 0
        if unsent >= self._leaving_bytes:
            return self._leaving_counted
        return max(1, min(unsent, self._leaving_counted - 1))

    def _look(self) -> None:
        """Keep the two events true, and come back when the kernel has taken what it holds up."""
        if self._raw.unsent_bytes == 0:
            self._behind_bytes = self._leaving_counted = 0
        elif self._draining is None and not self.ended:
            self._draining = asyncio.ensure_future(self._raw.drained())
            self._draining.add_done_callback(self._kernel_took)
        _set(self._flushed, self.unsent_bytes == 0 or self.ended)
        _set(self._settled, (self.unsent_bytes == 0 and self._framing.ready) or self.ended)

    def _kernel_took(self, done: "asyncio.Future[None]") -> None:
        self._draining = None
        self._pump()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if (due_s := self._framing.deadline_s) is not None and not self.ended:
            self._timer = self._loop.call_at(due_s, self._due)

    def _due(self) -> None:
        """Bytes that lie ready are read first: silence is the line's, not that of a loop that was busy."""
        self._timer = self._loop.call_later(0, self._tick)

    def _tick(self) -> None:
        if not self.ended:
            self._handle(self._framing.tick(self._loop.time()))

    def _trouble(self, event: LineEvent, what: str) -> None:
        """Counted by kind, for what is bad about a frame can be said in thousands of ways."""
        kind = type(event)
        count = self._troubles[kind] = self._troubles.get(kind, 0) + 1
        if count & (count - 1) == 0:  # at 1, 2, 4, 8 …: a noisy line does not fill the log
            self._on_trouble(self.peer, what, count)

    def _fail(self, why: str) -> None:
        self._end(why)
        self._raw.abort()

    def _end(self, why: str) -> None:
        self._ending = self._ending or why
        self._outbox.clear()
        self._leaving_counted = 0
        self._flushed.set()
        self._settled.set()
        if self._timer is not None:
            self._timer.cancel()


def _set(event: asyncio.Event, true: bool) -> None:
    if true:
        event.set()
    else:
        event.clear()


def line_framing(address: SerialAddress, frame_bytes_max: int) -> LineFraming:
    """The framing that the address names."""
    if address.framing == "length":
        return LengthLine(address.inter_byte_s, frame_bytes_max)
    knobs = StxKnobs(address.inter_byte_s, address.ack_timeout_s, address.retries, address.byte_s, address.lrc)
    return StxLine(knobs, frame_bytes_max)


async def connect_serial(address: SerialAddress, frame_bytes_max: int, on_trouble: Trouble) -> LineChannel:
    """Open the port with its framing. Raises OSError naming the device; its errno tells why."""
    return LineChannel(open_serial(address), line_framing(address, frame_bytes_max), on_trouble)
