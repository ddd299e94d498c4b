"""The close of a batch: open → draining → totals → uploading → trailer → open (the next one).

                 begun     skipped  asked   unanswered  items wanted  no items  moved on   all uploaded  unclear  closed
    open         DRAINING  OPEN     -       -           -             -         -          -             -        -
    draining     -         OPEN     TOTALS  -           -             -         -          -             -        -
    totals       -         -        TOTALS  TOTALS      UPLOADING     TRAILER   -          -             UNCONF.  -
    uploading    -         -        -       UPLOADING   -             -         UPLOADING  TRAILER       -        -
    trailer      -         -        -       TRAILER     -             -         -          -             -        OPEN
    unconfirmed  -         -        TOTALS  -           -             -         -          -             -        OPEN

- Due is computed (schedule.py) or wanted (a person, the terminal's own close, the host's batch number). A due moment is
  satisfied by a close begun at or after it, and a batch closes at most once (D18).
- It begins with a fresh sign-in whose answer judges the clock: no settlement while the clocks differ too much (D24).
- Draining delivers what is owed, and refuses no sale; what stays owed past the hold is carried over (D19).
- The totals are repeated with their own STAN until the answer is durable, then never asked again. If a repeat is
  answered as if the batch were closed, that is *unconfirmed*: the host's next batch number, or a person, decides (D20).
- Each upload is eight items from a durable cursor; only an acknowledgement moves it; an item refused again and again is
  set aside and the close is out of balance (D21).
- The end message closes the batch; then the next number, and a new sign-in.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from posd.core import records as r
from posd.core.answers import AnswerClass, AnswerFacts, ExchangeKind, GroupResult, HostAnswer, Totals
from posd.core.effects import BatchEnded, Result, SendTotals, SendTrailer, SendUpload, TotalsResult, ToTerminal
from posd.core.events import TerminalTotalsGiven, TerminalUploaded
from posd.core.reversals import due_key
from posd.core.schedule import newest_due_ms
from posd.core.state import CloseOutcome, Reversal, Settlement, SettlementCause, SettlementPhase
from posd.core.totals import counts, to_upload, totals_of
from posd.errors import InvariantBroken
from posd.values import BatchNumber, next_batch_number

if TYPE_CHECKING:
    from posd.core.draft import Draft

SETTLE = "settle"


class Input(StrEnum):
    """What moves a settlement."""

    BEGUN = "begun"
    SKIPPED = "skipped"
    ASKED = "asked"
    UNANSWERED = "unanswered"
    ITEMS_WANTED = "items_wanted"
    NO_ITEMS = "no_items"
    MOVED_ON = "moved_on"
    ALL_UPLOADED = "all_uploaded"
    UNCLEAR = "unclear"
    CLOSED = "closed"


_P, _I = SettlementPhase, Input
TABLE: dict[tuple[SettlementPhase, Input], SettlementPhase] = {
    (_P.OPEN, _I.BEGUN): _P.DRAINING,
    (_P.OPEN, _I.SKIPPED): _P.OPEN,
    (_P.DRAINING, _I.SKIPPED): _P.OPEN,
    (_P.DRAINING, _I.ASKED): _P.TOTALS,
    (_P.TOTALS, _I.ASKED): _P.TOTALS,
    (_P.TOTALS, _I.UNANSWERED): _P.TOTALS,
    (_P.TOTALS, _I.ITEMS_WANTED): _P.UPLOADING,
    (_P.TOTALS, _I.NO_ITEMS): _P.TRAILER,
    (_P.TOTALS, _I.UNCLEAR): _P.UNCONFIRMED,
    (_P.UPLOADING, _I.UNANSWERED): _P.UPLOADING,
    (_P.UPLOADING, _I.MOVED_ON): _P.UPLOADING,
    (_P.UPLOADING, _I.ALL_UPLOADED): _P.TRAILER,
    (_P.TRAILER, _I.UNANSWERED): _P.TRAILER,
    (_P.TRAILER, _I.CLOSED): _P.OPEN,
    (_P.UNCONFIRMED, _I.ASKED): _P.TOTALS,
    (_P.UNCONFIRMED, _I.CLOSED): _P.OPEN,
}


def move(phase: SettlementPhase, what: Input) -> SettlementPhase:
    """The next phase; a pair that the table does not have is refused by name."""
    if (phase, what) not in TABLE:
        raise InvariantBroken(f"a settlement that is {phase} cannot go on with {what}")
    return TABLE[phase, what]


CLOSED_ALREADY = frozenset({"77", "94"})
"""Codes of a host that has closed the batch: meaningful only on a repeat (D14, D20)."""


def due(draft: "Draft") -> tuple[SettlementCause, int | None] | None:
    """Whether a close has to begin, and why; computed from the clock and the last close, never remembered."""
    state, rules = draft.state, draft.rules
    if state.settlement.phase is not SettlementPhase.OPEN:
        return None
    moment_ms = newest_due_ms(draft.now.wall_ms, rules.due_times, rules.zone)
    since_ms = state.last_close.begun_at_ms if state.last_close else state.batch.opened_at_ms
    if moment_ms > since_ms:
        return SettlementCause.SCHEDULE, moment_ms
    if state.settlement.wanted is not None:
        return state.settlement.wanted, None
    return None


def nothing_to_settle(draft: "Draft") -> bool:
    """No money in the open batch and nothing owed in it."""
    money = any(counts(txn, draft.rules) for txn in draft.state.transactions.values())
    return not money and not _owed_in_batch(draft)


def _owed_in_batch(draft: "Draft") -> list[Reversal]:
    """What was carried over from an earlier batch goes its own way (D19)."""
    return [reversal for reversal in draft.state.unended_reversals() if not reversal.carried_over]


def skip(draft: "Draft") -> None:
    """The batch ends without a message: there never was money in it, or all of it has been reversed."""
    settlement = draft.state.settlement
    begun = (settlement.cause, settlement.due_ms) if settlement.cause else None
    wanted = begun or due(draft)
    assert wanted is not None
    draft.record(r.BatchSkipped(*wanted))
    draft.note("batch_skipped", because="there is nothing to settle")
    draft.effects.append(BatchEnded())


def begin(draft: "Draft") -> None:
    """After the fresh sign-in: judge the clock, then it is durable that the close has begun."""
    wanted = due(draft)
    if wanted is None:
        return
    offset_ms = draft.state.session.clock_offset_ms
    if offset_ms is not None and abs(offset_ms) > draft.rules.clock_skew_max_s * 1000:
        postpone(draft, f"our clock and the host's differ by {abs(offset_ms) // 1000} s")
        return
    draft.at_once(SETTLE)
    draft.record(r.SettlementBegun(*wanted))
    draft.note("settlement_begun", cause=wanted[0].value, batch=draft.state.batch.number)
    draft.start_draining()
    for reversal in draft.state.unended_reversals():
        draft.at_once(due_key(reversal.request_id))


def postpone(draft: "Draft", because: str) -> None:
    """Due, and may not begin or go on now: alerted and retried."""
    gap_s = draft.back_off(SETTLE, draft.rules.settle_retry)
    if draft.state.settlement.postponed_because != because:
        draft.record(r.SettlementPostponed(because))
    draft.alert("settlement_postponed", because=because, retry_in_s=round(gap_s))


def drained(draft: "Draft") -> bool:
    """Nothing more to wait for before the totals: delivered, or held long enough (D19)."""
    until_s = draft.agenda.drain_until_s
    return not _owed_in_batch(draft) or (until_s is not None and until_s <= draft.now.monotonic_s)


def ask_totals(draft: "Draft") -> None:
    """0500. A repeat carries the STAN and the totals of the first (D20)."""
    settlement = draft.state.settlement
    if settlement.stan is None or settlement.totals is None:
        for reversal in _owed_in_batch(draft):
            draft.record(r.ReversalCarriedOver(reversal.request_id))
            draft.alert("reversal_carried_over", request_id=reversal.request_id)
        stan, totals = draft.state.stan, totals_of(draft.state.transactions.values(), draft.rules)
    else:
        stan, totals = settlement.stan, settlement.totals
    draft.record(r.TotalsAsked(stan, totals, settlement.asked + 1))
    draft.send(ExchangeKind.TOTALS, SendTotals(stan, draft.state.batch.number, totals))


def totals_answered(draft: "Draft", answer: HostAnswer) -> None:
    """The 0510."""
    draft.end_exchange()
    settlement = draft.state.settlement
    host, code = answer.host_totals, answer.facts.code
    repeat = settlement.asked > 1
    empty = host is not None and host.totals == Totals() and settlement.totals != Totals()
    if repeat and (code in CLOSED_ALREADY or empty):
        because = (
            f"a repeated 0500 was answered {code}" if code in CLOSED_ALREADY else "a repeat was answered with zeros"
        )
        _unconfirmed(draft, because)
    elif answer.mismatch or host is None or (code and answer.answer_class is not AnswerClass.APPROVE):
        retry_totals(draft, answer.mismatch or f"the host answered {code or 'without totals'}")
    else:
        draft.record(r.TotalsAnswered(host, to_upload(draft.state.transactions.values(), host, draft.rules)))
        draft.at_once(SETTLE)
        if not balanced(draft.state.settlement):
            draft.alert("settlement_out_of_balance", items=len(draft.state.settlement.items))


def balanced(settlement: Settlement) -> bool:
    """Both groups agree."""
    host = settlement.host
    return host is not None and host.domestic is GroupResult.BALANCED and host.foreign is GroupResult.BALANCED


def retry_totals(draft: "Draft", because: str) -> None:
    """No usable answer: the same question again, later."""
    draft.end_exchange()
    draft.record(r.TotalsUnanswered(because))
    draft.back_off(SETTLE, draft.rules.settle_retry)
    draft.alert("totals_unanswered", because=because)


def _unconfirmed(draft: "Draft", because: str) -> None:
    draft.record(r.SettlementUnconfirmed(because))
    draft.record(r.SignedOut("the host's batch number tells whether the batch is closed"))  # D20
    draft.alert("settlement_unconfirmed", because=because)


def closed_by_evidence(draft: "Draft", number: BatchNumber) -> None:
    """The host's batch number has moved on: it did close (D20)."""
    draft.record(r.BatchClosed(CloseOutcome.UNCONFIRMED, _totals(draft), number))
    draft.alert("batch_closed_unconfirmed", next_number=number)
    draft.effects.append(BatchEnded())


def decide(draft: "Draft", by: str, closed: bool) -> str | None:
    """A named person says whether the host closed an unconfirmed batch. Returns why not, or None."""
    settlement = draft.state.settlement
    if settlement.phase is not SettlementPhase.UNCONFIRMED or draft.state.exchange is not None:
        return "there is no unconfirmed settlement to decide"
    if closed:
        _close(draft, CloseOutcome.UNCONFIRMED, by)
    else:
        draft.at_once(SETTLE)
        ask_totals(draft)
    return None


def upload_next(draft: "Draft") -> None:
    """The next eight items; what is in doubt is repeated with its own number (D21)."""
    settlement = draft.state.settlement
    count = settlement.in_flight or min(draft.rules.upload_records_max, len(settlement.items) - settlement.uploaded)
    repeat = settlement.in_flight > 0 and settlement.stan is not None
    stan = settlement.stan if repeat and settlement.stan is not None else draft.state.stan
    items = settlement.items[settlement.uploaded : settlement.uploaded + count]
    draft.record(r.UploadSent(stan, settlement.uploaded, count, settlement.asked + 1))
    transactions = tuple(draft.state.transactions[item] for item in items)
    draft.send(ExchangeKind.UPLOAD, SendUpload(stan, draft.state.batch.number, transactions))


def upload_answered(draft: "Draft", answer: HostAnswer) -> None:
    """The 0330 to uploaded items."""
    settlement = draft.state.settlement
    cursor = settlement.uploaded + settlement.in_flight
    repeated = settlement.asked > 1
    draft.end_exchange()
    if answer.mismatch:
        _retry_upload(draft, answer.mismatch)
    elif answer.answer_class is AnswerClass.APPROVE or (repeated and answer.facts.code == "94"):
        draft.record(r.UploadAcknowledged(cursor))
        draft.at_once(SETTLE)
    elif settlement.asked >= draft.rules.settle_attempts_max:
        items = settlement.items[settlement.uploaded : cursor]
        draft.record(r.UploadSetAside(items, cursor, answer.facts.code))
        draft.alert("upload_set_aside", items=len(items), code=answer.facts.code)
    else:
        _retry_upload(draft, f"the host answered {answer.facts.code}")


def _retry_upload(draft: "Draft", because: str) -> None:
    draft.end_exchange()
    draft.record(r.UploadUnanswered(because))
    draft.back_off(SETTLE, draft.rules.settle_retry)


def send_trailer(draft: "Draft") -> None:
    """0320, end: 207 if the totals agreed, 202 if not, with the number of uploaded records."""
    settlement = draft.state.settlement
    stan = settlement.trailer_stan or draft.state.stan
    uploaded = settlement.uploaded - len(settlement.set_aside)
    attempt = settlement.asked + 1 if settlement.trailer_stan else 1
    draft.record(r.TrailerSent(stan, uploaded, attempt))
    message = SendTrailer(stan, draft.state.batch.number, uploaded, balanced(settlement))
    draft.send(ExchangeKind.TRAILER, message)


def trailer_answered(draft: "Draft", answer: HostAnswer) -> None:
    """The 0330 to the end message."""
    settlement = draft.state.settlement
    draft.end_exchange()
    repeated = settlement.asked > 1
    accepted = answer.answer_class is AnswerClass.APPROVE or (repeated and answer.facts.code in CLOSED_ALREADY)
    if answer.mismatch or not accepted:
        _retry_trailer(draft, answer.mismatch or f"the host answered {answer.facts.code}")
        return
    agreed = balanced(settlement) and not settlement.set_aside
    _close(draft, CloseOutcome.AGREED if agreed else CloseOutcome.OUT_OF_BALANCE, "")


def _retry_trailer(draft: "Draft", because: str) -> None:
    draft.end_exchange()
    draft.record(r.TrailerUnanswered(because))
    draft.back_off(SETTLE, draft.rules.settle_retry)
    draft.alert("trailer_unanswered", because=because)


def _close(draft: "Draft", outcome: CloseOutcome, by: str) -> None:
    number = next_batch_number(draft.state.batch.number)
    closed = draft.state.batch.number
    draft.record(r.BatchClosed(outcome, _totals(draft), number, by))
    draft.note("batch_closed", batch=closed, outcome=outcome.value)
    draft.at_once(SETTLE)
    draft.effects.append(BatchEnded())
    if draft.rules.sign_in_after_close:
        draft.record(r.SignedOut("a batch was closed"))


def _totals(draft: "Draft") -> Totals:
    return draft.state.settlement.totals or Totals()


def lost(draft: "Draft", kind: ExchangeKind, because: str) -> None:
    """No answer will be taken any more for the settlement message in flight."""
    match kind:
        case ExchangeKind.TOTALS:
            retry_totals(draft, because)
        case ExchangeKind.UPLOAD:
            _retry_upload(draft, because)
        case _:
            _retry_trailer(draft, because)


def terminal_closes(draft: "Draft", event: TerminalTotalsGiven) -> None:
    """The terminal's own 0500: compared with our books of its batch, answered at once, and ours is due (D25)."""
    state = draft.state
    every = [*state.closed.values(), *state.transactions.values()]
    ours = totals_of((txn for txn in every if txn.terminal_batch == event.terminal_batch), draft.rules)
    draft.record(r.TerminalClosed(event.terminal_batch, event.totals, ours))
    domestic, foreign = (
        GroupResult.BALANCED if theirs == mine else GroupResult.UNBALANCED
        for theirs, mine in ((event.totals.domestic, ours.domestic), (event.totals.foreign, ours.foreign))
    )
    if event.totals != ours:
        draft.alert("terminal_totals_differ", terminal_batch=event.terminal_batch)
    if state.settlement.phase is SettlementPhase.OPEN and not nothing_to_settle(draft):
        draft.record(r.SettlementWanted(SettlementCause.TERMINAL))
    draft.answer(ToTerminal(event.reply_to, TotalsResult(ours, domestic, foreign)))


def terminal_uploads(draft: "Draft", event: TerminalUploaded) -> None:
    """The terminal's 0320: accepted, for its sake; the money is settled from our books."""
    draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"))))
