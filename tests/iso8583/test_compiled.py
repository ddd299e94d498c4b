"""The compiled codec against pyiso8583: the same messages, the same bytes, the same faults."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posd.errors import CannotEncode
from posd.iso8583.codec import Codec, Unreadable
from posd.iso8583.compiled import IRREGULAR, PLANS_MAX, CompiledSpec
from posd.iso8583.message import Message
from posd.iso8583.nac import VariablePad, nac_spec
from posd.iso8583.spec import Field, Kind, Pad, Spec
from posd.iso8583.unionpay import unionpay_spec

ODD = Spec.of(
    "odd",
    [
        Field(2, "left F", Kind.DIGITS, 7, pad=Pad.LEFT, pad_nibble="F"),
        Field(3, "right F", Kind.DIGITS, 7, 1, Pad.RIGHT, "F"),
        Field(4, "no pad", Kind.DIGITS, 5, 1, Pad.LEFT, ""),
        Field(5, "lower-case pad", Kind.TRACK, 5, 1, Pad.RIGHT, "f"),
        Field(6, "exact track", Kind.TRACK, 5, pad=Pad.LEFT),
        Field(7, "more than its prefix can say", Kind.TEXT, 120, 1),
        Field(8, "nothing", Kind.BINARY, 0),
        Field(9, "one byte", Kind.BINARY, 1, 1),
        Field(10, "latin", Kind.BYTES_AS_TEXT, 3),
        Field(64, "last", Kind.DIGITS, 2),
    ],
)
CODECS = [
    Codec(unionpay_spec()),
    Codec(unionpay_spec(f22_left=False, f23_right=False, f61_ascii=True, with_f24=True)),
    Codec(ODD),
    *(Codec(nac_spec(pad=pad)) for pad in VariablePad),
    Codec(nac_spec(ascii_wire=True)),
]
ALPHABETS = {
    Kind.DIGITS: "0123456789",
    Kind.TRACK: "0123456789ABC=EF",
    Kind.TEXT: "".join(map(chr, range(128))),
    Kind.BYTES_AS_TEXT: "".join(map(chr, range(256))),
    Kind.BINARY: "0123456789ABCDEF",
}
NASTY = "0129AaFfDd=² ٣é\x00\n_+-€"


def outcome(what: Callable[[Any], Any], value: Any) -> Any:
    try:
        return what(value)
    except Unreadable as error:
        return str(error), error.field, error.offset, error.partial, error.__context__
    except CannotEncode as error:
        return str(error), error.__context__


def same(codec: Codec, data: bytes) -> None:
    """Any bytes: the same message or the same fault; what the closures take the reference takes too."""
    reference = outcome(codec.decode_by_reference, data)
    assert outcome(codec.decode, data) == reference
    assert isinstance(reference, Message) or reference[-1] is None  # no context: it could hold the whole card
    try:
        taken = CompiledSpec(codec.spec).decode(data)
    except IRREGULAR:
        return
    assert taken == reference
    assert list(taken.fields) == list(reference.fields)


def good_value(field: Field) -> st.SearchStrategy[str]:
    most = field.length_max
    each = 2 if field.kind is Kind.BINARY else 1
    shortest = 0 if field.prefix_bytes else most
    lengths = st.integers(shortest, most)
    if not field.pad_nibble:
        lengths = lengths.filter(lambda length: length % 2 == 0)
    alphabet = ALPHABETS[field.kind]
    return lengths.flatmap(lambda length: st.text(alphabet, min_size=length * each, max_size=length * each))


def messages(value: Callable[[Field], st.SearchStrategy[str]]) -> st.SearchStrategy[tuple[Codec, Message]]:
    def of(codec: Codec) -> st.SearchStrategy[tuple[Codec, Message]]:
        fields = {n: f for n, f in codec.spec.fields.items() if f.pad_nibble != "f" or value is not good_value}
        mti = st.text("0123456789", min_size=4, max_size=4)
        return st.lists(st.sampled_from(sorted(fields)), max_size=10, unique=True).flatmap(
            lambda numbers: st.builds(
                lambda mti, values: (codec, Message(mti, values)),
                mti,
                st.fixed_dictionaries({number: value(fields[number]) for number in numbers}),
            )
        )

    return st.sampled_from(CODECS).flatmap(of)


def any_value(field: Field) -> st.SearchStrategy[str]:
    about = max(0, field.length * (2 if field.kind is Kind.BINARY else 1) + 1)
    near = st.text(ALPHABETS[field.kind], min_size=max(0, about - 3), max_size=about)
    return st.one_of(good_value(field), near, st.text(ALPHABETS[field.kind] + NASTY, max_size=about))


@settings(max_examples=300, deadline=None)
@given(messages(good_value))
def test_a_valid_message_passes_through_the_closures_and_is_the_reference_s(pair: tuple[Codec, Message]) -> None:
    codec, message = pair
    compiled = CompiledSpec(codec.spec)
    data = compiled.encode(message)
    assert data == codec.encode_by_reference(message) == codec.encode(message)
    assert compiled.decode(data) == codec.decode_by_reference(data) == codec.decode(data) == message


@settings(max_examples=400, deadline=None)
@given(messages(any_value))
def test_any_values_give_the_same_bytes_or_the_same_refusal(pair: tuple[Codec, Message]) -> None:
    codec, message = pair
    reference = outcome(codec.encode_by_reference, message)
    assert outcome(codec.encode, message) == reference
    assert isinstance(reference, bytes) or reference[-1] is None
    try:
        taken = CompiledSpec(codec.spec).encode(message)
    except IRREGULAR:
        return
    assert taken == reference


@settings(max_examples=150, deadline=None)
@given(messages(good_value), st.data())
def test_cut_lengthened_and_changed_messages_have_the_same_fault(
    pair: tuple[Codec, Message], data: st.DataObject
) -> None:
    codec, message = pair
    whole = codec.encode_by_reference(message)
    same(codec, whole[: data.draw(st.integers(0, len(whole)))])
    same(codec, whole + data.draw(st.binary(min_size=1, max_size=3)))
    for _ in range(4):
        place = data.draw(st.integers(0, len(whole) - 1))
        same(codec, whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CODECS), st.sampled_from(["0200", "0F10", ""]), st.binary(max_size=90))
@example(CODECS[2], "0200", bytes.fromhex("0800000000000000" + "01" + "1F"))
def test_any_bytes_have_the_same_outcome(codec: Codec, mti: str, body: bytes) -> None:
    same(codec, bytes.fromhex(mti) + body)


def test_every_nibble_of_a_small_message_may_be_wrong() -> None:
    codec = CODECS[0]
    fields = {2: "6225880123456789012", 22: "021", 23: "001", 35: "6225=301", 44: "é", 60: "22000", 62: "AB"}
    whole = codec.encode(Message("0200", fields))
    for place in range(len(whole)):
        for value in range(256):
            same(codec, whole[:place] + bytes([value]) + whole[place + 1 :])


@pytest.mark.parametrize(
    "message",
    [
        Message("²200", {}),
        Message("٣٣٣٣", {}),
        Message("02000", {}),
        Message("0200", {1: "00"}),
        Message("0200", {65: "00"}),
        Message("0200", {11: "00 036"}),
        Message("0200", {52: "E97D930127EB 3146"}),
        Message("0200", {55: "ABC"}),
        Message("0200", {4: "00000000010²"}),
    ],
)
def test_what_python_takes_for_digits_or_hex_is_refused_as_before(message: Message) -> None:
    codec = CODECS[0]
    assert outcome(codec.encode, message) == outcome(codec.encode_by_reference, message)
    assert isinstance(outcome(codec.encode, message), tuple)


def test_what_a_codec_remembers_is_bounded_and_no_message() -> None:
    compiled = CompiledSpec(unionpay_spec())
    numbers = sorted(number for number, field in compiled_fields().items() if field.prefix_bytes)
    for bits in range(2 * PLANS_MAX):
        chosen = {number: "" for place, number in enumerate(numbers) if bits >> place & 1}
        compiled.decode(compiled.encode(Message("0200", chosen)))
    for plans in (compiled._decoding, compiled._encoding):
        assert plans.cache_info().currsize == PLANS_MAX


def compiled_fields() -> dict[int, Field]:
    return dict(unionpay_spec().fields)
