"""One HTTP connection against anything: real sockets, an echoing handler, and every kind of bad client."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.daemon.till import http as till_http
from posd.daemon.till.http import BODY_BYTES_MAX, HEAD_BYTES_MAX, HttpConnection, HttpRequest
from posd.daemon.till.problem import HttpResponse, as_json

GOOD = b"POST /a/b%20c?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
Talk = Callable[[Path], Awaitable[None]]


async def echo(request: HttpRequest) -> HttpResponse:
    """What was understood."""
    return as_json(
        200, {"method": request.method, "path": list(request.path), "query": request.query, "body": len(request.body)}
    )


def serving(talk: Talk) -> None:
    """Let `talk` meet a server; whatever no connection expects fails the test."""

    async def run(path: Path) -> None:
        broken: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: broken.append(context))
        ending: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(HttpConnection(reader, writer, echo, loop.time).serve())
            ending.add(task)

        async with await asyncio.start_unix_server(accept, path):
            async with asyncio.timeout(20):
                await talk(path)
                await asyncio.gather(*ending)
        assert broken == []

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "s"))


async def said_to(path: Path, *parts: bytes, close: bool = True) -> bytes:
    """Everything that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    found = b""
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.write_eof()
        while data := await reader.read(65536):
            found += data
    writer.close()
    return found


def answers_in(data: bytes, methods: list[bytes] | None = None) -> list[tuple[int, bytes]]:
    """The responses, as another HTTP reader takes them: nothing else may stand between or after them."""
    found = []
    while data:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        status, body = 0, b""
        while True:
            event = client.next_event()
            assert event is not h11.NEED_DATA, "a response that is not whole"
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
        found.append((status, body))
        data = client.trailing_data[0]
    return found


def statuses(data: bytes) -> list[int]:
    return [status for status, _ in answers_in(data)]


def test_one_request() -> None:
    async def talk(path: Path) -> None:
        ((status, body),) = answers_in(await said_to(path, GOOD))
        assert status == 200
        assert json.loads(body) == {"method": "POST", "path": ["a", "b c"], "query": [["x", "1"]], "body": 2}

    serving(talk)


def test_one_byte_at_a_time_and_pipelined() -> None:
    async def talk(path: Path) -> None:
        assert statuses(await said_to(path, *[bytes([byte]) for byte in GOOD])) == [200]
        assert statuses(await said_to(path, GOOD * 5)) == [200] * 5
        assert statuses(await said_to(path, GOOD + b"nonsense\r\n\r\n" + GOOD)) == [200, 400]

    serving(talk)


def test_chunked_and_expected() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def talk(path: Path) -> None:
        ((status, body),) = answers_in(await said_to(path, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
        assert (status, json.loads(body)["body"]) == (200, 5)
        assert statuses(await said_to(path, head + b"zz\r\n")) == [400]
        assert statuses(await said_to(path, head + b"3000\r\n" + b"a" * 0x3000)) == [413]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert b"100" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"{}")
        assert b"200" in await reader.readline()
        writer.close()

    serving(talk)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (GOOD[:-1], 400),
        (GOOD.replace(b": 2", b": 3"), 400),
        (GOOD.replace(b": 2", b": -1"), 400),
        (GOOD.replace(b": 2", b": 2\r\nContent-Length: 3"), 400),
        (GOOD.replace(b": 2", b": 2\r\nTransfer-Encoding: chunked"), 400),
        (GOOD.replace(b": 2", b": 2, 2"), 200),
        (GOOD.replace(b": 2", b": " + b"9" * 30), 400),
        (GOOD.replace(b": 2", b": " + b"9" * 19), 413),
        (GOOD.replace(b": 2", b": " + str(BODY_BYTES_MAX + 1).encode()), 413),
        (GOOD.replace(b"HTTP/1.1", b"HTTX/1.1"), 400),
        (GOOD.replace(b"Host: h\r\n", b""), 400),
        (GOOD.replace(b"Host: h", b"Host: h\r\n X: folded\r\nA\x00b: 1"), 400),
        (GOOD.replace(b"Host: h", b"Host: h\r\n" + b"\r\n".join(b"X-%d: y" % n for n in range(90))), 431),
        (GOOD.replace(b"Host: h", b"Host: h\r\nX: " + b"y" * (2 * HEAD_BYTES_MAX)), 431),
        (GOOD.replace(b"/a/b%20c", b"/" + b"a" * 2000), 414),
        (GOOD.replace(b"%20", b"%ff"), 400),
        (GOOD.replace(b"?x=1", b"?x=%ff"), 400),
        (GOOD.replace(b"?x=1", b"?x"), 400),
        (GOOD.replace(b"/a/b%20c", b"http://[/"), 400),
        (GOOD.replace(b"Content-Length: 2", b"Transfer-Encoding: gzip"), 501),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n" * 3 + GOOD, 400),
    ],
)
def test_what_is_not_right_gets_one_answer_that_says_so(data: bytes, status: int) -> None:
    async def talk(path: Path) -> None:
        found = answers_in(await said_to(path, data))
        assert [code for code, _ in found] == [status]
        if found[0][0] != 200:
            said = json.loads(found[0][1])
            assert said["detail"]
            assert said["status"] == found[0][0]

    serving(talk)


@pytest.mark.parametrize("method", [b"HEAD", b"CONNECT", b"TRACE", b"OPTIONS", b"QUERY", b"GET"])
def test_any_method_and_a_wish_for_another_protocol(method: bytes) -> None:
    async def talk(path: Path) -> None:
        wish = b"Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket"
        said = await said_to(path, GOOD.replace(b"POST", method).replace(b"Host: h", wish))
        assert said.startswith(b"HTTP/1.1 405 " if method == b"CONNECT" else b"HTTP/1.1 200 ")
        if method == b"HEAD":
            assert said.endswith(b"\r\n\r\n")

    serving(talk)


def test_a_fault_of_ours_ends_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(path: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(HttpConnection, "_read", lambda self, head: 1 / 0)
            assert await said_to(path, GOOD) == b""
        assert statuses(await said_to(path, GOOD)) == [200]

    serving(talk)


def test_a_client_that_sends_nothing_or_leaves_is_no_error() -> None:
    async def talk(path: Path) -> None:
        assert await said_to(path) == b""
        for length in range(1, len(GOOD)):
            assert statuses(await said_to(path, GOOD[:length])) in ([], [400])

    serving(talk)


def test_a_slow_request_is_told_so_and_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till_http, "REQUEST_S_MAX", 0.05)
    monkeypatch.setattr(till_http, "IDLE_S_MAX", 0.05)

    async def talk(path: Path) -> None:
        assert statuses(await said_to(path, GOOD[:-1], close=False)) == [408]
        assert statuses(await said_to(path, GOOD, close=False)) == [200]

    serving(talk)


def test_a_client_that_never_reads_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till_http, "WRITE_S_MAX", 0.05)
    monkeypatch.setattr(till_http, "LINGER_S_MAX", 0.05)

    async def talk(path: Path) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.setblocking(False)
        line.connect(str(path))
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(50):
                await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(line, GOOD * 2000), 5)
        line.close()

    serving(talk)


HEADERISH = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b": ", b"HTTP/1.1", b"Content-Length: ", b"chunked", b"\x00", b"0", b"9"]
)
DAMAGE = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.one_of(st.binary(max_size=8), HEADERISH))


@given(data=st.one_of(st.binary(max_size=300), st.lists(HEADERISH, max_size=30).map(b"".join)))
@settings(max_examples=120, deadline=None)
def test_any_bytes_get_whole_answers_or_none_and_the_next_client_is_served(data: bytes) -> None:
    async def talk(path: Path) -> None:
        statuses(await said_to(path, data))
        assert statuses(await said_to(path, GOOD)) == [200]

    serving(talk)


@given(damage=st.lists(DAMAGE, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_a_damaged_request_gets_whole_answers(damage: list[tuple[int, int, bytes]]) -> None:
    data = GOOD
    for at, cut, put in damage:
        data = data[:at] + put + data[at + cut :]

    async def talk(path: Path) -> None:
        assert all(status in (200, 400, 413, 414, 431, 501) for status in statuses(await said_to(path, data)))

    serving(talk)
