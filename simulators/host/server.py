"""The thin server around the acquirer: frames in and out, faults carried out, books written.

Decides nothing about money. Any bytes give an answer, a logged refusal or a closed connection; what is held
(frames, delayed answers, unsent bytes) is bounded.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from posd.errors import MalformedMessage
from posd.framing.length_prefix import BrokenStream, LengthPrefixed, with_length
from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Unreadable
from posd.iso8583.message import Message
from simulators.host.acquirer import Acquirer, Answer
from simulators.host.event_lines import Emit, described
from simulators.host.faults import Faults, Rule

READ_BYTES = 65_536
UNSENT_BYTES_MAX = 1_048_576
HELD_MAX = 10_000
GARBAGE_BYTES = 32
HEADER_DIGIT_BYTE = 2
MILLISECONDS = 1_000


def wall_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Connection:
    """One peer. `deaf`: nothing more is read from it."""

    writer: asyncio.StreamWriter
    peer: str
    deaf: bool = False
    frames: LengthPrefixed = field(default_factory=LengthPrefixed)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One readable message with what it came in and the rule that applies to it."""

    connection: Connection
    envelope: Envelope
    message: Message
    body: bytes
    rule: Rule | None

    @property
    def do(self) -> str | None:
        return self.rule.do if self.rule else None


class HostServer:
    """Serves one acquirer on one TCP port. `emit` gets one masked event at a time."""

    def __init__(
        self,
        acquirer: Acquirer,
        faults: Faults,
        *,
        emit: Emit,
        books: Path | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.acquirer = acquirer
        self.faults = faults
        self._emit = emit
        self._books = books
        self._now_ms = now_ms
        self._header_bytes = acquirer.settings.behaviour.header_bytes
        self._held: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._stopping = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was taken. OSError when it cannot be had."""
        self._server = await asyncio.start_server(self._serve, host, port)
        self._write_books()
        taken: int = self._server.sockets[0].getsockname()[1]
        self._emit({"event": "listening", "host": host, "port": taken})
        return taken

    async def close(self) -> None:
        """Stop listening, drop connections and what is held, write the final books."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.writer.transport.abort()
        tasks = [*self._held, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._write_books()
        self._emit({"event": "stopped"})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(writer, str(writer.get_extra_info("peername")))
        self._connections[task] = connection
        self._emit({"event": "connected", "peer": connection.peer})
        try:
            await self._read(connection, reader)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            del self._connections[task]
            self._emit({"event": "disconnected", "peer": connection.peer})
            writer.close()

    async def _read(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while not connection.writer.is_closing():
            data = await reader.read(READ_BYTES)
            if not data:
                return
            try:
                frames, broken = connection.frames.feed(data), None
            except BrokenStream as trouble:
                frames, broken = trouble.frames, str(trouble)
            for frame in frames:
                if not connection.deaf and not connection.writer.is_closing():
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
        rule = self.faults.plan(message)
        self._emit({"event": "received", **described(message)})
        if rule is not None:
            self._emit({"event": "fault", "do": rule.do, **described(message)})
        self._meet(Arrived(connection, envelope, message, body, rule))

    def _meet(self, arrived: Arrived) -> None:
        """Carry out what a rule does to a request; the rest goes on to the acquirer."""
        rule, tid = arrived.rule, arrived.message.get(41)
        match arrived.do:
            case "lose_request":
                return
            case "never_read":
                arrived.connection.deaf = True
                return
            case "close" if rule and rule.when == "before":
                arrived.connection.writer.close()
                return
            case "delay_request" if rule:
                self._hold(rule.ms, arrived, lambda: self._process(arrived))
                return
            case "forget_keys":
                self.acquirer.forget_keys(tid)
            case "move_batch" if rule and rule.number is not None:
                self.acquirer.move_batch(tid, rule.number)
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
        self._write_books()
        self._answer(arrived, answer)

    def _answer(self, arrived: Arrived, answer: Answer) -> None:
        """Carry out what a rule does to an answer."""
        connection, rule = arrived.connection, arrived.rule
        digit = rule.digit if rule and rule.do == "header_digit" else 0
        envelope = _with_digit(arrived.envelope, digit)
        match arrived.do:
            case "lose_answer":
                return
            case "close":
                connection.writer.close()
                return
            case "delay" if rule:
                self._hold(rule.ms, arrived, lambda: self._send(connection, envelope, answer.body, answer))
                return
            case "partial" if answer.body is not None:
                frame = with_length(join(envelope.answered(), answer.body))
                self._write(connection, frame[: len(frame) // 2])
                connection.writer.close()
                return
            case "garbage":
                noise = hashlib.sha256(answer.body or b"").digest()[:GARBAGE_BYTES]
                self._write(connection, with_length(noise))
                return
            case "duplicate":
                self._send(connection, envelope, answer.body, answer)
            case _:
                pass
        self._send(connection, envelope, self._spoiled(arrived, answer), answer)

    def _spoiled(self, arrived: Arrived, answer: Answer) -> bytes | None:
        """The answer's bytes with the one thing wrong that a rule asks for."""
        if answer.message is None or answer.body is None:
            return answer.body
        match arrived.do:
            case "wrong_stan":
                other = f"{(answer.stan + 500_000) % 1_000_000:06d}"
                return self.acquirer.seal(answer.tid, answer.message.with_({11: other}))
            case "wrong_mac" if answer.message.get(64) is not None:
                return answer.body[:-1] + bytes([answer.body[-1] ^ 1])
            case "no_mac":
                return self.acquirer.seal(answer.tid, answer.message.with_({64: None}))
            case _:
                return answer.body

    def _hold(self, ms: int, arrived: Arrived, go_on: Callable[[], None]) -> None:
        if len(self._held) >= HELD_MAX:
            self._emit({"event": "overloaded", "held": len(self._held)})
            return
        self._emit({"event": "holding", "ms": ms, **described(arrived.message)})

        async def later() -> None:
            await asyncio.sleep(ms / MILLISECONDS)
            go_on()

        task = asyncio.create_task(later())
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    def _send(
        self, connection: Connection, envelope: Envelope, body: bytes | None, answer: Answer | None = None
    ) -> None:
        if body is None:
            return
        if answer is not None and answer.message is not None:
            remarks = {"remarks": list(answer.remarks)} if answer.remarks else {}
            self._emit({"event": "answered", **described(answer.message), **remarks})
        self._write(connection, with_length(join(envelope.answered(), body)))

    def _write(self, connection: Connection, data: bytes) -> None:
        writer = connection.writer
        if writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            writer.transport.abort()
            return
        writer.write(data)

    def _write_books(self) -> None:
        """Rewrite the books file whole: a reader sees the old one or the new one."""
        if self._books is None:
            return
        beside = self._books.with_name(self._books.name + ".new")
        try:
            beside.write_text(json.dumps(self.acquirer.dump(), ensure_ascii=False))
            os.replace(beside, self._books)
        except OSError as trouble:
            self._emit({"event": "books not written", "what": str(trouble)})


def _with_digit(envelope: Envelope, digit: int) -> Envelope:
    """The header with its sixth digit, the host's processing requirement, set (1.1)."""
    header = bytearray(envelope.header)
    if len(header) > HEADER_DIGIT_BYTE:
        header[HEADER_DIGIT_BYTE] = header[HEADER_DIGIT_BYTE] & 0xF0 | digit
    return Envelope(envelope.tpdu, envelope.lri, bytes(header))


async def serve_until(stop: asyncio.Event, server: HostServer, host: str, port: int) -> None:
    """Run a server until `stop` is set; it is closed whatever happens."""
    await server.start(host, port)
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(ConnectionError):
            await server.close()
