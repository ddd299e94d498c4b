"""What a hostile reader found: each of these lost money, stopped a shop or hid a doubt, once."""

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, MacCheck
from posd.core.effects import Refusal
from posd.core.state import CloseOutcome, ReversalStatus, SettlementPhase, TxnStatus
from tests.core.playbook import (
    SETTLE_NOW,
    after_sales,
    alerted,
    answered,
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
    taken_back,
    told,
    zeros,
)

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL
TOTALS = ExchangeKind.TOTALS


def test_a_call_for_a_sign_in_under_a_wrong_mac_is_heeded_once() -> None:
    """Keys that have diverged: the host signs its A0 with keys that we do not have."""
    play = ready() >> sale(1) >> answered("A0", mac=MacCheck.BAD)
    play << recorded(r.ReversalOwed) << sent(SIGN_IN) >> signed_in() << sent(REVERSAL)
    play >> answered("A0", mac=MacCheck.BAD) << sent(SIGN_IN) >> signed_in() << sent(REVERSAL)
    play >> answered("A0", mac=MacCheck.BAD) << not_recorded(r.SignedOut) << quiet


def test_d11_a_denial_that_was_refuted_does_not_acknowledge_again() -> None:
    play = ready() >> sale(1)
    play.wait(30) << sent(REVERSAL)
    play.wait(30).until_sent(REVERSAL) >> answered("25") << recorded(r.ReversalAcknowledged)
    play >> late(TRANSACTION, play.txn().stan) << recorded(r.ReversalReopened) << sent(REVERSAL) >> answered("25")
    play << alerted("reversal_conflict")
    assert play.state.reversals[request_id(1)].status is ReversalStatus.CONFLICT


def test_d11_an_answer_that_cannot_be_trusted_is_no_silence() -> None:
    play = ready() >> sale(1) >> answered(mac=MacCheck.BAD) << sent(REVERSAL) >> answered("25", mac=MacCheck.BAD)
    play.until_sent(REVERSAL) >> answered("25")
    play << alerted("reversal_conflict")


def test_d10_the_terminal_may_take_back_what_an_unsigned_decline_refused() -> None:
    play = ready() >> sale(1) >> answered("51", mac=MacCheck.ABSENT) << quiet
    play >> taken_back(1) << recorded(r.ReversalOwed) << sent(REVERSAL)


def test_d6_a_reversal_of_a_reused_key_takes_back_nobody_elses_sale() -> None:
    play = ready() >> sale(1, amount=1000) >> answered()
    play >> sale(1, amount=7700, reply="other") << told("other", Refusal.KEY_REUSED)
    play >> taken_back(1) << alerted("terminal_reversal_ambiguous") << not_recorded(r.ReversalOwed)
    assert play.txn().status is TxnStatus.APPROVED


def test_d20_a_host_that_cut_over_while_we_drained_ends_the_question() -> None:
    play = after_sales(1) >> SETTLE_NOW >> signed_in() << sent(TOTALS)
    play >> answered("77") << sent(SIGN_IN) >> signed_in(batch=99)
    play.until_sent(TOTALS) >> answered("77") << recorded(r.SettlementUnconfirmed) << sent(SIGN_IN)
    play >> signed_in(batch=99) << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED)
    assert play.state.batch.number == 99


def test_totals_that_can_never_be_said_are_ended_by_a_person() -> None:
    play = after_sales(1, rules(settle_attempts_max=2)) >> SETTLE_NOW
    draft = play.engine.handle(signed_in()(play), play.now)  # type: ignore[operator]
    for _ in range(2):
        play >> draft.cannot_encode("field 48: a count of 1000") << not_recorded(r.TotalsAsked)
        play.skip_time(1000)
        draft = play.engine.handle(e.Tick(), play.now)
    assert play.state.settlement.phase is SettlementPhase.DRAINING
    play >> e.DecideSettlement("decide", "Li Wei", "settled by phone", True) << done()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED)


def test_d20_a_person_who_says_not_closed_is_believed() -> None:
    play = after_sales(1) >> SETTLE_NOW >> signed_in() << sent(TOTALS)
    play.wait(30).until_sent(TOTALS) >> zeros() << recorded(r.SettlementUnconfirmed) >> signed_in()
    play >> e.DecideSettlement("decide", "Li Wei", "the host lost our batch", False) << done() << sent(TOTALS)
    play >> zeros() << recorded(r.TotalsAnswered) << sent(ExchangeKind.UPLOAD)
