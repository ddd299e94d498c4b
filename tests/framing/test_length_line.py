"""A bare length prefix on a serial line: the same frames as on TCP, and a way back after noise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode
from posd.framing.length_line import LengthLine
from posd.framing.length_prefix import with_length
from posd.framing.line import Bad, Frame, Write


def test_frames_go_and_come_as_on_tcp() -> None:
    line = LengthLine(0.5, 100)
    assert line.send(b"abc", 0.0) == [Write(b"\x00\x03abc")]
    assert line.ready
    assert line.feed(b"\x00\x03abc\x00", 0.0) == [Frame(b"abc")]
    assert line.feed(b"\x02de", 0.1) == [Frame(b"de")]
    assert line.deadline_s is None
    with pytest.raises(CannotEncode):
        line.send(b"", 0.0)


def test_a_length_that_lies_costs_everything_until_silence() -> None:
    line = LengthLine(0.5, 100)
    events = line.feed(with_length(b"good") + b"\xff\xff" + with_length(b"lost"), 1.0)
    assert events == [Frame(b"good"), Bad("frame length 65535 is not within 1 to 100 bytes (field length)", 8)]
    assert line.feed(with_length(b"lost too"), 1.4) == []
    assert line.tick(1.5) == []
    assert line.tick(1.9) == []
    assert line.feed(with_length(b"heard"), 2.0) == [Frame(b"heard")]
    assert line.noise_bytes == 8 + 10


def test_a_frame_that_stops_coming_is_dropped_after_the_limit() -> None:
    line = LengthLine(0.5, 100)
    assert line.feed(b"\x00\x09abc", 1.0) == []
    assert line.deadline_s == 1.5
    assert line.tick(1.4) == []
    assert line.tick(1.5) == [Bad("unfinished after 5 bytes", 5)]
    assert line.deadline_s is None
    assert line.feed(with_length(b"next"), 1.6) == [Frame(b"next")]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1)), max_size=20))
def test_any_bytes_at_any_time_and_it_always_finds_back(steps: list[tuple[bytes, float]]) -> None:
    line, now_s = LengthLine(0.5, 64), 0.0
    for data, gap_s in steps:
        now_s += gap_s
        if line.deadline_s is not None and line.deadline_s <= now_s:
            line.tick(now_s)
            assert line.deadline_s is None
        for event in line.feed(data, now_s):
            assert isinstance(event, Frame | Bad)
        assert line._frames.pending <= 66
    line.tick(now_s + 0.5)
    assert line.feed(with_length(b"back"), now_s + 0.6) == [Frame(b"back")]
