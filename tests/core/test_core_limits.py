"""When a due settlement waits, and when a batch is full (D22, D23)."""

from datetime import time
from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import limits
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.draft import Draft
from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.core.state import SettlementCause, SettlementPhase
from posd.values import Stan
from tests.core.playbook import (
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    done,
    not_alerted,
    not_recorded,
    quiet,
    ready,
    recorded,
    refund,
    request_id,
    rules,
    sale,
    sent,
    signed_in,
    told,
    void,
)

SIGN_IN, TRANSACTION, TOTALS = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.TOTALS
DAY_S = 86_400


def approve(batch: int | None = None, command: str = "approve") -> e.ApproveSettlement:
    return e.ApproveSettlement(command, "Li Wei", "checked the slips", batch)


def small(**changes: Any) -> Playbook:
    return after_sales(2, rules(settle_minimum_minor=5000, **changes))


def big() -> Playbook:
    return after_sales(2, rules(settle_maximum_minor=1500))


# --- minimum ---------------------------------------------------------------------------------------------------------


def test_d23_below_the_minimum_it_is_deferred_once() -> None:
    play = small().until("2026-03-02 23:00:00")
    play << recorded(r.SettlementDeferred, gross_minor=2000, minimum_minor=5000) << quiet
    play.until("2026-03-03 09:00:00")
    assert len(play.every(r.SettlementDeferred)) == 1


def test_d23_a_deferral_lasts_until_the_next_due_moment() -> None:
    play = small().until("2026-03-02 23:00:00").until("2026-03-03 10:00:00")
    play >> sale(3, amount=9000) >> answered() << quiet
    play.until("2026-03-03 23:00:00") << sent(SIGN_IN) >> signed_in() << sent(TOTALS)


def test_d23_never_past_the_longest_deferral() -> None:
    play = small(settle_deferral_max_s=2.0 * DAY_S)
    for day in (2, 3, 4):
        play.until(f"2026-03-0{day} 23:00:00") << not_recorded(r.SettlementBegun)
    play.until("2026-03-05 23:00:00") << sent(SIGN_IN) >> signed_in() << sent(TOTALS)


def test_d23_an_owed_reversal_is_never_deferred() -> None:
    play = small() >> sale(3)
    play.until("2026-03-02 23:00:00") << not_recorded(r.SettlementDeferred) << sent(SIGN_IN)


def test_d23_by_hand_settles_below_the_minimum() -> None:
    small() >> SETTLE_NOW << done() << sent(SIGN_IN)


# --- maximum ---------------------------------------------------------------------------------------------------------


def test_d23_above_the_maximum_it_is_held_and_sales_go_on() -> None:
    play = big().until("2026-03-02 23:00:00")
    play << recorded(r.SettlementHeld, gross_minor=2000, maximum_minor=1500) << alerted("settlement_held") << quiet
    play >> sale(3, reply="go on") << sent(TRANSACTION) >> answered() << told("go on", "00") << quiet
    play.until("2026-03-03 09:00:00")
    assert len(play.every(r.SettlementHeld)) == 1


def test_d23_a_named_person_approves_it_once() -> None:
    play = big().until("2026-03-02 23:00:00") >> approve() << done() << sent(SIGN_IN)
    play >> approve(command="again") << done(False)
    play >> signed_in() << sent(TOTALS) >> balanced() >> answered() << recorded(r.BatchClosed)
    assert len(play.every(r.SettlementApproved)) == 1
    assert play.every(r.SettlementApproved)[0].by == "Li Wei"


def test_d23_an_approval_outlives_a_restart() -> None:
    play = big().until("2026-03-02 23:00:00") >> e.LinkDown("cut") >> approve() << done()
    play.killed() >> e.LinkUp() << sent(SIGN_IN) >> signed_in() << sent(TOTALS)


def test_d23_nothing_is_approved_that_is_not_held() -> None:
    play = big() >> approve() << done(False)
    play.until("2026-03-02 23:00:00") >> approve(batch=4711, command="other") << done(False) << quiet
    play << not_recorded(r.SettlementApproved)


def test_d23_by_hand_a_held_settlement_says_so() -> None:
    play = big() >> SETTLE_NOW << done(False) << recorded(r.SettlementHeld)
    play >> approve() << done() << sent(SIGN_IN)


# --- empty batches ---------------------------------------------------------------------------------------------------


def test_an_empty_batch_is_sent_where_the_acquirer_wants_it() -> None:
    play = ready(rules(skip_empty=False)).until("2026-03-02 23:00:00") << sent(SIGN_IN)
    (
        play
        >> signed_in()
        << sent(TOTALS)
        >> balanced()
        >> answered()
        << recorded(r.BatchClosed)
        << not_recorded(r.BatchSkipped)
    )


# --- capacity --------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules with smaller numbers: 3 warns, 5 settles, 7 refuses."""
    for name, value in (("COUNT_WARN", 3), ("COUNT_SETTLE", 5), ("COUNT_REFUSE", 7)):
        monkeypatch.setattr(limits, name, value)


@pytest.mark.parametrize(
    ("counted", "warns", "settles", "refuses"),
    [
        (698, False, False, False),
        (699, True, False, False),
        (848, False, False, False),
        (849, False, True, False),
        (949, False, True, True),
    ],
)
def test_d22_the_marks_are_700_850_and_950(counted: int, warns: bool, settles: bool, refuses: bool) -> None:
    """One more sale after `counted` of one side of one group; the host's counts have three digits."""
    play = after_sales(1)
    one = play.txn(1)
    many = {request_id(n): replace(one, request_id=request_id(n), stan=Stan(n)) for n in range(1, counted + 1)}
    play.engine.state = play.folded = replace(play.state, transactions=many)
    play >> sale(990) >> answered()
    assert ("batch_fills" in play.alerts) is warns
    assert ("batch_settles_early" in play.alerts) is settles
    draft = Draft(play.rules, play.state, play.engine.agenda, play.now)
    assert limits.full(draft, play.rules.kinds[TxnKind.SALE]) is refuses


def test_d22_a_filling_batch_warns_then_settles_early(few: None) -> None:
    play = after_sales(2) << not_alerted
    play >> sale(3) >> answered() << alerted("batch_fills")
    play >> sale(4) >> answered() >> sale(5) >> answered()
    play << recorded(r.SettlementWanted, cause=SettlementCause.CAPACITY) << sent(SIGN_IN)


def test_d22_a_full_batch_refuses_sales_and_takes_voids(few: None) -> None:
    play = after_sales(4)
    for number in (5, 6, 7):
        play >> e.LinkDown("cut") >> e.LinkUp()
        if play.state.exchange is not None:
            play >> signed_in(ahead_s=7200)  # the clocks differ: the early close is postponed, sales go on
        play >> sale(number) >> answered()
    play >> sale(8, reply="full") << told("full", Refusal.BATCH_FULL)
    assert play.state.settlement.phase is SettlementPhase.OPEN
    play >> void(9, of=1) << sent(TRANSACTION)


@pytest.mark.parametrize(("counted", "full"), [(998, False), (999, True)])
def test_d22_the_reserve_ends_where_the_digits_do(counted: int, full: bool) -> None:
    """A settlement that is held for days, and refunds go on: totals with a thousand could never be asked."""
    play = after_sales(1) >> refund(2, 100) >> answered()
    one = play.txn(2, "refund")
    ids = [request_id(n, "refund") for n in range(2, counted + 2)]
    many = {of: replace(one, request_id=of, stan=Stan(n)) for n, of in enumerate(ids, start=3)}
    play.engine.state = play.folded = replace(play.state, transactions={**play.state.transactions, **many})
    play >> refund(5000, 100, reply="one more")
    play << (told("one more", Refusal.BATCH_FULL) if full else sent(TRANSACTION))
    play >> void(5001, of=1, reply="void")
    play << (told("void", Refusal.BATCH_FULL) if full else not_recorded(r.RequestRefused))


# --- cut-over --------------------------------------------------------------------------------------------------------


def test_d23_an_alert_precedes_the_hosts_cutover() -> None:
    play = after_sales(1, rules(due_times=(time(23, 50),), host_cutover_at=time(23, 55)))
    play.until("2026-03-02 23:20:00") << not_alerted
    play.until("2026-03-02 23:26:00") << alerted("host_cutover_near")
    play.until("2026-03-02 23:27:00") << not_alerted
