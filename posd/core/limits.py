"""When a due settlement waits for more money or for a person, and when a batch is full (D22, D23).

- Below the minimum a scheduled close is *deferred* to the next due moment; never with refunds, advices or owed
  reversals in the batch, and never past the longest deferral.
- Above the maximum any close is *held* until a named person approves it; sales go on meanwhile.
- Counts in the totals have three digits: each side of each group warns, settles early, and at last refuses new sales;
  voids and refunds keep the reserve, and not more than that.
- The host cuts its day over at its own time: an alert precedes it while there is something to settle.

Both compare gross: debits plus credits. Nothing here ever drops or closes a batch.
"""

from datetime import timedelta
from enum import StrEnum

from posd.core import records as r
from posd.core.draft import Draft
from posd.core.events import ApproveSettlement
from posd.core.rules import KindRules, Side
from posd.core.schedule import next_due_ms
from posd.core.state import SettlementCause, SettlementPhase, TxnStatus
from posd.core.totals import MONEY, gross_of, totals_of

COUNT_WARN, COUNT_SETTLE, COUNT_REFUSE = 700, 850, 950
"""Of one side of one group (D22)."""

COUNT_MAX = 999
"""What three digits can say: totals with more could never be asked."""

CUTOVER_WARNING_MS = round(timedelta(minutes=30) / timedelta(milliseconds=1))
CUTOVER = "cutover"
SETTLE = "settle"
"""The agenda's name for the next step of a settlement."""


class Wait(StrEnum):
    """Why a due settlement does not begin."""

    DEFERRED = "deferred"
    HELD = "held"
    GAP = "gap"
    """Posd was restored from a backup: what the batch holds is not known (restored.py)."""


def gross_minor(draft: Draft) -> int:
    """Debits and credits of both groups, added up."""
    return gross_of(totals_of(draft.state.transactions.values(), draft.rules))


def waiting(draft: Draft, cause: SettlementCause, due_ms: int | None, satisfied_until_ms: int) -> Wait | None:
    """Whether the settlement that is due has to wait; None: it may begin."""
    rules, settlement = draft.rules, draft.state.settlement
    gross = gross_minor(draft) if rules.settle_minimum_minor or rules.settle_maximum_minor else 0
    if rules.settle_maximum_minor and gross > rules.settle_maximum_minor and settlement.approved_by is None:
        return Wait.HELD
    if cause is SettlementCause.SCHEDULE and due_ms is not None and _may_be_deferred(draft, satisfied_until_ms):
        again = settlement.deferred_due_ms == due_ms  # judged once, at its due moment
        if again or gross < rules.settle_minimum_minor:
            return Wait.DEFERRED
    return None


def _may_be_deferred(draft: Draft, satisfied_until_ms: int) -> bool:
    """Never with refunds, advices or owed reversals in the batch, nor past the longest deferral."""
    rules, state = draft.rules, draft.state
    if not rules.settle_minimum_minor or state.unended_reversals():
        return False
    first_ms = next_due_ms(satisfied_until_ms, rules.due_times, rules.zone)
    if draft.now.wall_ms - first_ms > rules.settle_deferral_max_s * 1000:
        return False
    urgent = (txn for txn in state.transactions.values() if rules.kinds[txn.kind].never_deferred)
    return not any(txn.status in (*MONEY, TxnStatus.UNKNOWN, TxnStatus.IN_DOUBT) for txn in urgent)


def noted(draft: Draft, wait: Wait, due_ms: int | None) -> bool:
    """The wait is in the journal already."""
    settlement = draft.state.settlement
    if wait is Wait.GAP:
        return True  # by what restored it
    return settlement.held_minor is not None if wait is Wait.HELD else settlement.deferred_due_ms == due_ms


def note(draft: Draft, wait: Wait, due_ms: int | None) -> None:
    """Say it once, durably and aloud."""
    gross = gross_minor(draft)
    if wait is Wait.HELD:
        maximum = draft.rules.settle_maximum_minor
        draft.record(r.SettlementHeld(gross, maximum, due_ms))
        draft.alert("settlement_held", gross_minor=gross, maximum_minor=maximum)
    else:
        assert due_ms is not None
        minimum = draft.rules.settle_minimum_minor
        draft.record(r.SettlementDeferred(due_ms, gross, minimum))
        draft.note("settlement_deferred", gross_minor=gross, minimum_minor=minimum)


def why_unapprovable(draft: Draft, batch: int | None) -> str | None:
    """What stands in the way of letting a held settlement begin; `batch`: the one that is meant."""
    state = draft.state
    if batch is not None and batch != state.batch.number:
        return f"batch {batch:06d} is not the open one (that is {state.batch.number:06d}); nothing was approved"
    if state.settlement.approved_by is not None:
        return f"it was approved already, by {state.settlement.approved_by}; nothing is sent twice"
    if state.settlement.phase is not SettlementPhase.OPEN:
        return f"the settlement has begun already ({state.settlement.phase}); nothing is sent twice"
    if state.settlement.held_minor is None:
        return "no settlement is held; nothing was approved"
    return None


def approve(draft: Draft, event: ApproveSettlement, by: str) -> str:
    """Named people let it begin. Returns what to tell them."""
    draft.record(r.SettlementApproved(by, event.reason, gross_minor(draft), event.who))
    return f"approved by {by}; the settlement begins"


def after_approval(draft: Draft) -> None:
    """One more transaction counts: warn, or settle early (D22)."""
    if len(draft.state.transactions) < COUNT_WARN:
        return
    count = max(_largest_counts(draft))
    if count == COUNT_WARN:
        draft.alert("batch_fills", count=count, settles_at=COUNT_SETTLE, refuses_at=COUNT_REFUSE)
    settlement = draft.state.settlement
    if count >= COUNT_SETTLE and settlement.wanted is None and settlement.phase is SettlementPhase.OPEN:
        draft.record(r.SettlementWanted(SettlementCause.CAPACITY))
        draft.alert("batch_settles_early", count=count)


def full(draft: Draft, kind: KindRules) -> bool:
    """New debits are refused; what takes or gives back has the reserve, and ends where the digits do (D22)."""
    if kind.replaces or kind.side is Side.NEITHER:
        return False
    reserved = kind.takes_back or kind.side is Side.CREDIT
    highest = COUNT_MAX if reserved else COUNT_REFUSE
    if len(draft.state.transactions) < highest:
        return False
    debits, credits = _largest_counts(draft)
    if reserved:
        return (credits if kind.side is Side.CREDIT else debits) >= highest
    return max(debits, credits) >= highest


def _largest_counts(draft: Draft) -> tuple[int, int]:
    """Debits and credits, each of the group that has more of them."""
    totals = totals_of(draft.state.transactions.values(), draft.rules)
    groups = (totals.domestic, totals.foreign)
    return max(group.debit_count for group in groups), max(group.credit_count for group in groups)


def warn_of_cutover(draft: Draft) -> None:
    """The host's day ends soon and the batch is not settled: said once for each cut-over."""
    at = draft.rules.host_cutover_at
    if at is None or not draft.may(CUTOVER):
        return
    cutover_ms = next_due_ms(draft.now.wall_ms, (at,), draft.rules.zone)
    left_ms = cutover_ms - draft.now.wall_ms
    if left_ms > CUTOVER_WARNING_MS:
        return
    draft.wait(CUTOVER, left_ms / 1000 + 1)
    gross = gross_minor(draft)
    if gross:
        draft.alert("host_cutover_near", minutes=left_ms // 60_000, gross_minor=gross)
