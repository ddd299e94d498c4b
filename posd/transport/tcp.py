"""TCP as a `Channel`: an asyncio transport, with no buffer that hides what the kernel has taken.

Write limits are 0, so `unsent_bytes` is exact and `drained` means that the kernel has everything. Reading
stops while an owner does not take what has come: RECEIVE_BUFFER_BYTES_MAX and one read bound the memory.
It must never retry, frame or interpret anything.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from posd.transport.contract import Channel
from posd.transport.lookup import addresses_of

RECEIVE_BUFFER_BYTES_MAX = 64 * 1024
CLOSE_TIMEOUT_S = 2.0
BACKLOG_CONNECTIONS = 128
# A line that died without a word is noticed after about a minute, idle or not (the default is two hours).
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_MS_MAX = 60_000
LINGER_NONE = struct.pack("ii", 1, 0)


class TcpChannel(asyncio.Protocol):
    """One TCP connection, kept to `posd.transport.contract.Channel`."""

    def __init__(self, on_channel: "Callable[[TcpChannel], None] | None" = None) -> None:
        self._on_channel = on_channel
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._reading_paused = False
        self._ending = ""
        self._peer = ""

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def ended(self) -> bool:
        return bool(self._ending)

    @property
    def ending(self) -> str:
        return self._ending

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def delivered(self) -> bool:
        raw = None if self._transport is None or self._lost.is_set() else self._transport.get_extra_info("socket")
        if raw is None or raw.fileno() == -1 or self.unsent_bytes:
            return False
        unconfirmed = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(unconfirmed, sys.byteorder) == 0

    async def receive(self) -> bytes:
        while not self._received and not self._ending:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        await self._writable.wait()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._received.clear()
        if self._transport is None or self._lost.is_set():
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None and raw.fileno() != -1:
            # Without lingering, closing sends a reset and drops what waits in the kernel's own send buffer.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        self._transport.abort()

    async def close(self) -> None:
        self._end("closed by this side")
        if self._transport is None or self._lost.is_set():
            return
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._lost.wait()
        except TimeoutError:
            self.abort()
            await self._lost.wait()

    def _end(self, why: str) -> None:
        self._ending = self._ending or why
        self._arrived.set()

    # The event loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        self._peer = _format_address(transport.get_extra_info("peername"))
        _tune(transport.get_extra_info("socket"))
        if self._on_channel is not None:
            self._on_channel(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._arrived.set()
        if len(self._received) >= RECEIVE_BUFFER_BYTES_MAX and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end("closed by the peer")
        return True  # the owner decides what happens to the other direction

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"lost: {_reason(exc)}" if exc is not None else "closed")
        self._lost.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


class TcpListener:
    """A listening socket; see `posd.transport.contract.Listener`."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self._port = int(server.sockets[0].getsockname()[1])

    @property
    def port(self) -> int:
        return self._port

    def close(self) -> None:
        self._server.close()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a connection leaves this machine: by an interface (SO_BINDTODEVICE), from an address of its own, or as the
    machine has it."""

    interface: str = ""
    address: str = ""


async def connect_tcp(host: str, port: int, timeout_s: float, source: Source | None = None) -> TcpChannel:
    """Connect within `timeout_s` seconds, name resolution included. Raises OSError (TimeoutError is one).

    A name is looked up as the machine does it, whatever `source` says.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _connected_from(source or Source(), host, port)
            _, channel = await loop.create_connection(TcpChannel, sock=raw)
    except TimeoutError:
        raise TimeoutError(f"no connection to {host}:{port} within {timeout_s:g} s") from None
    except OSError as error:
        # gaierror counts from -1 down, and several addresses give one error without a number.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise OSError(error.errno or 0, f"cannot connect to {host}:{port}: {why}") from None
    return channel


async def _connected_from(source: Source, host: str, port: int) -> socket.socket:
    """A connected socket to the first address of `host` that can be reached from `source`. Raises OSError."""
    loop = asyncio.get_running_loop()
    trouble = OSError(errno.EADDRNOTAVAIL, "no address of this kind")
    for family, kind, protocol, _, address in await addresses_of(host, port):
        raw = socket.socket(family, kind, protocol)
        try:
            raw.setblocking(False)
            _leave_by(raw, source)
            await loop.sock_connect(raw, address)
        except OSError as error:
            raw.close()
            trouble = error
        except BaseException:
            raw.close()
            raise
        else:
            return raw
    raise trouble


def _leave_by(raw: socket.socket, source: Source) -> None:
    """Raises OSError: no such interface or address here, or one of another family than the peer's."""
    if source.interface:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.interface.encode() + b"\0")
        return
    if not source.address:
        return
    wanted = socket.AF_INET6 if ":" in source.address else socket.AF_INET
    if raw.family != wanted:
        raise OSError(errno.EADDRNOTAVAIL, "the source address is of another family")
    raw.bind((source.address, 0))


async def listen_tcp(host: str, port: int, on_channel: Callable[[Channel], None]) -> TcpListener:
    """Listen on one address; `on_channel` gets each connection. Raises OSError when it cannot bind."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: TcpChannel(on_channel), host, port, backlog=BACKLOG_CONNECTIONS)
    return TcpListener(server)


def _tune(raw: socket.socket) -> None:
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)


def _format_address(address: object) -> str:
    match address:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return "unknown"  # it was gone again before it could be asked


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
