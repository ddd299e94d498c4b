"""Results of issuer scripts: durable, answered, delivered before everything else, and never invented."""

from typing import Any

from posd.core import chips, originals
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind
from posd.core.effects import Refusal, SendAdvice
from posd.core.rules import TxnKind
from posd.core.state import AdviceStatus, TxnStatus
from posd.core.totals import totals_of
from posd.values import Minor, Stan
from tests.core.playbook import (
    CARD,
    Fed,
    Playbook,
    alerted,
    answered,
    balanced,
    chip_sale,
    not_recorded,
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
    void,
)

SCRIPT = TxnKind.SCRIPT_RESULT
TRANSACTION, REVERSAL, SIGN_IN, TOTALS = (
    ExchangeKind.TRANSACTION,
    ExchangeKind.REVERSAL,
    ExchangeKind.SIGN_IN,
    ExchangeKind.TOTALS,
)


def scripted(*numbers: int, **changes: Any) -> Playbook:
    """Approved chip sales, each with an issuer script."""
    play = ready(rules(**changes))
    for number in numbers:
        play >> chip_sale(number) >> approved_with_a_script()
    return play


def approved_with_a_script() -> Fed:
    return answered("00", facts=AnswerFacts("00", icc="720386010A", scripts=1))


def notice(number: int, of: int, card: bool = True) -> Fed:
    """The terminal's 0620 about its sale `of`."""
    return lambda play: e.TransactionRequested(
        request_id=request_id(number, "script"),
        kind=SCRIPT,
        amount_minor=Minor(0),
        terminal_batch=1,
        terminal_stan=Stan(number),
        fingerprint=f"script-{of}",
        entry_mode="051",
        card=CARD if card else None,
        original=e.OriginalPointer(None, 1, Stan(of)),
        has_pin=False,
        reply_to=f"script-{number}",
        received_s=play.mono,
    )


def on_its_way(number: int) -> Any:
    def check(play: Playbook) -> None:
        sent(TRANSACTION)(play)
        message = play.sent[-1].message
        assert isinstance(message, SendAdvice), message
        assert message.transaction.request_id == request_id(number, "script")
        assert message.original is not None, "the original is named by our own batch and trace"

    return check


def test_a_result_is_answered_when_it_is_durable_and_goes_at_once() -> None:
    play = scripted(1) >> notice(2, of=1) << told("script-2", "00") << recorded(r.AdviceStored)
    play << on_its_way(2) >> answered() << recorded(r.AdviceAcknowledged) << quiet
    assert chips.unreported(play.state) == []


def test_it_needs_no_card_of_its_own() -> None:
    scripted(1) >> notice(2, of=1, card=False) << told("script-2", "00") << on_its_way(2)


def test_d14_94_after_silence_means_that_the_host_has_it() -> None:
    """D14: and 94 on a first attempt means that its number was used twice."""
    play = scripted(1) >> notice(2, of=1)
    play.wait(31)
    play.until_sent(TRANSACTION)
    play >> answered("94") << recorded(r.AdviceAcknowledged, after_silence=True)
    scripted(1) >> notice(2, of=1) >> answered("94") << recorded(r.AdviceRefused) << alerted("stan_reused")


def test_d14_it_is_repeated_with_its_own_number_also_after_a_kill() -> None:
    play = scripted(1) >> notice(2, of=1) << on_its_way(2)
    stan = play.txn(2, "script").stan
    play.killed() >> e.LinkUp()
    play.until_sent(TRANSACTION)
    assert play.sent[-1].message.transaction.stan == stan  # type: ignore[union-attr]
    play >> answered() << recorded(r.AdviceAcknowledged)


def test_d19_it_goes_before_reversals_and_before_the_totals() -> None:
    """D19: scripts first, then reversals, then the rest (reference 1.7)."""
    play = scripted(1, 2) >> e.LinkDown("cut") >> notice(3, of=1) << told("script-3", "00") >> taken_back(2)
    play >> e.LinkUp() << on_its_way(3) >> answered() << sent(REVERSAL) >> answered()
    settling(play) >> balanced()


def test_d19_what_is_not_delivered_holds_the_totals_and_is_carried_over() -> None:
    """D19: balanced totals say nothing of a script: it stays owed."""
    play = scripted(1, advice_attempts_max=2) >> notice(2, of=1)
    play.wait(31)
    play >> e.SettleNow("c", "anna")
    play.until_sent(SIGN_IN)
    play >> signed_in()
    play.until_sent(TOTALS)
    play << recorded(r.AdviceCarriedOver, request_id=request_id(2, "script"))
    play >> balanced() << not_recorded(r.AdviceSettled)
    assert play.state.advices[request_id(2, "script")].status in (AdviceStatus.OWED, AdviceStatus.STUCK)


def test_a_sale_waits_for_no_host_that_is_silent_about_scripts() -> None:
    play = scripted(1) >> notice(2, of=1)
    play.wait(31)
    play >> sale(3) << sent(TRANSACTION)
    assert play.sent[-1].request_id == request_id(3)


def test_it_uses_nothing_and_nothing_is_in_its_way() -> None:
    play = scripted(1) >> void(2, of=1) >> answered() >> notice(3, of=1) << told("script-3", "00") >> answered()
    assert play.txn(1).status is TxnStatus.APPROVED
    play = scripted(1) >> notice(2, of=1) >> answered() >> void(3, of=1) << sent(TRANSACTION) >> answered()
    play << told("void-3", "00")
    play = scripted(1) >> taken_back(1) >> answered() >> notice(2, of=1) << told("script-2", "00")
    assert list(originals.users_of(play.state, play.rules, request_id(1))) == []


def test_one_about_nothing_of_ours_is_refused() -> None:
    scripted(1) >> notice(2, of=9) << told("script-2", Refusal.NO_ORIGINAL) << quiet


def test_one_of_a_closed_batch_is_taken() -> None:
    play = settling(scripted(1)) >> balanced()
    play.until_sent(ExchangeKind.UPLOAD) >> answered() << sent(ExchangeKind.TRAILER) >> answered()
    play << recorded(r.BatchClosed)
    play >> signed_in() >> notice(2, of=1) << told("script-2", "00") << on_its_way(2)


def test_what_the_terminal_never_tells_is_said_and_nothing_is_invented() -> None:
    play = scripted(1, 2) >> notice(3, of=2) >> answered()
    assert [txn.request_id for txn in chips.unreported(play.state)] == [request_id(1)]
    settling(play) << alerted("script_results_not_told")
    assert play.facts("script_results_not_told")["count"] == 1
    assert [one.request_id for one in play.every(r.AdviceStored)] == [request_id(3, "script")]


def test_it_counts_nowhere_and_goes_into_no_upload() -> None:
    play = scripted(1) >> notice(2, of=1) >> answered()
    assert totals_of(play.state.transactions.values(), play.rules).domestic.debit_count == 1
    play = settling(play) >> balanced()
    assert play.state.settlement.items == (request_id(1),)
