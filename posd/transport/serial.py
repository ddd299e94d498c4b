"""A serial port as a `Channel` of raw bytes: pyserial opens and configures it, asyncio drives its descriptor.

The port is ours alone (flock): a second program that asks is refused by name. A port that vanishes (adapter pulled out)
ends the channel with a reason, as a lost connection does; opening it again is the owner's business. Closing never waits
in the kernel for a peer that has stopped reading: what is still unsent is thrown away first.
It must never retry, frame or interpret anything; frames are serial_line.py's.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from typing import Protocol

import serial

from posd.addresses import SerialAddress

RECEIVE_BUFFER_BYTES_MAX = 64 * 1024
READ_BYTES = 16 * 1024
CLOSE_TIMEOUT_S = 2.0
CLOSE_POLL_S = 0.01
ABSENT = frozenset({errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO})
"""Nothing is plugged in there, or it is just being unplugged: it may come back."""

PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
IFLAG = 0


class Port(Protocol):
    """What a channel needs of an open port."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class SerialChannel:
    """One open port, kept to `posd.transport.contract.Channel`. Its owner gives up the port by giving it away here."""

    def __init__(self, port: Port, peer: str) -> None:
        self._port, self._peer = port, peer
        self._fd = port.fileno()
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._received, self._unsent = bytearray(), bytearray()
        self._arrived, self._flushed = asyncio.Event(), asyncio.Event()
        self._flushed.set()
        self._ending = ""
        self._gone = self._closing = False
        self._loop.add_reader(self._fd, self._readable)
        self._paused = False

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
        return len(self._unsent)

    async def receive(self) -> bytes:
        while not self._received and not self._ending:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._paused and not self._gone:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable)
        return data

    def send(self, data: bytes) -> None:
        if self._gone or self._closing:
            return
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._write()

    async def drained(self) -> None:
        await self._flushed.wait()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._received.clear()
        self._throw_away()
        self._release()

    async def close(self) -> None:
        self._end("closed by this side")
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._flushed.wait()
                while not self._gone and self._kernel_holds():
                    await asyncio.sleep(CLOSE_POLL_S)
        except TimeoutError:
            self._throw_away()
        self._release()

    # The event loop calls these.

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if not data:  # with VMIN = 1 nothing else reads as no bytes
            self._lost(OSError(errno.EIO, "it hung up"))
            return
        self._received += data
        self._arrived.set()
        if len(self._received) >= RECEIVE_BUFFER_BYTES_MAX:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def _write(self) -> None:
        """Give the kernel what it takes, and come back when it takes more."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self._fd, self._unsent)]
        except (BlockingIOError, InterruptedError):
            self._flushed.clear()
            self._loop.add_writer(self._fd, self._write)
        except OSError as error:
            self._lost(error)
        else:
            self._loop.remove_writer(self._fd)
            self._flushed.set()

    def _lost(self, error: OSError) -> None:
        self._end(f"lost: {self._peer} is gone ({(error.strerror or str(error)).lower()})")
        self._throw_away()
        self._release()

    def _kernel_holds(self) -> int:
        """Bytes that the kernel has taken and not sent."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
        except OSError:
            return 0

    def _end(self, why: str) -> None:
        self._ending = self._ending or why
        self._arrived.set()

    def _throw_away(self) -> None:
        """What the kernel holds: else closing may wait half a minute in the kernel for a deaf peer."""
        if not self._gone:
            with contextlib.suppress(OSError, termios.error):  # it may have vanished
                termios.tcflush(self._fd, termios.TCIOFLUSH)

    def _release(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._unsent.clear()
        self._flushed.set()
        self._port.close()


def open_serial(address: SerialAddress) -> SerialChannel:
    """The port, opened, locked and configured; call it in the running loop. Raises OSError naming the device."""
    try:
        port = serial.Serial(
            address.device,
            baudrate=address.baud,
            bytesize=serial.EIGHTBITS,
            parity=PARITY[address.parity],
            stopbits=address.stop,
            rtscts=address.flow == "rtscts",
            inter_byte_timeout=0,  # VMIN = 1: a read of no bytes means a hang-up, and nothing else does
            exclusive=True,
        )
        try:
            _report_parity(port.fileno(), address)
        except (OSError, termios.error):
            port.close()
            raise
    except serial.SerialException as error:
        raise _explained(address, error.errno) from None
    except (OSError, ValueError, termios.error) as error:
        raise _explained(address, error.args[0] if error.args and isinstance(error.args[0], int) else None) from None
    return SerialChannel(port, address.device)


def _report_parity(descriptor: int, address: SerialAddress) -> None:
    """A byte with wrong parity becomes a NUL (pyserial sets parity up, but leaves the checking off)."""
    if address.parity != "none":
        attributes = termios.tcgetattr(descriptor)
        attributes[IFLAG] |= termios.INPCK
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _explained(address: SerialAddress, number: int | None) -> OSError:
    match number:
        case errno.EAGAIN | errno.EBUSY:
            return OSError(errno.EBUSY, f"cannot open {address.device}: another program holds it")
        case None | errno.ENOTTY | errno.EINVAL | errno.EISDIR:
            return OSError(errno.ENOTTY, f"cannot open {address.device}: it is no serial port with these settings")
        case _:
            return OSError(number, f"cannot open {address.device}: {os.strerror(number).lower()}")
