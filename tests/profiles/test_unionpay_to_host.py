"""What we say to the host is Part B of the samples, byte for byte.

B1 carries field 62 (a certificate's serial number), which the reference calls optional and we never send. Everything
else of Part B that a terminal sends is reproduced here.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from posd.core import effects as fx
from posd.core.answers import GroupCount, Totals
from posd.core.state import Session, Transaction, TxnStatus
from posd.errors import CannotEncode
from posd.iso8583.message import Message
from posd.profiles.contract import Arrived, Material, Outgoing, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, RequestId, Stan

PAN = "6225880123456789"
NOTHING = Material({}, {})
Frame = Callable[[str], bytes]
Say = Callable[[fx.HostMessage, Material], Outgoing]


@pytest.fixture
def say(profile: UnionPay, terminal: Terminal, session: Session) -> Say:
    return lambda message, material: profile.encode(message, terminal, session, material)


def asked(fields: Message) -> Message:
    """What a terminal with a trace and a batch of its own would have sent for this."""
    return fields.with_({11: "000777", 60: f"{(fields.get(60) or '')[:2]}000999000500", 64: None})


def test_sign_in_is_b1_without_its_optional_certificate(
    say: Say, profile: UnionPay, arrived: Callable[[str], Arrived]
) -> None:
    sample = arrived("B1")
    out = say(fx.SendSignIn(Stan(123), BatchNumber(7)), NOTHING)
    mine = profile.arrive(out.frame)
    assert mine.envelope == sample.envelope
    assert mine.message == sample.message.with_({62: None})
    assert mine.body[2:10].hex().upper() == "0020000000C00012"  # the bitmap without 62 (reference 1.2)


def test_sign_off_is_b15(say: Say, frame: Frame) -> None:
    assert say(fx.SendSignOff(Stan(133), BatchNumber(9)), NOTHING).frame == frame("B15")


def test_sale_is_b3(say: Say, frame: Frame, arrived: Callable[[str], Arrived], sale: Transaction) -> None:
    sent = replace(sale, status=TxnStatus.SENT, facts=None)
    out = say(fx.SendTransaction(sent, None), Material({sale.request_id: asked(arrived("B3").message)}, {}))
    assert out.frame == frame("B3")
    assert (out.mti, out.stan, out.batch, out.pan) == ("0200", 124, 8, None)
    assert out.echoed == {3: "000000", 4: "000000012345", 11: "000124", 41: "10000001", 42: "898100012345678"}


def test_reversal_of_the_sale_is_b5(say: Say, frame: Frame, sale: Transaction) -> None:
    """No approval was seen. Mode 02 carries no number: reference 1.10."""
    unknown = replace(sale, status=TxnStatus.UNKNOWN, facts=None)
    card = CardData(pan=PAN, entry_mode="021")
    assert say(fx.SendReversal(unknown, None, "98"), Material({}, {sale.request_id: card})).frame == frame("B5")


def test_void_is_b7(
    say: Say, frame: Frame, arrived: Callable[[str], Arrived], sale: Transaction, void: Transaction
) -> None:
    request = asked(arrived("B7").message).with_({61: "000999000777", 37: "000000000000", 38: None, 53: None})
    out = say(fx.SendTransaction(void, sale, sale), Material({void.request_id: request}, {}))
    assert out.frame == frame("B7")
    assert out.pan == PAN.encode()


def test_reversal_of_the_void_is_b7b(say: Say, frame: Frame, sale: Transaction, void: Transaction) -> None:
    """Field 61 is the void's own batch and trace (reference 1.10)."""
    card = CardData(pan=PAN, entry_mode="012")
    out = say(fx.SendReversal(void, sale, "98"), Material({}, {void.request_id: card}))
    assert out.frame == frame("B7b")


def test_totals_are_b8(say: Say, frame: Frame) -> None:
    totals = Totals(GroupCount(17345, 2, 12345, 1), GroupCount())
    assert say(fx.SendTotals(Stan(130), BatchNumber(8), totals), NOTHING).frame == frame("B8")


def test_upload_is_b11(say: Say, frame: Frame, sale: Transaction) -> None:
    items = [(124, 12345), (125, 5000), (126, 12345)]
    transactions = tuple(
        replace(sale, request_id=RequestId(str(stan)), stan=Stan(stan), amount_minor=Minor(minor))
        for stan, minor in items
    )
    cards = {txn.request_id: CardData(pan=PAN) for txn in transactions}
    out = say(fx.SendUpload(Stan(131), BatchNumber(8), transactions), Material({}, cards))
    assert out.frame == frame("B11")
    assert PAN not in str(out.masked)


def test_end_messages_are_b13_and_b14(say: Say, frame: Frame) -> None:
    assert say(fx.SendTrailer(Stan(132), BatchNumber(8), 3, balanced=False), NOTHING).frame == frame("B13")
    assert say(fx.SendTrailer(Stan(131), BatchNumber(8), 0, balanced=True), NOTHING).frame == frame("B14")


def test_echo_is_b16(say: Say, frame: Frame) -> None:
    out = say(fx.SendEcho(BatchNumber(9)), NOTHING)
    assert out.frame == frame("B16")
    assert out.stan is None


def test_the_header_is_a_setting(terminal: Terminal, session: Session, frame: Frame) -> None:
    bare = UnionPay(Knobs(header=b""))
    out = bare.encode(fx.SendEcho(BatchNumber(9)), terminal, session, NOTHING)
    assert out.frame == frame("B16")[:5] + frame("B16")[11:]


def test_a_foreign_card_is_uploaded_as_class_01(say: Say, profile: UnionPay, sale: Transaction) -> None:
    assert sale.facts is not None
    foreign = replace(sale, facts=replace(sale.facts, scheme="VIS"))
    out = say(fx.SendUpload(Stan(1), BatchNumber(8), (foreign,)), Material({}, {sale.request_id: CardData(pan=PAN)}))
    assert (profile.arrive(out.frame).message.get(48) or "")[2:4] == "01"


@pytest.mark.parametrize("mode", ["012", "051", "071", "951", "961", "981"])
def test_a_reversal_carries_the_number_where_the_reference_wants_it(
    say: Say, profile: UnionPay, sale: Transaction, mode: str
) -> None:
    txn = replace(sale, status=TxnStatus.UNKNOWN, entry_mode=mode)
    card = CardData(pan=PAN, expiry="3012", sequence="001", entry_mode=mode, pin_block="00" * 8, track2="1" * 30)
    message = profile.arrive(say(fx.SendReversal(txn, None, "A0"), Material({}, {txn.request_id: card})).frame).message
    assert (message.get(2), message.get(14), message.get(23), message.get(38), message.get(39)) == (
        PAN,
        "3012",
        "001",
        "654321",
        "A0",
    )
    assert not {26, 35, 36, 37, 52, 61} & set(message.fields)


def test_what_cannot_be_said_is_an_error_that_names_it(
    say: Say, profile: UnionPay, terminal: Terminal, sale: Transaction, void: Transaction
) -> None:
    with pytest.raises(CannotEncode, match="no longer in memory"):
        say(fx.SendTransaction(sale, None), NOTHING)
    with pytest.raises(CannotEncode, match="card number"):
        say(fx.SendReversal(replace(sale, entry_mode="012"), None, "98"), NOTHING)
    with pytest.raises(CannotEncode, match="card number"):
        say(fx.SendUpload(Stan(1), BatchNumber(8), (sale,)), NOTHING)
    with pytest.raises(CannotEncode, match="the original that this void names"):
        say(fx.SendTransaction(void, None), Material({void.request_id: Message("0200", {})}, {}))
    with pytest.raises(CannotEncode, match="sign in first"):
        profile.encode(fx.SendReversal(sale, None, "98"), terminal, Session(), NOTHING)
    with pytest.raises(CannotEncode, match="does not fit"):
        say(fx.SendTotals(Stan(1), BatchNumber(8), Totals(GroupCount(debit_count=1000))), NOTHING)
