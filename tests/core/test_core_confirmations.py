"""What a till has to confirm, and what it may name (D16): approvals that nobody confirmed are reversed, once."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import confirmations
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.rules import TxnKind, Why
from posd.core.state import SettlementPhase, TxnStatus
from tests.core.playbook import (
    SETTLE_NOW,
    Fed,
    Playbook,
    alerted,
    answered,
    closed,
    done,
    not_recorded,
    preauth,
    quiet,
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
    void,
)

TRANSACTION, REVERSAL, TOTALS = ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL, ExchangeKind.TOTALS
RULES = rules(confirm_within_s=60.0)


def till(fed: Fed, **changes: Any) -> Callable[[Playbook], e.Event]:
    """The same request, of a till."""

    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, from_till=True, **changes)

    return event


def names(number: int) -> e.OriginalPointer:
    return e.OriginalPointer(None, None, None, request_id(number))


def confirms(number: int, what: str = "sale") -> e.TillConfirmed:
    return e.TillConfirmed(request_id(number, what), "confirm")


def sold(count: int = 1) -> Playbook:
    play = ready(RULES)
    for number in range(1, count + 1):
        play >> till(sale(number)) >> answered()
    return play


# --- the till's word -------------------------------------------------------------------------------------------------


def test_d16_an_approval_that_is_not_confirmed_in_time_is_reversed() -> None:
    play = sold()
    play.wait(59) << quiet << not_recorded(r.ReversalOwed)
    play.wait(1) << recorded(r.ReversalOwed, why=Why.NOT_CONFIRMED, reason="98") << alerted("not_confirmed")
    play << sent(REVERSAL, reason="98") >> answered()
    assert play.txn().status is TxnStatus.REVERSED


def test_d16_a_confirmed_approval_stands() -> None:
    play = sold() >> confirms(1) << told("confirm", "00") << recorded(r.AnswerHandedOver)
    play >> confirms(1) << told("confirm", "00") << not_recorded(r.AnswerHandedOver)
    play.wait(600) << not_recorded(r.ReversalOwed)
    assert play.txn().status is TxnStatus.APPROVED


def test_d16_a_confirmation_that_comes_after_the_reversal_is_owed_is_refused() -> None:
    play = sold()
    play.wait(60) << sent(REVERSAL)
    play >> confirms(1) << told("confirm", Refusal.NOT_CONFIRMABLE) >> answered()
    play >> confirms(1) << told("confirm", Refusal.NOT_CONFIRMABLE)
    assert play.txn().status is TxnStatus.REVERSED


def test_d16_the_line_may_be_down_when_the_time_is_over() -> None:
    play = sold() >> e.LinkDown("cut")
    play.wait(60) << recorded(r.ReversalOwed, why=Why.NOT_CONFIRMED) << quiet
    play >> e.LinkUp() << sent(REVERSAL)


def test_d16_nothing_but_the_tills_word_confirms() -> None:
    """Not that its connection took the answer, not that it goes on, not that it asks again."""
    play = sold() >> e.HandedOver(request_id(1))
    play >> till(sale(1), reply_to="again") << told("again", "00")
    play >> till(sale(2)) >> answered() << not_recorded(r.AnswerHandedOver)
    play >> confirms(2)
    play.wait(60) << recorded(r.ReversalOwed, request_id=request_id(1))
    assert play.txn(2).status is TxnStatus.APPROVED


def test_d16_the_time_begins_again_with_a_restart() -> None:
    play = sold().wait(59).killed(off_s=86_400) >> e.LinkUp()
    play.wait(59) << not_recorded(r.ReversalOwed)
    play.wait(1) << recorded(r.ReversalOwed, why=Why.NOT_CONFIRMED)


def test_d16_what_was_wanted_stands_in_the_record() -> None:
    """Switched off and restarted: what was promised to be confirmed still is waited for; what comes later is not."""
    play = sold(2)
    play.rules = rules(confirm_within_s=0.0)
    play.killed() << not_recorded(r.ReversalOwed)
    play >> e.LinkUp() >> confirms(1) << told("confirm", "00")
    play.wait(confirmations.SWITCHED_OFF_S) << recorded(r.ReversalOwed, request_id=request_id(2), why=Why.NOT_CONFIRMED)
    play << sent(REVERSAL) >> answered()
    play >> till(sale(3)) >> answered()
    play.wait(600) << not_recorded(r.ReversalOwed)


def test_d16_the_totals_wait_for_open_confirmations() -> None:
    play = sold(2) >> confirms(1) >> SETTLE_NOW << done()
    play >> signed_in() << quiet
    assert play.state.settlement.phase is SettlementPhase.DRAINING
    play >> confirms(2) << sent(TOTALS)
    assert play.state.settlement.totals is not None
    assert play.state.settlement.totals.domestic.debit_count == 2


def test_d19_sales_that_never_pause_do_not_keep_the_totals_away() -> None:
    """A till sells on, each sale to be confirmed: after the hold the next one waits until the totals have left."""
    play = sold() >> SETTLE_NOW >> signed_in() << quiet
    for number in range(2, 60):
        play >> till(sale(number))
        if play.state.exchange is None:
            break
        play >> answered() >> confirms(number - 1)
        play.wait(30)
    else:
        raise AssertionError("it drains for ever")
    assert play.state.settlement.phase is SettlementPhase.DRAINING
    play >> confirms(number - 1) << sent(TOTALS)


def test_d16_the_totals_do_not_wait_for_ever() -> None:
    play = sold(2) >> confirms(1) >> SETTLE_NOW >> signed_in() << quiet
    play.wait(60) << sent(REVERSAL) >> answered() << sent(TOTALS)
    assert play.state.settlement.totals is not None
    assert play.state.settlement.totals.domestic.debit_count == 1


def test_d16_a_restart_amid_draining_waits_again() -> None:
    play = sold() >> SETTLE_NOW >> signed_in() << quiet
    play.killed() >> e.LinkUp() << quiet
    play >> confirms(1) << sent(TOTALS)


@pytest.mark.parametrize(("code", "status"), [("51", TxnStatus.DECLINED), ("68", TxnStatus.UNKNOWN)])
def test_d16_only_an_approval_is_confirmed(code: str, status: TxnStatus) -> None:
    play = ready(RULES) >> till(sale(1)) >> confirms(1) << told("confirm", Refusal.NOT_CONFIRMABLE)
    play >> answered(code)
    assert play.txn().status is status
    play >> confirms(1) << told("confirm", Refusal.NOT_CONFIRMABLE)
    play >> confirms(7) << told("confirm", Refusal.NO_ORIGINAL)
    play >> till(sale(7)) << not_recorded(r.RequestRefused)  # a confirmation of nothing reserves no id


def test_d16_a_terminal_and_a_refund_need_no_confirmation() -> None:
    play = ready(RULES) >> sale(1) >> answered() >> till(refund(2)) >> answered()
    play.wait(600) << not_recorded(r.ReversalOwed)
    assert play.txn().status is TxnStatus.APPROVED
    assert play.txn(2, "refund").status is TxnStatus.APPROVED


def test_d16_taken_back_while_it_waits() -> None:
    """It is reversed once, and the time that was set for it wakes nobody for ever."""
    play = sold() >> taken_back(1) << sent(REVERSAL) >> answered()
    play.wait(600) << not_recorded(r.ReversalOwed)
    assert len(play.every(r.ReversalOwed)) == 1


# --- what it may name ------------------------------------------------------------------------------------------------


def test_d16_who_voids_a_sale_has_it() -> None:
    play = sold() >> till(void(2, of=1), original=names(1)) << sent(TRANSACTION) << recorded(r.AnswerHandedOver)
    play >> answered() >> confirms(2, "void")
    play.wait(600) << not_recorded(r.ReversalOwed)


def test_d16_who_captures_a_hold_again_has_the_void_that_opened_it() -> None:
    """Reversed because its till never confirmed it, it would leave two completions of one hold."""
    play = ready(RULES) >> preauth(1) >> answered() >> refers(TxnKind.COMPLETION, 2, of=1) >> answered()
    play >> till(refers(TxnKind.COMPLETION_VOID, 3, of=2)) >> answered() << told("completion_void-3", "00")
    play >> refers(TxnKind.COMPLETION, 4, of=1) << sent(TRANSACTION)
    play << recorded(r.AnswerHandedOver, request_id=request_id(3, "completion_void")) >> answered()
    play.wait(600) << not_recorded(r.ReversalOwed)
    assert play.txn(3, "completion_void").status is TxnStatus.APPROVED


def test_a_void_that_is_not_confirmed_is_reversed_and_the_sale_stands() -> None:
    play = sold() >> till(void(2, of=1), original=names(1)) >> answered()
    play.wait(60) << sent(REVERSAL) >> answered()
    assert play.txn().status is TxnStatus.APPROVED
    assert play.txn(2, "void").status is TxnStatus.REVERSED


def test_a_sale_is_named_by_its_id() -> None:
    play = sold(2)
    play >> till(void(3, of=1), original=names(9)) << told("void-3", Refusal.NO_ORIGINAL) << quiet
    play >> till(void(4, of=1), original=names(2)) << recorded(r.AuthorisationStarted, original=request_id(2))


def test_a_settled_sale_is_refunded_and_not_voided() -> None:
    play = sold() >> confirms(1)
    closed(play)
    play >> signed_in()
    play >> till(void(2, of=1), original=names(1)) << told("void-2", Refusal.NO_ORIGINAL) << quiet
    play >> till(refund(3), original=names(1)) << sent(TRANSACTION) >> answered()
    assert play.txn(3, "refund").original == request_id(1)


def test_no_more_is_given_back_than_was_paid() -> None:
    play = sold() >> till(refund(2, 600), original=names(1)) >> answered()
    play >> till(refund(3, 401), original=names(1)) << told("refund-3", Refusal.AMOUNT_DIFFERS) << quiet
    play >> till(void(4, of=1), original=names(1)) << told("void-4", Refusal.ALREADY_USED) << quiet
    play >> till(refund(5, 400), original=names(1)) << sent(TRANSACTION)
    play.wait(30)
    assert play.txn(5, "refund").status is TxnStatus.IN_DOUBT
    play >> till(refund(6, 1), original=names(1)) << told("refund-6", Refusal.AMOUNT_DIFFERS) << quiet


def test_a_refund_that_was_declined_leaves_its_money() -> None:
    play = sold() >> till(refund(2), original=names(1)) >> answered("51")
    play >> till(refund(3), original=names(1)) << sent(TRANSACTION)


def test_a_voided_sale_is_not_refunded() -> None:
    play = sold() >> till(void(2, of=1), original=names(1)) >> answered()
    play >> till(refund(3), original=names(1)) << told("refund-3", Refusal.ALREADY_VOIDED) << quiet


def test_reference_and_tip_last() -> None:
    play = ready(RULES) >> till(sale(1), reference="R-1042", tip_minor=100) >> answered()
    play.killed()
    assert (play.txn().reference, play.txn().tip_minor, play.txn().kind) == ("R-1042", 100, TxnKind.SALE)
    settled = settling(sold() >> confirms(1))
    assert settled.state.settlement.phase is SettlementPhase.TOTALS
