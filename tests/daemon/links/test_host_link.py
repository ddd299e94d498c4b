"""The link against real sockets on loopback and, where the line must be exact, against a memory pair."""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from posd.daemon.links import host_link
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import HostLink
from posd.errors import CannotEncode, MalformedMessage
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.transport.contract import Channel
from posd.transport.memory import MemoryChannel, memory_pair
from posd.transport.tcp import TcpListener, connect_tcp, listen_tcp

LIMIT_S = 10
FRAME_BYTES_MAX = 4096
SOON_S = 0.05


class Heard:
    """A listener that keeps what it hears, in order, and lets a test wait for the next thing."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, object]] = asyncio.Queue()

    def link_up(self) -> None:
        self.queue.put_nowait(("up", None))

    def link_down(self, why: str) -> None:
        self.queue.put_nowait(("down", why))

    def frame(self, frame: bytes) -> None:
        self.queue.put_nowait(("frame", frame))

    def withdrawn(self, token: str) -> None:
        self.queue.put_nowait(("withdrawn", token))

    def lost(self, token: str, why: str) -> None:
        self.queue.put_nowait(("lost", (token, why)))

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        self.queue.put_nowait(("unreadable", length))

    async def next(self) -> tuple[str, object]:
        return await self.queue.get()

    async def expect(self, kind: str) -> object:
        got, what = await self.next()
        assert got == kind, f"expected {kind}, heard {got}: {what}"
        return what


class Host:
    """A listening acquirer without a mind: the test holds the other end of each connection."""

    def __init__(self) -> None:
        self.channels: asyncio.Queue[Channel] = asyncio.Queue()
        self.all: list[Channel] = []
        self.listener: TcpListener | None = None

    async def open(self, port: int = 0) -> None:
        self.listener = await listen_tcp("127.0.0.1", port, self._arrive)

    def _arrive(self, channel: Channel) -> None:
        self.all.append(channel)
        self.channels.put_nowait(channel)

    @property
    def port(self) -> int:
        assert self.listener is not None
        return self.listener.port

    def close(self) -> None:
        assert self.listener is not None
        self.listener.close()
        for channel in self.all:
            channel.abort()


class Frames:
    """Reads frames from one end of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self._framer, self._frames = channel, LengthPrefixed(), list[bytes]()

    async def next(self) -> bytes | None:
        while not self._frames:
            data = await self._channel.receive()
            if not data:
                return None
            self._frames += self._framer.feed(data)
        return self._frames.pop(0)


def later(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def make(connect: Callable[[], Awaitable[Channel]], heard: Heard, first_s: float = 0.01) -> HostLink:
    backoff = Backoff(first_s, 0.1, random.Random(1))
    return HostLink(connect, heard, FRAME_BYTES_MAX, backoff, time.monotonic)


Story = Callable[[HostLink, Heard, Host], Awaitable[None]]


def play(story: Story) -> None:
    async def run() -> None:
        heard, host = Heard(), Host()
        await host.open()
        port = host.port
        link = make(lambda: connect_tcp("127.0.0.1", port, 5), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            try:
                await story(link, heard, host)
            finally:
                await link.stop()
                host.close()
                await asyncio.sleep(0)

    asyncio.run(run())


def test_frames_go_out_and_come_in() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        assert link.up
        assert link.send("a", b"first", later())
        assert link.send("b", b"second", later())
        frames = Frames(far)
        assert [await frames.next(), await frames.next()] == [b"first", b"second"]
        far.send(with_length(b"answer one") + with_length(b"answer two"))
        assert await heard.expect("frame") == b"answer one"
        assert await heard.expect("frame") == b"answer two"
        assert link.withdraw("a") is False, "it left"

    play(story)


def test_frames_are_found_however_the_line_cuts_them() -> None:
    async def run() -> None:
        heard = Heard()
        near, far = memory_pair(one_byte=True)
        link = make(once(near), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            far.send(with_length(b"drip") + with_length(b"drop"))
            assert await heard.expect("frame") == b"drip"
            assert await heard.expect("frame") == b"drop"
            await link.stop()

    asyncio.run(run())


def test_while_the_link_is_down_nothing_is_taken() -> None:
    async def run() -> None:
        heard = Heard()
        link = make(refused, heard)
        assert link.send("a", b"frame", later()) is False
        link.start()
        assert "refused" in str(await heard.expect("down"))
        assert link.send("a", b"frame", later()) is False
        assert link.withdraw("a") is False
        await link.stop()

    asyncio.run(run())


def test_the_same_failure_is_told_once() -> None:
    async def run() -> None:
        heard = Heard()
        tries = 0

        async def count() -> Channel:
            nonlocal tries
            tries += 1
            raise ConnectionRefusedError(111, "cannot connect to 127.0.0.1:1: connection refused")

        link = make(count, heard, first_s=0.001)
        link.start()
        async with asyncio.timeout(LIMIT_S):
            while tries < 4:
                await asyncio.sleep(0.001)
        await link.stop()
        await heard.expect("down")
        assert heard.queue.empty()

    asyncio.run(run())


def test_a_host_that_dies_is_told_and_called_again() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        for _ in range(3):
            await heard.expect("up")
            (await host.channels.get()).abort()
            assert "reset" in str(await heard.expect("down"))
            assert not link.up

    play(story)


def test_half_a_frame_at_the_end_is_said() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        far.send(with_length(b"cut in the middle")[:7])
        await far.close()
        assert "7 bytes into a frame" in str(await heard.expect("down"))

    play(story)


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"\xff\xff" + b"x" * 900], ids=["zero", "too long"])
def test_bad_framing_ends_the_link_and_a_new_one_comes(garbage: bytes) -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        far.send(with_length(b"good") + garbage)
        assert await heard.expect("frame") == b"good"
        assert await heard.expect("unreadable") == len(garbage)
        assert "unreadable" in str(await heard.expect("down"))
        await heard.expect("up")
        assert link.send("a", b"goes on", later())
        assert await Frames(await host.channels.get()).next() == b"goes on"

    play(story)


def test_a_deadline_in_the_past_sends_nothing() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        assert link.send("late", b"late", later(-0.001)) is False
        assert link.send("good", b"good", later())
        assert await Frames(far).next() == b"good"

    play(story)


def test_a_frame_that_its_length_cannot_say_is_refused_loudly() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        with pytest.raises(CannotEncode):
            link.send("a", b"x" * 70_000, later())

    play(story)


# A peer that does not read. The memory pair says exactly how much "the kernel" takes.


def stalled(story: Callable[[HostLink, Heard, MemoryChannel, MemoryChannel], Awaitable[None]]) -> None:
    """One frame of 100 bytes is half taken by a line that holds 50; then the story begins."""

    async def run() -> None:
        heard = Heard()
        near, far = memory_pair(capacity_bytes=50)
        link = make(once(near), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            assert link.send("half", b"h" * 98, later())
            assert near.unsent_bytes == 50
            await story(link, heard, near, far)
            await link.stop()

    asyncio.run(run())


def test_what_waits_behind_a_stalled_frame_can_be_taken_back() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        assert link.send("a", b"a", later())
        assert link.send("b", b"b", later())
        assert link.withdraw("a") is True
        assert link.withdraw("a") is False
        frames = Frames(far)
        assert await frames.next() == b"h" * 98
        assert await frames.next() == b"b"

    stalled(story)


def test_half_a_frame_cannot_be_taken_back_and_its_rest_never_leaves() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        assert link.send("behind", b"b", later())
        assert link.withdraw("half") is False
        assert link.send("new", b"n", later()) is False, "the link is down at once"
        assert await heard.expect("withdrawn") == "behind"
        assert "withdrawn while it was being sent" in str(await heard.expect("down"))
        assert await Frames(far).next() is None

    stalled(story)


def test_d2_at_its_deadline_a_waiting_frame_is_withdrawn_and_the_rest_goes_on() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        assert link.send("late", b"late", later(SOON_S))
        assert link.send("kept", b"kept", later())
        assert await heard.expect("withdrawn") == "late"
        frames = Frames(far)
        assert await frames.next() == b"h" * 98
        assert await frames.next() == b"kept"

    stalled(story)


def test_d2_withdrawn_before_anything_else_is_sent_even_when_the_timer_is_late() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        frames = Frames(far)
        assert link.send("request", b"request", later(SOON_S))
        time.sleep(SOON_S * 1.2)  # the loop is busy: no timer can have run
        assert link.send("reversal", b"reversal", later())
        assert await frames.next() == b"h" * 98
        assert await frames.next() == b"reversal"
        assert await heard.expect("withdrawn") == "request"

    stalled(story)


def test_expired_but_not_yet_told_is_a_certain_withdrawal() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        assert link.send("request", b"request", later(SOON_S))
        time.sleep(SOON_S * 1.2)
        assert link.send("other", b"other", later())
        assert link.withdraw("request") is True
        await asyncio.sleep(0)
        assert heard.queue.empty(), "told once is enough"
        far.abort()

    stalled(story)


def test_a_half_sent_frame_at_its_deadline_ends_the_link() -> None:
    async def run() -> None:
        heard = Heard()
        near, far = memory_pair(capacity_bytes=50)
        link = make(once(near), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            assert link.send("half", b"h" * 98, later(SOON_S))
            assert "at its deadline" in str(await heard.expect("down"))
            assert await Frames(far).next() is None
            await link.stop()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["withdraw", "deadline"])
def test_a_frame_of_which_the_kernel_took_nothing_is_certainly_withdrawn(how: str) -> None:
    async def run() -> None:
        heard = Heard()
        near, _ = memory_pair(capacity_bytes=10)
        link = make(once(near), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            assert link.send("fits", b"x" * 8, later())
            assert near.unsent_bytes == 0
            assert link.send("untouched", b"y" * 8, later(SOON_S))
            assert near.unsent_bytes == 10
            if how == "withdraw":
                assert link.withdraw("untouched") is True
            else:
                assert await heard.expect("withdrawn") == "untouched"
            await heard.expect("down")
            await link.stop()

    asyncio.run(run())


def test_d2_the_outbox_is_bounded_and_a_lost_link_gives_it_back() -> None:
    async def story(link: HostLink, heard: Heard, near: MemoryChannel, far: MemoryChannel) -> None:
        taken = [link.send(f"t{n}", b"x", later()) for n in range(host_link.OUTBOX_FRAMES_MAX + 3)]
        assert taken.count(True) == host_link.OUTBOX_FRAMES_MAX
        assert taken[-3:] == [False] * 3
        far.abort()
        told = [await heard.expect("withdrawn") for _ in range(host_link.OUTBOX_FRAMES_MAX)]
        assert told == [f"t{n}" for n in range(host_link.OUTBOX_FRAMES_MAX)]
        await heard.expect("down")

    stalled(story)


def test_d2_a_real_peer_that_never_reads_delays_nobody() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        big, sent = b"z" * 60_000, 0
        while link.send(f"t{sent}", big, later(0.2)) and sent < 500:
            sent += 1
        far.send(with_length(b"still heard"))
        assert await heard.expect("frame") == b"still heard"
        kinds = [(await heard.next())[0]]
        while kinds[-1] == "withdrawn":
            kinds.append((await heard.next())[0])
        assert kinds.count("withdrawn") > 1, "frames never given to the kernel come back at their deadline"
        assert kinds[-1] == "down", "and the half-sent one ends the link"
        await heard.expect("up")

    play(story)


def test_abort_says_why_and_connects_again() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        link.abort("no echo for 90 s")
        link.abort("twice is once")
        assert not link.up
        assert await heard.expect("down") == "no echo for 90 s"
        await heard.expect("up")

    play(story)


def test_stop_flushes_what_left_and_hangs_up() -> None:
    async def story(link: HostLink, heard: Heard, host: Host) -> None:
        await heard.expect("up")
        far = await host.channels.get()
        assert link.send("last", b"last words", later())
        await link.stop()
        await heard.expect("down")
        frames = Frames(far)
        assert await frames.next() == b"last words"
        assert await frames.next() is None
        assert far.ending == "closed by the peer", "in order, not by a reset"
        assert link.send("after", b"after", later()) is False
        assert heard.queue.empty()

    play(story)


def test_gaps_begin_small_again_only_after_a_frame() -> None:
    class Counting(Backoff):
        resets = 0

        def reset(self) -> None:
            super().reset()
            self.resets += 1

    async def run() -> None:
        heard, backoff = Heard(), Counting(0.001, 0.002, random.Random(1))
        ends: asyncio.Queue[MemoryChannel] = asyncio.Queue()

        async def connect() -> Channel:
            near, far = memory_pair()
            ends.put_nowait(far)
            return near

        link = HostLink(connect, heard, FRAME_BYTES_MAX, backoff, time.monotonic)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            (await ends.get()).abort()
            await heard.expect("down")
            await heard.expect("up")
            assert backoff.resets == 0, "a connection alone proves nothing"
            (await ends.get()).send(with_length(b"answer"))
            await heard.expect("frame")
            assert backoff.resets == 1
            await link.stop()

    asyncio.run(run())


def test_a_bug_in_the_listener_reaches_the_loop() -> None:
    class Broken(Heard):
        def frame(self, frame: bytes) -> None:
            raise AssertionError("a broken invariant")

    async def run() -> None:
        reported: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.put_nowait(context))
        heard = Broken()
        near, far = memory_pair()
        link = make(once(near), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            far.send(with_length(b"x"))
            assert isinstance((await reported.get())["exception"], AssertionError)
            await link.stop()

    asyncio.run(run())


async def refused() -> Channel:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return await connect_tcp("127.0.0.1", port, 5)


def once(channel: Channel) -> Callable[[], Awaitable[Channel]]:
    """Connects once; after that the host is gone for good."""
    waiting = [channel]

    async def connect() -> Channel:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()
        raise AssertionError

    return connect
