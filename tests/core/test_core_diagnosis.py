"""Why a reversal is still owed: one cause with its evidence; and the first suspects of a batch out of balance."""

import pytest

from posd.core import events as e
from posd.core.answers import ExchangeKind, MacCheck
from posd.core.diagnosis import CAUSE_OF_WHY, Cause, Diagnosis, SignOf, Surroundings, diagnose, first_suspects
from posd.core.rules import Why
from posd.core.state import HISTORY_MAX, ReversalStatus, Session
from tests.core.playbook import (
    Playbook,
    after_sales,
    answered,
    ready,
    refund,
    request_id,
    rules,
    sale,
    sent,
    settling,
    signed_in,
    taken_back,
)

REVERSAL = ExchangeKind.REVERSAL
OF = request_id(1)


def of(play: Playbook, running: bool = True, link_up: bool | None = None) -> Diagnosis:
    up = play.engine.agenda.link_up if link_up is None else link_up
    around = Surroundings(running, up, "connection refused", play.state.session)
    return diagnose(play.state.reversals[OF], play.state.find(OF), around)


def owed(play: Playbook | None = None) -> Playbook:
    play = (play or ready()) >> sale(1)
    return play.wait(30) << sent(REVERSAL)


def signs(found: Diagnosis) -> list[SignOf]:
    return [sign.of for sign in found.signs]


def test_it_is_owed_for_what_made_it_owed_until_an_attempt_fails() -> None:
    found = of(owed())
    assert found.cause is Cause.HOST
    assert signs(found) == [SignOf.OWED, SignOf.ATTEMPT]
    assert (found.signs[0].why, found.signs[1].reason, found.signs[1].code) == (Why.TIMEOUT, "98", None)
    assert of(after_sales(1) >> taken_back(1)).cause is Cause.TERMINAL
    bad_mac = of(ready() >> sale(1) >> answered("00", MacCheck.BAD))
    assert bad_mac.cause is Cause.KEY
    assert SignOf.APPROVAL_SEEN in signs(bad_mac)


def test_a_line_that_is_down_comes_first() -> None:
    found = of(owed() >> answered("96") >> e.LinkDown("reset"))
    assert (found.cause, found.signs[0].of, found.signs[0].detail) == (
        Cause.LINE,
        SignOf.LINE_DOWN,
        "connection refused",
    )


def test_posd_that_does_not_run_comes_before_the_line() -> None:
    found = of(owed(), running=False, link_up=False)
    assert (found.cause, found.signs[0].of) == (Cause.OURS, SignOf.NOT_RUNNING)


def test_a_terminal_that_is_signed_out_cannot_reverse() -> None:
    play = owed() >> answered("A0") << sent(ExchangeKind.SIGN_IN) >> answered("03")
    found = of(play)
    assert (found.cause, found.signs[0].of, found.signs[0].detail) == (
        Cause.KEY,
        SignOf.SIGNED_OUT,
        "the host answered 03",
    )


@pytest.mark.parametrize(
    ("code", "mac", "cause"),
    [
        ("96", MacCheck.GOOD, Cause.HOST),
        ("30", MacCheck.GOOD, Cause.OURS),
        ("97", MacCheck.GOOD, Cause.OURS),
        ("00", MacCheck.BAD, Cause.KEY),
        ("00", MacCheck.ABSENT, Cause.KEY),
        ("89", MacCheck.GOOD, Cause.KEY),
    ],
)
def test_the_newest_failed_attempt_tells(code: str, mac: MacCheck, cause: Cause) -> None:
    play = owed() >> answered("96")
    play.wait(5) << sent(REVERSAL)
    assert of(play >> answered(code, mac)).cause is cause


def test_a_second_wish_for_a_sign_in_is_the_key() -> None:
    play = owed() >> answered("A0") >> signed_in() >> answered("A0") >> signed_in()
    found = of(play)
    assert found.cause is Cause.KEY
    assert [sign.code for sign in found.signs if sign.of is SignOf.ATTEMPT] == ["A0", "A0"]


def test_a_line_that_was_cut_during_the_attempt() -> None:
    play = owed() >> e.LinkDown("reset") >> e.LinkUp()
    assert of(play).cause is Cause.LINE


def test_a_restart_during_the_attempt_is_ours() -> None:
    play = owed()
    play.killed() >> e.LinkUp()
    assert of(play, link_up=True).cause is Cause.OURS


def test_what_cannot_be_encoded_is_ours_and_says_why() -> None:
    play = ready()
    play.cannot_encode = lambda to_host: "the card number cannot be read" if to_host.kind is REVERSAL else None
    play >> sale(1)
    play.wait(30)
    found = of(play)
    assert (found.cause, found.signs[0].of, found.signs[0].detail) == (
        Cause.OURS,
        SignOf.CANNOT_ENCODE,
        "the card number cannot be read",
    )
    play.cannot_encode = lambda to_host: None
    play >> e.RetryReversals("c", "anna", OF) << sent(REVERSAL)
    assert SignOf.CANNOT_ENCODE not in signs(of(play))


def test_a_conflict_is_the_hosts_even_while_the_line_is_down() -> None:
    play = ready() >> sale(1) >> answered("00", MacCheck.BAD) >> answered("25") >> e.LinkDown("reset")
    assert play.state.reversals[OF].status is ReversalStatus.CONFLICT
    found = of(play)
    assert found.cause is Cause.HOST
    assert signs(found) == [SignOf.OWED, SignOf.APPROVAL_SEEN, SignOf.ATTEMPT]


def test_one_that_has_ended_says_what_had_kept_it() -> None:
    play = owed() >> answered("30")
    play.wait(5) >> answered("00")
    found = of(play, link_up=False)
    assert found.cause is Cause.OURS
    assert [sign.code for sign in found.signs if sign.of is SignOf.ATTEMPT] == ["30", "00"]


def test_so_many_attempts_are_remembered_with_their_outcome_also_over_a_restart() -> None:
    play = owed(ready(rules(reversal_attempts_max=99)))
    for _ in range(HISTORY_MAX + 4):
        play.until_sent(REVERSAL) >> answered("96")
    play.killed()
    history = play.state.reversals[OF].history
    assert len(history) == HISTORY_MAX
    assert {attempt.code for attempt in history} == {"96"}
    assert play.state.reversals[OF].attempts == HISTORY_MAX + 4
    assert history[-1].at_ms > history[0].at_ms


def test_every_why_has_a_cause() -> None:
    assert set(CAUSE_OF_WHY) == set(Why)
    assert not Session().signed_in


def test_d10_d13_d19_the_first_suspects() -> None:
    play = after_sales(1) >> sale(2) >> answered("51", MacCheck.ABSENT) >> refund(3) >> answered("68")
    play >> sale(4)
    play.wait(30) >> answered("96")
    play >> e.SettleNow("c", "anna") >> signed_in()
    while play.state.exchange is None or play.state.exchange.kind is not ExchangeKind.TOTALS:
        play >> answered("96") if play.state.exchange else play.wait(60)
    suspects = first_suspects(play.state.transactions.values(), play.state.reversals.values())
    assert suspects == [request_id(3, "refund"), request_id(2), request_id(4)]
    assert first_suspects(settling(after_sales(1)).state.transactions.values(), ()) == []
