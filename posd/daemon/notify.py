"""Tells systemd how the daemon is: ready, status, alive, stopping (sd_notify(3)). A socket and a few lines.

Without systemd every call does nothing. It must never block, never raise, and never be fed by a timer of its
own: `watchdog` is called by whoever sees the loop make progress.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

STATUS_CHARACTERS_MAX = 200
LONG_START_S = 60
"""How much longer a start may take after each sign of progress."""
LAST_STEPS_S = 10
"""What an end takes beside what it waits for."""


class Notifier:
    """Speaks to NOTIFY_SOCKET of `environ`; a name that begins with '@' is an abstract socket."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog_interval_s = _watchdog_interval_s(environ)
        """How often `watchdog` is expected, at half of systemd's limit; None when it does not ask for it."""

    def ready(self, status: str = "") -> None:
        """The journal is open and the doors are up."""
        self._say("READY=1", *_status(status))

    def starting(self, status: str) -> None:
        """A start that takes long makes progress: systemd must not end it, or it would never come to its end."""
        self._say(f"EXTEND_TIMEOUT_USEC={LONG_START_S * 1_000_000}", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._say(*_status(text))

    def watchdog(self) -> None:
        """The loop has made progress."""
        self._say("WATCHDOG=1")

    def reloading(self, monotonic_us: int) -> None:
        """The settings are being read again (Type=notify-reload); `ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def stopping(self, status: str = "", within_s: float = 0) -> None:
        """An orderly end has begun, and takes so long at most."""
        more = [f"EXTEND_TIMEOUT_USEC={round((within_s + LAST_STEPS_S) * 1_000_000)}"] if within_s else []
        self._say("STOPPING=1", *more, *_status(status))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _say(self, *lines: str) -> None:
        if self._socket is not None and lines:
            with suppress(OSError):  # systemd went away or is too busy: no reason to stop taking money
                self._socket.sendto("\n".join(lines).encode(), self._address)


def _status(text: str) -> list[str]:
    one_line = " ".join(text.split())[:STATUS_CHARACTERS_MAX]
    return [f"STATUS={one_line}"] if one_line else []


def _watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """Half of WATCHDOG_USEC, when it is meant for this process (WATCHDOG_PID)."""
    limit_us, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not limit_us.isdecimal() or int(limit_us) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(limit_us) / 2_000_000
