"""Downloads and status: wanted by the host, asked by the terminal, applied only where the configuration says so."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import management
from posd.core import records as r
from posd.core.answers import ExchangeKind
from posd.core.effects import ManagementResult, Refusal, SendManagement
from posd.core.rules import Rules
from posd.core.state import SettlementPhase
from tests.core.playbook import (
    RULES,
    Fed,
    Playbook,
    alerted,
    answered,
    balanced,
    done,
    not_alerted,
    not_recorded,
    not_told,
    quiet,
    ready,
    recorded,
    request_id,
    rules,
    sale,
    sent,
    settling,
    told,
)

MANAGEMENT, TRANSACTION = ExchangeKind.MANAGEMENT, ExchangeKind.TRANSACTION
DOWNLOAD = "0800/360"
TOLD = {"timeout_s": "45", "resend_times": "1", "offline_max": "03", "merchant_name": "小店"}


def asks(function: str = DOWNLOAD, code: str = "00") -> Fed:
    return answered(code, attention="1", wants="download the terminal's parameters", wants_function=function)


def wanted() -> Playbook:
    """A sale with whose answer the host asks for a download, which is in flight now."""
    play = ready() >> sale(1) << sent(TRANSACTION) >> asks() << told("sale-1", "00")
    return play << recorded(r.DownloadWanted, function=DOWNLOAD) << sent(MANAGEMENT, function=DOWNLOAD)


def terminal_asks(function: str = "0800/370", block: str = "9F0605A0", reply: str = "d") -> Fed:
    return lambda play: e.TerminalManagement(function, block, reply, play.mono)


def result(play: Playbook, reply: str = "d") -> Any:
    (found,) = [one.answer for draft in play.drafts for one in draft.to_terminal if one.reply_to == reply]
    return found


# --- what the host wants ---------------------------------------------------------------------------------------------


def test_what_the_host_asks_for_follows_its_answer_and_is_recorded() -> None:
    play = wanted() >> answered("00", parameters=TOLD) << recorded(r.ParametersTold, parameters=TOLD) << not_alerted
    assert play.state.parameters == TOLD
    assert play.state.wanted == ()
    play.killed()
    assert play.state.parameters == TOLD


def test_a_customer_comes_first() -> None:
    play = ready() >> sale(1) >> sale(2) >> asks() << sent(TRANSACTION)
    assert play.sent[-1].request_id == request_id(2)
    play >> answered() << sent(MANAGEMENT)


def test_it_is_asked_for_once_however_often_the_host_asks() -> None:
    play = wanted() >> asks() << quiet
    play >> sale(2) >> asks() << not_recorded(r.DownloadWanted) << quiet
    play.wait(3700)
    play >> sale(3) >> asks() << sent(MANAGEMENT)


FAILED = {
    "refused": answered("96"),
    "mismatch": answered("00", mismatch="field 11 is not that of the request"),
    "unreadable": answered("00", block_trouble="its parameters cannot be read: field 62: offset 0"),
}


@pytest.mark.parametrize("how", FAILED)
def test_one_that_fails_is_alerted_shown_and_in_nobodys_way(how: str) -> None:
    play = wanted() >> FAILED[how] << alerted("download_failed") << not_recorded(r.ParametersTold)
    play << recorded(r.DownloadFailed, function=DOWNLOAD) << quiet
    play >> sale(2) << sent(TRANSACTION) >> answered() << quiet
    assert play.state.download_failed is not None
    assert (play.state.wanted, play.state.download_failed.times) == ((DOWNLOAD,), 1)


def test_one_without_an_answer_has_failed() -> None:
    play = wanted()
    play.wait(31)
    play << alerted("download_failed")
    assert play.state.download_failed is not None


def test_what_failed_is_asked_again_until_it_is_answered() -> None:
    """With growing gaps, and said once: nobody reads the same alert every hour."""
    play = wanted() >> FAILED["unreadable"]
    for times in range(2, 6):
        play.until_sent(MANAGEMENT) >> FAILED["unreadable"] << not_alerted
        assert play.state.download_failed is not None
        assert play.state.download_failed.times == times
    play.until_sent(MANAGEMENT) >> FAILED["refused"] << alerted("download_failed")
    began_s = play.mono
    play.until_sent(MANAGEMENT) >> answered("00", parameters=TOLD) << recorded(r.ParametersTold)
    assert play.mono - began_s <= 3600
    assert (play.state.wanted, play.state.download_failed) == ((), None)
    play.wait(7200) << quiet


def test_an_answer_without_parameters_forgets_none() -> None:
    play = wanted() >> answered("00", parameters=TOLD)
    play.wait(3700)
    play >> sale(2) >> asks() << sent(MANAGEMENT)
    play >> answered("00", parameters={}) << not_recorded(r.ParametersTold)
    assert (play.state.parameters, play.state.wanted) == (TOLD, ())


def test_a_kill_amid_a_download_is_a_failed_one() -> None:
    play = wanted().killed() << alerted("download_failed")
    assert (play.state.wanted, play.state.exchange) == ((DOWNLOAD,), None)
    play >> e.LinkUp()
    play.until_sent(MANAGEMENT)


# --- what a person wants ---------------------------------------------------------------------------------------------

ASKS = e.DownloadNow("command", "Li Wei")


def test_a_person_has_the_parameters_asked_for_now() -> None:
    play = ready(rules(download=DOWNLOAD)) >> ASKS << done() << sent(MANAGEMENT, function=DOWNLOAD)
    play << recorded(r.DownloadWanted, function=DOWNLOAD, by="Li Wei")
    play >> FAILED["refused"] << quiet
    play >> ASKS << done() << sent(MANAGEMENT) << not_recorded(r.DownloadWanted)  # before its gap is over
    play >> answered("00", parameters=TOLD) << recorded(r.ParametersTold)


def test_without_a_line_it_waits() -> None:
    play = ready(rules(download=DOWNLOAD)) >> e.LinkDown("cut") >> ASKS << done() << quiet
    play >> e.LinkUp()
    play.until_sent(MANAGEMENT)


def test_a_dialect_without_downloads_says_so() -> None:
    ready() >> ASKS << done(ok=False) << quiet << not_recorded(r.DownloadWanted)


def test_what_was_wanted_and_not_sent_yet_survives_a_kill() -> None:
    play = ready() >> sale(1) >> sale(2) >> asks() << sent(TRANSACTION)
    play.killed() >> e.LinkUp()
    play.until_sent(MANAGEMENT)


def test_one_that_cannot_be_said_is_dropped_and_not_tried_in_a_loop() -> None:
    play = ready() >> sale(1)
    play.cannot_encode = lambda to_host: "field 62" if to_host.kind is MANAGEMENT else None
    play >> asks() << alerted("cannot_encode") << told("sale-1", "00") << quiet
    assert play.state.wanted == ()


def test_it_waits_for_the_end_of_a_settlement() -> None:
    play = settling(ready() >> sale(1) >> answered()) >> replace_wants(balanced())
    assert play.state.settlement.phase is SettlementPhase.TRAILER
    play << sent(ExchangeKind.TRAILER)


def replace_wants(fed: Fed) -> Fed:
    def event(play: Playbook) -> e.Event:
        said = fed(play) if callable(fed) else fed
        assert isinstance(said, e.HostAnswered)
        return e.HostAnswered(replace(said.answer, attention="1", wants="x", wants_function=DOWNLOAD))

    return event


# --- what the terminal asks ------------------------------------------------------------------------------------------


def test_a_terminals_own_goes_on_and_its_answer_comes_back_as_it_is() -> None:
    play = ready() >> terminal_asks() << sent(MANAGEMENT, function="0800/370", block="9F0605A0") << not_told
    play >> answered("00", block="319F06", parameters={"offline_max": "1"}) << not_recorded(r.ParametersTold)
    assert result(play) == ManagementResult("00", "319F06")
    play >> terminal_asks() >> answered("96", block="")
    assert result(play) == ManagementResult("96", ""), "the host's no is the host's"


def test_without_an_answer_it_is_told_so() -> None:
    play = ready() >> terminal_asks()
    play.wait(31)
    play << told("d", Refusal.OUTCOME_UNKNOWN) << quiet


def test_d17_without_a_line_it_is_told_in_time_that_nothing_was_sent() -> None:
    play = ready() >> e.LinkDown("cut") >> terminal_asks() << quiet
    play.wait(play.rules.connect_timeout_s + 1)
    play << told("d", Refusal.NOT_SENT)


def test_too_many_are_told_to_wait() -> None:
    play = ready(rules(queue_max=2)) >> e.LinkDown("cut") >> terminal_asks(reply="a") >> terminal_asks(reply="b")
    play >> terminal_asks(reply="c") << told("c", Refusal.BUSY)


def test_a_kill_leaves_no_answer_for_the_next_one() -> None:
    play = ready() >> terminal_asks()
    play.killed() >> e.LinkUp() >> terminal_asks(reply="e") << sent(MANAGEMENT) >> answered("00", block="30")
    assert result(play, "e") == ManagementResult("00", "30")


def test_one_that_cannot_be_said_is_refused() -> None:
    play = ready()
    play.cannot_encode = lambda to_host: "field 62" if to_host.kind is MANAGEMENT else None
    play >> terminal_asks() << told("d", Refusal.MALFORMED) << quiet


# --- applied ---------------------------------------------------------------------------------------------------------


def effective(parameters: dict[str, str], **changes: Any) -> Rules:
    play = ready()
    state = replace(play.state, parameters=parameters)
    return management.applied(rules(**{"parameters_applied": True, **changes}), state)


def test_parameters_are_shown_only_unless_the_configuration_applies_them() -> None:
    assert effective(TOLD, parameters_applied=False).advice_stored_max == RULES.advice_stored_max
    got = effective(TOLD)
    assert (got.reply_timeout_s, got.reversal_attempts_max, got.advice_stored_max) == (45.0, 2, 3)


@pytest.mark.parametrize("timeout", ["00", "04", "99", "x1", "", "-5", "٣٣"])
def test_d17_a_time_out_that_the_terminal_could_not_wait_for_is_not_taken(timeout: str) -> None:
    assert effective({"timeout_s": timeout}).reply_timeout_s == RULES.reply_timeout_s


def test_a_limit_of_nothing_is_none() -> None:
    assert effective({"offline_max": "00"}).advice_stored_max == RULES.advice_stored_max
    assert effective({"resend_times": "0"}).reversal_attempts_max == 1


def test_what_is_applied_is_what_the_lane_goes_by() -> None:
    play = ready(rules(parameters_applied=True)) >> sale(1) >> asks() >> answered("00", parameters={"timeout_s": "10"})
    play >> sale(2) << sent(TRANSACTION)
    play.wait(9)
    play << not_recorded(r.OutcomeUnknown)
    play.wait(2)
    assert play.every(r.OutcomeUnknown)


def test_a_status_tells_what_posd_goes_by() -> None:
    play = ready() >> sale(1) >> asks("0820/362") << sent(MANAGEMENT)
    message = play.sent[-1].message
    assert isinstance(message, SendManagement)
    assert message.status == {"timeout_s": "30", "resend_times": "3", "offline_max": "10"}
