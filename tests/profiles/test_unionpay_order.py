"""A till's order becomes the message of a terminal that typed the number in."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core.answers import AnswerFacts
from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.core.state import Transaction, TxnStatus
from posd.profiles.contract import Order, Receipt
from posd.profiles.unionpay.order import read_order
from posd.security.cards import CardData
from posd.values import BatchNumber, Minor, RequestId, Rrn, Stan

PAN = "6225880000000005"
ID, SALE_ID = RequestId("10000001/-till/r-1"), RequestId("10000001/-till/s-1")
CARD = CardData(pan=PAN, expiry="3012")
KEY = b"k" * 32


def sold(**changes: Any) -> Transaction:
    sale = Transaction(
        request_id=SALE_ID,
        kind=TxnKind.SALE,
        status=TxnStatus.APPROVED,
        amount_minor=Minor(1230),
        stan=Stan(7),
        batch=1,
        batch_number=BatchNumber(3),
        terminal_batch=0,
        terminal_stan=Stan(0),
        at_ms=1_772_416_800_000,
        fingerprint="f",
        entry_mode="012",
        facts=AnswerFacts("00", rrn=Rrn("112200000124"), approval_code="AB1234", host_date="0302"),
    )
    return replace(sale, **changes)


def read(order: Order, original: Transaction | None = None) -> tuple[e.Event, Any]:
    found = read_order(order, original, KEY, "till-1|0", 5.0, "Asia/Shanghai")
    return found.event, found.message


def refused(order: Order, original: Transaction | None = None) -> str:
    event, message = read(order, original)
    assert isinstance(event, e.RequestUnusable)
    assert message is None
    assert event.request_id == ID
    assert PAN not in event.because
    return event.refusal


def test_a_sale_is_entered_by_hand() -> None:
    order = Order(ID, TxnKind.SALE, "digest", Minor(1230), CARD, reference="R-1", tip_minor=Minor(30))
    event, message = read(order)
    assert isinstance(event, e.TransactionRequested)
    assert message.fields == {2: PAN, 14: "3012", 22: "012"}
    assert (event.request_id, event.fingerprint, event.entry_mode) == (ID, "digest", "012")
    assert (event.amount_minor, event.tip_minor, event.reference) == (1230, 30, "R-1")
    assert event.from_till
    assert event.card == CARD.reference(KEY)
    assert PAN not in repr(event)


def test_a_void_takes_card_and_amount_of_its_sale() -> None:
    event, message = read(Order(ID, TxnKind.VOID, "d", None, CARD, original=SALE_ID), sold(approved_minor=Minor(1000)))
    assert isinstance(event, e.TransactionRequested)
    assert event.amount_minor == 1000
    assert event.original == e.OriginalPointer(None, None, None, SALE_ID)
    assert message.get(2) == PAN


def test_a_refund_names_its_sale_by_what_the_host_said() -> None:
    event, _ = read(Order(ID, TxnKind.REFUND, "d", Minor(10), CARD, original=SALE_ID), sold())
    assert isinstance(event, e.TransactionRequested)
    assert event.options == "0000|112200000124|AB1234|0302"
    receipt = Receipt("112200000999", "0228", "")
    event, _ = read(Order(ID, TxnKind.REFUND, "d", Minor(10), CARD, receipt=receipt))
    assert isinstance(event, e.TransactionRequested)
    assert event.options == "0000|112200000999||0228"
    assert event.original is None


@pytest.mark.parametrize(
    ("kind", "original", "card", "refusal"),
    [
        (TxnKind.VOID, None, CARD, Refusal.NO_ORIGINAL),
        (TxnKind.REFUND, sold(facts=None), CARD, Refusal.NO_ORIGINAL),
        (TxnKind.REFUND, sold(kind=TxnKind.VOID), CARD, Refusal.NO_ORIGINAL),
        (TxnKind.VOID, sold(), None, Refusal.NO_ORIGINAL),
        (TxnKind.VOID, sold(), CardData(track2="F" * 32), Refusal.NO_ORIGINAL),
        (TxnKind.BALANCE, None, CARD, Refusal.NOT_SUPPORTED),
    ],
)
def test_what_cannot_be_said_is_refused(
    kind: TxnKind, original: Transaction | None, card: CardData | None, refusal: Refusal
) -> None:
    order = Order(ID, kind, "d", Minor(1), card, original=SALE_ID if kind is not TxnKind.BALANCE else None)
    assert refused(order, original) == refusal
