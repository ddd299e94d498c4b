"""The serial door: one line, one terminal, opened again for ever when its adapter is pulled out and put back.

What became of an answer while the line was down is not this door's to say: it counts as not handed over, and only the
terminal's own 0400 or its next request tells (D16). An acknowledgement on the line is about bytes, never about money.
"""

import asyncio
import errno
from collections.abc import Iterator

from posd.addresses import SerialAddress
from posd.daemon.doors.connections import Connections, DoorListener
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.links.backoff import Backoff
from posd.daemon.log import log
from posd.daemon.tasks import end, spawn
from posd.errors import ConfigError
from posd.transport.contract import Channel
from posd.transport.serial import ABSENT
from posd.transport.serial_line import connect_serial

OPEN_HINTS = {
    errno.EBUSY: "stop the program that holds it (another posd, a getty, ModemManager), or give the door another line",
    errno.EACCES: "let the user that runs posd use it: usermod -aG dialout posd",
    errno.ENOTTY: "give the path of a serial port, as /dev/ttyUSB0, and a rate that it can do",
}
OPEN_HINT_OTHER = "give the door the path of a serial port of this machine"


class SerialDoor:
    """Keeps the line at `address` open and serves the one terminal on it."""

    def __init__(
        self,
        address: SerialAddress,
        listener: DoorListener,
        frame_bytes_max: int,
        backoff: Backoff,
        numbers: Iterator[int],
    ) -> None:
        self._address, self._frame_bytes_max, self._backoff = address, frame_bytes_max, backoff
        self.connections = Connections(listener, 1, frame_bytes_max, None, numbers)
        self._task: asyncio.Task[None] | None = None
        self._down_because = ""
        self._closing = False

    @property
    def where(self) -> str:
        """For a log."""
        return str(self._address)

    def shown(self) -> DoorShown:
        """How it is, for those who ask."""
        there = len(self.connections)
        return DoorShown("serial", self.where, there > 0, "" if there else self._down_because, there, 1)

    async def start(self) -> None:
        """Open the line, or begin to wait for it where nothing is plugged in yet.

        Raises ConfigError naming the device when it is held by another, forbidden, or no serial port.
        """
        channel: Channel | None = None
        try:
            channel = await self._open()
        except OSError as error:
            if error.errno not in ABSENT:
                hint = OPEN_HINTS.get(error.errno or 0, OPEN_HINT_OTHER)
                raise ConfigError(f"door.listen: {error.strerror}; {hint}") from None
            self._say_down(error.strerror or str(error))
        self._task = spawn(self._keep(channel), f"serial door {self._address.device}")

    def stop_accepting(self) -> None:
        """The line is served on, but not opened again."""
        self._closing = True

    async def stop(self) -> None:
        """Flush the answers for a limited time and let the port go."""
        self.stop_accepting()
        await self.connections.stop()
        if self._task is not None:
            await end(self._task)

    async def _keep(self, channel: Channel | None) -> None:
        while True:
            if channel is not None:
                await self._serve(channel)
            if self._closing:
                return
            await asyncio.sleep(self._backoff.next())
            try:
                channel = await self._open()
            except OSError as error:
                channel = None
                self._say_down(error.strerror or str(error))

    async def _open(self) -> Channel:
        return await connect_serial(self._address, self._frame_bytes_max, say_trouble)

    async def _serve(self, channel: Channel) -> None:
        self._down_because = ""
        log.info("door_line_up", device=self._address.device)
        opened_s = asyncio.get_running_loop().time()
        serving = self.connections.accept(channel)
        assert serving is not None
        await asyncio.wait([serving])
        if asyncio.get_running_loop().time() - opened_s >= self._backoff.max_s:
            self._backoff.reset()  # it held: what ended it is not what made it fail before
        if not self._closing:
            self._say_down(channel.ending)

    def _say_down(self, why: str) -> None:
        if why != self._down_because:
            self._down_because = why
            log.warning("door_line_down", device=self._address.device, because=why)


def say_trouble(device: str, what: str, count: int) -> None:
    """What a serial line mends by itself, now and then (posd.transport.serial_line.Trouble)."""
    log.warning("line_trouble", device=device, what=what, count=count)
