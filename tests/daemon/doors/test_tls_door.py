"""The door with TLS, with openssl as the terminal: whoever proves nothing comes in nowhere and disturbs nobody."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from posd.daemon.doors import handshakes
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.doors.terminal_door import TerminalDoor
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.transport.tls import TlsChannel, client_context, connect_tls, server_context
from posd.values import Now
from tests.daemon.doors.test_terminal_door import Heard
from tests.transport.openssl import client
from tests.transport.pki import EARLY, OLD, SELF, Pki

LIMIT_S = 20
CONNECTIONS_MAX = 3
WEAK = ("-cipher", "DEFAULT:@SECLEVEL=0")
Story = Callable[[TerminalDoor, Heard], Awaitable[None]]


def now() -> Now:
    return Now(time.time_ns() // 1_000_000, 0.0)


def play(story: Story, *, minimum: str = "1.2", mutual: bool = True, bound: bool = True) -> DoorShown:
    """How the door was at the end."""
    pki = Pki.shared()

    async def run() -> DoorShown:
        heard = Heard()
        door = TerminalDoor("127.0.0.1", 0, heard, CONNECTIONS_MAX, 4096, 60, bound=bound)
        authority = pki.ca if mutual else None
        context = server_context(pki.file("host.pem"), pki.file("host.key"), authority, minimum=minimum)  # type: ignore[arg-type]
        door.encrypt(context, now)
        async with asyncio.timeout(LIMIT_S):
            await door.start()
            try:
                await story(door, heard)
                return door.shown()
            finally:
                await door.stop()

    return asyncio.run(run())


async def until(true: Callable[[], object]) -> None:
    while not true():
        await asyncio.sleep(0.005)


def own(name: str, pki: Pki | None = None) -> tuple[str, ...]:
    pki = pki or Pki.shared()
    return ("-cert", str(pki.file(f"{name}.pem")), "-key", str(pki.file(f"{name}.key")))


async def terminal(door: TerminalDoor, name: str = "client") -> TlsChannel:
    pki = Pki.shared()
    context = client_context(pki.ca, pki.file(f"{name}.pem"), pki.file(f"{name}.key"))
    return await connect_tls("127.0.0.1", door.port, 5, context, "localhost")


async def one_frame(channel: TlsChannel) -> bytes | None:
    framer = LengthPrefixed()
    while data := await channel.receive():
        if frames := framer.feed(data):
            return frames[0]
    return None


REFUSED: dict[str, tuple[Callable[[Pki], tuple[str, ...]], str]] = {
    "no certificate, 1.3": (lambda pki: ("-tls1_3",), "it showed no certificate"),
    "no certificate, 1.2": (lambda pki: ("-tls1_2",), "it showed no certificate"),
    "another authority": (
        lambda pki: own("client", Pki.other()),
        "its certificate is of no authority that is trusted here",
    ),
    "self-signed": (
        lambda pki: own(pki.pair("selfclient", "10000001", by=SELF)),
        "its certificate is self-signed, and not the trusted one",
    ),
    "expired": (lambda pki: own(pki.pair("oldclient", "10000001", OLD)), "its certificate has expired"),
    "not valid yet": (lambda pki: own(pki.pair("soon", "10000001", EARLY)), "its certificate is not valid yet"),
    "TLS 1.0": (lambda pki: ("-tls1", *WEAK, *own("client")), "no common version of TLS"),
    "TLS 1.1": (lambda pki: ("-tls1_1", *WEAK, *own("client")), "no common version of TLS"),
}


@pytest.mark.parametrize(("options", "why"), REFUSED.values(), ids=REFUSED)
def test_a_terminal_that_proves_nothing_is_named_and_not_heard(
    options: Callable[[Pki], tuple[str, ...]], why: str
) -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        with client(door.port, "-quiet", *options(Pki.shared())) as running:
            with suppress(BrokenPipeError):
                running.type(with_length(b"a message"))
            await until(lambda: door.shown().unproven)
            await asyncio.to_thread(running.process.wait, LIMIT_S)
        good = await terminal(door)
        good.send(with_length(b"from a good one"))
        assert (await heard.expect("frame"))[1] == b"from a good one"
        await good.close()

    shown = play(story)
    assert shown.unproven == 1
    assert shown.unproven_why.startswith("no TLS with 127.0.0.1:")
    assert why in shown.unproven_why
    assert "\n" not in shown.unproven_why


def test_tls_1_2_where_1_3_is_the_least() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        with client(door.port, "-tls1_2", *own("client")):
            await until(lambda: door.shown().unproven)

    assert "no common version of TLS" in play(story, minimum="1.3").unproven_why


def test_what_is_no_tls_or_ends_in_the_handshake_is_named() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        for number, (bytes_, reset, why) in enumerate(
            [
                (b"\x00\x10plain ISO 8583", False, "what came is not TLS"),
                (b"GET / HTTP/1.1\r\n\r\n", False, "what came is not TLS"),
                (
                    b"\x16\x03\x01\x02\x00\x01",
                    True,
                    "ended the connection during the TLS handshake: lost: connection reset",
                ),
                (b"", False, "ended the connection during the TLS handshake: closed by the peer"),
            ],
            1,
        ):
            raw = socket.create_connection(("127.0.0.1", door.port))
            raw.sendall(bytes_)
            await asyncio.sleep(0.02)
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if reset or not bytes_:
                raw.close()
            await until(lambda number=number: door.shown().unproven == number)
            assert why in door.shown().unproven_why
            raw.close()

    play(story)


def test_half_open_handshakes_disturb_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there may be: the oldest give way, and terminals come in all the while."""
    monkeypatch.setattr(handshakes, "HALF_OPEN_MAX", 5)

    async def story(door: TerminalDoor, heard: Heard) -> None:
        silent = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(8)]
        good = await terminal(door)
        good.send(with_length(b"a sale"))
        assert (await heard.expect("frame"))[1] == b"a sale"
        await until(lambda: door.shown().unproven >= 3)
        assert "the oldest gave way" in door.shown().unproven_why
        assert door.shown().connected == 1
        assert len(door._handshakes._half_open) <= 5  # type: ignore[union-attr]
        await good.close()
        for one in silent:
            one.close()

    play(story)


def test_whoever_floods_the_door_loses_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow terminal of another machine keeps its handshake."""
    monkeypatch.setattr(handshakes, "HALF_OPEN_MAX", 5)

    async def story(door: TerminalDoor, heard: Heard) -> None:
        slow = socket.create_connection(("127.0.0.1", door.port), source_address=("127.0.0.2", 0))
        await until(lambda: len(door._handshakes._half_open) == 1)  # type: ignore[union-attr]
        flood = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)]
        await until(lambda: door.shown().unproven >= 16)
        waiting = door._handshakes._half_open.values()  # type: ignore[union-attr]
        assert "127.0.0.2" in {channel.peer.partition(":")[0] for channel in waiting}
        for one in (slow, *flood):
            one.close()

    play(story)


def test_a_flood_that_comes_all_at_once_leaves_no_descriptor_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that give way before their handshake has begun are hung up on too."""
    monkeypatch.setattr(handshakes, "HALF_OPEN_MAX", 5)

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def story(door: TerminalDoor, heard: Heard) -> None:
        good = await terminal(door)
        good.send(with_length(b"first"))
        assert (await heard.expect("frame"))[1] == b"first"
        before = descriptors()
        flood = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(60)]  # the loop stands still here
        await until(lambda: door.shown().unproven >= 55)
        for one in flood:
            one.close()
        await until(lambda: descriptors() <= before)
        good.send(with_length(b"still there"))
        assert (await heard.expect("frame"))[1] == b"still there"
        await good.close()

    play(story)


def test_a_handshake_that_is_never_finished_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S", 0.05)

    async def story(door: TerminalDoor, heard: Heard) -> None:
        with socket.create_connection(("127.0.0.1", door.port)) as raw:
            raw.sendall(b"\x16\x03\x01")
            await until(lambda: door.shown().unproven)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(raw.recv, 10)

    assert "no handshake within 0.05 s" in play(story).unproven_why


def test_renegotiation_is_refused_and_ends_nobody_else() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        other = await terminal(door)
        with client(door.port, "-tls1_2", *own("client")) as running:
            await until(lambda: door.shown().connected == 2)
            running.type(b"R\n")
            await until(lambda: b"RENEGOTIATING" in running.said)
            await asyncio.to_thread(running.process.wait, LIMIT_S)
            assert b"no renegotiation" in running.said
        other.send(with_length(b"a sale"))
        await until(lambda: door.shown().connected == 1)
        while (await heard.queue.get())[2] != b"a sale":
            pass
        await other.close()

    play(story)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_there_are_no_tickets_and_no_compression(version: str) -> None:
    """With a ticket a terminal would come back without showing a certificate that has expired meanwhile."""

    async def story(door: TerminalDoor, heard: Heard) -> None:
        with client(door.port, version, *own("client")) as running:
            await until(lambda: b"Verify return code" in running.said)
            await asyncio.sleep(0.05)
            assert b"Compression: NONE" in running.said
            assert b"ticket" not in running.said.lower()

    play(story)


@pytest.mark.parametrize("ended", [False, True], ids=["in time", "ended meanwhile"])
def test_a_session_that_comes_back_is_worth_what_its_certificate_is(ended: bool, tmp_path: Path) -> None:
    """A client of TLS 1.2 may come back by its session's id, and shows nothing then; a new context knows no session."""
    pki = Pki.shared()
    pki.pair("one", "10000001", sans=())
    session, late_ms = tmp_path / "session", 365 * 86_400_000 if ended else 0

    async def visit(door: TerminalDoor, heard: Heard, *options: str) -> tuple[bytes, frozenset[str] | None]:
        refused = door.shown().unproven
        with client(door.port, "-tls1_2", *own("one"), *options) as running:
            await until(lambda: b"Verify return code" in running.said)
            with suppress(BrokenPipeError):
                running.type(with_length(b"hello"))
            await until(lambda: door.shown().unproven > refused or not heard.queue.empty())
            names = None if heard.queue.empty() else door.connections.speaks_for((await heard.expect("frame"))[0])
            with suppress(BrokenPipeError):
                running.type(b"Q\n")  # a session that does not end in order is forgotten
            await asyncio.to_thread(running.process.wait, LIMIT_S)
        await until(lambda: door.shown().connected == 0)
        heard.queue = asyncio.Queue()
        return bytes(running.said), names

    async def story(door: TerminalDoor, heard: Heard) -> None:
        first, names = await visit(door, heard, "-sess_out", str(session))
        assert b"New, TLSv1.2" in first
        assert names == {"10000001"}
        door._handshakes.now = lambda: Now(now().wall_ms + late_ms, 0.0)  # type: ignore[union-attr]
        again, names = await visit(door, heard, "-sess_in", str(session))
        assert b"Reused, TLSv1.2" in again
        assert names == (None if ended else {"10000001"})
        door.encrypt(server_context(pki.file("host.pem"), pki.file("host.key"), pki.ca), now)
        anew, names = await visit(door, heard, "-sess_in", str(session))
        assert b"New, TLSv1.2" in anew
        assert names == {"10000001"}

    assert play(story).unproven == ended


def test_a_new_certificate_is_shown_to_whoever_comes_after_it(tmp_path: Path) -> None:
    pki = Pki.shared()

    async def story(door: TerminalDoor, heard: Heard) -> None:
        old = await terminal(door)
        pki.pair("renewed", "the new one")
        door.encrypt(server_context(pki.file("renewed.pem"), pki.file("renewed.key"), pki.ca), now)
        new = await terminal(door)
        assert (old.certificates[0].name, new.certificates[0].name) == ("host", "the new one")
        old.send(with_length(b"still there"))
        assert (await heard.expect("frame"))[1] == b"still there"
        await old.close()
        await new.close()

    play(story)


def test_d28_a_certificate_says_for_which_terminals_it_may_speak() -> None:
    pki = Pki.shared()
    pki.pair("one", "10000001", sans=())
    pki.pair("several", "a concentrator", sans=("10000001", "10000002"))

    async def story(door: TerminalDoor, heard: Heard) -> None:
        for name, names in (("one", {"10000001"}), ("several", {"a concentrator", "10000001", "10000002"})):
            channel = await terminal(door, name)
            channel.send(with_length(b"hello"))
            connection, _ = await heard.expect("frame")
            assert door.connections.speaks_for(connection) == names
            await channel.close()
            await heard.expect("closed")

    play(story)


def test_without_being_bound_it_may_speak_for_all() -> None:
    async def story(door: TerminalDoor, heard: Heard) -> None:
        channel = await terminal(door)
        channel.send(with_length(b"hello"))
        assert door.connections.speaks_for((await heard.expect("frame"))[0]) is None
        assert await until_answered(door, heard, channel)
        await channel.close()

    play(story, bound=False)


async def until_answered(door: TerminalDoor, heard: Heard, channel: TlsChannel) -> bool:
    channel.send(with_length(b"a question"))
    connection, _ = await heard.expect("frame")
    door.connections.answer(connection, b"an answer")
    return await one_frame(channel) == b"an answer"
