"""The raw port, on real ptys: what only a serial line promises; the rest is in the contract's suite."""

import asyncio
import contextlib
import errno
import os
import termios
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posd.addresses import SerialAddress
from posd.transport import serial
from posd.transport.serial import SerialChannel, open_serial
from tests.transport.cable import Cable

LIMIT_S = 10
Story = Callable[[Cable], Awaitable[None]]


def play(folder: Path, story: Story) -> None:
    async def run() -> None:
        cable = Cable(folder).plug()
        async with asyncio.timeout(LIMIT_S):
            try:
                await story(cable)
            finally:
                cable.unplug()

    asyncio.run(run())


def test_it_hangs_up_when_the_adapter_is_pulled_out(tmp_path: Path) -> None:
    async def story(cable: Cable) -> None:
        port = open_serial(SerialAddress(cable.near))
        waiting = asyncio.ensure_future(port.receive())
        await asyncio.sleep(0)
        cable.unplug()
        assert await waiting == b""
        assert port.ended
        assert port.ending.startswith(f"lost: {cable.near} is gone (")
        port.send(b"nobody hears this")
        assert port.unsent_bytes == 0
        await port.drained()
        await port.close()
        with pytest.raises(OSError, match=r"cannot open .*ttyNEAR: no such file") as caught:
            open_serial(SerialAddress(cable.near))
        assert caught.value.errno in serial.ABSENT
        cable.plug()
        again = open_serial(SerialAddress(cable.near))
        cable.say("near", b"back")
        assert await again.receive() == b"back"
        again.abort()

    play(tmp_path, story)


def test_the_port_is_exclusive_and_free_again_after_the_end(tmp_path: Path) -> None:
    async def story(cable: Cable) -> None:
        first = open_serial(SerialAddress(cable.near))
        with pytest.raises(OSError, match=r"cannot open .*ttyNEAR: another program holds it") as caught:
            open_serial(SerialAddress(cable.near))
        assert caught.value.errno == errno.EBUSY
        await first.close()
        second = open_serial(SerialAddress(cable.near))
        second.abort()
        open_serial(SerialAddress(cable.near)).abort()

    play(tmp_path, story)


def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no port")

    async def story(cable: Cable) -> None:
        for path in (tmp_path / "file", Path("/dev/null")):
            with pytest.raises(OSError, match="it is no serial port") as caught:
                open_serial(SerialAddress(str(path)))
            assert caught.value.errno == errno.ENOTTY
        with pytest.raises(OSError, match="cannot open"):
            open_serial(SerialAddress(str(tmp_path)))

    play(tmp_path, story)
    assert (tmp_path / "file").read_text() == "no port"


def test_every_byte_value_passes_unchanged(tmp_path: Path) -> None:
    """No echo, no line editing, no flow control characters eaten."""

    async def story(cable: Cable) -> None:
        near, far = open_serial(SerialAddress(cable.near)), open_serial(SerialAddress(cable.far))
        every = bytes(range(256)) * 4
        near.send(every)
        got = b""
        while len(got) < len(every):
            got += await far.receive()
        assert got == every
        assert near._received == b""
        near.abort()
        far.abort()

    play(tmp_path, story)


@pytest.mark.parametrize("parity", ["none", "even", "odd"])
def test_parity_is_checked_where_it_is_used(tmp_path: Path, parity: str) -> None:
    """pyserial alone sets the parity of what it sends and lets wrong parity pass."""

    async def story(cable: Cable) -> None:
        port = open_serial(SerialAddress(cable.near, parity=parity))  # type: ignore[arg-type]
        attributes = termios.tcgetattr(port._fd)
        assert bool(attributes[0] & termios.INPCK) == (parity != "none")
        assert not attributes[0] & (termios.PARMRK | termios.IGNPAR)
        port.abort()

    play(tmp_path, story)


def test_an_owner_that_does_not_read_bounds_what_is_held() -> None:
    async def run() -> None:
        master, slave = os.openpty()
        os.set_blocking(master, False)
        port = SerialChannel(os.fdopen(slave, "r+b", 0), "pty")
        tty.setraw(slave)
        given = 0
        for _ in range(400):
            with contextlib.suppress(BlockingIOError):
                given += os.write(master, b"z" * 4096)
            await asyncio.sleep(0)
        assert given > 2 * serial.RECEIVE_BUFFER_BYTES_MAX or port._paused
        assert len(port._received) <= serial.RECEIVE_BUFFER_BYTES_MAX + serial.READ_BYTES
        got = 0
        while got < given:
            got += len(await port.receive())
        assert got == given
        port.abort()
        os.close(master)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))


def test_closing_does_not_wait_for_a_peer_that_never_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "CLOSE_TIMEOUT_S", 0.05)

    async def run() -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        port = SerialChannel(os.fdopen(slave, "r+b", 0), "pty")
        port.send(b"x" * 1_000_000)
        assert port.unsent_bytes > 0
        waiter = asyncio.ensure_future(port.drained())
        await port.close()
        await waiter
        assert port.unsent_bytes == 0
        os.close(master)

    asyncio.run(asyncio.wait_for(run(), LIMIT_S))
