"""Uploading and the end message: what the host asks for after the totals (reference 1.7); table in settlement.py.

- Each upload is eight items from a durable cursor, in doubt repeated with its own number; only an acknowledgement moves
  the cursor. Eight that are refused again and again go one by one, so that only the item at fault is set aside, and
  the close is out of balance (D21). Where the host wants a sign-in again and again (77), it is not one item's fault.
- An item that cannot be encoded, because its card cannot be read from the vault, goes alone, and is set aside if it
  still cannot be read after as many tries; those beside it go without it.
- What a chip did comes last, a message for each, whether the totals agree or not (chips.py).
- 94 means done only after an attempt that went unanswered (D14).
- The end message says 207 if the totals agreed and 202 if not; its acknowledgement closes the batch, once. Where it
  says the totals again (rules.CloseRules), its code says whether the books agree after the upload.
"""

from msgspec.structs import replace

from posd.core import advices, chips, originals
from posd.core import records as r
from posd.core.answers import AnswerClass, ExchangeKind, HostAnswer, Totals
from posd.core.draft import UNSAYABLE, Draft
from posd.core.effects import SendChipDetail, SendTrailer, SendUpload
from posd.core.rules import Upload
from posd.core.settlement import SETTLE, balanced, close, sign_in_first
from posd.core.state import ChipResult, CloseOutcome, Settled, SettlementPhase
from posd.core.verdict import SEEN_BEFORE
from posd.values import RequestId, Stan

UNSAYABLE_PAUSE_S = 1.0
"""Between two that are set aside for that, so that one event never has to do with all of them."""


def upload_next(draft: Draft) -> None:
    """The next eight items; what is in doubt is repeated with its own number (D21)."""
    settlement = draft.state.settlement
    items = _next_items(draft)
    repeat = settlement.in_flight == len(items) and settlement.stan is not None
    stan = settlement.stan if repeat and settlement.stan is not None else _own_stan(draft, items)
    draft.record(r.UploadSent(stan, settlement.uploaded, len(items), settlement.asked + 1))
    draft.send(ExchangeKind.UPLOAD, _message(draft, stan, items))


def _message(draft: Draft, stan: Stan, items: tuple[RequestId, ...]) -> SendUpload | SendChipDetail:
    settlement, number = draft.state.settlement, draft.state.batch.number
    first = draft.state.transactions[items[0]]
    if first.chip:
        # Taken back since the totals, and not by its chip: as it stood in them, like every other item.
        result = chips.result_of(draft.state, first) or ChipResult.ACCEPTED
        return SendChipDetail(stan, number, first, result, balanced(settlement))
    transactions = tuple(draft.state.transactions[item] for item in items)
    original = draft.state.find(first.original) if first.original else None
    root = originals.root_of(draft.state, draft.rules, first)
    more = settlement.uploaded + len(items) < len(settlement.items)
    return SendUpload(stan, number, transactions, original, root, more)


def _next_items(draft: Draft) -> tuple[RequestId, ...]:
    """Up to eight, or one alone where it goes in a message of its own; what was sent is repeated as it was."""
    settlement = draft.state.settlement
    if _splits(draft) or settlement.uploaded < settlement.alone_until:
        return settlement.items[settlement.uploaded : settlement.uploaded + 1]
    count = settlement.in_flight or draft.rules.upload_records_max
    items = settlement.items[settlement.uploaded : settlement.uploaded + count]
    without = [at for at, item in enumerate(items) if item in draft.agenda.unsayable]
    alone = [at for at, item in enumerate(items) if _alone(draft, item)] if not settlement.in_flight else []
    ends = min((*without, *alone), default=len(items))
    return items[: ends or 1]


def _splits(draft: Draft) -> bool:
    """Several that went together were refused so often that each has to show whether it is the one (D21)."""
    settlement = draft.state.settlement
    return settlement.in_flight > 1 and settlement.refused >= draft.rules.settle_attempts_max


def _alone(draft: Draft, item: RequestId) -> bool:
    txn = draft.state.transactions[item]
    return txn.chip or draft.rules.kinds[txn.kind].upload is Upload.ALONE


def _own_stan(draft: Draft, items: tuple[RequestId, ...]) -> Stan:
    """A new number; an item that goes alone carries the number of its request (reference 1.7)."""
    alone = len(items) == 1 and _alone(draft, items[0])
    return draft.state.transactions[items[0]].stan if alone else draft.state.stan


def upload_answered(draft: Draft, answer: HostAnswer) -> None:
    """The 0330 to uploaded items."""
    settlement = draft.state.settlement
    code = answer.facts.code
    draft.end_exchange()
    if answer.mismatch:
        _retry_upload(draft, answer.mismatch, "")
    elif answer.answer_class is AnswerClass.APPROVE or (code == SEEN_BEFORE and settlement.unanswered > 0):
        for item in _next_items(draft):
            advices.settled(draft, item, Settled.UPLOAD)
        draft.record(r.UploadAcknowledged(settlement.uploaded + settlement.in_flight))
        draft.at_once(SETTLE)
    elif _refused_for_good(draft, answer):
        _set_aside(draft, code)
        sign_in_first(draft, answer)
    else:
        _retry_upload(draft, f"the host answered {code}", code)
        sign_in_first(draft, answer)


def _refused_for_good(draft: Draft, answer: HostAnswer) -> bool:
    """A single item that was refused often, or often in company already; a batch that the host has no more (77)."""
    settlement = draft.state.settlement
    often = settlement.refused + 1 >= draft.rules.settle_attempts_max or settlement.uploaded < settlement.alone_until
    of_the_batch = answer.answer_class is AnswerClass.ACT_AND_RETRY
    return often and (settlement.in_flight == 1 or of_the_batch)


def _set_aside(draft: Draft, code: str, because: str = "") -> None:
    """D21: the upload goes on without these, the close is out of balance."""
    items = _next_items(draft)
    draft.record(r.UploadSetAside(items, draft.state.settlement.uploaded + len(items), code, because))
    draft.at_once(SETTLE)
    draft.alert("upload_set_aside", items=len(items), code=code, because=because, request_id=items[0])


def cannot_encode_upload(draft: Draft, because: str, at_fault: RequestId | None) -> None:
    """A card that cannot be read from the vault may be readable later, but must not hold the close for ever (D1).

    All such items of one close share their tries: it is one vault, and a shop waits behind it.
    """
    if at_fault is not None and at_fault not in draft.agenda.unsayable:
        draft.agenda = replace(draft.agenda, unsayable=draft.agenda.unsayable | {at_fault})
        return  # those before it go at once; then it is its turn
    draft.back_off(UNSAYABLE, draft.rules.settle_retry)
    gap_s = draft.back_off(SETTLE, draft.rules.settle_retry)
    uploading = draft.state.settlement.phase is SettlementPhase.UPLOADING
    if uploading and draft.agenda.failures[UNSAYABLE] >= draft.rules.settle_attempts_max:
        _set_aside(draft, "", because)
        draft.wait(SETTLE, min(gap_s, UNSAYABLE_PAUSE_S))


def _retry_upload(draft: Draft, because: str, code: str) -> None:
    draft.record(r.UploadUnanswered(because, code))
    draft.back_off(SETTLE, draft.rules.settle_retry)
    draft.alert("upload_unanswered", because=because)


def send_trailer(draft: Draft) -> None:
    """0320, end: 207 if the totals agreed, 202 if not, with the number of uploaded records."""
    settlement = draft.state.settlement
    stan = settlement.trailer_stan or draft.state.stan
    uploaded = settlement.uploaded - len(settlement.set_aside)
    attempt = settlement.asked + 1 if settlement.trailer_stan else 1
    draft.record(r.TrailerSent(stan, uploaded, attempt))
    totals = settlement.totals or Totals()
    message = SendTrailer(stan, draft.state.batch.number, uploaded, balanced(settlement), totals)
    draft.send(ExchangeKind.TRAILER, message)


def trailer_answered(draft: Draft, answer: HostAnswer) -> None:
    """The 0330 to the end message."""
    settlement, code = draft.state.settlement, answer.facts.code
    draft.end_exchange()
    if answer.mismatch:
        _retry_trailer(draft, answer.mismatch, "")
    elif _closed_before(draft, code):
        close(draft, CloseOutcome.UNCONFIRMED, "")  # an earlier attempt closed it; how, its lost answer said (D20)
    elif code in draft.rules.close.end_out_of_balance:
        close(draft, CloseOutcome.OUT_OF_BALANCE, "")
    elif answer.answer_class is AnswerClass.APPROVE or (code == SEEN_BEFORE and settlement.unanswered > 0):
        agrees = balanced(settlement) or draft.rules.close.end_agrees
        agreed = agrees and not settlement.set_aside
        if agreed:
            advices.books_agree(draft)
        close(draft, CloseOutcome.AGREED if agreed else CloseOutcome.OUT_OF_BALANCE, "")
    else:
        _retry_trailer(draft, f"the host answered {code}", code)
        sign_in_first(draft, answer)


def _closed_before(draft: Draft, code: str) -> bool:
    """What a host says to a repeat of an end message that it acted on: it has no such batch, or compared the totals
    with those of its next one. Whether the books agreed, only the first answer told."""
    rules, settlement = draft.rules.close, draft.state.settlement
    compared = code in rules.end_out_of_balance or (code == SEEN_BEFORE and rules.end_agrees)
    return (settlement.asked > 1 and compared) or (settlement.unanswered > 0 and code in rules.batch_gone)


def _retry_trailer(draft: Draft, because: str, code: str) -> None:
    draft.record(r.TrailerUnanswered(because, code))
    draft.back_off(SETTLE, draft.rules.settle_retry)
    draft.alert("trailer_unanswered", because=because)


def lost(draft: Draft, kind: ExchangeKind, because: str) -> None:
    """No answer will be taken any more for the upload or the end message in flight."""
    draft.end_exchange()
    if kind is ExchangeKind.UPLOAD:
        _retry_upload(draft, because, "")
    else:
        _retry_trailer(draft, because, "")
