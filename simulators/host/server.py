"""The thin server around the acquirer: frames in and out, faults carried out, books written.

Decides nothing about money. Any bytes give an answer, a logged refusal or a closed connection; what is held
(frames, delayed answers, unsent bytes) is bounded.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from posd.errors import CannotEncode, MalformedMessage
from posd.framing.length_prefix import BrokenStream, Length, LengthPrefixed
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Unreadable
from simulators.host.acquirer import Answer
from simulators.host.connection import Arrived, Connection
from simulators.host.dialects import AnyAcquirer
from simulators.host.event_lines import Emit
from simulators.host.faults import Faults, Rule
from simulators.host.held import HELD_MAX, Held, pour
from simulators.host.on_disk import BOOKS_MODE, STATE_MODE, OnDisk
from simulators.host.state import Texts, saved
from simulators.host.troubles import echoes, noise, spoiled, with_digit
from simulators.host.web import Web, WebConnection

MILLISECONDS = 1_000


def wall_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class HostServer:
    """Serves one acquirer on one TCP port or several. `emit` gets one masked event at a time.

    `books`: rewritten after every message for an audit. `state`: rewritten before every answer leaves, for a
    restart (state.restore reads it). Both whole, so their cost grows with the books: meant for tests.
    """

    def __init__(
        self,
        acquirer: AnyAcquirer,
        faults: Faults,
        *,
        emit: Emit,
        books: Path | None = None,
        now_ms: Callable[[], int] = wall_ms,
        state: Path | None = None,
        web: Web | None = None,
    ) -> None:
        self.acquirer = acquirer
        self.faults = faults
        self._emit = emit
        self._web = web
        self._disk = OnDisk(emit)
        texts: Texts = {}
        self._disk.keep("state", state, STATE_MODE, lambda: saved(acquirer, faults, texts))
        self._disk.keep("books", books, BOOKS_MODE, acquirer.dump)
        self._now_ms = now_ms
        self._header_bytes = acquirer.header_bytes
        self._held = Held()
        self._late: dict[tuple[str, str, str], tuple[Arrived, Answer]] = {}
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._stopping = asyncio.Event()
        self._servers: dict[int, asyncio.Server] = {}
        self._addresses: list[tuple[str, int]] = []
        self._restarting: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, *more: tuple[str, int]) -> int:
        """Listen, on several addresses if there are `more`: routes to one host; the first port that was taken.

        OSError when one cannot be had.
        """
        self.faults.begin(self._now_ms(), self.acquirer.settings.behaviour.utc_offset_minutes)
        self._addresses = [(one, await self._listen(one, of)) for one, of in ((host, port), *more)]
        self._disk.write()
        for one, taken in self._addresses:
            self._emit({"event": "listening", "host": one, "port": taken})
        return self._addresses[0][1]

    @property
    def ports(self) -> list[int]:
        """Every port, in the order of the addresses."""
        return [port for _, port in self._addresses]

    def cut(self, port: int) -> None:
        """One route is down: nobody is let in there, its connections are reset. The host goes on."""
        self._servers[port].close()
        for connection in self._connections.values():
            if connection.port == port:
                connection.abort()

    async def mend(self, port: int) -> None:
        """The route is up again."""
        await self._listen({of: one for one, of in self._addresses}[port], port)

    async def close(self) -> None:
        """Stop listening, drop connections and what is held, write the final books."""
        self._stopping.set()
        tasks = [*self._drop(), *self._connections, *([self._restarting] if self._restarting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._drop()
        self._disk.write()
        self._emit({"event": "stopped"})

    async def _listen(self, host: str, port: int) -> int:
        context = self._web.context if self._web is not None else None
        server = await asyncio.start_server(self._serve, host, port, ssl=context)
        taken: int = server.sockets[0].getsockname()[1]
        self._servers[taken] = server
        return taken

    def _drop(self) -> list[asyncio.Task[None]]:
        """Stop listening; every connection and everything held is gone. The tasks that were held."""
        for server in self._servers.values():
            server.close()
        for connection in self._connections.values():
            connection.abort()
        self._late.clear()
        return self._held.drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        kind = Connection if self._web is None or self._web.frames else WebConnection
        port = int(writer.get_extra_info("sockname")[1])
        connection = kind(writer, str(writer.get_extra_info("peername")), port)
        connection.frames = LengthPrefixed(length=Length(self.acquirer.settings.nac.length))
        self._connections[task] = connection
        self._emit({"event": "connected", "peer": connection.peer, "port": port})
        try:
            await self._read(connection, reader)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # cancelled by close(): asyncio would print a traceback for a connection that ends so
        finally:
            del self._connections[task]
            self._emit({"event": "disconnected", "peer": connection.peer})
            writer.close()

    async def _read(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while not connection.closing:
            data = await connection.take(reader)
            if not data:
                return
            try:
                frames, broken = connection.frames.feed(data), None
            except BrokenStream as trouble:
                frames, broken = trouble.frames, str(trouble)
            for frame in frames:
                if not connection.deaf and not connection.closing:
                    self._take(connection, frame)
            if broken is not None:
                self._emit({"event": "unreadable", "peer": connection.peer, "what": broken})
                return
            if connection.deaf:
                await self._stopping.wait()

    def _take(self, connection: Connection, frame: bytes) -> None:
        try:
            envelope, body = split(frame, self._header_bytes)
        except MalformedMessage as trouble:
            self._emit({"event": "unreadable", "peer": connection.peer, "what": str(trouble)})
            return
        try:
            message = self.acquirer.codec.decode(body)
        except Unreadable as trouble:
            self._emit({"event": "unreadable", "peer": connection.peer, "what": str(trouble)})
            self._send(connection, envelope, self.acquirer.refuse_unreadable(trouble.partial).body)
            return
        rule = self.faults.plan(message, self._now_ms())
        self._emit({"event": "received", "port": connection.port, **self.acquirer.described(message)})
        if rule is not None:
            self._emit({"event": "fault", "do": rule.do, **self.acquirer.described(message)})
            self._disk.write()
        self._meet(Arrived(connection, envelope, message, body, rule))

    def _meet(self, arrived: Arrived) -> None:
        """Carry out what a rule does to a request; the rest goes on to the acquirer."""
        rule, connection, tid = arrived.rule, arrived.connection, arrived.message.get(41)
        early = rule is not None and rule.when == "before"
        match arrived.do:
            case "lose_request":
                return
            case "never_read":
                connection.deaf = True
                return
            case "close" | "half_close" | "restart" if early:
                self._end(arrived)
                return
            case "delay_request" if rule:
                self._hold(rule.ms, arrived, lambda: self._process(arrived))
                return
            case "http_status" if early and isinstance(connection, WebConnection):
                connection.spoil = rule
                connection.write(b"")
                return
            case "forget_keys":
                self.acquirer.forget_keys(tid)
            case "move_batch" if rule and rule.number is not None:
                self.acquirer.move_batch(tid, rule.number)
            case "echo_storm" if rule:
                self._storm(arrived, rule)
            case _:
                pass
        self._process(arrived)

    def _process(self, arrived: Arrived) -> None:
        rule = arrived.rule
        answer = self.acquirer.handle(
            arrived.message,
            arrived.body,
            self._now_ms(),
            refuse=rule.code if rule and rule.do == "refuse" else None,
            say=rule.code if rule and rule.do == "answer_code" else None,
        )
        self._disk.write()
        for finding in answer.findings:
            self._emit(finding)
        self._answer(arrived, answer)

    def _answer(self, arrived: Arrived, answer: Answer) -> None:
        """Carry out what a rule does to an answer."""
        connection, rule = arrived.connection, arrived.rule
        match arrived.do:
            case "lose_answer":
                return
            case "close" | "half_close" | "restart" if rule:
                if rule.when == "answered":
                    self._deliver(arrived, answer)
                self._end(arrived)
                return
            case "delay" if rule:
                self._hold(rule.ms, arrived, lambda: self._deliver(arrived, answer))
                return
            case "answer_after_reversal" if len(self._late) < HELD_MAX:
                self._late[arrived.original] = (arrived, answer)
                self._emit({"event": "holding until reversed", **self.acquirer.described(arrived.message)})
                return
            case "partial" if answer.body is not None:
                frame = connection.framed(join(arrived.envelope.answered(), answer.body))
                connection.write(frame[: len(frame) // 2])
                connection.close()
                return
            case "garbage":
                connection.write(connection.framed(noise(answer)))
                return
            case "http_status" | "http_type" | "http_cut" | "http_chunked" | "http_drip":
                if isinstance(connection, WebConnection):
                    connection.spoil = rule
            case "duplicate":
                self._send(connection, arrived.envelope, answer.body, answer)
            case _:
                pass
        self._deliver(arrived, answer)

    def _deliver(self, arrived: Arrived, answer: Answer) -> None:
        """Say an answer as its rule wants it; after that of a reversal, the late one of its original."""
        rule = arrived.rule
        try:
            body = spoiled(self.acquirer, rule, answer)
        except CannotEncode as trouble:
            self._emit({"event": "fault not possible", "what": str(trouble)})
            body = answer.body
        digit = rule.digit if rule and rule.do == "header_digit" else 0
        self._send(arrived.connection, with_digit(arrived.envelope, digit), body, answer)
        if arrived.message.mti == "0400" and arrived.original in self._late:
            late, its_answer = self._late.pop(arrived.original)
            self._hold(
                late.rule.ms if late.rule else 0,
                late,
                lambda: self._send(
                    arrived.connection if late.connection.closing else late.connection,
                    late.envelope,
                    its_answer.body,
                    its_answer,
                ),
            )

    def _end(self, arrived: Arrived) -> None:
        """Close the line, half of it, or the whole host for a while."""
        match arrived.do:
            case "half_close":
                arrived.connection.finish()
            case "restart" if self._restarting is None and arrived.rule:
                self._restarting = asyncio.create_task(self._restart(arrived.rule.ms))
            case _:
                arrived.connection.close()

    async def _restart(self, ms: int) -> None:
        """As if the process were started again with its state: nobody connected, nothing held, the same ports."""
        self._emit({"event": "restarting", "ms": ms})
        await asyncio.sleep(0)  # an answer before the end is given to the kernel first
        self._drop()
        await asyncio.sleep(ms / MILLISECONDS)
        for host, port in self._addresses:
            try:
                await self._listen(host, port)
            except OSError as trouble:
                self._emit({"event": "not listening", "what": str(trouble)})
            else:
                self._emit({"event": "listening", "host": host, "port": port})
        self._restarting = None

    def _hold(self, ms: int, arrived: Arrived, go_on: Callable[[], None]) -> None:
        if self._held.full:
            self._emit({"event": "overloaded", "held": len(self._held)})
            return
        self._emit({"event": "holding", "ms": ms, **self.acquirer.described(arrived.message)})
        self._held.later(ms, go_on)

    def _storm(self, arrived: Arrived, rule: Rule) -> None:
        """Pour echoes on a connection for a while; one storm at a time."""
        connection = arrived.connection
        if connection.storming or self._held.full:
            return
        connection.storming = True

        async def storm() -> None:
            frames = echoes(self.acquirer, arrived.envelope, arrived.message)
            sent = await pour(connection, frames, rule.rate, rule.ms)
            connection.storming = False
            self._emit({"event": "storm over", "peer": connection.peer, "sent": sent})

        self._held.run(storm())

    def _send(
        self, connection: Connection, envelope: Envelope, body: bytes | None, answer: Answer | None = None
    ) -> None:
        if body is None:
            return
        if not connection.write(connection.framed(join(envelope.answered(), body))):
            self._emit({"event": "not sent", "peer": connection.peer})
        elif answer is not None and answer.message is not None:
            remarks = {"remarks": list(answer.remarks)} if answer.remarks else {}
            self._emit({"event": "answered", **self.acquirer.described(answer.message), **remarks})


async def serve_until(stop: asyncio.Event, server: HostServer, addresses: Sequence[tuple[str, int]]) -> None:
    """Run a server on these addresses until `stop` is set; it is closed whatever happens."""
    (host, port), *more = addresses
    await server.start(host, port, *more)
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(ConnectionError):
            await server.close()
