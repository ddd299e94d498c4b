"""Refunds: online, never stored, never reversed; without an outcome in doubt until it is found out (D13)."""

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupCount, GroupResult, MacCheck
from posd.core.effects import Refusal, Result
from posd.core.fold.apply import apply
from posd.core.rules import TxnKind, UnmacedDecline, Why
from posd.core.state import CloseOutcome, Evidence, SettlementCause, Transaction, TxnStatus
from posd.core.totals import totals_of
from posd.values import Minor, Rrn
from tests.core.playbook import (
    OTHER_CARD,
    Playbook,
    after_sales,
    alerted,
    answered,
    balanced,
    closed,
    done,
    forgot,
    host_totals,
    late,
    not_recorded,
    not_told,
    quiet,
    ready,
    recorded,
    refers,
    refund,
    refund_of,
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

SIGN_IN, TRANSACTION, REVERSAL = ExchangeKind.SIGN_IN, ExchangeKind.TRANSACTION, ExchangeKind.REVERSAL
TOTALS, UPLOAD, TRAILER = ExchangeKind.TOTALS, ExchangeKind.UPLOAD, ExchangeKind.TRAILER
OF = request_id(2, "refund")
STAN = 3
"""The refund's number towards the host: the sign-in has 1, the sale 2."""

REPEATING = rules(refund_repeat=True)


def the(play: Playbook) -> Transaction:
    return play.txn(2, "refund")


def credits_of(play: Playbook) -> GroupCount:
    return totals_of(play.state.transactions.values(), play.rules).domestic


def in_doubt(play: Playbook | None = None) -> Playbook:
    """A sale stands; a refund timed out."""
    play = (play or after_sales(1)) >> refund(2, 400) << sent(TRANSACTION)
    return play.wait(30) << recorded(r.RefundInDoubt, why=Why.TIMEOUT) << alerted("refund_in_doubt")


def resolve(happened: bool, command: str = "resolve") -> e.ResolveRefund:
    return e.ResolveRefund(command, "Li Wei", "the acquirer says so", OF, happened)


# --- the plain way ---------------------------------------------------------------------------------------------------


def test_d13_an_approved_refund_counts_as_credit() -> None:
    play = after_sales(1) >> refund(2, 400) << sent(TRANSACTION) >> answered() << told("refund-2", "00") << quiet
    assert credits_of(play) == GroupCount(1000, 1, 400, 1)
    assert the(play).kind is TxnKind.REFUND


def test_d13_a_declined_refund_counts_nowhere() -> None:
    play = after_sales(1) >> refund(2, 400) >> answered("61") << told("refund-2", "61") << quiet
    assert credits_of(play) == GroupCount(1000, 1)


def test_d13_an_owed_reversal_goes_before_a_refund() -> None:
    play = ready() >> sale(1)
    play.wait(30) << sent(REVERSAL)
    play >> refund(2) << quiet >> answered("00") << sent(TRANSACTION)


# --- of what we know -------------------------------------------------------------------------------------------------


def sold(count: int = 1) -> Playbook:
    """Sales of 10.00, whose answers said the day."""
    play = ready()
    for number in range(1, count + 1):
        facts = AnswerFacts("00", rrn=Rrn(f"26030200000{number}"), host_date="0302", scheme="CUP")
        play >> sale(number) >> answered(facts=facts)
    return play


def test_a_terminals_refund_of_a_voided_sale_is_refused() -> None:
    play = sold() >> void(2, of=1) >> answered() >> refund_of(3, 1)
    play << told("refund-3", Refusal.ALREADY_VOIDED) << quiet


def test_a_sale_that_its_terminal_refunded_is_not_voided() -> None:
    play = sold() >> refund_of(2, 1, 400) >> answered() << told("refund-2", "00")
    play >> void(3, of=1) << told("void-3", Refusal.ALREADY_USED) << quiet


def test_a_refund_in_doubt_has_used_its_sale() -> None:
    play = sold() >> refund_of(2, 1, 700)
    play.wait(30) << recorded(r.RefundInDoubt)
    play >> void(3, of=1) << told("void-3", Refusal.ALREADY_USED) << quiet
    play >> refund_of(4, 1, 400) << told("refund-4", Refusal.AMOUNT_DIFFERS) << quiet
    play >> refund_of(5, 1, 300) << sent(TRANSACTION)


def test_a_terminals_refunds_give_back_no_more_than_was_sold() -> None:
    play = sold() >> refund_of(2, 1, 600) >> answered()
    play >> refund_of(3, 1, 600) << told("refund-3", Refusal.AMOUNT_DIFFERS) << quiet
    play >> refund_of(4, 1, 400) << sent(TRANSACTION)


def test_a_sale_of_a_closed_batch_is_known_still() -> None:
    play = closed(sold() >> refund_of(2, 1, 600) >> answered()) >> signed_in()
    play >> refund_of(3, 1, 600) << told("refund-3", Refusal.AMOUNT_DIFFERS) << quiet


@pytest.mark.parametrize("other", [{"date": "0301"}, {"card": OTHER_CARD}], ids=["another day", "another card"])
def test_a_reference_of_another_day_or_card_is_not_ours(other) -> None:
    """Hosts count their references anew: the rest is theirs to judge."""
    play = sold() >> void(2, of=1) >> answered() >> refund_of(3, 1, **other) << sent(TRANSACTION)
    assert play.txn(3, "refund").original is None


def test_a_sale_whose_reversal_people_ended_is_the_hosts_to_judge() -> None:
    """It may stand there after all, and then there is something to give back."""
    play = sold() >> taken_back(1) << sent(REVERSAL)
    play >> answered("25") << recorded(r.ReversalConflict) >> refund_of(2, 1) << told("refund-2", Refusal.NO_ORIGINAL)
    play >> e.ResolveReversal("word", "Li Wei", "it stands there", request_id(1)) << done()
    play >> refund_of(3, 1) << sent(TRANSACTION)


EC_SALE, EC_REFUND = TxnKind.EC_SALE, TxnKind.EC_REFUND


def spent() -> Playbook:
    """Electronic cash, told and not delivered yet."""
    return ready() >> refers(EC_SALE, 1, of=None) << told("ec_sale-1", "00") << quiet


def test_d13_a_refund_of_electronic_cash_goes_on_line_after_its_sale() -> None:
    play = spent() >> refers(EC_REFUND, 2, of=1, amount=400) << not_told << sent(TRANSACTION)
    assert play.state.exchange is not None
    assert play.state.exchange.request_id == request_id(1, "ec_sale")
    play >> answered() << sent(TRANSACTION) << not_told
    play >> answered() << told("ec_refund-2", "00")
    assert credits_of(play) == GroupCount(1000, 1, 400, 1)
    assert play.txn(2, "ec_refund").original == request_id(1, "ec_sale")
    play >> refers(EC_REFUND, 3, of=1, amount=700) << told("ec_refund-3", Refusal.AMOUNT_DIFFERS) << quiet


def test_d13_its_terminal_hears_what_the_host_says() -> None:
    play = ready() >> refers(EC_REFUND, 2, of=9) << sent(TRANSACTION) >> answered("25") << told("ec_refund-2", "25")
    assert credits_of(play) == GroupCount()


def test_d13_without_an_outcome_it_is_in_doubt_and_never_reversed() -> None:
    play = ready() >> refers(EC_REFUND, 2, of=9) << sent(TRANSACTION)
    play.wait(30) << told("ec_refund-2", Refusal.OUTCOME_UNKNOWN) << alerted("refund_in_doubt")
    play >> taken_back(2, what="ec_refund") << told("back-2", Refusal.NOT_REVERSIBLE)
    assert not play.every(r.ReversalOwed)
    assert play.txn(2, "ec_refund").status is TxnStatus.IN_DOUBT


# --- in doubt --------------------------------------------------------------------------------------------------------


def lost_answer(play: Playbook) -> None:
    play.wait(30)


def line_cut(play: Playbook) -> None:
    play >> e.LinkDown("reset")


def bad_mac(play: Playbook) -> None:
    play >> answered("00", MacCheck.BAD)


def unconfirmed(play: Playbook) -> None:
    play >> answered("68")


def partial(play: Playbook) -> None:
    play >> answered("10", amount_minor=200)


def killed(play: Playbook) -> None:
    play.killed()


ROADS = [
    (lost_answer, Why.TIMEOUT, False),
    (line_cut, Why.LINK, False),
    (bad_mac, Why.MAC, True),
    (unconfirmed, Why.UNCONFIRMED, False),
    (partial, Why.PARTIAL, True),
    (killed, Why.RESTART, False),
]


@pytest.mark.parametrize("repeating", [False, True])
@pytest.mark.parametrize(("happens", "why", "seen"), ROADS, ids=[road[0].__name__ for road in ROADS])
def test_d13_no_unknown_refund_is_ever_reversed(happens, why, seen, repeating) -> None:
    play = after_sales(1, rules(refund_repeat=repeating)) >> refund(2, 400)
    happens(play)
    play << recorded(r.RefundInDoubt, why=why, approval_seen=seen) << alerted("refund_in_doubt")
    play.wait(3600)
    assert not play.every(r.ReversalOwed)
    assert the(play).status is TxnStatus.IN_DOUBT
    assert credits_of(play) == GroupCount(1000, 1)


def test_d13_it_is_told_as_failed_and_never_sent_again() -> None:
    play = in_doubt() << told("refund-2", Refusal.OUTCOME_UNKNOWN) << forgot(2, "refund") << quiet
    play >> refund(2, 400, reply="again") << told("again", Refusal.OUTCOME_UNKNOWN) << quiet
    play.killed() >> e.LinkUp() << quiet
    play.wait(7200)
    assert len([x for x in play.sent if x.kind is TRANSACTION]) == 2


def test_d13_its_own_reversal_is_refused_to_the_terminal() -> None:
    play = in_doubt() >> taken_back(2, 400, "refund") << told("back-2", Refusal.NOT_REVERSIBLE)
    play << alerted("terminal_reversal_refused") << quiet
    assert the(play).status is TxnStatus.IN_DOUBT


def test_d13_an_unsent_refund_can_be_taken_back() -> None:
    play = ready() >> sale(1) >> refund(2, 400) >> taken_back(2, 400, "refund") << told("back-2", "00")
    play >> answered() << quiet
    assert play.state.find(OF) is None


def test_d13_sales_go_on() -> None:
    in_doubt() >> sale(3) << sent(TRANSACTION) >> answered() << told("sale-3", "00")


# --- found out by a person -------------------------------------------------------------------------------------------


def test_d13_a_named_person_says_that_it_happened() -> None:
    play = in_doubt() >> resolve(happened=True) << done() << quiet
    play << recorded(r.RefundResolved, happened=True, how=Evidence.PERSON, by="Li Wei", reason="the acquirer says so")
    assert the(play).status is TxnStatus.APPROVED
    assert credits_of(play) == GroupCount(1000, 1, 400, 1)
    play >> resolve(happened=True, command="again") << done(False)
    play >> refund(2, 400, reply="again") << told("again", "00") << quiet


def test_d13_a_named_person_says_that_it_did_not_happen() -> None:
    play = in_doubt() >> resolve(happened=False) << done()
    assert the(play).status is TxnStatus.NOT_DONE
    assert credits_of(play) == GroupCount(1000, 1)
    play >> refund(2, 400, reply="again") << told("again", Refusal.OUTCOME_UNKNOWN) << quiet
    play.killed()
    assert the(play).found_out is not None
    assert the(play).found_out.by == "Li Wei"


def test_d13_nothing_is_resolved_that_is_not_in_doubt() -> None:
    after_sales(2) >> resolve(happened=True) << done(False) << not_recorded(r.RefundResolved)
    play = after_sales(1) >> refund(2, 400) >> resolve(happened=True) << done(False)
    play >> answered() >> resolve(happened=False) << done(False)


def test_d13_no_word_while_its_batch_is_asked_for() -> None:
    """The totals left without it: what a person says now would be in no totals."""
    play = settling(in_doubt()) >> resolve(happened=True) << done(False)
    play >> unbalanced() << recorded(r.TotalsAnswered) >> resolve(happened=True) << done(False)


# --- found out by the totals -----------------------------------------------------------------------------------------


def test_d13_a_balanced_0510_without_it_says_that_it_did_not_happen() -> None:
    play = settling(in_doubt())
    assert play.sent[-1].message.totals.domestic == GroupCount(1000, 1)
    play >> balanced() << recorded(r.RefundResolved, happened=False, how=Evidence.RECONCILIATION)
    assert the(play).status is TxnStatus.NOT_DONE
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED)


@pytest.mark.parametrize("group", ["domestic", "foreign"])
def test_d13_totals_that_do_not_agree_leave_it_in_doubt(group: str) -> None:
    """The group of a refund without an answer is not known: both have to agree."""
    play = settling(in_doubt())
    host = host_totals(play, **{group: GroupResult.UNBALANCED})
    play >> answered("", host_totals=host) << not_recorded(r.RefundResolved) << alerted("settlement_out_of_balance")
    play.until_sent(TRAILER) if play.state.exchange is None else play
    while play.state.exchange is not None and play.state.exchange.kind in (UPLOAD, TRAILER):
        play >> answered()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)
    assert the(play).status is TxnStatus.IN_DOUBT
    play >> signed_in() >> resolve(happened=True) << done()
    assert play.state.last_close.totals.domestic == GroupCount(1000, 1), "what was closed stays as it was closed"


def test_d13_a_batch_with_nothing_but_a_doubt_is_not_skipped() -> None:
    """Only the host's totals can tell."""
    play = ready() >> refund(2, 400)
    play.wait(30) << recorded(r.RefundInDoubt)
    play.until("2026-03-02 23:00:00") << sent(SIGN_IN) >> signed_in() << sent(TOTALS)
    play >> balanced() << recorded(r.RefundResolved, happened=False)


def test_d13_it_is_remembered_over_closes_until_it_is_found_out() -> None:
    state = in_doubt().state
    many = {request_id(n): replace(state.transactions[request_id(1)], request_id=request_id(n)) for n in range(3, 600)}
    skip = r.BatchSkipped(SettlementCause.SCHEDULE, None)
    state = apply(replace(state, transactions=state.transactions | many), skip, 0)
    assert [txn.request_id for txn in apply(state, skip, 0).in_doubt()] == [OF]
    play = settling(in_doubt()) >> unbalanced() >> answered() >> answered() << recorded(r.BatchClosed) >> signed_in()
    for number in range(3, 8):
        closed(play >> sale(number) >> answered()) >> signed_in()
    assert [txn.request_id for txn in play.state.in_doubt()] == [OF]


def test_d23_a_refund_is_never_deferred() -> None:
    play = after_sales(1, rules(settle_minimum_minor=9000)) >> refund(2, 400) >> answered()
    play.until("2026-03-02 23:00:00") << not_recorded(r.SettlementDeferred) << sent(SIGN_IN)
    play = in_doubt(after_sales(1, rules(settle_minimum_minor=9000)))
    play.until("2026-03-02 23:00:00") << not_recorded(r.SettlementDeferred) << sent(SIGN_IN)


def test_d7_a_changed_batch_number_settles_a_doubt_early() -> None:
    play = ready() >> refund(2, 400)
    play.wait(30) >> sale(3) >> answered("A0") << sent(SIGN_IN) >> signed_in(batch=42)
    play << alerted("host_batch_number_changed")
    play << recorded(r.SettlementWanted, cause=SettlementCause.HOST_BATCH_CHANGED)


# --- found out by a late answer --------------------------------------------------------------------------------------


def test_d13_a_late_approval_says_that_it_happened() -> None:
    play = in_doubt() >> late(TRANSACTION, STAN, "00") << alerted("refund_happened")
    play << recorded(r.RefundResolved, happened=True, how=Evidence.LATE_ANSWER)
    assert credits_of(play) == GroupCount(1000, 1, 400, 1)
    play >> refund(2, 400, reply="again") << told("again", "00")


def test_d13_a_late_refusal_says_that_it_did_not_happen() -> None:
    play = in_doubt() >> late(TRANSACTION, STAN, "61") << recorded(r.RefundResolved, happened=False)
    assert the(play).status is TxnStatus.NOT_DONE


@pytest.mark.parametrize(
    ("code", "mac"), [("00", MacCheck.BAD), ("00", MacCheck.ABSENT), ("61", MacCheck.ABSENT), ("68", MacCheck.GOOD)]
)
def test_d13_a_late_answer_that_cannot_be_trusted_says_nothing(code: str, mac: MacCheck) -> None:
    play = in_doubt() >> late(TRANSACTION, STAN, code, mac=mac) << not_recorded(r.RefundResolved)
    assert the(play).status is TxnStatus.IN_DOUBT


@pytest.mark.parametrize("was", [TxnStatus.DECLINED, TxnStatus.NOT_DONE])
def test_d13_an_approval_after_all_puts_it_in_doubt_again(was: TxnStatus) -> None:
    play = after_sales(1) >> refund(2, 400)
    if was is TxnStatus.DECLINED:
        play >> answered("61", MacCheck.ABSENT)
    else:
        play.wait(30) >> resolve(happened=False)
    assert the(play).status is was
    play >> late(TRANSACTION, STAN, "00") << recorded(r.RefundInDoubt, approval_seen=True) << alerted("refund_in_doubt")
    play << not_recorded(r.ReversalOwed) << quiet
    play >> resolve(happened=True) << done()


# --- the knob: repeat once -------------------------------------------------------------------------------------------


def repeated(play: Playbook | None = None) -> Playbook:
    play = (play or after_sales(1, REPEATING)) >> refund(2, 400)
    stan = play.state.exchange.stan
    play.wait(30) << recorded(r.RefundRepeated) << sent(TRANSACTION) << not_told
    assert play.state.exchange.stan == stan
    return play


def test_d13_where_the_shop_says_so_it_is_repeated_once_with_the_same_stan() -> None:
    before = after_sales(1, REPEATING)
    play = repeated(before) >> answered() << told("refund-2", "00") << recorded(r.Approved) << forgot(2, "refund")
    assert credits_of(play) == GroupCount(1000, 1, 400, 1)
    assert play.engine.agenda.repeat is None


def test_d13_once_and_no_more() -> None:
    play = repeated()
    play.wait(30) << recorded(r.RefundInDoubt) << told("refund-2", Refusal.OUTCOME_UNKNOWN) << forgot(2, "refund")
    play.wait(3600)
    assert len(play.every(r.RefundRepeated)) == 1


def test_d14_94_on_the_repeat_means_that_it_happened() -> None:
    play = repeated() >> answered("94") << recorded(r.RefundResolved, happened=True, how=Evidence.REPEAT)
    play << told("refund-2", "00") << not_recorded(r.Declined)
    assert the(play).status is TxnStatus.APPROVED


@pytest.mark.parametrize(("code", "mac"), [("94", MacCheck.ABSENT), ("61", MacCheck.GOOD), ("A0", MacCheck.GOOD)])
def test_d13_another_answer_to_the_repeat_says_nothing_about_the_first(code: str, mac: MacCheck) -> None:
    play = repeated() >> answered(code, mac) << told("refund-2", Refusal.OUTCOME_UNKNOWN)
    assert the(play).status is TxnStatus.IN_DOUBT


def test_d12_what_carried_a_pin_or_encrypted_tracks_is_never_repeated() -> None:
    play = after_sales(1, REPEATING) >> refund(2, 400, once=True)
    play.wait(30) << told("refund-2", Refusal.OUTCOME_UNKNOWN) << forgot(2, "refund") << quiet
    assert not play.every(r.RefundRepeated)


def test_d13_it_is_not_repeated_after_a_restart() -> None:
    """What the terminal sent lived in memory (P5)."""
    play = after_sales(1, REPEATING) >> refund(2, 400)
    play.killed() >> e.LinkUp() << quiet
    play = repeated()
    play.killed() << recorded(r.RefundInDoubt, why=Why.RESTART) >> e.LinkUp() << quiet
    assert the(play).status is TxnStatus.IN_DOUBT


def test_d17_a_repeat_that_could_not_finish_in_time_is_not_sent() -> None:
    play = after_sales(1, REPEATING) >> refund(2, 400) >> e.LinkDown("cut") << not_told
    play.wait(42) << not_told
    play.wait(2) << told("refund-2", Refusal.OUTCOME_UNKNOWN) << forgot(2, "refund")
    play >> e.LinkUp() << quiet
    assert the(play).status is TxnStatus.IN_DOUBT


def test_d12_the_repeat_follows_a_sign_in_at_most_once() -> None:
    play = after_sales(1, REPEATING) >> refund(2, 400) >> e.LinkDown("cut")
    play.wait(5) >> e.LinkUp() << sent(TRANSACTION) >> answered("99") << told("refund-2", Refusal.OUTCOME_UNKNOWN)
    play << sent(SIGN_IN) >> signed_in() << quiet


def test_d1_a_repeat_that_cannot_be_encoded_stays_in_doubt() -> None:
    play = after_sales(1, REPEATING) >> refund(2, 400)
    play.cannot_encode = lambda to_host: "no longer in memory"
    play.wait(30) << told("refund-2", Refusal.OUTCOME_UNKNOWN) << alerted("cannot_encode") << forgot(2, "refund")
    assert the(play).status is TxnStatus.IN_DOUBT


def test_d13_a_word_of_a_person_waits_for_the_repeat() -> None:
    repeated() >> resolve(happened=True) << done(False)


def test_d13_a_word_of_a_person_ends_the_wish_to_repeat() -> None:
    play = after_sales(1, REPEATING) >> refund(2, 400) >> e.LinkDown("cut") >> resolve(happened=True) << done()
    play << told("refund-2", Refusal.OUTCOME_UNKNOWN) << forgot(2, "refund") >> e.LinkUp() << quiet


# --- upload ----------------------------------------------------------------------------------------------------------


def uploads(play: Playbook) -> list[tuple[int, list[str]]]:
    sends = [x.message for x in play.sent if x.kind is UPLOAD]
    return [(message.stan, [txn.request_id.rpartition("/")[2] for txn in message.transactions]) for message in sends]


def test_d21_a_refund_is_uploaded_alone_under_its_own_number() -> None:
    """Reference 1.7, record type 4."""
    play = after_sales(1) >> refund(2, 400) >> answered() >> sale(3) >> answered() >> refund(4, 100) >> answered()
    play >> sale(5) >> answered() >> sale(6) >> answered()
    settling(play) >> unbalanced()
    while play.state.exchange.kind is UPLOAD:
        play >> answered()
    kinds = [kinds for _, kinds in uploads(play)]
    assert kinds == [["sale"], ["refund"], ["sale"], ["refund"], ["sale", "sale"]]
    assert uploads(play)[1][0] == the(play).stan
    play << sent(TRAILER, uploaded=6, balanced=False) >> answered() << recorded(r.BatchClosed)


def test_d21_a_refund_that_is_repeated_in_the_upload_keeps_its_number() -> None:
    play = settling(after_sales(1) >> refund(2, 400) >> answered()) >> unbalanced() >> answered() << sent(UPLOAD)
    play.wait(30)
    play.until_sent(UPLOAD)
    assert uploads(play)[-1] == uploads(play)[-2] == (the(play).stan, ["refund"])


# --- D14, D10, D15 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_of", [sale, refund])
def test_d14_94_on_a_first_attempt_is_failed_and_alerted(request_of) -> None:
    play = ready() >> request_of(1, reply="first") >> answered("94") << told("first", "94") << alerted("stan_reused")
    play << recorded(r.Declined) << not_recorded(r.ReversalOwed) << not_recorded(r.RefundInDoubt) << quiet


def test_d10_a_decline_without_a_mac_is_remembered() -> None:
    play = after_sales(1) >> sale(2) >> answered("51", MacCheck.ABSENT) >> sale(3) >> answered("51")
    assert [txn.unmaced for txn in play.state.transactions.values()] == [False, True, False]
    play = settling(play) >> unbalanced() << alerted("settlement_out_of_balance")
    alert = next(x for d in play.drafts for x in d.effects if getattr(x, "event", "") == "settlement_out_of_balance")
    assert (alert.facts["unmaced_declines"], alert.facts["refunds_in_doubt"]) == (1, 0)


def test_d10_where_the_shop_reverses_them_they_are_no_declines() -> None:
    play = ready(rules(unmaced_decline=UnmacedDecline.REVERSE)) >> sale(1) >> answered("51", MacCheck.ABSENT)
    play << recorded(r.ReversalOwed, why=Why.MAC)


PARTS = rules(partial_approval=True)


def part(number: int, amount: int = 1000):
    """A sale of a terminal that can take an approval of a part."""
    fed = sale(number, amount)

    def event(play: Playbook) -> e.Event:
        asked = fed(play)
        assert isinstance(asked, e.TransactionRequested)
        return replace(asked, partial_asked=True)

    return event


def test_d15_where_it_was_asked_for_the_part_counts() -> None:
    play = ready(PARTS) >> part(1) >> answered("10", amount_minor=600) << told("sale-1", "10") << quiet
    play << recorded(r.Approved, approved_minor=600)
    assert play.txn().amount_minor == 1000
    assert credits_of(play) == GroupCount(600, 1)
    answers = [a.answer for d in play.drafts for a in d.to_terminal]
    assert isinstance(answers[0], Result)
    assert answers[0].approved_minor == 600, "the terminal is told the part"


def test_d15_a_repeat_is_told_the_part_again() -> None:
    play = ready(PARTS) >> part(1) >> answered("10", amount_minor=600) >> part(1)
    (answer,) = [a.answer for d in play.drafts for a in d.to_terminal]
    assert answer.approved_minor == 600


def test_d15_its_reversal_carries_the_requested_amount() -> None:
    play = ready(PARTS) >> part(1) >> answered("10", amount_minor=600) >> taken_back(1, 600) << told("back-1", "00")
    play << sent(REVERSAL)
    assert play.sent[-1].message.transaction.amount_minor == Minor(1000)


@pytest.mark.parametrize("approved", [None, 0, 1001])
def test_d15_a_part_that_is_none_is_reversed(approved: int | None) -> None:
    play = ready(PARTS) >> part(1) >> answered("10", amount_minor=approved) << told("sale-1", Refusal.OUTCOME_UNKNOWN)
    play << recorded(r.ReversalOwed, why=Why.PARTIAL, reason="96") << sent(REVERSAL, reason="96")


@pytest.mark.parametrize("asked", ["by the terminal only", "by the shop only"])
def test_d15_an_unrequested_part_is_reversed_with_96(asked: str) -> None:
    play = ready() >> part(1) if asked == "by the terminal only" else ready(PARTS) >> sale(1)
    play >> answered("10", amount_minor=600) << sent(REVERSAL, reason="96") << told("sale-1", Refusal.OUTCOME_UNKNOWN)


def test_p5_no_card_stays_in_memory() -> None:
    for play in (in_doubt(), repeated() >> answered("61"), repeated() >> answered()):
        play << forgot(2, "refund")


def test_d13_totals_of_another_host_batch_say_nothing_of_a_refund() -> None:
    play = in_doubt()
    play >> sale(3) >> answered("77") << sent(ExchangeKind.SIGN_IN) >> signed_in(batch=99)
    play << sent(ExchangeKind.SIGN_IN) >> signed_in(batch=99) << sent(ExchangeKind.TOTALS)
    play >> balanced() << not_recorded(r.RefundResolved)
    assert play.txn(2, "refund").status is TxnStatus.IN_DOUBT
