"""A person gives the open batch another number (D7), and numbers of a terminal that was reset (D6)."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, GroupCount, Totals
from posd.core.effects import Refusal
from posd.core.state import SettlementPhase, TxnStatus
from posd.values import Stan
from tests.core.playbook import (
    RULES,
    Fed,
    Playbook,
    after_sales,
    alerted,
    answered,
    closed,
    done,
    not_alerted,
    not_recorded,
    offline_sale,
    quiet,
    ready,
    recorded,
    request_id,
    sale,
    sent,
    settling,
    taken_back,
    told,
)
from tests.core.test_core_other_close import agrees, other, transfers

TOTALS, TRANSACTION, REVERSAL = ExchangeKind.TOTALS, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL


def numbered(number: int, command: str = "c1") -> e.SetBatchNumber:
    return e.SetBatchNumber(command, "anna", "the acquirer says so", number)  # type: ignore[arg-type]


def test_d7_totals_that_were_refused_are_asked_anew_under_the_number_that_a_person_gives() -> None:
    play = settling(after_sales(2, other())) >> answered("80")
    first = next(one.message for one in play.sent if one.kind is TOTALS)
    play >> numbered(41) << done() << recorded(r.BatchNumberSet, number=41, by="anna", reason="the acquirer says so")
    play.until_sent(TOTALS)
    again = play.sent[-1].message
    assert (again.batch_number, again.totals) == (41, first.totals)  # type: ignore[union-attr]
    assert again.stan != first.stan, "it is another question"  # type: ignore[union-attr]
    play >> agrees() << recorded(r.BatchClosed, next_number=42)
    assert {txn.batch_number for txn in play.state.closed.values()} == {7}, "each keeps the number it was sent with"


def test_d7_it_may_be_set_before_it_is_asked_and_survives_a_restart() -> None:
    play = after_sales(1, other()) >> numbered(41) << done() << not_alerted
    play.killed()
    assert play.state.batch.number == 41
    settling(play >> e.LinkUp()) << sent(TOTALS, batch_number=41)


def test_d7_not_while_a_message_is_on_its_way() -> None:
    play = (
        ready(other()) >> sale(1) << sent(TRANSACTION) >> numbered(41) << done(False) << not_recorded(r.BatchNumberSet)
    )
    assert play.state.batch.number == 7


def test_d7_not_after_a_silence_an_upload_or_an_end_message() -> None:
    silent = settling(after_sales(1, other())).wait(31) >> numbered(41)
    silent << done(False)
    uploading = settling(after_sales(1, other())) >> transfers() >> answered("96") >> numbered(41)
    uploading << done(False) << not_recorded(r.BatchNumberSet)
    assert uploading.state.settlement.phase is SettlementPhase.UPLOADING


def test_d7_not_while_something_of_the_batch_is_owed() -> None:
    play = after_sales(1, other()) >> taken_back(1) << sent(REVERSAL) >> answered("96") >> numbered(41) << done(False)
    play.until_sent(REVERSAL) >> answered() >> numbered(41, "c2") << done()
    told_of = ready(other()) >> offline_sale(1) >> numbered(41)
    told_of << done(False) << not_recorded(r.BatchNumberSet)


def test_d7_a_host_that_numbers_batches_itself_is_not_contradicted() -> None:
    after_sales(1, RULES) >> numbered(41) << done(False) << not_recorded(r.BatchNumberSet)


def test_d7_a_number_that_we_closed_is_said_to_be_one() -> None:
    play = settling(after_sales(1, other())) >> agrees() << recorded(r.BatchClosed, next_number=8)
    play >> numbered(8, "c1") << done(False) >> numbered(7, "c2") << done() << alerted("batch_number_was_closed_by_us")


# --- a terminal that was reset ---------------------------------------------------------------------------------------


def own_close(batch: int, count: int = 1, stan: int = 9) -> e.TerminalTotalsGiven:
    return e.TerminalTotalsGiven(batch, Totals(GroupCount(1000 * count, count)), "close", Stan(stan))


def one_day(**changes: object) -> Playbook:
    """One sale, settled."""
    return settling(after_sales(1, other(**changes))) >> agrees() << recorded(r.BatchClosed)


def test_d6_a_repeat_that_crosses_our_close_is_answered_from_state() -> None:
    one_day().wait(60) >> sale(1) << told("sale-1", "00") << alerted("answered_from_a_closed_batch")


@pytest.mark.parametrize("hours", [1, 24])
def test_d6_an_old_number_is_never_answered_with_the_outcome_of_a_closed_batch(hours: int) -> None:
    play = one_day().wait(3600 * hours) >> sale(1)
    play << told("sale-1", Refusal.NUMBER_TAKEN) << alerted("number_of_a_closed_batch") << quiet
    play >> sale(1, amount=5) << told("sale-1", Refusal.NUMBER_TAKEN)
    play >> sale(2) << sent(TRANSACTION) >> answered() << told("sale-2", "00")


def test_d6_nor_once_its_terminal_has_closed_its_batch_though_ours_is_open() -> None:
    play = ready(other()) >> sale(1) >> answered() >> e.LinkDown("cut") >> own_close(1)
    play >> sale(1) << told("sale-1", Refusal.NUMBER_TAKEN) << alerted("number_of_a_closed_batch")


def test_d17_nor_is_an_old_sale_taken_back_by_a_reversal_of_one_that_never_came() -> None:
    play = ready(other()) >> sale(1) >> answered() >> own_close(1) >> answered()
    play.until_sent(TOTALS) >> agrees() << recorded(r.BatchClosed)
    play >> taken_back(1) << told("back-1", Refusal.NO_ORIGINAL) << quiet
    assert play.txn(1).status is TxnStatus.APPROVED


def test_d6_a_close_that_comes_late_says_nothing_of_what_was_asked_after_it() -> None:
    play = ready(other()) >> sale(1) >> answered() >> sale(2) >> answered() >> e.LinkDown("cut") >> own_close(1, stan=1)
    play >> sale(1) << told("sale-1", Refusal.NUMBER_TAKEN) >> sale(2) << told("sale-2", "00")
    play >> taken_back(2) << told("back-2", "00") << recorded(r.ReversalOwed)


def test_d6_a_reset_terminal_that_closes_its_batch_1_again_has_closed_what_came_between() -> None:
    play = ready(other()) >> sale(1) >> answered() >> e.LinkDown("cut") >> own_close(1, stan=2)
    play >> e.LinkUp() >> answered()
    play.until_sent(TOTALS) >> agrees() << recorded(r.BatchClosed)
    play >> sale(3) >> answered() >> e.LinkDown("cut") >> own_close(1, stan=4)
    play >> taken_back(3) << told("back-3", Refusal.NO_ORIGINAL)


def test_d16_a_reversal_that_comes_days_later_is_ours_where_the_terminal_never_closed() -> None:
    play = one_day().wait(3 * 86_400) >> taken_back(1) << told("back-1", "00")
    assert play.txn(1).status is TxnStatus.UNKNOWN


def test_d6_what_tells_its_batch_is_answered_from_state_for_ever() -> None:
    play = closed(after_sales(1)).wait(86_400)
    play >> sale(1) << told("sale-1", "00")


def test_d6_a_tills_key_is_no_number() -> None:
    def till(fed: Fed) -> Fed:
        return lambda play: replace(fed(play) if callable(fed) else fed, terminal_stan=0, from_till=True)

    play = ready(other()) >> till(sale(1)) >> answered()
    settling(play) >> agrees()
    play.wait(86_400) >> till(sale(1)) << told("sale-1", "00")
    assert play.state.find(request_id(1)) is not None
