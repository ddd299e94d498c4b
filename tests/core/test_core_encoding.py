"""What cannot be said in the dialect: alerted, still owed, never a loop, and what led to it has happened (D1)."""

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal, SendTransaction, ToHost
from posd.core.rules import OnStuck
from posd.core.state import AdviceStatus, ReversalStatus, SettlementPhase, TxnStatus
from tests.core.playbook import (
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    done,
    forgot,
    late,
    offline_sale,
    quiet,
    ready,
    recorded,
    request_id,
    rules,
    sale,
    sent,
    settling,
    signed_in,
    told,
    unbalanced,
)

SIGN_IN, ECHO, TRANSACTION, REVERSAL = (
    ExchangeKind.SIGN_IN,
    ExchangeKind.ECHO,
    ExchangeKind.TRANSACTION,
    ExchangeKind.REVERSAL,
)
TOTALS, UPLOAD, TRAILER = ExchangeKind.TOTALS, ExchangeKind.UPLOAD, ExchangeKind.TRAILER


def unsayable(play: Playbook, *kinds: ExchangeKind) -> Playbook:
    """From now on these cannot be encoded; none: all can again."""
    play.cannot_encode = lambda to_host: "field 48 is too long" if to_host.kind in kinds else None
    return play


def leaving(play: Playbook, kind: ExchangeKind) -> int:
    return len([x for x in play.sent if x.kind is kind])


def test_a_sale_is_refused_and_never_started() -> None:
    play = unsayable(ready(), TRANSACTION) >> sale(1) << told("sale-1", Refusal.MALFORMED) << alerted("cannot_encode")
    play << forgot(1) << quiet
    assert play.state.find(request_id(1)) is None
    unsayable(play) >> sale(2) << sent(TRANSACTION)


def test_d34_each_line_of_the_log_about_a_request_names_it() -> None:
    of = request_id(1)
    play = unsayable(ready(), TRANSACTION) >> sale(1)
    assert play.facts("cannot_encode")["request_id"] == of
    play = ready() >> sale(1) >> e.HostUnreadable("field 4: not a digit", TRANSACTION, play.state.stan)
    assert play.facts("answer_unreadable")["request_id"] == of
    assert play.facts("outcome_unknown")["request_id"] == of
    play >> late(TRANSACTION, play.txn(1).stan)
    assert play.facts("answer_matches_nothing")["request_id"] == of
    play >> late(TRANSACTION, 999)
    assert "request_id" not in play.facts("answer_matches_nothing")


def test_a_repeat_of_such_a_sale_is_refused_again() -> None:
    play = unsayable(ready(), TRANSACTION) >> sale(1) >> sale(1, reply="again") << told("again", Refusal.MALFORMED)
    assert play.state.exchange is None


def test_the_answer_before_it_is_not_lost() -> None:
    """The approval that made room for the sale which cannot be encoded stands."""
    play = ready() >> sale(1) >> sale(2) >> sale(3) << quiet

    def bad(to_host: ToHost) -> str | None:
        message = to_host.message
        second = isinstance(message, SendTransaction) and message.transaction.request_id == request_id(2)
        return "field 55 is too long" if second else None

    play.cannot_encode = bad
    play >> answered() << told("sale-1", "00") << told("sale-2", Refusal.MALFORMED) << sent(TRANSACTION)
    assert play.txn(1).status is TxnStatus.APPROVED
    play >> answered() << told("sale-3", "00")


def test_several_in_a_row() -> None:
    play = ready() >> sale(1) >> sale(2) >> sale(3)
    unsayable(play, TRANSACTION) >> answered() << told("sale-1", "00")
    play << told("sale-2", Refusal.MALFORMED) << told("sale-3", Refusal.MALFORMED) << quiet


def test_a_reversal_is_stuck_still_owed_and_lets_sales_through() -> None:
    play = ready() >> sale(1)
    unsayable(play, REVERSAL).wait(30) << told("sale-1", Refusal.OUTCOME_UNKNOWN) << recorded(r.ReversalOwed)
    play << recorded(r.ReversalStuck) << alerted("cannot_encode") << alerted("reversal_stuck") << quiet
    play >> sale(2) << sent(TRANSACTION) >> answered() << told("sale-2", "00")
    assert play.state.reversals[request_id(1)].status is ReversalStatus.STUCK
    unsayable(play).wake() << sent(REVERSAL)
    play >> answered("00") << recorded(r.ReversalAcknowledged)


def out_of_reach(play: Playbook, *kinds: ExchangeKind) -> Playbook:
    """A token is pulled out: nothing that needs its key can be said, until it is back."""
    play.for_now = True
    return unsayable(play, *kinds)


def test_a_reversal_whose_key_is_out_of_reach_waits_and_is_not_stuck() -> None:
    """Half an hour later would be late for a card that was charged, and a block for half an hour too much."""
    play = ready(rules(on_stuck=OnStuck.BLOCK)) >> sale(1)
    out_of_reach(play, REVERSAL).wait(30) << recorded(r.ReversalOwed) << alerted("cannot_encode") << quiet
    play >> sale(2) << told("sale-2", Refusal.NOT_SENT) << quiet
    play.wait(3_600)
    assert play.state.reversals[request_id(1)].status is ReversalStatus.OWED
    assert (leaving(play, REVERSAL), play.state.reversals[request_id(1)].attempts) == (0, 0)
    out_of_reach(play) >> sale(3) << sent(REVERSAL)
    (
        play
        >> answered("00")
        << recorded(r.ReversalAcknowledged)
        << sent(TRANSACTION)
        >> answered()
        << told("sale-3", "00")
    )
    again = ready() >> sale(1)
    out_of_reach(again, REVERSAL).wait(30)
    out_of_reach(again).wait(6) << sent(REVERSAL)


def test_so_does_an_advice() -> None:
    play = out_of_reach(ready(), TRANSACTION) >> offline_sale(1) << told("offline_sale-1", "00")
    unsayable(play) >> sale(2)
    out_of_reach(play, TRANSACTION) >> answered() << alerted("cannot_encode") << quiet
    assert play.state.advices[request_id(1, "offline_sale")].status is AdviceStatus.OWED
    out_of_reach(play).wait(6) << sent(TRANSACTION) >> answered() << recorded(r.AdviceAcknowledged)


def test_a_reversal_that_cannot_be_encoded_blocks_where_the_shop_says_so() -> None:
    play = ready(rules(on_stuck=OnStuck.BLOCK)) >> sale(1) >> sale(2)
    unsayable(play, REVERSAL).wait(30) << told("sale-2", Refusal.BLOCKED) << quiet


def test_a_reversal_is_tried_again_slowly_and_not_in_a_loop() -> None:
    play = ready() >> sale(1)
    unsayable(play, REVERSAL).wait(30)
    play.wait(6 * 3600)
    assert leaving(play, REVERSAL) == 0
    assert len([a for a in play.alerts if a == "cannot_encode"]) == 12


def test_a_stuck_reversal_that_cannot_be_encoded_does_not_hold_the_close_for_ever() -> None:
    play = after_sales(1) >> sale(2)
    unsayable(play, REVERSAL).wait(30)
    play >> SETTLE_NOW >> signed_in() << recorded(r.SettlementBegun) << quiet
    play.until_sent(TOTALS) << recorded(r.ReversalCarriedOver)


def test_a_person_can_still_end_it() -> None:
    play = ready() >> sale(1)
    unsayable(play, REVERSAL).wait(30)
    play >> e.RetryReversals("c", "anna", None) << alerted("cannot_encode") << quiet << done()
    play >> e.ResolveReversal("c", "anna", "refunded", request_id(1)) << done()
    play.wait(7200)
    assert play.engine.next_deadline_s(play.now) is None


def test_a_sign_in_is_backed_off() -> None:
    play = unsayable(Playbook(), SIGN_IN) >> e.Started() >> e.LinkUp() << alerted("cannot_encode") << quiet
    play.wait(600)
    assert 5 < len(play.alerts) < 30
    unsayable(play).wake() << sent(SIGN_IN)


def test_the_sign_in_before_a_close_is_backed_off() -> None:
    play = unsayable(after_sales(1), SIGN_IN) >> SETTLE_NOW << done() << alerted("settlement_postponed") << quiet
    play >> sale(2) << sent(TRANSACTION) >> answered()
    play.wait(3600)
    assert len([a for a in play.alerts if a == "cannot_encode"]) < 12
    unsayable(play).until_sent(SIGN_IN) >> signed_in() << sent(TOTALS)


def test_an_echo_is_skipped() -> None:
    play = unsayable(ready(rules(echo_interval_s=60.0)), ECHO)
    play.wait(60) << alerted("cannot_encode") << quiet
    unsayable(play).wait(60) << sent(ECHO)


def test_totals_are_backed_off_and_sales_go_on() -> None:
    play = unsayable(after_sales(1), TOTALS) >> SETTLE_NOW >> signed_in() << recorded(r.SettlementBegun)
    play << alerted("cannot_encode") << quiet
    assert play.state.settlement.phase is SettlementPhase.DRAINING
    play >> sale(2) << sent(TRANSACTION) >> answered()
    play.wait(3600)
    assert len(play.alerts) < 12
    unsayable(play).until_sent(TOTALS) >> balanced() << sent(TRAILER)


def test_repeated_totals_are_backed_off() -> None:
    play = settling(after_sales(1))
    play.wait(30)
    unsayable(play, TOTALS).wait(3600)
    assert len(play.alerts) < 12
    unsayable(play).until_sent(TOTALS)


def test_an_upload_is_tried_again_and_then_set_aside() -> None:
    play = unsayable(settling(after_sales(9)), UPLOAD) >> unbalanced() << recorded(r.TotalsAnswered) << quiet
    play.wake()
    play.wake()
    play.wake() << recorded(r.UploadSetAside) << alerted("upload_set_aside")
    assert play.state.settlement.uploaded == 8
    unsayable(play).until_sent(UPLOAD) >> answered() << sent(TRAILER, uploaded=1)


def bad_card(play: Playbook, *numbers: int) -> Playbook:
    """The cards of these sales cannot be read from the vault."""
    bad = [request_id(number) for number in numbers]

    def because(to_host: ToHost) -> str | None:
        items = getattr(to_host.message, "transactions", ())
        play.at_fault = next((txn.request_id for txn in items if txn.request_id in bad), None)
        return "its data key is missing" if play.at_fault else None

    play.cannot_encode = because
    return play


def uploaded(play: Playbook) -> list[tuple[int, ...]]:
    """The trace numbers of the terminal in each upload that left."""
    sent_on = [out.message for out in play.sent if out.kind is UPLOAD]
    return [tuple(txn.terminal_stan for txn in message.transactions) for message in sent_on]  # type: ignore[union-attr]


def test_d21_only_the_item_whose_card_cannot_be_read_is_set_aside() -> None:
    play = bad_card(settling(after_sales(9)), 4) >> unbalanced() << alerted("cannot_encode") << sent(UPLOAD)
    assert uploaded(play) == [(1, 2, 3)]
    play >> answered() << quiet
    while not play.every(r.UploadSetAside):
        play.wake()
    assert play.facts("upload_set_aside")["request_id"] == request_id(4)
    play << recorded(r.UploadSetAside, request_ids=(request_id(4),), because="its data key is missing")
    play.until_sent(UPLOAD) >> answered() << sent(TRAILER, uploaded=8)
    assert uploaded(play) == [(1, 2, 3), (5, 6, 7, 8, 9)]


def test_d21_a_card_that_can_be_read_again_goes_too() -> None:
    play = bad_card(settling(after_sales(3)), 2) >> unbalanced() >> answered()
    unsayable(play).until_sent(UPLOAD) >> answered() << sent(UPLOAD) >> answered() << sent(TRAILER, uploaded=3)
    assert uploaded(play) == [(1,), (2,), (3,)]


def test_d21_a_vault_that_is_gone_holds_the_close_once_and_not_for_each_item() -> None:
    numbers = range(1, 31)
    play = bad_card(settling(after_sales(30)), *numbers) >> unbalanced()
    began_s = play.mono
    play.until_sent(TRAILER) << sent(TRAILER, uploaded=0)
    assert len(play.every(r.UploadSetAside)) == 30
    assert play.mono - began_s < 1800
    play >> answered() >> signed_in()
    assert (play.engine.agenda.unsayable, "unsayable" in play.engine.agenda.failures) == (frozenset(), False)


def test_d21_what_is_in_doubt_goes_without_the_item_that_cannot_be_read_any_more() -> None:
    """Eight were sent, no answer came, and then a data key was lost: the host knows what comes a second time."""
    play = settling(after_sales(9)) >> unbalanced() << sent(UPLOAD)
    play.wait(30)
    bad_card(play, 5).until_sent(UPLOAD) >> answered()
    while not play.every(r.UploadSetAside):
        play.wake()
    play.until_sent(UPLOAD) >> answered() << sent(TRAILER, uploaded=8)
    assert uploaded(play) == [(1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4), (6, 7, 8, 9)]
    stans = [out.message.stan for out in play.sent if out.kind is UPLOAD]  # type: ignore[union-attr]
    assert len(set(stans)) == 3, "another message has another number"


def test_a_trailer_is_backed_off() -> None:
    play = unsayable(settling(after_sales(1)), TRAILER) >> balanced() << recorded(r.TotalsAnswered) << quiet
    play.wait(3600)
    assert len(play.alerts) < 12
    unsayable(play).until_sent(TRAILER)


def test_a_reversal_that_is_not_owed_yet_does_no_harm() -> None:
    """A caller that says what failed before it says what led to it."""
    play = ready() >> sale(1) >> e.EncodingFailed(REVERSAL, request_id(1), "no") << alerted("cannot_encode")
    unsayable(play, REVERSAL) >> answered("68") << recorded(r.ReversalOwed) << quiet
    play >> sale(2) << recorded(r.ReversalStuck) << sent(TRANSACTION)


@pytest.mark.parametrize("kind", list(ExchangeKind))
def test_without_what_led_to_it_the_event_is_still_safe(kind: ExchangeKind) -> None:
    """A caller that only says what failed: nothing is sent, nothing loops, nothing is dropped."""
    play = after_sales(1) >> sale(2) >> answered("68") << sent(REVERSAL) >> answered("96")
    of = request_id(2) if kind in (TRANSACTION, REVERSAL) else None
    if kind is UPLOAD:
        play = settling(after_sales(1)) >> unbalanced() >> answered("96")
    play >> e.EncodingFailed(kind, of, "no") << alerted("cannot_encode")
