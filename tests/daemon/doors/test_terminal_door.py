"""The door with real terminals on loopback: well-behaved, garbled, deaf, silent and too many."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from posd.daemon.doors import connections
from posd.daemon.doors.terminal_door import NotHere, TerminalDoor
from posd.errors import CannotEncode, ConfigError, MalformedMessage, PosdError
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.transport.contract import Channel
from posd.transport.tcp import connect_tcp

LIMIT_S = 10
FRAME_BYTES_MAX = 4096
CONNECTIONS_MAX = 3


class Heard:
    """A listener that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()

    def frame(self, connection: str, frame: bytes) -> None:
        self.queue.put_nowait(("frame", connection, frame))

    def unreadable(self, connection: str, error: MalformedMessage, head: bytes) -> None:
        self.queue.put_nowait(("unreadable", connection, head))

    def closed(self, connection: str) -> None:
        self.queue.put_nowait(("closed", connection, b""))

    async def expect(self, kind: str) -> tuple[str, bytes]:
        got, connection, data = await self.queue.get()
        assert got == kind
        return connection, data


Story = Callable[[TerminalDoor, Heard], Awaitable[None]]


def play(story: Story, idle_timeout_s: float = 60) -> None:
    async def run() -> None:
        heard = Heard()
        door = TerminalDoor("127.0.0.1", 0, heard, CONNECTIONS_MAX, FRAME_BYTES_MAX, idle_timeout_s)
        async with asyncio.timeout(LIMIT_S):
            await door.start()
            try:
                await story(door, heard)
            finally:
                await door.stop()
                while KNOCKED:
                    KNOCKED.pop().abort()
                await asyncio.sleep(0)

    asyncio.run(run())


KNOCKED: list[Channel] = []


async def knock(door: TerminalDoor) -> Channel:
    KNOCKED.append(await connect_tcp("127.0.0.1", door.port, 5))
    return KNOCKED[-1]


async def one_frame(channel: Channel) -> bytes | None:
    framer = LengthPrefixed()
    while data := await channel.receive():
        if frames := framer.feed(data):
            return frames[0]
    return None


def test_a_question_gets_its_answer() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        terminal.send(with_length(b"question"))
        connection, frame = await heard.expect("frame")
        assert frame == b"question"
        assert door.connections.answer(connection, b"answer") is True
        assert await one_frame(terminal) == b"answer"
        terminal.abort()
        assert (await heard.expect("closed"))[0] == connection
        assert door.connections.answer(connection, b"too late") is False

    play(story)


def test_answers_find_their_own_terminal() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        first, second = await knock(door), await knock(door)
        first.send(with_length(b"one"))
        one, _ = await heard.expect("frame")
        second.send(with_length(b"two"))
        two, _ = await heard.expect("frame")
        assert one != two
        assert len(door.connections) == 2
        assert door.connections.answer(two, b"for two")
        assert door.connections.answer(one, b"for one")
        assert await one_frame(first) == b"for one"
        assert await one_frame(second) == b"for two"
        first.abort()
        second.abort()

    play(story)


def test_a_name_is_never_used_again() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        names = set()
        for _ in range(5):
            terminal = await knock(door)
            terminal.send(with_length(b"x"))
            names.add((await heard.expect("frame"))[0])
            await terminal.close()
            await heard.expect("closed")
        assert len(names) == 5

    play(story)


def test_garbage_ends_its_own_connection_only() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        good, bad = await knock(door), await knock(door)
        bad.send(with_length(b"still good") + b"\xff\xff" + b"g" * 200)
        name, frame = await heard.expect("frame")
        assert frame == b"still good"
        assert await heard.expect("unreadable") == (name, (b"\xff\xff" + b"g" * 200)[:64])
        assert await heard.expect("closed") == (name, b"")
        assert await one_frame(bad) is None
        good.send(with_length(b"unharmed"))
        assert (await heard.expect("frame"))[1] == b"unharmed"
        good.abort()

    play(story)


def test_one_too_many_is_turned_away_and_the_others_stay() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        inside = [await knock(door) for _ in range(CONNECTIONS_MAX)]
        for terminal in inside:
            terminal.send(with_length(b"here"))
            await heard.expect("frame")
        newest = await knock(door)
        assert await one_frame(newest) is None
        assert door.connections.refused == 1
        assert len(door.connections) == CONNECTIONS_MAX
        shown = door.shown()
        assert (shown.up, shown.connected, shown.refused) == (True, CONNECTIONS_MAX, 1)
        assert shown.refused_first_s == shown.refused_last_s
        assert shown.refused_last_s is not None
        for terminal in inside:
            terminal.send(with_length(b"here"))
            await heard.expect("frame")
        inside[0].abort()
        await heard.expect("closed")
        again = await knock(door)
        again.send(with_length(b"room again"))
        assert (await heard.expect("frame"))[1] == b"room again"
        for terminal in [*inside, again]:
            terminal.abort()

    play(story)


def test_whoever_only_holds_places_keeps_no_terminal_out() -> None:
    """Silent connections, or half a frame, as many as there are places: the oldest gives way, those who spoke stay."""

    async def story(door: TerminalDoor, heard: Heard) -> None:
        good = await knock(door)
        good.send(with_length(b"first"))
        name, _ = await heard.expect("frame")
        for number in range(5 * CONNECTIONS_MAX):
            idler = await knock(door)
            idler.send(b"\x00\x09ab"[: number % 5])
        await heard.expect("closed")
        late = await knock(door)
        late.send(with_length(b"in time"))
        async with asyncio.timeout(5):
            while (got := await heard.queue.get())[0] != "frame":
                pass
        assert got[2] == b"in time"
        assert len(door.connections) <= CONNECTIONS_MAX
        assert door.connections.answer(name, b"for the first")
        assert await one_frame(good) == b"for the first"
        assert door.shown().refused > 0

    play(story)


def test_who_floods_the_door_loses_his_own() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        slow = socket.create_connection(("127.0.0.1", door.port), source_address=("127.0.0.2", 0))
        while not len(door.connections):
            await asyncio.sleep(0)
        flood = [await knock(door) for _ in range(4 * CONNECTIONS_MAX)]
        slow.sendall(with_length(b"at last"))
        async with asyncio.timeout(5):
            while (got := await heard.queue.get())[0] != "frame":
                pass
        assert (got[1].split(":")[0], got[2]) == ("127.0.0.2", b"at last")
        assert flood
        slow.close()

    play(story)


def test_a_terminal_that_never_reads_is_dropped_alone() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        deaf, good = await knock(door), await knock(door)
        deaf.send(with_length(b"ask"))
        name, _ = await heard.expect("frame")
        answer = b"a" * 60_000
        given = 0
        while door.connections.answer(name, answer):
            given += 1
            assert given < 1000, "output to one terminal must be bounded"
        assert await heard.expect("closed") == (name, b"")
        assert connections.OUTPUT_BYTES_MAX < 1024 * 1024
        good.send(with_length(b"unharmed"))
        assert (await heard.expect("frame"))[1] == b"unharmed"
        deaf.abort()
        good.abort()

    play(story)


def test_silence_ends_a_connection() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        assert await one_frame(terminal) is None
        await heard.expect("closed")
        assert len(door.connections) == 0

    play(story, idle_timeout_s=0.05)


def test_a_connection_that_says_no_whole_frame_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SILENCE_S_MAX", 0.2)

    async def story(door: TerminalDoor, heard: Heard) -> None:
        dripping, good = await knock(door), await knock(door)
        good.send(with_length(b"whole"))
        assert (await heard.expect("frame"))[1] == b"whole"
        for byte in b"\x00\x09abc":
            dripping.send(bytes([byte]))
            await asyncio.sleep(0.05)
        await heard.expect("closed")
        good.send(with_length(b"still here"))
        assert (await heard.expect("frame"))[1] == b"still here"
        dripping.abort()
        good.abort()

    play(story)


def test_an_answer_counts_as_life() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        terminal.send(with_length(b"ask"))
        name, _ = await heard.expect("frame")
        for _ in range(6):
            await asyncio.sleep(0.1)
            assert door.connections.answer(name, b"wait")
        terminal.abort()

    play(story, idle_timeout_s=0.3)


def test_dropping_one_by_name() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        terminal.send(with_length(b"ask"))
        name, _ = await heard.expect("frame")
        door.connections.close(name)
        door.connections.close("nobody")
        assert await heard.expect("closed") == (name, b"")
        assert await one_frame(terminal) is None

    play(story)


def test_stopping_flushes_answers_and_hangs_up() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        terminal.send(with_length(b"ask"))
        name, _ = await heard.expect("frame")
        assert door.connections.answer(name, b"last words")
        await door.stop()
        assert await heard.expect("closed") == (name, b"")
        assert await one_frame(terminal) == b"last words"
        assert await one_frame(terminal) is None
        with pytest.raises(ConnectionRefusedError):
            await knock(door)

    play(story)


def test_closing_the_door_serves_who_is_inside() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        terminal = await knock(door)
        terminal.send(with_length(b"ask"))
        name, _ = await heard.expect("frame")
        door.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await knock(door)
        assert door.connections.answer(name, b"answer")
        assert await one_frame(terminal) == b"answer"
        terminal.abort()

    play(story)


def test_an_answer_that_its_length_cannot_say_is_refused_loudly() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        with pytest.raises(CannotEncode):
            door.connections.answer("anyone", b"")

    play(story)


@pytest.mark.parametrize(
    ("host", "kind", "hint"),
    [
        ("127.0.0.1", ConfigError, "in use; stop the program"),
        ("192.0.2.1", NotHere, "it comes up later, or give the door an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_line(host: str, kind: type[PosdError], hint: str) -> None:
    """One that is not this machine's may be so after a boot: no bad configuration, with which systemd gives up."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            door = TerminalDoor(host, port, Heard(), CONNECTIONS_MAX, FRAME_BYTES_MAX, 60)
            with pytest.raises(kind) as caught:
                await door.start()
        assert isinstance(caught.value, ConfigError) is (kind is ConfigError)
        text = str(caught.value)
        assert text.startswith(f"cannot listen for terminals on {host}:{port}: ")
        assert hint in text
        assert "\n" not in text
        await door.stop()

    asyncio.run(run())
