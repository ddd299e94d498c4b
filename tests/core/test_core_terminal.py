"""What the terminal does to us: its own reversals, its own close, handing over (D16, D17, D25)."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, GroupCount, GroupResult, Totals
from posd.core.effects import Refusal, TotalsResult
from posd.core.rules import Why
from posd.core.state import SettlementCause, TxnStatus
from posd.core.totals import totals_of
from posd.values import Minor, RequestId, Stan
from tests.core.playbook import (
    CARD,
    TID,
    Playbook,
    after_sales,
    alerted,
    answered,
    balance,
    closed,
    forgot,
    not_alerted,
    not_recorded,
    not_told,
    quiet,
    ready,
    recorded,
    request_id,
    sale,
    sent,
    signed_in,
    taken_back,
    told,
    void,
)

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL


# --- its own 0400 ----------------------------------------------------------------------------------------------------


def test_d17_before_the_request_was_sent_it_cancels_it() -> None:
    """D17: nothing is owed, and the late original is refused."""
    play = ready() >> sale(9) >> sale(1) << quiet
    play >> taken_back(1) << told("back-1", "00") << told("sale-1", Refusal.NOT_SENT) << forgot(1)
    play << not_recorded(r.ReversalOwed)
    play >> answered() << quiet >> sale(1) << told("sale-1", Refusal.REVERSED_IN_ADVANCE) << quiet << forgot(1)


def test_d17_in_flight_it_is_answered_at_once_and_reversed_after_the_answer() -> None:
    play = ready() >> sale(1) >> taken_back(1) << told("back-1", "00") << recorded(r.ReversalOwed, why=Why.TERMINAL)
    play << told("sale-1", Refusal.OUTCOME_UNKNOWN) << quiet
    play >> answered("00") << recorded(r.OutcomeUnknown, approval_seen=True) << not_told << forgot(1)
    play << sent(REVERSAL, reason="98") >> answered("00")
    assert play.txn().status is TxnStatus.REVERSED


def test_d17_in_flight_and_never_answered() -> None:
    play = ready() >> sale(1) >> taken_back(1)
    play.wait(30) << forgot(1) << sent(REVERSAL)


def test_d17_in_flight_and_killed() -> None:
    play = ready() >> sale(1) >> taken_back(1)
    play.killed() >> e.LinkUp() << sent(REVERSAL)


def test_d17_after_the_approval_it_is_reversed() -> None:
    play = after_sales(1) >> taken_back(1) << told("back-1", "00") << sent(REVERSAL, reason="98")
    play >> taken_back(1) << told("back-1", "00") << not_recorded(r.ReversalOwed)
    play >> answered("00") >> taken_back(1) << told("back-1", "00") << quiet


def test_d17_of_what_is_unknown_it_is_answered_00_and_owed_once() -> None:
    play = ready() >> sale(1)
    play.wait(30) >> taken_back(1) << told("back-1", "00") << not_recorded(r.ReversalOwed)


def test_d17_of_a_declined_sale_it_is_answered_00_and_nothing_is_owed() -> None:
    ready() >> sale(1) >> answered("51") >> taken_back(1) << told("back-1", "00") << not_recorded(r.ReversalOwed)


def test_d17_without_an_original_it_leaves_a_tombstone() -> None:
    play = ready() >> taken_back(1) << told("back-1", Refusal.NO_ORIGINAL) << recorded(r.OriginalRefusedInAdvance)
    play >> taken_back(1) << told("back-1", Refusal.NO_ORIGINAL)
    assert play.state.tombstones == (request_id(1),)
    play.killed() >> e.LinkUp() >> sale(1) << told("sale-1", Refusal.REVERSED_IN_ADVANCE) << quiet


def test_d17_a_tombstone_outlives_the_close() -> None:
    play = closed(after_sales(1) >> taken_back(2)) >> signed_in() >> sale(2)
    play << told("sale-2", Refusal.REVERSED_IN_ADVANCE) << quiet


def test_d17_of_another_amount_it_is_refused() -> None:
    after_sales(1) >> taken_back(1, amount=999) << told("back-1", Refusal.AMOUNT_DIFFERS) << quiet


def test_d17_of_a_balance_inquiry_it_is_refused() -> None:
    play = ready() >> balance(1) >> answered()
    play >> taken_back(1, amount=0, what="balance") << told("back-1", Refusal.NOT_REVERSIBLE)


def test_d17_of_a_voided_sale_it_is_refused() -> None:
    play = after_sales(1) >> void(2, of=1) >> answered() >> taken_back(1) << told("back-1", Refusal.NOT_REVERSIBLE)
    play << alerted("terminal_reversal_refused") << quiet


def test_d17_of_a_sale_voided_in_a_closed_batch_it_is_refused() -> None:
    play = closed(after_sales(1) >> void(2, of=1) >> answered()) >> signed_in()
    play >> taken_back(1) << told("back-1", Refusal.NOT_REVERSIBLE) << quiet


def test_d17_of_a_void_it_makes_the_sale_voidable_again() -> None:
    play = after_sales(1) >> void(2, of=1) >> answered() >> taken_back(2, what="void") << sent(REVERSAL)
    play >> answered("00") >> void(3, of=1) << sent(TRANSACTION)


def test_d17_of_a_sale_of_the_closed_batch_it_is_owed_under_the_old_number() -> None:
    play = closed(after_sales(1)) >> signed_in() >> taken_back(1) << told("back-1", "00") << sent(REVERSAL)
    assert play.sent[-1].message.transaction.batch_number == 7
    play >> answered("25") << recorded(r.ReversalConflict) << alerted("reversal_conflict")


# --- handing over ----------------------------------------------------------------------------------------------------


def test_d16_that_an_answer_was_handed_over_rides_in_the_next_commit() -> None:
    """D16."""
    play = after_sales(1)
    assert play.state.unconfirmed == (request_id(1),)
    play >> e.HandedOver(request_id(1)) << not_recorded(r.AnswerHandedOver)
    play >> sale(2) << recorded(r.AnswerHandedOver, request_id=request_id(1))
    assert play.state.unconfirmed == ()
    assert play.txn(1).handed_over


def test_d16_the_terminals_next_request_confirms() -> None:
    """D16."""
    play = after_sales(1) >> sale(2) << recorded(r.AnswerHandedOver, request_id=request_id(1))
    assert play.state.unconfirmed == ()


def test_d16_what_was_taken_back_is_no_longer_a_question() -> None:
    play = after_sales(1) >> taken_back(1)
    assert play.state.unconfirmed == ()


def test_d16_what_was_not_handed_over_before_a_kill_stays_a_question() -> None:
    play = after_sales(1)
    play.killed() >> e.LinkUp() << quiet << not_recorded(r.ReversalOwed)
    assert play.state.unconfirmed == (request_id(1),)
    play >> sale(2) << recorded(r.AnswerHandedOver, request_id=request_id(1))


def test_d16_only_the_terminals_own_0400_reverses_an_approval() -> None:
    play = after_sales(1)
    play.wait(7200) << quiet
    assert play.txn().status is TxnStatus.APPROVED


def test_d16_a_repeat_does_not_confirm() -> None:
    play = after_sales(1) >> sale(1, reply="again") << not_recorded(r.AnswerHandedOver)
    assert play.state.unconfirmed == (request_id(1),)


# --- its own close ---------------------------------------------------------------------------------------------------


def close_with(totals: Totals) -> e.TerminalTotalsGiven:
    return e.TerminalTotalsGiven(1, totals, "close")


def told_totals(play: Playbook) -> TotalsResult:
    answers = [a.answer for draft in play.drafts for a in draft.to_terminal if a.reply_to == "close"]
    assert isinstance(answers[0], TotalsResult)
    return answers[0]


def test_d25_what_a_till_sold_under_the_same_id_is_not_in_the_terminals_books() -> None:
    """A till has no trace number of the terminal's; the terminal cannot know of its sale."""
    play = after_sales(1)
    for key in ("till-a", "till-b"):
        asked = sale(2, 700)(play)  # type: ignore[operator]
        known = replace(asked, request_id=RequestId(f"{TID}/-till/{key}"), terminal_batch=0, terminal_stan=Stan(0))
        play >> replace(known, from_till=True) >> answered()
    ours = Totals(GroupCount(Minor(1000), 1, 0, 0))
    play >> close_with(ours) << recorded(r.TerminalClosed, ours=ours)
    assert "terminal_totals_differ" not in play.alerts
    assert told_totals(play).domestic is GroupResult.BALANCED


def test_d25_the_terminals_close_is_compared_with_our_books_and_makes_ours_due() -> None:
    """D25."""
    ours = Totals(GroupCount(Minor(2000), 2, 0, 0))
    play = after_sales(2) >> close_with(ours) << recorded(r.SettlementWanted, cause=SettlementCause.TERMINAL)
    play << recorded(r.TerminalClosed, theirs=ours, ours=ours) << not_alerted << sent(SIGN_IN)
    assert told_totals(play).domestic is GroupResult.BALANCED
    play >> signed_in() << sent(ExchangeKind.TOTALS)


def test_d25_totals_that_differ_are_alerted_and_still_answered_at_once() -> None:
    play = after_sales(2) >> close_with(Totals(GroupCount(Minor(1000), 1, 0, 0))) << alerted("terminal_totals_differ")
    assert told_totals(play).domestic is GroupResult.UNBALANCED
    assert told_totals(play).foreign is GroupResult.BALANCED
    assert told_totals(play).totals.domestic.debit_count == 2


def test_d25_a_repeated_close_is_answered_from_state_and_wanted_once() -> None:
    play = after_sales(1) >> sale(2) << sent(TRANSACTION)
    totals = Totals(GroupCount(Minor(1000), 1, 0, 0))
    play >> close_with(totals) >> close_with(totals)
    assert told_totals(play).domestic is GroupResult.BALANCED
    assert len(play.every(r.SettlementWanted)) == 1


def test_d25_the_close_of_an_empty_batch_makes_nothing_due() -> None:
    ready() >> close_with(Totals()) << not_recorded(r.SettlementWanted) << quiet


def item(number: int, amount: int = 1000, card: str | None = CARD.digest, foreign: bool | None = False):
    return e.UploadedItem(Stan(number), Minor(amount), card, foreign)


def upload(*items: e.UploadedItem, stated: int | None = None, batch: int = 1) -> e.TerminalUploaded:
    return e.TerminalUploaded(batch, "upload", items, stated)


def closing(count: int = 2) -> Playbook:
    """The terminal has closed its batch of so many sales, and its totals are not ours."""
    return after_sales(count) >> close_with(Totals(GroupCount(Minor(1), 1, 0, 0)))


def test_d25_an_upload_that_is_as_our_books_have_it_is_accepted_without_an_alert() -> None:
    play = closing() >> upload(item(1), item(2)) << told("upload", "00") << not_alerted
    play << recorded(r.TerminalItemsCompared, terminal_batch=1, stans=(1, 2), differing=())
    play >> upload(stated=2) << told("upload", "00") << not_alerted
    play << recorded(r.TerminalUploadEnded, stated=2, seen=2, missing=())


@pytest.mark.parametrize(
    ("told_item", "what", "ours_minor"),
    [
        (item(1, 999), r.ItemDifference.AMOUNT, 1000),
        (item(1, card="another"), r.ItemDifference.CARD, 1000),
        (item(1, foreign=True), r.ItemDifference.GROUP, 1000),
        (item(7), r.ItemDifference.UNKNOWN_HERE, None),
    ],
)
def test_d25_each_item_that_differs_is_recorded_and_alerted(
    told_item: e.UploadedItem, what: r.ItemDifference, ours_minor: int | None
) -> None:
    play = closing() >> upload(told_item, item(2)) << told("upload", "00") << alerted("terminal_items_differ")
    (compared,) = play.every(r.TerminalItemsCompared)
    (found,) = compared.differing
    assert (found.what, found.theirs_minor, found.ours_minor) == (what, told_item.amount_minor, ours_minor)


def test_d25_an_item_that_our_books_do_not_count_is_a_difference() -> None:
    play = after_sales(1) >> sale(2) >> answered("51") >> close_with(Totals()) >> upload(item(1), item(2))
    (compared,) = play.every(r.TerminalItemsCompared)
    assert [found.what for found in compared.differing] == [r.ItemDifference.NOT_COUNTED_HERE]


def test_d25_what_the_terminal_did_not_upload_is_named_at_its_end() -> None:
    play = closing() >> upload(item(1)) >> upload(stated=2) << alerted("terminal_upload_incomplete")
    play << recorded(r.TerminalUploadEnded, stated=2, seen=1, missing=(request_id(2),))


def test_d25_nothing_is_missed_of_a_group_that_agreed() -> None:
    play = after_sales(2) >> close_with(Totals(GroupCount(Minor(2000), 2, 0, 0)))
    play >> upload(stated=0) << not_alerted << recorded(r.TerminalUploadEnded, stated=0, seen=0, missing=())


def test_d25_a_repeated_upload_and_a_repeated_end_are_answered_from_state() -> None:
    play = closing() >> upload(item(1, 999)) << alerted("terminal_items_differ")
    play >> upload(item(1, 999)) << told("upload", "00") << not_alerted << not_recorded(r.TerminalItemsCompared)
    play >> upload(stated=1) >> upload(stated=1) << told("upload", "00") << not_alerted
    assert len(play.every(r.TerminalItemsCompared)) == len(play.every(r.TerminalUploadEnded)) == 1


def test_d25_the_upload_moves_no_money() -> None:
    play = closing() >> upload(item(7, 99_999), stated=1)
    assert totals_of(play.state.transactions.values(), play.engine.rules).domestic == GroupCount(Minor(2000), 2, 0, 0)


def test_what_cannot_be_used_is_refused_by_name() -> None:
    ready() >> e.RequestUnusable("malformed", "field 4 is missing", "bad") << told("bad", Refusal.MALFORMED) << quiet
