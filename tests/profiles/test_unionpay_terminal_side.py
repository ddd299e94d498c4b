"""A terminal's messages as events, and our answers in its own trace, batch, header and TPDU. Part B as its voice."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import AnswerFacts, GroupCount, GroupResult, Totals
from posd.core.rules import TxnKind
from posd.core.state import Session
from posd.errors import CannotEncode, MalformedMessage
from posd.framing.tpdu import Envelope, join
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, ReadRequest, Terminal
from posd.profiles.unionpay.data import REFUSALS
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.cards import keyed_digest
from posd.security.keys import ClearTmk
from posd.values import Minor, Now, RequestId, Rrn, Stan, Tid
from simulators.crypto import key_block, new_keys

FromLine = Callable[[str], Arrived]
Read = Callable[..., ReadRequest]
TMK = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
DIGEST_KEY = bytes(32)
NOW = Now(1_795_400_000_000, 100.0)
PAN = "6225880123456789"


@pytest.fixture
def read(profile: UnionPay, terminal: Terminal, session: Session) -> Read:
    def request(arrived: Arrived, at: Terminal = terminal) -> ReadRequest:
        return profile.read_request(arrived, at, session, DIGEST_KEY, "asker", 7.0)

    return request


def said_again(arrived: Arrived, changes: dict[int, str | None], mti: str | None = None) -> Arrived:
    """The same message with other fields; without a MAC, unless the changes bring one."""
    message = arrived.message.with_({64: None} | changes, mti=mti)
    return replace(arrived, message=message, body=UNIONPAY.encode(message))


def test_a_sale(read: Read, arrived: FromLine) -> None:
    got = read(arrived("B3"))
    event = got.event
    assert isinstance(event, e.TransactionRequested)
    assert event.request_id == "10000001/000008/000124/0200/000000"  # D6
    assert (event.kind, event.amount_minor, event.entry_mode) == (TxnKind.SALE, 12345, "021")
    assert (event.terminal_batch, event.terminal_stan, event.options) == (8, 124, "000500")
    assert (event.has_pin, event.reply_to, event.received_s, event.original) == (True, "asker", 7.0, None)
    assert event.card is not None
    assert event.card.masked == "622588******6789"
    assert got.card is not None
    assert got.card.number == PAN
    assert PAN not in repr(event)


def test_a_void_points_at_its_sale(read: Read, arrived: FromLine) -> None:
    event = read(arrived("B7")).event
    assert isinstance(event, e.TransactionRequested)
    assert (event.kind, event.has_pin) == (TxnKind.VOID, False)
    assert event.original == e.OriginalPointer("112200000124", 8, 124)


def test_the_fingerprint_is_amount_and_card_and_nothing_else(read: Read, arrived: FromLine) -> None:
    def fingerprint(changes: dict[int, str | None]) -> str:
        event = read(said_again(arrived("B3"), changes)).event
        assert isinstance(event, e.TransactionRequested)
        return event.fingerprint

    same = fingerprint({})
    assert fingerprint({52: None, 53: None, 22: "022", 64: None, 26: None}) == same
    assert fingerprint({2: PAN}) == same
    assert fingerprint({4: "000000012346"}) != same
    assert fingerprint({35: "6225880123456788=30122010000012345678"}) != same
    assert PAN not in same


def test_its_reversal_names_the_request_it_takes_back(read: Read, arrived: FromLine) -> None:
    event = read(arrived("B5")).event
    assert event == e.ReversalRequested(RequestId("10000001/000008/000124/0200/000000"), 12345, "98", "asker")
    odd = read(said_again(arrived("B5"), {39: "XX"})).event
    assert isinstance(odd, e.ReversalRequested)
    assert odd.reason == "98"


def test_its_management(read: Read, arrived: FromLine) -> None:
    assert read(arrived("B1")).event == e.TerminalSignInRequested("asker", 7.0, Stan(123))
    assert read(arrived("B15")).event == e.TerminalSignedOff("asker")
    assert read(arrived("B16")).event == e.TerminalEchoed("asker")
    assert read(arrived("B8")).event == e.TerminalTotalsGiven(8, Totals(GroupCount(17345, 2, 12345, 1)), "asker")


def test_d25_its_upload_tells_every_item(read: Read, arrived: FromLine) -> None:
    """Up to eight records in one message, one transaction as a whole message, the end (reference 1.7)."""
    digest = keyed_digest(DIGEST_KEY, PAN)
    three = tuple(
        e.UploadedItem(Stan(stan), Minor(minor), digest, False)
        for stan, minor in ((124, 12345), (125, 5000), (126, 12345))
    )
    assert read(arrived("B11")).event == e.TerminalUploaded(8, "asker", three)
    assert read(arrived("B13")).event == e.TerminalUploaded(8, "asker", stated=3)
    assert read(arrived("B14")).event == e.TerminalUploaded(8, "asker", stated=0)
    foreign = "01" + "01" + arrived("B11").message.fields[48][4:42]
    (item,) = read(said_again(arrived("B11"), {48: foreign})).event.items
    assert item.foreign is True
    whole = {2: PAN, 3: "200000", 4: "000000000500", 11: "000127", 48: None, 60: "25000008000"}
    alone = e.UploadedItem(Stan(127), Minor(500), digest)
    assert read(said_again(arrived("B11"), whole)).event == e.TerminalUploaded(8, "asker", (alone,))


@pytest.mark.parametrize("field_48", ["03", "00", "09" + "0" * 320, "0" * 41, None])
def test_an_upload_that_says_nothing_is_refused_by_name(read: Read, arrived: FromLine, field_48: str | None) -> None:
    event = read(said_again(arrived("B11"), {48: field_48})).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.MALFORMED


REFUSED = {
    "another merchant": ("B3", {42: "898100012345679"}, None, fx.Refusal.UNKNOWN_TERMINAL),
    "no merchant": ("B3", {42: None}, None, fx.Refusal.UNKNOWN_TERMINAL),
    "another currency": ("B3", {49: "840"}, None, fx.Refusal.MALFORMED),
    "no currency": ("B3", {49: None}, None, fx.Refusal.MALFORMED),
    "no amount": ("B3", {4: None}, None, fx.Refusal.MALFORMED),
    "no trace": ("B3", {11: None}, None, fx.Refusal.MALFORMED),
    "trace zero": ("B3", {11: "000000"}, None, fx.Refusal.MALFORMED),
    "no card": ("B3", {35: None}, None, fx.Refusal.MALFORMED),
    "no entry mode": ("B3", {22: None}, None, fx.Refusal.MALFORMED),
    "no field 60": ("B3", {60: None}, None, fx.Refusal.MALFORMED),
    "short field 60": ("B3", {60: "22000"}, None, fx.Refusal.MALFORMED),
    "another type code": ("B3", {60: "25000008"}, None, fx.Refusal.NOT_SUPPORTED),
    "another condition": ("B3", {25: "06"}, None, fx.Refusal.NOT_SUPPORTED),
    "a void of nothing": ("B7", {37: None, 61: None}, None, fx.Refusal.NO_ORIGINAL),
    "a void with a short field 61": ("B7", {61: "00000800"}, None, fx.Refusal.MALFORMED),
    "a reversal without amount": ("B5", {4: None}, None, fx.Refusal.MALFORMED),
    "a reversal without field 60": ("B5", {60: None}, None, fx.Refusal.MALFORMED),
    "a sign-in code that our keys cannot serve": ("B1", {60: "00000007001"}, None, fx.Refusal.NOT_SUPPORTED),
    "a sign-in without trace": ("B1", {11: None}, None, fx.Refusal.MALFORMED),
    "another management code": ("B16", {60: "00000009999"}, None, fx.Refusal.NOT_SUPPORTED),
    "short totals": ("B8", {48: "00"}, None, fx.Refusal.MALFORMED),
    "no totals": ("B8", {48: None}, None, fx.Refusal.MALFORMED),
    "an unknown MTI": ("B3", {}, "0220", fx.Refusal.NOT_SUPPORTED),
    "an answer": ("B3", {}, "0210", fx.Refusal.NOT_SUPPORTED),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_served_is_an_event_with_its_refusal(read: Read, arrived: FromLine, what: str) -> None:
    name, changes, mti, refusal = REFUSED[what]
    event = read(said_again(arrived(name), changes, mti)).event
    assert isinstance(event, e.RequestUnusable)
    assert (event.refusal, event.reply_to) == (refusal.value, "asker")
    assert event.because
    assert PAN not in event.because


def test_an_unserved_sign_in_code_says_which_one(read: Read, arrived: FromLine) -> None:
    event = read(said_again(arrived("B1"), {60: "00000007101"})).event
    assert isinstance(event, e.RequestUnusable)
    assert "101" in event.because


@pytest.mark.parametrize("name", ["B3", "B5", "B7"])
def test_a_mac_is_checked_where_there_is_one_and_demanded_where_it_is_required(
    read: Read, arrived: FromLine, terminal: Terminal, name: str
) -> None:
    strict = replace(terminal, mac_required=True)
    good, none = arrived(name), said_again(arrived(name), {})
    zeros, stale = said_again(good, {64: "00" * 8}), said_again(good, {64: good.message.get(64), 4: "000000099999"})
    verdicts = {
        at.mac_required: [isinstance(read(one, at).event, e.RequestUnusable) for one in (good, none, zeros, stale)]
        for at in (terminal, strict)
    }
    assert verdicts == {False: [False, False, True, True], True: [False, True, True, True]}
    event = read(zeros, strict).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.BAD_MAC.value


# --- answers ------------------------------------------------------------------------------------------------------

FACTS = AnswerFacts(
    "00", Rrn("112200000124"), "654321", "1122", "093105", "1122", "48020000", "03080000   48020000   ", None, "CUP"
)


@pytest.fixture
def answer(profile: UnionPay, terminal: Terminal, session: Session) -> Callable[..., Arrived]:
    def to(request: Arrived, what: object, at: Terminal = terminal) -> Arrived:
        out = profile.encode_answer(request, fx.ToTerminal("asker", what), at, session, NOW)  # type: ignore[arg-type]
        return profile.arrive(out.frame)

    return to


def test_an_approval_has_the_terminals_own_numbers(answer: Callable[..., Arrived], arrived: FromLine) -> None:
    request = said_again(arrived("B3"), {11: "004711", 60: "22000321000500"})
    request = replace(request, envelope=Envelope(bytes.fromhex("6012345678"), b"", bytes.fromhex("612200310199")))
    got = answer(request, fx.Result(FACTS, RequestId("the sale")))
    assert got.envelope == Envelope(bytes.fromhex("6056781234"), b"", bytes.fromhex("612200310199"))
    assert got.message.mti == "0210"
    wanted = {3: "000000", 4: "000000012345", 11: "004711", 25: "00", 49: "156", 60: "22000321000500"}
    wanted |= {12: "093105", 13: "1122", 15: "1122", 32: "48020000", 37: "112200000124", 38: "654321", 39: "00"}
    wanted |= {41: "10000001", 42: "898100012345678", 44: "03080000   48020000   ", 53: "2600000000000000", 63: "CUP"}
    assert got.message.fields == wanted


def test_header_digit_six_is_cleared(answer: Callable[..., Arrived], arrived: FromLine) -> None:
    request = arrived("B3")
    request = replace(request, envelope=replace(request.envelope, header=bytes.fromhex("603113131313")))
    assert answer(request, fx.Result(FACTS)).envelope.header == bytes.fromhex("603110131313")


def test_a_terminal_with_a_mac_gets_one_that_it_can_check(
    answer: Callable[..., Arrived], arrived: FromLine, terminal: Terminal, profile: UnionPay, session: Session
) -> None:
    strict = replace(terminal, mac_required=True)
    got = answer(arrived("B3"), fx.Result(FACTS), strict)
    assert profile.read_answer(got, strict, session, None).mac.value == "good"
    own = answer(arrived("B3"), fx.Result(FACTS))
    assert profile.read_answer(own, terminal, session, None).mac.value == "good"
    totals = answer(arrived("B8"), fx.TotalsResult(Totals(), GroupResult.BALANCED, GroupResult.BALANCED), strict)
    assert totals.message.get(64) is None
    assert answer(said_again(arrived("B3"), {}), fx.Result(FACTS)).message.get(64) is None


@pytest.mark.parametrize("refusal", [fx.Refusal.SIGN_IN_FIRST, fx.Refusal.BAD_MAC])
def test_a_terminal_that_has_to_sign_in_is_told_so_without_a_mac(
    refusal: fx.Refusal, answer: Callable[..., Arrived], arrived: FromLine, terminal: Terminal
) -> None:
    """It does not have the keys of the present session: a MAC under them would look like a forgery to it (D26)."""
    got = answer(arrived("B3"), fx.Refused(refusal, ""), replace(terminal, mac_required=True))
    assert (got.message.get(39), got.message.get(64)) == ("A0", None)


def test_a_terminal_is_understood_by_the_keys_that_it_was_given(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    """Our own keys changed while it waited: its repeat is no forgery, and its answer must not look like one (D26)."""
    ours = key_block(TMK, new_keys(1, terminal.tid, 2, "004"), "004").hex().upper()
    assert session.wrapped_keys is not None
    since = replace(session, wrapped_keys=ours, generation=2, terminal_keys=(session.wrapped_keys,))
    given = replace(since, terminal_keys=(ours, session.wrapped_keys))  # that answer may have been lost
    for at in (since, given):
        event = profile.read_request(arrived("B3"), terminal, at, DIGEST_KEY, "asker", 7.0).event
        assert isinstance(event, e.TransactionRequested)
        out = profile.encode_answer(arrived("B3"), fx.ToTerminal("asker", fx.Result(FACTS)), terminal, at, NOW)
        assert profile.read_answer(profile.arrive(out.frame), terminal, session, None).mac.value == "good"
    forgotten = replace(since, terminal_keys=(ours,))
    event = profile.read_request(arrived("B3"), terminal, forgotten, DIGEST_KEY, "asker", 7.0).event
    assert isinstance(event, e.RequestUnusable)


def test_a_003_terminal_is_served_from_a_004_block(
    answer: Callable[..., Arrived], arrived: FromLine, session: Session
) -> None:
    assert session.wrapped_keys is not None
    request = said_again(arrived("B1"), {60: "00000007003"})
    got = answer(request, fx.SignInResult(session.wrapped_keys, 0)).message
    assert got.get(62) == session.wrapped_keys[:80]


@pytest.mark.parametrize("refusal", fx.Refusal)
def test_every_refusal_has_a_code_that_is_no_approval(
    answer: Callable[..., Arrived], arrived: FromLine, refusal: fx.Refusal
) -> None:
    message = answer(arrived("B3"), fx.Refused(refusal, "because")).message
    assert (message.mti, message.get(39)) == ("0210", REFUSALS[refusal])
    assert message.get(39) not in ("00", "10", "11", "A2", "A4", "A5", "A6")
    assert not {37, 38} & set(message.fields)


def test_the_held_keys_are_given_as_the_host_sent_them(
    answer: Callable[..., Arrived], arrived: FromLine, session: Session
) -> None:
    assert session.wrapped_keys is not None
    got = answer(arrived("B1"), fx.SignInResult(session.wrapped_keys, 0)).message
    assert (got.mti, got.get(39), got.get(62)) == ("0810", "00", session.wrapped_keys)
    assert (got.get(11), got.get(60)) == ("000123", "00000007004")


def test_its_totals_are_answered_group_by_group(answer: Callable[..., Arrived], arrived: FromLine) -> None:
    ours = Totals(GroupCount(1, 2, 3, 4), GroupCount(5, 6, 7, 8))
    got = answer(arrived("B8"), fx.TotalsResult(ours, GroupResult.BALANCED, GroupResult.UNBALANCED)).message
    assert got.mti == "0510"
    assert got.get(48) == "0000000000010020000000000030041" + "0000000000050060000000000070082"
    assert got.get(39) is None


@pytest.mark.parametrize(("name", "mti"), [("B5", "0410"), ("B11", "0330"), ("B15", "0830"), ("B16", "0830")])
def test_the_rest_is_answered_with_its_own_mti(
    answer: Callable[..., Arrived], arrived: FromLine, name: str, mti: str
) -> None:
    got = answer(arrived(name), fx.Result(AnswerFacts("00"))).message
    assert (got.mti, got.get(39)) == (mti, "00")
    assert (got.get(11), got.get(41)) == (arrived(name).message.get(11), "10000001")


def test_a_message_that_is_half_read_is_refused_where_its_mti_wants_an_answer(
    profile: UnionPay, arrived: FromLine
) -> None:
    request = arrived("B3")
    out = profile.refuse(request.envelope, Message("0200", {11: "000124"}), "malformed", NOW)
    assert out is not None
    got = profile.arrive(out.frame).message
    assert (got.mti, got.get(39), got.get(11), got.get(41)) == ("0210", "30", "000124", None)
    for mti in ("0210", "0410", "0830", "9999"):
        assert profile.refuse(request.envelope, Message(mti, {}), "malformed", NOW) is None


# --- any bytes ----------------------------------------------------------------------------------------------------

DIGITS = "0123456789"
NUMBERS = {3: 6, 4: 12, 11: 6, 12: 6, 13: 4, 14: 4, 22: 3, 23: 3, 25: 2, 26: 2, 53: 16}
TEXTS = {37: 12, 38: 6, 39: 2, 49: 3}
LONG = {2: 19, 32: 11, 48: 322, 60: 19, 61: 29}


def some(alphabet: str, least: int, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


ANY_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **{field: some(DIGITS, digits, digits) for field, digits in NUMBERS.items()},
        **{field: some(DIGITS + "AZ ", length, length) for field, length in TEXTS.items()},
        **{field: some(DIGITS, 0, length) for field, length in LONG.items()},
        35: some(DIGITS + "=", 0, 37),
        36: some(DIGITS + "=", 0, 104),
        52: st.binary(min_size=8, max_size=8).map(lambda data: data.hex().upper()),
        55: st.binary(max_size=255).map(lambda data: data.hex().upper()),
        62: st.binary(max_size=60).map(lambda data: data.hex().upper()),
        63: st.text(st.characters(max_codepoint=255), max_size=163),
        64: st.binary(min_size=8, max_size=8).map(lambda data: data.hex().upper()),
    },
)
LIKELY = st.fixed_dictionaries(
    {
        42: st.sampled_from(["898100012345678", "898100012345678", "000000000000000"]),
        41: st.just("10000001"),
        49: st.sampled_from(["156", "840"]),
        25: st.sampled_from(["00", "06"]),
        3: st.sampled_from(["000000", "200000", "310000"]),
        60: st.sampled_from(["22000008000500", "23000008", "01000008000", "00000008004", "00000008301", "00000008201"]),
    }
)
MTIS = st.sampled_from(["0200", "0400", "0500", "0320", "0800", "0820", "0220", "0100", "0210", "0290", "1234"])


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(MTIS, ANY_FIELDS, LIKELY, st.booleans())
def test_any_message_becomes_an_event_that_can_be_answered(
    session: Session, mti: str, fields: dict[int, str], likely: dict[int, str], mac_required: bool
) -> None:
    profile = UnionPay(Knobs())
    terminal = Terminal(Tid("10000001"), "898100012345678", ClearTmk(bytes(range(16))), mac_required)
    envelope = Envelope(bytes.fromhex("6000030000"), b"", bytes.fromhex("603100310100"))
    frame = join(envelope, UNIONPAY.encode(Message(mti, {**fields, **likely})))
    arrived = profile.arrive(frame)
    event = profile.read_request(arrived, terminal, session, DIGEST_KEY, "asker", 0.0).event
    assert event.reply_to == "asker"  # type: ignore[union-attr]
    answer = fx.ToTerminal("asker", fx.Refused(fx.Refusal.MALFORMED, ""))
    if mti in ("0210", "0290", "1234"):
        with pytest.raises(CannotEncode, match="no answer"):
            profile.encode_answer(arrived, answer, terminal, session, NOW)
    else:
        assert profile.encode_answer(arrived, answer, terminal, session, NOW).frame


@given(st.binary(max_size=300))
def test_any_bytes_arrive_or_are_malformed(data: bytes) -> None:
    profile = UnionPay(Knobs())
    terminal = Terminal(Tid("10000001"), "898100012345678", ClearTmk(bytes(range(16))), mac_required=False)
    try:
        arrived = profile.arrive(bytes.fromhex("6000030000603100310100") + data)
    except MalformedMessage:
        return
    profile.read_request(arrived, terminal, Session(), DIGEST_KEY, "asker", 0.0)
