"""A connection for each frame: real sockets on loopback; a memory pair where the line must be exact."""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import OUTBOX_FRAMES_MAX
from posd.daemon.links.one_shot import OneShotLink
from posd.errors import CannotEncode
from posd.framing.length_prefix import with_length
from posd.transport.contract import ConfirmingChannel
from posd.transport.memory import memory_pair
from posd.transport.tcp import connect_tcp
from tests.daemon.links.test_host_link import FRAME_BYTES_MAX, LIMIT_S, SOON_S, Frames, Heard, Host, later

Connect = Callable[[], Awaitable[ConfirmingChannel]]
Story = Callable[[OneShotLink, Heard, Host], Awaitable[None]]


def make(connect: Connect, heard: Heard, connections_max: int = 8, first_s: float = 0.01) -> OneShotLink:
    backoff = Backoff(first_s, 0.1, random.Random(1))
    return OneShotLink(connect, heard, FRAME_BYTES_MAX, backoff, time.monotonic, connections_max)


def play(story: Story, connections_max: int = 8) -> None:
    """The link is up, and the host has seen the connection that proved it come and go."""

    async def run() -> None:
        heard, host = Heard(), Host()
        await host.open()
        port = host.port
        link = make(lambda: connect_tcp("127.0.0.1", port, 5), heard, connections_max)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            try:
                await heard.expect("up")
                assert await (await host.channels.get()).receive() == b""
                await story(link, heard, host)
            finally:
                await link.stop()
                host.close()
                await asyncio.sleep(0)

    asyncio.run(run())


async def next_frame(host: Host) -> tuple[ConfirmingChannel, bytes | None]:
    far = await host.channels.get()
    assert hasattr(far, "delivered")
    return far, await Frames(far).next()


def test_each_frame_has_a_connection_of_its_own() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.up
        for token in ("a", "b"):
            assert link.send(token, token.encode(), later())
            far, frame = await next_frame(host)
            assert frame == token.encode()
            far.send(with_length(b"to " + token.encode()))
            assert await heard.expect("frame") == b"to " + token.encode()
            assert link.withdraw(token) is False, "it left"
            assert await far.receive() == b"", "hung up, because nobody waits any more"
            assert far.ending == "closed by the peer", "in order, not by a reset"
        assert heard.queue.empty()

    play(story)


def test_whatever_comes_before_the_answer_is_taken_is_delivered() -> None:
    """The link reads no message: the first frame need not be the answer."""

    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"ask", later())
        far, _ = await next_frame(host)
        far.send(with_length(b"an echo that nobody asked for"))
        await heard.expect("frame")
        far.send(with_length(b"answer") + with_length(b"answer again"))
        assert await heard.expect("frame") == b"answer"
        assert await heard.expect("frame") == b"answer again"
        assert not link.withdraw("a")

    play(story)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_d2_a_frame_that_left_and_has_no_answer_is_lost_at_once(how: str) -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"ask", later())
        assert link.send("b", b"ask", later())
        far, _ = await next_frame(host)
        other, _ = await next_frame(host)
        if how == "reset":
            far.abort()
        else:
            await far.close()
        token, why = await heard.expect("lost")  # type: ignore[misc]
        assert how in why
        assert link.up, "the next frame may have more luck"
        other.send(with_length(b"answer"))
        assert await heard.expect("frame") == b"answer", "the other connections live on"
        assert token in ("a", "b")

    play(story)


def test_half_an_answer_is_said() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"ask", later())
        far, _ = await next_frame(host)
        far.send(with_length(b"cut in the middle")[:7])
        await far.close()
        token, why = await heard.expect("lost")  # type: ignore[misc]
        assert (token, "7 bytes into a frame" in why) == ("a", True)

    play(story)


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"\xff\xff" + b"x" * 900], ids=["zero", "too long"])
def test_bad_framing_ends_one_connection_and_no_other(garbage: bytes) -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"ask", later())
        far, _ = await next_frame(host)
        far.send(with_length(b"good") + garbage)
        assert await heard.expect("frame") == b"good"
        assert await heard.expect("unreadable") == len(garbage)
        token, why = await heard.expect("lost")  # type: ignore[misc]
        assert (token, why.split(":")[0]) == ("a", "unreadable")
        assert link.up

    play(story)


def test_d2_without_a_connection_nothing_left_and_that_is_known() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        port = host.port
        host.close()
        assert link.send("a", b"ask", later())
        assert await heard.expect("withdrawn") == "a"
        assert "refused" in str(await heard.expect("down")), "before anybody sends the next one"
        token, why = await heard.expect("lost")  # type: ignore[misc]
        assert (token, "refused" in why) == ("a", True)
        assert not link.up
        assert link.send("b", b"ask", later()) is False
        assert link.withdraw("b") is False
        await host.open(port)
        await heard.expect("up")
        assert link.send("c", b"ask", later())

    play(story)


def test_while_the_host_is_away_it_is_tried_without_frames() -> None:
    async def run() -> None:
        heard, tries = Heard(), 0

        async def count() -> ConfirmingChannel:
            nonlocal tries
            tries += 1
            raise ConnectionRefusedError(111, "cannot connect to 127.0.0.1:1: connection refused")

        link = make(count, heard, first_s=0.001)
        assert link.send("a", b"frame", later()) is False
        link.start()
        assert "refused" in str(await heard.expect("down"))
        async with asyncio.timeout(LIMIT_S):
            while tries < 4:
                await asyncio.sleep(0.001)
        assert link.send("a", b"frame", later()) is False
        await link.stop()
        assert heard.queue.empty(), "the same failure is told once"

    asyncio.run(run())


def test_a_try_that_fails_beside_an_open_connection_is_no_end_of_the_link() -> None:
    """A host that takes so many connections and no more is not down; the exchange that it has is not lost."""

    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("open", b"ask", later())
        far, _ = await next_frame(host)
        assert host.listener is not None
        host.listener.close()
        assert link.send("refused", b"ask", later())
        assert await heard.expect("withdrawn") == "refused"
        assert (await heard.expect("lost"))[0] == "refused"  # type: ignore[index]
        assert link.up
        far.send(with_length(b"answer"))
        assert await heard.expect("frame") == b"answer"
        link.withdraw("open")
        await far.receive()
        assert link.up, "an answer is good news"
        assert link.send("next", b"ask", later())
        assert await heard.expect("withdrawn") == "next"
        await heard.expect("down")

    play(story)


def test_frames_beyond_the_connections_wait_and_can_be_taken_back() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        for token in ("a", "b", "c"):
            assert link.send(token, token.encode(), later())
        far, frame = await next_frame(host)
        assert frame == b"a"
        await asyncio.sleep(SOON_S)
        assert host.channels.empty(), "one connection at a time"
        assert link.withdraw("b") is True
        assert link.withdraw("b") is False
        far.send(with_length(b"answer"))
        await heard.expect("frame")
        link.withdraw("a")
        assert (await next_frame(host))[1] == b"c"

    play(story, connections_max=1)


def test_d3_the_outbox_is_bounded() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("first", b"x", later())
        taken = [link.send(f"t{number}", b"x", later()) for number in range(OUTBOX_FRAMES_MAX + 2)]
        assert taken.count(True) == OUTBOX_FRAMES_MAX
        link.abort("enough")
        told = [await heard.expect("withdrawn") for _ in range(OUTBOX_FRAMES_MAX + 1)]
        assert len(set(told)) == len(told)
        assert await heard.expect("down") == "enough"

    play(story, connections_max=1)


@pytest.mark.parametrize("busy", [False, True], ids=["timer", "late timer"])
def test_d2_at_its_deadline_what_waits_or_connects_is_withdrawn(busy: bool) -> None:
    async def run() -> None:
        heard = Heard()
        near, _ = memory_pair()
        never = asyncio.Event()
        waiting = [near]

        async def connect() -> ConfirmingChannel:
            if not waiting:
                await never.wait()
            return waiting.pop()

        link = make(connect, heard, connections_max=1)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            assert link.send("connecting", b"a", later(SOON_S))
            assert link.send("waiting", b"b", later(SOON_S))
            if busy:
                await asyncio.sleep(0)
                time.sleep(SOON_S * 1.2)
                assert link.send("reversal", b"r", later())
                assert link.withdraw("waiting") is True, "certain, though not told yet"
            told = [await heard.expect("withdrawn") for _ in range(1 if busy else 2)]
            assert set(told) == ({"connecting"} if busy else {"connecting", "waiting"})
            if not busy:
                assert "reply limit" in str(await heard.expect("down"))
            await link.stop()

    asyncio.run(run())


def test_d2_what_the_host_has_not_confirmed_never_arrives_after_its_deadline() -> None:
    """Half of it is in the kernel; the rest must not follow the reversal, which has a connection of its own."""

    async def run() -> None:
        heard = Heard()
        narrow, far = memory_pair(capacity_bytes=50)
        nears = [narrow, memory_pair()[0]]

        async def connect() -> ConfirmingChannel:
            return nears.pop()

        link = make(connect, heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            assert link.send("half", b"h" * 98, later(SOON_S))
            while not far.ended:
                await asyncio.sleep(SOON_S / 5)
            assert await Frames(far).next() is None
            assert heard.queue.empty(), "it may have left, and the engine has its own reply limit"
            await link.stop()

    asyncio.run(run())


def test_d11_a_late_answer_is_heard_on_its_own_connection() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("request", b"request", later(SOON_S))
        late, _ = await next_frame(host)
        await asyncio.sleep(SOON_S * 2)
        link.withdraw("request")
        assert link.send("reversal", b"reversal", later()), "the connection that is listened on takes no place"
        far, frame = await next_frame(host)
        assert frame == b"reversal"
        far.send(with_length(b"no such original"))
        assert await heard.expect("frame") == b"no such original"
        late.send(with_length(b"approved after all"))
        assert await heard.expect("frame") == b"approved after all"
        await late.close()
        link.withdraw("reversal")
        await far.receive()
        assert heard.queue.empty(), "nobody is told of the end of what is over"

    play(story, connections_max=1)


def test_late_connections_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.daemon.links.one_shot.LATE_ANSWER_S", SOON_S)

    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        far: list[ConfirmingChannel] = []
        for token in ("a", "b", "c"):
            assert link.send(token, b"x", later())
            far.append((await next_frame(host))[0])
            while not link._open[token].channel.delivered:  # type: ignore[union-attr]
                await asyncio.sleep(0.001)
            assert link.withdraw(token) is False
        assert list(link._late) == ["b", "c"]
        for channel in far:
            assert await channel.receive() == b""
        await asyncio.sleep(0.01)
        assert not link._late
        assert link.up
        assert heard.queue.empty()

    play(story, connections_max=2)


def test_abort_lets_everything_go_says_why_and_tries_again() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"ask", later())
        await next_frame(host)
        assert link.send("b", b"waits", later())
        link.abort("the host has said nothing for 60 s")
        link.abort("twice is once")
        assert not link.up
        assert await heard.expect("withdrawn") == "b"
        assert await heard.expect("down") == "the host has said nothing for 60 s"
        await heard.expect("up")

    play(story, connections_max=1)


def test_d11_abort_tears_off_the_connection_that_floods_and_listens_on_the_others() -> None:
    class Flooded(Heard):
        link: OneShotLink

        def frame(self, frame: bytes) -> None:
            super().frame(frame)
            if frame == b"flood":
                self.link.abort("the host floods a terminal with answers")

    async def run() -> None:
        heard, host = Flooded(), Host()
        await host.open()
        port = host.port
        heard.link = link = make(lambda: connect_tcp("127.0.0.1", port, 5), heard)
        async with asyncio.timeout(LIMIT_S):
            link.start()
            await heard.expect("up")
            await host.channels.get()
            assert link.send("quiet", b"ask", later())
            quiet, _ = await next_frame(host)
            assert link.send("floods", b"ask", later())
            floods, _ = await next_frame(host)
            while not link._open["quiet"].channel.delivered:  # type: ignore[union-attr]
                await asyncio.sleep(0.001)
            floods.send(with_length(b"flood"))
            assert await heard.expect("frame") == b"flood"
            assert await heard.expect("down") == "the host floods a terminal with answers"
            assert await floods.receive() == b""
            assert "reset" in floods.ending
            await heard.expect("up")
            quiet.send(with_length(b"late approval"))
            assert await heard.expect("frame") == b"late approval"
            await link.stop()
        host.close()

    asyncio.run(run())


def test_stop_flushes_what_left_and_hangs_up() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("last", b"last words", later())
        far = await host.channels.get()
        assert link.send("waits", b"never", later())
        await link.stop()
        assert await heard.expect("withdrawn") == "waits"
        await heard.expect("down")
        frames = Frames(far)
        assert await frames.next() == b"last words"
        assert await frames.next() is None
        assert far.ending == "closed by the peer", "in order, not by a reset"
        assert link.send("after", b"after", later()) is False
        assert heard.queue.empty()

    play(story, connections_max=1)


def test_a_frame_taken_back_before_its_connection_began_leaves_nothing_behind() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("a", b"a", later())
        assert link.withdraw("a") is True
        while link._open:
            await asyncio.sleep(0)
        assert link.send("b", b"b", later())
        assert (await next_frame(host))[1] == b"b"

    play(story, connections_max=1)


def test_a_deadline_in_the_past_and_a_frame_too_long_send_nothing() -> None:
    async def story(link: OneShotLink, heard: Heard, host: Host) -> None:
        assert link.send("late", b"late", later(-0.001)) is False
        with pytest.raises(CannotEncode):
            link.send("a", b"x" * 70_000, later())
        await asyncio.sleep(SOON_S)
        assert host.channels.empty()

    play(story)


def test_a_kernel_that_nobody_reads_confirms_nothing() -> None:
    """What `delivered` stands on: a host whose window is closed has not confirmed every byte."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = await connect_tcp("127.0.0.1", server.getsockname()[1], 5)
            near.send(b"small")
            async with asyncio.timeout(LIMIT_S):
                while not near.delivered:
                    await asyncio.sleep(0.001)
            near.send(b"x" * (32 * 1024 * 1024))
            assert not near.delivered
            near.abort()
            assert not near.delivered

    asyncio.run(run())
