"""A financial request: approved, declined or unknown; asked again it is answered from state, never sent again."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, MacCheck
from posd.core.effects import Refusal
from posd.core.fold.apply import apply
from posd.core.rules import OnStuck, TxnKind, UnmacedDecline, Why
from posd.core.state import EARLIER_MAX, SettlementCause, TxnStatus
from tests.core.playbook import (
    OTHER_CARD,
    Playbook,
    after_sales,
    alerted,
    answer_to,
    answered,
    balance,
    closed,
    forgot,
    late,
    not_recorded,
    not_told,
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
    void,
)

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL


def test_a_sale_is_recorded_sent_and_approved() -> None:
    play = ready() >> sale(1) << recorded(r.AuthorisationStarted, request_id=request_id(1)) << sent(TRANSACTION)
    play >> answered("00") << recorded(r.Approved) << told("sale-1", "00") << forgot(1) << quiet
    assert play.txn().status is TxnStatus.APPROVED


def test_a_declined_sale_owes_nothing() -> None:
    play = ready() >> sale(1) >> answered("51") << told("sale-1", "51") << not_recorded(r.ReversalOwed) << quiet
    assert play.txn().status is TxnStatus.DECLINED


def lost_answer(play: Playbook) -> None:
    play.wait(30)


def line_cut(play: Playbook) -> None:
    play >> e.LinkDown("reset")


def own_connection_cut(play: Playbook) -> None:
    play >> e.ExchangeLost(play.engine.agenda.exchange_token, "reset")


def bad_mac(play: Playbook) -> None:
    play >> answered("00", MacCheck.BAD)


def bad_mac_decline(play: Playbook) -> None:
    play >> answered("51", MacCheck.BAD)


def approval_without_mac(play: Playbook) -> None:
    play >> answered("00", MacCheck.ABSENT)


def other_amount(play: Playbook) -> None:
    play >> answered("00", mismatch="field 4 differs")


def unreadable(play: Playbook) -> None:
    play >> e.HostUnreadable("field 39 is missing", TRANSACTION, play.state.exchange.stan)


def unconfirmed_code(play: Playbook) -> None:
    play >> answered("68")


def unheard_of_code(play: Playbook) -> None:
    play >> answered("ZZ")


def partial(play: Playbook) -> None:
    play >> answered("10")


def killed(play: Playbook) -> None:
    play.killed()


ROADS = [
    (lost_answer, Why.TIMEOUT, "98", False),
    (line_cut, Why.LINK, "98", False),
    (own_connection_cut, Why.LINK, "98", False),
    (bad_mac, Why.MAC, "A0", True),
    (bad_mac_decline, Why.MAC, "A0", False),
    (approval_without_mac, Why.MAC, "A0", True),
    (other_amount, Why.UNREADABLE, "06", True),
    (unreadable, Why.UNREADABLE, "06", False),
    (unconfirmed_code, Why.UNCONFIRMED, "98", False),
    (unheard_of_code, Why.UNCONFIRMED, "98", False),
    (partial, Why.PARTIAL, "96", True),
    (killed, Why.RESTART, "98", False),
]


@pytest.mark.parametrize(("happens", "why", "reason", "seen"), ROADS, ids=[road[0].__name__ for road in ROADS])
def test_d9_every_unknown_outcome_takes_one_road(happens, why, reason, seen) -> None:
    """D9: unknown, told "failed", a reversal owed."""
    play = ready() >> sale(1) << sent(TRANSACTION)
    happens(play)
    play << recorded(r.OutcomeUnknown, why=why, approval_seen=seen)
    play << recorded(r.ReversalOwed, why=why, reason=reason) << forgot(1)
    if happens is not killed:
        play << told("sale-1", Refusal.OUTCOME_UNKNOWN)
    if play.sent[-1].kind is not REVERSAL:
        play >> e.LinkUp()
    play << sent(REVERSAL, reason=reason)
    assert play.txn().approval_seen is seen


def test_the_end_of_an_earlier_connection_is_nobodys_loss() -> None:
    """The answer came first, and then its connection ended."""
    play = ready() >> sale(1)
    earlier = play.engine.agenda.exchange_token
    play >> answered("00") << told("sale-1", "00") >> sale(2)
    play >> e.ExchangeLost(earlier, "closed by the peer") << not_recorded(r.OutcomeUnknown) << quiet
    play >> answered("00") << told("sale-2", "00") >> e.ExchangeLost(earlier, "closed") << quiet


def test_a_balance_inquiry_is_never_reversed() -> None:
    play = ready() >> balance(1) << sent(TRANSACTION)
    play.wait(30) << told("balance-1", Refusal.OUTCOME_UNKNOWN) << not_recorded(r.ReversalOwed)
    assert play.txn(1, "balance").status is TxnStatus.UNKNOWN


def test_d10_a_decline_without_a_mac_is_a_decline_unless_the_shop_says_otherwise() -> None:
    """D10."""
    ready() >> sale(1) >> answered("51", MacCheck.ABSENT) << told("sale-1", "51") << not_recorded(r.ReversalOwed)
    strict = rules(unmaced_decline=UnmacedDecline.REVERSE)
    play = ready(strict) >> sale(1) >> answered("51", MacCheck.ABSENT) << told("sale-1", Refusal.OUTCOME_UNKNOWN)
    play << recorded(r.ReversalOwed, why=Why.MAC) << sent(REVERSAL)


@pytest.mark.parametrize("code", ["77", "99", "A0"])
def test_a_shop_that_trusts_no_decline_without_a_mac_trusts_no_call_for_a_sign_in(code: str) -> None:
    """D10: a doubled request may be refused so after the first of them was approved (found by the world, seed 284)."""
    strict = rules(unmaced_decline=UnmacedDecline.REVERSE)
    play = ready(strict) >> sale(1) >> answered(code, MacCheck.ABSENT) << told("sale-1", Refusal.OUTCOME_UNKNOWN)
    play << recorded(r.ReversalOwed, why=Why.MAC) << recorded(r.SignedOut) << sent(SIGN_IN)
    play >> signed_in() << sent(REVERSAL)


@pytest.mark.parametrize("code", ["77", "99", "A0"])
def test_d12_sign_in_again_means_the_next_request(code: str) -> None:
    """D12: what was refused so is never sent again."""
    play = ready() >> sale(1) >> answered(code) << told("sale-1", code) << recorded(r.SignedOut) << sent(SIGN_IN)
    play >> signed_in() << quiet
    play >> sale(2) << sent(TRANSACTION)
    assert play.txn(1).status is TxnStatus.DECLINED


def test_d6_a_request_asked_again_is_answered_from_state() -> None:
    """D6."""
    play = after_sales(1) >> sale(1, reply="again") << told("again", "00") << quiet << forgot(1)
    play >> sale(2) >> answered("51") >> sale(2, reply="again") << told("again", "51") << quiet
    play >> sale(3) >> answered("68") << sent(REVERSAL)
    play >> sale(3, reply="again") << told("again", Refusal.OUTCOME_UNKNOWN) << quiet


def test_a_request_asked_again_in_flight_has_two_waiting_and_is_sent_once() -> None:
    play = ready() >> sale(1) << sent(TRANSACTION) >> sale(1, reply="again") << quiet << not_told
    play >> answered() << told("sale-1", "00") << told("again", "00")


def test_a_request_asked_again_before_it_was_sent_is_sent_once() -> None:
    play = ready() >> sale(1) >> sale(2) >> sale(2, reply="again") << quiet
    play >> answered() << sent(TRANSACTION) >> answered() << told("sale-2", "00") << told("again", "00") << quiet
    assert len(play.every(r.AuthorisationStarted)) == 2


@pytest.mark.parametrize("state_of_first", ["waiting", "in flight", "answered"])
def test_d6_a_key_used_for_another_request_is_never_answered_from_state(state_of_first: str) -> None:
    """D6: 94, alert."""
    play = ready()
    if state_of_first == "waiting":
        play >> sale(9)
    play >> sale(1)
    if state_of_first == "answered":
        play >> answered()
    play >> sale(1, amount=2000, reply="other") << told("other", Refusal.KEY_REUSED) << alerted("request_key_reused")
    play >> sale(1, card=OTHER_CARD, reply="other") << told("other", Refusal.KEY_REUSED) << quiet
    if state_of_first != "answered":
        assert not [x for d in play.drafts for x in d.effects if type(x).__name__ == "ForgetCard"]


def test_a_repeat_after_the_close_is_still_answered_from_state() -> None:
    play = closed(after_sales(1)) >> signed_in()
    play >> sale(1, reply="again") << told("again", "00") << quiet


def test_a_repeat_after_several_closes_is_still_answered_from_state() -> None:
    """D6: closes may follow each other quickly, and a request that is not known any more would be sent again."""
    play = after_sales(1)
    for number in range(2, 6):
        closed(play) >> signed_in() >> sale(number) >> answered()
    for number in range(1, 6):
        play >> sale(number, reply="again") << told("again", "00") << quiet


def test_only_so_many_earlier_requests_are_remembered() -> None:
    state = after_sales(1).state
    txn = state.transactions[request_id(1)]
    many = {request_id(n): replace(txn, request_id=request_id(n)) for n in range(1, 901)}
    skip = r.BatchSkipped(SettlementCause.SCHEDULE, None)
    state = apply(replace(state, transactions=many), skip, 0)
    assert len(state.closed) == 900, "the last batch is kept whole"
    state = apply(state, skip, 0)
    assert len(state.closed) == EARLIER_MAX
    assert request_id(900) in state.closed


def test_a_zero_amount_is_refused() -> None:
    ready() >> sale(1, amount=0) << told("sale-1", Refusal.AMOUNT_INVALID) << quiet << forgot(1)


def test_a_request_that_was_answered_not_sent_is_never_sent() -> None:
    """Its repeat may cross our answer: the terminal believes the answer (D6, D17; found by the world)."""
    play = ready() >> e.LinkDown("cut") >> sale(1)
    play.wait(10) << told("sale-1", Refusal.NOT_SENT)
    play >> e.LinkUp() >> sale(1, reply="again") << told("again", Refusal.NOT_SENT) << forgot(1) << quiet
    play.killed() >> e.LinkUp() >> sale(1, reply="later") << told("later", Refusal.NOT_SENT) << quiet
    play >> sale(2) << sent(TRANSACTION)


def test_d17_what_cannot_be_sent_in_time_is_answered_not_sent_and_is_not_sent() -> None:
    """D17: the terminal's patience counts from receipt."""
    play = Playbook() >> e.Started() >> e.LinkUp() >> sale(1) << quiet
    play.wait(42) << not_told
    play.wait(2) << told("sale-1", Refusal.NOT_SENT) << forgot(1)
    assert play.state.find(request_id(1)) is None
    assert not play.every(r.AuthorisationStarted)


def test_without_a_line_a_request_waits_for_a_connection_only() -> None:
    play = ready() >> e.LinkDown("reset") >> sale(1) << quiet << not_told
    play.wait(10) << told("sale-1", Refusal.NOT_SENT)


def test_a_line_that_comes_back_in_time_sends_what_waits() -> None:
    play = ready() >> e.LinkDown("reset") >> sale(1)
    play.wait(5) >> e.LinkUp() << sent(TRANSACTION)


def test_d17_a_request_that_comes_too_late_is_not_sent() -> None:
    play = ready()
    event = sale(1)(play)
    play.skip_time(60) >> event << told("sale-1", Refusal.NOT_SENT) << quiet


def test_too_many_waiting_requests_are_told_busy() -> None:
    ready(rules(queue_max=2)) >> sale(1) >> sale(2) >> sale(3) >> sale(4) << told("sale-4", Refusal.BUSY)


def test_one_exchange_at_a_time_in_the_order_of_asking() -> None:
    play = ready() >> sale(1) >> sale(2) << quiet >> sale(3) << quiet
    play >> answered() << sent(TRANSACTION) >> answered() << sent(TRANSACTION) >> answered() << quiet
    assert [record.terminal_stan for record in play.every(r.AuthorisationStarted)] == [1, 2, 3]


def test_an_answer_after_the_limit_is_late() -> None:
    play = ready() >> sale(1)
    stan = play.txn().stan
    play.wait(30) << sent(REVERSAL) >> late(TRANSACTION, stan, "00") << recorded(r.LateAnswer, approval=True)
    assert play.txn().status is TxnStatus.UNKNOWN
    assert play.txn().approval_seen


def test_a_duplicate_answer_changes_nothing() -> None:
    play = ready() >> sale(1)
    answer = e.HostAnswered(answer_to(play))
    play >> answer << told("sale-1", "00") >> answer << quiet << not_told << not_recorded(r.LateAnswer)
    assert play.txn().status is TxnStatus.APPROVED


def test_d8_an_answer_with_another_stan_or_class_is_not_ours() -> None:
    """D8."""
    play = ready() >> sale(1)
    play >> late(TRANSACTION, 999) << not_told >> late(REVERSAL, play.txn().stan) << not_told
    assert play.txn().status is TxnStatus.SENT
    play >> e.HostUnreadable("garbage") << not_told
    assert play.txn().status is TxnStatus.SENT


def test_d9_a_late_approval_of_a_declined_sale_is_reversed() -> None:
    """The host said no and then yes: the customer would be charged for what the terminal calls refused (P2)."""
    play = ready() >> sale(1) >> answered("51", MacCheck.ABSENT) >> late(TRANSACTION, 2, "00")
    play << recorded(r.LateAnswer) << recorded(r.ReversalOwed) << alerted("late_approval") << sent(REVERSAL)


def test_a_late_decline_of_an_approved_sale_changes_nothing() -> None:
    play = after_sales(1) >> late(TRANSACTION, 2, "51") << recorded(r.LateAnswer, approval=False) << quiet
    assert play.txn().status is TxnStatus.APPROVED


# --- voids -----------------------------------------------------------------------------------------------------------


def test_a_void_names_its_sale() -> None:
    play = after_sales(1) >> void(2, of=1) << sent(TRANSACTION)
    assert play.sent[-1].message.original == play.txn(1)
    play >> answered() << told("void-2", "00")
    assert play.txn(1).status is TxnStatus.APPROVED, "a voided sale stays in debit"


def test_a_void_by_rrn() -> None:
    play = after_sales(2)
    rrn = play.txn(2).facts.rrn
    event = void(3, of=0)(play)
    pointer = e.OriginalPointer(rrn, None, None)
    play >> _with(event, original=pointer) << sent(TRANSACTION)
    assert play.txn(3, "void").original == request_id(2)


def test_a_void_whose_rrn_and_trace_disagree_has_no_original() -> None:
    play = after_sales(2)
    event = void(3, of=1)(play)
    pointer = e.OriginalPointer(play.txn(2).facts.rrn, 1, play.txn(1).terminal_stan)
    play >> _with(event, original=pointer) << told("void-3", Refusal.NO_ORIGINAL)


def _with(event, **changes):
    return replace(event, **changes)


def test_a_void_of_nothing() -> None:
    play = after_sales(1) >> void(2, of=9) << told("void-2", Refusal.NO_ORIGINAL) << quiet << forgot(2, "void")
    event = void(3, of=1)(play)
    play >> _with(event, original=None) << told("void-3", Refusal.NO_ORIGINAL)


def test_a_void_of_a_declined_sale() -> None:
    ready() >> sale(1) >> answered("51") >> void(2, of=1) << told("void-2", Refusal.NO_ORIGINAL) << quiet


def test_a_void_twice() -> None:
    play = after_sales(1) >> void(2, of=1) >> void(3, of=1) << quiet
    play >> answered() << told("void-2", "00") << told("void-3", Refusal.ALREADY_VOIDED) << quiet


def test_a_void_of_another_amount_or_card() -> None:
    play = after_sales(1) >> void(2, of=1, amount=999) << told("void-2", Refusal.AMOUNT_DIFFERS)
    play >> void(3, of=1, card=OTHER_CARD) << told("void-3", Refusal.CARD_DIFFERS) << quiet


def test_a_void_of_a_void() -> None:
    after_sales(1) >> void(2, of=1) >> answered() >> void(3, of=2) << told("void-3", Refusal.NO_ORIGINAL)


def test_an_unknown_void_is_reversed_and_then_the_sale_may_be_voided_again() -> None:
    play = after_sales(1) >> void(2, of=1)
    play.wait(30) << told("void-2", Refusal.OUTCOME_UNKNOWN) << sent(REVERSAL)
    assert play.sent[-1].message.original == play.txn(1)
    play >> void(3, of=1) << quiet
    play >> answered("00") << sent(TRANSACTION) >> answered() << told("void-3", "00")
    assert play.txn(2, "void").status is TxnStatus.REVERSED
    assert play.txn(3, "void").status is TxnStatus.APPROVED


def test_a_void_while_an_earlier_one_is_unknown_is_refused() -> None:
    play = after_sales(1) >> void(2, of=1)
    play.wait(30) << sent(REVERSAL)
    play >> answered("96") >> void(3, of=1) << sent(REVERSAL) >> answered("96") << told("void-3", Refusal.NOT_SENT)


def test_a_void_declined_leaves_the_sale_voidable() -> None:
    after_sales(1) >> void(2, of=1) >> answered("61") >> void(3, of=1) << sent(TRANSACTION)


def test_a_sale_of_a_closed_batch_cannot_be_voided() -> None:
    closed(after_sales(1)) >> signed_in() >> void(2, of=1) << told("void-2", Refusal.NO_ORIGINAL) << quiet


# --- on_stuck --------------------------------------------------------------------------------------------------------


def stuck(with_rules) -> Playbook:
    play = ready(with_rules) >> sale(1)
    for _ in range(4):
        play.until_sent(REVERSAL) >> answered("96")
    return play << recorded(r.ReversalStuck)


def test_a_stuck_reversal_lets_new_sales_through() -> None:
    play = stuck(rules()) >> sale(2) << sent(TRANSACTION)
    assert play.txn(2).kind is TxnKind.SALE


def test_a_stuck_reversal_blocks_new_sales_where_the_shop_says_so() -> None:
    play = stuck(rules(on_stuck=OnStuck.BLOCK)) >> sale(2) << told("sale-2", Refusal.BLOCKED) << quiet
    play >> balance(3) << sent(TRANSACTION)


def test_what_waits_when_a_reversal_becomes_stuck_is_blocked_too() -> None:
    play = ready(rules(on_stuck=OnStuck.BLOCK, reversal_attempts_max=1)) >> sale(1)
    play.wait(30) << sent(REVERSAL)
    play >> sale(2) << quiet >> answered("96") << recorded(r.ReversalStuck) << told("sale-2", Refusal.BLOCKED) << quiet


def test_taken_back_after_the_approval() -> None:
    """The whole life of a sale that the terminal takes back after its approval."""
    play = after_sales(1) >> taken_back(1) << told("back-1", "00") << sent(REVERSAL, reason="98")
    play >> answered("00")
    assert play.txn().status is TxnStatus.REVERSED
