"""The doors of one daemon, side by side: an answer goes out by the door that its question came in by."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from posd.daemon.doors.connections import Connections
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.doors.terminal_door import TerminalDoor
from posd.values import Now


class Door(Protocol):
    """One way in for terminals."""

    connections: Connections

    @property
    def where(self) -> str:
        """For a log."""

    def shown(self) -> DoorShown:
        """How it is, for those who ask."""

    async def start(self) -> None:
        """Open it. Raises ConfigError when that can never succeed as things are configured."""

    def stop_accepting(self) -> None:
        """Nobody new; those that are connected are served on."""

    async def stop(self) -> None:
        """Close it and every connection, flushing answers for a limited time."""


class Doors:
    """All of them as one."""

    def __init__(self, doors: Sequence[Door]) -> None:
        self._doors = tuple(doors)

    @property
    def where(self) -> list[str]:
        """For a log."""
        return [door.where for door in self._doors]

    def shown(self) -> list[DoorShown]:
        """How each is, for those who ask."""
        return [door.shown() for door in self._doors]

    def encrypt(self, context: ssl.SSLContext, now: Callable[[], Now]) -> None:
        """Doors with TLS speak it by this, to whoever comes from now on."""
        for door in self._doors:
            if isinstance(door, TerminalDoor) and door.encrypted:
                door.encrypt(context, now)

    def speaks_for(self, connection: str) -> frozenset[str] | None:
        """As Connections.speaks_for."""
        inside = (door.connections for door in self._doors if connection in door.connections)
        return next((connections.speaks_for(connection) for connections in inside), None)

    async def start(self) -> None:
        for door in self._doors:
            await door.start()

    def stop_accepting(self) -> None:
        for door in self._doors:
            door.stop_accepting()

    async def stop(self) -> None:
        await asyncio.gather(*(door.stop() for door in self._doors))

    def answer(self, connection: str, frame: bytes) -> bool:
        """As Connections.answer; False also where nobody of that name is connected any more (D16)."""
        for door in self._doors:
            if connection in door.connections:
                return door.connections.answer(connection, frame)
        return False
