"""One POST, one frame: what is sent, what is an answer, and that nothing else ever is."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.framing.length_prefix import with_length
from posd.transport import https
from posd.transport.https import HttpChannel, Post
from posd.transport.memory import MemoryChannel, memory_pair

POST = Post("host.example:8443", "/unp/webtrans/WPOS", "Donjin Http 0.1", "x-ISO-TPDU/x-auth")
FRAME_BYTES_MAX = 200
LIMIT_S = 10
KIND = b"Content-Type: x-ISO-TPDU/x-auth\r\n"
FRAME = with_length(b"an answer of the host")


def answer(body: bytes = FRAME, head: bytes = KIND, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 " + status + b"\r\n" + head + b"Content-Length: %d\r\n\r\n" % size + body


def talk(said: bytes, *, one_byte: bool = False, stays: bool = False) -> tuple[list[bytes], str, bytes]:
    """What comes through of what the host says, why it ended, and what the host heard."""

    async def run() -> tuple[list[bytes], str, bytes]:
        near, far = memory_pair(one_byte=one_byte)
        channel = HttpChannel(near, POST, FRAME_BYTES_MAX)
        channel.send(with_length(b"a request"))
        far.send(said)
        closing = None if stays else asyncio.ensure_future(far.close())
        got = []
        async with asyncio.timeout(LIMIT_S):
            while data := await channel.receive():
                got.append(data)
            assert await channel.receive() == b"", "it stays ended"
            heard = b"" if one_byte or not stays else await far.receive()
            channel.abort()
            if closing is not None:
                await closing
        return got, channel.ending, heard

    return asyncio.run(run())


def test_the_request_is_the_references_table_and_the_bytes_of_tcp() -> None:
    got, _, heard = talk(answer(), stays=True)
    assert heard.split(b"\r\n") == [
        b"POST /unp/webtrans/WPOS HTTP/1.1",
        b"Host: host.example:8443",
        b"User-Agent: Donjin Http 0.1",
        b"Cache-Control: no-cache",
        b"Content-Type: x-ISO-TPDU/x-auth",
        b"Accept: */*",
        b"Content-Length: 11",
        b"",
        b"\x00\x09a request",
    ]
    assert got == [FRAME]


GOOD = {
    "plain": answer(),
    "with its end": answer(head=KIND + b"Connection: close\r\nServer: x\r\n"),
    "another case": answer(head=b"content-type: X-iso-tpdu/X-AUTH\r\n"),
    "with a parameter": answer(head=b"Content-Type: x-ISO-TPDU/x-auth; charset=binary\r\n"),
    "interim first": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    "until the end": b"HTTP/1.1 200 OK\r\n" + KIND + b"\r\n" + FRAME,
    "http 1.0": b"HTTP/1.0 200 OK\r\n" + KIND + b"\r\n" + FRAME,
    "the longest": answer(with_length(b"x" * FRAME_BYTES_MAX)),
    "identity": answer(head=KIND + b"Content-Encoding: identity\r\n"),
}


@pytest.mark.parametrize("one_byte", [False, True], ids=["at once", "dripping"])
@pytest.mark.parametrize("said", GOOD.values(), ids=GOOD)
def test_an_answer_is_200_of_the_right_type_with_one_frame(said: bytes, one_byte: bool) -> None:
    got, why, _ = talk(said, one_byte=one_byte)
    assert b"".join(got) in (FRAME, with_length(b"x" * FRAME_BYTES_MAX))
    assert len(got) == 1
    assert why == "the HTTP answer is complete"


CHUNKED = b"HTTP/1.1 200 OK\r\n" + KIND + b"Transfer-Encoding: chunked\r\n\r\n17\r\n" + FRAME + b"\r\n0\r\n\r\n"
BAD = {
    "status 500": (answer(status=b"500 Oops"), "HTTP status 500"),
    "status 204": (b"HTTP/1.1 204 No Content\r\n" + KIND + b"\r\n", "HTTP status 204"),
    "status 201": (answer(status=b"201 Created"), "HTTP status 201"),
    "a redirection": (answer(head=KIND + b"Location: https://elsewhere/\r\n", status=b"302 Found"), "HTTP status 302"),
    "another type": (answer(head=b"Content-Type: text/html\r\n"), "another content type"),
    "two types": (answer(head=KIND + KIND), "another content type"),
    "no type": (answer(head=b""), "no content type"),
    "chunks": (CHUNKED, "sent in chunks"),
    "packed": (answer(head=KIND + b"Content-Encoding: gzip\r\n"), "is packed"),
    "cut body": (answer(length=len(FRAME) + 1), "no whole HTTP answer"),
    "cut head": (answer()[:20], "no whole HTTP answer"),
    "nothing": (b"", "no whole HTTP answer"),
    "empty body": (answer(b""), "0 bytes are not one frame"),
    "one byte": (answer(b"\x00"), "1 bytes are not one frame"),
    "a length of zero": (answer(b"\x00\x00"), "2 bytes are not one frame"),
    "short body": (answer(FRAME[:-1]), "not one frame"),
    "two frames": (answer(FRAME + FRAME), "not one frame"),
    "no length": (answer(FRAME[2:]), "not one frame"),
    "too long": (answer(with_length(b"x" * (FRAME_BYTES_MAX + 1))), "longer than 202 bytes"),
    "endless": (b"HTTP/1.1 200 OK\r\n" + KIND + b"\r\n" + b"x" * 5000, "longer than 202 bytes"),
    "a lie of a length": (answer(length=2**40), "longer than 202 bytes"),
    "negative": (b"HTTP/1.1 200 OK\r\n" + KIND + b"Content-Length: -1\r\n\r\n" + FRAME, "not an HTTP answer"),
    "two lengths": (answer(head=KIND + b"Content-Length: 3\r\n"), "not an HTTP answer"),
    "endless head": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (2 * https.HEAD_BYTES_MAX), "not an HTTP answer"),
    "endless interim": (b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + answer(), "too many interim"),
    "a frame as on tcp": (FRAME, "not an HTTP answer"),
    "another protocol": (b"\x15\x03\x01\x00\x02\x02\x28" * 9 + b"\r\n\r\n", "not an HTTP answer"),
}


@pytest.mark.parametrize("one_byte", [False, True], ids=["at once", "dripping"])
@pytest.mark.parametrize(("said", "why"), BAD.values(), ids=BAD)
def test_anything_else_is_no_answer_with_a_named_reason(said: bytes, why: str, one_byte: bool) -> None:
    got, ending, _ = talk(said, one_byte=one_byte)
    assert got == []
    assert why in ending


@pytest.mark.parametrize("size", range(len(answer())))
def test_an_answer_cut_at_any_byte_is_none(size: int) -> None:
    got, ending, _ = talk(answer()[:size])
    assert (got, ending[:20]) == ([], "no whole HTTP answer")


def head_lines() -> st.SearchStrategy[bytes]:
    known = [b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Connection", b"X"]
    value = st.sampled_from([b"x-ISO-TPDU/x-auth", b"23", b"chunked", b"-1", b"close", b"\xff"]) | st.binary(max_size=9)
    return st.builds(lambda name, said: name + b": " + said + b"\r\n", st.sampled_from(known), value)


ANY = st.binary(max_size=400) | st.builds(
    lambda status, heads, body: b"HTTP/1.1 " + status + b"\r\n" + b"".join(heads) + b"\r\n" + body,
    st.sampled_from([b"200 OK", b"200", b"100 Continue", b"101 Switch", b"500 x", b"99 x", b"abc"]),
    st.lists(head_lines(), max_size=5),
    st.sampled_from([FRAME, FRAME + FRAME, CHUNKED, b""]) | st.binary(max_size=300),
)


@settings(max_examples=400, deadline=None)
@given(said=ANY | st.builds(lambda one, two: one + two, ANY, ANY))
def test_any_bytes_give_one_frame_or_a_named_reason(said: bytes) -> None:
    """And the reason never repeats what the host said."""
    got, ending, _ = talk(said)
    assert len(got) <= 1
    for body in got:
        assert len(body) == 2 + int.from_bytes(body[:2], "big") <= 2 + FRAME_BYTES_MAX
        assert body in said
        assert KIND[:-2].lower() in said.lower()
    assert ending
    assert ending.isascii()
    assert got or any(said in ending for said in REASONS), ending


REASONS = ("HTTP status", "content type", "in chunks", "packed", "no whole", "one frame", "longer", "not an", "interim")


def exchange(story: Callable[[HttpChannel, MemoryChannel, MemoryChannel], None], capacity: int = 65_536) -> None:
    async def run() -> None:
        near, far = memory_pair(capacity_bytes=capacity)
        story(HttpChannel(near, POST, FRAME_BYTES_MAX), near, far)

    asyncio.run(run())


def test_d2_of_a_request_that_the_kernel_has_not_taken_everything_is_unsent() -> None:
    def story(channel: HttpChannel, near: MemoryChannel, far: MemoryChannel) -> None:
        channel.send(FRAME)
        assert channel.unsent_bytes == len(FRAME)

    exchange(story, capacity=0)


@pytest.mark.parametrize("taken", [1, 100, 180])
def test_d2_of_a_request_that_is_half_taken_something_may_have_left(taken: int) -> None:
    """Also when just as many bytes wait as the frame has."""

    def story(channel: HttpChannel, near: MemoryChannel, far: MemoryChannel) -> None:
        channel.send(FRAME)
        assert near.unsent_bytes > 0
        assert 0 < channel.unsent_bytes < len(FRAME)

    exchange(story, capacity=taken)


def test_d2_what_the_kernel_has_is_not_unsent() -> None:
    def story(channel: HttpChannel, near: MemoryChannel, far: MemoryChannel) -> None:
        assert channel.unsent_bytes == 0
        channel.send(FRAME)
        assert channel.unsent_bytes == 0
        assert channel.delivered

    exchange(story)
