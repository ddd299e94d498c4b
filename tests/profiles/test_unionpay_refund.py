"""The refund 0220 in the dialect, and who may ask for one (D13, D15, D28; reference 1.3-1.8)."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import AnswerClass, AnswerFacts, ExchangeKind, MacCheck
from posd.core.rules import Side, TxnKind
from posd.core.state import Session, Transaction, TxnStatus
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, Material, Outgoing, ReadRequest, Terminal
from posd.profiles.unionpay.data import KINDS, MATRIX, REFUSALS
from posd.profiles.unionpay.named import NamedOriginal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.profiles.unionpay.seal import Keying, mak_of, pack
from posd.security.cards import CardData
from posd.security.cipherkey import ClearKey
from posd.security.tracks import encrypt_track
from posd.values import BatchNumber, Minor, Now, RequestId, Stan

FromLine = Callable[[str], Arrived]
Ask = Callable[..., ReadRequest]
Say = Callable[[fx.HostMessage, Material], Outgoing]
DIGEST_KEY = bytes(32)
PAN = "6225880123456789"
TRACK_2 = "6225880123456789=30122010000012345678"
RRN = "112200000124"

REFUND = {
    2: PAN,
    3: "200000",
    4: "000000012345",
    11: "000777",
    22: "022",
    25: "00",
    35: TRACK_2,
    37: RRN,
    38: "654321",
    41: "10000001",
    42: "898100012345678",
    49: "156",
    60: "25000999000500",
    61: "0000000000001121",
    63: "000",
}


def of_terminal(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session, message: Message, mac: bool
) -> Arrived:
    """A message as its terminal would send it, with or without its MAC."""
    mak = mak_of(terminal, session, Keying()) if mac else None
    return profile.arrive(pack(UNIONPAY, arrived("B3").envelope, message, mak).frame)


@pytest.fixture
def ask(profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session) -> Ask:
    def read(
        changes: dict[int, str | None] | None = None, mac: bool = True, mti: str = "0220", of: UnionPay = profile
    ) -> ReadRequest:
        message = Message(mti, REFUND).with_(changes or {})
        request = of_terminal(of, arrived, terminal, session, message, mac)
        return of.read_request(request, terminal, session, DIGEST_KEY, "asker", 7.0)

    return read


@pytest.fixture
def say(profile: UnionPay, terminal: Terminal, session: Session) -> Say:
    return lambda message, material: profile.encode(message, terminal, session, material)


@pytest.fixture
def refund() -> Transaction:
    return Transaction(
        request_id=RequestId("the refund"),
        kind=TxnKind.REFUND,
        status=TxnStatus.SENT,
        amount_minor=Minor(12345),
        stan=Stan(130),
        batch=1,
        batch_number=BatchNumber(8),
        terminal_batch=999,
        terminal_stan=Stan(777),
        at_ms=0,
        fingerprint="",
        entry_mode="022",
        options=f"000500|{RRN}|654321|1121",
    )


def test_d13_the_kind_is_credit_never_reversed_never_deferred() -> None:
    kind = KINDS[TxnKind.REFUND]
    assert (kind.reversible, kind.side, kind.in_doubt, kind.never_deferred) == (False, Side.CREDIT, True, True)


def test_d13_a_terminals_refund_is_an_event(ask: Ask) -> None:
    read = ask()
    event = read.event
    assert isinstance(event, e.TransactionRequested)
    assert event.request_id == "10000001/000999/000777/0220/200000"  # D6
    assert (event.kind, event.amount_minor) == (TxnKind.REFUND, 12345)
    assert event.original == e.OriginalPointer(RRN, None, None, date="1121")
    assert event.options == f"000500|{RRN}|654321|1121"
    assert (event.has_pin, event.leaves_once) == (False, False)
    assert read.card is not None
    assert PAN not in event.options


def test_d13_it_goes_to_the_host_with_our_numbers_and_the_terminals_original(
    ask: Ask, say: Say, profile: UnionPay, terminal: Terminal, session: Session, refund: Transaction
) -> None:
    request = Message("0220", REFUND)
    out = say(fx.SendTransaction(refund, None), Material({refund.request_id: request}, {}))
    message = profile.arrive(out.frame).message
    mine = {11: "000130", 60: "25000008000500", 64: message.get(64)}
    assert message == Message("0220", dict(sorted({**REFUND, **mine}.items())))
    assert message.get(61) == "0000000000001121"
    assert (out.mti, out.stan, out.batch) == ("0220", 130, 8)


def test_d13_its_answer_is_a_0230_with_a_mac(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    echoed = {3: "200000", 4: "000000012345", 11: "000130", 41: "10000001", 42: "898100012345678"}
    answer = Message("0230", {**echoed, 39: "00", 37: "112300000555", 63: "CUP", 60: "25000008000500"})
    read = of_terminal(profile, arrived, terminal, session, answer, mac=True)
    got = profile.read_answer(read, terminal, session, echoed)
    assert (got.kind, got.stan, got.answer_class) == (ExchangeKind.TRANSACTION, 130, AnswerClass.APPROVE)
    assert (got.mac, got.mismatch) == (MacCheck.GOOD, "")
    bare = of_terminal(profile, arrived, terminal, session, answer, mac=False)
    assert profile.read_answer(bare, terminal, session, echoed).mac is MacCheck.ABSENT


def test_d13_the_terminal_gets_a_0230_in_its_own_numbers(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    request = of_terminal(profile, arrived, terminal, session, Message("0220", REFUND), mac=True)
    told = fx.ToTerminal("asker", fx.Result(AnswerFacts("00", scheme="CUP")))
    out = profile.encode_answer(request, told, terminal, session, Now(1_795_400_000_000, 1.0))
    message = profile.arrive(out.frame).message
    assert (message.mti, message.get(11), message.get(60), message.get(39)) == ("0230", "000777", REFUND[60], "00")
    assert message.get(64)


@pytest.mark.parametrize(
    "changes", [{37: None}, {37: " " * 12}, {61: None}, {61: "000000000000"}, {4: None}, {2: None, 35: None}]
)
def test_d13_a_refund_without_its_original_is_malformed(ask: Ask, changes: dict[int, str | None]) -> None:
    event = ask(changes).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.MALFORMED.value


def test_d13_a_refund_of_an_encrypted_card_leaves_once(ask: Ask) -> None:
    """D12: nor does one with a PIN block."""
    track = encrypt_track(ClearKey(bytes.fromhex("A1B2C3D4E5F60718293A4B5C6D7E8F90")), TRACK_2)
    for changes in ({53: "0010000000000000", 35: track}, {52: "AB" * 8, 26: "12", 53: "2600000000000000"}):
        event = ask(changes).event
        assert isinstance(event, e.TransactionRequested)
        assert event.leaves_once


def test_d13_a_terminals_0400_names_its_refund(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    fields = {number: value for number, value in REFUND.items() if number not in (35, 37, 63)}
    message = Message("0400", dict(sorted({**fields, 39: "98"}.items())))
    request = of_terminal(profile, arrived, terminal, session, message, mac=True)
    event = profile.read_request(request, terminal, session, DIGEST_KEY, "asker", 7.0).event
    assert isinstance(event, e.ReversalRequested)
    assert event.original == "10000001/000999/000777/0220/200000"


def test_d21_a_refund_is_uploaded_alone_as_it_was(say: Say, profile: UnionPay, refund: Transaction) -> None:
    """Record type 4 (reference 1.7): no track, no PIN, no MAC; its own number in field 11."""
    card = CardData(pan=PAN, expiry="3012", track2=TRACK_2, entry_mode="022")
    approved = replace(refund, status=TxnStatus.APPROVED, facts=AnswerFacts("00"))
    out = say(fx.SendUpload(Stan(130), BatchNumber(8), (approved,)), Material({}, {refund.request_id: card}))
    message = profile.arrive(out.frame).message
    kept = {number: value for number, value in REFUND.items() if number not in (35,)}
    assert message == Message("0320", dict(sorted({**kept, 11: "000130", 14: "3012", 60: "25000008000500"}.items())))
    answer = Message("0330", {11: "000130", 39: "00", 41: "10000001", 60: "25000008000500"})
    assert profile.answer_key(replace(profile.arrive(out.frame), message=answer)) == (ExchangeKind.UPLOAD, 130)
    with pytest.raises(CannotEncode, match="card number"):
        say(fx.SendUpload(Stan(130), BatchNumber(8), (approved,)), Material({}, {}))


@pytest.mark.parametrize("options", ["", "000500", "000500|||"])
def test_a_refund_whose_original_was_not_kept_cannot_be_said(say: Say, refund: Transaction, options: str) -> None:
    with pytest.raises(CannotEncode):
        say(
            fx.SendTransaction(replace(refund, options=options), None),
            Material({refund.request_id: Message("0220", REFUND)}, {}),
        )


def test_what_is_kept_of_an_original_is_read_back() -> None:
    original = NamedOriginal(RRN, "", "1121")
    assert NamedOriginal.parse(original.options("000500")) == ("000500", original)
    assert NamedOriginal.parse("000500") == ("000500", NamedOriginal())
    assert 38 not in original.refund_fields()


# --- D28 -------------------------------------------------------------------------------------------------------------


def test_d28_a_refund_needs_the_terminals_mac(ask: Ask) -> None:
    event = ask(mac=False).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.NOT_AUTHENTICATED.value
    assert REFUSALS[fx.Refusal.NOT_AUTHENTICATED] == "58"
    assert PAN not in event.because


def test_d28_a_wrong_mac_is_no_authentication(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    good = of_terminal(profile, arrived, terminal, session, Message("0220", REFUND), mac=True)
    bad = replace(good, message=good.message.with_({64: "41" * 8}))
    event = profile.read_request(bad, terminal, session, DIGEST_KEY, "asker", 7.0).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.BAD_MAC.value


SALE = {3: "000000", 37: None, 38: None, 61: None, 63: None, 60: "22000999000500"}
TYPED = {**SALE, 22: "012", 35: None, 14: "3012"}


@pytest.mark.parametrize("mode", ["010", "011", "012"])
def test_d28_a_typed_number_needs_the_terminals_mac(ask: Ask, mode: str) -> None:
    refused = ask({**TYPED, 22: mode}, mac=False, mti="0200").event
    assert isinstance(refused, e.RequestUnusable)
    assert refused.refusal == fx.Refusal.NOT_AUTHENTICATED.value
    assert isinstance(ask({**TYPED, 22: mode}, mac=True, mti="0200").event, e.TransactionRequested)


def test_d28_a_swiped_sale_does_not(ask: Ask) -> None:
    assert isinstance(ask(SALE, mac=False, mti="0200").event, e.TransactionRequested)


# --- D15 -------------------------------------------------------------------------------------------------------------


def test_d15_a_part_is_asked_for_only_where_that_is_allowed(ask: Ask) -> None:
    never = ask({**SALE, 60: "22000999000601065"}, mti="0200").event
    assert isinstance(never, e.TransactionRequested)
    assert (never.options, never.partial_asked) == ("000600065", False)
    allowed = ask({**SALE, 60: "22000999000601065"}, mti="0200", of=UnionPay(Knobs(partial_approval=True))).event
    assert isinstance(allowed, e.TransactionRequested)
    assert (allowed.options, allowed.partial_asked) == ("000601065", True)


def test_d15_the_terminal_is_told_the_approved_amount(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session
) -> None:
    told = fx.ToTerminal("asker", fx.Result(AnswerFacts("10"), approved_minor=Minor(600)))
    out = profile.encode_answer(arrived("B3"), told, terminal, session, Now(1_795_400_000_000, 1.0))
    assert profile.arrive(out.frame).message.get(4) == "000000000600"


def test_d15_an_upload_says_the_approved_amount(say: Say, profile: UnionPay, sale: Transaction) -> None:
    part = replace(sale, approved_minor=Minor(600))
    out = say(fx.SendUpload(Stan(1), BatchNumber(8), (part,)), Material({}, {sale.request_id: CardData(pan=PAN)}))
    assert (profile.arrive(out.frame).message.get(48) or "").endswith("000000000600")
    reversal = say(fx.SendReversal(part, None, "98"), Material({}, {sale.request_id: CardData(pan=PAN)}))
    assert profile.arrive(reversal.frame).message.get(4) == "000000012345"


@pytest.mark.parametrize("kind", [TxnKind.VOID, TxnKind.REFUND, TxnKind.COMPLETION, TxnKind.EC_LOAD])
def test_d15_nothing_is_taken_back_completed_or_loaded_in_part(ask: Ask, kind: TxnKind) -> None:
    row = MATRIX[kind]
    codes = {3: row.processing_code, 25: row.condition_code, 60: f"{row.type_code}000999000601065"}
    read = ask({**REFUND, **codes}, mti=row.mti, of=UnionPay(Knobs(partial_approval=True)))
    assert isinstance(read.event, e.TransactionRequested)
    assert (read.event.options[:9], read.event.partial_asked) == ("000600065", False)


# --- electronic cash -------------------------------------------------------------------------------------------------

EC_REFUND = {**REFUND, 37: None, 38: None, 60: "27000999000500", 61: "0009990007551121", 63: None}


def test_d13_a_refund_of_electronic_cash_is_read_with_the_sale_that_it_names(ask: Ask) -> None:
    read = ask(EC_REFUND)
    assert isinstance(read.event, e.TransactionRequested)
    assert (read.event.kind, read.event.request_id) == (TxnKind.EC_REFUND, "10000001/000999/000777/0220/200000")
    assert read.event.original == e.OriginalPointer(None, BatchNumber(999), Stan(755))
    assert isinstance(ask({**EC_REFUND, 61: None}).event, e.RequestUnusable)


def test_d13_it_leaves_with_its_sale_by_our_numbers_or_with_the_day_alone(
    say: Say, profile: UnionPay, refund: Transaction, sale: Transaction
) -> None:
    txn = replace(refund, kind=TxnKind.EC_REFUND, options="000500|||1121")
    request = Material({txn.request_id: Message("0220", REFUND)}, {})
    out = profile.arrive(say(fx.SendTransaction(txn, sale, sale), request).frame).message
    assert set(out.fields) == {2, 3, 4, 11, 22, 25, 35, 37, 38, 41, 42, 49, 60, 61, 64}
    assert (out.mti, out.get(60), out.get(61)) == ("0220", "27000008000500", "0000080001241122")
    unknown = profile.arrive(say(fx.SendTransaction(txn, None), request).frame).message
    assert (unknown.get(37), unknown.get(61)) == (None, "0000000000001121")


def test_d21_it_is_uploaded_alone_as_it_was(
    say: Say, profile: UnionPay, refund: Transaction, sale: Transaction
) -> None:
    txn = replace(refund, kind=TxnKind.EC_REFUND, options="000500|||1121")
    material = Material({}, {txn.request_id: CardData(pan=PAN, expiry="3012")})
    out = profile.arrive(say(fx.SendUpload(Stan(130), BatchNumber(8), (txn,), sale, sale), material).frame).message
    assert (out.mti, out.get(11), out.get(61)) == ("0320", "000130", "0000080001241122")
    assert not {35, 36, 52, 64} & set(out.fields)


# --- header digit 6 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digit", "wants", "sign_in"),
    [
        ("0", "", False),
        ("3", "sign in again", True),
        ("1", "download the terminal's parameters", False),
        ("b", "download the QPS BIN table", False),
        ("e", "something that the reference does not name", False),
    ],
)
def test_what_the_host_wants_is_said_in_words(
    profile: UnionPay, arrived: FromLine, terminal: Terminal, session: Session, digit: str, wants: str, sign_in: bool
) -> None:
    plain = arrived("B4")
    header = bytes.fromhex(f"60310{digit}310100")
    asked = replace(plain, envelope=replace(plain.envelope, header=header))
    answer = profile.read_answer(asked, terminal, session, None)
    assert (answer.attention, answer.wants, answer.wants_sign_in) == (digit, wants, sign_in)
