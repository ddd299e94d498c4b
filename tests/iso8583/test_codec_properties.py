"""Properties of the codec: any message comes back, any bytes end in a message or in a named fault."""

from hypothesis import given, settings
from hypothesis import strategies as st

from posd.iso8583.codec import Unreadable
from posd.iso8583.masking import masked_fields
from posd.iso8583.message import Message
from posd.iso8583.spec import Field, Kind
from posd.iso8583.unionpay import UNIONPAY

ALPHABETS = {
    Kind.DIGITS: "0123456789",
    Kind.TRACK: "0123456789ABC=EF",
    Kind.TEXT: "".join(map(chr, range(128))),
    Kind.BYTES_AS_TEXT: "".join(map(chr, range(256))),
}
FIELDS = UNIONPAY.spec.fields


def values(field: Field) -> st.SearchStrategy[str]:
    shortest = 0 if field.prefix_bytes else field.length
    if field.kind is Kind.BINARY:
        return st.binary(min_size=shortest, max_size=field.length).map(lambda raw: raw.hex().upper())
    return st.text(ALPHABETS[field.kind], min_size=shortest, max_size=field.length)


messages = st.sets(st.sampled_from(sorted(FIELDS)), max_size=12).flatmap(
    lambda numbers: st.builds(
        Message,
        st.text("0123456789", min_size=4, max_size=4),
        st.fixed_dictionaries({number: values(FIELDS[number]) for number in sorted(numbers)}),
    )
)


@settings(max_examples=150, deadline=None)
@given(messages)
def test_any_message_comes_back(message: Message) -> None:
    data = UNIONPAY.encode(message)
    assert UNIONPAY.decode(data) == message
    assert UNIONPAY.encode(UNIONPAY.decode(data)) == data


@settings(max_examples=60, deadline=None)
@given(messages, st.data())
def test_a_cut_message_is_a_fault_that_keeps_only_what_was_there(message: Message, data: st.DataObject) -> None:
    whole = UNIONPAY.encode(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    error = outcome(whole[:cut])
    assert isinstance(error, Unreadable)
    assert error.field is not None
    assert error.offset is not None
    assert error.offset <= cut
    if error.partial is not None:
        assert error.partial.mti == message.mti
        assert error.partial.fields.items() <= message.fields.items()


def outcome(data: bytes) -> Message | Unreadable:
    try:
        return UNIONPAY.decode(data)
    except Unreadable as error:
        return error


def total(data: bytes) -> None:
    match outcome(data):
        case Message() as message:
            assert UNIONPAY.encode(message) == data
            masked_fields(message)
        case Unreadable() as error:
            assert error.offset is not None
            assert 0 <= error.offset <= len(data)
            assert error.field
            assert "\n" not in str(error)
            if error.partial is not None:
                repr(error.partial)
                masked_fields(error.partial)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_message_or_a_named_fault(data: bytes) -> None:
    total(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["0200", "0210", "0510", "FFFF"]), st.binary(min_size=8, max_size=8), st.binary(max_size=200))
def test_any_bitmap_and_any_body_too(mti: str, bitmap: bytes, body: bytes) -> None:
    total(bytes.fromhex(mti) + bitmap + body)


@settings(max_examples=200, deadline=None)
@given(messages, st.data())
def test_a_changed_byte_never_surprises(message: Message, data: st.DataObject) -> None:
    whole = bytearray(UNIONPAY.encode(message))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    total(bytes(whole))
