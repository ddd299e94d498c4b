"""Terminals that are connected, by whatever wire: frames in, answers out, each connection on its own.

It knows connections by name and bytes by the frame. It must never read a message, decide about one, or let
one connection's garbage, silence or refusal to read reach another: reading is bounded, output is bounded, idle
connections end. When there are too many, one that has not said a whole frame yet gives way, and where there is none
such the newest is refused. A connection's end decides nothing (D16).
"""

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from posd.daemon.incoming import Incoming
from posd.daemon.tasks import end, spawn
from posd.errors import MalformedMessage
from posd.framing.length_prefix import with_length
from posd.transport.contract import CertifiedChannel, Channel

OUTPUT_BYTES_MAX = 64 * 1024
"""What one terminal may leave unread beyond the kernel's own buffers before it is dropped."""

HALF_OPEN_MAX = 64
"""Connections to one door that have not shaken hands yet, where it speaks TLS (handshakes.py)."""

SILENCE_S_MAX = 60.0
"""A connection that has not said one whole frame by then makes room for one that will."""


class DoorListener(Protocol):
    """Who hears what comes in. Calls come from the loop and must return at once."""

    def frame(self, connection: str, frame: bytes) -> None:
        """A whole frame came, without its length."""

    def unreadable(self, connection: str, error: MalformedMessage, head: bytes) -> None:
        """The stream lost its frames; `head`: at most 64 bytes of what could not be read. It is closed now."""

    def closed(self, connection: str) -> None:
        """Last call for this connection; answers to it go nowhere from now on."""


@dataclass(slots=True)
class _Connection:
    channel: Channel
    task: asyncio.Task[None] | None = None
    idle: asyncio.Timeout | None = None
    has_spoken: bool = False
    """It has said one whole frame."""


class Connections:
    """At most `connections_max` of them. `idle_timeout_s` None: silence ends none (a line has nobody else to serve).

    `numbers` makes names unlike any other of the same daemon. `bound`: the certificate of a connection says which
    terminals it may speak for.
    """

    def __init__(
        self,
        listener: DoorListener,
        connections_max: int,
        frame_bytes_max: int,
        idle_timeout_s: float | None,
        numbers: Iterator[int],
        *,
        bound: bool = False,
    ) -> None:
        self._bound = bound
        self._listener, self._numbers = listener, numbers
        self._frame_bytes_max = frame_bytes_max
        self._idle_timeout_s = idle_timeout_s
        self.connections_max = connections_max
        self._connections: dict[str, _Connection] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.refused = 0
        """Connections turned away because there were too many."""
        self.refused_first_s: float | None = None
        self.refused_last_s: float | None = None
        """When, on the loop's clock."""

    def __len__(self) -> int:
        """How many terminals are connected now."""
        return len(self._connections)

    def __contains__(self, connection: str) -> bool:
        return connection in self._connections

    def speaks_for(self, connection: str) -> frozenset[str] | None:
        """The names that its certificate gives to a connection; None: it may speak for any terminal."""
        found = self._connections.get(connection)
        if not self._bound or found is None:
            return None
        shown = found.channel.certificates if isinstance(found.channel, CertifiedChannel) else ()
        return shown[0].names if shown else frozenset()

    def accept(self, channel: Channel) -> asyncio.Task[None] | None:
        """Serve one more; the task ends with the connection. None: there are too many, it is turned away."""
        if len(self._connections) >= self.connections_max:
            self.refused += 1
            self.refused_last_s = asyncio.get_running_loop().time()
            self.refused_first_s = self.refused_first_s or self.refused_last_s
            if not self._one_gave_way():
                self._let_go(spawn(channel.close(), "terminal door refusal"))
                return None
        name = f"{channel.peer}#{next(self._numbers)}"
        connection = self._connections[name] = _Connection(channel)
        connection.task = spawn(self._serve(name, connection), f"terminal {name}")
        return connection.task

    def _one_gave_way(self) -> bool:
        """Whoever only holds places must not keep terminals out."""
        silent = {name: found.channel.peer for name, found in self._connections.items() if not found.has_spoken}
        if not silent:
            return False
        found = self._connections.pop(oldest_of_the_busiest(silent))
        found.channel.abort()
        if found.task is not None:
            self._let_go(found.task)
        return True

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def stop(self) -> None:
        """Close every connection, flushing answers for a limited time."""
        serving = [each for each in self._connections.values() if each.task is not None]
        await asyncio.gather(*(each.channel.close() for each in serving))
        await asyncio.gather(*(end(each.task) for each in serving if each.task is not None))
        if self._leaving:
            await asyncio.wait(self._leaving)

    def answer(self, connection: str, frame: bytes) -> bool:
        """Queue one frame (without length); never waits.

        True: it is on its way as far as this side can know. False: the connection is gone, or was dropped just
        now because it does not read. Raises CannotEncode when the frame is longer than its length can say.
        """
        data = with_length(frame)
        found = self._connections.get(connection)
        if found is None or found.channel.ended:
            return False
        if found.channel.unsent_bytes + len(data) > OUTPUT_BYTES_MAX:
            found.channel.abort()
            return False
        found.channel.send(data)
        self._touch(found)
        return True

    def close(self, connection: str) -> None:
        """Drop one connection at once; `closed` follows. Unknown names are ignored."""
        found = self._connections.get(connection)
        if found is not None:
            found.channel.abort()

    async def _serve(self, name: str, connection: _Connection) -> None:
        try:
            first_s = None if self._idle_timeout_s is None else min(SILENCE_S_MAX, self._idle_timeout_s)
            async with asyncio.timeout(first_s) as connection.idle:
                await self._read(name, connection)
        except TimeoutError:
            pass  # silence for too long ends a connection as a hang-up does
        finally:
            connection.idle = None
            self._connections.pop(name, None)
            self._listener.closed(name)
            await connection.channel.close()

    async def _read(self, name: str, connection: _Connection) -> None:
        incoming = Incoming(self._frame_bytes_max)
        while data := await connection.channel.receive():
            frames, fault = incoming.feed(data)
            for frame in frames:
                connection.has_spoken = True
                self._touch(connection)
                self._listener.frame(name, frame)
            if fault is not None:
                self._listener.unreadable(name, fault.error, fault.head)
                return

    def _touch(self, connection: _Connection) -> None:
        """Whole frames, in both directions, count as life; bytes alone do not."""
        if self._idle_timeout_s is not None and connection.idle is not None and not connection.idle.expired():
            connection.idle.reschedule(asyncio.get_running_loop().time() + self._idle_timeout_s)


One = TypeVar("One", bound=Hashable)


def oldest_of_the_busiest(peers: Mapping[One, str]) -> One:
    """Of those of the machine that has the most, the oldest: whoever floods loses his own. `peers`: in order of age."""
    machines = Counter(map(_machine, peers.values()))
    busiest, _ = machines.most_common(1)[0]
    return next(one for one, peer in peers.items() if _machine(peer) == busiest)


def _machine(peer: str) -> str:
    return peer.rpartition(":")[0]
