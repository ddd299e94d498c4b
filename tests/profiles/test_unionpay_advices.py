"""Advices of the dialect: what leaves of each, and what goes into an unbalanced upload (reference 1.7 to 1.9)."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core import events as e
from posd.core.rules import Side, TxnKind, Upload
from posd.core.state import Session, Transaction, TxnStatus
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from posd.profiles.contract import Material, ReadRequest, Terminal
from posd.profiles.unionpay.data import KINDS, MATRIX
from posd.profiles.unionpay.profile import UnionPay
from posd.profiles.unionpay.seal import mak_of, pack
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, RequestId, Stan

PAN = "6225880123456789"
DIGEST_KEY = bytes(32)
ICC = "9F2608A1B2C3D4E5F607188A025931"
NEVER_KEPT = "5A0862258801234567895F200454455354" + "57136225880123456789D30122010000012345678F"
STORED = {2, 3, 4, 11, 14, 22, 25, 41, 42, 49, 60}

FIELDS = {
    TxnKind.COMPLETION_NOTICE: {38, 61},
    TxnKind.OFFLINE_SALE: {38, 61},
    TxnKind.ADJUST: {38, 61},
    TxnKind.TIP: {38, 61},
    TxnKind.EC_SALE: {23, 55, 63},
}
"""Beside what all of them have (the record types 1 and 2 of reference 1.7)."""

ADVICES = list(FIELDS)

Say = Callable[[fx.HostMessage, Material], Message]
Read = Callable[[Message], ReadRequest]


@pytest.fixture
def say(profile: UnionPay, terminal: Terminal, session: Session) -> Say:
    return lambda message, material: profile.arrive(profile.encode(message, terminal, session, material).frame).message


@pytest.fixture
def read(profile: UnionPay, terminal: Terminal, session: Session) -> Read:
    def event(message: Message) -> ReadRequest:
        out = pack(UNIONPAY, profile._envelope, message, mak_of(terminal, session, profile._keying))
        return profile.read_request(profile.arrive(out.frame), terminal, session, DIGEST_KEY, "r", 0.0)

    return event


def told(kind: TxnKind, more: dict[int, str | None] | None = None) -> Message:
    """What a terminal with a trace and a batch of its own says."""
    row = MATRIX[kind]
    fields = {
        **{2: PAN, 3: row.processing_code, 4: "000000012345", 11: "000777", 14: "3012", 22: "022"},
        **{25: row.condition_code, 37: "112200000124", 38: "654321", 41: "10000001", 42: "898100012345678", 49: "156"},
        **{60: f"{row.type_code}000999000500", 61: "0009990007761122"},
    }
    return Message(row.mti, fields).with_(more or {})


def advice(sale: Transaction, kind: TxnKind, options: str = "000500|112200000124|654321|1122|01") -> Transaction:
    return replace(
        sale,
        request_id=RequestId(kind.value),
        kind=kind,
        status=TxnStatus.STORED,
        amount_minor=Minor(12345),
        stan=Stan(130),
        entry_mode="022",
        options=options,
        facts=None,
    )


def material(kind: TxnKind) -> Material:
    chip = kind is TxnKind.EC_SALE
    card = CardData(pan=PAN, expiry="3012", sequence="001" if chip else None, kept_icc=ICC if chip else None)
    return Material({}, {RequestId(kind.value): card})


def original_of(kind: TxnKind, sale: Transaction) -> Transaction | None:
    return sale if MATRIX[kind].names else None


@pytest.mark.parametrize("kind", ADVICES)
def test_what_leaves_has_the_fields_of_its_record(kind: TxnKind, say: Say, sale: Transaction) -> None:
    row = MATRIX[kind]
    out = say(fx.SendAdvice(advice(sale, kind), *[original_of(kind, sale)] * 2), material(kind))
    assert set(out.fields) == STORED | FIELDS[kind] | {64}
    assert (out.mti, out.get(3), out.get(25)) == (row.mti, row.processing_code, row.condition_code)
    assert (out.get(60), out.get(11)) == (f"{row.type_code}000008000500", "000130")


@pytest.mark.parametrize("kind", ADVICES)
def test_d21_its_upload_is_the_same_without_mac_and_under_its_own_number(
    kind: TxnKind, say: Say, sale: Transaction
) -> None:
    txn, original = advice(sale, kind), original_of(kind, sale)
    out = say(fx.SendAdvice(txn, original, original), material(kind))
    uploaded = say(fx.SendUpload(Stan(130), BatchNumber(8), (txn,), original, original), material(kind))
    assert uploaded == Message("0320", {field: value for field, value in out.fields.items() if field != 64})


@pytest.mark.parametrize("kind", [TxnKind.ADJUST, TxnKind.TIP])
def test_an_adjustment_names_what_it_adjusts_by_our_numbers(kind: TxnKind, say: Say, sale: Transaction) -> None:
    out = say(fx.SendAdvice(advice(sale, kind, "000500"), sale, sale), material(kind))
    assert (out.get(38), out.get(61)) == ("654321", "000008000124")
    with pytest.raises(CannotEncode, match="is not known"):
        say(fx.SendAdvice(advice(sale, kind, "000500"), None), material(kind))


def test_an_adjustment_of_an_offline_sale_carries_the_code_that_was_given_with_it(say: Say, sale: Transaction) -> None:
    original = advice(sale, TxnKind.OFFLINE_SALE, "000500||777777||")
    out = say(fx.SendAdvice(advice(sale, TxnKind.ADJUST, "000500"), original, original), material(TxnKind.ADJUST))
    assert out.get(38) == "777777"


def test_a_notice_of_a_hold_that_we_do_not_know_is_named_by_code_and_date(say: Say, sale: Transaction) -> None:
    kind = TxnKind.COMPLETION_NOTICE
    out = say(fx.SendAdvice(advice(sale, kind, "000500||777777|0915"), None), material(kind))
    assert (out.get(37), out.get(38), out.get(61)) == (None, "777777", "0000000000000915")
    known = say(fx.SendAdvice(advice(sale, kind, "000500||777777|0915"), sale, sale), material(kind))
    assert (known.get(38), known.get(61)) == ("654321", "0000080001241122")


def test_an_offline_sale_passes_on_who_authorised_it(say: Say, sale: Transaction) -> None:
    """Mode and institution behind the date in field 61; the terminal's own batch and trace mean nothing there."""
    out = say(fx.SendAdvice(advice(sale, TxnKind.OFFLINE_SALE), None), material(TxnKind.OFFLINE_SALE))
    assert (out.get(38), out.get(61)) == ("654321", "000000000000112201")
    bare = say(fx.SendAdvice(advice(sale, TxnKind.OFFLINE_SALE, "000500"), None), material(TxnKind.OFFLINE_SALE))
    assert (bare.get(38), bare.get(61)) == (None, None)


@pytest.mark.parametrize("kind", ADVICES)
def test_what_a_terminal_tells_is_read_as_the_row_that_it_is(kind: TxnKind, read: Read) -> None:
    event = read(told(kind, {22: "051", 55: ICC} if kind is TxnKind.EC_SALE else None)).event
    assert isinstance(event, e.TransactionRequested)
    assert (event.kind, event.amount_minor) == (kind, 12345)
    assert (event.original is not None) is bool(MATRIX[kind].names)
    assert event.options == "000500|112200000124|654321|1122"


def test_an_adjustment_is_named_by_trace_and_not_by_its_code(read: Read) -> None:
    """The code in it is the sale's of another day perhaps: batch and trace decide."""
    event = read(told(TxnKind.ADJUST, {37: None})).event
    assert isinstance(event, e.TransactionRequested)
    assert event.original == e.OriginalPointer(None, BatchNumber(999), Stan(776))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (TxnKind.COMPLETION_NOTICE, {38: None}),
        (TxnKind.COMPLETION_NOTICE, {61: None}),
        (TxnKind.EC_SALE, {55: None}),
        (TxnKind.ADJUST, {37: None, 61: None}),
    ],
)
def test_what_does_not_name_its_original_is_refused(kind: TxnKind, more: dict[int, str | None], read: Read) -> None:
    assert isinstance(read(told(kind, more)).event, e.RequestUnusable)


def test_d6_four_kinds_share_a_key_and_are_told_apart(read: Read) -> None:
    kinds = (TxnKind.COMPLETION_NOTICE, TxnKind.OFFLINE_SALE, TxnKind.ADJUST, TxnKind.TIP)
    events = [event for kind in kinds if isinstance(event := read(told(kind)).event, e.TransactionRequested)]
    assert len({event.request_id for event in events}) == 1
    assert len({event.fingerprint for event in events}) == 4


def test_d28_only_harmless_tags_are_kept_of_field_55(read: Read) -> None:
    """P5: no number, name or track in what is sealed for days."""
    request = read(told(TxnKind.EC_SALE, {22: "051", 23: "001", 55: NEVER_KEPT + ICC, 61: None, 37: None, 38: None}))
    assert request.card is not None
    assert request.card.kept_icc == ICC
    assert CardData.from_facts(request.card.facts()).kept_icc == ICC
    online = read(told(TxnKind.SALE, {22: "051", 55: NEVER_KEPT + ICC, 61: None})).card
    assert online is not None
    assert online.kept_icc == ICC


def test_d1_an_advice_whose_card_cannot_be_read_is_an_error_that_names_it(say: Say, sale: Transaction) -> None:
    with pytest.raises(CannotEncode, match="offline_sale"):
        say(fx.SendAdvice(advice(sale, TxnKind.OFFLINE_SALE), None), Material({}, {}))


@pytest.mark.parametrize("kind", ADVICES)
def test_no_advice_is_reversed_and_each_is_uploaded_alone(kind: TxnKind) -> None:
    """Reference 1.6, 1.7, 1.10."""
    rules = KINDS[kind]
    assert (rules.reversible, rules.advice, rules.upload) == (False, True, Upload.ALONE)
    assert rules.side is Side.DEBIT


@pytest.mark.parametrize("kind", [TxnKind.REFUND, TxnKind.EC_REFUND])
def test_d13_no_refund_is_an_advice(kind: TxnKind) -> None:
    """Nor is what gives electronic cash back: 60.1 is of the online ones, and the host has to say yes."""
    assert not KINDS[kind].advice
    assert kind not in ADVICES


def test_d21_the_record_of_electronic_cash_says_that_nobody_on_line_approved_it(say: Say, sale: Transaction) -> None:
    """Reference 1.7, record type 2: tag 8A, as its terminal told it, else Y1."""
    txn = advice(sale, TxnKind.EC_SALE)
    for kept, said in ((ICC, ICC), (ICC.removesuffix("8A025931"), ICC), (f"{ICC[:-2]}33", f"{ICC[:-2]}33")):
        card = CardData(pan=PAN, sequence="001", kept_icc=kept)
        out = say(fx.SendUpload(Stan(130), BatchNumber(8), (txn,)), Material({}, {txn.request_id: card}))
        assert out.get(55) == said
