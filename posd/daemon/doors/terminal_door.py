"""The TCP door that terminals come in by: it listens, and gives each connection to Connections, which serves it.

Where it speaks TLS (`encrypt`), a connection is served when its handshake has succeeded.
"""

import errno
import itertools
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from posd.addresses import Address, TlsAddress
from posd.daemon.doors.connections import Connections, DoorListener
from posd.daemon.doors.door_view import DoorShown
from posd.errors import ConfigError, PosdError
from posd.transport.contract import Channel, ConfirmingChannel, Listener
from posd.transport.tcp import listen_tcp
from posd.values import Now

if TYPE_CHECKING:
    from posd.daemon.doors.handshakes import Handshakes

BIND_HINTS = {
    errno.EADDRINUSE: "stop the program that holds it, or give the door another port",
    errno.EADDRNOTAVAIL: "give the door an address of this machine; 127.0.0.1 is the default",
    errno.EACCES: "ports below 1024 need a privilege; give the door a higher one",
}
BIND_HINT_OTHER = "give the door an address and a port of this machine"


class NotHere(PosdError):
    """The address is not one of this machine, or not yet, as after a boot: status 3, so that systemd tries again."""


def not_to_be_had(whom: str, where: object, error: OSError) -> PosdError:
    """Why nobody can listen there for `whom`, and what to do."""
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    what = f"cannot listen for {whom} on {where}: {why.lower()}"
    if error.errno == errno.EADDRNOTAVAIL:
        return NotHere(f"{what}; it comes up later, or {BIND_HINTS[errno.EADDRNOTAVAIL]}")
    return ConfigError(f"{what}; {BIND_HINTS.get(error.errno or 0, BIND_HINT_OTHER)}")


class TerminalDoor:
    """Listens on `host`:`port` (0: any free port, see `port`) and serves `connections_max` terminals."""

    def __init__(
        self,
        host: str,
        port: int,
        listener: DoorListener,
        connections_max: int,
        frame_bytes_max: int,
        idle_timeout_s: float,
        numbers: Iterator[int] | None = None,
        *,
        bound: bool = False,
    ) -> None:
        self._host, self._asked_port = host, port
        self._door: Listener | None = None
        self._handshakes: Handshakes | None = None
        self.connections = Connections(
            listener, connections_max, frame_bytes_max, idle_timeout_s, numbers or itertools.count(1), bound=bound
        )

    @property
    def port(self) -> int:
        """The port as bound; 0 before `start`."""
        return 0 if self._door is None else self._door.port

    @property
    def where(self) -> str:
        """For a log."""
        port = self.port or self._asked_port
        return str(Address(self._host, port) if self._handshakes is None else TlsAddress(self._host, port))

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self._handshakes is not None

    def encrypt(self, context: ssl.SSLContext, now: Callable[[], Now]) -> None:
        """Speak TLS by this; said again it counts for whoever comes from now on."""
        from posd.daemon.doors.handshakes import Handshakes  # who does not use it does not pay for it

        if self._handshakes is None:
            where = str(TlsAddress(self._host, self._asked_port))
            self._handshakes = Handshakes(context, where, now, self.connections.accept)
        self._handshakes.context = context

    def shown(self) -> DoorShown:
        """How it is, for those who ask."""
        inside = self.connections
        up = self._door is not None
        refused = (inside.refused, inside.refused_first_s, inside.refused_last_s)
        shown = DoorShown("tcp", self.where, up, "", len(inside), inside.connections_max, *refused)
        if self._handshakes is None:
            return shown
        failed = self._handshakes.refused
        return replace(shown, unproven=failed.count, unproven_why=failed.why, unproven_last_s=failed.last_s)

    async def start(self) -> None:
        """Open the door. Raises ConfigError, NotHere naming the address when it cannot be had."""
        try:
            self._door = await listen_tcp(self._host, self._asked_port, self._accept)
        except OSError as error:
            raise not_to_be_had("terminals", f"{self._host}:{self._asked_port}", error) from None

    def stop_accepting(self) -> None:
        """Take no new connections; those that exist are served on."""
        if self._door is not None:
            self._door.close()

    async def stop(self) -> None:
        """Close the door and every connection, flushing answers for a limited time."""
        self.stop_accepting()
        if self._handshakes is not None:
            await self._handshakes.stop()
        await self.connections.stop()

    def _accept(self, channel: Channel) -> None:
        if self._handshakes is None:
            self.connections.accept(channel)
        elif isinstance(channel, ConfirmingChannel):
            self._handshakes.begin(channel)
