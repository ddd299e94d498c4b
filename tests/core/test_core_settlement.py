"""The close of a batch: due once, drained, asked, uploaded, ended; every step durable, a batch closed at most once."""

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupCount, GroupResult, HostTotals, Totals
from posd.core.effects import BatchEnded, Refusal, SendUpload
from posd.core.rules import Side
from posd.core.state import CloseOutcome, ReversalStatus, SettlementCause, SettlementPhase, TxnStatus
from posd.values import Minor, Rrn
from tests.core.playbook import (
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    closed,
    done,
    host_totals,
    late,
    not_alerted,
    not_recorded,
    quiet,
    ready,
    recorded,
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
    wall_ms,
    zeros,
)

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL
TOTALS, UPLOAD, TRAILER = ExchangeKind.TOTALS, ExchangeKind.UPLOAD, ExchangeKind.TRAILER


def phase(play: Playbook) -> SettlementPhase:
    return play.state.settlement.phase


# --- due -------------------------------------------------------------------------------------------------------------


def test_the_schedule_makes_it_due() -> None:
    play = after_sales(1)
    play.until("2026-03-02 22:59:59") << quiet
    play.until("2026-03-02 23:00:00") << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun, cause=SettlementCause.SCHEDULE) << sent(TOTALS)
    assert play.state.settlement.due_ms == wall_ms("2026-03-02 23:00:00")


def test_days_off_are_caught_up_as_one() -> None:
    play = after_sales(1)
    play.skip_time(5 * 86400).killed() >> e.LinkUp() << sent(SIGN_IN) >> signed_in() << sent(TOTALS)
    play >> balanced() >> answered() << recorded(r.BatchClosed) >> signed_in() << quiet
    play.until("2026-03-08 22:59:59") << quiet
    assert len(play.every(r.SettlementBegun)) == 1


def test_by_hand() -> None:
    play = closed(after_sales(1)) >> signed_in() << quiet
    play >> SETTLE_NOW << done(False) << quiet


def test_by_hand_twice_settles_once() -> None:
    play = after_sales(1) >> SETTLE_NOW << done() >> SETTLE_NOW << done()
    play >> signed_in() << sent(TOTALS) >> SETTLE_NOW << done(False) >> balanced() >> answered() >> signed_in() << quiet
    assert len(play.every(r.BatchClosed)) == 1


def test_d18_a_close_by_hand_before_the_moment_does_not_satisfy_it() -> None:
    """D18."""
    play = closed(after_sales(1)) >> signed_in() >> sale(2) >> answered()
    play.until("2026-03-02 23:00:00") << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun, cause=SettlementCause.SCHEDULE)


def test_a_close_begun_at_the_moment_satisfies_it() -> None:
    play = ready(at="2026-03-02 22:59:00") >> sale(1) >> answered()
    play.until("2026-03-02 23:00:00")
    play >> signed_in() >> balanced() >> answered() >> signed_in() >> sale(2) >> answered() << quiet
    play.wait(3600) << quiet


def test_an_empty_batch_is_skipped_without_a_message_and_once() -> None:
    play = ready()
    play.until("2026-03-02 23:00:00") << recorded(r.BatchSkipped, cause=SettlementCause.SCHEDULE) << quiet
    play.wait(3600) << not_recorded(r.BatchSkipped)
    assert play.state.batch.number == 7, "the host has no reason to count on"
    assert len(play.every(r.BatchSkipped)) == 1


def test_an_empty_batch_needs_no_line() -> None:
    play = ready() >> e.LinkDown("off")
    play.until("2026-03-02 23:00:00") << recorded(r.BatchSkipped)


def test_a_batch_with_only_declines_and_reversed_sales_is_skipped() -> None:
    play = ready() >> sale(1) >> answered("51") >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("00")
    play >> SETTLE_NOW << done(False)
    play.until("2026-03-02 23:00:00") << recorded(r.BatchSkipped) << quiet


def test_a_skip_forgets_nothing_that_can_still_be_asked_for() -> None:
    """A repeat of yesterday's sale is still answered from state, and can still be taken back."""
    play = closed(after_sales(1)) >> signed_in()
    play.until("2026-03-03 23:00:00") << recorded(r.BatchSkipped)
    play >> sale(1, reply="again") << told("again", "00") << quiet
    play >> taken_back(1) << told("back-1", "00") << sent(REVERSAL)


def test_d18_many_ticks_at_one_due_moment_settle_once() -> None:
    play = after_sales(1)
    play.until("2026-03-02 23:00:00") >> e.Tick() << quiet >> e.Tick() << quiet >> signed_in() << sent(TOTALS)
    play >> e.Tick() << quiet >> balanced() >> e.Tick() << quiet >> answered() >> signed_in() >> e.Tick() << quiet
    assert len(play.every(r.SettlementBegun)) == 1


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)], ids=["spring forward", "autumn back"]
)
def test_exactly_once_on_the_days_of_summer_time(day: str, hours: int) -> None:
    """Europe/Berlin: 02:30 does not exist in spring and comes twice in autumn."""
    from datetime import time

    play = ready(rules(zone="Europe/Berlin", due_times=(time(2, 30),)), at=f"{day} 00:10:00")
    start = play.wall
    play >> sale(1) >> answered()
    play >> e.Tick()
    begun_after = []
    number = 2
    while play.wall < start + hours * 3_600_000:
        play.wait(900)
        if play.state.exchange is not None:
            begun_after.append((play.wall - start) / 3_600_000)
            play >> signed_in() >> balanced() >> answered() >> signed_in()
        play >> sale(number) >> answered()
        number += 1
    assert len(begun_after) == 1
    assert len(play.every(r.BatchClosed)) == 1


def test_a_clock_set_back_over_the_moment_does_not_settle_twice() -> None:
    play = after_sales(1)
    play.until("2026-03-02 23:00:00")
    play >> signed_in() >> balanced() >> answered() >> signed_in() >> sale(2) >> answered()
    play.set_clock("2026-03-02 22:00:00") >> e.Tick() << quiet
    play.until("2026-03-02 23:30:00") << quiet
    play.until("2026-03-03 23:00:00") << sent(SIGN_IN)


@pytest.mark.parametrize("wrong", ["2099-01-01 12:00:00", "2026-03-03 23:30:00", "2026-03-02 23:30:00"])
def test_a_skip_under_a_clock_far_ahead_does_not_swallow_the_next_moment(wrong: str) -> None:
    """P6: the clock was wrong when the empty batch was skipped."""
    play = ready()
    play.set_clock(wrong) >> e.Tick() << recorded(r.BatchSkipped)
    play.set_clock("2026-03-02 22:00:00") >> e.Tick() << recorded(r.BatchSkipped) >> sale(1) >> answered() << quiet
    play.until("2026-03-02 23:00:00") << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun, due_ms=wall_ms("2026-03-02 23:00:00"))


def test_a_skip_under_a_clock_far_ahead_does_not_double_the_moment_before() -> None:
    """P6: found by the world, seed 286."""
    play = after_sales(1)
    play.until("2026-03-02 23:00:00")
    play >> signed_in() >> balanced() >> answered() >> signed_in()
    play.set_clock("2026-03-04 01:20:00") >> e.Tick() << recorded(r.BatchSkipped)
    play.set_clock("2026-03-03 18:00:00") >> sale(2) >> answered() >> e.Tick() << quiet
    play.until("2026-03-03 23:00:00") << sent(SIGN_IN)


def test_money_that_came_under_a_clock_far_ahead_is_due_by_the_hosts_time() -> None:
    """P6: the skip seems older than the clock when the clock is right again (found by the world, seed 181)."""
    play = ready()
    play.set_clock("2026-03-03 08:00:00") >> e.Tick() << recorded(r.BatchSkipped)
    facts = AnswerFacts("00", rrn=Rrn("000000000009"), host_date="0302", host_time="150000", scheme="CUP")
    play >> sale(1) >> answered(facts=facts) << recorded(r.SignInStarted, for_settlement=True)
    play >> signed_in(ahead_s=-61_200) << alerted("settlement_postponed")
    play.set_clock("2026-03-03 09:00:00").until_sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun, due_ms=wall_ms("2026-03-02 23:00:00"))


def test_a_sale_after_an_empty_night_is_due_in_the_evening() -> None:
    play = ready()
    play.until("2026-03-02 23:00:00") << recorded(r.BatchSkipped)
    play.until("2026-03-03 09:00:00") >> sale(1) >> answered() >> e.Tick() << quiet
    play.until("2026-03-03 23:00:00") << sent(SIGN_IN)


def test_a_lane_opened_under_a_clock_far_ahead_settles_all_the_same() -> None:
    play = ready(at="2099-01-01 12:00:00")
    play.set_clock("2026-03-02 22:00:00") >> sale(1) >> answered() << quiet
    play.until("2026-03-02 23:00:00") << recorded(r.SignInStarted, for_settlement=True)


@pytest.mark.parametrize("ahead_s", [301, -301, 86400, -86400])
def test_d24_clocks_that_differ_too_much_postpone(ahead_s: int) -> None:
    """D24."""
    play = after_sales(1) >> SETTLE_NOW << sent(SIGN_IN) >> signed_in(ahead_s=ahead_s)
    play << recorded(r.SettlementPostponed) << alerted("settlement_postponed") << not_recorded(r.SettlementBegun)
    play << quiet >> sale(2) << sent(TRANSACTION) >> answered()
    play.wait(60) << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun)


def test_d24_clocks_that_differ_a_little_settle() -> None:
    after_sales(1) >> SETTLE_NOW >> signed_in(ahead_s=295) << recorded(r.SettlementBegun) << not_alerted


def test_a_sign_in_before_the_close_that_fails_postpones() -> None:
    play = (
        after_sales(1) >> SETTLE_NOW >> answered("96") << recorded(r.SettlementPostponed) << alerted("sign_in_failed")
    )
    play.wait(2) << sent(SIGN_IN)
    play >> signed_in()
    play.wait(60) << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun) << sent(TOTALS)


# --- draining --------------------------------------------------------------------------------------------------------


def test_draining_delivers_what_is_owed_first() -> None:
    play = after_sales(1) >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("96") >> SETTLE_NOW
    play << sent(SIGN_IN) >> signed_in() << recorded(r.SettlementBegun) << sent(REVERSAL)
    play >> answered("00") << sent(TOTALS)
    assert play.state.settlement.totals == Totals(GroupCount(Minor(1000), 1, 0, 0))


def test_d19_draining_refuses_no_sale() -> None:
    """D19."""
    play = after_sales(1) >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("96")
    play >> SETTLE_NOW >> signed_in() << sent(REVERSAL) >> answered("96") << quiet
    assert phase(play) is SettlementPhase.DRAINING
    play >> sale(3) << sent(REVERSAL) >> answered("00") << sent(TOTALS)
    play.wait(43) << told("sale-3", Refusal.NOT_SENT)


def test_d19_a_sale_while_draining_is_sent_and_counts() -> None:
    """What holds the totals is stuck, so it does not go first: the sale does, and is in the totals."""
    play = after_sales(1, rules(reversal_attempts_max=1)) >> sale(2) >> answered("68") >> answered("96")
    play << recorded(r.ReversalStuck) >> SETTLE_NOW >> signed_in() << sent(REVERSAL) >> answered("96") << quiet
    assert phase(play) is SettlementPhase.DRAINING
    play >> sale(3) << sent(TRANSACTION) >> answered() << told("sale-3", "00")
    play.until_sent(TOTALS)
    assert play.state.settlement.totals == Totals(GroupCount(Minor(2000), 2, 0, 0))


def test_d19_what_stays_owed_is_carried_over_under_its_old_number() -> None:
    """D19."""
    play = after_sales(1) >> sale(2) >> answered("68") << sent(REVERSAL)
    play.wait(30)
    play >> SETTLE_NOW << sent(SIGN_IN) >> signed_in() << sent(REVERSAL)
    begun = play.mono
    while play.state.exchange is not None and play.state.exchange.kind is REVERSAL:
        play.wait(30)
        if play.state.exchange is None:
            play.wait(play.engine.next_deadline_s(play.now) - play.mono)
    assert 900 <= play.mono - begun <= 960
    (
        play
        << recorded(r.ReversalCarriedOver, request_id=request_id(2))
        << alerted("reversal_carried_over")
        << sent(TOTALS)
    )
    play >> balanced() >> answered() >> signed_in(batch=8)
    assert play.state.last_close.carried_over == 1
    assert play.txn(2).status is TxnStatus.UNKNOWN
    play >> sale(3)
    while play.state.exchange.kind is not TRANSACTION or play.state.exchange.request_id != request_id(3):
        play >> answered("00")
        if play.state.exchange is None:
            play.wait(1800)
    assert play.state.reversals[request_id(2)].status is not ReversalStatus.OWED


def test_what_was_carried_over_does_not_hold_the_next_close() -> None:
    play = carried()
    play >> sale(3) << sent(REVERSAL)
    play.wait(30)
    play >> SETTLE_NOW
    assert play.state.settlement.wanted is None, "nothing in the open batch"


def carried() -> Playbook:
    """A reversal was carried over; the lane is idle in the next batch."""
    play = ready(rules(settle_hold_max_s=10.0, reversal_attempts_max=9)) >> sale(1) >> answered()
    play >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("96") >> SETTLE_NOW >> signed_in()
    play << sent(REVERSAL) >> answered("96")
    play.wait(10)
    while play.state.exchange is not None and play.state.exchange.kind is REVERSAL:
        play >> answered("96")
        play.wait(1)
    assert play.state.exchange.kind is TOTALS
    return play >> balanced() >> answered() << recorded(r.BatchClosed) >> signed_in(batch=8)


def test_a_carried_over_reversal_names_its_own_batch() -> None:
    play = carried()
    play.wait(300)
    assert play.state.exchange.kind is REVERSAL
    assert play.sent[-1].message.transaction.batch_number == 7
    play >> answered("00") << recorded(r.ReversalAcknowledged)
    assert play.txn(2).status is TxnStatus.REVERSED


def test_a_restart_while_draining_begins_the_hold_anew() -> None:
    play = after_sales(1) >> sale(2) >> answered("68") >> answered("96") >> SETTLE_NOW >> signed_in() << sent(REVERSAL)
    play >> answered("96")
    play.killed() >> e.LinkUp() << sent(REVERSAL) >> answered("00") << sent(TOTALS)


def test_a_batch_that_drains_to_nothing_is_skipped() -> None:
    play = after_sales(1) >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("96") >> SETTLE_NOW >> signed_in()
    play << sent(REVERSAL) >> taken_back(1) >> answered("00") << sent(REVERSAL) >> answered("00")
    play << recorded(r.BatchSkipped, cause=SettlementCause.OPERATOR) << quiet


# --- totals ----------------------------------------------------------------------------------------------------------


def test_the_totals_count_voids_as_credits_and_leave_the_sale_in_debit() -> None:
    play = after_sales(3, amount=500) >> void(4, of=1, amount=500) >> answered()
    play >> sale(5) >> answered(facts=_facts("VIS")) >> sale(6) >> answered("51")
    settling(play)
    assert play.state.settlement.totals == Totals(
        GroupCount(Minor(1500), 3, Minor(500), 1), GroupCount(Minor(1000), 1, 0, 0)
    )
    assert rules().kinds[play.txn(1).kind].side is Side.DEBIT


def _facts(scheme: str):
    from posd.core.answers import AnswerFacts

    return AnswerFacts("00", scheme=scheme)


def test_balanced_closes_opens_the_next_and_signs_in() -> None:
    play = settling(after_sales(2)) >> balanced() << sent(TRAILER, balanced=True, uploaded=0)
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED, next_number=8) << sent(SIGN_IN)
    assert any(isinstance(x, BatchEnded) for x in play.drafts[-1].effects)
    assert play.state.batch.number == 8
    assert play.state.batch.identity == 2
    assert play.state.last_close.outcome is CloseOutcome.AGREED
    play >> signed_in() << quiet


def test_d20_the_totals_are_repeated_with_the_same_stan_and_totals() -> None:
    """D20."""
    play = settling(after_sales(2))
    first = play.sent[-1].message
    play.wait(30) << recorded(r.TotalsUnanswered) << alerted("totals_unanswered")
    play.wait(60)
    assert play.sent[-1].message == first
    assert len([x for x in play.sent if x.kind is TOTALS]) == 2
    play >> balanced() << recorded(r.TotalsAnswered) << sent(TRAILER)


def test_d20_the_totals_are_not_asked_again_once_they_are_answered() -> None:
    play = settling(after_sales(1)) >> balanced() << sent(TRAILER)
    (play.killed() >> e.LinkUp()).wake() << sent(TRAILER)


def test_sales_are_answered_not_sent_from_the_totals_to_the_close() -> None:
    play = settling(after_sales(1)) >> sale(2) << quiet
    play.wait(43) << told("sale-2", Refusal.NOT_SENT)


def test_a_quick_close_lets_a_waiting_sale_through() -> None:
    play = settling(after_sales(1)) >> sale(2) >> balanced() >> answered() << sent(SIGN_IN) >> signed_in()
    play << sent(TRANSACTION)
    assert play.txn(2).batch_number == 8


# --- unbalanced ------------------------------------------------------------------------------------------------------


def test_unbalanced_uploads_eight_at_a_time_with_a_cursor_and_ends_with_202() -> None:
    play = settling(after_sales(20)) >> unbalanced() << alerted("settlement_out_of_balance") << sent(UPLOAD)
    sizes, stans = [], []
    while play.state.exchange.kind is UPLOAD:
        message = play.sent[-1].message
        sizes.append(len(message.transactions))
        stans.append(message.stan)
        play >> answered()
    assert sizes == [8, 8, 4]
    assert len(set(stans)) == 3
    play << sent(TRAILER, balanced=False, uploaded=20) >> answered()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)


def test_an_upload_in_doubt_is_repeated_with_its_own_number_and_items() -> None:
    play = settling(after_sales(9)) >> unbalanced() << sent(UPLOAD)
    first = play.sent[-1].message
    play.wait(30) << recorded(r.UploadUnanswered)
    play.wait(60)
    assert play.sent[-1].message == first
    (play.killed() >> e.LinkUp()).wake() << sent(UPLOAD)
    assert play.sent[-1].message == first
    assert play.state.settlement.uploaded == 0
    play >> answered() << recorded(r.UploadAcknowledged, cursor=8)


def test_d14_94_on_a_repeat_after_silence_means_done() -> None:
    """D14."""
    play = settling(after_sales(1)) >> unbalanced()
    play.wait(30)
    play.wait(60) << sent(UPLOAD)
    play >> answered("94") << recorded(r.UploadAcknowledged) << sent(TRAILER)


def test_94_without_an_earlier_silence_does_not_mean_done() -> None:
    """D14: it means a reused trace number."""
    play = settling(after_sales(1)) >> unbalanced() >> answered("96")
    play.wait(60) << sent(UPLOAD)
    play >> answered("94") << not_recorded(r.UploadAcknowledged)


def numbers_sent(play: Playbook) -> list[int]:
    message = play.sent[-1].message
    assert isinstance(message, SendUpload)
    return [txn.stan - play.txn(1).stan + 1 for txn in message.transactions]


def refused_to_the_end(play: Playbook) -> Playbook:
    """The message in flight is refused as often as it may be."""
    for _ in range(play.rules.settle_attempts_max - 1):
        play >> answered("96") << quiet
        play.wake() << sent(UPLOAD)
    return play >> answered("96")


def test_d21_items_that_are_refused_again_and_again_are_set_aside() -> None:
    """D21: eight that are refused together go one by one, so that only the one at fault is left out."""
    play = settling(after_sales(9)) >> unbalanced()
    refused_to_the_end(play) << not_recorded(r.UploadSetAside)
    play.wake() << sent(UPLOAD)
    assert numbers_sent(play) == [1]
    play >> answered() >> answered() << sent(UPLOAD)
    assert numbers_sent(play) == [3]
    play >> answered("96") << recorded(r.UploadSetAside, code="96", request_ids=(request_id(3),))
    play << alerted("upload_set_aside") << sent(UPLOAD)
    for number in range(4, 10):
        assert numbers_sent(play) == [number]
        play >> answered()
    play << sent(TRAILER, uploaded=8, balanced=False)
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)


def test_d21_a_kill_amid_the_single_items_goes_on_with_them() -> None:
    play = settling(after_sales(8)) >> unbalanced()
    refused_to_the_end(play)
    play.wake() << sent(UPLOAD)
    play >> answered() << sent(UPLOAD)
    assert numbers_sent(play) == [2]
    (play.killed() >> e.LinkUp()).until_sent(UPLOAD)
    assert numbers_sent(play) == [2]


def test_d21_what_the_host_has_no_batch_for_is_set_aside_together() -> None:
    """77 after 77, though signed in anew: no item is at fault, and the close must end."""
    play = settling(after_sales(9)) >> unbalanced()
    for _ in range(3):
        play >> answered("77") << not_recorded(r.UploadSetAside) << sent(SIGN_IN) >> signed_in()
        play.until_sent(UPLOAD)
    play >> answered("77") << recorded(r.UploadSetAside, code="77")
    assert len(play.state.settlement.set_aside) == 8


@pytest.mark.parametrize(
    "group", [GroupCount(99_999, 0, 0, 0), GroupCount(0, 2, 0, 0), GroupCount(2000, 2, 0, 7), GroupCount(2000, 2, 5, 0)]
)
def test_d20_totals_that_cannot_be_are_unconfirmed_and_close_nothing(group: GroupCount) -> None:
    nonsense = HostTotals(Totals(group), GroupResult.BALANCED, GroupResult.BALANCED)
    play = settling(after_sales(2)) >> answered("", host_totals=nonsense)
    play << recorded(r.SettlementUnconfirmed) << not_recorded(r.BatchClosed) << sent(SIGN_IN)


def test_d20_a_host_that_calls_other_totals_balanced_is_not_believed() -> None:
    other = HostTotals(Totals(GroupCount(Minor(3000), 3, 0, 0)), GroupResult.BALANCED, GroupResult.BALANCED)
    play = settling(after_sales(2)) >> answered("", host_totals=other) << alerted("host_contradicts_itself")
    play << sent(UPLOAD) >> answered() << sent(TRAILER, uploaded=2, balanced=False)
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)


def test_d21_silence_does_not_set_items_aside() -> None:
    """D21 counts refusals: a host that was silent three times and busy once has refused once."""
    play = settling(after_sales(1)) >> unbalanced()
    for _ in range(3):
        play.wait(30) << recorded(r.UploadUnanswered, code="")
        play.wake() << sent(UPLOAD)
    play >> answered("96") << not_recorded(r.UploadSetAside)


def test_only_the_unbalanced_group_is_uploaded() -> None:
    play = after_sales(1) >> sale(2) >> answered(facts=_facts("VIS"))
    settling(play)
    play >> answered("", host_totals=host_totals(play, GroupResult.BALANCED, GroupResult.UNBALANCED)) << sent(UPLOAD)
    assert [txn.request_id for txn in play.sent[-1].message.transactions] == [request_id(2)]


@pytest.mark.parametrize("step", [UPLOAD, TRAILER, TOTALS])
def test_a_host_that_forgot_us_in_the_middle_gets_a_sign_in(step: ExchangeKind) -> None:
    """A0 or 77 is no refusal of what was sent: sign in, then go on where it was."""
    play = settling(after_sales(9))
    if step is not TOTALS:
        play >> unbalanced()
    while play.state.exchange.kind is not step:
        play >> answered()
    message = play.sent[-1].message
    for _ in range(3):
        play >> answered("77") << sent(SIGN_IN) >> signed_in() << not_recorded(r.BatchClosed)
        play.until_sent(step)
        assert play.sent[-1].message == message
    assert not play.state.settlement.set_aside


# --- trailer ---------------------------------------------------------------------------------------------------------


def test_the_trailer_is_repeated_with_its_own_number() -> None:
    play = settling(after_sales(1)) >> balanced()
    first = play.sent[-1].message
    play.wait(30) << alerted("trailer_unanswered")
    play.wait(60)
    assert play.sent[-1].message == first
    (play.killed() >> e.LinkUp()).wake() << sent(TRAILER)
    assert play.sent[-1].message == first
    play >> answered("94") << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED)


def test_a_trailer_refused_twice_is_not_closed() -> None:
    """94 and 77 are worth something only after silence (D14)."""
    play = settling(after_sales(1)) >> balanced() >> answered("77") << sent(SIGN_IN) >> signed_in()
    play.wait(60) << sent(TRAILER)
    play >> answered("77") << not_recorded(r.BatchClosed)
    play = settling(after_sales(1)) >> balanced() >> answered("96")
    play.wait(60) << sent(TRAILER)
    play >> answered("94") << not_recorded(r.BatchClosed)


def test_a_batch_number_that_moved_on_while_the_trailer_is_in_doubt_is_evidence() -> None:
    play = settling(after_sales(1)) >> balanced() << sent(TRAILER)
    play.wait(30)
    play.wait(60) << sent(TRAILER)
    play >> answered("77") << sent(SIGN_IN) >> signed_in(batch=8)
    play << recorded(r.BatchClosed, next_number=8) << quiet
    assert play.state.batch.number == 8


def test_a_duplicate_of_the_last_answer_closes_nothing_twice() -> None:
    play = settling(after_sales(1)) >> balanced()
    stan = play.state.exchange.stan
    play >> answered() >> late(TRAILER, stan) << not_recorded(r.BatchClosed) >> signed_in()
    play >> late(TRAILER, stan) >> late(TOTALS, 3)
    assert len(play.every(r.BatchClosed)) == 1


# --- unconfirmed -----------------------------------------------------------------------------------------------------


def in_doubt() -> Playbook:
    """The totals were asked and the answer was lost; they are being repeated."""
    play = settling(after_sales(1))
    play.wait(30)
    return play.wait(60) << sent(TOTALS)


@pytest.mark.parametrize("answer", [answered("77"), answered("94"), zeros()], ids=["77", "94", "zeros"])
def test_d20_a_repeat_answered_as_if_it_were_closed_is_unconfirmed(answer) -> None:
    """D20: no upload, no batch change by itself, a sign-in."""
    play = in_doubt() >> answer << recorded(r.SettlementUnconfirmed) << alerted("settlement_unconfirmed")
    play << not_recorded(r.BatchClosed) << sent(SIGN_IN) >> signed_in() << quiet
    assert phase(play) is SettlementPhase.UNCONFIRMED
    play.wait(7200) << quiet
    assert play.state.batch.number == 7


def test_d20_a_batch_number_that_moved_on_is_evidence() -> None:
    play = in_doubt() >> answered("94") >> signed_in(batch=8)
    play << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED, next_number=8)
    play << alerted("batch_closed_unconfirmed") << quiet
    assert phase(play) is SettlementPhase.OPEN
    play >> sale(2) << sent(TRANSACTION)


def test_a_batch_number_that_went_back_is_no_evidence() -> None:
    play = in_doubt() >> answered("94") >> signed_in(batch=3) << not_recorded(r.BatchClosed)
    assert phase(play) is SettlementPhase.UNCONFIRMED


def test_a_person_says_that_it_is_closed() -> None:
    play = in_doubt() >> zeros() >> signed_in()
    play >> e.DecideSettlement("c", "anna", "the acquirer shows it as closed", True) << done()
    play << recorded(r.SettlementDecided, by="anna", reason="the acquirer shows it as closed", closed=True)
    play << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED, next_number=8, by="anna") << sent(SIGN_IN)
    play >> signed_in() >> e.DecideSettlement("c", "anna", "again", True) << done(False)


def test_a_person_says_that_it_is_not_closed() -> None:
    play = in_doubt() >> zeros() >> signed_in()
    first = play.state.settlement.stan
    play >> e.DecideSettlement("c", "anna", "the acquirer has nothing", False) << done() << sent(TOTALS, stan=first)
    play >> balanced() << sent(TRAILER)


def test_a_persons_decision_survives_a_kill() -> None:
    play = in_doubt() >> zeros() >> signed_in() >> e.DecideSettlement("c", "anna", "not closed", False) << sent(TOTALS)
    (play.killed() >> e.LinkUp()).wake() << sent(TOTALS)


def test_zeros_on_the_first_question_are_an_imbalance() -> None:
    settling(after_sales(1)) >> zeros() << recorded(r.TotalsAnswered) << sent(UPLOAD)


def test_94_on_the_first_question_is_asked_again() -> None:
    settling(after_sales(1)) >> answered("94") << recorded(r.TotalsUnanswered) << quiet


def test_a_person_may_end_a_close_that_the_host_refuses_for_ever() -> None:
    """Nothing may block a terminal for ever: after enough refusals a named person can decide."""
    play = settling(after_sales(1)) >> e.DecideSettlement("c", "anna", "too early", True) << done(False)
    for attempt in range(1, 5):
        play >> answered("30") << quiet
        play >> e.DecideSettlement("c", "anna", "by telephone", True) << done(attempt == 4)
        if attempt < 4:
            play.until_sent(TOTALS)
    assert phase(play) is SettlementPhase.OPEN
    play << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED, by="anna")


# --- takes place in between ------------------------------------------------------------------------------------------


def test_a_sale_taken_back_after_the_totals_is_reversed_after_the_close() -> None:
    play = settling(after_sales(2)) >> taken_back(1) << told("back-1", "00") << quiet
    play >> unbalanced() << sent(UPLOAD)
    play >> answered() >> answered() << recorded(r.BatchClosed) >> signed_in() << sent(REVERSAL)
    play >> answered("25") << recorded(r.ReversalConflict)
    play >> sale(3) >> answered() >> SETTLE_NOW >> signed_in() << sent(TOTALS), "an old conflict holds no new batch"


def test_a_reversal_owed_in_a_closed_batch_does_not_count_as_something_to_settle() -> None:
    play = settling(after_sales(1)) >> taken_back(1) >> balanced() >> answered() >> signed_in() << sent(REVERSAL)
    play >> answered("96") >> SETTLE_NOW << done(False)


def test_d18_a_settled_lane_never_settles_a_batch_twice() -> None:
    play = closed(after_sales(1)) >> signed_in() >> sale(2) >> answered()
    closed(play) >> signed_in()
    identities = [record.next_number for record in play.every(r.BatchClosed)]
    assert identities == [8, 9]


@pytest.mark.parametrize("without_sign_in", [True, False])
def test_the_sign_in_after_the_close_is_a_knob(without_sign_in: bool) -> None:
    play = settling(after_sales(1, rules(sign_in_after_close=not without_sign_in))) >> balanced() >> answered()
    play << (quiet if without_sign_in else sent(SIGN_IN))


def test_d18_a_terminal_that_never_pauses_is_settled_all_the_same() -> None:
    play = after_sales(1)
    play.until("2026-03-02 22:59:50") >> sale(2) << sent(TRANSACTION) >> sale(3, reply="waits")
    play.until("2026-03-02 23:00:05") >> answered() << sent(SIGN_IN)
    play >> signed_in() << sent(TOTALS) >> balanced() >> answered() >> signed_in() << sent(TRANSACTION)
    play >> answered() << told("waits", "00")


def test_d11_a_denial_after_the_close_is_a_conflict_if_no_approval_was_seen() -> None:
    play = carried()
    (owed,) = play.state.unended_reversals()
    play >> e.RetryReversals("once", "Li Wei", None) << sent(REVERSAL)
    play.wait(30) >> e.RetryReversals("again", "Li Wei", None) << sent(REVERSAL)
    assert play.state.reversals[owed.request_id].unanswered == 1
    play >> answered("25") << alerted("reversal_conflict")
    assert play.state.reversals[owed.request_id].status is ReversalStatus.CONFLICT
