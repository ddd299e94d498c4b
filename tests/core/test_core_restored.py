"""An older journal that was restored: what is not known since must never be done twice, settled or reversed blindly."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core import restored
from posd.core.answers import ExchangeKind
from posd.core.effects import Refusal
from posd.core.engine import Engine
from posd.core.fold.apply import apply
from posd.core.rules import OnStuck
from posd.core.state import AdviceStatus, CloseOutcome, ReversalStatus, SettlementPhase, TxnStatus
from posd.values import BatchNumber, Stan
from tests.core.playbook import (
    FIRST_BATCH,
    Fed,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    closed,
    done,
    given_keys,
    not_recorded,
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
    taken_back,
    told,
    unbalanced,
    void,
)

SENT_BEFORE = 500
"""Trace numbers jumped over in these tests."""


def put_back(play: Playbook, off_s: float = 3600.0) -> Playbook:
    """This journal is restored as an older one; the line comes up, and the sign-in is in flight."""
    play.skip_time(off_s)
    play.engine = Engine(play.rules, play.refold())
    next_stan = restored.jumped(play.state.stan, SENT_BEFORE)
    play >> e.Restored("backup-1", play.wall - round(off_s * 1000), next_stan) << alerted("restored") << quiet
    return play.killed() >> e.LinkUp() << sent(ExchangeKind.SIGN_IN, stan=next_stan)


def terminal_signs_in_with(number: int) -> Fed:
    return lambda play: e.TerminalSignInRequested("keys", play.mono, Stan(number))


def admit(stan: int | None = None, number: int | None = None) -> e.AdmitAfterRestore:
    batch = BatchNumber(number) if number is not None else None
    return e.AdmitAfterRestore("admit-1", "anna", "tills were restarted", Stan(stan) if stan else None, batch)


RESOLVE = e.ResolveGap("resolve-1", "anna", "compared with the acquirer")


def from_till(fed: Fed) -> Fed:
    def event(play: Playbook) -> e.Event:
        asked = fed(play) if callable(fed) else fed
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, from_till=True, terminal_stan=Stan(0))

    return event


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_no_trace_number_that_may_have_been_used_is_used_again() -> None:
    play = after_sales(3)
    first = play.state.stan
    put_back(play) >> signed_in()
    gap = play.state.gap
    assert gap is not None
    assert (gap.first_stan, gap.next_stan) == (first, first + SENT_BEFORE)
    assert restored.numbers_lost(gap) == SENT_BEFORE
    assert play.state.stan == first + SENT_BEFORE + 1


def test_the_jump_wraps() -> None:
    assert restored.jumped(Stan(999_990), 20) == 11
    assert restored.jumped(Stan(1), 999_998) == 999_999
    assert restored.is_above(Stan(3), Stan(999_998))
    assert not restored.is_above(Stan(999_998), Stan(3))
    assert not restored.is_above(Stan(7), Stan(7))


def test_a_second_restore_makes_one_gap_of_both() -> None:
    play = put_back(after_sales(1))
    first = play.state.gap
    assert first is not None
    put_back(play)
    gap = play.state.gap
    assert gap is not None
    assert (gap.since_ms, gap.first_stan, gap.first_number) == (first.since_ms, first.first_stan, first.first_number)
    assert gap.until_ms > first.until_ms
    assert gap.next_stan == restored.jumped(first.next_stan, SENT_BEFORE + 1)


def test_d7_the_hosts_batch_number_wins_and_the_old_batch_is_closed_elsewhere() -> None:
    play = put_back(after_sales(2)) >> signed_in(batch=FIRST_BATCH + 3)
    play << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED, next_number=FIRST_BATCH + 3)
    play << recorded(r.HostBatchFound, number=FIRST_BATCH + 3) << alerted("batch_closed_unconfirmed")
    assert play.state.batch.number == FIRST_BATCH + 3
    assert play.state.transactions == {}
    assert play.txn(1).batch_number == FIRST_BATCH
    assert play.state.last_close is not None
    assert play.state.last_close.batch_number == FIRST_BATCH
    assert play.state.last_close.totals.domestic.debit_count == 2
    assert play.state.gap is not None
    assert (play.state.gap.first_number, play.state.gap.number) == (FIRST_BATCH, FIRST_BATCH + 3)


def test_d7_the_same_number_goes_on_in_the_same_batch() -> None:
    play = put_back(after_sales(2)) >> signed_in()
    play << not_recorded(r.BatchClosed) << recorded(r.HostBatchFound, number=FIRST_BATCH)
    assert len(play.state.transactions) == 2


def test_a_host_that_gives_no_number_leaves_the_word_to_a_person() -> None:
    play = put_back(after_sales(1)) >> answered(wrapped_keys="AB", batch_number=None)
    play >> admit() << done(ok=False)
    play >> admit(number=FIRST_BATCH + 1) << done() << recorded(r.BatchClosed, by="anna")
    play >> sale(9) << sent(ExchangeKind.TRANSACTION)


def test_a_person_cannot_contradict_the_host() -> None:
    play = put_back(after_sales(1)) >> signed_in()
    play >> admit(number=FIRST_BATCH + 1) << done(ok=False)


# --- sales -----------------------------------------------------------------------------------------------------------


def test_nothing_is_sold_before_the_host_has_told_its_batch() -> None:
    put_back(after_sales(1)) >> sale(9) << told("sale-9", Refusal.RESTORED) << quiet


def test_d6_a_terminal_signs_in_and_only_what_is_above_that_number_is_new() -> None:
    play = put_back(after_sales(5)) >> signed_in()
    play >> sale(8) << told("sale-8", Refusal.SIGN_IN_FIRST) << quiet
    play >> terminal_signs_in_with(10) << given_keys() << recorded(r.TerminalAdmitted, terminal_stan=10, by="")
    play >> sale(9) << told("sale-9", Refusal.RESTORED) << quiet
    play >> sale(8) << told("sale-8", Refusal.SIGN_IN_FIRST) << quiet  # refused once, refused for ever (D6)
    play >> sale(11) << sent(ExchangeKind.TRANSACTION) >> answered() << told("sale-11", "00")
    gap = play.state.gap
    assert gap is not None
    assert gap.asked == (request_id(9),)


def test_d6_what_the_backup_knows_is_answered_from_state() -> None:
    play = put_back(after_sales(5)) >> signed_in()
    play >> sale(3, reply="again") << told("again", "00") << quiet


def test_a_terminal_that_counts_anew_proves_nothing() -> None:
    play = put_back(after_sales(5)) >> signed_in()
    play >> terminal_signs_in_with(2) << alerted("terminal_counts_anew") << not_recorded(r.TerminalAdmitted)
    play >> sale(6) << told("sale-6", Refusal.SIGN_IN_FIRST)
    play >> admit(stan=6) << done()
    play >> sale(6, reply="b") << told("b", Refusal.SIGN_IN_FIRST)
    play >> sale(7) << sent(ExchangeKind.TRANSACTION)


def test_d6_a_till_is_admitted_by_a_person_only() -> None:
    play = put_back(after_sales(1)) >> signed_in() >> terminal_signs_in_with(9)
    play >> from_till(sale(20)) << told("sale-20", Refusal.RESTORED) << quiet
    play >> admit() << done()
    play >> from_till(sale(21)) << sent(ExchangeKind.TRANSACTION)


def test_a_void_of_what_is_not_known_is_refused() -> None:
    play = put_back(after_sales(1)) >> signed_in() >> terminal_signs_in_with(9)
    play >> void(10, of=5) << told("void-10", Refusal.NO_ORIGINAL) << quiet


def test_d6_an_advice_of_before_is_not_stored_again() -> None:
    play = put_back(after_sales(1)) >> signed_in() >> terminal_signs_in_with(9)
    play >> offline_sale(8) << told("offline_sale-8", Refusal.RESTORED) << not_recorded(r.AdviceStored)
    play >> offline_sale(10) << told("offline_sale-10", "00")


def test_d17_what_a_terminal_takes_back_and_is_not_known_is_remembered() -> None:
    play = put_back(after_sales(1)) >> signed_in()
    play >> taken_back(5) << told("back-5", Refusal.NO_ORIGINAL)
    assert play.state.gap is not None
    assert play.state.gap.asked == (request_id(5),)
    play >> terminal_signs_in_with(9) >> sale(5) << told("sale-5", Refusal.REVERSED_IN_ADVANCE)


# --- what was owed ---------------------------------------------------------------------------------------------------


def owing(play: Playbook) -> Playbook:
    """One sale without an answer, whose reversal had none either."""
    play >> sale(50) << sent(ExchangeKind.TRANSACTION)
    play.wait(31)
    assert play.state.exchange is not None
    return play.wait(31)


def test_d11_a_reversal_of_the_backup_is_held_until_a_person_has_it_sent() -> None:
    play = put_back(owing(ready())) >> signed_in() << quiet
    play.wait(7200) << quiet
    play >> terminal_signs_in_with(60) >> sale(61) << sent(ExchangeKind.TRANSACTION) >> answered()
    play >> RESOLVE << done(ok=False)
    play >> e.RetryReversals("c", "anna", None) << sent(ExchangeKind.REVERSAL) >> answered("25")
    assert play.txn(50).status is TxnStatus.REVERSED
    play >> RESOLVE << done()
    assert play.state.gap is None


def test_d11_a_denial_may_be_of_an_attempt_that_is_not_known() -> None:
    """The terminal took an approval back, and the backup is of that moment: 25 says that it has been reversed since."""
    play = after_sales(1) >> taken_back(1) << sent(ExchangeKind.REVERSAL)
    play = play.killed()
    put_back(play) >> signed_in() << quiet
    play >> e.RetryReversals("c", "anna", None) << sent(ExchangeKind.REVERSAL) >> answered("25")
    assert play.state.reversals[request_id(1)].status is ReversalStatus.ACKNOWLEDGED


def test_what_was_in_flight_in_the_backup_is_not_reversed_by_itself() -> None:
    """It may have been approved and handed out a moment later."""
    play = ready() >> sale(1) << sent(ExchangeKind.TRANSACTION)
    put_back(play) >> signed_in() << quiet
    reversal = play.state.reversals[request_id(1)]
    assert reversal.held
    assert play.txn(1).status is TxnStatus.UNKNOWN
    play.wait(7200) << quiet
    play >> e.ResolveReversal("c", "anna", "the slip says approved, the acquirer too", request_id(1)) << done()
    assert play.state.held() == []


def test_a_held_reversal_blocks_where_a_stuck_one_does() -> None:
    play = put_back(owing(ready(rules(on_stuck=OnStuck.BLOCK)))) >> signed_in() >> terminal_signs_in_with(60)
    play >> sale(61) << told("sale-61", Refusal.BLOCKED)


def test_d14_a_held_advice_waits_and_94_then_means_done() -> None:
    play = ready() >> offline_sale(1) << told("offline_sale-1", "00")
    put_back(play) >> signed_in() << quiet
    play.wait(7200) << quiet
    play >> e.RetryAdvices("c", "anna", None) << sent(ExchangeKind.TRANSACTION) >> answered("94")
    assert play.state.advices[request_id(1, "offline_sale")].status is AdviceStatus.DONE


def test_d16_what_a_till_had_yet_to_confirm_is_not_reversed_by_itself() -> None:
    play = ready(rules(confirm_within_s=15.0)) >> from_till(sale(1)) >> answered()
    assert play.state.unconfirmed == (request_id(1),)
    put_back(play) >> signed_in()
    play.wait(7200)
    assert play.every(r.ReversalOwed) == []
    assert play.txn(1).status is TxnStatus.APPROVED


# --- settlement ------------------------------------------------------------------------------------------------------


def test_no_settlement_until_a_person_has_ended_the_gap() -> None:
    play = put_back(after_sales(2)) >> signed_in()
    play.until("2026-03-03 08:00:00") << quiet
    play >> e.SettleNow("c", "anna") << done(ok=False) << quiet
    play >> RESOLVE << done() << sent(ExchangeKind.SIGN_IN)
    play >> signed_in() << sent(ExchangeKind.TOTALS)


def test_an_empty_batch_is_not_skipped_either() -> None:
    """It is empty here: what the host has in it is not known, so it is asked."""
    play = put_back(ready()) >> signed_in()
    play.until("2026-03-03 08:00:00") << quiet
    play >> RESOLVE << done() << sent(ExchangeKind.SIGN_IN)
    play >> signed_in() << sent(ExchangeKind.TOTALS) >> unbalanced() << sent(ExchangeKind.TRAILER, balanced=False)
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)
    assert not play.state.batch.unknown
    assert play.every(r.BatchSkipped) == []


def test_a_settlement_that_had_only_begun_goes_on_after_the_gap() -> None:
    play = after_sales(1) >> e.SettleNow("c", "anna") >> signed_in()
    assert play.state.settlement.phase is SettlementPhase.TOTALS
    play = owing(after_sales(1)) >> e.SettleNow("c", "anna")
    while play.state.settlement.phase is not SettlementPhase.DRAINING:
        play >> signed_in() if play.state.exchange is not None else play.wake()
    put_back(play) >> signed_in()
    play.wait(7200) << quiet
    play >> terminal_signs_in_with(60) >> sale(61) << sent(ExchangeKind.TRANSACTION) >> answered()
    play >> e.ResolveReversal("c", "anna", "by hand", request_id(50)) >> RESOLVE << done()
    assert play.until_sent(ExchangeKind.TOTALS).state.settlement.phase is SettlementPhase.TOTALS


@pytest.mark.parametrize("phase", ["totals", "uploading", "trailer"])
def test_d20_totals_that_were_asked_are_unconfirmed_and_the_hosts_number_decides(phase: str) -> None:
    play = put_back(in_phase(phase))
    assert play.state.settlement.phase is SettlementPhase.UNCONFIRMED
    play >> signed_in(batch=FIRST_BATCH + 1) << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED)
    assert play.state.settlement.phase is SettlementPhase.OPEN


@pytest.mark.parametrize("phase", ["totals", "uploading", "trailer"])
def test_d20_else_a_person_decides_and_the_totals_are_asked_after_the_gap(phase: str) -> None:
    play = in_phase(phase)
    asked = play.state.settlement
    put_back(play) >> signed_in()
    play.wait(7200) << quiet
    play >> e.DecideSettlement("c", "anna", "they have it open", False) << done() << quiet
    play >> RESOLVE << done() << sent(ExchangeKind.TOTALS)
    assert play.state.settlement.totals == asked.totals
    if phase == "totals":  # a repeat, with the number of the first
        play << sent(ExchangeKind.TOTALS, stan=asked.stan)
    assert play.state.settlement.uploaded == 0


def in_phase(phase: str) -> Playbook:
    play = settling(after_sales(2))
    if phase == "uploading":
        play >> unbalanced() << sent(ExchangeKind.UPLOAD)
    if phase == "trailer":
        play >> balanced() << sent(ExchangeKind.TRAILER)
    assert play.state.settlement.phase == phase
    return play


def test_a_person_who_says_that_it_is_closed_begins_the_next_batch() -> None:
    play = put_back(in_phase("totals")) >> signed_in()
    play >> e.DecideSettlement("c", "anna", "they show it as closed", True) << done() << recorded(r.BatchClosed)
    assert play.state.gap is not None


def test_a_day_after_the_gap_is_a_day_as_ever() -> None:
    play = put_back(after_sales(2)) >> signed_in(batch=FIRST_BATCH + 1) >> terminal_signs_in_with(9)
    play >> sale(10) >> answered() >> RESOLVE << done()
    closed(play)
    assert play.state.last_close is not None
    assert play.state.last_close.outcome is CloseOutcome.AGREED


def test_only_a_person_with_the_host_known_ends_a_gap() -> None:
    play = put_back(after_sales(1)) >> RESOLVE << done(ok=False)
    play >> signed_in() >> RESOLVE << done() << recorded(r.GapResolved, by="anna")
    play >> RESOLVE << done(ok=False)
    play >> admit() << done(ok=False)


def test_the_table_of_a_gap() -> None:
    """The prose on top of restored.py against the fold."""
    lines = [line.split() for line in (restored.__doc__ or "").splitlines() if line.startswith("    ")]
    heading, *rows = lines
    made = {
        "found": r.HostBatchFound(BatchNumber(9)),
        "admitted": r.TerminalAdmitted(Stan(5)),
        "resolved": r.GapResolved("anna", "x"),
    }
    unknown = put_back(after_sales(1)).state
    states = {"unknown": unknown, "known": apply(unknown, made["found"], 0)}
    for name, *cells in rows:
        for what, cell in zip(heading[1:], cells, strict=True):
            if cell == "-":
                continue  # refused by what decides: the tests above
            gap = apply(states[name], made[what], 0).gap
            assert cell == ("ended" if gap is None else "unknown" if gap.number is None else "known")
