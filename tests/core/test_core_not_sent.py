"""A message of which the line is certain that no byte left: not sent, nothing owed, and counted nowhere (D2, D11)."""

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.rules import Why
from posd.core.state import AdviceStatus, ReversalStatus, TxnStatus
from tests.core.playbook import (
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    forgot,
    late,
    not_recorded,
    not_told,
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
    taken_back,
    told,
    void,
    zeros,
)


def never_left(play: Playbook) -> e.Event:
    token = play.engine.agenda.exchange_token
    assert token is not None
    return e.NeverLeft(token, "the line takes nothing")


def test_d2_a_sale_that_never_left_is_not_sent_and_owes_nothing() -> None:
    play = ready() >> sale(1) << sent(ExchangeKind.TRANSACTION)
    play >> never_left << told("sale-1", Refusal.NOT_SENT) << recorded(r.NotSent) << forgot(1) << quiet
    play << not_recorded(r.ReversalOwed) << not_recorded(r.OutcomeUnknown)
    assert play.txn().status is TxnStatus.NOT_SENT
    assert not play.state.unended_reversals()
    play >> sale(1, reply="again") << told("again", Refusal.NOT_SENT) << quiet  # D6: never sent, now or later
    play >> taken_back(1) << told("back-1", "00") << quiet << not_recorded(r.ReversalOwed)
    play >> sale(2) << sent(ExchangeKind.TRANSACTION) >> answered() << told("sale-2", "00")


def test_d2_another_message_than_the_one_in_flight_says_nothing() -> None:
    play = ready() >> sale(1)
    old = never_left(play)
    play >> answered() >> sale(2) >> old << not_told << not_recorded(r.NotSent)
    assert play.txn(2).status is TxnStatus.SENT


def test_d13_a_refund_that_never_left_is_in_no_doubt() -> None:
    play = ready() >> refund(1) << sent(ExchangeKind.TRANSACTION)
    play >> never_left << told("refund-1", Refusal.NOT_SENT) << not_recorded(r.RefundInDoubt)
    assert play.txn(1, "refund").status is TxnStatus.NOT_SENT


def test_d13_a_repeat_that_never_left_says_nothing_of_the_first() -> None:
    play = ready(rules(refund_repeat=True)) >> refund(1)
    play >> e.LinkDown("cut") >> e.LinkUp() << recorded(r.RefundRepeated)
    play >> never_left << not_recorded(r.NotSent)
    assert play.txn(1, "refund").status is TxnStatus.IN_DOUBT


def test_d17_what_the_terminal_took_back_in_flight_keeps_its_reversal() -> None:
    """It is owed already, and a needless reversal is harmless."""
    play = ready() >> sale(1) >> taken_back(1) << told("back-1", "00")
    play >> never_left << not_recorded(r.NotSent)
    assert play.txn().status is TxnStatus.UNKNOWN
    assert play.state.unended_reversals()


def test_a_void_that_never_left_leaves_its_sale_open_to_another() -> None:
    play = after_sales(1) >> void(2, of=1) >> never_left << told("void-2", Refusal.NOT_SENT)
    play >> void(3, of=1) << sent(ExchangeKind.TRANSACTION) >> answered() << told("void-3", "00")


def test_d11_an_approval_after_all_is_reversed() -> None:
    """The line lied, or somebody played back a frame: the customer was told that nothing was sent."""
    play = ready() >> sale(1) >> never_left
    play >> late(ExchangeKind.TRANSACTION, play.txn().stan) << recorded(r.ReversalOwed) << alerted("late_approval")
    play << sent(ExchangeKind.REVERSAL) >> answered()
    assert play.txn().status is TxnStatus.REVERSED


def test_d13_an_approval_of_such_a_refund_is_a_doubt() -> None:
    play = ready() >> refund(1) >> never_left
    play >> late(ExchangeKind.TRANSACTION, play.txn(1, "refund").stan) << alerted("refund_in_doubt")
    assert play.txn(1, "refund").status is TxnStatus.IN_DOUBT


def owing() -> Playbook:
    """An approval that the terminal took back; its reversal has just left."""
    return after_sales(1) >> taken_back(1) << sent(ExchangeKind.REVERSAL)


def test_d11_an_attempt_that_never_left_is_not_an_unanswered_one() -> None:
    """Else a denial after it would pass for "our earlier attempt did it", and the sale would stay charged."""
    play = owing() >> never_left << recorded(r.ReversalUnanswered, because=Why.NOT_SENT)
    play.until_sent(ExchangeKind.REVERSAL)
    play >> answered("25") << recorded(r.ReversalConflict) << alerted("reversal_conflict")


def test_attempts_that_never_left_do_not_use_up_the_attempts() -> None:
    play = owing()
    for _ in range(play.rules.reversal_attempts_max + 2):
        play >> never_left << not_recorded(r.ReversalStuck)
        play << quiet  # after a gap, not at once
        play.until_sent(ExchangeKind.REVERSAL)
    assert play.state.reversals[request_id(1)].status is ReversalStatus.OWED
    assert play.state.reversals[request_id(1)].attempts == 1
    assert play.state.reversals[request_id(1)].unanswered == 0


def test_d14_an_advice_that_never_left_was_not_seen_before() -> None:
    play = ready() >> offline_sale(1) >> sale(2) >> answered() << sent(ExchangeKind.TRANSACTION)
    play >> never_left << recorded(r.AdviceUnanswered, may_have_arrived=False)
    (advice,) = play.state.advices.values()
    assert (advice.status, advice.unanswered, advice.attempts) == (AdviceStatus.OWED, 0, 0)


def test_d20_totals_that_never_left_were_not_asked() -> None:
    """So 94 or zeros in answer to the next ones are no sign of a close that nobody here knows of."""
    play = settling(after_sales(1)) >> never_left << recorded(r.TotalsNotSent) << not_recorded(r.TotalsUnanswered)
    play.until_sent(ExchangeKind.TOTALS)
    assert play.state.settlement.asked == 1
    play >> zeros() << not_recorded(r.SettlementUnconfirmed) << recorded(r.TotalsAnswered)


def test_d20_the_totals_stay_as_they_were_when_they_never_left() -> None:
    play = settling(after_sales(1))
    first = play.sent[-1].message
    play >> never_left
    play.until_sent(ExchangeKind.TOTALS)
    assert play.sent[-1].message == first
    play >> balanced() << recorded(r.TotalsAnswered)


def test_every_other_message_that_never_left_is_only_unanswered() -> None:
    play = Playbook() >> e.Started() >> e.LinkUp() << sent(ExchangeKind.SIGN_IN)
    play >> never_left << recorded(r.SignInFailed) << quiet
    play.until_sent(ExchangeKind.SIGN_IN)


def test_d2_a_restart_before_the_line_answered_is_unknown_as_ever() -> None:
    play = ready() >> sale(1)
    play.killed() << recorded(r.OutcomeUnknown, why=Why.RESTART)
    assert play.state.unended_reversals()
