"""Links on which each message has a connection of its own: connect, write one frame, hear the answer, hang up.

Some hosts, and nearly all behind HTTPS, take one request per connection (reference 1.15). What is known of each frame
stays true (D2): one whose connection was never made is `withdrawn`, because no byte of it reached the kernel; then, as
for one that left and whose connection ended, `lost` says at once that no answer will come. The engine's own reply limit
needs no word: at its deadline a frame's connection is torn off, or the frame withdrawn if it never left.

When is such a link *up*? While the newest news of the host is good (a connection was made, or an answer came), or
while a connection is still open. After a try that failed, and with nothing open, it is down; then the link itself tries
again, after gaps that grow, with a connection that carries no frame, and is up when that succeeds. So an owed reversal
does not use up its attempts on a host that is not there, and no refund becomes doubtful that could not have left.

A connection lives until `withdraw` (the engine has its answer, or waits no more), its deadline, or its end; whatever
frames come on it until then are delivered. `connections_max` are open at once, other frames wait, bounded.

A frame and its own reversal travel on two connections here, so the reversal can overtake it. Therefore a connection
that nobody waits for any more is torn off while the host's side has not confirmed every byte: the rest never arrives.
If it has, the host may answer yet, and the link listens for LATE_ANSWER_S: a late approval opens its reversal again
(D11), and it would not be heard anywhere else.

It must never read a message, repeat a frame, or wait inside `send`, `withdraw` or `abort`. The listener is called from
the event loop only, never from inside those three.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from posd.daemon.incoming import Incoming
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import OUTBOX_FRAMES_MAX, LinkListener
from posd.daemon.tasks import end, spawn
from posd.framing.length_prefix import Length, with_length
from posd.transport.contract import ConfirmingChannel

LATE_ANSWER_S = 120.0
"""How long a connection is kept for an answer that nobody waits for any more; the oldest go when there are too many."""


@dataclass(slots=True, eq=False)
class _Exchange:
    """One frame and its connection. Without a channel no byte of it has left."""

    token: str
    data: bytes
    deadline_s: float
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    channel: ConfirmingChannel | None = None
    answered: bool = False
    over: bool = False
    """Nobody has to be told any more what becomes of it."""

    @property
    def untouched(self) -> bool:
        """The kernel has taken no byte. Behind TLS that cannot be told apart from some: then False."""
        return self.channel is None or self.channel.unsent_bytes == len(self.data)


class OneShotLink:
    """HostLink's interface over a connection for each frame. `connect` has a limit of its own or raises OSError."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[ConfirmingChannel]],
        listener: LinkListener,
        frame_bytes_max: int,
        backoff: Backoff,
        clock_monotonic: Callable[[], float],
        connections_max: int,
        length: Length = Length.BINARY,
    ) -> None:
        self._connect, self._listener, self._backoff = connect, listener, backoff
        self._frame_bytes_max, self._clock, self._connections_max = frame_bytes_max, clock_monotonic, connections_max
        self._length = length
        self._waiting: deque[_Exchange] = deque()
        self._open: dict[str, _Exchange] = {}
        self._late: dict[str, _Exchange] = {}
        self._delivering: _Exchange | None = None
        self._untold: deque[tuple[str, Callable[[], None]]] = deque()
        self._up = self._stopping = False
        self._trouble = ""
        self._down_because = ""
        self._trying: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Try for the first time, and again whenever the host cannot be reached. Call it inside the running loop."""
        self._trying = spawn(self._try(gap=False), "one-shot link")

    async def stop(self) -> None:
        """Withdraw what has no connection, hang up in order on the others, come to rest."""
        self._stopping = True
        was_up, self._up = self._up, False
        if self._trying is not None:
            await end(self._trying)
        self._withdraw_unconnected()
        every = [*self._open.values(), *self._late.values()]
        for exchange in every:
            exchange.over = True
            self._disarm(exchange)
        await asyncio.gather(*(one.channel.close() for one in every if one.channel is not None))
        if tasks := [one.task for one in every if one.task is not None]:
            await asyncio.wait(tasks)
        self._tell()
        if was_up:
            self._tell_down("closed by this side")

    @property
    def up(self) -> bool:
        """True while a frame handed to `send` has a chance to leave."""
        return self._up

    def send(self, token: str, frame: bytes, deadline_s: float) -> bool:
        """As HostLink.send: take a frame (without length) that has to leave before `deadline_s`; False: it will not."""
        data = with_length(frame, self._length)
        self._expire()
        if not self._up or self._stopping or deadline_s <= self._clock() or len(self._waiting) >= OUTBOX_FRAMES_MAX:
            return False
        exchange = _Exchange(token, data, deadline_s)
        self._arm(exchange)
        self._waiting.append(exchange)
        self._admit()
        return True

    def withdraw(self, token: str) -> bool:
        """As HostLink.withdraw: True if no byte of the frame was given to the kernel, and none will be.

        False: it left, or may have left, or is not known here. Nobody waits for its answer any more.
        """
        if any(name == token for name, _ in self._untold):
            self._untold = deque(item for item in self._untold if item[0] != token)  # this answer tells it
            return True
        exchange = self._open.get(token) or next((one for one in self._waiting if one.token == token), None)
        return exchange is not None and not exchange.over and self._let_go(exchange)

    def abort(self, why: str) -> None:
        """Let every exchange go at once; `link_down(why)` follows, then new tries.

        The connection whose frame is being delivered is torn off; others may still bring a late answer (D11).
        """
        if self._delivering is not None:
            self._drop(self._delivering)
        if not self._up:
            return
        self._up = False
        for exchange in [*self._waiting, *self._open.values()]:
            if not exchange.over and self._let_go(exchange):
                self._soon(exchange.token, partial(self._listener.withdrawn, exchange.token))
        self._soon("", partial(self._go_down, why))

    # One exchange.

    def _admit(self) -> None:
        """Give waiting frames their connections, as many at once as are allowed."""
        while self._waiting and len(self._open) < self._connections_max:
            exchange = self._waiting.popleft()
            self._open[exchange.token] = exchange
            exchange.task = spawn(self._live(exchange), "one-shot exchange")
            exchange.task.add_done_callback(partial(self._ended, exchange))

    async def _live(self, exchange: _Exchange) -> None:
        try:
            channel = await self._connect()
        except OSError as error:
            self._trouble = _reason(error)
            self._never_left(exchange, f"no connection was made: {self._trouble}")
        else:
            await self._converse(exchange, channel)

    def _ended(self, exchange: _Exchange, _: asyncio.Task[None]) -> None:
        """The one end of every connection; a task that is cancelled early never runs a line of its own."""
        self._disarm(exchange)
        self._open.pop(exchange.token, None)
        self._late.pop(exchange.token, None)
        self._make_room()

    def _make_room(self) -> None:
        """A connection ended: the link may be down now, or the next frame may have its turn."""
        if self._up and self._trouble and not self._open:
            self._up = False
            self._withdraw_unconnected()
            self._go_down(self._trouble)
        if self._up:
            self._admit()

    async def _converse(self, exchange: _Exchange, channel: ConfirmingChannel) -> None:
        self._trouble = ""
        try:
            if exchange.deadline_s <= self._clock():
                self._never_left(exchange, "connected too late")
                return
            exchange.channel = channel
            channel.send(exchange.data)
            why = await self._read(exchange, channel)
            if not exchange.over:
                exchange.over = True
                self._listener.lost(exchange.token, why)
            if exchange.answered or self._stopping:
                await channel.close()
        finally:
            channel.abort()

    async def _read(self, exchange: _Exchange, channel: ConfirmingChannel) -> str:
        """Deliver frames until the connection ends; the reason why it ended."""
        incoming = Incoming(self._frame_bytes_max, self._length)
        while data := await channel.receive():
            frames, fault = incoming.feed(data)
            for frame in frames:
                self._deliver(exchange, frame)
            if fault is not None:
                self._listener.unreadable(fault.error, fault.length)
                return f"unreadable: {fault.error}"
        return f"{channel.ending}, {incoming.pending} bytes into a frame" if incoming.pending else channel.ending

    def _deliver(self, exchange: _Exchange, frame: bytes) -> None:
        exchange.answered = True
        self._trouble = ""
        self._backoff.reset()
        self._delivering = exchange
        try:
            self._listener.frame(frame)
        finally:
            self._delivering = None

    def _never_left(self, exchange: _Exchange, why: str) -> None:
        """Said in an order in which nobody tries the next message on a link that is down already."""
        self._tell()
        if exchange.over:
            return
        exchange.over = True
        self._listener.withdrawn(exchange.token)
        self._open.pop(exchange.token, None)
        self._make_room()
        self._listener.lost(exchange.token, why)

    def _expire(self) -> None:
        """D2: at its deadline a frame is let go before anything else is sent, even when the timer is late."""
        now_s = self._clock()
        for late in [one for one in (*self._waiting, *self._open.values()) if one.deadline_s <= now_s and not one.over]:
            if late.channel is None and late.task is not None:
                self._trouble = "no connection before the reply limit of a message"
            if self._let_go(late):
                self._soon(late.token, partial(self._listener.withdrawn, late.token))

    def _let_go(self, exchange: _Exchange) -> bool:
        """Nobody waits for its answer any more. True: the kernel had taken none of it."""
        channel = exchange.channel
        if channel is None or not (exchange.answered or channel.delivered):
            return self._drop(exchange)
        exchange.over = True
        self._disarm(exchange)
        if exchange.answered:
            spawn(channel.close(), "one-shot hang-up")
        else:
            self._listen_on(exchange, channel)
        return False

    def _listen_on(self, exchange: _Exchange, channel: ConfirmingChannel) -> None:
        """For a late answer; as many at once as there may be connections, beside these."""
        while len(self._late) >= self._connections_max:
            oldest = next(iter(self._late.values()))
            del self._late[oldest.token]
            self._drop(oldest)
        self._late[exchange.token] = self._open.pop(exchange.token)
        exchange.timer = asyncio.get_running_loop().call_later(LATE_ANSWER_S, channel.abort)
        asyncio.get_running_loop().call_soon(self._make_room)

    def _drop(self, exchange: _Exchange) -> bool:
        """End it now, wherever it is. True: the kernel had taken none of it."""
        untouched, exchange.over = exchange.untouched, True
        self._disarm(exchange)
        if exchange.channel is not None:
            exchange.channel.abort()
        elif exchange.task is not None:
            exchange.task.cancel()
        else:
            self._waiting.remove(exchange)
        return untouched

    def _arm(self, exchange: _Exchange) -> None:
        wait_s = max(0.0, exchange.deadline_s - self._clock())
        exchange.timer = asyncio.get_running_loop().call_later(wait_s, self._at_deadline, exchange)

    def _at_deadline(self, exchange: _Exchange) -> None:
        self._expire()
        if not exchange.over:
            self._arm(exchange)  # the loop's clock ran a hair ahead of ours

    def _disarm(self, exchange: _Exchange) -> None:
        if exchange.timer is not None:
            exchange.timer.cancel()

    # The link's state.

    async def _try(self, gap: bool) -> None:
        """Connect until it succeeds, without a frame, and hang up again; `gap`: wait before the first try too."""
        while True:
            if gap:
                await asyncio.sleep(self._backoff.next())
            gap = True
            try:
                channel = await self._connect()
            except OSError as error:
                self._tell_down(_reason(error))
            else:
                break
        self._up, self._trouble, self._down_because = True, "", ""
        self._listener.link_up()
        await channel.close()

    def _go_down(self, why: str) -> None:
        self._tell_down(why)
        if not self._stopping:
            self._trying = spawn(self._try(gap=True), "one-shot link")

    def _withdraw_unconnected(self) -> None:
        for exchange in [*self._waiting, *(one for one in self._open.values() if one.channel is None)]:
            if not exchange.over:
                self._drop(exchange)
                self._listener.withdrawn(exchange.token)

    # What the listener hears.

    def _soon(self, token: str, tell: Callable[[], None]) -> None:
        self._untold.append((token, tell))
        asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        while self._untold:
            self._untold.popleft()[1]()

    def _tell_down(self, why: str) -> None:
        if why != self._down_because:
            self._down_because = why
            self._listener.link_down(why)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
