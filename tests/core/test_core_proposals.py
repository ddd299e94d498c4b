"""Two people above a set amount: the first word is noted, the second acts, once; a kill between loses neither."""

from typing import Any

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.proposed import Deed, ProposalEnd
from posd.core.state import ReversalStatus, SettlementPhase, TxnStatus
from posd.values import Who
from tests.core.playbook import (
    Fed,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    done,
    not_alerted,
    not_recorded,
    offline_sale,
    quiet,
    ready,
    recorded,
    refund,
    request_id,
    rules,
    sale,
    sent,
    settling,
    signed_in,
)

LI, WANG = Who(1001, "lina"), Who(1002, "wang")
TWO = rules(
    two_people_above_minor=5_000, settle_maximum_minor=2_500, proposal_ends_after_s=3_600.0, reversal_attempts_max=1
)
NOTED = r.DecisionProposed


def approve(who: Who | None, by: str = "", up_to: int | None = None, number: int = 1) -> e.ApproveSettlement:
    return e.ApproveSettlement(f"approve-{who}-{number}", by or str(who), "slips checked", None, who, up_to)


def text(play: Playbook) -> str:
    return str([x for draft in play.drafts for x in draft.effects if hasattr(x, "waits")][-1].text)


def held(sales: int = 6, with_rules: Any = TWO) -> Playbook:
    """Due, and above the maximum; every sale is 10.00."""
    return after_sales(sales, with_rules).wait(13 * 3600 + 60) << recorded(r.SettlementHeld)


def test_the_first_word_is_noted_and_the_second_one_acts() -> None:
    play = held()
    play >> approve(LI, "Li Na") << done(False) << quiet << alerted("second_person_needed")
    play << recorded(NOTED, deed=Deed.APPROVE_SETTLEMENT, amount_minor=6_000, by="Li Na", who=LI)
    play << not_recorded(r.SettlementApproved)
    assert "a second person has to say the same" in text(play)
    play >> approve(WANG, "Wang Wei") << done() << sent(ExchangeKind.SIGN_IN)
    play << recorded(r.ProposalEnded, how=ProposalEnd.CONFIRMED, by="Wang Wei", who=WANG)
    play << recorded(r.SettlementApproved, by="Li Na and Wang Wei", who=WANG, gross_minor=6_000)
    assert not play.state.proposals
    play >> approve(LI) << done(False)
    assert len(play.every(r.SettlementApproved)) == 1


def test_a_person_is_a_user_and_not_a_name_that_was_typed() -> None:
    play = held() >> approve(LI, "Li Na") >> approve(LI, "Wang Wei", number=2) << done(False) << not_recorded(NOTED)
    assert "you said so already, as lina, uid 1001" in text(play)
    renamed = Who(1001, "wang")
    play >> approve(renamed, number=3) << done(False) << not_recorded(r.SettlementApproved)
    play >> approve(WANG, "Li Na") << done()


@pytest.mark.parametrize(("first", "second"), [(None, WANG), (LI, None), (None, None), (Who(), WANG)])
def test_nobody_known_is_never_one_of_two(first: Who | None, second: Who | None) -> None:
    held() >> approve(first) >> approve(second, number=2) << done(False) << not_recorded(r.SettlementApproved)


def test_at_the_set_amount_one_is_enough() -> None:
    held(5) >> approve(LI) << done() << recorded(r.SettlementApproved, by=str(LI)) << not_recorded(NOTED)


def test_what_has_grown_beyond_what_the_first_one_saw_begins_anew() -> None:
    play = held() >> approve(LI, "Li Na") >> sale(7) >> answered()
    play >> approve(WANG, "Wang Wei") << done(False) << recorded(r.ProposalEnded, how=ProposalEnd.OUTGROWN)
    play << recorded(NOTED, by="Wang Wei", amount_minor=7_000)
    assert "grown beyond the 60.00 that Li Na agreed to" in text(play)
    play >> approve(WANG, number=2) << done(False)
    play >> approve(LI, number=2) << done() << recorded(r.SettlementApproved, gross_minor=7_000)


def test_the_first_one_may_leave_room_for_the_sales_that_go_on() -> None:
    play = held() >> approve(LI, up_to=5_999) << done(False) << not_recorded(NOTED)
    assert "more than you would agree to" in text(play)
    play >> approve(LI, up_to=7_000, number=2) >> sale(7) >> answered() >> approve(WANG) << done()
    play << recorded(r.SettlementApproved, gross_minor=7_000)


def test_what_has_shrunk_to_the_set_amount_needs_nobody_else() -> None:
    play = held() >> approve(LI, "Li Na") >> e.ReversalRequested(request_id(6), 1000, "98", "back")  # type: ignore[arg-type]
    play >> approve(LI, "Li Na", number=2) << done() << recorded(r.ProposalEnded, how=ProposalEnd.ONE_IS_ENOUGH)
    play << recorded(r.SettlementApproved, by="Li Na", gross_minor=5_000)


def test_a_kill_between_the_two_words_loses_neither() -> None:
    play = held() >> approve(LI, "Li Na")
    play.killed(30.0) >> e.LinkUp()
    assert play.state.proposals["settlement"].by == "Li Na"
    play >> approve(LI, "Li Na") << done(False)  # the same wish again, after it was lost: it stands already
    play >> approve(WANG, "Wang Wei") << done()
    play.killed(1.0)
    assert play.state.settlement.approved_by == "Li Na and Wang Wei"
    assert not play.state.proposals


def test_it_ends_after_the_set_time() -> None:
    play = held() >> approve(LI)
    play.wait(3_599) << not_recorded(r.ProposalEnded)
    play.wait(1) << recorded(r.ProposalEnded, how=ProposalEnd.EXPIRED) << alerted("proposal_expired")
    play >> approve(WANG) << done(False) << recorded(NOTED)


def test_a_second_word_after_the_set_time_is_a_first_one() -> None:
    """Also where nothing has happened in between, so that nobody has noted the end."""
    play = held() >> approve(LI)
    play.skip_time(3_600) >> approve(WANG) << done(False) << recorded(r.ProposalEnded, how=ProposalEnd.EXPIRED)
    play << recorded(NOTED, who=WANG) << not_recorded(r.SettlementApproved)


def test_p6_an_end_that_a_wrong_clock_set_is_not_believed() -> None:
    play = held() >> approve(LI)
    play.wall -= 86_400_000
    play >> e.Tick() << recorded(r.ProposalEnded, how=ProposalEnd.EXPIRED)


def test_it_can_be_taken_back() -> None:
    play = held() >> approve(LI)
    play >> e.WithdrawProposal("w-1", "Wang Wei", "slips are missing", None, WANG) << done()
    play << recorded(r.ProposalEnded, how=ProposalEnd.WITHDRAWN, by="Wang Wei", reason="slips are missing", who=WANG)
    play >> e.WithdrawProposal("w-2", "Wang Wei", "again", None, WANG) << done(False)
    play >> approve(WANG, number=2) << done(False) << recorded(NOTED)


# --- each thing that is decided -----------------------------------------------------------------------------------


def stuck() -> Playbook:
    """A sale of 60.00 without an answer, nor its reversal."""
    play = ready(TWO) >> sale(1, 6_000)
    play.wait(30).wait(30) << recorded(r.ReversalStuck)
    return play


def ends_reversal(who: Who) -> e.ResolveReversal:
    return e.ResolveReversal(f"resolve-{who}", who.user, "the bank says so", request_id(1), who)


def test_a_reversal() -> None:
    play = (
        stuck() >> ends_reversal(LI) << done(False) << recorded(NOTED, deed=Deed.RESOLVE_REVERSAL, amount_minor=6_000)
    )
    assert play.state.reversals[request_id(1)].status is ReversalStatus.STUCK
    play >> ends_reversal(WANG) << done() << recorded(r.ReversalResolved, by="lina and wang", who=WANG)
    assert play.state.reversals[request_id(1)].status is ReversalStatus.RESOLVED


def test_what_the_host_ends_meanwhile_waits_for_nobody() -> None:
    play = stuck() >> ends_reversal(LI) << recorded(NOTED)
    play >> e.RetryReversals("again", "Wang", None) << sent(ExchangeKind.REVERSAL)
    play >> answered() << recorded(r.ProposalEnded, how=ProposalEnd.OVERTAKEN, by="") << not_alerted
    play >> ends_reversal(WANG) << done(False)
    assert not play.state.proposals


def test_an_advice() -> None:
    play = ready(TWO) >> offline_sale(1, 6_000) >> sale(2, 100) >> answered() << sent(ExchangeKind.TRANSACTION)
    play >> answered("12") << recorded(r.AdviceRefused)
    of = request_id(1, "offline_sale")
    play >> e.ResolveAdvice("a-1", "Li", "booked by hand", of, LI) << done(False) << recorded(NOTED, amount_minor=6_000)
    assert play.txn(1, "offline_sale").status is TxnStatus.REFUSED
    play >> e.ResolveAdvice("a-2", "Wang", "booked by hand", of, WANG) << done() << recorded(r.AdviceResolved)


def test_a_doubtful_advice() -> None:
    """Refused after a silence: the host may have it (D14)."""
    play = ready(TWO) >> offline_sale(1, 6_000) >> sale(2, 100) >> answered() << sent(ExchangeKind.TRANSACTION)
    play.wait(90) >> sale(3, 100) >> answered() >> answered("12") << alerted("advice_doubtful")
    of = request_id(1, "offline_sale")
    play >> e.ResolveAdvice("a-1", "Li", "not on the list", of, LI) << done(False) << recorded(NOTED)
    play >> e.ResolveAdvice("a-2", "Wang", "not on the list", of, WANG) << done() << recorded(r.AdviceResolved)


def in_doubt() -> Playbook:
    play = ready(TWO) >> refund(1, 6_000)
    return play.wait(30) << recorded(r.RefundInDoubt)


def says(who: Who, happened: bool) -> e.ResolveRefund:
    return e.ResolveRefund(f"{who}-{happened}", who.user, "on the bank's list", request_id(1, "refund"), happened, who)


def test_a_refund_and_both_have_to_say_the_same() -> None:
    play = in_doubt() >> says(LI, True) << done(False) << recorded(NOTED, choice="yes")
    play >> says(WANG, False) << done(False) << not_recorded(r.RefundResolved)
    assert "lina (lina, uid 1001) said 'yes'" in text(play)
    play >> says(WANG, True) << done() << recorded(r.RefundResolved, happened=True, by="lina and wang", who=WANG)


def test_an_unconfirmed_batch() -> None:
    play = settling(after_sales(6, rules(two_people_above_minor=5_000)))
    play.wait(30).until_sent(ExchangeKind.TOTALS) >> answered("94")
    assert play.state.settlement.phase is SettlementPhase.UNCONFIRMED
    play >> signed_in() << quiet
    one = e.DecideSettlement("d-1", "Li", "paid", True, LI)
    play >> one << done(False) << recorded(NOTED, deed=Deed.DECIDE_SETTLEMENT, choice="closed", amount_minor=6_000)
    play >> e.DecideSettlement("d-2", "Wang", "paid", False, WANG) << done(False) << not_recorded(r.SettlementDecided)
    play >> e.DecideSettlement("d-3", "Wang", "paid", True, WANG) << done() << recorded(r.BatchClosed, by="Li and Wang")
    assert not play.state.proposals


def test_a_batch_that_closes_without_them_takes_the_proposal_along() -> None:
    """Voided down to the maximum, it needs no approval any more."""
    play = held(6) >> approve(LI)
    for number in range(3, 7):
        play >> e.ReversalRequested(request_id(number), 1000, "98", "back")  # type: ignore[arg-type]
        play.until_sent(ExchangeKind.REVERSAL) >> answered()
    play.until_sent(ExchangeKind.SIGN_IN) >> signed_in() << recorded(r.ProposalEnded, how=ProposalEnd.OVERTAKEN)
    play.until_sent(ExchangeKind.TOTALS) >> balanced()
    assert not play.state.proposals


@pytest.mark.parametrize("setting", [0, 6_000])
def test_off_or_not_above_it_all_is_as_with_one(setting: int) -> None:
    fed: Fed = approve(LI)
    held(6, rules(settle_maximum_minor=2_500, two_people_above_minor=setting)) >> fed << done() << not_recorded(NOTED)
