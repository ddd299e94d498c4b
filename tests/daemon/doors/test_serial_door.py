"""The serial door on real ptys: a terminal on a line, an adapter pulled out and put back, a port that is held."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posd.addresses import SerialAddress
from posd.daemon.doors.all_doors import Doors
from posd.daemon.doors.serial_door import SerialDoor
from posd.daemon.doors.terminal_door import TerminalDoor
from posd.daemon.links.backoff import Backoff
from posd.errors import ConfigError
from posd.framing.length_prefix import with_length
from posd.framing.stx import stx_frame
from posd.transport.serial import open_serial
from posd.transport.tcp import connect_tcp
from simulators.serial_line.port import SerialPort
from simulators.serial_line.where import SerialAt
from tests.daemon.doors.test_terminal_door import Heard, one_frame
from tests.transport.cable import Cable

LIMIT_S = 10
QUICK = {"ack_timeout_s": 0.3, "inter_byte_s": 0.1}
Story = Callable[[Cable, SerialDoor, Heard], Awaitable[None]]


def a_door(device: str, heard: Heard, numbers: "itertools.count[int] | None" = None) -> SerialDoor:
    address = SerialAddress(device, **QUICK)  # type: ignore[arg-type]
    backoff = Backoff(0.01, 0.02, random.Random(1))
    return SerialDoor(address, heard, 4096, backoff, numbers or itertools.count(1))


def play(folder: Path, story: Story) -> None:
    async def run() -> None:
        heard = Heard()
        cable = Cable(folder).plug()
        door = a_door(cable.near, heard)
        async with asyncio.timeout(LIMIT_S):
            await door.start()
            try:
                await story(cable, door, heard)
            finally:
                await door.stop()
                cable.unplug()

    asyncio.run(run())


def terminal(cable: Cable) -> SerialPort:
    return SerialPort(SerialAt(cable.far, ack_timeout_s=0.3, inter_byte_s=0.1))


async def heard_by(port: SerialPort) -> bytes:
    size = int.from_bytes(await port.reader.readexactly(2), "big")
    return await port.reader.readexactly(size)


def test_a_question_gets_its_answer(tmp_path: Path) -> None:
    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        port = terminal(cable)
        port.write(with_length(b"question"))
        connection, frame = await heard.expect("frame")
        assert (connection, frame) == (f"{cable.near}#1", b"question")
        assert door.connections.answer(connection, b"answer") is True
        assert await heard_by(port) == b"answer"
        port.close()

    play(tmp_path, story)


def test_silence_ends_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else waits for its place."""
    monkeypatch.setattr("posd.daemon.doors.connections.SILENCE_S_MAX", 0.01)

    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        await asyncio.sleep(0.1)
        port = terminal(cable)
        port.write(with_length(b"after a long night"))
        assert (await heard.expect("frame"))[0] == f"{cable.near}#1"
        port.close()

    play(tmp_path, story)


def test_an_adapter_pulled_out_and_put_back(tmp_path: Path) -> None:
    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        port = terminal(cable)
        port.write(with_length(b"question"))
        first, _ = await heard.expect("frame")
        cable.unplug()
        assert await heard.expect("closed") == (first, b"")
        assert door.connections.answer(first, b"lost") is False, "D16: not handed over"
        await asyncio.sleep(0.1)
        cable.plug()
        port.close()
        port = terminal(cable)
        port.write(with_length(b"again"))
        second, frame = await heard.expect("frame")
        assert frame == b"again"
        assert second != first
        assert door.connections.answer(first, b"lost") is False, "an answer never goes to another connection"
        assert door.connections.answer(second, b"answer") is True
        assert await heard_by(port) == b"answer"
        port.close()

    play(tmp_path, story)


def test_a_door_waits_for_an_adapter_that_comes_later(tmp_path: Path) -> None:
    async def run() -> None:
        heard, cable = Heard(), Cable(tmp_path)
        door = a_door(cable.near, heard)
        async with asyncio.timeout(LIMIT_S):
            await door.start()
            await asyncio.sleep(0.05)
            assert not door.shown().up
            assert door.shown().why.endswith("no such file or directory")
            cable.plug()
            port = terminal(cable)
            port.write(with_length(b"here I am"))
            assert (await heard.expect("frame"))[1] == b"here I am"
            assert (door.shown().up, door.shown().why, door.shown().connected) == (True, "", 1)
            port.close()
            await door.stop()
            cable.unplug()

    asyncio.run(run())


def test_a_port_that_another_holds_is_refused_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        cable = Cable(tmp_path).plug()
        holder = open_serial(SerialAddress(cable.near))
        door = a_door(cable.near, Heard())
        with pytest.raises(ConfigError) as caught:
            await door.start()
        text = str(caught.value)
        assert text.startswith(f"door.listen: cannot open {cable.near}: another program holds it; stop the program")
        await door.stop()
        holder.abort()
        cable.unplug()

    asyncio.run(run())


def test_what_is_no_port_is_refused_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "file").touch()
        door = a_door(str(tmp_path / "file"), Heard())
        with pytest.raises(ConfigError, match="file: it is no serial port with these settings; give the path"):
            await door.start()

    asyncio.run(run())


def test_a_terminal_that_never_acknowledges_is_hung_up_on_and_the_line_opened_again(tmp_path: Path) -> None:
    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        port = terminal(cable)
        port.write(with_length(b"question"))
        first, _ = await heard.expect("frame")
        while ("far", b"\x06") not in cable.passed:
            await asyncio.sleep(0.005)
        cable.to_far = lambda data: b""
        assert door.connections.answer(first, b"answer") is True, "on its way, as far as this side can know"
        assert await heard.expect("closed") == (first, b"")
        cable.to_far = lambda data: data
        port.write(with_length(b"next"))
        assert (await heard.expect("frame"))[1] == b"next"
        port.close()

    play(tmp_path, story)


def test_noise_is_no_end_of_the_line(tmp_path: Path) -> None:
    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        cable.say("near", b"\0\xff\x02\x99" * 50)
        await asyncio.sleep(0.2)
        cable.say("near", b"\0\0" + stx_frame(b"question") + b"\0")
        assert (await heard.expect("frame"))[0] == f"{cable.near}#1"

    play(tmp_path, story)


def test_stopping_flushes_the_answer_and_frees_the_port(tmp_path: Path) -> None:
    async def story(cable: Cable, door: SerialDoor, heard: Heard) -> None:
        port = terminal(cable)
        port.write(with_length(b"question"))
        connection, _ = await heard.expect("frame")
        assert door.connections.answer(connection, b"last words")
        await door.stop()
        assert await heard_by(port) == b"last words"
        open_serial(SerialAddress(cable.near)).abort()
        port.close()

    play(tmp_path, story)


def test_doors_side_by_side_answer_where_they_were_asked(tmp_path: Path) -> None:
    async def run() -> None:
        heard, cable, numbers = Heard(), Cable(tmp_path).plug(), itertools.count(1)
        tcp = TerminalDoor("127.0.0.1", 0, heard, 3, 4096, 60, numbers)
        doors = Doors([tcp, a_door(cable.near, heard, numbers)])
        async with asyncio.timeout(LIMIT_S):
            await doors.start()
            assert doors.where == [f"127.0.0.1:{tcp.port}", f"serial://{cable.near}"]
            socket, port = await connect_tcp("127.0.0.1", tcp.port, 5), terminal(cable)
            socket.send(with_length(b"by socket"))
            by_socket, _ = await heard.expect("frame")
            port.write(with_length(b"by line"))
            by_line, _ = await heard.expect("frame")
            assert doors.answer(by_line, b"for the line")
            assert doors.answer(by_socket, b"for the socket")
            assert not doors.answer("nobody#9", b"for nobody")
            assert await one_frame(socket) == b"for the socket"
            assert await heard_by(port) == b"for the line"
            socket.abort()
            port.close()
            await doors.stop()
            cable.unplug()

    asyncio.run(run())
