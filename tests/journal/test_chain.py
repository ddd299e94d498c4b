"""The chain: real HMAC, every column counts, and the bytes of version 1 never change."""

import hashlib
import hmac
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.journal.chain import WRONG_TYPE, Chain, encode_message, encode_record, same

RECORD = (7, "12345678", "Approved", 1, 1_765_000_000_000, '{"a":1}', "r", 12, "000000000012", 1, "k", b"n", b"s")
MESSAGE = (8, "12345678", 1_765, "out", "host", "0200", "{}", b"d" * 32, "r", 12, "rrn", 1, "k", b"n", b"s")

GENESIS = "57135751b2311b22884b42037e2ee6fc01b137054fcead5ae7bd075e099a8222"
RECORD_LINK = "0381bf3ea3a78a0912b4074ed4004caf70d2958e873a30b2808117cffc6e656d"
MESSAGE_LINK = "3011161e3bf20dbbfaddb3f82e5398057deb6419e142611666115460e524efe4"
SNAPSHOT_MAC = "e5ec83f80a1b2c979a5fb2fd6a39f9d287fddd79abc3537e1ff958f6fab19225"


@pytest.mark.parametrize("key", [b"k" * 16, b"k" * 64, b"k" * 65])
def test_is_hmac_sha256(key: bytes) -> None:
    assert Chain(key).mac(b"data") == hmac.new(key, b"data", hashlib.sha256).digest()


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Chain(b"short")


@pytest.mark.parametrize(("encode", "row"), [(encode_record, RECORD), (encode_message, MESSAGE)])
def test_every_column_counts(encode: Any, row: tuple[Any, ...]) -> None:
    seen = {encode(row)}
    for place, value in enumerate(row):
        changed = value + 1 if isinstance(value, int) else value[:-1]
        seen.add(encode((*row[:place], changed, *row[place + 1 :])))
    assert len(seen) == len(row) + 1


def test_null_is_neither_empty_nor_minus_one() -> None:
    def with_tail(*tail: Any) -> bytes:
        return encode_record((*RECORD[:6], *tail, *RECORD[10:]))

    assert len({with_tail(None, None, None, None), with_tail("", -1, "", -1), with_tail("", 0, "", 0)}) == 3


def test_text_cannot_move_between_columns() -> None:
    one = encode_record((1, "AB", "C", *RECORD[3:]))
    other = encode_record((1, "A", "BC", *RECORD[3:]))
    assert one != other


def test_d34_golden_links() -> None:
    # D34: a journal that was written must verify for ever; these bytes were computed once and never change
    chain = Chain(bytes(range(32)))
    assert chain.genesis(bytes(16)).hex() == GENESIS
    assert chain.record(bytes(32), RECORD).hex() == RECORD_LINK
    assert chain.message(bytes(32), MESSAGE).hex() == MESSAGE_LINK
    assert chain.snapshot("12345678", 7, 1, "{}", bytes(32)).hex() == SNAPSHOT_MAC


def test_same_takes_anything() -> None:
    assert same(b"x", b"x")
    assert not same(None, b"x")
    assert not same("x", b"x")


# --- what the module says about the bytes, said again and simply --------------------------------------------------

TEXT = st.text(max_size=6) | st.sampled_from(["", "商户", "A", "\udc00", "é"])
BLOB = st.binary(max_size=4)
NUMBER = st.integers(-(2**63), 2**63 - 1)
OPTIONAL = (st.none() | TEXT, st.none() | NUMBER, st.none() | TEXT, st.none() | NUMBER)
SEALED = (st.none() | TEXT, st.none() | BLOB, st.none() | BLOB)
RECORDS = st.tuples(NUMBER, TEXT, TEXT, NUMBER, NUMBER, TEXT, *OPTIONAL, *SEALED)
MESSAGES = st.tuples(NUMBER, TEXT, NUMBER, TEXT, TEXT, TEXT, TEXT, BLOB, *OPTIONAL, *SEALED)


def simply(name: bytes, row: tuple[Any, ...], tail: int) -> bytes:
    """`tail`: where request_id, stan, rrn, batch, key_id, nonce, sealed begin."""

    def content(value: Any) -> bytes:
        return value.encode() if isinstance(value, str) else value or b""

    fixed, (request_id, stan, rrn, batch, *sealed) = row[:tail], row[tail:]
    numbers = [value for value in fixed if isinstance(value, int)]
    numbers += [-(2**63) if value is None else value for value in (stan, batch)]
    texts = [content(value) for value in fixed if not isinstance(value, int)]
    optional = [request_id, rrn, *sealed]
    lengths = [-(2**63) if value is None else len(content(value)) for value in optional]
    head = struct.pack(f">{len(numbers) + len(texts)}q", *numbers, *map(len, texts))
    return b"".join([name + b"\0", head, *texts, struct.pack(f">{len(lengths)}q", *lengths), *map(content, optional)])


def bytes_or_refusal(what: Any, *arguments: Any) -> Any:
    try:
        return what(*arguments)
    except WRONG_TYPE:
        return "refused"


@settings(max_examples=400, deadline=None)
@given(RECORDS)
def test_a_record_s_bytes_are_what_the_module_says(row: tuple[Any, ...]) -> None:
    chain = Chain(b"k" * 16)
    expected = bytes_or_refusal(simply, b"record", row, 6)
    assert bytes_or_refusal(encode_record, row) == expected
    if expected != "refused":
        assert chain.record(b"p" * 32, row) == chain.mac(b"p" * 32 + expected)


@settings(max_examples=400, deadline=None)
@given(MESSAGES)
def test_a_message_s_bytes_are_what_the_module_says(row: tuple[Any, ...]) -> None:
    chain = Chain(b"k" * 16)
    expected = bytes_or_refusal(simply, b"message", row, 8)
    assert bytes_or_refusal(encode_message, row) == expected
    if expected != "refused":
        assert chain.message(b"p" * 32, row) == chain.mac(b"p" * 32 + expected)


@pytest.mark.parametrize(("encode", "row"), [(encode_record, RECORD), (encode_message, MESSAGE)])
def test_a_column_of_another_type_is_refused(encode: Any, row: tuple[Any, ...]) -> None:
    nullable = {place for place in range(len(row)) if place >= len(row) - 7}
    for place, value in enumerate(row):
        for other in (5, "5", b"5", 5.0, None):
            if type(other) is type(value) or (other is None and place in nullable):
                continue
            with pytest.raises(WRONG_TYPE):
                encode((*row[:place], other, *row[place + 1 :]))


def test_columns_that_are_all_of_another_type_are_refused_too() -> None:
    for other in (5, b"5", 5.0):
        with pytest.raises(WRONG_TYPE):
            encode_record((7, other, other, 1, 1, other, *RECORD[6:]))
        with pytest.raises(WRONG_TYPE):
            encode_record((*RECORD[:6], other, 12, other, 1, other, *RECORD[11:]))
        with pytest.raises(WRONG_TYPE):
            encode_message((8, other, 1, other, other, other, other, *MESSAGE[7:]))
