"""The Unix socket by which `posd status`, `settle` and their like reach the running daemon (D36).

One JSON object a line. A request: {"v":1,"id":"client-made","verb":"status","args":{}}; answers to it, any
number of "progress", then one "result" or "error": {"v":1,"id":"…","kind":"result","data":{}}. An error's data
holds "error", one line that says what to do.

The server must never act on a verb itself nor let a client's leaving cancel one: every request runs in a task of
its own to its end, heard or not. Who may connect is said by the file's mode, 0660; who it is, by the kernel (peer.py);
what they may do, by the handler. No line may carry card data.
"""

import asyncio
import difflib
import json
import os
import socket
import stat
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from posd.daemon.control.peer import NOBODY, Peer, peer_of
from posd.daemon.tasks import end, spawn
from posd.errors import ConfigError, PosdError

VERSION = 1
LINE_BYTES_MAX = 64 * 1024
"""The longest request line."""
ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""The longest answer line that a client accepts."""
OUTPUT_BYTES_MAX = 1024 * 1024
"""What a client may leave unread before it is dropped (its requests go on)."""
RUNNING_MAX = 64
"""Requests in progress, all clients together."""
CLIENTS_MAX = 64
ID_CHARACTERS_MAX = 64
PATH_BYTES_MAX = 107
"""What the kernel takes as the name of a Unix socket."""
SOCKET_MODE = 0o660
BACKLOG_CONNECTIONS = 32
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0

Kind = Literal["progress", "result", "error"]


class NoDaemon(PosdError):
    """No posd listens on the control socket. Verbs that only read can go to the journal instead."""


class ControlFailed(PosdError):
    """The daemon refused the request, or went away before it answered; the text is the daemon's own."""


class Misused(ControlFailed, ConfigError):
    """The daemon says that what was asked cannot be asked so: an argument is wrong. Exit status 2."""


class _BadRequest(PosdError):
    def __init__(self, request_id: str | None, text: str) -> None:
        super().__init__(text)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Request:
    """One verb. `id` was made by the client: the same id again is the same wish. `peer`: who asks. `args` may hold a
    key (keys.load) and are never shown."""

    id: str
    verb: str
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    peer: Peer = NOBODY


@dataclass(frozen=True, slots=True)
class Reply:
    """Part of an answer; a handler yields any number of 'progress', then one 'result' or 'error'."""

    kind: Kind
    data: Mapping[str, Any]


Handler = Callable[[Request], AsyncIterator[Reply]]
"""Answers one request. A PosdError that it raises becomes the 'error' of the answer."""


class ControlServer:
    """Serves `handler` on the socket at `path`. `verbs`, when given, are the only ones let through."""

    def __init__(self, path: Path, handler: Handler, verbs: Collection[str] = ()) -> None:
        self._path, self._handler, self._verbs = path, handler, sorted(verbs)
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._clients: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises ConfigError when another posd does, or the socket cannot be made."""
        listening = bind_unix(self._path, "control socket")
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listening, limit=LINE_BYTES_MAX, backlog=BACKLOG_CONNECTIONS
        )

    async def stop(self) -> None:
        """Take no more requests, drop the clients, remove the socket file (only our own)."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    self._path.unlink()
        for task in [*self._running, *self._clients]:
            await end(task)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            _write(writer, None, Reply("error", {"error": f"{CLIENTS_MAX} clients are connected; try later"}))
            writer.close()
            return
        client = spawn(self._serve(reader, writer), "control client")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: set[asyncio.Task[None]] = set()
        peer = peer_of(writer.get_extra_info("socket"))
        try:
            while line := await _next_line(reader):
                try:
                    mine.add(self._begin(_parse(line, peer, self._verbs), writer))
                except _BadRequest as bad:
                    _write(writer, bad.request_id, Reply("error", {"error": str(bad)}))
            if mine:  # a client that only closed its sending side still hears its answers
                await asyncio.wait(mine)
        except asyncio.LimitOverrunError:
            _write(writer, None, Reply("error", {"error": f"a request has at most {LINE_BYTES_MAX} bytes"}))
        finally:
            writer.close()

    def _begin(self, request: Request, writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        if len(self._running) >= RUNNING_MAX:
            raise _BadRequest(request.id, f"{RUNNING_MAX} requests are in progress; try again later")
        task = spawn(self._answer(request, writer), f"control {request.verb} {request.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Run the handler to its end, whether or not anybody still listens."""
        try:
            async for reply in self._handler(request):
                _write(writer, request.id, reply)
        except PosdError as error:
            misuse = {"misuse": True} if isinstance(error, ConfigError) else {}
            _write(writer, request.id, Reply("error", {"error": str(error), **misuse}))


def call(
    path: Path,
    verb: str,
    args: Mapping[str, Any] | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Ask the daemon and return the result's data. Blocks; for the command line.

    `timeout_s` limits the silence between two lines, not the whole. `request_id`: give the same one to repeat
    a wish that must act once. Raises NoDaemon when nobody listens, ControlFailed with what the daemon said.
    """
    wish = request_id or uuid.uuid4().hex
    line = json.dumps({"v": VERSION, "id": wish, "verb": verb, "args": dict(args or {})})
    with _connect(path) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(line.encode() + b"\n")
            with connection.makefile("rb") as answers:
                while answer := answers.readline(ANSWER_BYTES_MAX):
                    kind, data = _read_answer(answer, wish)
                    if kind == "result":
                        return data
                    if kind == "progress" and on_progress is not None:
                        on_progress(data)
        except TimeoutError:
            raise ControlFailed(f"posd has been silent for {timeout_s:g} s; see 'posd status' and its log") from None
        except OSError as error:
            raise ControlFailed(f"posd hung up: {error.strerror or error}; see its log") from None
    raise ControlFailed("posd ended before it answered; what was asked may have been done: see 'posd status'")


def _read_answer(line: bytes, wish: str) -> tuple[str, dict[str, Any]]:
    try:
        answer = json.loads(line)
        version, answered, kind, data = answer["v"], answer["id"], answer["kind"], answer["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ControlFailed("posd answered with a line that is no answer; are both of one version?") from None
    if kind == "error" and answered in (wish, None):
        said = data if isinstance(data, dict) else {"error": data}
        failure = Misused if said.get("misuse") is True else ControlFailed
        raise failure(str(said.get("error", said)))
    if version != VERSION or answered != wish or not isinstance(data, dict):
        raise ControlFailed(f"posd answered in version {version!r}, this command speaks {VERSION}; use one version")
    return str(kind), data


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise NoDaemon(f"no posd listens on {path}; start it with 'posd run' or 'systemctl start posd'") from None
    except PermissionError:
        connection.close()
        raise Misused(f"not allowed to use {path}; have root add you to its group, and log in again") from None
    except OSError as error:  # TimeoutError too: its backlog is full
        connection.close()
        raise ControlFailed(f"cannot reach posd on {path}: {error.strerror or error}") from None
    return connection


def bind_unix(path: Path, what: str) -> socket.socket:
    """The socket `what`, bound with its mode before anybody can connect; a dead one of the same name is replaced."""
    name = os.fspath(path)
    if len(os.fsencode(name)) > PATH_BYTES_MAX:
        raise ConfigError(f"{what} {name}: the path is longer than {PATH_BYTES_MAX} bytes; choose a shorter one")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path, what)
        listening.bind(name)
        os.chmod(name, SOCKET_MODE)  # before listen(): until then every connect is refused
    except OSError as error:
        listening.close()
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"cannot make {what} {name}: {why}; its folder must exist and be writable") from None
    except ConfigError:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path, what: str) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{what} {path}: a file of that name exists and is no socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # somebody listens, if badly
    raise ConfigError(f"{what} {path}: another posd listens there; stop it or configure another path")


async def _next_line(reader: asyncio.StreamReader) -> bytes:
    """The next line; b"" when the client has no more to say, also in the middle of a line.

    Raises LimitOverrunError after LINE_BYTES_MAX bytes without an end.
    """
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, OSError):
        return b""


def _parse(line: bytes, peer: Peer, verbs: list[str]) -> Request:
    shape = '{"v":1,"id":"any-text","verb":"status","args":{}}'
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        raise _BadRequest(None, f"a request is one line of JSON like {shape}") from None
    if not isinstance(asked, dict):
        raise _BadRequest(None, f"a request is a JSON object like {shape}")
    request_id, verb, args = asked.get("id"), asked.get("verb"), asked.get("args", {})
    if not isinstance(request_id, str) or not 0 < len(request_id) <= ID_CHARACTERS_MAX:
        raise _BadRequest(None, f"'id' is a text of 1 to {ID_CHARACTERS_MAX} characters made by the client: {shape}")
    if asked.get("v") != VERSION:
        raise _BadRequest(request_id, f"this posd speaks version {VERSION} ('v'); use the posd command of its version")
    if unknown := sorted(set(asked) - {"v", "id", "verb", "args"}):
        raise _BadRequest(
            request_id, f"unknown member {unknown[0][:ID_CHARACTERS_MAX]!r}; a request looks like {shape}"
        )
    if not isinstance(verb, str) or not isinstance(args, dict):
        raise _BadRequest(request_id, f"'verb' is a text and 'args' an object: {shape}")
    if verbs and verb not in verbs:
        near = difflib.get_close_matches(verb[:ID_CHARACTERS_MAX], verbs, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(verbs)}"
        raise _BadRequest(request_id, f"unknown verb {verb[:ID_CHARACTERS_MAX]!r}; {hint}")
    return Request(request_id, verb, args, peer)


def _write(writer: asyncio.StreamWriter, request_id: str | None, reply: Reply) -> None:
    if writer.is_closing():
        return
    if writer.transport.get_write_buffer_size() > OUTPUT_BYTES_MAX:
        writer.transport.abort()  # it does not read; what it asked for goes on
        return
    line = {"v": VERSION, "id": request_id, "kind": reply.kind, "data": dict(reply.data)}
    writer.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
