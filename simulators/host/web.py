"""The simulated host behind HTTP: one POST, one frame, `Connection: close` (reference 1.15).

A reading of its own, by hand and strict: what posd's library writes is checked here by other code. Only a whole request
of the right kind reaches the acquirer; anything else gets its status and no booking.
"""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from posd.errors import ConfigError
from simulators.host.connection import Connection
from simulators.host.faults import Rule

KIND = "x-ISO-TPDU/x-auth"
HEAD_BYTES_MAX = 8_192
BODY_BYTES_MAX = 65_537
LENGTH_BYTES = 2
REASONS = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
}
MILLISECONDS = 1_000


class Refused(Exception):
    """A request that is none: the status to say, and why."""

    def __init__(self, status: int, why: str) -> None:
        self.status, self.why = status, why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Web:
    """That the server speaks HTTP; with `context` over TLS; with `frames` TLS alone, and frames as on TCP."""

    context: ssl.SSLContext | None = None
    frames: bool = False


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later with these PEM files; with `client_ca` every client needs a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    except OSError as trouble:
        why = trouble.strerror or "not usable PEM files"
        which = "--certificate, --key, --client-ca"
        raise ConfigError(f"{which}: {why.lower()}; give PEM files that belong together") from None
    return context


def response(body: bytes, status: int = 200, kind: str = KIND) -> bytes:
    """A whole answer."""
    head = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Trouble')}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


class WebConnection(Connection):
    """One request and its answer. `spoil`: the rule that this answer has to follow."""

    spoil: Rule | None = None
    dripping: asyncio.Task[None] | None = None

    async def take(self, reader: asyncio.StreamReader) -> bytes:
        """The body of the next request, b"" at the end."""
        try:
            return await read_request(reader)
        except Refused as refused:
            self.writer.write(response(b"", refused.status, "text/plain"))
            self.close()
            return b""

    def write(self, data: bytes) -> bool:
        """Answer once, then hang up."""
        if self.closing:
            return False
        do = self.spoil.do if self.spoil is not None else ""
        if do == "http_drip" and self.spoil is not None:
            self.dripping = asyncio.create_task(self._drip(response(data), self.spoil.ms))
            return True
        self.writer.write(self._spoiled(do, data))
        self.close()
        return True

    def _spoiled(self, do: str, data: bytes) -> bytes:
        match do:
            case "http_status" if self.spoil is not None:
                return response(b"trouble", self.spoil.status, "text/html")
            case "http_type":
                return response(data, kind="text/html")
            case "http_cut":
                return response(data)[: -len(data) // 2]
            case "http_chunked":
                head = response(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
                return head + b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"
            case _:
                return response(data)

    async def _drip(self, data: bytes, ms: int) -> None:
        """A byte at a time, `ms` apart, as long as the client bears it."""
        for byte in data:
            if self.closing:
                return
            self.writer.write(bytes([byte]))
            await asyncio.sleep(ms / MILLISECONDS)
        self.close()

    def finish(self) -> None:
        """TLS has no half of a connection."""
        self.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """The body of one POST; b"" when the client hung up first. Raises Refused."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        raise Refused(413, "the head is too long") from None
    length = _body_length(head)
    try:
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return b""
    if int.from_bytes(body[:LENGTH_BYTES], "big") != length - LENGTH_BYTES:
        raise Refused(400, "the body is not one frame with its length")
    return body


def _body_length(head: bytes) -> int:
    if len(head) > HEAD_BYTES_MAX or not head.isascii():
        raise Refused(413, "the head is too long, or not ASCII")
    request, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    said: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or name.lower() in said:
            raise Refused(400, "a header is no header, or stands there twice")
        said[name.lower()] = value.strip()
    method, _, rest = request.partition(" ")
    if method != "POST":
        raise Refused(405, "only POST")
    if not rest.startswith("/") or not rest.endswith(" HTTP/1.1") or not said.get("host"):
        raise Refused(400, "no path, not HTTP/1.1, or no Host")
    if said.get("content-type", "").lower() != KIND.lower():
        raise Refused(415, f"the content type is not {KIND}")
    length = said.get("content-length", "")
    if not length.isdecimal() or "transfer-encoding" in said:
        raise Refused(411, "no Content-Length")
    if not LENGTH_BYTES < int(length) <= BODY_BYTES_MAX:
        raise Refused(413, "the body is too long, or too short for a frame")
    return int(length)
