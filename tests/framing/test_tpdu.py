"""TPDU, LRI block and header: split and joined without loss."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import MalformedMessage
from posd.framing.tpdu import LRI_BYTES, Envelope, join, split

TPDU = bytes.fromhex("6005250000")
HEADER = bytes.fromhex("603100311001")
LRI = b"LRI\x00\x1c" + bytes(range(28))


def test_an_answer_goes_back_with_destination_and_source_exchanged() -> None:
    envelope, body = split(TPDU + HEADER + b"body", 6)
    assert envelope == Envelope(TPDU, b"", HEADER)
    assert body == b"body"
    answered = envelope.answered()
    assert answered.tpdu == bytes.fromhex("6000000525")
    assert answered.header == HEADER
    assert answered.answered() == envelope


def test_an_lri_block_is_kept_apart() -> None:
    frame = TPDU + LRI + HEADER + b"body"
    envelope, body = split(frame, 6)
    assert (len(LRI), envelope.lri, envelope.header, body) == (LRI_BYTES, LRI, HEADER, b"body")
    assert join(envelope, body) == frame


@pytest.mark.parametrize(("header_bytes", "header"), [(0, b""), (2, b"\x01\x00"), (6, HEADER)])
def test_the_header_is_as_long_as_the_dialect_says(header_bytes: int, header: bytes) -> None:
    envelope, body = split(TPDU + header + b"\x08\x00", header_bytes)
    assert (envelope.header, body) == (header, b"\x08\x00")


@pytest.mark.parametrize(
    ("frame", "field", "offset"),
    [
        (b"", "TPDU", 0),
        (TPDU[:4], "TPDU", 0),
        (TPDU, "header", 5),
        (TPDU + HEADER[:5], "header", 5),
        (TPDU + LRI[:32], "LRI", 5),
        (TPDU + LRI + HEADER[:5], "header", 38),
    ],
)
def test_a_frame_that_ends_too_early_says_where(frame: bytes, field: str, offset: int) -> None:
    with pytest.raises(MalformedMessage) as caught:
        split(frame, 6)
    assert (caught.value.field, caught.value.offset) == (field, offset)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: TPDU + b"LRI" + rest), st.sampled_from([0, 2, 6])
)
def test_any_bytes_split_without_loss_or_are_refused_by_name(frame: bytes, header_bytes: int) -> None:
    try:
        envelope, body = split(frame, header_bytes)
    except MalformedMessage:
        assert len(frame) < 5 + header_bytes + (LRI_BYTES if frame[5:8] == b"LRI" else 0)
    else:
        assert join(envelope, body) == frame
