"""The TCP door that terminals come in by: frames in, answers out, each connection on its own.

It knows connections by name and bytes by the frame. It must never read a message, decide about one, or let
one connection's garbage, silence or refusal to read reach another: reading is bounded, output is bounded, idle
connections end, and the newest is refused when there are too many. A connection's end decides nothing (D16).
"""

import asyncio
import errno
import os
from dataclasses import dataclass
from typing import Protocol

from posd.daemon.incoming import Incoming
from posd.daemon.tasks import end, spawn
from posd.errors import ConfigError, MalformedMessage
from posd.framing.length_prefix import with_length
from posd.transport.contract import Channel, Listener
from posd.transport.tcp import listen_tcp

OUTPUT_BYTES_MAX = 64 * 1024
"""What one terminal may leave unread beyond the kernel's own buffers before it is dropped."""

SILENCE_S_MAX = 60.0
"""A connection that has not said one whole frame by then makes room for one that will."""

BIND_HINTS = {
    errno.EADDRINUSE: "stop the program that holds it, or give the door another port",
    errno.EADDRNOTAVAIL: "give the door an address of this machine; 127.0.0.1 is the default",
    errno.EACCES: "ports below 1024 need a privilege; give the door a higher one",
}
BIND_HINT_OTHER = "give the door an address and a port of this machine"


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


class TerminalDoor:
    """Listens on `host`:`port` (0: any free port, see `port`) and serves `connections_max` terminals."""

    def __init__(
        self,
        host: str,
        port: int,
        listener: DoorListener,
        connections_max: int,
        frame_bytes_max: int,
        idle_timeout_s: float,
    ) -> None:
        self._host, self._asked_port, self._listener = host, port, listener
        self._connections_max, self._frame_bytes_max = connections_max, frame_bytes_max
        self._idle_timeout_s = idle_timeout_s
        self._door: Listener | None = None
        self._connections: dict[str, _Connection] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        self._opened = 0
        self.refused = 0
        """Connections turned away because there were too many."""

    @property
    def port(self) -> int:
        """The port as bound; 0 before `start`."""
        return 0 if self._door is None else self._door.port

    @property
    def connections(self) -> int:
        """How many terminals are connected now."""
        return len(self._connections)

    async def start(self) -> None:
        """Open the door. Raises ConfigError naming the address when it cannot be had."""
        try:
            self._door = await listen_tcp(self._host, self._asked_port, self._accept)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            hint = BIND_HINTS.get(error.errno or 0, BIND_HINT_OTHER)
            raise ConfigError(
                f"cannot listen for terminals on {self._host}:{self._asked_port}: {why.lower()}; {hint}"
            ) from None

    def stop_accepting(self) -> None:
        """Take no new connections; those that exist are served on."""
        if self._door is not None:
            self._door.close()

    async def stop(self) -> None:
        """Close the door and every connection, flushing answers for a limited time."""
        self.stop_accepting()
        serving = [each for each in self._connections.values() if each.task is not None]
        await asyncio.gather(*(each.channel.close() for each in serving))
        await asyncio.gather(*(end(each.task) for each in serving if each.task is not None))
        if self._refusing:
            await asyncio.wait(self._refusing)

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

    def _accept(self, channel: Channel) -> None:
        if len(self._connections) >= self._connections_max:
            self.refused += 1
            refusal = spawn(channel.close(), "terminal door refusal")
            self._refusing.add(refusal)
            refusal.add_done_callback(self._refusing.discard)
            return
        self._opened += 1
        name = f"{channel.peer}#{self._opened}"
        connection = self._connections[name] = _Connection(channel)
        connection.task = spawn(self._serve(name, connection), f"terminal {name}")

    async def _serve(self, name: str, connection: _Connection) -> None:
        try:
            async with asyncio.timeout(min(SILENCE_S_MAX, self._idle_timeout_s)) as connection.idle:
                await self._read(name, connection)
        except TimeoutError:
            pass  # silence for too long ends a connection as a hang-up does
        finally:
            connection.idle = None
            del self._connections[name]
            self._listener.closed(name)
            await connection.channel.close()

    async def _read(self, name: str, connection: _Connection) -> None:
        incoming = Incoming(self._frame_bytes_max)
        while data := await connection.channel.receive():
            frames, fault = incoming.feed(data)
            for frame in frames:
                self._touch(connection)
                self._listener.frame(name, frame)
            if fault is not None:
                self._listener.unreadable(name, fault.error, fault.head)
                return

    def _touch(self, connection: _Connection) -> None:
        """Whole frames, in both directions, count as life; bytes alone do not."""
        if connection.idle is not None and not connection.idle.expired():
            connection.idle.reschedule(asyncio.get_running_loop().time() + self._idle_timeout_s)
