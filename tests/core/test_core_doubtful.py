"""Advices that the host refused after it may have booked them: counted, uploaded, and settled by the totals (D14)."""

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, GroupCount, GroupResult, HostTotals, Totals
from posd.core.rules import TxnKind
from posd.core.state import AdviceStatus, Settled, TxnStatus
from posd.core.totals import totals_of
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Fed,
    Playbook,
    after_sales,
    alerted,
    answered,
    done,
    late,
    not_recorded,
    offline_sale,
    quiet,
    ready,
    recorded,
    refers,
    request_id,
    sale,
    sent,
    signed_in,
    told,
)

TRANSACTION, TOTALS, UPLOAD = ExchangeKind.TRANSACTION, ExchangeKind.TOTALS, ExchangeKind.UPLOAD
OFFLINE, TIP = "offline_sale", "tip"


def status(play: Playbook, number: int = 1, what: str = OFFLINE) -> AdviceStatus:
    return play.state.advices[request_id(number, what)].status


def silence(play: Playbook) -> Playbook:
    """The attempt in flight is not answered; the next one leaves after the next approval."""
    play.wait(30) << recorded(r.AdviceUnanswered, may_have_arrived=True)
    play.wait(60)
    return play >> sale(90) >> answered() << sent(TRANSACTION)


def doubtful(code: str = "14") -> Playbook:
    """An offline sale, 1, of 10.00: no answer to its first attempt, a refusal to the second. Beside it two sales."""
    play = ready() >> offline_sale(1) << told("offline_sale-1", "00") >> sale(2) >> answered() << sent(TRANSACTION)
    return silence(play) >> answered(code)


def totals(play: Playbook) -> Totals:
    return totals_of(play.state.transactions.values(), RULES)


def asked(play: Playbook) -> Playbook:
    return play >> SETTLE_NOW >> signed_in() << sent(TOTALS)


def host_has(minor: int, count: int, word: GroupResult = GroupResult.UNBALANCED) -> Fed:
    """The host's totals: so much in so many debits."""
    theirs = Totals(GroupCount(debit_minor=minor, debit_count=count), GroupCount())
    return answered("", host_totals=HostTotals(theirs, word, GroupResult.BALANCED))


def test_d14_refused_after_silence_it_may_have_been_booked() -> None:
    play = doubtful() << alerted("advice_doubtful") << recorded(r.AdviceRefused, code="14", may_be_booked=True)
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.DOUBTFUL, TxnStatus.REFUSED)
    assert (totals(play).domestic.debit_minor, totals(play).domestic.debit_count) == (3000, 3)
    play >> sale(3) >> answered() << quiet
    play >> offline_sale(1) << told("offline_sale-1", "00")


@pytest.mark.parametrize("code", ["14", "61"])
def test_d14_refused_at_once_it_was_not(code: str) -> None:
    play = ready() >> offline_sale(1) >> sale(2) >> answered() >> answered(code) << alerted("advice_refused")
    play << recorded(r.AdviceRefused, may_be_booked=False)
    assert status(play) is AdviceStatus.REFUSED


def test_d15_a_part_that_nobody_asked_for_may_be_booked() -> None:
    """An advice says what has happened: there is no part of it, and the host says that it took one."""
    play = ready() >> offline_sale(1) >> sale(2) >> answered() >> answered("10", amount_minor=400)
    play << alerted("advice_doubtful") << recorded(r.AdviceRefused, code="10", may_be_booked=True)
    assert status(play) is AdviceStatus.DOUBTFUL


def test_d14_an_attempt_that_never_left_leaves_no_doubt() -> None:
    play = ready() >> offline_sale(1) >> sale(2) >> answered() << sent(TRANSACTION)
    play >> e.NeverLeft(play.engine.agenda.exchange_token or "", "the line took nothing")
    play.wait(60) >> sale(3) >> answered() >> answered("14") << recorded(r.AdviceRefused, may_be_booked=False)


def test_d14_94_at_once_is_a_reused_number_or_this_very_advice() -> None:
    """The line may have doubled the frame and lost the other answer: nobody can tell, so nobody is told it is sure."""
    play = ready() >> offline_sale(1) >> sale(2) >> answered() >> answered("94") << alerted("stan_reused")
    assert status(play) is AdviceStatus.DOUBTFUL
    play >> late(TRANSACTION, play.txn(1, OFFLINE).stan) << recorded(r.AdviceAcknowledged)
    assert status(play) is AdviceStatus.DONE


def test_d14_totals_that_agree_say_that_it_was_booked() -> None:
    play = asked(doubtful()) >> host_has(3000, 3, GroupResult.BALANCED) << recorded(r.AdviceSettled, how=Settled.TOTALS)
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.DONE, TxnStatus.APPROVED)


def test_d14_totals_that_agree_without_it_say_that_it_was_not() -> None:
    play = asked(doubtful()) >> host_has(2000, 2) << recorded(r.AdviceNotBooked, request_id=request_id(1, OFFLINE))
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.REFUSED, TxnStatus.REFUSED)
    play << sent(UPLOAD)
    assert request_id(1, OFFLINE) in play.state.settlement.items, "it is uploaded all the same: a person may book it"


@pytest.mark.parametrize(("minor", "count"), [(1999, 2), (2000, 3), (2500, 3), (0, 0)])
def test_d14_other_totals_say_nothing(minor: int, count: int) -> None:
    play = asked(doubtful()) >> host_has(minor, count) << not_recorded(r.AdviceNotBooked)
    assert status(play) is AdviceStatus.DOUBTFUL


def test_d14_nothing_is_said_while_something_else_is_open() -> None:
    """Another offline sale for the same price may be what the host lacks."""
    play = doubtful() >> offline_sale(5) >> SETTLE_NOW >> signed_in()
    play.until_sent(TRANSACTION)
    for _ in range(60):
        if play.state.exchange is not None and play.state.exchange.kind is TOTALS:
            break
        play.wake()
    play >> host_has(3000, 3) << not_recorded(r.AdviceNotBooked)
    assert (status(play), status(play, 5)) == (AdviceStatus.DOUBTFUL, AdviceStatus.STUCK)


def test_d14_a_doubtful_tip_leaves_its_sale_when_the_totals_say_so() -> None:
    def told_tip() -> Playbook:
        play = after_sales(1) >> refers(TxnKind.TIP, 2, of=1, amount=1150) >> sale(3) >> answered() << sent(TRANSACTION)
        return asked(silence(play) >> answered("61"))

    play = told_tip()
    assert totals(play).domestic == GroupCount(debit_minor=3150, debit_count=3)
    play >> host_has(3000, 3) << recorded(r.AdviceNotBooked)
    assert status(play, 2, TIP) is AdviceStatus.REFUSED
    with_tip = told_tip() >> host_has(3150, 3, GroupResult.BALANCED) << recorded(r.AdviceSettled)
    assert status(with_tip, 2, TIP) is AdviceStatus.DONE


def test_d14_what_was_corrected_since_is_not_counted_twice() -> None:
    """A refused tip with a later one in its place: without the refused, the sale with the later tip."""
    play = after_sales(1) >> refers(TxnKind.TIP, 2, of=1, amount=1200) >> sale(3) >> answered() >> answered("61")
    play >> refers(TxnKind.TIP, 4, of=1, amount=1100) >> sale(5) >> answered() << sent(TRANSACTION) >> answered()
    play >> offline_sale(6) >> sale(7) >> answered() << sent(TRANSACTION)
    play = asked(silence(play) >> answered("14"))
    assert totals(play).domestic == GroupCount(debit_minor=6100, debit_count=6)
    play >> host_has(5100, 5) << recorded(r.AdviceNotBooked, request_id=request_id(6, OFFLINE))


def test_d14_a_person_may_end_it() -> None:
    of = request_id(1, OFFLINE)
    play = doubtful() >> e.ResolveAdvice("c", "anna", "the acquirer has not booked it", of) << done()
    assert (status(play), totals(play).domestic.debit_minor) == (AdviceStatus.RESOLVED, 2000)


def test_a_refused_tip_with_another_in_its_place_is_over() -> None:
    play = after_sales(1) >> refers(TxnKind.TIP, 2, of=1, amount=1200) >> sale(3) >> answered() >> answered("61")
    refused = play.state.advices[request_id(2, TIP)]
    assert not play.state.is_over(refused)
    play >> refers(TxnKind.TIP, 4, of=1, amount=1100)
    assert play.state.is_over(play.state.advices[request_id(2, TIP)])
    play >> e.ResolveAdvice("c", "anna", "paid in cash", request_id(4, TIP)) << done()
    assert not play.state.is_over(play.state.advices[request_id(2, TIP)]), "it counts again"
