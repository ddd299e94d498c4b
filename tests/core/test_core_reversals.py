"""A reversal: before the next sale, growing gaps, durable attempts, never dropped; what counts as its end (D11)."""

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerClass, ExchangeKind, MacCheck
from posd.core.effects import Refusal
from posd.core.rules import Why
from posd.core.state import ReversalStatus, TxnStatus
from tests.core.playbook import (
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answer_to,
    answered,
    balanced,
    closed,
    done,
    late,
    not_recorded,
    quiet,
    ready,
    recorded,
    request_id,
    rules,
    sale,
    sent,
    signed_in,
    told,
)

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL
TOTALS = ExchangeKind.TOTALS
OF = request_id(1)


def owed(play: Playbook | None = None) -> Playbook:
    """A sale timed out, its reversal is in flight."""
    play = (play or ready()) >> sale(1)
    return play.wait(30) << sent(REVERSAL, reason="98")


def seen(play: Playbook | None = None) -> Playbook:
    """The host approved with a bad MAC; the reversal is in flight."""
    return (play or ready()) >> sale(1) >> answered("00", MacCheck.BAD) << sent(REVERSAL, reason="A0")


def reversal(play: Playbook):
    return play.state.reversals[OF]


def test_acknowledged_by_00() -> None:
    play = owed() >> answered("00") << recorded(r.ReversalAcknowledged, code="00", flagged=False) << quiet
    assert play.txn().status is TxnStatus.REVERSED
    play.wait(3600) << quiet


def test_it_repeats_the_stan_of_its_original() -> None:
    play = owed()
    assert play.state.exchange.stan == play.txn().stan
    before = play.state.stan
    play.wait(30)
    play.wait(5) << sent(REVERSAL)
    assert play.state.stan == before


def test_it_goes_before_the_next_sale() -> None:
    play = ready() >> sale(1) >> e.LinkDown("reset") >> sale(2) >> e.LinkUp() << sent(REVERSAL)
    play >> answered("00") << sent(TRANSACTION)


def test_a_waiting_sale_does_not_wait_for_the_gap() -> None:
    play = owed() >> answered("96") << quiet
    play >> sale(2) << sent(REVERSAL) >> answered("00") << sent(TRANSACTION)


def test_a_sale_behind_a_reversal_that_fails_is_answered_not_sent() -> None:
    owed() >> answered("96") >> sale(2) >> answered("96") << told("sale-2", Refusal.NOT_SENT) << quiet


def test_gaps_grow_and_attempts_are_counted() -> None:
    play = owed(ready(rules(reversal_attempts_max=9)))
    gaps = []
    for attempt in range(1, 6):
        assert reversal(play).attempts == attempt
        play >> answered("96") << recorded(r.ReversalRefused, code="96") << quiet
        before = play.mono
        play.wait(play.engine.next_deadline_s(play.now) - before) << sent(REVERSAL)
        gaps.append(play.mono - before)
    assert gaps == sorted(gaps)
    assert gaps[-1] > 4 * gaps[0]


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda play: play.wait(30), "98"),
        (lambda play: play >> answered("96"), "06"),
        (lambda play: play >> answered("00", MacCheck.BAD), "A0"),
        (lambda play: play >> answered("00", MacCheck.ABSENT), "A0"),
        (lambda play: play >> answered("00", mismatch="field 4 differs"), "06"),
        (lambda play: play >> e.HostUnreadable("garbage", REVERSAL, play.txn().stan), "98"),
    ],
    ids=["no answer", "refused", "bad mac", "no mac", "mismatch", "unreadable"],
)
def test_the_next_attempt_says_what_went_wrong(happens, reason) -> None:
    """Reference 1.10."""
    play = owed()
    happens(play)
    play.wait(5) << sent(REVERSAL, reason=reason)


def test_attempts_survive_a_restart() -> None:
    play = owed() >> answered("96")
    play.wait(8) << sent(REVERSAL)
    play.killed() << recorded(r.ReversalUnanswered, because=Why.RESTART)
    assert reversal(play).attempts == 2
    play >> e.LinkUp() << quiet
    play.wait(20) << sent(REVERSAL)
    assert reversal(play).attempts == 3


def test_a_line_that_is_down_is_not_an_attempt() -> None:
    play = owed() >> e.LinkDown("reset")
    play.wait(3600)
    assert reversal(play).attempts == 1
    play >> e.LinkUp() << sent(REVERSAL)


def test_stuck_is_alerted_shown_still_owed_and_retried_slowly() -> None:
    play = owed()
    for _ in range(3):
        play >> answered("96")
        play.wake() << sent(REVERSAL)
    play >> answered("96") << recorded(r.ReversalStuck, attempts=4) << alerted("reversal_stuck")
    assert reversal(play).status is ReversalStatus.STUCK
    play.wait(1799) << quiet
    play.wait(1) << sent(REVERSAL)
    play >> answered("96") << not_recorded(r.ReversalStuck)
    play.killed() >> e.LinkUp() << sent(REVERSAL) >> answered("00") << recorded(r.ReversalAcknowledged)


def test_a_person_may_have_it_tried_now() -> None:
    play = owed() >> answered("96") >> e.RetryReversals("c", "anna", None) << done() << sent(REVERSAL)
    play >> answered("00") >> e.RetryReversals("d", "anna", None) << done() << quiet


def test_a_stuck_one_gets_its_attempts_anew() -> None:
    play = owed(ready(rules(reversal_attempts_max=1))) >> answered("96") << recorded(r.ReversalStuck)
    play >> e.RetryReversals("c", "anna", OF) << sent(REVERSAL)
    assert reversal(play).status is ReversalStatus.OWED
    assert reversal(play).attempts == 1


def test_a_stuck_one_may_be_wanted_while_it_is_in_flight() -> None:
    play = owed(ready(rules(reversal_attempts_max=1))) >> answered("96") << recorded(r.ReversalStuck)
    play.wake() << sent(REVERSAL)
    play >> e.RetryReversals("c", "anna", OF) << done() << quiet
    play >> answered("96") << recorded(r.ReversalRefused)
    play.wake() << sent(REVERSAL)


def test_a_named_person_may_end_it_but_not_while_it_is_in_flight() -> None:
    play = owed() >> e.ResolveReversal("c", "anna", "refunded in cash", OF) << done(False)
    play >> answered("96") >> e.ResolveReversal("d", "anna", "refunded in cash", OF) << done()
    play << recorded(r.ReversalResolved, by="anna", reason="refunded in cash")
    assert play.txn().status is TxnStatus.RESOLVED
    play.wait(7200) << quiet
    play >> e.ResolveReversal("e", "anna", "again", OF) << done(False)


# --- D11 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["12", "25"])
def test_d11_a_denial_acknowledges_what_was_never_seen_approved(code: str) -> None:
    play = owed() >> answered(code) << recorded(r.ReversalAcknowledged, code=code, flagged=False)
    assert play.txn().status is TxnStatus.REVERSED


@pytest.mark.parametrize("code", ["12", "25"])
def test_d11_a_denial_of_a_seen_approval_is_a_conflict(code: str) -> None:
    play = seen() >> answered(code) << recorded(r.ReversalConflict, code=code) << alerted("reversal_conflict") << quiet
    play.wait(7200) << quiet
    play >> e.RetryReversals("c", "anna", None) << quiet
    play >> sale(2) << sent(TRANSACTION) >> answered()
    play >> e.ResolveReversal("d", "anna", "the acquirer says it is gone", OF) << done()
    assert play.txn().status is TxnStatus.RESOLVED


def test_d11_a_conflict_after_a_gap_leaves_no_deadline_behind() -> None:
    play = seen() >> answered("96")
    play.wait(5) << sent(REVERSAL)
    play >> answered("25") << recorded(r.ReversalConflict)
    assert play.engine.next_deadline_s(play.now) is None


def test_d11_a_denial_after_an_unanswered_attempt_is_flagged() -> None:
    play = seen()
    play.wait(30)
    play.wait(5) << sent(REVERSAL)
    play >> answered("25") << recorded(r.ReversalAcknowledged, code="25", flagged=True)


def test_d11_a_refused_attempt_is_not_an_unanswered_one() -> None:
    play = seen() >> answered("96")
    play.wait(5)
    play >> answered("25") << recorded(r.ReversalConflict)


def test_d11_a_late_approval_makes_a_later_denial_a_conflict() -> None:
    owed() >> late(TRANSACTION, 2) << recorded(r.LateAnswer) >> answered("25") << recorded(r.ReversalConflict)


def test_d11_a_late_approval_after_a_denial_opens_it_again() -> None:
    play = owed() >> answered("25") >> late(TRANSACTION, 2) << recorded(r.ReversalReopened)
    play << alerted("reversal_reopened") << sent(REVERSAL) >> answered("00") << recorded(r.ReversalAcknowledged)
    assert play.txn().status is TxnStatus.REVERSED


def test_d11_a_late_answer_that_says_nothing_reopens_a_denied_reversal_too() -> None:
    """After all the host did get the original, and may have booked it (D9, D11; found by the world, seed 2372)."""
    play = owed() >> answered("25") >> late(TRANSACTION, 2, code="68", answer_class=AnswerClass.UNCONFIRMED)
    play << recorded(r.ReversalReopened) << sent(REVERSAL)
    owed() >> answered("25") >> late(TRANSACTION, 2, code="51") << not_recorded(r.ReversalReopened) << quiet
    owed() >> answered("00") >> late(TRANSACTION, 2, code="68") << not_recorded(r.ReversalReopened) << quiet


def test_d11_a_late_approval_after_00_changes_nothing() -> None:
    play = owed() >> answered("00") >> late(TRANSACTION, 2) << not_recorded(r.ReversalReopened) << quiet
    assert play.txn().status is TxnStatus.REVERSED


def test_d11_a_late_approval_with_a_wrong_mac_opens_it_again_too() -> None:
    """A needless reversal is harmless (D9)."""
    play = owed() >> answered("25") >> late(TRANSACTION, 2, mac=MacCheck.BAD) << recorded(r.ReversalReopened)
    play << sent(REVERSAL)


def test_d11_a_late_approval_after_a_denial_opens_it_again_also_after_the_close() -> None:
    play = owed() >> answered("25") >> sale(2) >> answered()
    closed(play) >> signed_in() << quiet
    play >> late(TRANSACTION, 2) << recorded(r.ReversalReopened) << sent(REVERSAL)
    assert play.txn(1).status is TxnStatus.UNKNOWN


def test_d11_a_late_approval_of_what_a_person_ended_is_alerted() -> None:
    play = owed() >> answered("96") >> e.ResolveReversal("d", "anna", "x", OF) >> late(TRANSACTION, 2)
    play << alerted("late_approval") << not_recorded(r.ReversalReopened)


def test_d11_a_denial_after_the_close_is_a_conflict_though_no_approval_was_seen() -> None:
    """The host may have put it into its totals: only an open batch lets a denial pass."""
    play = owed(ready(rules(settle_hold_max_s=0.0)) >> sale(2) >> answered()) >> answered("96")
    play >> SETTLE_NOW << sent(SIGN_IN) >> signed_in() << sent(REVERSAL) >> answered("96") << sent(TOTALS)
    play >> balanced() >> answered() << recorded(r.BatchClosed) >> signed_in()
    play.until_sent(REVERSAL) >> answered("25") << recorded(r.ReversalConflict) << alerted("reversal_conflict")


def test_d11_what_was_opened_again_is_still_owed_after_a_restart() -> None:
    play = owed() >> answered("25") >> late(TRANSACTION, 2) << recorded(r.ReversalReopened)
    play.killed() >> e.LinkUp()
    play.until_sent(REVERSAL) >> answered("25") << recorded(r.ReversalAcknowledged, flagged=True)


def test_d11_a_second_late_approval_opens_nothing_twice() -> None:
    play = owed() >> answered("25") >> late(TRANSACTION, 2) >> answered("00")
    play >> late(TRANSACTION, 2) << not_recorded(r.ReversalReopened) << quiet


def test_d11_success_codes_are_a_knob() -> None:
    play = owed(ready(rules(reversal_success_codes=frozenset({"00", "40"})))) >> answered("25")
    play << recorded(r.ReversalRefused, code="25")
    play.wait(5) << sent(REVERSAL)
    play >> answered("40") << recorded(r.ReversalAcknowledged, code="40", flagged=False)


# --- D12 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["77", "99", "A0"])
def test_d12_one_sign_in_is_free_and_the_second_counts(code: str) -> None:
    play = owed() >> answered(code) << recorded(r.ReversalNeedsSignIn) << sent(SIGN_IN)
    assert reversal(play).attempts == 0
    play >> signed_in() << sent(REVERSAL)
    play >> answered(code) << recorded(r.ReversalRefused) << sent(SIGN_IN)
    assert reversal(play).attempts == 1
    play >> signed_in() << quiet
    play.wait(5) << sent(REVERSAL)


def test_d12_a_host_that_always_wants_a_sign_in_ends_in_stuck() -> None:
    play = owed()
    for _ in range(200):
        kind = play.state.exchange.kind if play.state.exchange else None
        if kind is REVERSAL:
            play >> answered("A0")
        elif kind is SIGN_IN:
            play >> signed_in()
        else:
            play.wait(10)
        if reversal(play).status is ReversalStatus.STUCK:
            break
    assert reversal(play).status is ReversalStatus.STUCK


def test_several_are_sent_oldest_first() -> None:
    play = ready(rules(reversal_attempts_max=1)) >> sale(1)
    play.wait(30)
    play >> answered("96") << recorded(r.ReversalStuck) >> sale(2) << sent(TRANSACTION)
    play.wait(30) << sent(REVERSAL)
    play >> answered("96") >> e.RetryReversals("c", "anna", None) << sent(REVERSAL)
    assert play.state.exchange.request_id == request_id(1)
    play >> answered("00") << sent(REVERSAL)
    assert play.state.exchange.request_id == request_id(2)
    play >> answered("00") << quiet


def test_a_duplicate_of_its_answer_changes_nothing() -> None:
    play = owed()
    answer = e.HostAnswered(answer_to(play, "00"))
    play >> answer >> answer << quiet << not_recorded(r.ReversalAcknowledged)


def test_a_late_answer_to_an_earlier_attempt_is_taken_for_the_one_in_flight() -> None:
    """Both attempts are the same message: its answer is worth the same."""
    play = owed()
    first = e.HostAnswered(answer_to(play, "00"))
    play.wait(30)
    play.wait(5) << sent(REVERSAL)
    play >> first << recorded(r.ReversalAcknowledged)


def test_nothing_is_dropped_over_a_month() -> None:
    play = owed() >> e.LinkDown("reset")
    play.skip_time(30 * 86400) >> e.LinkUp()
    assert OF in play.state.reversals
    while play.state.exchange is None or play.state.exchange.kind is not REVERSAL:
        play >> signed_in() if play.state.exchange else play.wait(60)
    play >> answered("00") << recorded(r.ReversalAcknowledged)


def test_an_approved_sale_has_no_reversal() -> None:
    assert not after_sales(3).state.reversals
