"""Names of hosts to addresses, so that nobody has to wait for it but who asked: a resolver that is not there may take
half a minute to say so.

Each lookup has a thread of its own, which holds up no end of the process; the threads that an event loop has are few,
and tills and `posd status` need them too. A name is looked up once at a time, however many ask for it. It must never
remember an answer.
"""

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

Found = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]]
"""As socket.getaddrinfo gives it."""

_under_way: dict[tuple[str, int], "Future[Found]"] = {}


async def addresses_of(host: str, port: int) -> Found:
    """Of a TCP port. Raises OSError. Who leaves does not end what others wait for."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # asks nobody
    except (socket.gaierror, UnicodeError):
        pass
    found = _under_way.get((host, port))
    if found is None:
        found = _under_way[host, port] = Future()
        found.set_running_or_notify_cancel()  # from now on nobody can take it back
        threading.Thread(target=_look_up, args=(host, port, found), name="lookup", daemon=True).start()
    return await asyncio.wrap_future(found)


def _look_up(host: str, port: int, found: "Future[Found]") -> None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        del _under_way[host, port]
        found.set_exception(error if isinstance(error, OSError) else OSError("not a name of a host"))
    else:
        del _under_way[host, port]
        found.set_result(addresses)
