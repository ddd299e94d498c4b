"""What the host says to us, read from Part B: good, with one bit flipped, without a MAC, of another request."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from posd.core.answers import AnswerClass, ExchangeKind, GroupCount, GroupResult, HostAnswer, MacCheck, Totals
from posd.core.state import Session
from posd.errors import MalformedMessage
from posd.framing.tpdu import Envelope, join
from posd.iso8583.codec import MAC_BYTES
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.keys import ClearTmk
from posd.values import Tid

Read = Callable[..., HostAnswer]
FromLine = Callable[[str], Arrived]
SALE_ECHOED = {3: "000000", 4: "000000012345", 11: "000124", 41: "10000001", 42: "898100012345678"}
BALANCED_AND_NOT = {"B9": GroupResult.BALANCED, "B10": GroupResult.UNBALANCED}


@pytest.fixture
def read(profile: UnionPay, terminal: Terminal, session: Session) -> Read:
    def answer(arrived: Arrived, echoed: dict[int, str] | None = None, at: Terminal = terminal) -> HostAnswer:
        return profile.read_answer(arrived, at, session, echoed)

    return answer


def said_again(arrived: Arrived, changes: dict[int, str | None], mti: str | None = None) -> Arrived:
    """The same answer with other fields, and the MAC that it had."""
    message = arrived.message.with_(changes, mti=mti)
    return replace(arrived, message=message, body=UNIONPAY.encode(message))


def test_the_keys_of_a_sign_in(read: Read, arrived: FromLine) -> None:
    answer = read(arrived("B2"), {11: "000123", 41: "10000001", 42: "898100012345678"})
    assert (answer.kind, answer.stan, answer.answer_class) == (ExchangeKind.SIGN_IN, 123, AnswerClass.APPROVE)
    assert (answer.mac, answer.mismatch, answer.key_trouble) == (MacCheck.EXEMPT, "", "")
    assert answer.wrapped_keys == arrived("B2").message.get(62)
    assert (answer.batch_number, answer.host_clock) == (8, "1122093015")


def test_another_tmk_is_named_as_trouble(read: Read, arrived: FromLine, terminal: Terminal) -> None:
    other = replace(terminal, tmk=ClearTmk(bytes.fromhex("FEDCBA98765432100123456789ABCDEF")))
    answer = read(arrived("B2"), None, other)
    assert answer.wrapped_keys is None
    assert "check value" in answer.key_trouble


@pytest.mark.parametrize("block", [None, "00" * 59, "00" * 60])
def test_a_sign_in_without_usable_keys_gives_none(read: Read, arrived: FromLine, block: str | None) -> None:
    answer = read(said_again(arrived("B2"), {62: block}))
    assert answer.wrapped_keys is None
    assert answer.key_trouble


def test_a_sale_that_was_approved(read: Read, arrived: FromLine) -> None:
    answer = read(arrived("B4"), SALE_ECHOED)
    assert (answer.kind, answer.stan, answer.answer_class) == (ExchangeKind.TRANSACTION, 124, AnswerClass.APPROVE)
    assert (answer.mac, answer.mismatch, answer.amount_minor) == (MacCheck.GOOD, "", 12345)
    facts = answer.facts
    assert (facts.code, facts.rrn, facts.approval_code) == ("00", "112200000124", "654321")
    assert (facts.host_date, facts.host_time, facts.settlement_date) == ("1122", "093105", "1122")
    assert (facts.acquirer, facts.parties, facts.scheme) == ("48020000", "03080000   48020000   ", "CUP")


def test_a_reversal_that_was_acknowledged(read: Read, arrived: FromLine) -> None:
    answer = read(arrived("B6"), SALE_ECHOED)
    assert (answer.kind, answer.stan) == (ExchangeKind.REVERSAL, 124)
    assert (answer.answer_class, answer.mac, answer.mismatch) == (AnswerClass.APPROVE, MacCheck.GOOD, "")


@pytest.mark.parametrize("name", BALANCED_AND_NOT)
def test_totals_without_field_39(read: Read, arrived: FromLine, name: str) -> None:
    answer = read(arrived(name), {11: "000130", 41: "10000001", 42: "898100012345678"})
    assert (answer.kind, answer.answer_class, answer.mac) == (
        ExchangeKind.TOTALS,
        AnswerClass.APPROVE,
        MacCheck.EXEMPT,
    )
    assert answer.host_totals is not None
    assert answer.host_totals.totals == Totals(GroupCount(17345, 2, 12345, 1), GroupCount())
    assert (answer.host_totals.domestic, answer.host_totals.foreign) == (BALANCED_AND_NOT[name], GroupResult.BALANCED)


@pytest.mark.parametrize("result", "0345679")
def test_any_other_result_of_a_group_is_unclear(read: Read, arrived: FromLine, result: str) -> None:
    fields = arrived("B9").message.get(48) or ""
    answer = read(said_again(arrived("B9"), {48: fields[:30] + result + fields[31:]}))
    assert answer.host_totals is not None
    assert answer.host_totals.domestic is GroupResult.UNCLEAR


@pytest.mark.parametrize("field_48", [None, "0" * 30, "0" * 61])
def test_totals_that_cannot_be_read_are_none(read: Read, arrived: FromLine, field_48: str | None) -> None:
    assert read(said_again(arrived("B9"), {48: field_48})).host_totals is None


def test_uploads_and_end_messages_differ_by_60_3(read: Read, arrived: FromLine) -> None:
    assert read(arrived("B12")).kind is ExchangeKind.UPLOAD
    for code in ("202", "207"):
        assert read(said_again(arrived("B12"), {60: f"00000008{code}", 48: None})).kind is ExchangeKind.TRAILER


def test_an_echo_has_no_trace(read: Read, arrived: FromLine) -> None:
    echo = replace(arrived("B16"), message=arrived("B16").message.with_({39: "00"}, mti="0830"))
    answer = read(echo, {41: "10000001", 42: "898100012345678"})
    assert (answer.kind, answer.stan, answer.mismatch) == (ExchangeKind.ECHO, None, "")


@pytest.mark.parametrize("name", ["B4", "B6"])
def test_every_flipped_bit_breaks_the_mac_or_the_message(
    read: Read, profile: UnionPay, frame: Callable[[str], bytes], name: str
) -> None:
    good = frame(name)
    verdicts = set()
    for bit in range(11 * 8, len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            verdicts.add(read(profile.arrive(bytes(flipped))).mac)
        except MalformedMessage:
            continue
    # A bit of the bitmap may take field 64 away; then an approval has no MAC, which is no approval either (D10).
    assert MacCheck.BAD in verdicts
    assert MacCheck.GOOD not in verdicts


def test_a_missing_mac_is_absent(read: Read, arrived: FromLine) -> None:
    answer = read(said_again(arrived("B4"), {64: None}), SALE_ECHOED)
    assert (answer.mac, answer.mismatch) == (MacCheck.ABSENT, "")


def test_without_keys_of_our_own_every_mac_is_bad(profile: UnionPay, arrived: FromLine, terminal: Terminal) -> None:
    assert profile.read_answer(arrived("B4"), terminal, Session(), None).mac is MacCheck.BAD
    spoilt = Session(wrapped_keys="00" * 60)
    assert profile.read_answer(arrived("B4"), terminal, spoilt, None).mac is MacCheck.BAD


@pytest.mark.parametrize("field", SALE_ECHOED)
def test_each_echoed_field_is_compared(read: Read, arrived: FromLine, field: int) -> None:
    other = {3: "200000", 4: "000000012346", 11: "000125", 41: "10000002", 42: "898100012345679"}
    assert f"field {field} " in read(said_again(arrived("B4"), {field: other[field]}), SALE_ECHOED).mismatch
    assert f"field {field} " in read(said_again(arrived("B4"), {field: None}), SALE_ECHOED).mismatch


def test_a_refusal_may_leave_out_what_only_an_approval_needs(read: Read, arrived: FromLine) -> None:
    refusal = said_again(arrived("B4"), {3: None, 4: None, 42: None, 39: "51"})
    answer = read(refusal, SALE_ECHOED)
    assert (answer.answer_class, answer.mismatch) == (AnswerClass.DECLINE, "")
    assert read(said_again(refusal, {11: None}), SALE_ECHOED).mismatch


def test_a_part_of_the_amount_is_a_partial_approval_only(read: Read, arrived: FromLine) -> None:
    part = said_again(arrived("B4"), {4: "000000010000", 39: "10"})
    answer = read(part, SALE_ECHOED)
    assert (answer.answer_class, answer.mismatch, answer.amount_minor) == (AnswerClass.APPROVE_PARTIAL, "", 10000)


def test_an_answer_without_a_code_is_a_mismatch_and_no_approval(read: Read, arrived: FromLine) -> None:
    answer = read(said_again(arrived("B4"), {39: None}), SALE_ECHOED)
    assert answer.mismatch == "field 39 is missing"
    assert answer.answer_class is AnswerClass.UNCONFIRMED


def test_what_the_host_wants_beside_is_in_digit_six(read: Read, arrived: FromLine) -> None:
    plain = arrived("B4")
    assert read(plain).attention == "0"
    header = bytes.fromhex("603100310100")
    asked = replace(plain.envelope, header=header[:2] + b"\x33" + header[3:])
    assert read(replace(plain, envelope=asked)).attention == "3"


def test_a_request_is_no_answer(read: Read, arrived: FromLine, profile: UnionPay) -> None:
    for name in ("B1", "B3", "B5", "B8", "B11", "B16"):
        assert profile.answer_key(arrived(name)) is None
        with pytest.raises(MalformedMessage, match="is no answer"):
            read(arrived(name))


ENVELOPE = Envelope(bytes.fromhex("6000000003"), b"", bytes.fromhex("603100310100"))
DIGITS = st.text("0123456789", min_size=1, max_size=19)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        2: DIGITS,
        3: st.sampled_from(["000000", "200000", "999999"]),
        4: st.text("0123456789", min_size=12, max_size=12),
        11: st.text("0123456789", min_size=6, max_size=6),
        12: st.text("0123456789", min_size=6, max_size=6),
        13: st.text("0123456789", min_size=4, max_size=4),
        37: st.text("0123456789AZ ", min_size=12, max_size=12),
        39: st.text("0123456789A", min_size=2, max_size=2),
        41: st.just("10000001"),
        48: st.text("0123456789", max_size=62),
        60: DIGITS,
        62: st.binary(max_size=64).map(lambda data: data.hex().upper()),
        63: st.text(st.characters(max_codepoint=255), max_size=20),
        64: st.binary(min_size=MAC_BYTES, max_size=MAC_BYTES).map(lambda data: data.hex().upper()),
    },
)
MTIS = st.sampled_from(["0210", "0410", "0510", "0330", "0810", "0830", "0230", "0630", "0200", "9999"])


@given(MTIS, FIELDS)
def test_any_message_is_an_answer_or_malformed(mti: str, fields: dict[int, str]) -> None:
    profile = UnionPay(Knobs())
    arrived = profile.arrive(join(ENVELOPE, UNIONPAY.encode(Message(mti, fields))))
    at = Terminal(Tid("10000001"), "898100012345678", ClearTmk(bytes(range(16))), mac_required=False)
    try:
        answer = profile.read_answer(arrived, at, Session(), SALE_ECHOED)
    except MalformedMessage:
        assert profile.answer_key(arrived) is None
        return
    assert answer.mac is not MacCheck.GOOD
    assert answer.mismatch or mti not in ("0210", "0410") or fields[11] == SALE_ECHOED[11]
