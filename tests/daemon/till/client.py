"""A till for the tests: plain http.client over the Unix socket or TCP, in a thread of its own; and raw bytes."""

import asyncio
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon.stage import CARD, EXPIRY, TID, Stage, free_port

TOKEN = "t0ken-" + "0123456789abcdef" * 2
ORDERS = f"/v1/terminals/{TID}/transactions"
SALE = {"type": "sale", "amount": "12.30", "card": {"number": CARD, "expiry": EXPIRY}}
ANSWER_S = 10.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The name of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        said = self.json
        assert said["status"] == self.status
        assert said["detail"]
        return str(said["type"]).removeprefix("urn:posd:problem:")


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(self._path)


@dataclass
class Till:
    """Where posd's door for tills is; each `ask` is a connection of its own."""

    folder: Path
    port: int

    @property
    def path(self) -> str:
        return str(self.folder / "till.sock")

    def connect(self, tcp: bool = False) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S) if tcp else _Unix(self.path)

    def ask_now(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        tcp: bool = False,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        line = connection or self.connect(tcp)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        said = {"Content-Type": "application/json"} if data is not None else {}
        try:
            line.request(method, path, data, {**said, **(headers or {})})
            response = line.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            if connection is None:
                line.close()

    async def ask(self, method: str, path: str, body: Any = None, **how: Any) -> Answer:
        return await asyncio.to_thread(self.ask_now, method, path, body, **how)

    async def order(self, key: str, body: Any = None, path: str = ORDERS, **how: Any) -> Answer:
        headers = {"Idempotency-Key": key, **how.pop("headers", {})}
        return await self.ask("POST", path, SALE if body is None else body, headers=headers, **how)

    def raw(self, data: bytes, half_close: bool = True) -> bytes:
        """Everything that comes back for these bytes."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(ANSWER_S)
            line.connect(self.path)
            try:
                line.sendall(data)
                if half_close:
                    line.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            found = b""
            try:
                while part := line.recv(65536):
                    found += part
            except ConnectionResetError:
                pass
            return found


def with_till(stage: Stage, **settings: Any) -> Till:
    """Give the stage a door for tills on both kinds of socket."""
    folder = stage.folder
    token = folder / "till.token"
    token.touch(mode=0o600)
    token.write_text(TOKEN + "\n")
    port = free_port()
    till = {
        "socket": str(folder / "till.sock"),
        "listen": f"127.0.0.1:{port}",
        "token_file": str(token),
        "card_data": "accepted",
    }
    stage.change = {**stage.change, "till": {**till, **settings}}
    return Till(folder, port)
