"""An advice tells the host of what has happened already: owed → done | refused | stuck; never dropped, never reversed.

Which state moves on what: tables/advices.py.

- Where it is decided: `store` below. Durable: `AdviceStored`, with the sealed card facts; the terminal is answered 00
  in the same commit, and from then on it is ours to deliver and counts in the totals (reference 1.6, 1.9).
- How it is delivered, and what the host's answers mean, is in advice_delivery.py.
- What is not delivered within the hold counts in its batch all the same, and is carried over under its old number
  (D19). Totals that agree say that the host has it; so does the upload when it takes it. What was refused goes into the
  upload too, but stays refused: a person has to look. A record that the upload refuses says nothing of an attempt
  before it: what was owed goes on.
- What was refused although an attempt before may have been booked is *doubtful* (D14): it counts, is shown as that, and
  is uploaded. Totals that agree with it say that the host has it, those that agree without it that it has not.
- The terminal may take it back until it has left (D17); a person may end it, with a reason, and then it counts no more.
- An adjustment or tip confirms the sale that it names, as a void would: whoever names it has it (D16).
- While a batch is being closed nothing is stored: the terminal waits, or asks again.
"""

from msgspec.structs import replace

from posd.core import confirmations, invoices, limits, originals
from posd.core import records as r
from posd.core.answers import AnswerFacts, GroupResult, HostTotals
from posd.core.draft import Draft
from posd.core.effects import ForgetCard, Refusal, Result, ToTerminal
from posd.core.events import ResolveAdvice, RetryAdvices, ReversalRequested, TransactionRequested
from posd.core.state import (
    NOT_TAKEN,
    RESOLVABLE_ADVICES,
    UNDELIVERED,
    Advice,
    AdviceStatus,
    Settled,
    SettlementPhase,
    State,
    Transaction,
    TxnStatus,
)
from posd.core.totals import counts, totals_of
from posd.core.verdict import SEEN_BEFORE
from posd.values import RequestId

ADVICES = "advices"
"""The agenda's name for the next attempt of any advice: when one had no answer, the others wait with it."""

STILL_OPEN = frozenset({SettlementPhase.OPEN, SettlementPhase.DRAINING})
"""The totals have not been asked: what is stored or taken back now counts, or not, in them."""


def due_key(request_id: RequestId) -> str:
    """The agenda's name for the next attempt of a stuck advice."""
    return f"advice:{request_id}"


# --- stored ----------------------------------------------------------------------------------------------------------


def store_waiting(draft: Draft) -> None:
    """Those that wait are stored and answered, if their batch is not being closed. No line is needed for that."""
    if draft.state.settlement.phase not in STILL_OPEN:
        return
    waiting = [event for event in draft.agenda.queue if draft.rules.kinds[event.kind].advice]
    for event in waiting:
        draft.drop_queued(event.request_id)
        original = originals.named(draft.state, draft.rules, event)
        refusal = originals.refusal(draft.state, draft.rules, event, original)
        if refusal is None and event.card is None and not _reports(draft, event):
            refusal = Refusal.MALFORMED, "an advice needs a card number that can be read, field 2"
        if refusal is not None:
            for reply_to in draft.take_waiters(event.request_id):
                draft.refuse(reply_to, *refusal, event.request_id)
        else:
            store(draft, event, original)
        draft.effects.append(ForgetCard(event.request_id))


def _reports(draft: Draft, event: TransactionRequested) -> bool:
    """It tells of a transaction whose card is known."""
    rules = draft.rules.kinds[event.kind].original
    return rules is not None and rules.reports


def store(draft: Draft, event: TransactionRequested, original: Transaction | None) -> None:
    """It is ours from here on."""
    of = event.request_id
    if (first := originals.root_of(draft.state, draft.rules, original)) is not None:
        confirmations.by_naming(draft, first)
    draft.record(
        r.AdviceStored(
            request_id=of,
            kind=event.kind,
            amount_minor=event.amount_minor,
            stan=draft.state.stan,
            batch_number=draft.state.batch.number,
            terminal_batch=originals.terminal_batch(draft.state, draft.rules, event.terminal_batch),
            terminal_stan=event.terminal_stan,
            fingerprint=event.fingerprint,
            entry_mode=event.entry_mode,
            card=event.card,
            original=original.request_id if original is not None else None,
            options=event.options,
            reference=event.reference,
            tip_minor=originals.tip_in(draft.state, draft.rules, event, original),
            invoice=invoices.number_for(draft.state, draft.rules, event, original),
            foreign=original is not None and original.foreign,
        )
    )
    rules = draft.rules.kinds[event.kind].original
    if original is not None and rules is not None and (rules.replaces or rules.uncounts):
        draft.record(r.AmountReplaced(original.request_id, of))
    limits.after_approval(draft)
    for reply_to in draft.take_waiters(of):
        draft.answer(ToTerminal(reply_to, Result(AnswerFacts("00"), of)))


def taken_back(draft: Draft, event: ReversalRequested, txn: Transaction) -> None:
    """The terminal's own 0400: only what has not left, and does not stand in asked totals, can be cancelled (D17)."""
    advice = draft.state.advices[txn.request_id]
    if advice.status is not AdviceStatus.CANCELLED:
        why_not = _must_stay(draft, advice, txn)
        if why_not:
            draft.alert("terminal_reversal_refused", request_id=txn.request_id)
            draft.refuse(event.reply_to, Refusal.NOT_REVERSIBLE, why_not, event.original)
            return
        draft.record(r.AdviceCancelled(txn.request_id))
        _count_the_original_again(draft, txn)
    draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))


def _must_stay(draft: Draft, advice: Advice, txn: Transaction) -> str:
    if advice.status not in UNDELIVERED or advice.attempts > 0 or advice.last_attempt_ms is not None:
        return "it has left for the host, and an advice is never reversed"
    if advice.carried_over or txn.request_id not in draft.state.transactions or not _may_change(draft):
        return "it counts in totals that were sent to the host"
    if any(originals.users_of(draft.state, draft.rules, txn.request_id)):
        return "it was adjusted since: take the adjustment back first"
    return ""


def _may_change(draft: Draft) -> bool:
    return draft.state.settlement.phase in STILL_OPEN


def _count_the_original_again(draft: Draft, txn: Transaction) -> None:
    """Unless a later adjustment has taken the place of this one."""
    original = draft.state.find(txn.original) if txn.original is not None else None
    if original is not None and original.replaced_by == txn.request_id and txn.replaced_by is None:
        draft.record(r.AmountReplaced(original.request_id, None))


# --- settled ---------------------------------------------------------------------------------------------------------


def carry_over(draft: Draft) -> None:
    """The totals are about to leave with these in them, delivered or not (D19)."""
    for advice in undelivered_in_batch(draft.state):
        draft.record(r.AdviceCarriedOver(advice.request_id))
        draft.alert("advice_carried_over", request_id=advice.request_id)


def reconcile(draft: Draft, host: HostTotals) -> None:
    """Totals that agree with them say that the host has them. A group is not known before: both have to agree.

    Of what does not count in them they say nothing.
    """
    if _may_be_reversed(draft.state):
        return
    if host.domestic is not GroupResult.BALANCED or host.foreign is not GroupResult.BALANCED:
        _agree_without_refused(draft, host)
    else:
        books_agree(draft)


def books_agree(draft: Draft) -> None:
    """The books agree, at once or after the upload: the host has whatever counts in them."""
    if _may_be_reversed(draft.state):
        return
    for of, txn in draft.state.transactions.items():
        if counts(txn, draft.rules):
            settled(draft, of, Settled.TOTALS)


def _may_be_reversed(state: State) -> bool:
    """The host may count what is owed to be reversed, instead of an advice."""
    return any(owed.request_id in state.transactions for owed in state.unended_reversals())


def _agree_without_refused(draft: Draft, host: HostTotals) -> None:
    """Its books are ours without what it refused: it has none of that, if nothing else is open that could be it."""
    state = draft.state
    here = [one for one in state.advices.values() if one.request_id in state.transactions]
    doubtful = [one for one in here if one.status is AdviceStatus.DOUBTFUL]
    open_still = any(one.status in UNDELIVERED for one in here)
    open_still |= any(txn.request_id in state.transactions for txn in state.in_doubt())
    if not doubtful or open_still or host.totals != totals_of(_without_refused(state), draft.rules):
        return
    for advice in doubtful:
        draft.record(r.AdviceNotBooked(advice.request_id))
        draft.note("advice_not_booked", request_id=advice.request_id)


def _without_refused(state: State) -> list[Transaction]:
    """As if none of them had ever been told: what one took the place of counts again, or what took its own place."""
    out = {of for of, txn in state.transactions.items() if txn.status is TxnStatus.REFUSED}
    return [_not_replaced_by(state, txn, out) for of, txn in state.transactions.items() if of not in out]


def _not_replaced_by(state: State, txn: Transaction, out: set[RequestId]) -> Transaction:
    by = txn.replaced_by
    while by in out:
        by = state.transactions[by].replaced_by
    return txn if by == txn.replaced_by else replace(txn, replaced_by=by)


def settled(draft: Draft, of: RequestId, how: Settled) -> None:
    """The host has it, and with it what it replaces. Of what it refused, only its totals say that."""
    advice, txn = draft.state.advices.get(of), draft.state.find(of)
    if advice is None or txn is None:
        return
    agreed = advice.status in NOT_TAKEN and how is Settled.TOTALS and txn.replaced_by is None
    if advice.status in UNDELIVERED or agreed:
        draft.record(r.AdviceSettled(of, how))
        draft.at_once(due_key(of))
        draft.note("advice_settled", request_id=of, how=how.value)
    original = draft.state.find(txn.original) if txn.original is not None else None
    if original is not None and original.replaced_by == of:
        settled(draft, original.request_id, how)


def _was_adjusted(draft: Draft, of: RequestId) -> bool:
    """By another that counts in its place; what gives back of it names what is left without it, too."""
    return any(draft.rules.kinds[user.kind].replaces for user in originals.users_of(draft.state, draft.rules, of))


def undelivered_in_batch(state: State) -> list[Advice]:
    """What the totals wait for (D19); what was carried over goes its own way."""
    every = state.undelivered_advices()
    return [one for one in every if one.request_id in state.transactions and not one.carried_over]


def refused(draft: Draft, advice: Advice, code: str, in_part: bool) -> None:
    """For good: shown, and into the upload of an unbalanced batch.

    The host may have it all the same where an earlier attempt was not answered, or where it took a part. So too where
    it says 94 to the first:
    it has something under this number, and the line may have doubled our frame and lost the other answer. Nothing can
    tell that from a number that another device used: not even a repeat, which would be answered 94 as well (D14).
    """
    of, seen_before = advice.request_id, code == SEEN_BEFORE
    may_be_booked = advice.unanswered > 0 or seen_before or in_part
    draft.record(r.AdviceRefused(of, code, may_be_booked))
    draft.at_once(ADVICES)
    draft.at_once(due_key(of))
    event = "stan_reused" if seen_before else "advice_doubtful" if may_be_booked else "advice_refused"
    draft.alert(event, request_id=of, code=code)


# --- by a person -----------------------------------------------------------------------------------------------------


def retry(draft: Draft, event: RetryAdvices) -> str:
    """A person wants the next attempt now. Returns what to tell them."""
    wanted = [one for one in draft.state.undelivered_advices() if event.request_id in (None, one.request_id)]
    for advice in wanted:
        draft.record(r.AdviceRetryWanted(advice.request_id, event.by, event.who))
        draft.at_once(due_key(advice.request_id))
        draft.at_once(ADVICES)
    return f"{len(wanted)} advice(s) will be tried now" if wanted else "no such advice is owed or stuck"


def why_unresolvable(draft: Draft, of: RequestId) -> str | None:
    """Why no person can end this advice now."""
    advice, txn = draft.state.advices.get(of), draft.state.find(of)
    if advice is None or txn is None or advice.status not in RESOLVABLE_ADVICES:
        return "no such advice is owed, stuck or refused"
    in_flight = draft.state.exchange
    if in_flight is not None and in_flight.request_id == of:
        return "an attempt is on its way to the host; wait for its answer, then try again"
    if of in draft.state.transactions and not _may_change(draft):
        return "its batch is being settled with it; wait for the close, then try again"
    if of in draft.state.transactions and _was_adjusted(draft, of):
        return "it was adjusted since: end the adjustment first"
    return None


def resolve(draft: Draft, event: ResolveAdvice, by: str) -> str:
    """Named people end it: it is delivered no more and counts no more. Returns what to tell them."""
    of = event.request_id
    draft.record(r.AdviceResolved(of, by, event.reason, event.who))
    txn = draft.state.find(of)
    assert txn is not None, "an advice has its transaction"
    _count_the_original_again(draft, txn)
    draft.at_once(due_key(of))
    if of not in draft.state.transactions:
        return f"resolved by {by}; its batch was closed with it in the totals, settle that with the acquirer"
    return f"resolved by {by}; it counts in no totals any more"
