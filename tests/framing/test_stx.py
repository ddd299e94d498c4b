"""STX frames: bytes written down by hand, both sides of a line, and any bytes at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode
from posd.framing.line import Bad, Frame, GivenUp, LineEvent, Repeated, Write
from posd.framing.stx import StxKnobs, StxLine, stx_frame

KNOBS = StxKnobs(inter_byte_s=0.5, ack_timeout_s=2.0, retries=3, byte_s=0.001)
ACK, NAK = Write(b"\x06"), Write(b"\x15")
BODY = b"AB\x02\x03"
"""With STX and ETX in it, as any bitmap may have."""


def a_line(knobs: StxKnobs = KNOBS, frame_bytes_max: int = 4096) -> StxLine:
    return StxLine(knobs, frame_bytes_max)


@pytest.mark.parametrize(
    ("lrc", "wire"),
    [
        # length 00 02, body 31 32, ETX 03: 00^02^31^32^03 = 02
        ("length-etx", "02 0002 3132 03 02"),
        # with STX: 02^02 = 00
        ("stx-etx", "02 0002 3132 03 00"),
        # 31^32^03 = 00
        ("body-etx", "02 0002 3132 03 00"),
        # 00^02^31^32 = 01
        ("length-body", "02 0002 3132 03 01"),
    ],
)
def test_golden_bytes_for_each_reading_of_the_lrc(lrc: str, wire: str) -> None:
    frame = bytes.fromhex(wire)
    assert stx_frame(b"12", lrc) == frame
    assert a_line(StxKnobs(lrc=lrc)).feed(frame, 0) == [ACK, Frame(b"12")]


def test_a_golden_frame_with_three_digits_of_length() -> None:
    body = bytes(range(123))
    # 01^23 = 22; the XOR of 0 to 122 is 122 ^ 121 ^ 120 = 123 (0 to 119 give 0), 22^7b^03 = 5a
    assert stx_frame(body) == bytes.fromhex("020123") + body + bytes.fromhex("035a")


@pytest.mark.parametrize("body", [b"", bytes(10_000)])
def test_what_four_digits_cannot_say_is_not_sent(body: bytes) -> None:
    with pytest.raises(CannotEncode, match="1 to 9999 bytes"):
        stx_frame(body)
    assert stx_frame(bytes(9_999))[1:3] == b"\x99\x99"


def test_one_byte_at_a_time() -> None:
    line, events = a_line(), []
    for byte in stx_frame(BODY):
        events += line.feed(bytes([byte]), 0.0)
    assert events == [ACK, Frame(BODY)]
    assert line.noise_bytes == 0
    assert line.deadline_s is None


def test_noise_and_nuls_between_frames_are_skipped_and_counted() -> None:
    line = a_line()
    stream = b"\0\0\xff" + stx_frame(b"one") + b"\0\x06\x15\x03" + stx_frame(b"two") + b"\0"
    assert line.feed(stream, 0.0) == [ACK, Frame(b"one"), ACK, Frame(b"two")]
    assert line.noise_bytes == 3 + 4 + 1


@pytest.mark.parametrize("at", range(len(stx_frame(b"hello"))))
def test_a_nul_for_any_byte_is_found_and_asked_for_again(at: int) -> None:
    """As a parity error arrives."""
    good = stx_frame(b"hello")
    if good[at] == 0:
        pytest.skip("it is a NUL already")
    line = a_line()
    events = line.feed(good[:at] + b"\0" + good[at + 1 :], 0.0)
    events += line.tick(0.6)
    frames = [event for event in events if isinstance(event, Frame)]
    assert frames == []
    assert (NAK in events) == (at > 0)  # without STX nobody knows that there was a frame
    assert line.feed(good, 0.7) == [ACK, Frame(b"hello")]


@pytest.mark.parametrize(
    ("wire", "what"),
    [
        ("02 00a4", "length is not 1 to 4096 in BCD (offset 1)"),
        ("02 0000", "length is not 1 to 4096 in BCD (offset 1)"),
        ("02 9999", "length is not 1 to 4096 in BCD (offset 1)"),
        ("02 0002 3132 04 02", "no ETX where the length says (offset 5)"),
        ("02 0002 3132 03 12", "wrong LRC (offset 6)"),
    ],
)
def test_what_is_bad_is_named_with_its_place(wire: str, what: str) -> None:
    data = bytes.fromhex(wire)
    line = a_line()
    assert line.feed(data, 10.0) == [Bad(what, len(data))]
    assert line.noise_bytes == len(data)
    assert line.deadline_s == 10.5
    assert line.tick(10.4) == []
    assert line.tick(10.5) == [NAK]
    assert line.tick(10.5) == []
    assert line.deadline_s is None


def test_after_a_bad_frame_nothing_is_believed_until_silence() -> None:
    """Else a body that holds a frame would be taken for one."""
    line = a_line()
    inner = stx_frame(b"a frame in a body")
    bad = bytes.fromhex("02f0f0") + inner
    assert line.feed(bad, 0.0) == [Bad("length is not 1 to 4096 in BCD (offset 1)", 3)]
    assert line.feed(inner, 0.4) == []
    assert line.tick(0.5) == []
    assert line.tick(0.9) == [NAK]
    assert line.feed(inner, 1.0) == [ACK, Frame(b"a frame in a body")]


def test_a_frame_that_stops_coming_is_bad_after_the_inter_byte_limit() -> None:
    line = a_line()
    assert line.feed(stx_frame(b"hello")[:6], 1.0) == []
    assert line.tick(1.4) == []
    assert line.feed(b"l", 1.4) == []
    assert line.tick(1.5) == []
    assert line.tick(1.9) == [Bad("unfinished after 7 bytes", 7), NAK]
    assert line.feed(stx_frame(b"hello"), 2.0) == [ACK, Frame(b"hello")]


def test_a_frame_is_sent_again_when_no_ack_comes_and_given_up_in_the_end() -> None:
    line = a_line()
    wire = stx_frame(b"x" * 95)
    assert len(wire) == 100
    assert line.send(b"x" * 95, 0.0) == [Write(wire)]
    assert not line.ready
    assert line.deadline_s == pytest.approx(2.1), "the last byte leaves after 0.1 s"
    assert line.tick(2.0) == []
    assert line.tick(2.1) == [Write(wire, again=True)]
    assert line.tick(4.2) == [Write(wire, again=True)]
    assert line.tick(6.3) == [Write(wire, again=True)]
    assert line.tick(8.4) == [GivenUp("not acknowledged in 4 attempts: no acknowledgement within 2 s")]
    assert line.ready
    assert line.deadline_s is None


def test_nak_is_answered_at_once_within_the_same_limit() -> None:
    line = a_line()
    wire = stx_frame(BODY)
    line.send(BODY, 0.0)
    assert line.feed(b"\x15\x15\x15", 0.1) == [Write(wire, again=True)] * 3
    assert line.feed(b"\x15", 0.2) == [GivenUp("not acknowledged in 4 attempts: refused by NAK")]
    assert line.feed(b"\x15", 0.3) == []


def test_an_ack_ends_the_waiting_and_a_second_one_is_noise() -> None:
    line = a_line()
    line.send(BODY, 0.0)
    assert line.feed(b"\x06\x06", 0.1) == []
    assert line.ready
    assert line.noise_bytes == 1


def test_one_frame_at_a_time() -> None:
    line = a_line()
    line.send(BODY, 0.0)
    with pytest.raises(CannotEncode, match="still waiting"):
        line.send(BODY, 0.0)


def test_ack_within_a_frame_is_data() -> None:
    line = a_line()
    line.send(b"ours", 0.0)
    assert line.feed(stx_frame(b"\x06\x15"), 0.1) == [ACK, Frame(b"\x06\x15")]
    assert not line.ready


def test_a_repeat_whose_ack_was_lost_is_acknowledged_and_not_delivered() -> None:
    line = a_line()
    wire = stx_frame(BODY)
    assert line.feed(wire, 0.0) == [ACK, Frame(BODY)]
    assert line.feed(wire, 2.0) == [ACK, Repeated()]
    assert line.feed(b"\0" + wire, 4.0) == [ACK, Repeated()]


def test_the_same_again_after_the_window_is_a_new_question() -> None:
    line = a_line()
    wire = stx_frame(BODY)
    line.feed(wire, 0.0)
    window_s = 4 * (2.0 + len(wire) * 0.001)
    assert line.feed(wire, window_s + 0.01) == [ACK, Frame(BODY)]


def test_the_same_again_after_another_is_a_new_question() -> None:
    line = a_line()
    assert line.feed(stx_frame(b"a") + stx_frame(b"b") + stx_frame(b"a"), 0.0) == [
        *(ACK, Frame(b"a")),
        *(ACK, Frame(b"b")),
        *(ACK, Frame(b"a")),
    ]


def test_the_same_again_after_an_answer_arrived_is_a_new_question() -> None:
    """A terminal that lost its memory after the answer must not be left without one (it is answered from state, D6)."""
    line = a_line()
    wire = stx_frame(BODY)
    line.feed(wire, 0.0)
    line.send(b"answer", 0.1)
    assert line.feed(wire, 0.2) == [ACK, Repeated()], "the answer has not arrived: it is being repeated itself"
    assert line.feed(b"\x06", 0.3) == []
    assert line.feed(wire, 0.4) == [ACK, Frame(BODY)]


def test_no_text_and_no_repr_holds_a_body() -> None:
    secret = b"6225880123456789"
    line = a_line()
    events = [*line.feed(stx_frame(secret), 0.0), *line.send(secret, 0.0)]
    events += line.feed(stx_frame(secret)[:-1] + b"\xee", 0.0)
    assert len(events) == 4
    assert "6225" not in repr(events)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.data())
def test_frames_come_out_however_the_bytes_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(stx_frame, bodies))
    line, got, at = a_line(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 400))
        got += [event.body for event in line.feed(stream[at : at + step], 0.0) if isinstance(event, Frame)]
        at += step
    expected = [body for n, body in enumerate(bodies) if n == 0 or body != bodies[n - 1]]
    assert got == expected


ANY_BYTES = st.one_of(
    st.binary(max_size=60),
    st.binary(min_size=1, max_size=30).map(stx_frame),
    st.binary(min_size=1, max_size=30).map(lambda body: stx_frame(body)[:-1]),
    st.sampled_from([b"\x02", b"\x06", b"\x15", b"\0", b"\x02\x00\x05", b"\x02\x00\x64"]),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(ANY_BYTES, st.floats(0, 5), st.booleans()), max_size=30))
def test_any_bytes_at_any_time_give_events_in_bounded_memory(steps: list[tuple[bytes, float, bool]]) -> None:
    line = a_line(frame_bytes_max=64)
    now_s, given = 0.0, 0
    for data, gap_s, talks in steps:
        now_s += gap_s
        if line.deadline_s is not None and line.deadline_s <= now_s:
            events = line.tick(now_s)
            assert line.deadline_s is None or line.deadline_s > now_s, "a tick leaves no deadline in the past"
            check(events)
        if talks and line.ready:
            check(line.send(b"question", now_s))
        check(line.feed(data, now_s))
        given += len(data)
        assert len(line._buffer) <= 64 + 5
        assert line.noise_bytes <= given


def check(events: list[LineEvent]) -> None:
    for event in events:
        assert isinstance(event, Frame | Write | Bad | Repeated | GivenUp)
        if isinstance(event, Frame):
            assert 0 < len(event.body) <= 64
        if isinstance(event, Bad):
            assert event.what
            assert event.length > 0


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_flipped_bit_is_never_delivered_and_the_next_attempt_is(body: bytes, data: st.DataObject) -> None:
    wire = bytearray(stx_frame(body))
    at, bit = data.draw(st.integers(1, len(wire) - 1)), data.draw(st.integers(0, 7))
    wire[at] ^= 1 << bit
    line = a_line()
    events = line.feed(bytes(wire), 0.0) + line.tick(1.0)
    assert not [event for event in events if isinstance(event, Frame)]
    assert NAK in events
    assert Frame(body) in line.feed(stx_frame(body), 1.1)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6, unique=True), st.randoms(use_true_random=False)
)
def test_two_sides_over_a_bad_line_deliver_each_frame_once_and_in_order(bodies: list[bytes], chance: object) -> None:
    """Frames lost and changed, ACKs and NAKs lost, on virtual time."""
    knobs = StxKnobs(inter_byte_s=0.1, ack_timeout_s=1.0, retries=20, byte_s=0.0)
    near, far = StxLine(knobs, 4096), StxLine(knobs, 4096)
    to_send, got, now_s, gave_up = list(bodies), [], 0.0, False
    on_the_way: list[tuple[StxLine, bytes]] = []

    def carry(events: list[LineEvent], to: StxLine) -> None:
        nonlocal gave_up
        for event in events:
            if isinstance(event, Write):
                fate = chance.randrange(10)  # type: ignore[attr-defined]
                if fate < 2:
                    continue
                data = bytearray(event.data)
                if fate < 4 and len(data) > 1:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)  # type: ignore[attr-defined]
                on_the_way.append((to, bytes(data)))
            elif isinstance(event, Frame):
                got.append(event.body)
            elif isinstance(event, GivenUp):
                gave_up = True

    while (to_send or on_the_way or near.deadline_s or far.deadline_s) and not gave_up:
        if near.ready and to_send and not on_the_way:
            carry(near.send(to_send.pop(0), now_s), far)
        if on_the_way:
            side, data = on_the_way.pop(0)
            carry(side.feed(data, now_s), near if side is far else far)
            continue
        now_s = min(due for due in (near.deadline_s, far.deadline_s, now_s + 1) if due is not None)
        carry(near.tick(now_s), far)
        carry(far.tick(now_s), near)
    if not gave_up:
        assert got == bodies
