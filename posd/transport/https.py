"""One POST, one frame (reference 1.15): HTTP as a channel that carries one frame out and one frame back.

The body is the bytes that TCP would carry, with the two bytes of length. Whatever is not 200 with the right type and
exactly one frame is no answer, and `ending` names the reason: the peer's words never stand in it. h11 reads the bytes;
nothing is redirected, repeated, unpacked or kept open for a second request.
"""

from dataclasses import dataclass

import h11

from posd.framing.length_prefix import LENGTH_BYTES
from posd.security.certificates import Certificate
from posd.transport.contract import CertifiedChannel, ConfirmingChannel

HEAD_BYTES_MAX = 16_384
"""Status line and headers of an answer; more is no answer."""

INFORMATIONAL_MAX = 4
"""Interim answers (status 1xx) before the one that counts."""

OK = 200


@dataclass(frozen=True, slots=True)
class Post:
    """What stands above the frame. `host`: name and port as the address says them."""

    host: str
    path: str
    user_agent: str
    content_type: str

    def request(self, length: int) -> h11.Request:
        """The request line and headers, in the table's order."""
        headers = [
            ("Host", self.host),
            ("User-Agent", self.user_agent),
            ("Cache-Control", "no-cache"),
            ("Content-Type", self.content_type),
            ("Accept", "*/*"),
            ("Content-Length", str(length)),
        ]
        return h11.Request(method="POST", target=self.path, headers=headers)


class HttpChannel:
    """One exchange over `inner`, kept to `posd.transport.contract.ConfirmingChannel`, but for one `send` only."""

    def __init__(self, inner: ConfirmingChannel, post: Post, frame_bytes_max: int) -> None:
        self._inner, self._post = inner, post
        self._body_bytes_max = LENGTH_BYTES + frame_bytes_max
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._given = self._sent = 0
        self._interim = 0
        self._body = bytearray()
        self._ending = ""

    @property
    def peer(self) -> str:
        return self._inner.peer

    @property
    def ended(self) -> bool:
        return bool(self._ending) or self._inner.ended

    @property
    def ending(self) -> str:
        return self._ending or self._inner.ending

    @property
    def unsent_bytes(self) -> int:
        """All of the body while nothing of the request has left, never all of it afterwards."""
        unsent = self._inner.unsent_bytes
        return self._given if 0 < self._sent <= unsent else min(unsent, max(0, self._given - 1))

    @property
    def delivered(self) -> bool:
        return self._inner.delivered

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        return self._inner.certificates if isinstance(self._inner, CertifiedChannel) else ()

    def send(self, data: bytes) -> None:
        assert not self._sent, "one POST carries one frame"
        parts = (self._post.request(len(data)), h11.Data(data=data), h11.EndOfMessage())
        request = b"".join(self._http.send(part) or b"" for part in parts)
        self._given, self._sent = len(data), len(request)
        self._inner.send(request)

    async def receive(self) -> bytes:
        while not self._ending:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                ended = self._http.trailing_data[1]
                self._end(self._not_whole() if ended else "what came is not an HTTP answer")
                break
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._inner.receive())
            elif (body := self._take(event)) is not None:
                return body
        return b""

    def _take(self, event: object) -> bytes | None:
        """The frame, when it is whole and all is well; else None, with or without an ending."""
        match event:
            case h11.InformationalResponse():
                self._interim += 1
                if self._interim > INFORMATIONAL_MAX:
                    self._end("too many interim HTTP answers")
            case h11.Response():
                self._end(self._wrong_with(event))
            case h11.Data(data=data):
                self._body += data
                if len(self._body) > self._body_bytes_max:
                    self._end(self._too_long())
            case h11.EndOfMessage():
                return self._whole()
            case _:
                self._end(self._not_whole())
        return None

    def _wrong_with(self, response: h11.Response) -> str:
        """Why this cannot be an answer of a host; '' when it can."""
        if response.status_code != OK:
            return f"HTTP status {response.status_code}"
        said: dict[bytes, list[bytes]] = {}
        for name, value in response.headers:
            said.setdefault(name, []).append(value)
        kinds = [value.split(b";")[0].strip().lower() for value in said.get(b"content-type", [])]
        if kinds != [self._post.content_type.split(";")[0].strip().lower().encode()]:
            return "the HTTP answer has another content type" if kinds else "the HTTP answer has no content type"
        if b"transfer-encoding" in said:
            return "the HTTP answer is sent in chunks"
        if said.get(b"content-encoding", [b"identity"]) != [b"identity"]:
            return "the HTTP answer is packed"
        lengths = said.get(b"content-length", [])
        return self._too_long() if any(int(length) > self._body_bytes_max for length in lengths) else ""

    def _not_whole(self) -> str:
        return f"no whole HTTP answer: {self._inner.ending or 'the host said something else'}"

    def _too_long(self) -> str:
        return f"the HTTP answer is longer than {self._body_bytes_max} bytes"

    def _whole(self) -> bytes | None:
        body = bytes(self._body)
        frame_bytes = int.from_bytes(body[:LENGTH_BYTES], "big")
        if not frame_bytes or len(body) != LENGTH_BYTES + frame_bytes:
            self._end(f"the HTTP answer's {len(body)} bytes are not one frame with its length")
            return None
        self._end("the HTTP answer is complete")
        return body

    async def drained(self) -> None:
        await self._inner.drained()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._inner.abort()

    async def close(self) -> None:
        self._end("closed by this side")
        await self._inner.close()

    def _end(self, why: str) -> None:
        self._ending = self._ending or why
