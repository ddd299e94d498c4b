"""The doors for tills: a Unix socket whose group may use it, and TCP with bearer tokens, on loopback unless the
configuration says otherwise in words.

Bounded everywhere: connections, and what each may send, hold and wait (till_http.py). What goes wrong with one
connection ends that one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from posd.addresses import Address
from posd.daemon.control.peer import peer_of
from posd.daemon.control.server import bind_unix
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.doors.terminal_door import not_to_be_had
from posd.daemon.tasks import end, spawn
from posd.daemon.till.caller import Tell, TokenGate, Tokens, of_the_socket
from posd.daemon.till.http import Handler, HttpConnection, hang_up
from posd.daemon.till.problem import problem

BACKLOG_CONNECTIONS = 32
BUFFER_BYTES = 16 * 1024
LAST_ANSWERS_S = 2.0
"""How long the answers that are on their way when posd stops may take."""

FULL = problem(503, "door_full", "too many connections are open: close one, or come again in a moment", sent=False)

REFUSING_MAX = 16
"""Clients that are being told so; more are cut off without a word."""

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class TillDoor:
    """Listens on `socket` and on `listen` (None: not there), serves `handler` to `connections_max` clients of each."""

    def __init__(
        self,
        handler: Handler,
        now_s: Callable[[], float],
        connections_max: int,
        socket: Path | None,
        listen: Address | None,
        tokens: Tokens,
        tell: Tell,
    ) -> None:
        self._handler, self._now_s, self._connections_max = handler, now_s, connections_max
        self._socket, self._listen, self._tokens = socket, listen, tokens
        self._gate = TokenGate(lambda: self._tokens, now_s, tell)
        self._servers: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], HttpConnection] = {}
        self._refusing: set[asyncio.Task[None]] = set()
        self._inode = 0
        self._inside: dict[str, dict[asyncio.Task[None], HttpConnection]] = {}
        self._turned_away: dict[str, tuple[int, float, float]] = {}

    @property
    def port(self) -> int:
        """The TCP port as bound; 0: there is none."""
        ports = [server.sockets[0].getsockname()[1] for server in self._servers if self._is_tcp(server)]
        return int(ports[0]) if ports else 0

    def renew(self, tokens: Tokens) -> None:
        """Whoever asks from now on has to know one of these."""
        self._tokens = tokens

    def shown(self) -> list[DoorShown]:
        """How its socket and its port are, for those who ask."""
        found = []
        for where, inside in self._inside.items():
            refused = self._turned_away.get(where, (0, None, None))
            found.append(
                DoorShown("till", where, bool(self._servers), "", len(inside), self._connections_max, *refused)
            )
        return found

    @staticmethod
    def _is_tcp(server: asyncio.Server) -> bool:
        return bool(server.sockets) and isinstance(server.sockets[0].getsockname(), tuple)

    async def start(self) -> None:
        """Open both. Raises ConfigError, NotHere naming what cannot be had."""
        if self._socket is not None:
            listening = bind_unix(self._socket, "till socket")
            self._inode = self._socket.stat().st_ino
            accept = self._accepting(self._by_socket, str(self._socket))
            self._servers.append(
                await asyncio.start_unix_server(accept, sock=listening, limit=BUFFER_BYTES, backlog=BACKLOG_CONNECTIONS)
            )
        if self._listen is not None:
            self._servers.append(await self._tcp(self._listen))

    async def _tcp(self, address: Address) -> asyncio.Server:
        assert self._tokens, "config demands a token"
        accept = self._accepting(self._by_token, str(address))
        try:
            return await asyncio.start_server(
                accept, address.host, address.port, limit=BUFFER_BYTES, backlog=BACKLOG_CONNECTIONS
            )
        except OSError as error:
            raise not_to_be_had("tills", address, error) from None

    def stop_accepting(self) -> None:
        """Take no new connections; those that exist are served on, and each ends with its next answer."""
        for server in self._servers:
            server.close()
        for connection in self._connections.values():
            connection.last = True

    async def stop(self) -> None:
        """Let the answers that are on their way go out, then hang up."""
        self.stop_accepting()
        busy = [task for task, connection in self._connections.items() if connection.busy]
        if busy:
            await asyncio.wait(busy, timeout=LAST_ANSWERS_S)
        for task in [*self._connections, *self._refusing]:
            await end(task)
        if self._socket is not None and self._inode:
            with suppress(FileNotFoundError):
                if self._socket.stat().st_ino == self._inode:
                    self._socket.unlink()
        self._servers.clear()

    def _one_gave_way(self, where: str) -> bool:
        """The door is full: the oldest that has asked for nothing yet makes room, where there is one."""
        now_s = asyncio.get_running_loop().time()
        count, first_s, _ = self._turned_away.get(where, (0, now_s, now_s))
        self._turned_away[where] = (count + 1, first_s, now_s)
        silent = next((task for task, one in self._inside[where].items() if not one.has_asked), None)
        if silent is None:
            return False
        self._inside[where].pop(silent).cut_off()
        silent.cancel()
        return True

    def _turn_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._refusing) >= REFUSING_MAX:
            writer.transport.abort()
            return
        task = spawn(_say_full(reader, writer), "till refusal")
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    def _by_socket(self, writer: asyncio.StreamWriter) -> Handler:
        return of_the_socket(self._handler, peer_of(writer.get_extra_info("socket")))

    def _by_token(self, writer: asyncio.StreamWriter) -> Handler:
        peer = writer.get_extra_info("peername")
        return self._gate.guarding(self._handler, str(peer[0]) if peer else "somewhere")

    def _accepting(self, handler_of: Callable[[asyncio.StreamWriter], Handler], where: str) -> Accept:
        mine = self._inside[where] = {}  # strangers on TCP must not keep the socket's clients out

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(mine) >= self._connections_max and not self._one_gave_way(where):
                self._turn_away(reader, writer)
                return
            connection = HttpConnection(reader, writer, handler_of(writer), self._now_s)
            task = spawn(connection.serve(), "till connection")
            self._connections[task] = mine[task] = connection
            task.add_done_callback(self._connections.pop)
            task.add_done_callback(lambda done: mine.pop(done, None))

        return accept


async def _say_full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    said = f"Content-Type: {FULL.content_type}\r\nContent-Length: {len(FULL.body)}\r\nRetry-After: 1"
    head = f"HTTP/1.1 {FULL.status} Service Unavailable\r\n{said}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + FULL.body)
    with suppress(OSError):
        await hang_up(reader, writer)
    writer.close()
