"""Signing in: ready means signed in; only the newest answer loads keys; a refusal is said and retried slower."""

from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, MacCheck
from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.core.state import SettlementCause
from posd.values import Stan
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    closed,
    given_keys,
    host_totals,
    late,
    not_alerted,
    quiet,
    ready,
    recorded,
    rules,
    sale,
    sent,
    settling,
    signed_in,
    swiped,
    terminal_signs_in,
    told,
)

SIGN_IN, ECHO, TRANSACTION = ExchangeKind.SIGN_IN, ExchangeKind.ECHO, ExchangeKind.TRANSACTION


def starting(with_rules=RULES) -> Playbook:
    return Playbook(with_rules) >> e.Started()


def test_the_line_comes_up_and_the_terminal_signs_in() -> None:
    starting() << quiet >> e.LinkUp() << sent(SIGN_IN) >> signed_in() << recorded(r.SignedIn) << not_alerted << quiet


def test_a_refused_sign_in_is_said_and_tried_again_after_a_growing_gap() -> None:
    play = starting() >> e.LinkUp() >> answered("03") << recorded(r.SignInFailed) << alerted("sign_in_failed") << quiet
    gaps = []
    for _ in range(4):
        deadline_s = play.engine.next_deadline_s(play.now)
        assert deadline_s is not None
        gaps.append(deadline_s - play.mono)
        play.wait(gaps[-1]) << sent(SIGN_IN)
        play >> answered("03") << quiet
    assert gaps == sorted(gaps)
    assert gaps[-1] > 2 * gaps[0]


def test_keys_with_a_wrong_check_value_leave_the_terminal_signed_out() -> None:
    play = starting() >> e.LinkUp() >> answered("00", key_trouble="the check value of the MAK differs")
    play << recorded(r.SignInFailed, because="the check value of the MAK differs") << alerted("sign_in_failed")
    assert not play.state.session.signed_in


def test_no_answer_to_a_sign_in_is_a_failed_one() -> None:
    play = starting() >> e.LinkUp()
    play.wait(30) << recorded(r.SignInFailed) << alerted("sign_in_failed")
    play.wait(5) << sent(SIGN_IN)


def test_d8_each_sign_in_takes_a_new_stan_and_only_the_newest_answer_loads_keys() -> None:
    play = starting() >> e.LinkUp()
    first = play.state.exchange.stan
    play.wait(33) << sent(SIGN_IN)
    assert play.state.exchange.stan != first
    play >> late(SIGN_IN, first, wrapped_keys="11" * 24)
    assert not play.state.session.signed_in
    play >> signed_in(keys="22" * 24)
    assert play.state.session.wrapped_keys == "22" * 24


def test_a_line_that_falls_during_the_sign_in_ends_it() -> None:
    play = starting() >> e.LinkUp() >> e.LinkDown("reset") << recorded(r.SignInFailed) << quiet
    play >> e.LinkUp() << sent(SIGN_IN)


def test_a_new_line_needs_no_new_sign_in() -> None:
    play = ready() >> e.LinkDown("reset") >> e.LinkUp() << quiet
    play >> sale(1) << sent(TRANSACTION)


def test_d26_a_restart_needs_no_new_sign_in() -> None:
    """D26: the keys are held as received."""
    play = ready()
    play.killed() >> e.LinkUp() << quiet >> sale(1) << sent(TRANSACTION)


def test_a_killed_sign_in_is_begun_anew() -> None:
    play = starting() >> e.LinkUp()
    play.killed() << recorded(r.SignInFailed) >> e.LinkUp() << sent(SIGN_IN)


def test_d7_the_hosts_batch_number_is_adopted_outside_settlement() -> None:
    play = starting() >> e.LinkUp() >> signed_in(batch=42)
    assert play.state.batch.number == 42


def test_d7_a_changed_batch_number_with_open_transactions_settles_early() -> None:
    """D7."""
    play = after_sales(1) >> sale(2) >> answered("A0") << sent(SIGN_IN) >> signed_in(batch=42)
    play << alerted("host_batch_number_changed")
    play << recorded(r.SettlementWanted, cause=SettlementCause.HOST_BATCH_CHANGED) << sent(SIGN_IN)
    play >> signed_in() << recorded(r.SettlementBegun) << sent(ExchangeKind.TOTALS)
    assert play.txn(1).batch_number == 7, "each transaction keeps the number it was sent with"


def test_d7_a_batch_number_that_we_closed_ourselves_is_alerted() -> None:
    closed(after_sales(1)) >> signed_in(batch=7) << alerted("host_batch_number_was_closed_by_us")


def test_an_idle_line_is_echoed() -> None:
    play = ready(rules(echo_interval_s=60.0))
    play.wait(59) << quiet
    play.wait(1) << sent(ECHO)
    play >> answered() << recorded(r.EchoEnded, answered=True) << not_alerted
    play.wait(60) << sent(ECHO)
    play.wait(30) << alerted("echo_unanswered") << recorded(r.EchoEnded, answered=False)


def test_d8_an_echo_without_stan_is_matched_and_takes_no_stan() -> None:
    """D8."""
    play = ready(rules(echo_interval_s=60.0))
    before = play.state.stan
    play.wait(60) << sent(ECHO)
    assert play.state.exchange.stan is None
    assert play.state.stan == before
    play >> late(ECHO, None) << recorded(r.EchoEnded, answered=True)


def test_d26_the_terminals_sign_in_is_answered_from_the_held_block() -> None:
    """D26: without a new sign-in to the host."""
    play = ready() >> terminal_signs_in() << given_keys() << quiet
    assert play.state.session.terminal_generation == play.state.session.generation


def test_the_terminals_sign_in_waits_for_ours() -> None:
    starting() >> e.LinkUp() >> terminal_signs_in() << quiet >> signed_in() << given_keys()


def test_the_terminals_sign_in_does_not_wait_for_ever() -> None:
    play = starting() >> terminal_signs_in()
    play.wait(44) << told("keys", Refusal.NOT_SENT)


def test_too_many_waiting_sign_ins_leave_none_unanswered() -> None:
    play = starting(rules(queue_max=1)) >> terminal_signs_in()
    play >> e.TerminalSignInRequested("second", play.mono) << told("keys", Refusal.BUSY)
    play >> e.LinkUp() >> signed_in() << given_keys("second")


def test_d26_a_pin_under_an_older_key_is_refused_unsent() -> None:
    """D26."""
    play = ready() >> sale(1, pin=True) << told("sale-1", Refusal.SIGN_IN_FIRST) << quiet
    play >> terminal_signs_in() >> sale(2, pin=True) << sent(TRANSACTION)


def test_d26_a_pin_that_became_stale_while_waiting_is_not_sent() -> None:
    """D26: the sign-in before it brought other keys."""
    play = ready() >> terminal_signs_in() >> sale(1) >> answered("A0") << sent(SIGN_IN)
    play >> sale(2, pin=True) >> signed_in() << told("sale-2", Refusal.SIGN_IN_FIRST) << quiet


def test_d26_tracks_under_an_older_key_are_refused_unsent() -> None:
    """D26: the host would open them with another key. They need no PIN entry to be allowed."""
    play = ready(rules(pin_allowed=False)) >> swiped(1) << told("sale-1", Refusal.SIGN_IN_FIRST) << quiet
    play >> terminal_signs_in() >> swiped(2) << sent(TRANSACTION)


def test_d26_tracks_whose_key_became_stale_while_they_waited_are_not_sent() -> None:
    """D26."""
    play = ready() >> terminal_signs_in() >> sale(1) >> answered("A0") << sent(SIGN_IN)
    play >> swiped(2) >> signed_in() << told("sale-2", Refusal.SIGN_IN_FIRST) << quiet


def test_d27_pin_entry_can_be_refused() -> None:
    """D27."""
    play = ready(rules(pin_allowed=False)) >> terminal_signs_in()
    play >> sale(1, pin=True) << told("sale-1", Refusal.NOT_SUPPORTED) << quiet


def test_sign_off_and_echo_of_the_terminal_are_answered() -> None:
    ready() >> e.TerminalSignedOff("off") << told("off", "00") >> e.TerminalEchoed("echo") << told("echo", "00")


def test_stan_999999_is_followed_by_1() -> None:
    play = ready()
    play.engine.state = replace(play.state, stan=Stan(999_999))
    play.folded = replace(play.folded, stan=Stan(999_999))
    play >> sale(1) << sent(TRANSACTION) >> answered()
    assert play.txn(1).stan == 999_999
    assert play.state.stan == 1
    assert play.txn(1).kind is TxnKind.SALE


# --- what the host asks for beside an answer (reference 1.1) ----------------------------------------------------------

AGAIN = {"attention": "3", "wants": "sign in again", "wants_sign_in": True}
DOWNLOAD = {"attention": "1", "wants": "download the terminal's parameters"}


def test_digit_6_a_new_sign_in_follows_the_current_transaction() -> None:
    play = ready() >> sale(1) >> sale(2) >> answered(**AGAIN) << told("sale-1", "00") << recorded(r.SignInWanted)
    play << sent(SIGN_IN) >> signed_in() << sent(TRANSACTION) >> answered() << told("sale-2", "00") << quiet
    assert not play.state.session.renewal_wanted


def test_digit_6_the_wish_outlives_a_restart() -> None:
    play = ready() >> sale(1) >> e.LinkDown("cut") >> e.LinkUp() << sent(ExchangeKind.REVERSAL)
    play >> answered(**AGAIN) << sent(SIGN_IN)
    play.killed() >> e.LinkUp() << sent(SIGN_IN)


def test_digit_6_waits_for_the_end_of_a_settlement() -> None:
    play = settling(after_sales(1, rules(sign_in_after_close=False)))
    play >> answered("", host_totals=host_totals(play), **AGAIN) << recorded(r.SignInWanted)
    play << sent(ExchangeKind.TRAILER) >> answered(**AGAIN) << recorded(r.BatchClosed) << sent(SIGN_IN)
    assert len(play.every(r.SignInWanted)) == 1


def test_digit_6_beside_a_sign_in_is_no_loop() -> None:
    play = starting() >> e.LinkUp()
    fed = signed_in()(play)
    play >> e.HostAnswered(replace(fed.answer, **AGAIN)) << alerted("host_wants") << quiet


def test_digit_6_what_else_the_host_wants_is_alerted_once() -> None:
    play = ready() >> sale(1) >> answered(**DOWNLOAD) << alerted("host_wants") << quiet
    play >> sale(2) >> answered(**DOWNLOAD) << not_alerted
    alerts = [x for d in (ready() >> sale(1) >> answered(**DOWNLOAD)).drafts for x in d.effects if hasattr(x, "facts")]
    assert "download the terminal's parameters" in [alert.facts.get("wants") for alert in alerts]
    play.wait(3600)
    play >> sale(3) >> answered(**DOWNLOAD) << alerted("host_wants")


def test_digit_6_of_an_answer_that_is_not_trusted_is_nothing() -> None:
    play = ready() >> sale(1) >> answered("00", MacCheck.BAD, **AGAIN) << sent(ExchangeKind.REVERSAL)
    play >> answered(mismatch="field 4 differs", **AGAIN) << quiet
    assert not play.every(r.SignInWanted)


def test_a_sign_off_follows_the_close_where_the_acquirer_wants_it() -> None:
    play = after_sales(1, rules(sign_off_after_close=True)) >> SETTLE_NOW >> signed_in() >> balanced() >> answered()
    (
        play
        << recorded(r.BatchClosed)
        << sent(ExchangeKind.SIGN_OFF)
        >> answered()
        << recorded(r.SignOffEnded, answered=True)
    )
    play << sent(ExchangeKind.SIGN_IN) >> signed_in() << quiet


def test_a_sign_off_without_an_answer_is_not_said_again() -> None:
    play = after_sales(1, rules(sign_off_after_close=True)) >> SETTLE_NOW >> signed_in() >> balanced() >> answered()
    play.wait(30) << recorded(r.SignOffEnded, answered=False) << sent(ExchangeKind.SIGN_IN)
    play.killed() >> e.LinkUp() << sent(ExchangeKind.SIGN_IN)
