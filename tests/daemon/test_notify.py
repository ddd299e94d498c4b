"""What systemd would hear, on a real datagram socket."""

import os
import socket
from pathlib import Path

import pytest

from posd.daemon.notify import STATUS_CHARACTERS_MAX, Notifier


def hear(server: socket.socket) -> str:
    server.settimeout(5)
    return server.recv(4096).decode()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_each_word_arrives(tmp_path: Path, abstract: bool) -> None:
    name = f"@posd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name[1:] if abstract else name)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.starting("reading the journal")
        assert hear(server) == "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=reading the journal"
        notifier.ready("1 terminal, link down")
        assert hear(server) == "READY=1\nSTATUS=1 terminal, link down"
        notifier.status("two\nlines")
        assert hear(server) == "STATUS=two lines"
        notifier.watchdog()
        assert hear(server) == "WATCHDOG=1"
        notifier.reloading(123)
        assert hear(server) == "RELOADING=1\nMONOTONIC_USEC=123"
        notifier.stopping()
        assert hear(server) == "STOPPING=1"
        notifier.stopping("finishing", 45.5)
        assert hear(server) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=55500000\nSTATUS=finishing"
        notifier.status("x" * 1000)
        assert len(hear(server)) == len("STATUS=") + STATUS_CHARACTERS_MAX
        notifier.close()
        notifier.watchdog()


def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready("fine")
    notifier.watchdog()
    notifier.close()
    assert notifier.watchdog_interval_s is None


def test_a_systemd_that_went_away_or_does_not_read_stops_nobody(tmp_path: Path) -> None:
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.ready()
    gone.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "deaf"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(5000):
            notifier.watchdog()
        notifier.close()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_limit(environ: dict[str, str], interval_s: float | None) -> None:
    assert Notifier(environ).watchdog_interval_s == interval_s
