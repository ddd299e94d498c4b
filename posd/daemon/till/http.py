"""One HTTP/1.1 connection of a till: bytes to requests, responses to bytes. h11 reads, this waits and limits.

Total: whatever comes gives requests, or one problem and the end of the connection; never an exception, never memory
without a limit. It knows nothing of terminals or money.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from posd.daemon.control.roles import Role
from posd.daemon.fence import BUGS, because
from posd.daemon.log import alert
from posd.daemon.till.problem import HttpResponse, problem
from posd.values import NOBODY_KNOWN, Who

HEAD_BYTES_MAX = 16 * 1024
"""Request line and headers that are longer than this, and not whole yet, are refused."""
BODY_BYTES_MAX = 8 * 1024
"""More than any order needs."""
HEADERS_MAX = 64
TARGET_BYTES_MAX = 1024
CHUNK_BYTES = 16 * 1024
REQUEST_S_MAX = 10.0
"""From the first byte of a request to its last: what is slower is hung up on."""
IDLE_S_MAX = 120.0
"""A connection without a further request for so long is hung up on; the first has to come within REQUEST_S_MAX."""
WRITE_S_MAX = 10.0
"""A client that does not read for so long is hung up on."""
LINGER_S_MAX = 1.0
"""So long is what still comes thrown away, so that the last answer is not lost by a reset."""
LINGER_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may; by itself nobody, who may nothing."""

    who: Who = NOBODY_KNOWN
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """`path` is decoded segment by segment; `headers` by lower-case name, a repeated one joined by commas.

    `received_s`: the monotonic time of its first byte, from which the till's patience is counted (D17). `caller` is
    filled in by the door.
    """

    method: str
    path: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    received_s: float
    repeated: frozenset[str] = field(default_factory=frozenset)
    caller: Caller = Caller()


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class Unusable(Exception):
    """It is not a request that can be served; the answer is in it, and the connection ends."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.response = response


class HttpConnection:
    """Serves `handler`, one request after the other, pipelined ones too, until the client or a limit ends it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        now_s: Callable[[], float],
    ) -> None:
        self._reader, self._writer, self._handler, self._now_s = reader, writer, handler, now_s
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        writer.transport.set_write_buffer_limits(high=0)  # drained: the kernel has it
        self._received_s, self._served, self._head_only = 0.0, False, False
        self.busy = False
        """A request is being answered: it is not hung up on when posd stops."""
        self.last = False
        """No further request is served on this connection."""

    @property
    def has_asked(self) -> bool:
        """It has made one whole request."""
        return self._served or self.busy

    def cut_off(self) -> None:
        """End it without a word, whether or not `serve` has begun."""
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Until the end of the connection."""
        try:
            while await self._one():
                pass
            await hang_up(self._reader, self._writer)
        except (OSError, TimeoutError):
            self._writer.transport.abort()  # it is gone, or does not read: nothing more can be said
        except (h11.ProtocolError, *BUGS) as error:  # ours: this connection's end, not posd's (D4)
            alert("till_connection_failed", because=because(error), exc_info=error)
            self._writer.transport.abort()
        finally:
            self._writer.close()

    async def _one(self) -> bool:
        """One request and its answer; whether another may follow."""
        try:
            request = await self._request()
            if request is None:
                return False
            self.busy = True
            response = await self._handler(request)
            self._served, self.last = True, self.last or response.hangs_up
        except Unusable as unusable:
            response, self.last = unusable.response, True
        try:
            await self._respond(response)
        finally:
            self.busy = False
        if self.last or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    # --- reading -------------------------------------------------------------------------------------------------

    async def _request(self) -> HttpRequest | None:
        """The next request; None: the client has no more. Raises Unusable, OSError, TimeoutError."""
        try:
            head = await self._head()
            return None if head is None else await self._read(head)
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint if error.error_status_hint in (400, 413, 431, 501) else 400
            raise Unusable(problem(status, "not_http", _why_not_http(status))) from None

    async def _head(self) -> h11.Request | None:
        self._received_s = self._now_s() if self._http.trailing_data[0] else 0.0
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._received_s = self._received_s or self._now_s()
                self._head_only = event.method == b"HEAD"
                return event
            if event is not h11.NEED_DATA or not await self._more():
                return None

    async def _more(self) -> bool:
        """Feed the next bytes; False: the client closed, or kept us waiting for too long."""
        begun = self._received_s != 0.0
        idle_s = IDLE_S_MAX if self._served else REQUEST_S_MAX
        limit_s = self._received_s + REQUEST_S_MAX - self._now_s() if begun else idle_s
        if self._http.they_are_waiting_for_100_continue:
            await self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        try:
            async with asyncio.timeout(max(0.0, limit_s)):
                data = await self._reader.read(CHUNK_BYTES)
        except TimeoutError:
            if not begun:
                return False
            text = f"the request was not whole within {REQUEST_S_MAX:g} s; send it at once"
            raise Unusable(problem(408, "too_slow", text)) from None
        self._received_s = self._received_s or self._now_s()
        self._http.receive_data(data)
        return bool(data)

    async def _read(self, head: h11.Request) -> HttpRequest:
        """Headers and body. Raises Unusable."""
        names = [name.decode("ascii") for name, _ in head.headers]
        headers: dict[str, str] = {}
        for name, value in head.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if head.method == b"CONNECT":
            allow = (("allow", "GET, POST"),)
            raise Unusable(problem(405, "method_not_allowed", "this is no proxy", headers=allow))
        if len(names) > HEADERS_MAX:
            raise Unusable(problem(431, "too_many_headers", f"more than {HEADERS_MAX} headers; send fewer"))
        if len(head.target) > TARGET_BYTES_MAX:
            raise Unusable(problem(414, "target_too_long", f"the path has more than {TARGET_BYTES_MAX} bytes"))
        if int(headers.get("content-length", "0")) > BODY_BYTES_MAX:
            raise Unusable(problem(413, "body_too_long", f"a body has at most {BODY_BYTES_MAX} bytes"))
        path, query = _target(head.target)
        body = await self._body()
        repeated = frozenset(name for name in names if names.count(name) > 1)
        return HttpRequest(head.method.decode("ascii"), path, query, headers, body, self._received_s, repeated)

    async def _body(self) -> bytes:
        body = bytearray()
        while True:
            event = self._http.next_event()
            match event:
                case h11.Data(data=data):
                    body += data
                    if len(body) > BODY_BYTES_MAX:
                        raise Unusable(problem(413, "body_too_long", f"a body has at most {BODY_BYTES_MAX} bytes"))
                case h11.EndOfMessage():
                    return bytes(body)
                case h11.NEED_DATA:
                    await self._more()  # at its end, h11 says that the body is not whole
                case _:
                    raise Unusable(problem(400, "not_http", _why_not_http(400)))

    # --- writing -------------------------------------------------------------------------------------------------

    async def _respond(self, response: HttpResponse) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("content-type", response.content_type), ("cache-control", "no-store"), *response.headers]
        if response.stream is None:
            headers.append(("content-length", str(len(response.body))))
        if self.last:
            headers.append(("connection", "close"))
        data = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if response.stream is not None:
            self.busy, self.last = False, True
            await self._write(data)
            await self._stream(response.stream)
            return
        if self._head_only:
            data += self._http.send(h11.EndOfMessage()) or b""
            await self._write(data)
            return
        data += self._http.send(h11.Data(data=response.body)) or b""
        await self._write(data + (self._http.send(h11.EndOfMessage()) or b""))

    async def _stream(self, stream: AsyncGenerator[bytes, None]) -> None:
        """Until its source ends or the client is gone; what it sends meanwhile is thrown away, within a limit."""
        async with aclosing(stream):
            async for part in stream:
                if self._reader.at_eof() or self._writer.is_closing():
                    return
                if part:
                    await self._write(self._http.send(h11.Data(data=part)))
        await self._write(self._http.send(h11.EndOfMessage()))

    async def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            async with asyncio.timeout(WRITE_S_MAX):
                await self._writer.drain()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that nothing more comes, then take what is still on its way, or a reset would overtake the last answer."""
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S_MAX):
            taken = 0
            while taken < LINGER_BYTES_MAX and (data := await reader.read(CHUNK_BYTES)):
                taken += len(data)


def _target(target: bytes) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Path segments and query, decoded. Raises Unusable."""
    try:
        parts = urlsplit(target.decode("ascii"))
        segments = tuple(unquote(segment, errors="strict") for segment in parts.path.split("/")[1:])
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise Unusable(
            problem(400, "bad_target", "the path or its query cannot be read; write %-encoded UTF-8")
        ) from None
    return segments, tuple(query)


def _why_not_http(status: int) -> str:
    return {
        413: f"a body has at most {BODY_BYTES_MAX} bytes",
        431: f"the headers have more than {HEAD_BYTES_MAX} bytes; send fewer",
        501: "this transfer encoding is not served; send Content-Length, or Transfer-Encoding: chunked",
    }.get(status, "it is not an HTTP/1.1 request, or it ended before it was whole; send it again, whole")
