"""A reversal: owed → acknowledged | stuck | conflict; never dropped.

Which state moves on what: tables/reversals.py.

- Where it is decided: `transactions._unknown` and `requested_by_terminal` below. Durable: the record `ReversalOwed` in
  the same commit. Sent: `attempt`, before the next online request, then with growing gaps.
- 00 acknowledges. 12 and 25 acknowledge only what the host was never seen to approve and whose batch is open, or what
  an unanswered attempt of ours may already have reversed (flagged); else the reversal is in *conflict* (D11).
- A late approval after 12 or 25 opens it again, and after 00 too where hosts say so of what they never had (D11).
- Attempts are durable and counted when they leave; a line that is down, or takes nothing, is no attempt. After the
  limit it is *stuck*: alerted, shown, still owed, retried slowly. Only an acknowledgement or a named
  person with a reason ends it.
- One that cannot be encoded is stuck at once: quick attempts would not help, and it must not stop the terminal (D1).
  One whose key is out of reach for now (a token) only waits: there is nothing wrong with it.
- An answer may trigger one sign-in for each reversal; the second such answer counts as an attempt (D12).
"""

from msgspec.structs import replace

from posd.core import advices, originals
from posd.core import records as r
from posd.core.answers import AnswerClass, AnswerFacts, ExchangeKind, HostAnswer
from posd.core.draft import Draft
from posd.core.effects import ForgetCard, Refusal, Refused, Result, SendReversal, ToTerminal
from posd.core.events import ResolveReversal, RetryReversals, ReversalRequested
from posd.core.rules import Why
from posd.core.state import UNENDED, Reversal, ReversalStatus, Transaction, TxnStatus
from posd.core.transactions import refuse_waiting
from posd.core.verdict import Worth, judge
from posd.values import RequestId

DENIALS = frozenset({"12", "25"})
"""Codes with which a host says that it knows of no original (D11)."""

STANDING = frozenset({TxnStatus.SENT, TxnStatus.APPROVED, TxnStatus.STORED, TxnStatus.IN_DOUBT})
"""Money may have moved, and nothing is on its way to undo it."""

REASON_NO_ANSWER, REASON_OTHER, REASON_MAC = Why.TIMEOUT, Why.UNREADABLE, Why.MAC
"""What the next attempt names as its reason, after each kind of failed attempt (reference 1.10)."""


def due_key(request_id: RequestId) -> str:
    """The agenda's name for the next attempt of a reversal."""
    return f"reversal:{request_id}"


def next_owed(draft: Draft, force: bool) -> Reversal | None:
    """The oldest reversal whose turn it is; `force` (a request waits): an owed one need not wait for its gap."""
    for reversal in draft.state.unended_reversals():
        if reversal.status is ReversalStatus.CONFLICT or reversal.held:
            continue
        if draft.may(due_key(reversal.request_id)) or (force and reversal.status is ReversalStatus.OWED):
            return reversal
    return None


def attempt(draft: Draft, reversal: Reversal) -> None:
    """Record the attempt, then it may leave. It is encoded anew each time, from facts (D1)."""
    txn = _transaction_of(draft, reversal.request_id)
    original = originals.root_of(draft.state, draft.rules, draft.state.find(txn.original) if txn.original else None)
    repeat = reversal.last_attempt_ms is not None
    draft.record(r.ReversalAttempted(reversal.request_id, reversal.attempts + 1, reversal.reason))
    message = SendReversal(txn, original, reversal.reason, reversal.icc, repeat)
    draft.send(ExchangeKind.REVERSAL, message, reversal.request_id)


def answered(draft: Draft, reversal: Reversal, answer: HostAnswer) -> None:
    """The host's answer to the attempt in flight."""
    draft.end_exchange()
    of, code = reversal.request_id, answer.facts.code
    verdict = judge(answer, draft.rules)
    asks = answer.answer_class is AnswerClass.ACT_AND_RETRY and not answer.mismatch
    if asks and not reversal.signed_in_for:  # D12; also under a wrong MAC: our keys may be why
        draft.record(r.ReversalNeedsSignIn(of, code))
        draft.record(r.SignedOut(f"the host answered {code} to a reversal"))
    elif verdict.why is Why.MAC:
        _failed(draft, r.ReversalUnanswered(of, Why.MAC, _reason(draft, REASON_MAC)))
    elif answer.mismatch:
        _failed(draft, r.ReversalUnanswered(of, Why.UNREADABLE, _reason(draft, REASON_OTHER)))
    elif code in draft.rules.reversal_success_codes and code in DENIALS:
        _denied(draft, reversal, code)
    elif code in draft.rules.reversal_success_codes:
        _acknowledged(draft, reversal, code, flagged=False)
    else:
        if verdict.worth is Worth.RETRY:
            draft.record(r.SignedOut(f"the host answered {code} to a reversal"))
        _failed(draft, r.ReversalRefused(of, code, _reason(draft, REASON_OTHER)))


def _acknowledged(draft: Draft, reversal: Reversal, code: str, flagged: bool) -> None:
    draft.record(r.ReversalAcknowledged(reversal.request_id, code, flagged))
    draft.at_once(due_key(reversal.request_id))
    draft.note("reversal_acknowledged", request_id=reversal.request_id, code=code, attempts=reversal.attempts)


def _denied(draft: Draft, reversal: Reversal, code: str) -> None:
    """12 or 25 (D11)."""
    txn = _transaction_of(draft, reversal.request_id)
    batch_open = txn.batch == draft.state.batch.identity
    if not txn.approval_seen and batch_open:
        _acknowledged(draft, reversal, code, flagged=False)
    elif txn.approval_seen and reversal.unanswered > 0:
        _acknowledged(draft, reversal, code, flagged=True)
    else:
        draft.record(r.ReversalConflict(reversal.request_id, code))
        draft.alert("reversal_conflict", request_id=reversal.request_id, code=code)


def lost(draft: Draft, reversal: Reversal, why: Why) -> None:
    """No answer will be taken any more for the attempt in flight."""
    draft.end_exchange()
    reason = reversal.reason if why is Why.NOT_SENT else _reason(draft, REASON_NO_ANSWER)
    _failed(draft, r.ReversalUnanswered(reversal.request_id, why, reason))


def _failed(draft: Draft, record: r.ReversalUnanswered | r.ReversalRefused) -> None:
    """One attempt more is gone; what comes next is a gap, or *stuck*."""
    draft.record(record)
    reversal = draft.state.reversals[record.request_id]
    key = due_key(record.request_id)
    if reversal.status is ReversalStatus.OWED and reversal.attempts >= draft.rules.reversal_attempts_max:
        draft.record(r.ReversalStuck(record.request_id, reversal.attempts))
        draft.alert("reversal_stuck", request_id=record.request_id, attempts=reversal.attempts)
    if draft.state.reversals[record.request_id].status is ReversalStatus.OWED:
        draft.wait(key, draft.rules.reversal_retry.after(reversal.attempts, record.request_id))
        refuse_waiting(draft, "a reversal is owed and could not be delivered")
    else:
        draft.wait(key, draft.rules.stuck_retry_s)


def cannot_encode(draft: Draft, request_id: RequestId, because: str, for_now: bool) -> None:
    """It cannot be said in this dialect (D1). It may not be owed yet, if what led to it comes after this.

    `for_now`: a key is out of reach. That is no attempt, and no sale goes before it meanwhile.
    """
    reversal = draft.state.reversals.get(request_id)
    if for_now and reversal is not None and reversal.status is ReversalStatus.OWED:
        draft.back_off(due_key(request_id), draft.rules.reversal_retry)
        refuse_waiting(draft, because)
        return
    if reversal is not None and reversal.status is ReversalStatus.OWED:
        draft.record(r.ReversalStuck(request_id, reversal.attempts, because))
        draft.alert("reversal_stuck", request_id=request_id, attempts=reversal.attempts)
    draft.wait(due_key(request_id), draft.rules.stuck_retry_s)


def _reason(draft: Draft, why: Why) -> str:
    return draft.rules.reversal_reasons[why]


def late_approval(draft: Draft, txn: Transaction) -> None:
    """An approval came when nobody waited for it any more."""
    reversal = draft.state.reversals.get(txn.request_id)
    if txn.status in (TxnStatus.DECLINED, TxnStatus.NOT_SENT) and draft.rules.kinds[txn.kind].reversible:
        draft.record(r.ReversalOwed(txn.request_id, Why.UNCONFIRMED, _reason(draft, Why.UNCONFIRMED)))
        draft.alert("late_approval", request_id=txn.request_id, status=txn.status.value)
    elif reversal is None or reversal.status is ReversalStatus.RESOLVED:
        draft.alert("late_approval", request_id=txn.request_id, status=txn.status.value)
    elif reversal.status is ReversalStatus.ACKNOWLEDGED and _may_stand(draft, reversal):
        draft.record(r.ReversalReopened(txn.request_id))
        draft.at_once(due_key(txn.request_id))
        draft.alert("reversal_reopened", request_id=txn.request_id)


def _may_stand(draft: Draft, reversal: Reversal) -> bool:
    """What acknowledged it does not say that the host had the original by then: one reversal more is harmless (D9)."""
    return reversal.last_code in DENIALS or not draft.rules.reversal_finds_original


def requested_by_terminal(draft: Draft, event: ReversalRequested) -> None:
    """The terminal's own 0400: answered 00 as soon as the owed reversal is durable; then it is ours (D16, D17)."""
    known = [of for of in _meant(event) if _is_known(draft, of)]
    event = replace(event, original=known[0]) if known else event
    waiting = next((q for q in draft.agenda.queue if q.request_id == event.original), None)
    txn, over = draft.state.find(event.original), None
    if txn is not None and txn.over:
        txn, over = None, txn  # its terminal was reset: what it means never came (D17)
    if len(known) > 1 or event.original in draft.state.collided:
        draft.alert("terminal_reversal_ambiguous", request_id=event.original)
        because = "two different requests had this trace number; a person must say which is meant"
        draft.refuse(event.reply_to, Refusal.KEY_REUSED, because, event.original)
    elif waiting is not None:
        _cancel_unsent(draft, event)
    elif txn is None:
        _without_original(draft, event, over)
    elif event.amount_minor not in (txn.amount_minor, txn.counted_minor):  # D15: it may say either
        draft.refuse(event.reply_to, Refusal.AMOUNT_DIFFERS, "the amount is not that of the original", event.original)
    elif event.card is not None and txn.card is not None and event.card != txn.card.digest:
        draft.refuse(event.reply_to, Refusal.CARD_DIFFERS, "the card is not that of the original", event.original)
    elif txn.request_id in draft.state.advices:
        advices.taken_back(draft, event, txn)
    elif not draft.rules.kinds[txn.kind].reversible or _is_used(draft, txn):
        draft.alert("terminal_reversal_refused", request_id=txn.request_id)
        draft.refuse(event.reply_to, Refusal.NOT_REVERSIBLE, "this request cannot be reversed", event.original)
    else:
        doubtful = txn.status is TxnStatus.DECLINED and txn.unmaced  # D10: nobody signed that decline
        if txn.status in (TxnStatus.SENT, TxnStatus.APPROVED) or doubtful:
            draft.record(r.ReversalOwed(txn.request_id, _why_asked(draft, event, txn), event.reason, event.icc))
            _taken_back(draft, txn)
        draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))


def _meant(event: ReversalRequested) -> tuple[RequestId, ...]:
    """A NAC terminal's 0400 says the same of a 0100, a 0200 and a 0220 with that trace (reference 2.6)."""
    return event.original, *event.or_originals


def _is_known(draft: Draft, of: RequestId) -> bool:
    waits = any(queued.request_id == of for queued in draft.agenda.queue)
    return waits or of in draft.state.collided or draft.state.find(of) is not None


def _why_asked(draft: Draft, event: ReversalRequested, txn: Transaction) -> Why:
    """The chip may refuse what the host has approved: then that is uploaded too (reference 1.7, record type 6).

    The same reason is given when a terminal fails otherwise (reference 1.10): the chip's own word has to be with it.
    """
    by_chip = event.chip_refused and event.reason == draft.rules.reversal_reasons.get(Why.REFUSED_BY_CHIP)
    return Why.REFUSED_BY_CHIP if by_chip and txn.chip and txn.status is TxnStatus.APPROVED else Why.TERMINAL


def _is_used(draft: Draft, txn: Transaction) -> bool:
    """A sale whose tip was voided is voided with it: what counts in its place tells."""
    return txn.replaced_by is not None or originals.must_stand(draft.state, draft.rules, txn)


def _taken_back(draft: Draft, txn: Transaction) -> None:
    """Who still waits for its answer is told "failed"; the host's answer will only be remembered."""
    because = "the terminal took it back"
    for reply_to in draft.take_waiters(txn.request_id):
        draft.answer(ToTerminal(reply_to, Refused(Refusal.OUTCOME_UNKNOWN, because, txn.request_id)))


def _without_original(draft: Draft, event: ReversalRequested, over: Transaction | None) -> None:
    """Nothing of it was sent, and from here on nothing will be (D17). After a restore that is not known; and of what is
    like something that stands nobody is told that it is undone: not of `over`, of a batch that its terminal has
    closed, nor of a transaction with another trace or invoice number than the terminal says now."""
    for of in _meant(event):
        _refuse_in_advance(draft, of)
    stands = over is not None and event.amount_minor in (over.amount_minor, over.counted_minor)
    if like := _like_it(draft, event):
        draft.alert("terminal_reversal_ambiguous", request_id=like.request_id)
    if draft.rules.reverses_what_never_came and draft.state.gap is None and not stands and like is None:
        draft.note("terminal_reversed_nothing", request_id=event.original)
        draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))
    else:
        draft.refuse(event.reply_to, Refusal.NO_ORIGINAL, "there is no such request", event.original)


def _like_it(draft: Draft, event: ReversalRequested) -> Transaction | None:
    """What stands, and may be meant under numbers that are not wholly its own."""
    every = (*draft.state.transactions.values(), *draft.state.closed.values())
    standing = (txn for txn in every if txn.status in STANDING and not txn.over and txn.kind in event.kinds)
    for txn in standing:
        numbers = (bool(txn.invoice) and txn.invoice == event.invoice) or txn.terminal_stan == event.terminal_stan
        amounts = event.amount_minor in (txn.amount_minor, txn.counted_minor)
        if numbers and amounts and (event.card is None or txn.card is None or event.card == txn.card.digest):
            return txn
    return None


def _refuse_in_advance(draft: Draft, original: RequestId) -> None:
    if original not in draft.state.tombstones:
        draft.record(r.OriginalRefusedInAdvance(original))


def _cancel_unsent(draft: Draft, event: ReversalRequested) -> None:
    """It was not sent and will not be: nothing is owed (D17)."""
    _refuse_in_advance(draft, event.original)
    for reply_to in draft.take_waiters(event.original):
        draft.refuse(reply_to, Refusal.NOT_SENT, "the terminal took it back before it was sent", event.original)
    draft.drop_queued(event.original)
    draft.effects.append(ForgetCard(event.original))
    draft.answer(ToTerminal(event.reply_to, Result(AnswerFacts("00"), event.original)))


def retry(draft: Draft, event: RetryReversals) -> str:
    """A person wants the next attempt now. Returns what to tell them."""
    wanted = [
        rev
        for rev in draft.state.unended_reversals()
        if event.request_id in (None, rev.request_id) and rev.status is not ReversalStatus.CONFLICT
    ]
    for reversal in wanted:
        draft.record(r.ReversalRetryWanted(reversal.request_id, event.by, event.who))
        draft.at_once(due_key(reversal.request_id))
    return f"{len(wanted)} reversal(s) will be tried now" if wanted else "no such reversal is owed or stuck"


def why_unresolvable(draft: Draft, request_id: RequestId) -> str | None:
    """Why no person can end this reversal now."""
    reversal = draft.state.reversals.get(request_id)
    if reversal is None or reversal.status not in UNENDED:
        return "no such reversal is owed, stuck or in conflict"
    in_flight = draft.state.exchange
    if in_flight is not None and in_flight.request_id == request_id:
        return "an attempt is on its way to the host; wait for its answer, then try again"
    return None


def resolve(draft: Draft, event: ResolveReversal, by: str) -> str:
    """Named people end it. Returns what to tell them."""
    draft.record(r.ReversalResolved(event.request_id, by, event.reason, event.who))
    draft.at_once(due_key(event.request_id))
    return f"resolved by {by}"


def _transaction_of(draft: Draft, request_id: RequestId) -> Transaction:
    txn = draft.state.find(request_id)
    assert txn is not None, f"the reversal of {request_id} has no transaction"
    return txn
