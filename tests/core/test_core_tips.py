"""Tips: within their ceiling, lowered while the batch is open, voided and refunded with their sale, never alone."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal, SendAdvice, SendTransaction
from posd.core.fold.apply import apply
from posd.core.management import TIP_ALLOWED, TIP_PERCENT, applied
from posd.core.rules import TxnKind
from posd.core.state import UNDELIVERED, AdviceStatus, SettlementCause, TxnStatus
from posd.core.totals import totals_of
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Fed,
    Playbook,
    after_sales,
    answered,
    closed,
    done,
    not_told,
    offline_sale,
    ready,
    recorded,
    refers,
    refund,
    request_id,
    rules,
    sale,
    sent,
    settling,
    signed_in,
    taken_back,
    told,
    unbalanced,
    void,
)
from tests.core.test_core_advices import decided_closed

ADJUST, TIP, REFUND = TxnKind.ADJUST, TxnKind.TIP, TxnKind.REFUND
TRANSACTION, UPLOAD = ExchangeKind.TRANSACTION, ExchangeKind.UPLOAD


def tip(number: int, of: int, amount: int) -> Fed:
    return refers(TIP, number, of=of, amount=amount)


def tipped(amount: int = 1150, **changes: Any) -> Playbook:
    """A sale of 10.00, 1, with a tip, 2, that the host has; another sale, 9, was approved before it."""
    play = after_sales(1, rules(**changes)) >> tip(2, 1, amount) << told("tip-2", "00")
    return play >> sale(9) >> answered() << tip_on_its_way(2) >> answered()


def tip_on_its_way(number: int) -> Any:
    def check(play: Playbook) -> None:
        sent(TRANSACTION)(play)
        message = play.sent[-1].message
        assert isinstance(message, SendAdvice)
        assert message.transaction.request_id == request_id(number, "tip")

    return check


def totals(play: Playbook) -> tuple[int, int, int, int]:
    """Debits and credits of the open batch, amounts and counts, less the sale 9."""
    group = totals_of(play.state.transactions.values(), RULES).domestic
    nine = request_id(9) in play.state.transactions
    return (
        group.debit_minor - 1000 * nine,
        group.debit_count - nine,
        group.credit_minor,
        group.credit_count,
    )


# --- its amount ------------------------------------------------------------------------------------------------------


def test_a_tip_counts_in_place_of_its_sale() -> None:
    assert totals(tipped()) == (1150, 1, 0, 0)


@pytest.mark.parametrize(("percent", "most"), [(20, 1200), (15, 1150), (7, 1070), (100, 2000), (0, 1000)])
def test_a_tip_has_a_ceiling(percent: int, most: int) -> None:
    play = after_sales(1, rules(tip_percent_max=percent))
    play >> tip(2, 1, most + 1) << told("tip-2", Refusal.AMOUNT_DIFFERS)
    play >> tip(3, 1, most) << told("tip-3", "00")
    play >> tip(4, 1, most + 1) << told("tip-4", Refusal.AMOUNT_DIFFERS)  # of the sale, not of the sale with its tip


def test_a_fraction_of_a_cent_is_not_given() -> None:
    play = (
        after_sales(1, rules(tip_percent_max=15), amount=33) >> tip(2, 1, 38) << told("tip-2", Refusal.AMOUNT_DIFFERS)
    )
    play >> tip(3, 1, 37) << told("tip-3", "00")


def test_a_tip_that_was_in_the_sale_is_no_part_of_what_was_sold() -> None:
    def with_tip(play: Playbook) -> e.Event:
        fed = sale(1, 1100)
        assert callable(fed)
        event = fed(play)
        assert isinstance(event, e.TransactionRequested)
        return replace(event, tip_minor=100)

    play = ready() >> with_tip >> answered()
    play >> tip(2, 1, 1201) << told("tip-2", Refusal.AMOUNT_DIFFERS)
    play >> tip(3, 1, 1200) << told("tip-3", "00")


def test_a_tip_goes_down_to_nothing_and_not_below_the_sale() -> None:
    play = tipped()
    play >> tip(3, 1, 1050) << told("tip-3", "00")
    assert totals(play) == (1050, 1, 0, 0)
    play >> tip(4, 1, 1000) << told("tip-4", "00")
    assert totals(play) == (1000, 1, 0, 0)
    play >> tip(5, 1, 999) << told("tip-5", Refusal.AMOUNT_DIFFERS)
    play >> tip(6, 1, 1100) << told("tip-6", "00")
    assert totals(play) == (1100, 1, 0, 0)


def test_a_tip_on_an_adjusted_sale_is_a_part_of_what_it_was_adjusted_to() -> None:
    play = ready() >> offline_sale(1) >> refers(ADJUST, 2, of=1, amount=500)
    play >> tip(3, 1, 601) << told("tip-3", Refusal.AMOUNT_DIFFERS)
    play >> tip(4, 1, 600) << told("tip-4", "00") >> tip(5, 1, 500) << told("tip-5", "00")
    assert totals(play) == (500, 1, 0, 0)


def test_when_the_batch_is_closed_a_tip_stays() -> None:
    play = closed(tipped()) >> signed_in()
    play >> tip(3, 1, 1000) << told("tip-3", Refusal.NO_ORIGINAL)


@pytest.mark.parametrize(
    ("parameters", "percent"),
    [
        ({}, 20),
        ({TIP_PERCENT: "15"}, 15),
        ({TIP_PERCENT: "00"}, 20),
        ({TIP_ALLOWED: "1"}, 20),
        ({TIP_ALLOWED: "0", TIP_PERCENT: "15"}, 0),
        ({TIP_ALLOWED: "1", TIP_PERCENT: "30"}, 30),
        ({TIP_PERCENT: "x"}, 20),
    ],
)
def test_the_hosts_ceiling_is_taken_where_its_parameters_are(parameters: dict[str, str], percent: int) -> None:
    state = replace(ready().state, parameters=parameters)
    assert applied(rules(parameters_applied=True), state).tip_percent_max == percent
    assert applied(RULES, state).tip_percent_max == 20


# --- what the host is told -------------------------------------------------------------------------------------------


def test_a_later_tip_names_the_sale() -> None:
    play = tipped() >> tip(3, 1, 1050) >> sale(4) >> answered() << tip_on_its_way(3)
    message = play.sent[-1].message
    assert isinstance(message, SendAdvice)
    assert message.root == play.txn(1)
    assert message.original == play.txn(2, "tip")


def test_a_later_tip_names_the_sale_in_the_upload_too() -> None:
    play = settling(tipped() >> tip(3, 1, 1050) >> sale(4) >> answered() >> answered()) >> unbalanced()
    play >> answered() << sent(UPLOAD, transactions=(play.txn(3, "tip"),), root=play.txn(1))


def test_d33_a_tip_that_waits_keeps_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.core.fold.settlement.EARLIER_MAX", 0)
    play = after_sales(1, rules(settle_hold_max_s=0.0)) >> tip(2, 1, 1150) >> tip(3, 1, 1050)
    play = decided_closed(play >> SETTLE_NOW >> signed_in())
    state = apply(play.state, r.BatchSkipped(SettlementCause.OPERATOR, None), play.wall)
    assert state.advices[request_id(3, "tip")].status in UNDELIVERED
    assert state.find(request_id(1)) is not None


# --- voided and given back -------------------------------------------------------------------------------------------


def test_a_sale_with_a_tip_is_voided_with_it() -> None:
    """The sale stays in debit with its tip, its void counts in credit with the same amount (reference 1.6)."""
    play = tipped() >> void(3, of=1) << told("void-3", Refusal.AMOUNT_DIFFERS)
    play >> void(4, of=1, amount=1150) << sent(TRANSACTION, original=play.txn(2, "tip"), root=play.txn(1))
    play >> answered() << told("void-4", "00")
    assert totals(play) == (1150, 1, 1150, 1)
    play >> tip(5, 1, 1100) << told("tip-5", Refusal.ALREADY_VOIDED)
    play >> void(6, of=1, amount=1150) << told("void-6", Refusal.ALREADY_VOIDED)


def test_a_void_waits_until_the_host_has_the_tip() -> None:
    play = after_sales(1) >> tip(2, 1, 1150) >> void(3, of=1, amount=1150) << not_told << tip_on_its_way(2)
    play >> answered() << sent(TRANSACTION)
    assert isinstance(play.sent[-1].message, SendTransaction)
    lost = after_sales(1) >> tip(2, 1, 1150) >> void(3, of=1, amount=1150) << tip_on_its_way(2)
    lost.wait(31) << told("void-3", Refusal.NOT_SENT)


def test_a_void_that_is_reversed_leaves_the_sale_with_its_tip() -> None:
    play = tipped() >> void(3, of=1, amount=1150)
    play.wait(31) << sent(ExchangeKind.REVERSAL, original=play.txn(1))
    play >> answered()
    assert totals(play) == (1150, 1, 0, 0)
    play >> tip(5, 1, 1100) << told("tip-5", "00")


def test_d17_a_void_of_a_sale_with_a_tip_is_taken_back_while_it_is_on_its_way() -> None:
    play = tipped() >> void(3, of=1, amount=1150) << sent(TRANSACTION)
    play >> taken_back(3, 1150, what="void") << told("back-3", "00")


def test_a_sale_with_a_tip_is_not_taken_back_by_its_own_reversal() -> None:
    """Its answer has arrived, or nobody could have added a tip: what is left is the void."""
    tipped() >> taken_back(1) << told("back-1", Refusal.NOT_REVERSIBLE)


def test_nor_is_one_that_was_voided_with_its_tip() -> None:
    """The void has given the money back; a reversal beside it could do so a second time."""
    play = tipped() >> void(3, of=1, amount=1150) >> answered()
    play >> taken_back(1) << told("back-1", Refusal.NOT_REVERSIBLE)
    assert not play.state.reversals
    assert totals(play) == (1150, 1, 1150, 1)


def test_refunds_give_back_up_to_the_amount_with_the_tip() -> None:
    play = tipped() >> refers(REFUND, 3, of=1, amount=1151) << told("refund-3", Refusal.AMOUNT_DIFFERS)
    play >> refers(REFUND, 4, of=1, amount=500) >> answered() << told("refund-4", "00")
    play >> refers(REFUND, 5, of=1, amount=651) << told("refund-5", Refusal.AMOUNT_DIFFERS)
    play >> refers(REFUND, 6, of=1, amount=650) >> answered() << told("refund-6", "00")
    play >> tip(7, 1, 1200) << told("tip-7", Refusal.ALREADY_USED)


def test_refunds_of_a_closed_batch_give_back_the_tip_too() -> None:
    play = (
        closed(tipped()) >> signed_in() >> refers(REFUND, 3, of=1, amount=1150) >> answered() << told("refund-3", "00")
    )
    play >> refers(REFUND, 4, of=1, amount=1) << told("refund-4", Refusal.AMOUNT_DIFFERS)


def test_a_refund_goes_by_what_the_host_has() -> None:
    """While it has not been given the tip: the sale's own amount. Both together never give back too much."""
    play = after_sales(1) >> tip(2, 1, 1150) >> refers(REFUND, 3, of=1, amount=1150) << tip_on_its_way(2)
    play.wait(31) << told("refund-3", Refusal.NOT_SENT)  # with the others that waited behind a silent host
    play >> refers(REFUND, 4, of=1, amount=1001) << told("refund-4", Refusal.NOT_SENT)
    play >> refers(REFUND, 5, of=1, amount=900) >> answered() << told("refund-5", "00")
    play.until_sent(TRANSACTION) << tip_on_its_way(2) >> answered("94")
    play >> refers(REFUND, 6, of=1, amount=251) << told("refund-6", Refusal.AMOUNT_DIFFERS)
    play >> refers(REFUND, 7, of=1, amount=250) >> answered() << told("refund-7", "00")


def test_a_refund_goes_by_a_lowered_tip_before_the_host_has_that() -> None:
    """Else it would give back what the lowered tip, delivered after it, does not take any more."""
    play = tipped() >> tip(3, 1, 1000) >> refers(REFUND, 4, of=1, amount=1150) << not_told << tip_on_its_way(3)
    play.wait(31) << told("refund-4", Refusal.NOT_SENT)
    play >> refers(REFUND, 5, of=1, amount=1001) << told("refund-5", Refusal.NOT_SENT)
    play >> refers(REFUND, 6, of=1, amount=1000) >> answered() << told("refund-6", "00")


# --- refused by the host ---------------------------------------------------------------------------------------------


def refused_tip() -> Playbook:
    play = after_sales(1) >> tip(2, 1, 1200) << told("tip-2", "00") >> sale(9) >> answered() << tip_on_its_way(2)
    return play >> answered("61")


def test_a_tip_that_the_host_refused_may_be_corrected() -> None:
    play = refused_tip() >> tip(3, 1, 1100) << told("tip-3", "00")
    assert totals(play) == (1100, 1, 0, 0)
    play >> sale(4) >> answered() << tip_on_its_way(3)
    message = play.sent[-1].message
    assert isinstance(message, SendAdvice)
    assert (message.original, message.root) == (play.txn(1), play.txn(1)), "the host has no other"
    play >> answered() << recorded(r.AdviceAcknowledged)
    assert play.state.advices[request_id(2, "tip")].status is AdviceStatus.REFUSED


def test_a_tip_that_the_host_refused_is_in_the_way_of_a_void_and_not_of_a_refund() -> None:
    play = refused_tip()
    for amount in (1000, 1200):
        play >> void(3, of=1, amount=amount) << told("void-3", Refusal.ALREADY_USED)
    play >> refers(REFUND, 4, of=1, amount=1001) << told("refund-4", Refusal.AMOUNT_DIFFERS)
    play >> refers(REFUND, 5, of=1, amount=400) >> answered() << told("refund-5", "00")
    play >> e.ResolveAdvice("c", "anna", "given in cash", request_id(2, "tip")) << done()
    assert totals(play) == (1000, 1, 400, 1)
    other = refused_tip() >> e.ResolveAdvice("c", "anna", "given in cash", request_id(2, "tip")) << done()
    other >> void(5, of=1) >> answered() << told("void-5", "00")
    assert totals(other) == (1000, 1, 1000, 1)


# --- and the sale under it -------------------------------------------------------------------------------------------


def by_till(fed: Fed) -> Fed:
    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, from_till=True)

    return event


def test_d16_who_adds_a_tip_has_the_sale() -> None:
    """It must not be reversed for want of a confirmation any more: the tip would be left alone."""
    play = ready(rules(confirm_within_s=30.0)) >> by_till(sale(1)) >> answered()
    play >> tip(2, 1, 1100) << told("tip-2", "00") << recorded(r.AnswerHandedOver, request_id=request_id(1))
    play.wait(3600)
    assert (play.txn(1).status, totals(play)) == (TxnStatus.APPROVED, (1100, 1, 0, 0))


def test_d16_a_tip_that_comes_when_the_sale_is_reversed_is_refused() -> None:
    play = ready(rules(confirm_within_s=30.0)) >> by_till(sale(1)) >> answered()
    play.skip_time(30) >> tip(2, 1, 1100) << told("tip-2", Refusal.NO_ORIGINAL)
    assert play.txn(1).status is TxnStatus.UNKNOWN


def test_refunds_and_voids_of_a_sale_without_a_tip_are_as_before() -> None:
    play = after_sales(1) >> refund(2) << sent(TRANSACTION, original=None)
    play >> answered() >> void(3, of=1) >> answered() << told("void-3", "00")
