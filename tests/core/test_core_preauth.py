"""Pre-authorisation, its void, its completion and the void of that (reference 1.4, 1.6, 1.8, 1.10)."""

import pytest

from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult
from posd.core.effects import Refusal
from posd.core.rules import TxnKind
from posd.core.state import TxnStatus
from posd.core.totals import to_upload, totals_of
from posd.values import Rrn
from tests.core.playbook import (
    OTHER_CARD,
    RULES,
    Fed,
    Playbook,
    alerted,
    answered,
    closed,
    host_totals,
    preauth,
    quiet,
    ready,
    recorded,
    refers,
    sale,
    sent,
    settling,
    taken_back,
    told,
)

TRANSACTION, REVERSAL = ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL
PREAUTH_VOID, COMPLETION, COMPLETION_VOID = TxnKind.PREAUTH_VOID, TxnKind.COMPLETION, TxnKind.COMPLETION_VOID
CODE = "654321"


def approved(code: str = CODE) -> Fed:
    """With the approval code by which a completion names it."""
    facts = AnswerFacts("00", rrn=Rrn("260302000001"), approval_code=code, host_date="0302", scheme="CUP")
    return answered("00", facts=facts)


def held(amount: int = 1000) -> Playbook:
    """One approved pre-authorisation."""
    return ready() >> preauth(1, amount) << sent(TRANSACTION) >> approved() << told("preauth-1", "00")


def completed() -> Playbook:
    return held() >> refers(COMPLETION, 2, of=1) >> answered() << told("completion-2", "00")


def test_a_hold_is_no_money_and_its_completion_is() -> None:
    play = held()
    assert totals_of(play.state.transactions.values(), RULES).domestic.debit_count == 0
    play >> refers(COMPLETION, 2, of=1, amount=1150) << sent(TRANSACTION) >> answered()
    totals = totals_of(play.state.transactions.values(), RULES)
    assert (totals.domestic.debit_minor, totals.domestic.debit_count) == (1150, 1)
    assert play.txn(2, "completion").original == play.txn(1, "preauth").request_id


def test_a_voided_completion_stays_in_debit_and_its_void_counts_in_credit() -> None:
    play = completed() >> refers(COMPLETION_VOID, 3, of=2) >> answered()
    totals = totals_of(play.state.transactions.values(), RULES)
    assert (totals.domestic.debit_minor, totals.domestic.credit_minor) == (1000, 1000)


def test_only_completions_and_their_voids_are_uploaded() -> None:
    play = settling(completed() >> refers(COMPLETION_VOID, 3, of=2) >> answered())
    host = host_totals(play, GroupResult.UNBALANCED)
    items = to_upload(play.state.transactions.values(), host, RULES)
    assert items == (play.txn(2, "completion").request_id, play.txn(3, "completion_void").request_id)


@pytest.mark.parametrize(
    ("kind", "amount", "refused"),
    [
        (COMPLETION, 1151, Refusal.AMOUNT_DIFFERS),
        (PREAUTH_VOID, 999, Refusal.AMOUNT_DIFFERS),
        (COMPLETION, 0, Refusal.AMOUNT_INVALID),
    ],
)
def test_the_amount_is_checked_against_a_hold_that_we_know(kind: TxnKind, amount: int, refused: Refusal) -> None:
    held() >> refers(kind, 2, of=1, amount=amount) << told(f"{kind}-2", refused) << quiet


def test_the_card_is_checked_against_a_hold_that_we_know() -> None:
    play = held() >> refers(COMPLETION, 2, of=1, card=OTHER_CARD)
    play << told("completion-2", Refusal.CARD_DIFFERS) << quiet


@pytest.mark.parametrize("second", [COMPLETION, PREAUTH_VOID])
def test_a_hold_is_used_once(second: TxnKind) -> None:
    play = completed() >> refers(second, 3, of=1) << told(f"{second}-3", Refusal.ALREADY_USED) << quiet
    play >> taken_back(1, what="preauth") << told("back-1", Refusal.NOT_REVERSIBLE)
    voided = held() >> refers(PREAUTH_VOID, 2, of=1) >> answered()
    voided >> refers(second, 3, of=1) << told(f"{second}-3", Refusal.ALREADY_VOIDED) << quiet


def test_a_completion_whose_outcome_is_open_has_used_its_hold() -> None:
    play = held() >> refers(COMPLETION, 2, of=1)
    play.wait(30)
    assert play.txn(2, "completion").status is TxnStatus.UNKNOWN
    play.until_sent(REVERSAL) >> answered("06")
    play >> refers(COMPLETION, 3, of=1)
    play.until_sent(REVERSAL) >> answered("00")
    play << sent(TRANSACTION) >> answered("00") << told("completion-3", "00")


def test_a_voided_completion_opens_its_hold_again() -> None:
    play = completed() >> refers(COMPLETION_VOID, 3, of=2)
    play.wait(30)  # nobody knows whether the void happened: the hold stays used
    play.until_sent(REVERSAL) >> answered("00")
    play >> refers(COMPLETION, 4, of=1) << told("completion-4", Refusal.ALREADY_USED)
    play >> refers(COMPLETION_VOID, 5, of=2) >> answered()
    play >> refers(COMPLETION, 6, of=1) << sent(TRANSACTION) >> answered() << told("completion-6", "00")


@pytest.mark.parametrize("kind", [COMPLETION, PREAUTH_VOID])
def test_a_hold_that_we_do_not_know_is_the_hosts_to_judge(kind: TxnKind) -> None:
    play = ready() >> refers(kind, 2, of=None, code="777777") << sent(TRANSACTION, original=None)
    play >> answered("00") << told(f"{kind}-2", "00")


def test_a_hold_is_found_by_approval_code_date_and_card() -> None:
    play = held() >> refers(COMPLETION, 2, of=None, code=CODE) << sent(TRANSACTION)
    assert play.txn(2, "completion").original == play.txn(1, "preauth").request_id
    other = held() >> refers(COMPLETION, 2, of=None, code=CODE, card=OTHER_CARD) << sent(TRANSACTION, original=None)
    assert other.txn(2, "completion").original is None


def test_a_hold_of_another_terminal_with_our_trace_is_not_taken_for_ours() -> None:
    held() >> refers(COMPLETION, 2, of=1, code="777777") << sent(TRANSACTION, original=None)


def test_a_hold_of_an_earlier_batch_is_known_still() -> None:
    play = closed(held() >> sale(9) >> answered()) >> answered(wrapped_keys="00" * 24)
    play >> refers(COMPLETION, 2, of=1, amount=2000) << told("completion-2", Refusal.AMOUNT_DIFFERS)
    play >> refers(COMPLETION, 3, of=1) << sent(TRANSACTION) >> answered() << told("completion-3", "00")
    assert play.txn(1, "preauth").request_id in play.state.closed


def test_a_completion_of_a_closed_batch_is_not_voided() -> None:
    play = closed(completed()) >> answered(wrapped_keys="00" * 24)
    play >> refers(COMPLETION_VOID, 3, of=2) << told("completion_void-3", Refusal.NO_ORIGINAL) << quiet


@pytest.mark.parametrize(("kind", "of"), [(PREAUTH_VOID, 1), (COMPLETION, 1), (COMPLETION_VOID, 2)])
def test_d9_each_of_them_owes_a_reversal_when_its_outcome_is_unknown(kind: TxnKind, of: int) -> None:
    play = (completed() if kind is COMPLETION_VOID else held()) >> refers(kind, 5, of=of) << sent(TRANSACTION)
    play.wait(30) << recorded(r.ReversalOwed, request_id=play.txn(5, kind.value).request_id) << sent(REVERSAL)


def test_d9_a_hold_without_an_answer_is_reversed_and_not_completed() -> None:
    play = ready() >> preauth(1)
    play.wait(30) << sent(REVERSAL) >> answered("00")
    play >> refers(COMPLETION, 2, of=1) << told("completion-2", Refusal.NO_ORIGINAL) << quiet


def test_d17_the_terminal_takes_its_hold_back() -> None:
    held() >> taken_back(1, what="preauth") << told("back-1", "00") << sent(REVERSAL)
    completed() >> taken_back(1, what="preauth") << alerted("terminal_reversal_refused")


def test_d6_a_completion_asked_again_is_answered_from_state() -> None:
    completed() >> refers(COMPLETION, 2, of=1) << told("completion-2", "00") << quiet


# --- voided, and used again ------------------------------------------------------------------------------------------


def captured_again() -> Playbook:
    """A hold, its completion, the void of that, and its second completion."""
    play = completed() >> refers(COMPLETION_VOID, 3, of=2) >> answered() << told("completion_void-3", "00")
    return play >> refers(COMPLETION, 4, of=1) >> answered() << told("completion-4", "00")


def test_d16_a_void_because_of_which_a_hold_was_captured_again_is_not_taken_back() -> None:
    """Else both completions would stand: one hold, and the customer pays twice."""
    play = captured_again() >> taken_back(3, what="completion_void")
    play << told("back-3", Refusal.NOT_REVERSIBLE) << alerted("terminal_reversal_refused") << quiet
    assert play.txn(3, "completion_void").status is TxnStatus.APPROVED


def test_d16_it_may_be_while_the_hold_is_open() -> None:
    play = completed() >> refers(COMPLETION_VOID, 3, of=2) >> answered()
    play >> taken_back(3, what="completion_void") << told("back-3", "00") << sent(REVERSAL) >> answered()
    play >> refers(COMPLETION, 4, of=1) << told("completion-4", Refusal.ALREADY_USED)
    totals = totals_of(play.state.transactions.values(), RULES).domestic
    assert (totals.debit_count, totals.credit_count) == (1, 0)


def test_d16_it_may_be_after_the_second_completion_was_reversed() -> None:
    play = captured_again() >> taken_back(4, what="completion") << sent(REVERSAL) >> answered()
    play >> taken_back(3, what="completion_void") << told("back-3", "00") << sent(REVERSAL)


def test_d17_a_void_is_taken_back_while_it_is_on_its_way() -> None:
    play = completed() >> refers(COMPLETION_VOID, 3, of=2) << sent(TRANSACTION)
    play >> taken_back(3, what="completion_void") << told("back-3", "00")
