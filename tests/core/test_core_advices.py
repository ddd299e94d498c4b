"""Advices: stored and answered at once, delivered until they are acknowledged, counted whatever the host says."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult, MacCheck, Totals
from posd.core.effects import Refusal, SendAdvice
from posd.core.fold.apply import apply
from posd.core.rules import TxnKind, UnmacedDecline, Why
from posd.core.state import AdviceStatus, Reversal, Settled, SettlementCause, SettlementPhase, TxnStatus
from posd.core.totals import totals_of
from posd.values import Rrn
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answered,
    closed,
    done,
    forgot,
    host_totals,
    late,
    not_alerted,
    not_recorded,
    offline_sale,
    preauth,
    quiet,
    ready,
    recorded,
    refers,
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

TRANSACTION, TOTALS = ExchangeKind.TRANSACTION, ExchangeKind.TOTALS
UPLOAD, TRAILER, SIGN_IN = ExchangeKind.UPLOAD, ExchangeKind.TRAILER, ExchangeKind.SIGN_IN
ADJUST, TIP, NOTICE = TxnKind.ADJUST, TxnKind.TIP, TxnKind.COMPLETION_NOTICE
OFFLINE = "offline_sale"


def stored(count: int = 1, **changes: Any) -> Playbook:
    play = ready(rules(**changes))
    for number in range(1, count + 1):
        play >> offline_sale(number) << told(f"offline_sale-{number}", "00")
    return play


def debits(play: Playbook) -> tuple[int, int]:
    totals = totals_of(play.state.transactions.values(), RULES).domestic
    return totals.debit_minor, totals.debit_count


def status(play: Playbook, number: int = 1, what: str = OFFLINE) -> AdviceStatus:
    return play.state.advices[request_id(number, what)].status


def on_its_way(number: int, what: str = OFFLINE) -> Callable[[Playbook], None]:
    def check(play: Playbook) -> None:
        sent(TRANSACTION)(play)
        message = play.sent[-1].message
        assert isinstance(message, SendAdvice), message
        assert message.transaction.request_id == request_id(number, what)

    return check


# --- stored ----------------------------------------------------------------------------------------------------------


def test_an_advice_is_answered_as_soon_as_it_is_durable_and_counts() -> None:
    play = ready() >> offline_sale(1) << told("offline_sale-1", "00") << quiet << recorded(r.AdviceStored)
    play << forgot(1, OFFLINE)
    assert (play.txn(1, OFFLINE).status, debits(play)) == (TxnStatus.STORED, (1000, 1))


def test_an_advice_needs_no_line() -> None:
    play = ready() >> e.LinkDown("cut") >> offline_sale(1) << told("offline_sale-1", "00")
    assert status(play) is AdviceStatus.OWED


def test_d6_an_advice_asked_again_is_answered_from_state() -> None:
    play = stored() >> offline_sale(1) << told("offline_sale-1", "00") << not_recorded(r.AdviceStored)
    play >> offline_sale(1, amount=999) << told("offline_sale-1", Refusal.KEY_REUSED)
    play.killed() >> offline_sale(1) << told("offline_sale-1", "00") << not_recorded(r.AdviceStored)


@pytest.mark.parametrize("code", ["00", "14"])
def test_d6_the_answer_stays_the_same_whatever_the_host_says(code: str) -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1) >> answered(code)
    play >> offline_sale(1) << told("offline_sale-1", "00")


def test_an_advice_without_a_card_number_is_refused() -> None:
    def no_card(play: Playbook) -> e.Event:
        fed = offline_sale(1)
        assert callable(fed)
        event = fed(play)
        assert isinstance(event, e.TransactionRequested)
        return replace(event, card=None)

    play = ready() >> no_card << told("offline_sale-1", Refusal.MALFORMED) << not_recorded(r.AdviceStored)
    assert debits(play) == (0, 0)


def test_while_a_batch_is_closed_an_advice_waits_and_is_of_the_next_one() -> None:
    play = settling(after_sales(1)) >> offline_sale(2)
    assert play.state.find(request_id(2, OFFLINE)) is None
    play >> answered("", host_totals=host_totals(play)) >> answered() << told("offline_sale-2", "00")
    assert play.txn(2, OFFLINE).batch == play.state.batch.identity


def test_d17_an_advice_that_waits_too_long_is_not_sent_and_not_stored() -> None:
    play = settling(after_sales(1)) >> offline_sale(2)
    play.wait(75) << told("offline_sale-2", Refusal.NOT_SENT)
    assert play.state.find(request_id(2, OFFLINE)) is None


def test_d22_a_full_batch_takes_no_new_offline_sale_and_every_adjustment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.core.limits.COUNT_REFUSE", 2)
    play = stored(2) >> offline_sale(3) << told("offline_sale-3", Refusal.BATCH_FULL)
    play >> refers(ADJUST, 4, of=1, amount=900) << told("adjust-4", "00")


# --- delivered -------------------------------------------------------------------------------------------------------


def test_one_advice_follows_each_online_success() -> None:
    play = stored(3)
    play.wait(3600) << quiet
    play >> sale(4) >> answered() << on_its_way(1) >> answered("00") << quiet
    assert [status(play, number) for number in (1, 2, 3)] == [AdviceStatus.DONE, AdviceStatus.OWED, AdviceStatus.OWED]
    play >> sale(5) >> answered("51") << quiet  # no success
    play >> sale(6) >> answered() << on_its_way(2)


def test_a_customer_who_waits_comes_before_the_advice() -> None:
    play = stored() >> sale(2) >> sale(3) >> answered() << sent(TRANSACTION)
    assert play.txn(3).status is TxnStatus.SENT
    play >> answered() << on_its_way(1)


def test_when_many_are_stored_all_of_them_go_before_the_next_customer() -> None:
    play = stored(2, advice_stored_max=3) >> offline_sale(3) << told("offline_sale-3", "00") << on_its_way(1)
    play >> sale(4) >> answered("00")
    play << sent(TRANSACTION)
    assert play.txn(4).status is TxnStatus.SENT  # below the maximum again: the customer's turn


def test_the_least_tried_goes_first() -> None:
    play = stored(2, advice_retry=RULES.reversal_retry) >> sale(3) >> answered() << on_its_way(1)
    play.wait(30)
    play >> e.Tick()
    play.wait(60) >> sale(4) >> answered() << on_its_way(2)


def test_an_adjustment_goes_after_what_it_adjusts() -> None:
    play = stored() >> refers(ADJUST, 2, of=1, amount=700) >> sale(3) >> answered() << on_its_way(1)
    play >> answered("00") >> sale(4) >> answered() << on_its_way(2, "adjust")
    message = play.sent[-1].message
    assert isinstance(message, SendAdvice)
    assert message.original == play.txn(1, OFFLINE)


def test_d9_an_attempt_without_an_answer_is_repeated_with_its_own_number() -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    play.wait(30) << recorded(r.AdviceUnanswered, may_have_arrived=True)
    play.wait(10) << quiet
    play >> sale(3) >> answered() << on_its_way(1)
    messages = [out.message for out in play.sent if isinstance(out.message, SendAdvice)]
    assert len({message.transaction.stan for message in messages}) == 1
    assert play.state.advices[request_id(1, OFFLINE)].attempts == 2


@pytest.mark.parametrize(
    ("code", "mac"),
    [("00", MacCheck.ABSENT), ("00", MacCheck.BAD), ("51", MacCheck.BAD), ("68", MacCheck.GOOD), ("ZZ", MacCheck.GOOD)],
)
def test_d9_what_confirms_nothing_is_an_attempt(code: str, mac: MacCheck) -> None:
    play = stored() >> sale(2) >> answered() >> answered(code, mac)
    assert status(play) is AdviceStatus.OWED
    play << recorded(r.AdviceUnanswered, may_have_arrived=True)


def test_d14_94_after_silence_means_done() -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    (
        play.wait(40)
        >> sale(3)
        >> answered()
        << on_its_way(1)
        >> answered("94")
        << recorded(r.AdviceAcknowledged, after_silence=True)
    )
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.DONE, TxnStatus.APPROVED)


def test_d14_94_on_a_first_attempt_is_failed_and_alerted() -> None:
    play = stored() >> sale(2) >> answered() >> answered("94") << alerted("stan_reused")
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.DOUBTFUL, TxnStatus.REFUSED)


def test_d14_94_after_a_refusal_to_listen_is_no_repeat() -> None:
    """A0 says that the host did not take the attempt: 94 afterwards is not about it."""
    play = stored() >> sale(2) >> answered() >> answered("A0") << sent(SIGN_IN)
    play >> signed_in() >> sale(3) >> answered() << on_its_way(1) >> answered("94") << alerted("stan_reused")


def test_d10_a_94_without_a_mac_means_nothing_where_declines_are_not_trusted() -> None:
    play = stored(unmaced_decline=UnmacedDecline.REVERSE) >> sale(2) >> answered()
    play.wait(40) >> sale(3) >> answered() << on_its_way(1) >> answered("94", MacCheck.ABSENT)
    assert status(play) is AdviceStatus.OWED


def test_d14_an_attempt_that_never_left_is_none_and_94_after_it_proves_nothing() -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    play >> e.NeverLeft(play.engine.agenda.exchange_token or "", "the line took nothing")
    play << recorded(r.AdviceUnanswered, may_have_arrived=False)
    assert play.state.advices[request_id(1, OFFLINE)].attempts == 0
    play.wait(40) >> sale(3) >> answered() << on_its_way(1) >> answered("94") << alerted("stan_reused")


@pytest.mark.parametrize("code", ["14", "40"])
def test_any_other_code_is_for_good_and_counts_all_the_same(code: str) -> None:
    play = stored() >> sale(2) >> answered() >> answered(code) << alerted("advice_refused")
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.REFUSED, TxnStatus.REFUSED)
    assert debits(play) == (2000, 2)
    play >> sale(3) >> answered() << quiet


def test_d12_one_sign_in_is_free_and_the_second_counts() -> None:
    play = stored() >> sale(2) >> answered() >> answered("A0") << recorded(r.AdviceNeedsSignIn) << sent(SIGN_IN)
    assert play.state.advices[request_id(1, OFFLINE)].attempts == 0
    play >> signed_in() >> sale(3) >> answered() << on_its_way(1)
    play >> answered("A0") << recorded(r.AdviceUnanswered, may_have_arrived=False) << sent(SIGN_IN)
    assert play.state.advices[request_id(1, OFFLINE)].attempts == 1


def stuck() -> Playbook:
    play = stored(advice_attempts_max=2)
    for number in (2, 3):
        play >> sale(number) >> answered() << on_its_way(1)
        play.wait(30)
        if number == 2:
            play.wait(400)
    return play


def test_after_its_attempts_it_is_stuck_and_still_owed() -> None:
    play = stuck() << alerted("advice_stuck")
    assert status(play) is AdviceStatus.STUCK
    play >> sale(4) >> answered() << quiet
    play.wait(1700) << quiet
    play.until_sent(TRANSACTION) << on_its_way(1) >> answered("00")
    assert status(play) is AdviceStatus.DONE


def test_d36_a_person_wants_the_next_attempt_now() -> None:
    play = stuck() >> e.RetryAdvices("c", "anna", request_id(1, OFFLINE)) << done() << on_its_way(1)
    assert play.state.advices[request_id(1, OFFLINE)].attempts == 1
    other = stored() >> e.RetryAdvices("c", "anna", None) << done() << on_its_way(1) >> answered("00")
    assert status(other) is AdviceStatus.DONE


def test_a_person_ends_an_advice_and_it_counts_no_more() -> None:
    event = e.ResolveAdvice("c", "anna", "settled with the acquirer", request_id(1, OFFLINE))
    play = stuck() >> event << done() << recorded(r.AdviceResolved, by="anna")
    assert (play.txn(1, OFFLINE).status, debits(play)) == (TxnStatus.RESOLVED, (2000, 2))
    play >> event << done(ok=False)
    play >> offline_sale(1) << told("offline_sale-1", "00")
    settled = stored(settle_hold_max_s=0.0) >> SETTLE_NOW >> signed_in()
    settled.until_sent(TOTALS)  # while its batch is being settled with it, nobody takes it out
    settled >> event << done(ok=False)


def test_d1_what_cannot_be_said_is_stuck_and_stops_nobody() -> None:
    play = stored()
    play.cannot_encode = lambda to_host: "no number" if isinstance(to_host.message, SendAdvice) else None
    play >> sale(2) >> answered() << told("sale-2", "00") << alerted("cannot_encode") << alerted("advice_stuck")
    assert play.state.advices[request_id(1, OFFLINE)].unsayable == "no number"
    play >> sale(3) >> answered() << told("sale-3", "00")


def test_killed_while_it_is_on_its_way_it_is_repeated() -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    play.killed() << recorded(r.AdviceUnanswered)
    play >> e.LinkUp()
    play.wait(60) >> sale(3) >> answered() << on_its_way(1) >> answered("94")
    assert status(play) is AdviceStatus.DONE


@pytest.mark.parametrize("first", [None, "94", "14"])
def test_a_late_approval_says_that_the_host_has_it(first: str | None) -> None:
    """A frame that the line doubled is answered 00 and 94: whichever comes first, the host has the advice."""
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    stan = play.txn(1, OFFLINE).stan
    if first is None:
        play.wait(30)
    else:
        play >> answered(first)
    play >> late(TRANSACTION, stan, mac=MacCheck.BAD) << not_recorded(r.AdviceAcknowledged)
    play >> late(TRANSACTION, stan) << recorded(r.LateAnswer) << recorded(r.AdviceAcknowledged)
    assert (status(play), play.txn(1, OFFLINE).status) == (AdviceStatus.DONE, TxnStatus.APPROVED)


def test_a_late_refusal_changes_nothing() -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    play.wait(30)
    play >> late(TRANSACTION, play.txn(1, OFFLINE).stan, "14") << not_alerted
    assert status(play) is AdviceStatus.OWED


def test_d7_until_it_has_left_it_is_of_the_open_batchs_number() -> None:
    play = stored() >> e.LinkDown("cut") >> e.LinkUp()
    play >> e.SettleNow("c", "anna") << sent(SIGN_IN) >> signed_in(batch=42)
    play << on_its_way(1)
    assert play.txn(1, OFFLINE).batch_number == 42


# --- adjusted --------------------------------------------------------------------------------------------------------


def test_what_was_adjusted_counts_once_with_the_adjusted_amount() -> None:
    play = stored() >> refers(ADJUST, 2, of=1, amount=700) << told("adjust-2", "00")
    assert debits(play) == (700, 1)
    play >> refers(ADJUST, 3, of=1, amount=650) << told("adjust-3", "00")
    assert debits(play) == (650, 1)
    assert play.txn(3, "adjust").original == request_id(2, "adjust")


def test_an_adjustment_names_what_stands_in_the_open_batch() -> None:
    ready() >> refers(ADJUST, 2, of=1) << told("adjust-2", Refusal.NO_ORIGINAL)
    after_sales(1) >> refers(ADJUST, 2, of=1) << told("adjust-2", Refusal.NO_ORIGINAL)  # a sale takes a tip only
    voided = after_sales(1) >> void(2, of=1) >> answered()
    voided >> refers(TIP, 3, of=1, amount=1100) << told("tip-3", Refusal.ALREADY_VOIDED)
    gone = closed(after_sales(1)) >> signed_in()
    gone >> refers(TIP, 2, of=1, amount=1100) << told("tip-2", Refusal.NO_ORIGINAL)


def test_a_completion_notice_uses_its_hold() -> None:
    play = ready() >> preauth(1) >> answered() << told("preauth-1", "00")
    play >> refers(NOTICE, 2, of=1, amount=1100) << told("completion_notice-2", "00")
    assert debits(play) == (1100, 1)
    play >> refers(TxnKind.COMPLETION, 3, of=1) << told("completion-3", Refusal.ALREADY_USED)
    ready() >> refers(NOTICE, 2, of=None, code="777777") << told("completion_notice-2", "00")


# --- taken back ------------------------------------------------------------------------------------------------------


def test_d17_an_advice_that_has_not_left_is_cancelled() -> None:
    play = stored() >> taken_back(1, what=OFFLINE) << told("back-1", "00") << recorded(r.AdviceCancelled)
    assert (debits(play), status(play)) == ((0, 0), AdviceStatus.CANCELLED)
    play >> taken_back(1, what=OFFLINE) << told("back-1", "00") << not_recorded(r.AdviceCancelled)
    play >> offline_sale(1) << told("offline_sale-1", Refusal.REVERSED_IN_ADVANCE)
    play >> sale(2) >> answered() << quiet


@pytest.mark.parametrize("code", [None, "00", "14"])
def test_d17_an_advice_that_has_left_is_never_reversed(code: str | None) -> None:
    play = stored() >> sale(2) >> answered() << on_its_way(1)
    if code is not None:
        play >> answered(code)
    (
        play
        >> taken_back(1, what=OFFLINE)
        << told("back-1", Refusal.NOT_REVERSIBLE)
        << alerted("terminal_reversal_refused")
    )
    assert not play.state.reversals
    assert debits(play) == (2000, 2)


def test_d17_what_was_adjusted_is_not_cancelled_before_its_adjustment() -> None:
    play = stored() >> refers(ADJUST, 2, of=1, amount=700)
    play >> taken_back(1, what=OFFLINE) << told("back-1", Refusal.NOT_REVERSIBLE)
    play >> taken_back(2, 700, what="adjust") << told("back-2", "00")
    assert debits(play) == (1000, 1)
    play >> taken_back(1, what=OFFLINE) << told("back-1", "00")
    assert debits(play) == (0, 0)


def test_d17_what_stands_in_asked_totals_is_not_cancelled() -> None:
    play = stored(settle_hold_max_s=0.0)
    play >> SETTLE_NOW >> signed_in()
    play.until_sent(TOTALS)
    play >> taken_back(1, what=OFFLINE) << told("back-1", Refusal.NOT_REVERSIBLE)


def test_d17_an_advice_that_comes_after_its_reversal_is_refused() -> None:
    play = ready() >> taken_back(1, what=OFFLINE) << told("back-1", Refusal.NO_ORIGINAL)
    play >> offline_sale(1) << told("offline_sale-1", Refusal.REVERSED_IN_ADVANCE)


# --- settled ---------------------------------------------------------------------------------------------------------


def draining(play: Playbook) -> Playbook:
    return play >> SETTLE_NOW << sent(SIGN_IN) >> signed_in()


def test_all_of_them_go_before_the_totals() -> None:
    play = draining(stored(3))
    for number in (1, 2, 3):
        play << on_its_way(number) >> answered("00")
    play << sent(TOTALS)
    assert play.state.settlement.totals is not None
    assert play.state.settlement.totals.domestic.debit_count == 3


def test_d19_a_sale_while_advices_drain_is_sent_and_counts() -> None:
    play = draining(stored(1)) << on_its_way(1)
    play.wait(30) << quiet
    play >> sale(2) << sent(TRANSACTION) >> answered() << told("sale-2", "00")
    play.until_sent(TRANSACTION) << on_its_way(1) >> answered() << sent(TOTALS)
    assert debits(play) == (2000, 2)


def carried() -> Playbook:
    """The host never answers advices: after the hold the totals leave with it in them."""
    play = draining(after_sales(1) >> offline_sale(2))
    for _ in range(50):
        if play.state.exchange is not None and play.state.exchange.kind is TOTALS:
            return play
        play.wake()
    raise AssertionError("the totals never leave")


def test_d19_what_is_not_delivered_counts_and_is_carried_over() -> None:
    play = carried()
    assert play.every(r.AdviceCarriedOver) == [r.AdviceCarriedOver(request_id(2, OFFLINE))]
    assert play.state.settlement.totals is not None
    assert play.state.settlement.totals.domestic.debit_count == 2
    assert status(play, 2) is AdviceStatus.STUCK


def test_totals_that_agree_say_that_the_host_has_it() -> None:
    play = carried()
    play >> answered("", host_totals=host_totals(play)) << recorded(r.AdviceSettled, how=Settled.TOTALS)
    assert (status(play, 2), play.txn(2, OFFLINE).status) == (AdviceStatus.DONE, TxnStatus.APPROVED)


def test_totals_that_agree_prove_nothing_beside_an_owed_reversal() -> None:
    """The host may count the sale that is owed to be reversed instead, for the same price."""
    play = carried()
    owed = {request_id(1): Reversal(request_id(1), Why.TIMEOUT, "98", 0)}
    unknown = {request_id(1): replace(play.txn(1), status=TxnStatus.UNKNOWN)}
    state = replace(play.state, reversals=owed, transactions=play.state.transactions | unknown)
    play.engine.state = play.folded = state
    play >> answered("", host_totals=host_totals(play)) << not_recorded(r.AdviceSettled)
    assert status(play, 2) is AdviceStatus.STUCK


def test_one_group_that_agrees_says_nothing() -> None:
    play = carried()
    play >> answered("", host_totals=host_totals(play, foreign=GroupResult.UNBALANCED)) << not_recorded(r.AdviceSettled)


def test_d21_it_is_uploaded_alone_and_done_when_the_host_takes_it() -> None:
    play = carried() >> unbalanced() << sent(UPLOAD)
    play >> answered() << sent(UPLOAD, transactions=(play.txn(2, OFFLINE),), stan=play.txn(2, OFFLINE).stan)
    play >> answered() << recorded(r.AdviceSettled, how=Settled.UPLOAD) << sent(TRAILER)
    assert status(play, 2) is AdviceStatus.DONE
    play >> answered() >> signed_in()
    play.wait(7200)
    assert not [out for out in play.sent[-5:] if isinstance(out.message, SendAdvice)]


def test_what_was_refused_is_uploaded_too_and_a_person_has_to_look() -> None:
    """A record that was taken says nothing of money: it stays refused over any number of batches (1.9)."""
    play = draining(stored()) << on_its_way(1) >> answered("14") << sent(TOTALS)
    play >> unbalanced() << sent(UPLOAD, transactions=(play.txn(1, OFFLINE),)) >> answered()
    assert status(play) is AdviceStatus.REFUSED
    play >> answered() >> signed_in()
    play >> e.ResolveAdvice("c", "anna", "paid by transfer", request_id(1, OFFLINE)) << done()
    agreed = draining(stored()) << on_its_way(1) >> answered("14") << sent(TOTALS)
    agreed >> answered("", host_totals=host_totals(agreed)) << recorded(r.AdviceSettled, how=Settled.TOTALS)


def test_d33_what_a_person_has_to_look_at_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posd.core.fold.settlement.EARLIER_MAX", 0)
    play = draining(stored()) << on_its_way(1) >> answered("14") << sent(TOTALS)
    play >> unbalanced() >> answered() >> answered() >> signed_in()
    for number in (2, 3, 4):
        play = closed(play >> sale(number) >> answered()) >> signed_in()
    assert status(play) is AdviceStatus.REFUSED
    assert request_id(2, "sale") not in play.state.closed


@pytest.mark.parametrize("times", [1, 2])
def test_an_advice_that_could_not_be_taken_now_is_taken_later(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has happened: a refusal for a while must not be one for ever, as it is for a request that moves money (D6)."""
    monkeypatch.setattr("posd.core.limits.COUNT_REFUSE", 2)
    play = stored(2)
    for _ in range(times):
        play >> offline_sale(3) << told("offline_sale-3", Refusal.BATCH_FULL)
    monkeypatch.setattr("posd.core.limits.COUNT_REFUSE", 950)
    play >> offline_sale(3) << told("offline_sale-3", "00")
    play >> sale(4, amount=0) << told("sale-4", Refusal.AMOUNT_INVALID)
    play >> sale(4, amount=0) << told("sale-4", Refusal.AMOUNT_INVALID)


def test_d21_refused_in_the_upload_it_goes_on_under_its_old_number() -> None:
    """What the upload refuses says nothing of an attempt that may have arrived: only an answer to the advice does."""
    play = carried() >> unbalanced() >> answered()
    for _ in range(RULES.settle_attempts_max):
        play.until_sent(UPLOAD) >> answered("14")
    assert (status(play, 2), play.state.settlement.phase) == (AdviceStatus.STUCK, SettlementPhase.TRAILER)
    play >> answered() >> signed_in()
    play.until_sent(TRANSACTION) << on_its_way(2) >> answered("94")
    assert status(play, 2) is AdviceStatus.DONE


def test_d19_after_the_close_it_goes_on_under_its_old_number() -> None:
    play = carried()
    old = play.state.batch.number
    play = decided_closed(play)
    play.until_sent(TRANSACTION)
    message = play.sent[-1].message
    assert isinstance(message, SendAdvice)
    assert (message.transaction.batch_number, play.state.batch.number) == (old, old + 1)
    play >> answered("94")
    assert status(play, 2) is AdviceStatus.DONE
    assert debits(play) == (0, 0)


def test_an_advice_of_a_closed_batch_waits_for_no_success() -> None:
    """A restored journal may learn last of all that its batch is closed: nothing was carried over in it."""
    play = stored()
    play >> e.Tick() << quiet
    play.engine.state = play.folded = apply(play.state, r.BatchSkipped(SettlementCause.OPERATOR, None), play.wall)
    play >> e.Tick() << on_its_way(1)


def decided_closed(play: Playbook) -> Playbook:
    """A person says that the host has closed the batch, without an answer to its totals."""
    for _ in range(30):
        if play.state.exchange is None and play.state.settlement.asked >= RULES.settle_attempts_max:
            break
        play.wake()
    play >> e.DecideSettlement("d", "anna", "asked the bank", True) << done()
    return play >> signed_in() if play.state.exchange and play.state.exchange.kind is SIGN_IN else play


def test_an_adjustment_that_was_uploaded_ends_what_it_replaced() -> None:
    play = draining(stored() >> refers(ADJUST, 2, of=1, amount=700))
    for _ in range(50):
        if play.state.settlement.phase is SettlementPhase.TOTALS:
            break
        play.wake()
    play >> unbalanced() << sent(UPLOAD, transactions=(play.txn(2, "adjust"),), original=play.txn(1, OFFLINE))
    play >> answered()
    assert (status(play, 2, "adjust"), status(play, 1)) == (AdviceStatus.DONE, AdviceStatus.DONE)


def test_d20_a_host_that_has_nothing_may_say_so_twice() -> None:
    """All that we count is what it never acknowledged: zeros on a repeat say nothing of a closed batch."""
    play = stored(settle_hold_max_s=0.0) >> SETTLE_NOW >> signed_in() << on_its_way(1)
    play.wait(30)
    play.until_sent(TOTALS)
    play.wait(30)
    play.until_sent(TOTALS) >> zeros() << sent(UPLOAD)
    some = settling(after_sales(1))
    some.wait(30)
    some.until_sent(TOTALS) >> zeros() << recorded(r.SettlementUnconfirmed)


def test_d23_a_settlement_with_advices_is_not_deferred() -> None:
    play = stored(settle_minimum_minor=1_000_000)
    play.until("2026-03-02 23:00:01")
    assert play.state.exchange is not None
    assert play.state.exchange.kind is SIGN_IN


def test_d18_an_advice_that_was_acknowledged_late_is_due_when_it_came() -> None:
    """The host's time in its answer is when it took it: the shop's money came before the due moment."""
    play = stored()
    play >> e.LinkDown("cut")
    play.until("2026-03-02 23:10:00")
    play >> e.LinkUp() << sent(SIGN_IN) >> signed_in() << on_its_way(1)
    assert play.state.settlement.phase is SettlementPhase.DRAINING


def test_d18_an_advice_is_not_younger_than_the_hosts_word_for_it() -> None:
    """Our clock was far ahead when it came, and had passed a due moment that was still to be (the world, seed 452)."""
    play = ready()
    play.set_clock("2026-03-02 23:50:00") >> e.Tick() << recorded(r.BatchSkipped)
    facts = AnswerFacts("00", rrn=Rrn("000000000009"), host_date="0302", host_time="173000", scheme="CUP")
    play >> offline_sale(1) >> sale(2) >> answered(facts=facts) << on_its_way(1)
    play >> answered(facts=facts) << recorded(r.SignInStarted, for_settlement=True)
    play >> signed_in(ahead_s=-22_800) << alerted("settlement_postponed")
    play.set_clock("2026-03-03 09:00:00").until_sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun, due_ms=wall_ms("2026-03-02 23:00:00"))


def test_a_cancelled_advice_is_nothing_to_settle() -> None:
    play = stored() >> taken_back(1, what=OFFLINE)
    play >> SETTLE_NOW << done(ok=False)
    assert totals_of(play.state.transactions.values(), RULES) == Totals()
