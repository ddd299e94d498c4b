"""BER-TLV: what is built parses, any bytes end in elements or in a named fault."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode, MalformedMessage
from posd.iso8583.tlv import build, parse

tags = st.sampled_from(["5A", "57", "82", "9F26", "9F1E", "5F2A", "DF31", "DF8101"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(tags, st.binary(max_size=300)), max_size=6))
def test_what_is_built_parses(elements: list[tuple[str, bytes]]) -> None:
    assert parse(build(elements)) == elements


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=255))
def test_any_bytes_end_in_elements_or_a_named_fault(data: bytes) -> None:
    try:
        elements = parse(data)
    except MalformedMessage as error:
        named = (error.field or "").startswith("55") and error.offset is not None
        assert named
    else:
        assert sum(len(value) for _, value in elements) <= len(data)


@pytest.mark.parametrize(
    ("data", "field", "offset"),
    [
        ("9F", "55", 0),
        ("9F81", "55", 0),
        ("9F818101", "55", 0),
        ("5A", "55.5A", 1),
        ("8201005A09", "55.5A", 4),
        ("5A80", "55.5A", 1),
        ("5A83000001AA", "55.5A", 1),
        ("5A82FF", "55.5A", 1),
        ("5A0462258801", ".", 0),
        ("5A0562258801", "55.5A", 1),
    ],
)
def test_faults_name_tag_and_offset(data: str, field: str, offset: int) -> None:
    if field == ".":
        assert parse(bytes.fromhex(data)) == [("5A", bytes.fromhex("62258801"))]
        return
    with pytest.raises(MalformedMessage) as caught:
        parse(bytes.fromhex(data))
    assert (caught.value.field, caught.value.offset) == (field, offset)
    assert "622588" not in str(caught.value)


def test_filling_between_elements_is_skipped() -> None:
    assert parse(bytes.fromhex("0000820101000095010200")) == [("82", b"\x01"), ("95", b"\x02")]


@pytest.mark.parametrize("tag", ["", "00", "5", "9F", "5A5A", "XY", "9F818101", "1F"])
def test_what_is_no_tag_is_not_built(tag: str) -> None:
    with pytest.raises(CannotEncode):
        build([(tag, b"")])
