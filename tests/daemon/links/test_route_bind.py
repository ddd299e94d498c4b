"""Routes that leave this machine by their own interfaces: a network namespace is the host, two veth pairs lead to it.

A pulled cable is played as one is: the other end of the pair goes down, nobody says goodbye, and what was sent waits in
the kernel to be sent again.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from posd.daemon.links.route_choice import Health
from posd.transport.tcp import Source, connect_tcp
from tests.daemon.links.test_host_link import later
from tests.daemon.links.test_routes import HeardRoutes, routes_over, way

LIMIT_S = 20
HOST, PORT = "198.19.77.1", 5000
SILENCE_S = 0.4
PAUSE_S = 4.0
"""Longer than Linux keeps a packet for a neighbour that is silent (3 s): such a packet outlives its connection."""
LISTENER = """
import json, socketserver
class Frames(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            while head := self.rfile.read(2):
                frame = self.rfile.read(int.from_bytes(head, "big")).decode()
                print(json.dumps([self.client_address[0], frame]), flush=True)
        except OSError:
            pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
with Server(("198.19.77.1", 5000), Frames) as server:
    print("[]", flush=True)
    server.serve_forever()
"""


@dataclass
class Net:
    """Interfaces `wired` (198.18.77.0/25, the preferred way) and `mobile` (198.18.77.128/25) to the host."""

    namespace: str
    wired: str
    mobile: str
    listener: subprocess.Popen[str]

    def pull(self, interface: str) -> None:
        """The cable's other end."""
        run("ip", "-n", self.namespace, "link", "set", f"{interface}h", "down")

    def plug(self, interface: str) -> None:
        run("ip", "-n", self.namespace, "link", "set", f"{interface}h", "up")

    async def next(self) -> list[str]:
        """The next frame that arrives at the host: from which address, and what."""
        assert self.listener.stdout is not None
        line = await asyncio.get_running_loop().run_in_executor(None, self.listener.stdout.readline)
        found = json.loads(line)
        assert isinstance(found, list)
        return found


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)


def why_not() -> str:
    """Why no network namespace can be had here; empty: one can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None:
        return "there is no ip command"
    tried = subprocess.run(["ip", "netns", "add", f"posd{os.getpid()}"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", f"posd{os.getpid()}"], capture_output=True)
    return "" if tried.returncode == 0 else f"ip netns: {tried.stderr.strip()}"


@pytest.fixture
def net() -> Iterator[Net]:
    if why := why_not():
        pytest.skip(why)
    number = os.getpid() % 100_000
    namespace, wired, mobile = f"posd{number}", f"pw{number}", f"pm{number}"
    try:
        run("ip", "netns", "add", namespace)
        for interface, ours, theirs, metric in (
            (wired, "198.18.77.1", "198.18.77.2", "10"),
            (mobile, "198.18.77.129", "198.18.77.130", "20"),
        ):
            run("ip", "link", "add", interface, "type", "veth", "peer", f"{interface}h", "netns", namespace)
            run("ip", "addr", "add", f"{ours}/25", "dev", interface)
            run("ip", "link", "set", interface, "up")
            run("ip", "-n", namespace, "addr", "add", f"{theirs}/25", "dev", f"{interface}h")
            run("ip", "-n", namespace, "link", "set", f"{interface}h", "up")
            run("ip", "route", "add", f"{HOST}/32", "via", theirs, "dev", interface, "metric", metric)
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "addr", "add", f"{HOST}/32", "dev", "lo")
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", LISTENER]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "[]\n"
            yield Net(namespace, wired, mobile, listener)
            listener.terminate()
    finally:
        for interface in (wired, mobile):
            subprocess.run(["ip", "link", "del", interface], capture_output=True)
        subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def live(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await story()

    asyncio.run(limited())


def test_a_connection_leaves_by_the_interface_or_address_that_was_asked_for(net: Net) -> None:
    async def story() -> None:
        for source, seen in (
            (None, "198.18.77.1"),
            (Source(interface=net.wired), "198.18.77.1"),
            (Source(interface=net.mobile), "198.18.77.129"),
            (Source(address="198.18.77.1"), "198.18.77.1"),
        ):
            channel = await connect_tcp(HOST, PORT, 3, source)
            channel.send(b"\x00\x02hi")
            assert await net.next() == [seen, "hi"], source
            await channel.close()

    live(story)


def test_an_interface_or_address_that_is_not_there_is_named_as_such() -> None:
    async def story() -> None:
        with pytest.raises(OSError, match=r"cannot connect to 127.0.0.1:1: (No such device|Operation not permitted)"):
            await connect_tcp("127.0.0.1", 1, 3, Source(interface="nosuch0"))
        with pytest.raises(OSError, match=r"cannot connect to 127.0.0.1:1: Cannot assign requested address"):
            await connect_tcp("127.0.0.1", 1, 3, Source(address="192.0.2.1"))
        with pytest.raises(OSError, match=r"cannot connect to 127.0.0.1:1: Cannot assign requested address"):
            await connect_tcp("127.0.0.1", 1, 3, Source(address="::1"))

    live(story)


def test_d2_a_request_on_a_pulled_cable_never_arrives_after_its_reversal(net: Net) -> None:
    async def story() -> None:
        heard = HeardRoutes()
        ways = [
            way(name, partial(connect_tcp, HOST, PORT, 0.5, Source(interface=interface)))
            for name, interface in (("wired", net.wired), ("mobile", net.mobile))
        ]
        routes = routes_over(ways, heard, SILENCE_S, listen_s=30, pause_s=PAUSE_S)
        routes.start()
        await heard.expect("up")
        while routes.shown()[1].health is not Health.UP:
            await asyncio.sleep(0.01)
        assert routes.send("t#1", b"before", later())
        assert await net.next() == ["198.18.77.1", "before"]
        routes.withdraw("t#1")

        net.pull(net.wired)
        assert routes.send("t#2", b"sale", later())
        await asyncio.sleep(SILENCE_S * 1.2)
        routes.withdraw("t#2")  # its reply limit
        assert "said nothing" in str(await heard.expect("down"))
        await heard.expect("route")
        await heard.expect("up")
        assert routes.send("t#3", b"reversal", later())
        assert await net.next() == ["198.18.77.129", "reversal"]
        routes.withdraw("t#3")

        net.plug(net.wired)
        while routes.shown()[0].health not in (Health.PROVING, Health.UP):
            await asyncio.sleep(0.01)
        await asyncio.sleep(2.5)  # a connection that had been kept would have tried again by now
        while routes.active != "wired":
            await asyncio.sleep(0.01)
        assert routes.send("t#4", b"after", later())
        assert await net.next() == ["198.18.77.1", "after"], "and nothing between"
        await routes.stop()

    live(story)
