"""Framing: frames come out however the bytes come in; a length that lies ends the stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode, MalformedMessage
from posd.framing.length_prefix import FRAME_BYTES_MAX, BrokenStream, Length, LengthPrefixed, with_length

frames = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


@settings(max_examples=100, deadline=None)
@given(frames, st.data())
def test_frames_come_out_however_the_bytes_are_cut(wanted: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(with_length, wanted))
    framing, got, at = LengthPrefixed(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 400))
        got += framing.feed(stream[at : at + step])
        at += step
    assert got == wanted
    assert framing.pending == 0


@settings(max_examples=30, deadline=None)
@given(frames)
def test_one_byte_at_a_time(wanted: list[bytes]) -> None:
    framing = LengthPrefixed()
    got = [frame for byte in b"".join(map(with_length, wanted)) for frame in framing.feed(bytes([byte]))]
    assert got == wanted


def test_an_unfinished_frame_waits() -> None:
    framing = LengthPrefixed()
    assert framing.feed(b"\x00") == []
    assert framing.feed(b"\x03ab") == []
    assert framing.pending == 4
    assert framing.feed(b"c\x00") == [b"abc"]
    assert framing.pending == 1
    assert framing.feed(b"") == []


@pytest.mark.parametrize(
    "prefix", [b"\x00\x00", (FRAME_BYTES_MAX + 1).to_bytes(2, "big"), b"\xff\xff", b"GE", b"\x16\x03"]
)
def test_a_length_that_lies_ends_the_stream(prefix: bytes) -> None:
    framing = LengthPrefixed()
    with pytest.raises(MalformedMessage, match="frame length"):
        framing.feed(prefix)
    assert framing.pending == 0
    with pytest.raises(MalformedMessage):
        framing.feed(with_length(b"good"))


def test_whole_frames_before_the_fault_are_not_lost() -> None:
    framing = LengthPrefixed()
    with pytest.raises(BrokenStream) as caught:
        framing.feed(with_length(b"answer") + b"\x00\x00" + with_length(b"later"))
    assert caught.value.frames == [b"answer"]
    with pytest.raises(BrokenStream) as again:
        framing.feed(b"")
    assert again.value.frames == []


def test_the_limit_is_inclusive() -> None:
    assert LengthPrefixed(4).feed(with_length(b"abcd")) == [b"abcd"]
    with pytest.raises(BrokenStream, match="5 is not within 1 to 4 bytes"):
        LengthPrefixed(4).feed(with_length(b"abcde"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_any_bytes_give_frames_or_the_named_fault_in_bounded_memory(chunks: list[bytes]) -> None:
    framing = LengthPrefixed(64)
    for chunk in chunks:
        try:
            got = framing.feed(chunk)
        except BrokenStream as error:
            got = error.frames
        assert all(0 < len(frame) <= 64 for frame in got)
        assert framing.pending < 64 + 2


@pytest.mark.parametrize("frame", [b"", bytes(65_536)])
def test_what_two_bytes_cannot_say_is_not_sent(frame: bytes) -> None:
    with pytest.raises(CannotEncode, match="frame"):
        with_length(frame)


@pytest.mark.parametrize(
    ("length", "prefix", "most"),
    [
        (Length.BINARY, "0104", 65_535),
        (Length.BCD, "0260", 9_999),
        (Length.INCLUSIVE, "0106", 65_533),
    ],
)
def test_the_forms_of_a_length(length: Length, prefix: str, most: int) -> None:
    """260 bytes in each (reference 2.1), the longest, and what is too long to be said."""
    assert with_length(bytes(260), length).hex().startswith(prefix)
    framing = LengthPrefixed(65_535, length)
    for frame in (b"x", bytes(260), bytes(most)):
        assert framing.feed(with_length(frame, length)) == [frame]
    for frame in (b"", bytes(most + 1)):
        with pytest.raises(CannotEncode):
            with_length(frame, length)


@pytest.mark.parametrize(("length", "prefix"), [(Length.BCD, "00a1"), (Length.BCD, "0000"), (Length.INCLUSIVE, "0002")])
def test_a_length_that_its_form_cannot_say_ends_the_stream(length: Length, prefix: str) -> None:
    framing = LengthPrefixed(length=length)
    with pytest.raises(BrokenStream, match=rf"frame length 0x{prefix} \({length}\) is not within") as caught:
        framing.feed(with_length(b"answer", length) + bytes.fromhex(prefix) + b"more")
    assert caught.value.frames == [b"answer"]


@given(st.sampled_from(Length), st.binary(max_size=600))
def test_any_bytes_give_frames_or_a_fault(length: Length, data: bytes) -> None:
    framing = LengthPrefixed(length=length)
    try:
        frames = framing.feed(data)
    except BrokenStream as error:
        frames = error.frames
    said = b"".join(with_length(frame, length) for frame in frames)
    assert data.startswith(said)
