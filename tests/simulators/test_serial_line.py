"""The simulators' end of a serial line: its own reading of the frames, against bytes by hand and against posd's."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.addresses import SerialAddress
from posd.errors import ConfigError
from posd.framing.length_prefix import with_length
from posd.framing.stx import stx_frame
from posd.transport.serial_line import connect_serial
from simulators.serial_line.__main__ import gateway, main
from simulators.serial_line.port import SerialPort, framed
from simulators.serial_line.where import SerialAt, is_serial, serial_at
from simulators.terminal.__main__ import main as terminal
from tests.transport.cable import Cable

LIMIT_S = 10


def play(folder: Path, story: Callable[[Cable], Awaitable[None]]) -> None:
    async def run() -> None:
        cable = Cable(folder).plug()
        async with asyncio.timeout(LIMIT_S):
            try:
                await story(cable)
            finally:
                cable.unplug()

    asyncio.run(run())


def at(device: str, framing: str = "stx") -> SerialAt:
    return SerialAt(device, framing=framing, ack_timeout_s=0.3, inter_byte_s=0.1)


def test_golden_bytes() -> None:
    assert framed(b"12") == bytes.fromhex("02 0002 3132 03 02")


@given(st.binary(min_size=1, max_size=2000))
def test_two_readings_of_one_description_agree(body: bytes) -> None:
    assert framed(body) == stx_frame(body)


@pytest.mark.parametrize("framing", ["stx", "length"])
def test_it_talks_to_posds_end(tmp_path: Path, framing: str) -> None:
    async def story(cable: Cable) -> None:
        far = SerialPort(at(cable.far, framing))
        address = SerialAddress(cable.near, framing=framing)  # type: ignore[arg-type]
        near = await connect_serial(address, 4096, lambda *trouble: None)
        near.send(with_length(b"question"))
        heard = asyncio.ensure_future(near.receive())
        assert await far.reader.readexactly(10) == with_length(b"question")
        far.write(with_length(b"answer"))
        assert await heard == with_length(b"answer")
        far.close()
        near.abort()

    play(tmp_path, story)


def test_it_says_again_what_nobody_acknowledged_and_gives_up(tmp_path: Path) -> None:
    async def story(cable: Cable) -> None:
        cable.to_near = lambda data: b""
        near = SerialPort(at(cable.near))
        near.write(with_length(b"question"))
        assert await near.reader.read() == b""
        assert near.is_closing()
        assert [way for way, _ in cable.passed] == ["far"] * 4

    play(tmp_path, story)


def test_the_gateway_calls_the_host_again(tmp_path: Path) -> None:
    async def story(cable: Cable) -> None:
        calls = 0

        async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls
            calls += 1
            writer.write(await reader.read(100))
            writer.close()

        server = await asyncio.start_server(host, "127.0.0.1", 0)
        running = asyncio.create_task(gateway(at(cable.far), "127.0.0.1", server.sockets[0].getsockname()[1]))
        near = SerialPort(at(cable.near))
        for body in (b"one", b"two", b"three"):
            near.write(with_length(body))
            assert await near.reader.readexactly(len(body) + 2) == with_length(body)
            await asyncio.sleep(0.05)
        assert calls == 3
        cable.unplug()
        await running
        near.close()
        server.close()

    play(tmp_path, story)


def test_addresses() -> None:
    text = "serial:///dev/ttyS1?baud=9600&parity=even&stop=2&framing=length"
    assert is_serial(text)
    assert serial_at(text) == SerialAt("/dev/ttyS1", 9600, "E", 2, "length")
    for bad in ("?baud=x", "?parity=odd-ish", "?boud=1", "?framing=stc"):
        with pytest.raises(ConfigError):
            serial_at(f"serial:///dev/ttyS1{bad}")


def test_what_cannot_be_used_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--line", "serial:///dev/there-is-none", "--to", "127.0.0.1:1"]) == 2
    assert main(["--line", "serial:///dev/ttyS1?x=1", "--to", "127.0.0.1:1"]) == 2
    assert terminal(["--connect", "serial://", "--tid", "1" * 8, "--mid", "1" * 15]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "there-is-none" in errors[0]
