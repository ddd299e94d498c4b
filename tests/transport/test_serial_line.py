"""Frames over a serial line: two channels on two real ptys with a cable between them that a test can spoil."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.addresses import SerialAddress
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.stx import NAK, stx_frame
from posd.transport import serial_line
from posd.transport.contract import Channel
from posd.transport.memory import memory_pair
from posd.transport.serial_line import LineChannel, connect_serial, line_framing
from tests.transport.cable import Cable

LIMIT_S = 20
FRAME_BYTES_MAX = 4096
QUICK = {"ack_timeout_s": 0.3, "inter_byte_s": 0.1, "retries": 3}
"""Enough for a pty; the defaults are for real lines."""


class Side:
    """One end: a channel that is always being received from, its frames, and the troubles it told."""

    def __init__(self, channel: Channel, troubles: list[str]) -> None:
        self.channel, self.troubles = channel, troubles
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        framer = LengthPrefixed()
        while data := await self.channel.receive():
            for frame in framer.feed(data):
                self.frames.put_nowait(frame)
        self.ended.set()

    def say(self, frame: bytes) -> None:
        self.channel.send(with_length(frame))


Story = Callable[[Cable, Side, Side], Awaitable[None]]


async def opened(device: str, **how: object) -> Side:
    troubles: list[str] = []
    address = SerialAddress(device, **({} if how.get("framing") == "length" else QUICK) | how)  # type: ignore[arg-type]
    tell = lambda device, what, count: troubles.append(what)  # noqa: E731
    return Side(await connect_serial(address, FRAME_BYTES_MAX, tell), troubles)


def play(folder: Path, story: Story, **how: object) -> None:
    async def run() -> None:
        cable = Cable(folder).plug()
        async with asyncio.timeout(LIMIT_S):
            near, far = await opened(cable.near, **how), await opened(cable.far, **how)
            try:
                await story(cable, near, far)
            finally:
                for side in (near, far):
                    side.channel.abort()
                    await side.ended.wait()
                cable.unplug()

    asyncio.run(run())


FRAMINGS = [{"framing": "stx"}, {"framing": "length", "inter_byte_s": 0.1}]


@pytest.mark.parametrize("how", FRAMINGS, ids=["stx", "length"])
def test_frames_both_ways_at_once(tmp_path: Path, how: dict[str, object]) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        bodies = [bytes([n]) * (1 + 37 * n) for n in range(1, 20)]
        for body in bodies:
            near.say(body)
            far.say(body[::-1] + b"far")
        assert [await far.frames.get() for _ in bodies] == bodies
        assert [await near.frames.get() for _ in bodies] == [body[::-1] + b"far" for body in bodies]
        await near.channel.drained()
        assert near.channel.unsent_bytes == 0
        assert near.troubles == far.troubles == []

    play(tmp_path, story, **how)


@pytest.mark.parametrize("how", FRAMINGS, ids=["stx", "length"])
def test_one_byte_at_a_time(tmp_path: Path, how: dict[str, object]) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        wire = stx_frame(b"hello") if how["framing"] == "stx" else with_length(b"hello")
        for byte in wire:
            cable.say("far", bytes([byte]))
            await asyncio.sleep(0.002)
        assert await far.frames.get() == b"hello"

    play(tmp_path, story, **how)


def test_golden_bytes_on_the_wire(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        near.say(b"12")
        assert await far.frames.get() == b"12"
        await near.channel.close()
        wire = {side: b"".join(data for way, data in cable.passed if way == side) for side in ("far", "near")}
        assert wire == {"far": bytes.fromhex("02 0002 3132 03 02"), "near": b"\x06"}

    play(tmp_path, story)


def test_a_lost_frame_comes_again(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_far = once(lambda data: b"", cable, "to_far")
        near.say(b"question")
        assert await far.frames.get() == b"question"
        assert near.troubles == ["a frame of ours was sent again"]

    play(tmp_path, story)


def test_a_lost_ack_delivers_once(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_near = once(lambda data: b"", cable, "to_near")
        near.say(b"question")
        near.say(b"another")
        assert await far.frames.get() == b"question"
        assert await far.frames.get() == b"another"
        assert far.frames.empty()
        assert near.troubles == ["a frame of ours was sent again"]
        assert far.troubles == ["a repeated frame was acknowledged again and not delivered again"]

    play(tmp_path, story)


def test_a_nul_for_a_byte_is_asked_for_again(tmp_path: Path) -> None:
    """As the kernel gives a byte of wrong parity."""

    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_far = once(lambda data: data[:5] + b"\0" + data[6:], cable, "to_far")
        near.say(b"question")
        assert await far.frames.get() == b"question"
        assert far.troubles == ["wrong LRC (offset 12)"]
        assert ("near", b"\x15") in cable.passed

    play(tmp_path, story)


def test_noise_and_nuls_between_frames_disturb_nobody(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        for body in (b"one", b"two", b"three"):
            cable.say("far", b"\0\0\xff\x03")
            near.say(body)
            assert await far.frames.get() == body
        cable.say("far", b"\x02\x99\x99 half a frame and silence")
        near.say(b"four")
        assert await far.frames.get() == b"four"

    play(tmp_path, story)


@pytest.mark.parametrize("noise", [b"\xff\xff\xff", b"\x00\x40half", b"\0"])
def test_a_bare_length_finds_back_after_silence(tmp_path: Path, noise: bytes) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.say("far", noise)
        while not far.troubles:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        near.say(b"heard")
        assert await far.frames.get() == b"heard"

    play(tmp_path, story, framing="length", inter_byte_s=0.1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["stx", "length"]), st.lists(st.binary(min_size=1, max_size=80), max_size=8))
def test_any_bytes_leave_the_line_open_and_the_next_frame_is_heard(framing: str, noise: list[bytes]) -> None:
    async def run() -> None:
        raw, peer = memory_pair()
        address = SerialAddress("x", framing=framing, inter_byte_s=0.005)  # type: ignore[arg-type]
        near = Side(LineChannel(raw, line_framing(address, FRAME_BYTES_MAX), lambda *trouble: None), [])
        for data in noise:
            peer.send(data)
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert not near.channel.ended
        peer.send(stx_frame(b"after all that") if framing == "stx" else with_length(b"after all that"))
        while await near.frames.get() != b"after all that":
            pass
        near.channel.abort()
        await near.ended.wait()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def naks(cable: Cable) -> int:
    """How many bad frames the far end has refused."""
    return b"".join(data for towards, data in cable.passed if towards == "near").count(NAK)


def test_a_noisy_line_does_not_fill_the_log(tmp_path: Path) -> None:
    """Each bad frame is bad in its own way; they are counted as one kind."""

    async def story(cable: Cable, near: Side, far: Side) -> None:
        for size in range(1, 20):
            cable.say("far", stx_frame(bytes(40))[: size + 3])
            while naks(cable) < size:  # until the silence after this one was long enough
                await asyncio.sleep(0.005)
        assert far.troubles == [f"unfinished after {size + 3} bytes" for size in (1, 2, 4, 8, 16)]

    play(tmp_path, story, inter_byte_s=0.01)


def test_a_peer_that_never_acknowledges_ends_the_line(tmp_path: Path) -> None:
    """Whatever happens then, the frame is never put on the line again."""

    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_near = lambda data: b""
        near.say(b"question")
        near.say(b"never sent")
        await near.ended.wait()
        assert near.channel.ending == "not acknowledged in 4 attempts: no acknowledgement within 0.3 s"
        assert near.channel.unsent_bytes == 0
        await near.channel.drained()
        sent = len(cable.passed)
        await asyncio.sleep(0.5)
        assert [way for way, _ in cable.passed[sent:]] == []
        assert await far.frames.get() == b"question"
        assert far.frames.empty()

    play(tmp_path, story)


def test_pulling_the_adapter_out_ends_both_sides(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        near.say(b"question")
        await far.frames.get()
        cable.unplug()
        await near.ended.wait()
        await far.ended.wait()
        assert "is gone" in near.channel.ending
        near.say(b"nobody hears this")
        assert near.channel.unsent_bytes == 0
        cable.plug()
        again, other = await opened(cable.near), await opened(cable.far)
        again.say(b"after")
        assert await other.frames.get() == b"after"
        for side in (again, other):
            side.channel.abort()
            await side.ended.wait()

    play(tmp_path, story)


def test_closing_waits_for_the_last_acknowledgement(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_far = once(lambda data: b"", cable, "to_far")
        near.say(b"last words")
        await near.channel.close()
        assert near.channel.ending == "closed by this side"
        assert await far.frames.get() == b"last words"

    play(tmp_path, story)


def test_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_line, "CLOSE_TIMEOUT_S", 0.05)

    async def story(cable: Cable, near: Side, far: Side) -> None:
        cable.to_near = lambda data: b""
        near.say(b"last words")
        await near.channel.close()
        assert near.channel.ended

    play(tmp_path, story, ack_timeout_s=5.0)


def test_a_frame_that_the_line_cannot_say_ends_it_by_name(tmp_path: Path) -> None:
    async def story(cable: Cable, near: Side, far: Side) -> None:
        near.say(bytes(FRAME_BYTES_MAX + 1))
        await near.ended.wait()
        assert near.channel.ending == "a frame is longer than this line's 4096 bytes"

    play(tmp_path, story)


def test_a_busy_loop_is_no_silence(tmp_path: Path) -> None:
    """Half a frame was read; the rest lies in the kernel while the loop is held up for longer than the limit."""

    async def story(cable: Cable, near: Side, far: Side) -> None:
        wire = stx_frame(b"hello")
        master = cable._masters[1]
        os.write(master, wire[:4])
        while far.channel._framing.deadline_s is None:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        os.write(master, wire[4:])
        held_up_until = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < held_up_until:
            pass
        assert await far.frames.get() == b"hello"
        assert far.troubles == []

    play(tmp_path, story)


def test_d2_what_the_kernel_has_not_taken_is_unsent_to_the_byte() -> None:
    """Of a frame that is leaving: all of it, some of it, none; of those behind it: all."""

    async def run() -> None:
        raw, peer = memory_pair(capacity_bytes=10)
        line = LineChannel(raw, line_framing(SerialAddress("x"), FRAME_BYTES_MAX), lambda *trouble: None)
        line.send(with_length(b"123"))
        assert line.unsent_bytes == 0, "its 8 bytes are with the kernel, though not acknowledged"
        line.send(with_length(b"behind"))
        assert line.unsent_bytes == 8
        reading = asyncio.ensure_future(line.receive())
        peer.send(b"\x06")
        await asyncio.sleep(0.01)
        assert raw.unsent_bytes == 11 - 2
        assert line.unsent_bytes == 7, "some of it left"
        peer.send(stx_frame(b"x"))
        assert await reading == with_length(b"x")
        assert raw.unsent_bytes == 10
        assert line.unsent_bytes == 7, "our ACK behind it is not counted"
        assert await peer.receive() == stx_frame(b"123") + stx_frame(b"behind")[:2]
        await line.drained()
        assert line.unsent_bytes == 0
        line.abort()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_d2_a_frame_of_which_nothing_left_is_all_unsent() -> None:
    async def run() -> None:
        raw, _ = memory_pair(capacity_bytes=8)
        line = LineChannel(raw, line_framing(SerialAddress("x", framing="length"), 4096), lambda *trouble: None)
        line.send(with_length(b"123456"))
        assert line.unsent_bytes == 0
        line.send(with_length(b"abc"))
        assert line.unsent_bytes == 5
        line.send(with_length(b"abcd"))
        assert line.unsent_bytes == 5 + 6
        line.abort()
        assert line.unsent_bytes == 0

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_d2_an_ack_behind_a_frame_does_not_count_for_it() -> None:
    async def run() -> None:
        raw, peer = memory_pair(capacity_bytes=10, one_byte=True)
        line = LineChannel(raw, line_framing(SerialAddress("x"), FRAME_BYTES_MAX), lambda *trouble: None)
        line.send(with_length(b"behind"))
        assert (raw.unsent_bytes, line.unsent_bytes) == (1, 1)
        peer.send(stx_frame(b"x"))
        assert await line.receive() == with_length(b"x")
        assert (raw.unsent_bytes, line.unsent_bytes) == (2, 1)
        await peer.receive()
        assert (raw.unsent_bytes, line.unsent_bytes) == (1, 0), "the frame has left, our ACK has not"
        line.abort()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_what_waits_goes_on_when_the_kernel_takes_more() -> None:
    """Nobody has to ask: a door never waits for `drained`."""

    async def run() -> None:
        raw, peer = memory_pair(capacity_bytes=8)
        line = LineChannel(raw, line_framing(SerialAddress("x", framing="length"), 4096), lambda *trouble: None)
        bodies = [b"123456789", b"abcdefghi", b"last"]
        for body in bodies:
            line.send(with_length(body))
        wire = b""
        while len(wire) < sum(2 + len(body) for body in bodies):
            wire += await peer.receive()
        assert wire == b"".join(map(with_length, bodies))
        line.abort()

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_a_repeat_never_queues_behind_its_own_frame() -> None:
    async def run() -> None:
        raw, _ = memory_pair(capacity_bytes=4)
        address = SerialAddress("x", **QUICK)  # type: ignore[arg-type]
        line = LineChannel(raw, line_framing(address, FRAME_BYTES_MAX), lambda *trouble: None)
        line.send(with_length(b"question"))
        assert await line.receive() == b""
        assert line.ending == "the line takes no bytes"

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def once(change: Callable[[bytes], bytes], cable: Cable, way: str) -> Callable[[bytes], bytes]:
    """Only what passes first."""

    def changed(data: bytes) -> bytes:
        setattr(cable, way, lambda data: data)
        return change(data)

    return changed
