"""The rows of the matrix beyond the sale: what leaves has the fields of reference 1.8 and 1.10, nothing else."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.answers import AnswerFacts, ExchangeKind
from posd.core.rules import Side, TxnKind, Upload
from posd.core.state import Session, Transaction, TxnStatus
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Arrived, Material, Outgoing, ReadRequest, Terminal
from posd.profiles.unionpay.data import KINDS, MATRIX
from posd.profiles.unionpay.profile import UnionPay
from posd.profiles.unionpay.seal import mak_of, pack
from posd.security.cards import CardData
from posd.values import Now, RequestId, Stan

PAN = "6225880123456789"
CARD = {2: PAN, 14: "3012", 22: "012"}
DIGEST_KEY = bytes(32)
NOT_HERE = (TxnKind.SALE, TxnKind.BALANCE, TxnKind.REFUND)
ONLINE = [kind for kind, row in KINDS.items() if not row.advice and kind not in NOT_HERE]
LOADS = {TxnKind.EC_LOAD, TxnKind.EC_CASH_LOAD, TxnKind.EC_TRANSFER_LOAD}

Say = Callable[[fx.HostMessage, Material], Message]
Read = Callable[[Message, bool], ReadRequest]


@pytest.fixture
def say(profile: UnionPay, terminal: Terminal, session: Session) -> Say:
    return lambda message, material: profile.arrive(profile.encode(message, terminal, session, material).frame).message


@pytest.fixture
def read(profile: UnionPay, terminal: Terminal, session: Session) -> Read:
    """A terminal's message, with its MAC or without."""

    def event(message: Message, with_mac: bool = True) -> ReadRequest:
        mak = mak_of(terminal, session, profile._keying) if with_mac else None
        out: Outgoing = pack(UNIONPAY, profile._envelope, message, mak)
        arrived: Arrived = profile.arrive(out.frame)
        return profile.read_request(arrived, terminal, session, DIGEST_KEY, "r", 0.0)

    return event


def asked(kind: TxnKind, more: dict[int, str] | None = None) -> Message:
    """What a terminal with a trace and a batch of its own asks for."""
    row = MATRIX[kind]
    fields = {
        **CARD,
        **{3: row.processing_code, 4: "000000012345", 11: "000777", 25: row.condition_code, 49: "156"},
        **{41: "10000001", 42: "898100012345678", 60: f"{row.type_code}000999000500"},
    }
    return Message(row.mti, fields | (more or {}))


def transaction(sale: Transaction, kind: TxnKind, options: str = "000500") -> Transaction:
    return replace(
        sale,
        request_id=RequestId(kind.value),
        kind=kind,
        status=TxnStatus.SENT,
        stan=Stan(130),
        entry_mode="012",
        options=options,
        facts=None,
    )


def material(kind: TxnKind) -> Material:
    return Material({RequestId(kind.value): asked(kind)}, {RequestId(kind.value): CardData(pan=PAN, entry_mode="012")})


@pytest.mark.parametrize("kind", ONLINE)
def test_d8_a_request_is_read_as_the_row_that_it_is(kind: TxnKind, read: Read) -> None:
    event = read(asked(kind, {37: "112200000124", 38: "654321", 61: "0009990007551122"}), True).event
    assert isinstance(event, e.TransactionRequested)
    assert (event.kind, event.amount_minor) == (kind, 12345)
    assert (event.original is not None) is bool(MATRIX[kind].names)


@pytest.mark.parametrize("kind", ONLINE)
def test_what_leaves_has_the_fields_of_its_row(kind: TxnKind, say: Say, sale: Transaction) -> None:
    """Reference 1.8: 38 and 61 where a pre-authorisation is ended, 37 too where a completion is voided."""
    row = MATRIX[kind]
    out = say(fx.SendTransaction(transaction(sale, kind), sale, sale), material(kind))
    common = {2, 3, 4, 11, 14, 22, 25, 41, 42, 49, 60, 64}
    assert set(out.fields) == common | set(row.names) | ({53} if row.security else set())
    assert (out.mti, out.get(3), out.get(25)) == (row.mti, row.processing_code, row.condition_code)
    assert out.get(60) == f"{row.type_code}000008000500"
    if row.names:
        assert (out.get(61), out.get(38)) == ("000008000124" + ("1122" if row.dated else ""), "654321")


@pytest.mark.parametrize("kind", [TxnKind.PREAUTH_VOID, TxnKind.COMPLETION])
def test_a_hold_that_we_do_not_know_is_named_by_code_and_date(kind: TxnKind, say: Say, sale: Transaction) -> None:
    """Batch and trace of the terminal would mean something else to the host: unknown parts are zero (1.4)."""
    out = say(fx.SendTransaction(transaction(sale, kind, "000500||777777|0915"), None), material(kind))
    assert (out.get(37), out.get(38), out.get(61)) == (None, "777777", "0000000000000915")


@pytest.mark.parametrize(
    ("kind", "field_61"),
    [
        (TxnKind.PREAUTH, None),
        (TxnKind.VOID, "000008000130"),
        (TxnKind.PREAUTH_VOID, "0000080001300000"),
        (TxnKind.COMPLETION, "0000080001300000"),
        (TxnKind.COMPLETION_VOID, "0000080001300000"),
        (TxnKind.EC_LOAD, None),
        (TxnKind.EC_CASH_LOAD, None),
        (TxnKind.EC_TRANSFER_LOAD, None),
        (TxnKind.EC_CASH_LOAD_VOID, "000008000130"),
    ],
)
def test_a_reversal_names_the_request_itself(kind: TxnKind, field_61: str | None, say: Say, sale: Transaction) -> None:
    """Its own batch and trace, 0000 behind them where a pre-authorisation is concerned (reference 1.10)."""
    original = sale if MATRIX[kind].names else None
    out = say(fx.SendReversal(transaction(sale, kind), original, "98"), material(kind))
    assert (out.mti, out.get(61), out.get(11), out.get(39)) == ("0400", field_61, "000130", "98")
    assert out.get(60) == f"{MATRIX[kind].type_code}000008000500"
    assert out.get(38) == ("654321" if original else None)
    assert not {26, 35, 36, 37, 52} & set(out.fields)


def test_the_reversal_of_a_completion_carries_the_code_that_the_terminal_gave(say: Say, sale: Transaction) -> None:
    txn = transaction(sale, TxnKind.COMPLETION, "000500||777777|0915")
    assert say(fx.SendReversal(txn, None, "98"), material(TxnKind.COMPLETION)).get(38) == "777777"


@pytest.mark.parametrize("kind", [TxnKind.PREAUTH_VOID, TxnKind.COMPLETION])
@pytest.mark.parametrize("missing", [38, 61])
def test_a_hold_is_named_by_code_and_date_or_it_is_refused(kind: TxnKind, missing: int, read: Read) -> None:
    named = {38: "654321", 61: "0000000000001122"}
    event = read(asked(kind, {field: text for field, text in named.items() if field != missing}), True).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.MALFORMED


def test_zeros_in_field_61_are_unknown_and_not_a_trace(read: Read) -> None:
    event = read(asked(TxnKind.COMPLETION, {38: "654321", 61: "0000000000001122"}), True).event
    assert isinstance(event, e.TransactionRequested)
    assert event.original == e.OriginalPointer(None, None, None, approval_code="654321", date="1122")
    assert event.options == "000500||654321|1122"


def test_d6_the_same_key_for_another_kind_or_code_is_another_request(read: Read) -> None:
    """A completion and a sale share MTI and processing code."""
    named = {38: "654321", 61: "0000000000001122"}
    events = [
        read(asked(TxnKind.SALE), True).event,
        read(asked(TxnKind.COMPLETION, named), True).event,
        read(asked(TxnKind.COMPLETION, named | {38: "654322"}), True).event,
    ]
    requests = [event for event in events if isinstance(event, e.TransactionRequested)]
    assert len({event.request_id for event in requests}) == 1
    assert len({event.fingerprint for event in requests}) == 3


@pytest.mark.parametrize("kind", [TxnKind.EC_CASH_LOAD, TxnKind.REFUND])
def test_d28_what_gives_money_needs_the_terminals_mac(kind: TxnKind, read: Read) -> None:
    event = read(asked(kind, {22: "022", 37: "112200000124", 61: "0000000000001122"}), False).event
    assert isinstance(event, e.RequestUnusable)
    assert event.refusal == fx.Refusal.NOT_AUTHENTICATED


def test_d28_a_typed_number_that_ends_a_hold_needs_the_terminals_mac(read: Read) -> None:
    named = {38: "654321", 61: "0000000000001122"}
    assert isinstance(read(asked(TxnKind.PREAUTH_VOID, named), False).event, e.RequestUnusable)
    assert isinstance(read(asked(TxnKind.COMPLETION_VOID, named), False).event, e.TransactionRequested)


def test_an_original_that_must_be_known_cannot_be_left_out(say: Say, sale: Transaction) -> None:
    kind = TxnKind.COMPLETION_VOID
    with pytest.raises(CannotEncode, match="completion_void"):
        say(fx.SendTransaction(transaction(sale, kind), None), material(kind))


@pytest.mark.parametrize(
    ("kind", "side"),
    [
        (TxnKind.PREAUTH, Side.NEITHER),
        (TxnKind.PREAUTH_VOID, Side.NEITHER),
        (TxnKind.COMPLETION, Side.DEBIT),
        (TxnKind.COMPLETION_VOID, Side.CREDIT),
        (TxnKind.EC_LOAD, Side.NEITHER),
        (TxnKind.EC_CASH_LOAD, Side.CREDIT),
        (TxnKind.EC_TRANSFER_LOAD, Side.DEBIT),
        (TxnKind.EC_CASH_LOAD_VOID, Side.DEBIT),
    ],
)
def test_where_each_counts(kind: TxnKind, side: Side) -> None:
    """Reference 1.6; what counts on no side is not among the uploaded records (1.7)."""
    assert (KINDS[kind].side, KINDS[kind].reversible) == (side, True)
    assert (KINDS[kind].upload is Upload.NONE) is (side is Side.NEITHER)


def test_every_row_has_its_rules() -> None:
    assert set(MATRIX) == set(KINDS) - {TxnKind.SCRIPT_RESULT}, "a notice has the codes of its original"


def test_d8_a_0110_answers_a_0100(profile: UnionPay, terminal: Terminal, session: Session) -> None:
    answer = Message("0110", {3: "030000", 11: "000130", 39: "00", 41: "10000001", 42: "898100012345678"})
    out = pack(UNIONPAY, profile._envelope, answer, mak_of(terminal, session, profile._keying))
    arrived = profile.arrive(out.frame)
    assert profile.answer_key(arrived) == (ExchangeKind.TRANSACTION, Stan(130))
    read = profile.read_answer(arrived, terminal, session, {3: "030000", 11: "000130", 41: "10000001"})
    assert (read.mismatch, read.facts) == ("", AnswerFacts("00"))


def test_the_answer_to_a_terminals_0100_is_a_0110(profile: UnionPay, terminal: Terminal, session: Session) -> None:
    out = pack(UNIONPAY, profile._envelope, asked(TxnKind.PREAUTH), mak_of(terminal, session, profile._keying))
    refused = profile.refuse(profile._envelope, profile.arrive(out.frame).message, "busy", Now(0, 0.0))
    assert refused is not None
    assert refused.mti == "0110"
