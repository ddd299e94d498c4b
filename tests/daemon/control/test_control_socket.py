"""The control socket with its own client, and with clients that know nothing, leave, or do not listen."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from posd.daemon.control import server as control_socket
from posd.daemon.control.server import ControlFailed, ControlServer, NoDaemon, Reply, Request, call
from posd.errors import ConfigError, PosdError

LIMIT_S = 10
VERBS = ("status", "settle", "approve")


class Desk:
    """A handler: says what it was asked, reports a settlement's progress, refuses, or waits to be let go."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.go = asyncio.Event()
        self.finished = asyncio.Event()

    async def handle(self, request: Request) -> AsyncIterator[Reply]:
        self.asked.append(request)
        match request.verb:
            case "status":
                yield Reply("result", {"echo": dict(request.args)})
            case "settle":
                yield Reply("progress", {"step": "draining"})
                await self.go.wait()
                for n in range(int(request.args.get("lines", 0))):
                    yield Reply("progress", {"n": n, "fill": "x" * 1000})
                yield Reply("progress", {"step": "totals"})
                self.finished.set()
                yield Reply("result", {"closed": 17})
            case _:
                raise PosdError("nothing waits for approval; see 'posd status'")


Story = Callable[[Path, Desk], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    async def run(story: Story) -> None:
        desk = Desk()
        server = ControlServer(tmp_path / "control", desk.handle, VERBS)
        async with asyncio.timeout(LIMIT_S):
            await server.start()
            try:
                await story(tmp_path / "control", desk)
            finally:
                await server.stop()
        assert not (tmp_path / "control").exists()

    return lambda story: asyncio.run(run(story))


async def ask(path: Path, verb: str, *args: Any, **more: Any) -> dict[str, Any]:
    return await asyncio.to_thread(partial(call, path, verb, *args, **more))


async def say(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send raw lines, close the sending side, and read every answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"".join(lines))
    writer.write_eof()
    answers = (await reader.read()).splitlines()
    writer.close()
    return [json.loads(answer) for answer in answers]


def test_a_verb_gets_its_result(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        assert await ask(path, "status", {"tid": "00012345"}) == {"echo": {"tid": "00012345"}}
        assert await ask(path, "status") == {"echo": {}}
        first, second = desk.asked
        assert first.id != second.id
        assert first.peer.uid == os.getuid()
        assert await ask(path, "status", request_id="my-own") == {"echo": {}}
        assert desk.asked[-1].id == "my-own"

    play(story)


def test_d36_progress_is_streamed_before_the_result(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        seen: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()

        def progress(data: dict[str, Any]) -> None:
            seen.append(data)
            loop.call_soon_threadsafe(desk.go.set)  # the handler waits for this: the first line came early

        assert await ask(path, "settle", {}, progress) == {"closed": 17}
        assert seen == [{"step": "draining"}, {"step": "totals"}]

    play(story)


def test_the_daemons_refusal_is_the_clients_error(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        with pytest.raises(ControlFailed, match="nothing waits for approval"):
            await ask(path, "approve")
        with pytest.raises(ControlFailed, match="did you mean 'settle'"):
            await ask(path, "setle")
        with pytest.raises(ControlFailed, match="approve, settle, status"):
            await ask(path, "zzz")

    play(story)


@pytest.mark.parametrize(
    ("line", "teaches"),
    [
        (b"hello\n", "one line of JSON"),
        (b"\xff\xfe\n", "one line of JSON"),
        (b"\n", "one line of JSON"),
        (b"[" * 50_000 + b"\n", "one line of JSON"),
        (b"[1]\n", "JSON object"),
        (b'{"v":1,"verb":"status"}\n', "'id' is a text"),
        (b'{"v":1,"id":"","verb":"status"}\n', "'id' is a text"),
        (b'{"v":2,"id":"a","verb":"status"}\n', "speaks version 1"),
        (b'{"id":"a","verb":"status"}\n', "speaks version 1"),
        (b'{"v":1,"id":"a","verb":"status","arg":{}}\n', "unknown member 'arg'"),
        (b'{"v":1,"id":"a"}\n', "'verb' is a text"),
        (b'{"v":1,"id":"a","verb":"status","args":[]}\n', "'args' an object"),
        (b'{"v":1,"id":"a","verb":"stats","args":{}}\n', "did you mean 'status'"),
        (b"x" * (control_socket.LINE_BYTES_MAX * 2) + b"\n", "at most 65536 bytes"),
    ],
)
def test_a_client_that_speaks_badly_is_taught(play: Callable[[Story], None], line: bytes, teaches: str) -> None:
    async def story(path: Path, desk: Desk) -> None:
        (answer,) = await say(path, line)
        assert (answer["v"], answer["kind"]) == (1, "error")
        assert teaches in answer["data"]["error"]
        assert not desk.asked
        assert await ask(path, "status") == {"echo": {}}

    play(story)


def test_a_bad_line_between_good_ones_costs_only_itself(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        good = b'{"v":1,"id":"%s","verb":"status"}\n'
        answers = await say(path, good % b"a", b"rubbish\n", good % b"b", b'{"v":1,"id":"half')
        assert {answer["id"]: answer["kind"] for answer in answers} == {
            "a": "result",
            None: "error",
            "b": "result",
        }

    play(story)


def test_leaving_cancels_nothing(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"v":1,"id":"a","verb":"settle","args":{"lines":50}}\n')
        assert b"draining" in await reader.readline()
        writer.transport.abort()
        await asyncio.sleep(0)
        desk.go.set()
        await desk.finished.wait()

    play(story)


def test_a_client_that_does_not_read_is_dropped_and_its_wish_goes_on(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        desk.go.set()
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.connect(str(path))
            deaf.sendall(b'{"v":1,"id":"a","verb":"settle","args":{"lines":5000}}\n')
            await desk.finished.wait()
            assert await ask(path, "status") == {"echo": {}}

    play(story)


def test_too_many_requests_are_told_so(play: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "RUNNING_MAX", 1)

    async def story(path: Path, desk: Desk) -> None:
        first = asyncio.ensure_future(ask(path, "settle"))
        while not desk.asked:
            await asyncio.sleep(0.001)
        with pytest.raises(ControlFailed, match="1 requests are in progress"):
            await ask(path, "status")
        desk.go.set()
        assert await first == {"closed": 17}

    play(story)


def test_silence_has_a_limit(play: Callable[[Story], None]) -> None:
    async def story(path: Path, desk: Desk) -> None:
        with pytest.raises(ControlFailed, match=r"silent for 0\.05 s"):
            await ask(path, "settle", timeout_s=0.05)

    play(story)


def test_a_daemon_that_ends_in_the_middle_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk()
        server = ControlServer(tmp_path / "control", desk.handle)
        await server.start()
        asking = asyncio.ensure_future(ask(tmp_path / "control", "settle"))
        while not desk.asked:
            await asyncio.sleep(0.001)
        await server.stop()
        with pytest.raises(ControlFailed, match=r"posd (ended|hung up)"):
            await asking

    asyncio.run(run())


def test_no_daemon_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match=r"no posd listens on .*absent"):
        call(tmp_path / "absent", "status")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(NoDaemon, match="no posd listens"):
        call(tmp_path / "dead", "status")


def test_a_dead_socket_is_replaced_and_the_mode_is_right(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "control"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        server = ControlServer(path, Desk().handle)
        await server.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert await ask(path, "status") == {"echo": {}}
        await server.stop()

    asyncio.run(run())


def test_a_second_posd_is_refused_and_the_first_lives_on(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "control"
        first, second = ControlServer(path, Desk().handle), ControlServer(path, Desk().handle)
        await first.start()
        with pytest.raises(ConfigError, match="another posd listens there"):
            await second.start()
        await second.stop()
        assert await ask(path, "status") == {"echo": {}}
        await first.stop()

    asyncio.run(run())


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(ConfigError, match="is no socket; move it away"):
        asyncio.run(ControlServer(tmp_path / "notes", Desk().handle).start())
    assert (tmp_path / "notes").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "why"), [("no/such/folder/control", "folder must exist"), ("x" * 120, "longer than 107 bytes")]
)
def test_a_place_that_cannot_be_is_one_line(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        asyncio.run(ControlServer(tmp_path / name, Desk().handle).start())
    assert "\n" not in str(caught.value)
