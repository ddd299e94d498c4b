"""What chips did: refused after an approval, uploaded whether the totals agree or not, told by the terminal."""

from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind
from posd.core.chips import to_upload
from posd.core.effects import SendChipDetail, SendReversal, SendUpload
from posd.core.rules import Why
from posd.core.state import ChipEnd, ChipResult, CloseOutcome, TxnStatus
from posd.values import Minor, Stan
from tests.core.playbook import (
    SETTLE_NOW,
    Fed,
    Playbook,
    alerted,
    answered,
    balanced,
    chip_refused,
    chip_sale,
    done,
    not_alerted,
    not_recorded,
    preauth,
    quiet,
    ready,
    recorded,
    request_id,
    sale,
    sent,
    settling,
    taken_back,
    told,
    unbalanced,
    void,
    with_chip,
    zeros,
)

REVERSAL, UPLOAD, TRAILER = ExchangeKind.REVERSAL, ExchangeKind.UPLOAD, ExchangeKind.TRAILER
SIGN_IN, TOTALS = ExchangeKind.SIGN_IN, ExchangeKind.TOTALS


def chips(count: int = 1, **more: Any) -> Playbook:
    play = ready()
    for number in range(1, count + 1):
        play >> chip_sale(number) >> answered()
    return play


def detail(play: Playbook) -> SendChipDetail:
    sent(UPLOAD)(play)
    message = play.sent[-1].message
    assert isinstance(message, SendChipDetail), message
    return message


def uploaded(*items: e.UploadedItem, stated: int | None = None) -> e.TerminalUploaded:
    return e.TerminalUploaded(1, "up", items, stated)


def chip_item(number: int, result: ChipResult, code: str = "00", amount: int = 1000) -> e.UploadedItem:
    end = ChipEnd(result, code, "9F2608AABBCCDDEEFF0011")
    return e.UploadedItem(Stan(number), Minor(amount), "d1", False, end)


# --- refused by the chip ---------------------------------------------------------------------------------------------


def test_an_approval_that_the_chip_refuses_is_reversed_with_96() -> None:
    play = chips() >> chip_refused(1, icc="9505AA") << told("back-1", "00")
    play << recorded(r.ReversalOwed, why=Why.REFUSED_BY_CHIP, reason="96", icc="9505AA") << sent(REVERSAL, reason="96")
    message = play.sent[-1].message
    assert isinstance(message, SendReversal)
    assert message.icc == "9505AA", "what its terminal told of the chip goes with it"


@pytest.mark.parametrize("reason", ["98", "06"])
def test_another_reason_is_the_terminals_own(reason: str) -> None:
    play = chips() >> replace(chip_refused(1), reason=reason)
    play << recorded(r.ReversalOwed, why=Why.TERMINAL, reason=reason)


def test_96_without_a_chip_or_before_an_answer_is_the_terminals_own() -> None:
    ready() >> sale(1) >> answered() >> chip_refused(1) << recorded(r.ReversalOwed, why=Why.TERMINAL, reason="96")
    ready() >> chip_sale(1) >> chip_refused(1) << recorded(r.ReversalOwed, why=Why.TERMINAL, reason="96")


def test_96_without_the_chips_own_word_is_a_terminal_that_failed() -> None:
    """Its printer had no paper: the host is not told that the card refused."""
    play = chips(2) >> replace(chip_refused(1), chip_refused=False) << told("back-1", "00")
    play << recorded(r.ReversalOwed, why=Why.TERMINAL, reason="96") << sent(REVERSAL, reason="96") >> answered()
    assert chips_to_upload(play) == [request_id(2)]


def test_d25_its_own_close_may_still_say_that_the_chip_refused() -> None:
    play = chips(2) >> replace(chip_refused(1), chip_refused=False) >> answered()
    play >> uploaded(chip_item(1, ChipResult.REFUSED, "11")) << recorded(r.ChipEndTold) << not_alerted
    assert chips_to_upload(play) == [request_id(2), request_id(1)]
    accepted = chips(2) >> replace(chip_refused(1), chip_refused=False) >> answered()
    accepted >> uploaded(chip_item(1, ChipResult.ACCEPTED)) << not_recorded(r.ChipEndTold)


def chips_to_upload(play: Playbook) -> list[str]:
    return [*to_upload(play.state)]


def test_what_the_chip_refused_survives_a_kill_with_what_was_told_of_it() -> None:
    play = chips() >> chip_refused(1, icc="9505AA")
    play.killed() >> e.LinkUp()
    play.until_sent(REVERSAL)
    message = play.sent[-1].message
    assert isinstance(message, SendReversal)
    assert message.icc == "9505AA"


# --- uploaded --------------------------------------------------------------------------------------------------------


def test_what_a_chip_accepted_is_uploaded_although_the_totals_agree() -> None:
    play = settling(chips(2)) >> balanced() << sent(UPLOAD, result=ChipResult.ACCEPTED, balanced=True)
    assert detail(play).stan == play.txn(1).stan, "under the number of its request"
    play >> answered() << sent(UPLOAD, result=ChipResult.ACCEPTED)
    assert detail(play).transaction.request_id == request_id(2)
    play >> answered() << sent(TRAILER, balanced=True, uploaded=2)
    play >> answered() << recorded(r.BatchClosed, outcome=CloseOutcome.AGREED)


def test_an_unbalanced_group_does_not_carry_it_twice() -> None:
    """The stripes go eight in a message, the chips alone, the failed last; the end message counts all of them."""
    play = ready()
    for number in (1, 2):
        play >> chip_sale(number) >> answered()
    play >> sale(3) >> answered() >> sale(4) >> answered()
    play >> chip_refused(1) >> answered()
    settling(play) >> unbalanced() << sent(UPLOAD)
    message = play.sent[-1].message
    assert isinstance(message, SendUpload)
    assert [txn.request_id for txn in message.transactions] == [request_id(3), request_id(4)]
    play >> answered() << sent(UPLOAD, result=ChipResult.ACCEPTED, balanced=False)
    assert detail(play).transaction.request_id == request_id(2)
    play >> answered() << sent(UPLOAD, result=ChipResult.REFUSED, balanced=False)
    assert detail(play).transaction.request_id == request_id(1)
    play >> answered() << sent(TRAILER, balanced=False, uploaded=4)


def test_a_batch_with_nothing_but_a_hold_by_chip_is_settled_for_its_detail() -> None:
    play = ready() >> with_chip(preauth(1)) >> answered()
    settling(play) >> balanced() << sent(UPLOAD, result=ChipResult.ACCEPTED) >> answered() << sent(TRAILER, uploaded=1)


def test_a_hold_by_stripe_alone_is_nothing_to_settle() -> None:
    ready() >> preauth(1) >> answered() >> SETTLE_NOW << done(ok=False) << quiet


def test_declined_unknown_or_taken_back_otherwise_there_is_nothing_to_upload() -> None:
    play = chips() >> chip_sale(2) >> answered("51") >> chip_sale(3)
    play.wait(30)
    play >> answered("00") << recorded(r.ReversalAcknowledged)
    play >> chip_sale(4) >> answered() >> taken_back(4) >> answered()
    settling(play) >> balanced() << sent(UPLOAD)
    assert detail(play).transaction.request_id == request_id(1)
    play >> answered() << sent(TRAILER, uploaded=1)


def test_a_voided_chip_sale_is_uploaded_all_the_same() -> None:
    play = chips() >> void(2, of=1) >> answered()
    settling(play) >> unbalanced() << sent(UPLOAD)
    assert isinstance(play.sent[-1].message, SendUpload)
    play >> answered() << sent(UPLOAD, result=ChipResult.ACCEPTED)


def test_d21_a_kill_amid_the_details_goes_on_where_it_was() -> None:
    """D21: what was acknowledged is not sent again, what was in flight is repeated with its own number."""
    play = settling(chips(3)) >> balanced() >> answered() << sent(UPLOAD)
    stan = detail(play).stan
    play.killed() >> e.LinkUp()
    play.until_sent(UPLOAD)
    assert detail(play).stan == stan
    play >> answered("94") << sent(UPLOAD)
    assert detail(play).transaction.request_id == request_id(3)
    play >> answered() << sent(TRAILER, uploaded=3)


def test_d21_a_refused_detail_is_set_aside_and_the_close_says_so() -> None:
    play = settling(chips(2)) >> balanced()
    for _ in range(play.rules.settle_attempts_max - 1):
        play >> answered("96")
        play.until_sent(UPLOAD)
    play >> answered("96") << recorded(r.UploadSetAside, request_ids=(request_id(1),)) << alerted("upload_set_aside")
    play >> answered() << sent(TRAILER, uploaded=1) >> answered()
    play << recorded(r.BatchClosed, outcome=CloseOutcome.OUT_OF_BALANCE)


@pytest.mark.parametrize("back", [taken_back(2), chip_refused(2)])
def test_what_is_taken_back_amid_the_upload_stops_nothing(back: e.ReversalRequested) -> None:
    play = settling(chips(2)) >> balanced() << sent(UPLOAD) >> back << told("back-2", "00")
    play >> answered() << sent(UPLOAD)
    assert detail(play).transaction.request_id == request_id(2)
    play >> answered() << sent(TRAILER, uploaded=2) >> answered() << recorded(r.BatchClosed)


# --- the terminal's own close ----------------------------------------------------------------------------------------


def test_d25_what_it_tells_of_chips_is_no_record_of_money() -> None:
    """D25: a TC of a hold, an AAC of what was reversed: accepted, seen, and no difference."""
    play = chips() >> with_chip(preauth(2)) >> answered() >> chip_sale(3) >> answered()
    play >> chip_refused(3) >> answered()
    told_of = (
        chip_item(1, ChipResult.ACCEPTED),
        replace(chip_item(2, ChipResult.ACCEPTED), amount_minor=Minor(7)),
        chip_item(3, ChipResult.REFUSED, "11"),
    )
    play >> uploaded(*told_of) << told("up", "00") << recorded(r.TerminalItemsCompared, differing=()) << not_alerted
    play >> uploaded(stated=3) << recorded(r.TerminalUploadEnded, seen=3, missing=()) << not_alerted


def test_d25_a_refusal_whose_reversal_never_came_is_a_difference() -> None:
    """D25: the customer went without the goods, and our books have the money."""
    play = chips() >> uploaded(chip_item(1, ChipResult.REFUSED, "11")) << alerted("terminal_items_differ")
    (compared,) = play.every(r.TerminalItemsCompared)
    assert [one.what for one in compared.differing] == [r.ItemDifference.COUNTED_HERE]
    assert play.txn(1).status is TxnStatus.APPROVED, "a close never moves money"


def test_d25_nobody_signs_what_it_tells_so_our_books_are_uploaded() -> None:
    """D25: an upload that contradicts our books is a difference, and never becomes our own word."""
    play = chips(2) >> chip_refused(2) >> answered()
    play >> uploaded(chip_item(1, ChipResult.REFUSED, "11"), chip_item(2, ChipResult.ACCEPTED))
    play << not_recorded(r.ChipEndTold) << alerted("terminal_items_differ")
    settling(play) >> balanced() << sent(UPLOAD, result=ChipResult.ACCEPTED) >> answered()
    play << sent(UPLOAD, result=ChipResult.REFUSED)


def test_d25_a_chip_that_nobody_knows_is_a_difference() -> None:
    chips() >> uploaded(chip_item(9, ChipResult.ACCEPTED)) << alerted("terminal_items_differ")


def test_how_the_terminal_says_that_it_ended_is_uploaded_so() -> None:
    play = chips(2) >> uploaded(chip_item(2, ChipResult.UNPROVEN, "05"), chip_item(1, ChipResult.ACCEPTED))
    settling(play) >> balanced() << sent(UPLOAD, result=ChipResult.ACCEPTED)
    end = detail(play).transaction.chip_end
    assert end == ChipEnd(ChipResult.ACCEPTED, "00", "9F2608AABBCCDDEEFF0011")
    play >> answered() << sent(UPLOAD, result=ChipResult.UNPROVEN)


def test_what_has_left_is_repeated_as_it_was() -> None:
    play = settling(chips()) >> balanced() << sent(UPLOAD, result=ChipResult.ACCEPTED)
    play >> uploaded(chip_item(1, ChipResult.UNPROVEN, "05")) << not_recorded(r.ChipEndTold)
    play.wait(31)
    play.until_sent(UPLOAD)
    assert detail(play).result is ChipResult.ACCEPTED


# --- what the issuer says to a chip ----------------------------------------------------------------------------------


def says(icc: str, scripts: int) -> Fed:
    return answered("00", facts=AnswerFacts("00", icc=icc, scripts=scripts))


def test_d6_what_the_issuer_says_to_a_chip_is_told_again() -> None:
    play = ready() >> chip_sale(1) >> says("910A00", 1)
    for _ in range(2):
        (answer,) = [one.answer for draft in play.drafts for one in draft.to_terminal]
        assert answer.facts.icc == "910A00"
        play >> chip_sale(1)


def test_d20_a_repeat_that_differs_about_nothing_speaks_of_a_closed_batch() -> None:
    """Totals of zero for a pre-authorisation alone: the first answer closed the batch, and it was lost."""
    play = settling(ready() >> with_chip(preauth(1)) >> answered())
    play.wait(30).until_sent(ExchangeKind.TOTALS) >> zeros() << recorded(r.SettlementUnconfirmed)
    first = settling(ready() >> with_chip(preauth(1)) >> answered())
    first >> zeros() << recorded(r.TotalsAnswered)
