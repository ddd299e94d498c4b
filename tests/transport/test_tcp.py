"""What only TCP promises: options, limits, errors that say where."""

import asyncio
import socket

import pytest

from posd.transport import tcp
from posd.transport.contract import Channel


async def pair() -> tuple[Channel, Channel, tcp.TcpListener]:
    accepted: asyncio.Queue[Channel] = asyncio.Queue()
    listener = await tcp.listen_tcp("127.0.0.1", 0, accepted.put_nowait)
    near = await tcp.connect_tcp("127.0.0.1", listener.port, 5)
    return near, await accepted.get(), listener


def test_both_ends_are_tuned() -> None:
    async def run() -> None:
        near, far, listener = await pair()
        for channel in (near, far):
            assert isinstance(channel, tcp.TcpChannel)
            assert channel._transport is not None
            raw = channel._transport.get_extra_info("socket")
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == tcp.UNACKNOWLEDGED_MS_MAX
        near.abort()
        far.abort()
        listener.close()

    asyncio.run(run())


def test_an_owner_that_does_not_read_bounds_what_is_held() -> None:
    async def run() -> None:
        near, far, listener = await pair()
        near.send(b"z" * (16 * 1024 * 1024))
        for _ in range(2000):
            await asyncio.sleep(0)
        assert isinstance(far, tcp.TcpChannel)
        assert tcp.RECEIVE_BUFFER_BYTES_MAX <= len(far._received) <= 1024 * 1024
        near.abort()
        far.abort()
        listener.close()

    asyncio.run(run())


def test_a_refused_connection_is_an_oserror() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await tcp.connect_tcp("127.0.0.1", port, 5)

    asyncio.run(run())


def test_the_time_limit_names_the_address() -> None:
    async def run() -> None:
        # A full backlog answers nothing: the SYN is dropped, as on a dead route.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            port = silent.getsockname()[1]
            first = await tcp.connect_tcp("127.0.0.1", port, 5)
            with pytest.raises(TimeoutError, match=rf"127\.0\.0\.1:{port} within 0\.05 s"):
                await tcp.connect_tcp("127.0.0.1", port, 0.05)
            first.abort()

    asyncio.run(run())


def test_a_used_port_is_an_oserror() -> None:
    async def run() -> None:
        near, far, listener = await pair()
        with pytest.raises(OSError, match="in use"):
            await tcp.listen_tcp("127.0.0.1", listener.port, lambda channel: None)
        near.abort()
        far.abort()
        listener.close()

    asyncio.run(run())


def test_addresses_are_written_as_people_write_them() -> None:
    assert tcp._format_address(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert tcp._format_address(("::1", 80, 0, 0)) == "[::1]:80"
    assert tcp._format_address(None) == "unknown"
