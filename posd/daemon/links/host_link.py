"""The persistent connection to the acquirer: frames out in order, frames in, and the truth about each.

One frame at a time is with the channel, the others wait in a bounded outbox, so that it is always known of
which frames no byte has reached the kernel: only those can be withdrawn (D2). A frame that was accepted ends in
one of three ways: it left, `withdrawn` was told, or `link_down` was told (then its outcome is unknown).
Nothing waits for the next connection: a reversal belongs to the engine, not to a buffer.

It must never read a message, repeat a frame, or wait inside `send`, `withdraw` or `abort`. The listener is
called from the event loop only, never from inside those three.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from posd.daemon.incoming import Incoming
from posd.daemon.links.backoff import Backoff
from posd.daemon.tasks import end, spawn
from posd.errors import MalformedMessage
from posd.framing.length_prefix import Length, with_length
from posd.transport.contract import Channel, ConfirmingChannel

OUTBOX_FRAMES_MAX = 1024
"""Frames that wait for a slow line; with one exchange a terminal in flight, as many busy terminals."""


class LinkListener(Protocol):
    """Who hears what happens on the link. Calls come in order, from the loop, and must return at once."""

    def link_up(self) -> None:
        """TCP is up; signed in is another matter."""

    def link_down(self, why: str) -> None:
        """The connection ended, or (once for each new reason) could not be made."""

    def frame(self, frame: bytes) -> None:
        """A whole frame came, without its length."""

    def withdrawn(self, token: str) -> None:
        """Of this frame no byte was given to the kernel, and none ever will be."""

    def lost(self, token: str, why: str) -> None:
        """No answer to this frame will come; if `withdrawn` was told before, it never left, else nobody knows.

        Told by links with a connection for each frame; where all share one, `link_down` says it of all of them.
        """

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        """The stream lost its frames with `length` bytes in hand; its connection is ended."""


class Link(Protocol):
    """What the daemon knows of the way to the host: HostLink, and whatever stands in its place."""

    @property
    def up(self) -> bool: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def send(self, token: str, frame: bytes, deadline_s: float) -> bool: ...

    def withdraw(self, token: str) -> bool: ...

    def abort(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Outgoing:
    token: str
    data: bytes
    deadline_s: float


class HostLink:
    """Keeps one connection up. `connect` makes a channel within a limit of its own or raises OSError."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Channel]],
        listener: LinkListener,
        frame_bytes_max: int,
        backoff: Backoff,
        clock_monotonic: Callable[[], float],
        length: Length = Length.BINARY,
    ) -> None:
        self._connect, self._listener, self._backoff = connect, listener, backoff
        self._frame_bytes_max, self._length, self._clock = frame_bytes_max, length, clock_monotonic
        self._channel: Channel | None = None
        self._outbox: deque[_Outgoing] = deque()
        self._leaving: _Outgoing | None = None
        self._stalled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._untold: deque[str] = deque()
        self._aborted_because = ""
        self._down_because = ""
        self._task: asyncio.Task[None] | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._stopping = self._serving = False

    def start(self) -> None:
        """Begin to connect, and to connect again for ever. Call it inside the running loop."""
        self._task = spawn(self._run(), "host link")

    async def stop(self) -> None:
        """Withdraw what waits, flush what is leaving (for a limited time), hang up, come to rest."""
        self._stopping = True
        self._withdraw_outbox()
        if self._channel is not None:
            await self._channel.close()
        if self._task is not None and self._serving:
            await asyncio.wait([self._task])  # it still has to tell how the connection ended
        elif self._task is not None:
            await end(self._task)
        self._disarm()

    @property
    def up(self) -> bool:
        """True while a frame handed to `send` has a chance to leave."""
        return self._channel is not None and not self._channel.ended and self._retirement is None

    @property
    def quiet(self) -> bool:
        """Nothing that was sent is still on its way: the peer's machine has acknowledged every byte."""
        channel = self._channel
        return channel is None or (isinstance(channel, ConfirmingChannel) and channel.delivered)

    def send(self, token: str, frame: bytes, deadline_s: float) -> bool:
        """Take a frame (without length) that has to leave before `deadline_s` on the monotonic clock.

        False: nothing will leave (link down, outbox full, deadline passed). `token` names the frame in
        `withdraw` and `withdrawn`; it must be unique among the frames that wait. Raises CannotEncode when the
        frame is empty or longer than its length can say.
        """
        data = with_length(frame, self._length)
        if not self.up or self._stopping or deadline_s <= self._clock():
            return False
        if len(self._outbox) >= OUTBOX_FRAMES_MAX:
            return False
        self._outbox.append(_Outgoing(token, data, deadline_s))
        self._pump()
        return True

    def withdraw(self, token: str) -> bool:
        """Take a frame back. True: no byte of it was given to the kernel, and none will be.

        When some of it was given and not all, the connection is aborted, so that the rest never leaves.
        False: it left, or may have left, or is not known here.
        """
        if token in self._untold:
            self._untold.remove(token)  # this answer tells it
            return True
        for waiting in self._outbox:
            if waiting.token == token:
                self._outbox.remove(waiting)
                self._arm()
                return True
        if self._leaving is not None and self._leaving.token == token and self._unsent():
            return self._tear_off("withdrawn while it was being sent")
        return False

    def abort(self, why: str) -> None:
        """Drop the connection at once; `link_down(why)` follows, then a new attempt."""
        if self._channel is not None:
            self._aborted_because = why
            self._channel.abort()
            self._channel = None

    def retire(self, why: str, listen_s: float) -> None:
        """Send no more on this connection, but hear late answers for `listen_s`; then end it and make it anew.

        What waits is withdrawn. A connection that is not quiet is aborted at once: what the kernel still tries to
        deliver could arrive after its own reversal, which goes by another route (D2).
        """
        if self._channel is None or self._retirement is not None:
            return
        self._withdraw_outbox()
        if not self.quiet:
            self.abort(why)
            return
        self._retirement = asyncio.get_running_loop().call_later(listen_s, self.abort, why)

    # The connection's life.

    async def _run(self) -> None:
        while True:
            try:
                channel = await self._connect()
            except OSError as error:
                self._tell_down(error.strerror or str(error) or type(error).__name__)
            else:
                self._serving = True
                await self._serve(channel)
                self._serving = False
            if self._stopping:
                return
            await asyncio.sleep(self._backoff.next())

    async def _serve(self, channel: Channel) -> None:
        self._channel, self._aborted_because, self._down_because = channel, "", ""
        self._stalled.clear()
        self._listener.link_up()
        drainer = spawn(self._drain(channel), "host link drainer")
        try:
            why = await self._read(channel)
        finally:
            if self._stopping:
                await channel.close()
            channel.abort()  # half a frame must not trickle out after the link was called down
            self._channel = self._leaving = None
            self._end_retirement()
            await end(drainer)
        self._withdraw_outbox()
        self._tell_withdrawn()
        self._tell_down(why)

    async def _read(self, channel: Channel) -> str:
        """Deliver frames until the stream ends; the reason why it ended."""
        incoming = Incoming(self._frame_bytes_max, self._length)
        while data := await channel.receive():
            frames, fault = incoming.feed(data)
            for frame in frames:
                self._backoff.reset()  # only now has the link proved good
                self._listener.frame(frame)
            if fault is not None:
                self._listener.unreadable(fault.error, fault.length)
                return f"unreadable: {fault.error}"
        why = self._aborted_because or channel.ending
        return f"{why}, {incoming.pending} bytes into a frame" if incoming.pending else why

    async def _drain(self, channel: Channel) -> None:
        while not channel.ended:
            await self._stalled.wait()
            await channel.drained()
            self._pump()

    # The way out.

    def _pump(self) -> None:
        """Give the channel the next frame whenever the kernel has taken the one before it."""
        self._expire()
        while self.up and self._outbox and not self._unsent():
            self._leaving = self._outbox.popleft()
            assert self._channel is not None
            self._channel.send(self._leaving.data)
        if self._unsent():
            self._stalled.set()
        else:
            self._leaving = None
            self._stalled.clear()
        self._arm()

    def _expire(self) -> None:
        """D2: what is not with the kernel at its deadline is withdrawn before anything else is sent."""
        now_s = self._clock()
        for late in [waiting for waiting in self._outbox if waiting.deadline_s <= now_s]:
            self._outbox.remove(late)
            self._tell_withdrawn_soon(late.token)
        leaving = self._leaving
        if (
            leaving is not None
            and leaving.deadline_s <= now_s
            and self._unsent()
            and self._tear_off("a frame was still being sent at its deadline")
        ):
            self._tell_withdrawn_soon(leaving.token)

    def _unsent(self) -> int:
        return 0 if self._channel is None else self._channel.unsent_bytes

    def _tear_off(self, why: str) -> bool:
        """Abort below the frame that is leaving. True: the kernel had taken none of it."""
        leaving = self._leaving
        untouched = leaving is not None and self._unsent() == len(leaving.data)
        self._leaving = None
        self.abort(why)
        return untouched

    def _arm(self) -> None:
        self._disarm()
        deadlines = [waiting.deadline_s for waiting in self._outbox]
        if self._leaving is not None:
            deadlines.append(self._leaving.deadline_s)
        if deadlines and self._channel is not None:
            wait_s = max(0.0, min(deadlines) - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._pump)

    def _end_retirement(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
            self._retirement = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the listener hears.

    def _withdraw_outbox(self) -> None:
        while self._outbox:
            self._tell_withdrawn_soon(self._outbox.popleft().token)
        self._disarm()

    def _tell_withdrawn_soon(self, token: str) -> None:
        self._untold.append(token)
        asyncio.get_running_loop().call_soon(self._tell_withdrawn)

    def _tell_withdrawn(self) -> None:
        while self._untold:
            self._listener.withdrawn(self._untold.popleft())

    def _tell_down(self, why: str) -> None:
        if why != self._down_because:
            self._down_because = why
            self._listener.link_down(why)
