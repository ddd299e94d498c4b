"""The choices of an acquirer that closes, voids and signs in otherwise (reference 2.4, 2.5; rules.CloseRules)."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import (
    AnswerClass,
    AnswerFacts,
    ExchangeKind,
    GroupCount,
    GroupResult,
    HostTotals,
    MacCheck,
    Totals,
)
from posd.core.effects import Refusal, SendUpload
from posd.core.originals import root_of
from posd.core.rules import CloseRules, KindRules, OnStuck, OriginalRules, Rules, Side, TxnKind, Upload
from posd.core.state import AdviceStatus, CloseOutcome, Settled, SettlementPhase, TxnStatus
from posd.values import Minor, Rrn, Stan
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Fed,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    chip_sale,
    done,
    given_keys,
    late,
    not_recorded,
    offline_sale,
    quiet,
    ready,
    recorded,
    refers,
    request_id,
    sale,
    sent,
    settling,
    taken_back,
    terminal_signs_in,
    told,
    unbalanced,
    void,
)

TOTALS, UPLOAD, TRAILER = ExchangeKind.TOTALS, ExchangeKind.UPLOAD, ExchangeKind.TRAILER
TRANSACTION, REVERSAL, SIGN_IN = ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL, ExchangeKind.SIGN_IN


def other(**changes: Any) -> Rules:
    kinds = {
        **RULES.kinds,
        TxnKind.SALE: KindRules(True, Side.DEBIT),
        TxnKind.VOID: KindRules(
            True,
            Side.NEITHER,
            OriginalRules(
                frozenset({TxnKind.SALE, TxnKind.OFFLINE_SALE, TxnKind.TIP, TxnKind.ADJUST}),
                takes_back=True,
                uncounts=True,
            ),
        ),
        TxnKind.OFFLINE_SALE: replace(RULES.kinds[TxnKind.OFFLINE_SALE], upload=Upload.SHARED),
        TxnKind.TIP: replace(RULES.kinds[TxnKind.TIP], upload=Upload.SHARED),
    }
    close = CloseRules(
        agreed_closes=True,
        end_agrees=True,
        end_out_of_balance=frozenset({"77", "95"}),
        batch_gone=frozenset({"80", "85"}),
        waits_for_reversals=True,
        uploads_on_repeat=False,
    )
    every: dict[str, Any] = {
        "kinds": kinds,
        "close": close,
        "keys_expected": False,
        "sign_in_after_close": False,
        "upload_records_max": 1,
        "reversal_success_codes": frozenset({"00"}),
        "on_stuck": OnStuck.BLOCK,
        "terminal_tells_batch": False,
        "reversal_finds_original": False,
    }
    return replace(RULES, **{**every, **changes})


def agrees() -> Fed:
    return answered("00", host_totals=HostTotals(None, GroupResult.BALANCED, GroupResult.BALANCED))


def transfers() -> Fed:
    """95: upload, please."""
    said = HostTotals(None, GroupResult.UNBALANCED, GroupResult.BALANCED)
    return answered("95", answer_class=AnswerClass.APPROVE, host_totals=said)


def uploading(count: int = 2, **changes: Any) -> Playbook:
    return settling(after_sales(count, other(**changes))) >> transfers() << sent(UPLOAD)


# --- totals, upload, end ---------------------------------------------------------------------------------------------


def test_totals_that_agree_close_the_batch_without_an_end_message() -> None:
    play = settling(after_sales(2, other())) >> agrees()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED) << quiet
    assert play.state.settlement.phase is SettlementPhase.OPEN
    assert play.state.batch.number == 8


def test_the_upload_sends_one_at_a_time_and_says_whether_more_follow() -> None:
    play = uploading()
    first = play.sent[-1].message
    assert isinstance(first, SendUpload)
    assert (len(first.transactions), first.more) == (1, True)
    play >> answered() << sent(UPLOAD, more=False)
    assert play.sent[-1].message.stan != first.stan  # type: ignore[union-attr]
    play >> answered() << sent(TRAILER, totals=play.state.settlement.totals)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("00", CloseOutcome.AGREED), ("77", CloseOutcome.OUT_OF_BALANCE), ("95", CloseOutcome.OUT_OF_BALANCE)],
)
def test_the_end_messages_code_says_how_it_closed(code: str, outcome: CloseOutcome) -> None:
    play = uploading() >> answered() >> answered() << sent(TRAILER) >> answered(code)
    play << recorded(r.BatchClosed, outcome=outcome)
    assert ("batch_closed_out_of_balance" in play.alerts) is (outcome is CloseOutcome.OUT_OF_BALANCE)


def test_any_other_code_leaves_the_batch_open_and_the_end_is_asked_again() -> None:
    play = uploading() >> answered() >> answered() << sent(TRAILER) >> answered("96")
    play << not_recorded(r.BatchClosed) << alerted("trailer_unanswered")
    play.until_sent(TRAILER) >> answered("00") << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED)


def test_d21_a_failure_in_the_middle_goes_on_from_the_durable_cursor() -> None:
    play = uploading(3) >> answered() << sent(UPLOAD)
    stan = play.sent[-1].message.stan  # type: ignore[union-attr]
    play.killed() >> e.LinkUp()
    play.until_sent(UPLOAD)
    again = play.sent[-1].message
    assert isinstance(again, SendUpload)
    assert (again.stan, again.transactions[0].request_id) == (stan, request_id(2))


@pytest.mark.parametrize("code", ["80", "85"])
def test_d20_a_batch_that_is_gone_after_silence_is_unconfirmed(code: str) -> None:
    play = settling(after_sales(1, other())).wait(31)
    play.until_sent(TOTALS) >> answered(code) << recorded(r.SettlementUnconfirmed) << alerted("settlement_unconfirmed")
    play = uploading(1) >> answered() << sent(TRAILER)
    play.wait(31).until_sent(TRAILER) >> answered(code) << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED)


def test_d20_a_repeat_that_wants_the_batch_uploaded_is_unconfirmed_until_a_person_says_so() -> None:
    """The host may have closed it on the first, and compare the repeat with its next batch: no upload by itself."""
    play = settling(after_sales(1, other())).wait(31)
    play.until_sent(TOTALS) >> transfers()
    play << recorded(r.SettlementUnconfirmed) << alerted("settlement_unconfirmed")
    play >> answered() >> e.DecideSettlement("d1", "anna", "the acquirer has it open", closed=False) << done()
    play.until_sent(TOTALS) >> transfers() << sent(UPLOAD)


def test_d20_only_the_first_question_is_believed() -> None:
    """A malfunction (96) does not say that nothing was done."""
    settling(after_sales(1, other())) >> transfers() << sent(UPLOAD)
    play = settling(after_sales(1, other())) >> answered("96")
    play.until_sent(TOTALS) >> transfers() << recorded(r.SettlementUnconfirmed)


def test_d20_what_never_left_is_no_first_question() -> None:
    play = settling(after_sales(1, other()))
    play >> e.NeverLeft(play.sent[-1].token, "the line takes nothing")
    play.until_sent(TOTALS) >> transfers() << sent(UPLOAD)


def test_d20_an_acquirer_may_give_its_word_for_repeats() -> None:
    rules = other()
    believed = replace(rules, close=replace(rules.close, uploads_on_repeat=True))
    play = settling(after_sales(1, believed)).wait(31)
    play.until_sent(TOTALS) >> transfers() << sent(UPLOAD)


@pytest.mark.parametrize("code", ["77", "95", "94"])
def test_d20_how_it_closed_is_not_known_after_a_silence(code: str) -> None:
    """The first end message may have closed it in balance; what the repeat is told is of the next batch then."""
    play = uploading(1) >> answered() << sent(TRAILER)
    play.wait(31).until_sent(TRAILER) >> answered(code) << recorded(r.BatchClosed, outcome=CloseOutcome.UNCONFIRMED)
    play << alerted("batch_closed_unconfirmed")


@pytest.mark.parametrize("code", ["80", "85"])
def test_the_same_codes_without_a_silence_before_say_nothing_of_the_kind(code: str) -> None:
    play = settling(after_sales(1, other())) >> answered(code) << recorded(r.TotalsUnanswered, code=code)
    play.until_sent(TOTALS) >> answered(code) << recorded(r.TotalsUnanswered) << not_recorded(r.SettlementUnconfirmed)


def test_totals_wait_for_a_reversal_however_long_it_takes() -> None:
    play = after_sales(1, other(settle_hold_max_s=60.0, reversal_attempts_max=99))
    play >> sale(2) << sent(TRANSACTION)
    play.wait(31).until_sent(REVERSAL)
    play >> SETTLE_NOW << done()
    play.until_sent(SIGN_IN) >> answered() << recorded(r.SettlementBegun)
    for _ in range(8):
        play.wait(300)
        assert not [one for one in play.sent if one.kind is TOTALS]
    play.until_sent(REVERSAL) >> answered("00") << sent(TOTALS)


# --- voids -----------------------------------------------------------------------------------------------------------


def totals_of(play: Playbook) -> tuple[int, int]:
    settling(play)
    totals = play.state.settlement.totals
    assert totals is not None
    return totals.domestic.debit_count, totals.domestic.credit_count


def test_a_void_and_what_it_voids_count_nowhere_and_are_not_uploaded() -> None:
    play = after_sales(2, other()) >> void(3, of=1) << sent(TRANSACTION) >> answered()
    assert totals_of(play) == (1, 0)
    play >> transfers() << sent(UPLOAD)
    assert play.state.settlement.items == (request_id(2),)


def test_a_void_that_is_reversed_leaves_its_sale_in_the_totals() -> None:
    play = after_sales(2, other()) >> void(3, of=1) >> answered()
    play >> taken_back(3, what="void") << told("back-3", "00") << sent(REVERSAL) >> answered("00")
    assert play.txn(3, "void").status is TxnStatus.REVERSED
    assert totals_of(play) == (2, 0)


def test_a_voided_sale_is_not_voided_or_adjusted_again() -> None:
    play = after_sales(1, other()) >> void(2, of=1) >> answered()
    play >> void(3, of=1) << told("void-3", Refusal.ALREADY_VOIDED)
    play >> refers(TxnKind.TIP, 4, of=1, amount=1100) << told("tip-4", Refusal.ALREADY_VOIDED)


def test_a_sale_with_a_tip_is_voided_with_its_tip() -> None:
    play = after_sales(2, other()) >> refers(TxnKind.TIP, 3, of=1, amount=1150) << told("tip-3", "00")
    play << sent(TRANSACTION) if play.state.exchange else None
    if play.state.exchange is not None:
        play >> answered()
    play >> void(4, of=1, amount=1000)
    while play.state.exchange is not None and play.state.exchange.request_id == request_id(3, "tip"):
        play >> answered()
    assert play.state.find(request_id(4, "void")) is None, "the amount is that of the adjusted sale"
    play >> void(5, of=1, amount=1150) << sent(TRANSACTION) >> answered() << told("void-5", "00")
    assert totals_of(play) == (1, 0)


def test_an_online_void_lets_the_advice_that_it_names_go_first() -> None:
    play = ready(other()) >> offline_sale(1) << told("offline_sale-1", "00") << quiet
    play >> void(2, of=1) << sent(TRANSACTION)
    assert play.state.exchange is not None
    assert play.state.exchange.request_id == request_id(1, "offline_sale")
    play >> answered() << sent(TRANSACTION)
    play >> answered() << told("void-2", "00")


def test_a_void_of_an_advice_that_does_not_arrive_is_not_sent() -> None:
    play = ready(other()) >> offline_sale(1) >> void(2, of=1) << sent(TRANSACTION)
    play.wait(31) << told("void-2", Refusal.NOT_SENT)
    assert not [one for one in play.sent if one.request_id == request_id(2, "void")]


def test_the_root_of_an_adjustment_is_what_was_adjusted_first() -> None:
    play = after_sales(1, other()) >> refers(TxnKind.TIP, 2, of=1, amount=1100)
    while play.state.exchange is not None:
        play >> answered()
    play >> refers(TxnKind.TIP, 3, of=1, amount=1200)
    last = play.txn(3, "tip")
    assert last.original == request_id(2, "tip")
    assert root_of(play.state, play.rules, last) == play.txn(1)


# --- reversals, sign-in, MAC -----------------------------------------------------------------------------------------


def test_only_00_ends_a_reversal_and_nothing_new_leaves_before() -> None:
    play = ready(other(reversal_attempts_max=2)) >> sale(1) << sent(TRANSACTION)
    play.wait(31).until_sent(REVERSAL) >> answered("25") << recorded(r.ReversalRefused, code="25")
    play >> sale(2) << sent(REVERSAL) >> answered("12") << alerted("reversal_stuck")
    play << told("sale-2", Refusal.BLOCKED)
    play >> sale(3) << told("sale-3", Refusal.BLOCKED)
    assert len([one for one in play.sent if one.kind is TRANSACTION]) == 1
    play >> e.ResolveReversal("command-9", "anna", "seen at the host", request_id(1)) << done()
    play >> sale(4) << sent(TRANSACTION) >> answered() << told("sale-4", "00")


def test_d11_a_reversal_in_conflict_blocks_until_a_person_ends_it() -> None:
    denied = frozenset({"00", "12", "25"})
    play = ready(other(reversal_success_codes=denied)) >> sale(1) >> answered() >> taken_back(1) << sent(REVERSAL)
    play >> answered("25") << recorded(r.ReversalConflict)
    play >> sale(2) << told("sale-2", Refusal.BLOCKED) << quiet
    play >> e.ResolveReversal("c1", "anna", "the acquirer never had it", request_id(1)) << done()
    play >> sale(3) << sent(TRANSACTION) >> answered() << told("sale-3", "00")


def test_d11_an_approval_after_an_acknowledged_reversal_opens_it_again_where_00_proves_nothing() -> None:
    """The original was late: the host acknowledged what it did not have, and then took it."""
    play = ready(other()) >> sale(1)
    stan = play.sent[-1].message.transaction.stan  # type: ignore[union-attr]
    play.wait(31).until_sent(REVERSAL) >> answered() << recorded(r.ReversalAcknowledged)
    play >> late(TRANSACTION, stan) << recorded(r.ReversalReopened) << alerted("reversal_reopened")
    play.until_sent(REVERSAL) >> answered() << recorded(r.ReversalAcknowledged)
    assert play.txn().status is TxnStatus.REVERSED
    play >> late(TRANSACTION, stan, "05") << not_recorded(r.ReversalReopened)


def test_a_sign_in_without_keys_is_good_where_none_are_expected() -> None:
    play = Playbook(other()) >> e.Started() >> e.LinkUp() << sent(SIGN_IN) >> answered() << quiet
    assert play.state.session.signed_in
    play >> terminal_signs_in() << given_keys()
    play >> sale(1, pin=True) << sent(TRANSACTION)  # its PIN block is under keys that are not ours


def test_where_no_sign_in_is_needed_the_first_message_is_a_sale() -> None:
    play = Playbook(other(sign_in_needed=False)) >> e.Started() >> e.LinkUp() << quiet
    assert play.state.session.signed_in
    play >> sale(1) << sent(TRANSACTION) >> answered() >> SETTLE_NOW << done() << sent(TOTALS)
    play >> agrees() << recorded(r.BatchClosed)
    assert not [one for one in play.sent if one.kind is SIGN_IN]


def test_an_approval_needs_no_mac_where_the_dialect_has_none() -> None:
    play = ready(other()) >> sale(1) >> answered(mac=MacCheck.EXEMPT) << told("sale-1", "00")
    assert play.txn().status is TxnStatus.APPROVED


def test_an_invoice_number_names_a_sale() -> None:
    def with_invoice(fed: Fed, **changes: Any) -> Fed:
        def event(play: Playbook) -> e.Event:
            asked = fed(play) if callable(fed) else fed
            return replace(asked, **changes)

        return event

    play = ready(other()) >> with_invoice(sale(1), invoice=41) >> answered()
    assert play.txn().invoice == 41
    by_invoice = e.OriginalPointer(None, None, None, invoice=42)
    play >> with_invoice(void(2, of=9), invoice=42, original=by_invoice) << told("void-2", Refusal.NO_ORIGINAL)
    by_invoice = e.OriginalPointer(None, None, None, invoice=41)
    play >> with_invoice(void(3, of=9), invoice=41, original=by_invoice) << sent(TRANSACTION)


# --- a terminal that waits for 00 ------------------------------------------------------------------------------------


def test_d17_what_never_came_is_undone_and_refused_from_then_on() -> None:
    play = ready(other(reverses_what_never_came=True)) >> taken_back(1) << told("back-1", "00") << quiet
    play >> sale(1) << told("sale-1", Refusal.REVERSED_IN_ADVANCE) << quiet


def test_d17_what_an_advice_is_that_has_left_stays() -> None:
    play = ready(other(reverses_what_never_came=True)) >> offline_sale(1) >> sale(2) >> answered() << sent(TRANSACTION)
    back = replace(taken_back(1), or_originals=(request_id(1, "offline_sale"),))
    play >> back << told("back-1", Refusal.NOT_REVERSIBLE) << not_recorded(r.OriginalRefusedInAdvance)


def test_d17_what_is_like_a_sale_of_a_batch_that_its_terminal_closed_is_not_said_to_be_undone() -> None:
    """A terminal that was reset may mean another; one that is confused may mean this one, which stands."""
    play = after_sales(1, other(reverses_what_never_came=True))
    play >> e.TerminalTotalsGiven(1, Totals(GroupCount(Minor(1000), 1)), "close", Stan(9))
    play >> taken_back(1) << told("back-1", Refusal.NO_ORIGINAL)
    play >> taken_back(1, amount=1) << told("back-1", "00")
    assert play.txn(1).status is TxnStatus.APPROVED


def test_d19_what_is_taken_back_amid_the_close_is_carried_over_and_said() -> None:
    play = settling(after_sales(2, other())) >> taken_back(1) << told("back-1", "00")
    play >> agrees() << recorded(r.ReversalCarriedOver, request_id=request_id(1)) << alerted("reversal_carried_over")
    play << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED) << sent(REVERSAL)


def test_d14_a_closing_that_agrees_says_that_the_host_has_what_it_had_refused() -> None:
    play = ready(other()) >> offline_sale(1) >> sale(2) >> answered() >> answered("14") << alerted("advice_refused")
    settling(play) >> transfers() >> answered() >> answered() << sent(TRAILER)
    play >> answered("00") << recorded(r.AdviceSettled, how=Settled.TOTALS)
    assert play.state.advices[request_id(1, "offline_sale")].status is AdviceStatus.DONE


@pytest.mark.parametrize("code", ["77", "95"])
def test_d14_one_that_does_not_agree_says_nothing_of_it(code: str) -> None:
    play = ready(other()) >> offline_sale(1) >> sale(2) >> answered() >> answered("14")
    settling(play) >> transfers() >> answered() >> answered() >> answered(code) << not_recorded(r.AdviceSettled)


def test_d25_the_end_of_a_terminals_close_names_what_it_did_not_upload() -> None:
    play = after_sales(2, other())
    totals = Totals(GroupCount(Minor(1000), 1))
    play >> e.TerminalTotalsGiven(1, totals, "close", Stan(9)) << not_recorded(r.TerminalUploadEnded)
    play >> e.TerminalUploaded(0, "up", (e.UploadedItem(Stan(2), Minor(1000), None, None),)) << told("up", "00")
    play >> e.TerminalTotalsGiven(1, totals, "end", Stan(10), ends=True)
    play << recorded(r.TerminalUploadEnded, missing=(request_id(1),)) << alerted("terminal_upload_incomplete")
    play >> e.TerminalTotalsGiven(1, totals, "end", Stan(10), ends=True) << not_recorded(r.TerminalUploadEnded)


# --- a UnionPay host that closes by its totals, or has one group of them (reference, "Dialect knobs") ----------------


def test_d18_totals_that_agree_and_want_nothing_close_the_batch_without_an_end_message() -> None:
    by_totals = replace(RULES, close=CloseRules(ends_without_items=False))
    play = settling(after_sales(1, by_totals)) >> balanced()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED) << sent(SIGN_IN)


@pytest.mark.parametrize("word", [GroupResult.BALANCED, GroupResult.UNBALANCED])
def test_d21_where_there_is_something_to_upload_the_end_message_follows(word: GroupResult) -> None:
    by_totals = replace(RULES, close=CloseRules(ends_without_items=False))
    play = settling(ready(by_totals) >> chip_sale(1) >> answered() >> sale(2) >> answered())
    play >> (balanced() if word is GroupResult.BALANCED else unbalanced()) << sent(UPLOAD)
    while play.state.settlement.phase is SettlementPhase.UPLOADING:
        play >> answered()
    play << sent(TRAILER) >> answered() << recorded(r.BatchClosed)


def test_foreign_cards_stand_in_the_one_group_that_there_is() -> None:
    play = ready(replace(RULES, foreign_apart=False)) >> sale(1) >> answered()
    play >> sale(2) >> answered(facts=AnswerFacts("00", rrn=Rrn("000000000002"), scheme="VIS"))
    settling(play)
    assert play.state.settlement.totals == Totals(GroupCount(2000, 2))
    both = HostTotals(play.state.settlement.totals, GroupResult.UNBALANCED, GroupResult.UNBALANCED)
    play >> answered("", host_totals=both) << sent(UPLOAD)
    assert [one.foreign for one in play.sent[-1].message.transactions] == [False, True]
