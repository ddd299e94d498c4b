"""A serial cable between two real ptys, which a test can make noisy, cut, pull out and put back.

`near` and `far` are the paths to open; they are links, as udev makes them, and vanish while the cable is pulled out.
Needs a running loop from `plug` to `unplug`.
"""

import asyncio
import os
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Change = Callable[[bytes], bytes]


def unchanged(data: bytes) -> bytes:
    return data


@dataclass
class Cable:
    """`to_far` and `to_near` change what passes; `passed` holds it, as (direction, bytes after the change)."""

    folder: Path
    to_far: Change = unchanged
    to_near: Change = unchanged
    passed: list[tuple[str, bytes]] = field(default_factory=list)
    _masters: tuple[int, ...] = ()
    _slaves: tuple[int, ...] = ()
    _waiting: dict[int, bytearray] = field(default_factory=dict)

    @property
    def near(self) -> str:
        return str(self.folder / "ttyNEAR")

    @property
    def far(self) -> str:
        return str(self.folder / "ttyFAR")

    def plug(self) -> "Cable":
        pairs = [os.openpty() for _ in range(2)]
        self._masters, self._slaves = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
        for slave, link in zip(self._slaves, (self.near, self.far), strict=True):
            tty.setraw(slave)
            os.symlink(os.ttyname(slave), link)
        near, far = self._masters
        for master in self._masters:
            os.set_blocking(master, False)
            self._waiting[master] = bytearray()
        asyncio.get_running_loop().add_reader(near, self._carry, near, far)
        asyncio.get_running_loop().add_reader(far, self._carry, far, near)
        return self

    def unplug(self) -> None:
        """As an adapter pulled out: the nodes vanish, whoever has them open is hung up on."""
        loop = asyncio.get_running_loop()
        for link in (self.near, self.far):
            if os.path.islink(link):
                os.unlink(link)
        for master in self._masters:
            loop.remove_reader(master)
            loop.remove_writer(master)
            os.close(master)
        for slave in self._slaves:
            os.close(slave)
        self._masters, self._slaves, self._waiting = (), (), {}

    def _carry(self, source: int, sink: int) -> None:
        try:
            data = os.read(source, 65_536)
        except (BlockingIOError, OSError):
            return
        towards = "far" if source == self._masters[0] else "near"
        data = (self.to_far if towards == "far" else self.to_near)(data)
        if data:
            self.passed.append((towards, data))
            self._waiting[sink] += data
            self._push(sink)

    def _push(self, sink: int) -> None:
        waiting = self._waiting[sink]
        try:
            while waiting:
                del waiting[: os.write(sink, waiting)]
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(sink, self._push, sink)
        else:
            asyncio.get_running_loop().remove_writer(sink)

    def say(self, towards: str, data: bytes) -> None:
        """Noise: bytes that neither side sent."""
        sink = self._masters[1] if towards == "far" else self._masters[0]
        self._waiting[sink] += data
        self._push(sink)
