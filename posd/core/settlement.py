"""The close of a batch: open → draining → totals → uploading → trailer → open (the next one).

Which state moves on what: tables/settlement.py.

- Due is computed (schedule.py) or wanted (a person, the terminal's own close, the host's batch number). A due moment is
  satisfied by a close begun at or after it, and a batch closes at most once (D18).
- Below the minimum it is deferred, above the maximum held for a person (limits.py, D23).
- It begins with a fresh sign-in whose answer judges the clock: no settlement while the clocks differ too much (D24).
- Draining delivers what is owed, and refuses no sale; what stays owed past the hold is carried over (D19). It
  also waits for what a till has yet to confirm (D16).
- The totals and what the host makes of them are in totals_exchange.py. Where it is not known whether the host closed
  the batch, that is *unconfirmed*: its next batch number, or a person, decides (D20).
- After a code that asks for a sign-in: sign in, then the same message again.
- Uploading and the end message are in upload.py; the end message closes the batch; then the next number, and a new
  sign-in.
- From the totals on nothing else leaves. So that this cannot last for ever, a named person may say whether the host has
  closed the batch, once it is unconfirmed or its message has failed `settle_attempts_max` times.
"""

from posd.core import advice_delivery, advices, chips, confirmations, limits
from posd.core import records as r
from posd.core.answers import AnswerClass, GroupResult, HostAnswer, Totals
from posd.core.draft import Draft
from posd.core.effects import BatchEnded
from posd.core.events import DecideSettlement
from posd.core.limits import SETTLE as SETTLE
from posd.core.reversals import due_key
from posd.core.schedule import DAY_MS, host_wall_ms, newest_due_ms
from posd.core.state import (
    Advice,
    CloseOutcome,
    Reversal,
    Settlement,
    SettlementCause,
    SettlementPhase,
    Transaction,
    TxnStatus,
)
from posd.core.totals import counts, gross_of
from posd.values import BATCH_NUMBER_MAX, BatchNumber, next_batch_number

CLOSING = frozenset({SettlementPhase.TOTALS, SettlementPhase.UPLOADING, SettlementPhase.TRAILER})
"""From the totals on nothing but the close leaves."""


JUDGED_AHEAD_MAX_MS = 2 * DAY_MS
"""A close whose clock was judged (D24) and that still lies further ahead than this is not believed."""


def due(draft: Draft) -> tuple[SettlementCause, int | None] | None:
    """Whether a close has to begin, and why; computed from the clock and the last close, never remembered."""
    state, rules = draft.state, draft.rules
    if state.settlement.phase is not SettlementPhase.OPEN:
        return None
    moment_ms = newest_due_ms(draft.now.wall_ms, rules.due_times, rules.zone)
    if moment_ms > _satisfied_until_ms(draft):
        return SettlementCause.SCHEDULE, moment_ms
    if state.settlement.wanted is not None:
        return state.settlement.wanted, None
    return None


def _satisfied_until_ms(draft: Draft) -> int:
    """Due moments until then are satisfied. A time ahead of the clock is not believed: then the clock was wrong.

    Money is due at the first moment after it came, unless a close whose clock a host judged has begun since. Only an
    empty batch goes by the newest skip, which no host judged: else a skip under a clock that was far ahead would
    silence the schedule, for a day or for years (P6).
    """
    last = draft.state.last_close
    judged_ms = _believed_ms(draft, last.judged_ms if last is not None else 0, JUDGED_AHEAD_MAX_MS)
    skew_ms = round(draft.rules.clock_skew_max_s * 1000)
    money_ms = _first_money_ms(draft)
    if money_ms is not None:
        return max(judged_ms, _believed_ms(draft, money_ms, skew_ms))
    begun_ms = last.begun_at_ms if last is not None else draft.state.batch.opened_at_ms
    return max(judged_ms, _believed_ms(draft, begun_ms, skew_ms))


def _believed_ms(draft: Draft, at_ms: int, ahead_max_ms: int) -> int:
    return at_ms if at_ms <= draft.now.wall_ms + ahead_max_ms else 0


def _first_money_ms(draft: Draft) -> int | None:
    """When the oldest of what there is to settle came: by the host's clock if it said its time, else by ours.

    What the host says of an advice is when it took it: it came then, or hours before.
    """
    owed = {reversal.request_id for reversal in owed_in_batch(draft)}
    owed |= {advice.request_id for advice in advices.undelivered_in_batch(draft.state) if _has_amount(draft, advice)}
    every = draft.state.transactions.values()
    first = next((t for t in every if t.request_id in owed or _is_to_settle(draft, t)), None)
    if first is None:
        return None
    facts = first.facts
    if facts is None or not facts.host_date or not facts.host_time:
        return first.at_ms
    host_ms = host_wall_ms(f"{facts.host_date}{facts.host_time}", first.at_ms, draft.rules.zone)
    if host_ms is None:
        return first.at_ms
    return min(first.at_ms, host_ms) if first.request_id in draft.state.advices else host_ms


def _has_amount(draft: Draft, advice: Advice) -> bool:
    """Two advices may make nothing together, and the host have only one of them: no script result is so."""
    txn = draft.state.find(advice.request_id)
    return txn is not None and draft.rules.kinds[txn.kind].has_amount


def _is_to_settle(draft: Draft, txn: Transaction) -> bool:
    """Money, a refund in doubt (D13: only the host's totals tell), or what a chip did (it is always uploaded)."""
    in_doubt = txn.status is TxnStatus.IN_DOUBT
    return in_doubt or counts(txn, draft.rules) or chips.result_of(draft.state, txn) is not None


def nothing_to_settle(draft: Draft) -> bool:
    """No money in the open batch, nothing owed in it, and no chip to tell of; and the host cannot have any either."""
    return _first_money_ms(draft) is None and not draft.state.batch.unknown


def skippable(draft: Draft) -> bool:
    """It ends without a message, unless the acquirer wants empty batches too."""
    return draft.rules.skip_empty and nothing_to_settle(draft)


def waits(draft: Draft) -> limits.Wait | None:
    """Why the settlement that is due does not begin; None: it may, or none is due (D23)."""
    wanted = due(draft)
    if wanted is not None and draft.state.gap is not None:
        return limits.Wait.GAP
    return limits.waiting(draft, *wanted, _satisfied_until_ms(draft)) if wanted is not None else None


def wait_is_noted(draft: Draft) -> bool:
    """That it waits is in the journal already."""
    wait, wanted = waits(draft), due(draft)
    return wait is None or wanted is None or limits.noted(draft, wait, wanted[1])


def note_wait(draft: Draft) -> None:
    """It waits: durable, and said once."""
    wait, wanted = waits(draft), due(draft)
    assert wait is not None
    assert wanted is not None
    limits.note(draft, wait, wanted[1])


def owed_in_batch(draft: Draft) -> list[Reversal]:
    """What belongs to an earlier batch, or was carried over from it, goes its own way (D19)."""
    owed = (rev for rev in draft.state.unended_reversals() if rev.request_id in draft.state.transactions)
    return [reversal for reversal in owed if not reversal.carried_over]


def skip(draft: Draft) -> None:
    """The batch ends without a message: there never was money in it, or all of it has been reversed."""
    settlement = draft.state.settlement
    begun = (settlement.cause, settlement.due_ms) if settlement.cause else None
    wanted = begun or due(draft)
    assert wanted is not None
    draft.record(r.BatchSkipped(*wanted))
    draft.note("batch_skipped", because="there is nothing to settle")
    draft.effects.append(BatchEnded())


def begin(draft: Draft) -> None:
    """After the fresh sign-in: judge the clock, then it is durable that the close has begun."""
    wanted = due(draft)
    if wanted is None or waits(draft) is not None:
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
    advice_delivery.all_at_once(draft)


def postpone(draft: Draft, because: str) -> None:
    """Due, and may not begin or go on now: alerted and retried."""
    gap_s = draft.back_off(SETTLE, draft.rules.settle_retry)
    if draft.state.settlement.postponed_because != because:
        draft.record(r.SettlementPostponed(because))
    draft.alert("settlement_postponed", because=because, retry_in_s=round(gap_s))


def drained(draft: Draft) -> bool:
    """Nothing more to wait for before the totals: confirmed (D16), and delivered or held long enough (D19)."""
    return delivered(draft) and not confirmations.still_open(draft.state)


def delivered(draft: Draft) -> bool:
    """Nothing more to deliver before the totals, or it has been held up long enough (D19)."""
    if _waits_for_reversals(draft):
        return False
    until_s = draft.agenda.drain_until_s
    owed = owed_in_batch(draft) or advices.undelivered_in_batch(draft.state)
    return not owed or (until_s is not None and until_s <= draft.now.monotonic_s)


def ends_draining(draft: Draft) -> bool:
    """The hold is over, and only tills have yet to confirm: nothing new may make it longer (D16, D19)."""
    until_s = draft.agenda.drain_until_s
    draining = draft.state.settlement.phase is SettlementPhase.DRAINING
    over = until_s is not None and until_s <= draft.now.monotonic_s
    return draining and over and bool(confirmations.still_open(draft.state))


def drain_ends_s(draft: Draft) -> float | None:
    """When the hold is over, and the totals are asked whatever is still owed; None: nothing ends by time."""
    return None if _waits_for_reversals(draft) else draft.agenda.drain_until_s


def _waits_for_reversals(draft: Draft) -> bool:
    """The acquirer wants them acknowledged first (reference 2.5, step 1)."""
    return draft.rules.close.waits_for_reversals and bool(owed_in_batch(draft))


def carry_over(draft: Draft) -> None:
    """The batch ends, or its totals leave, while these are owed in it (D19)."""
    for reversal in owed_in_batch(draft):
        draft.record(r.ReversalCarriedOver(reversal.request_id))
        draft.alert("reversal_carried_over", request_id=reversal.request_id)


def balanced(settlement: Settlement) -> bool:
    """Both groups agree."""
    host = settlement.host
    return host is not None and host.domestic is GroupResult.BALANCED and host.foreign is GroupResult.BALANCED


def sign_in_first(draft: Draft, answer: HostAnswer) -> None:
    """The host has forgotten us: what it did not take is sent again after a sign-in."""
    if answer.answer_class is AnswerClass.ACT_AND_RETRY:
        draft.record(r.SignedOut(f"the host answered {answer.facts.code} to a settlement message"))


def closed_elsewhere(draft: Draft, number: BatchNumber) -> bool:
    """Whether a new batch number of the host's says that it did close the batch that we are not sure about (D20)."""
    settlement = draft.state.settlement
    in_doubt = settlement.phase is SettlementPhase.UNCONFIRMED or (
        settlement.phase is SettlementPhase.TRAILER and settlement.unanswered > 0
    )
    steps = (number - draft.state.batch.number) % BATCH_NUMBER_MAX
    return in_doubt and 0 < steps < BATCH_NUMBER_MAX // 2


def closed_by_evidence(draft: Draft, number: BatchNumber) -> None:
    """The host's batch number has moved on: it did close (D20)."""
    closed = draft.state.batch.number
    carry_over(draft)
    draft.record(r.BatchClosed(CloseOutcome.UNCONFIRMED, _totals(draft), number))
    draft.alert("batch_closed_unconfirmed", batch=closed, next_number=number, by="")
    draft.at_once(SETTLE)
    draft.effects.append(BatchEnded())


def asked_minor(draft: Draft) -> int:
    """Debits and credits of the totals that were asked; before that, of the batch as it is."""
    asked = draft.state.settlement.totals
    return gross_of(asked) if asked is not None else limits.gross_minor(draft)


def why_undecidable(draft: Draft) -> str | None:
    """Why no person can say now whether the host closed the batch."""
    settlement = draft.state.settlement
    attempts_max = draft.rules.settle_attempts_max
    failing = settlement.phase in CLOSING and settlement.asked >= attempts_max
    failing |= settlement.phase is SettlementPhase.DRAINING and draft.agenda.failures.get(SETTLE, 0) >= attempts_max
    if settlement.phase is not SettlementPhase.UNCONFIRMED and not failing:
        return "there is no unconfirmed or failing settlement to decide"
    if draft.state.exchange is not None:
        return "a message is on its way to the host; wait for its answer, then try again"
    return None


def decide(draft: Draft, event: DecideSettlement, by: str) -> str:
    """Named people say whether the host closed a batch that cannot be closed otherwise. Returns what to tell them."""
    draft.record(r.SettlementDecided(by, event.reason, event.closed, event.who))
    draft.at_once(SETTLE)
    if event.closed:
        close(draft, CloseOutcome.UNCONFIRMED, by)
    return f"decided by {by}"


def close(draft: Draft, outcome: CloseOutcome, by: str) -> None:
    number = next_batch_number(draft.state.batch.number)
    closed = draft.state.batch.number
    carry_over(draft)  # what a terminal took back amid the close: the host has closed with it
    draft.record(r.BatchClosed(outcome, _totals(draft), number, by))
    draft.note("batch_closed", batch=closed, outcome=outcome.value)
    draft.all_sayable()
    if outcome is not CloseOutcome.AGREED:
        draft.alert(f"batch_closed_{outcome.value}", batch=closed, next_number=number, by=by)
    draft.at_once(SETTLE)
    draft.effects.append(BatchEnded())
    if draft.rules.sign_in_after_close:
        draft.record(r.SignedOut("a batch was closed"))
        draft.want_sign_off(draft.rules.sign_off_after_close)


def _totals(draft: Draft) -> Totals:
    return draft.state.settlement.totals or Totals()
