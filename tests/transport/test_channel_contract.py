"""One suite of promises for every transport: real TCP on loopback, memory, memory a byte at a time."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from posd.transport import memory, tcp, tls
from posd.transport.contract import Channel
from posd.transport.serial import SerialChannel
from tests.transport.pki import Pki

LIMIT_S = 10
MORE_THAN_ANY_KERNEL_TAKES = b"x" * (32 * 1024 * 1024)


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[Channel, Channel]]:
    accepted: asyncio.Queue[Channel] = asyncio.Queue()
    listener = await tcp.listen_tcp("127.0.0.1", 0, accepted.put_nowait)
    near = await tcp.connect_tcp("127.0.0.1", listener.port, 5)
    far = await accepted.get()
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()
        listener.close()
        await near.close()
        await far.close()


@asynccontextmanager
async def memory_pair() -> AsyncIterator[tuple[Channel, Channel]]:
    yield memory.memory_pair()


@asynccontextmanager
async def dripping_pair() -> AsyncIterator[tuple[Channel, Channel]]:
    yield memory.memory_pair(one_byte=True)


@asynccontextmanager
async def serial_pair() -> AsyncIterator[tuple[Channel, Channel]]:
    """The two ends of one pty. A serial line only knows that it is gone, not whether its peer closed or reset it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    near, far = (SerialChannel(os.fdopen(end, "r+b", 0), "pty") for end in (slave, master))
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()


@asynccontextmanager
async def tls_pair() -> AsyncIterator[tuple[Channel, Channel]]:
    pki = Pki.shared()
    accepted: asyncio.Queue[tcp.TcpChannel] = asyncio.Queue()
    listener = await tcp.listen_tcp("127.0.0.1", 0, accepted.put_nowait)  # type: ignore[arg-type]
    context = tls.client_context(pki.ca, None, None)
    connecting = asyncio.ensure_future(tls.connect_tls("127.0.0.1", listener.port, 5, context, "127.0.0.1"))
    far = tls.TlsChannel(await accepted.get(), pki.server_context(), None)
    await far.shake_hands()
    near = await connecting
    try:
        yield near, far
    finally:
        near.abort()
        far.abort()
        listener.close()
        await near.close()
        await far.close()


PAIRS = [tcp_pair, memory_pair, dripping_pair, tls_pair]
LINES = [*PAIRS, serial_pair]
Story = Callable[[Channel, Channel], Awaitable[None]]


@pytest.fixture(params=LINES, ids=lambda pair: pair.__name__)
def play(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    async def run(story: Story) -> None:
        async with asyncio.timeout(LIMIT_S), request.param() as (near, far):
            await story(near, far)

    return lambda story: asyncio.run(run(story))


async def read(channel: Channel, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await channel.receive()
        assert more, f"ended after {len(data)} bytes: {channel.ending}"
        data += more
    return data


def test_bytes_arrive_in_order_both_ways(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.send(b"one")
        near.send(b"two")
        assert await read(far, 6) == b"onetwo"
        far.send(b"three")
        assert await read(near, 5) == b"three"
        assert near.peer != "" != far.peer
        assert not near.ended
        assert near.ending == ""

    play(story)


def test_what_the_kernel_took_is_not_unsent(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.send(b"small")
        assert near.unsent_bytes == 0
        await near.drained()

    play(story)


def test_sending_to_a_peer_that_never_reads_does_not_wait(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.send(MORE_THAN_ANY_KERNEL_TAKES)
        first = near.unsent_bytes
        assert 0 < first < len(MORE_THAN_ANY_KERNEL_TAKES)
        near.send(b"behind")
        assert near.unsent_bytes >= 6
        waiter = asyncio.ensure_future(near.drained())
        await asyncio.sleep(0)
        assert not waiter.done()
        near.abort()
        await waiter

    play(story)


@pytest.mark.parametrize("pair", [tcp_pair, memory_pair, tls_pair], ids=["tcp", "memory", "tls"])
def test_drained_returns_when_the_peer_has_read(pair: Callable[[], object]) -> None:
    size = 4 * 1024 * 1024

    async def run() -> None:
        async with asyncio.timeout(LIMIT_S), pair() as (near, far):  # type: ignore[attr-defined]
            near.send(b"y" * size)
            assert near.unsent_bytes > 0
            assert await read(far, size) == b"y" * size
            await near.drained()
            assert near.unsent_bytes == 0

    asyncio.run(run())


def test_close_flushes_then_ends(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.send(b"last words")
        await near.close()
        await near.close()
        assert near.ended
        assert await read(far, 10) == b"last words"
        assert await far.receive() == b""
        assert await far.receive() == b""
        assert far.ended
        assert ("gone" if isinstance(far, SerialChannel) else "peer") in far.ending

    play(story)


def test_abort_ends_both_sides_at_once(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        waiting = asyncio.ensure_future(near.receive())
        await asyncio.sleep(0)
        near.abort()
        near.abort()
        assert near.ended
        assert await waiting == b""
        assert await far.receive() == b""
        assert ("gone" if isinstance(far, SerialChannel) else "reset") in far.ending

    play(story)


def test_aborting_throws_away_what_was_not_sent(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.send(MORE_THAN_ANY_KERNEL_TAKES)
        near.abort()
        assert near.unsent_bytes == 0
        got = 0
        while more := await far.receive():
            got += len(more)
            if got > 256 * 1024 and len(more) == 1:
                break
        assert got < len(MORE_THAN_ANY_KERNEL_TAKES)

    play(story)


def test_sending_after_the_end_is_dropped_in_silence(play: Callable[[Story], None]) -> None:
    async def story(near: Channel, far: Channel) -> None:
        near.abort()
        near.send(b"nobody hears this")
        assert near.unsent_bytes == 0
        await near.drained()
        await far.receive()
        far.send(b"nor this")
        await far.drained()
        await far.close()

    play(story)
