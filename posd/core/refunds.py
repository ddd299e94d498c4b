"""A refund whose outcome is not known is *in doubt*: never reversed, never stored and forwarded (D13).

- Where it is decided: `transactions._unknown`. Durable: `RefundInDoubt`; the terminal is told that it failed.
- It is not sent again. Only where the acquirer says so (`refund_repeat`), it is repeated once, at once, with the same
  STAN, while what the terminal sent is still in memory and the terminal still waits; never if it carried a PIN block or
  encrypted tracks (D12), and never after a restart. An approval or 94 under a good MAC says that it happened (D14); any
  other answer to a repeat says nothing about the first one.
- It is shown until it is found out: by a late answer, by a balanced 0510 whose totals were asked without it, or by a
  named person. What happened counts in the totals of its batch if those have not been asked yet; a batch that was
  closed without it stays as it was closed.
- An approval that comes after all puts it in doubt again, or counts: the customer may have the money.
"""

from msgspec.structs import replace

from posd.core import limits, originals
from posd.core import records as r
from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult, HostAnswer, HostTotals, MacCheck
from posd.core.draft import Draft
from posd.core.effects import ForgetCard, Refusal, Refused, Result, SendTransaction, ToTerminal
from posd.core.events import ResolveRefund, TransactionRequested
from posd.core.rules import Why
from posd.core.state import Evidence, SettlementPhase, Transaction, TxnStatus
from posd.core.verdict import SEEN_BEFORE, Verdict, Worth, judge
from posd.values import RequestId

STILL_OPEN = frozenset({SettlementPhase.OPEN, SettlementPhase.DRAINING})
"""The totals have not been asked: what is found out now counts in them."""


def sent(draft: Draft, event: TransactionRequested) -> None:
    """A request is about to leave: may it leave a second time, and until when (D12, D17)?"""
    repeatable = draft.rules.kinds[event.kind].in_doubt and draft.rules.refund_repeat and not event.leaves_once
    send_by_s = event.received_s + draft.rules.queue_wait_max_s
    draft.set_repeat((event.request_id, send_by_s) if repeatable else None)


def doubt(draft: Draft, txn: Transaction, verdict: Verdict, code: str | None) -> None:
    """No trustworthy outcome: in doubt, said so; its repeat may follow."""
    why = verdict.why or Why.UNREADABLE
    draft.record(r.RefundInDoubt(txn.request_id, why, code, verdict.approval_seen, verdict.detail))
    draft.alert("refund_in_doubt", request_id=txn.request_id, why=why.value)
    if not _may_repeat(draft, txn.request_id):
        _give_up(draft, txn.request_id, verdict.detail)


def _may_repeat(draft: Draft, request_id: RequestId) -> bool:
    repeat, txn = draft.agenda.repeat, draft.state.find(request_id)
    in_time = repeat is not None and repeat[0] == request_id and repeat[1] > draft.now.monotonic_s
    return in_time and txn is not None and txn.status is TxnStatus.IN_DOUBT and not txn.repeated


def _give_up(draft: Draft, request_id: RequestId, because: str) -> None:
    """It will not leave again: the card is forgotten and the terminal told."""
    if draft.agenda.repeat is not None and draft.agenda.repeat[0] == request_id:
        draft.set_repeat(None)
    draft.effects.append(ForgetCard(request_id))
    for reply_to in draft.take_waiters(request_id):
        draft.answer(ToTerminal(reply_to, Refused(Refusal.OUTCOME_UNKNOWN, because, request_id)))


def to_repeat(draft: Draft) -> Transaction | None:
    """The refund in doubt that may be repeated now."""
    repeat = draft.agenda.repeat
    return draft.state.find(repeat[0]) if repeat is not None and _may_repeat(draft, repeat[0]) else None


def repeat(draft: Draft) -> None:
    """Once more, with its own number."""
    txn = to_repeat(draft)
    assert txn is not None
    draft.record(r.RefundRepeated(txn.request_id))
    original = draft.state.find(txn.original) if txn.original is not None else None
    message = SendTransaction(txn, original, originals.root_of(draft.state, draft.rules, original))
    draft.send(ExchangeKind.TRANSACTION, message, txn.request_id)


def expire(draft: Draft) -> None:
    """A repeat that could not finish in time any more is not sent (D17)."""
    waiting = draft.agenda.repeat
    if waiting is None or waiting[1] > draft.now.monotonic_s:
        return
    txn = draft.state.find(waiting[0])
    if txn is not None and txn.status is TxnStatus.IN_DOUBT and not txn.repeated:
        _give_up(draft, waiting[0], "its outcome is in doubt")


def cannot_encode(draft: Draft, request_id: RequestId) -> bool:
    """The repeat cannot be said: it stays in doubt. False: this is no repeat."""
    txn = draft.state.find(request_id)
    if txn is None or txn.status is not TxnStatus.IN_DOUBT:
        return False
    _give_up(draft, request_id, "its outcome is in doubt")
    return True


def repeat_answered(draft: Draft, txn: Transaction, answer: HostAnswer, verdict: Verdict) -> None:
    """The answer to the repeat."""
    of, code = txn.request_id, answer.facts.code
    if verdict.worth is Worth.APPROVED:
        draft.record(r.Approved(of, answer.facts))
        _known(draft, of, answer.facts)
    elif code == SEEN_BEFORE and answer.mac is MacCheck.GOOD and not answer.mismatch:
        draft.record(r.RefundResolved(of, True, Evidence.REPEAT))  # D14
        _known(draft, of, AnswerFacts("00"))
    else:
        if verdict.worth is Worth.RETRY:
            draft.record(r.SignedOut(f"the host answered {code}"))
        detail = verdict.detail or f"its repeat was answered {code}, which says nothing about the first one"
        doubt(draft, txn, replace(verdict, why=verdict.why or Why.UNCONFIRMED, detail=detail), code)


def _known(draft: Draft, of: RequestId, facts: AnswerFacts) -> None:
    """It happened: it counts, and who still waits is told so."""
    limits.after_approval(draft)
    for reply_to in draft.take_waiters(of):
        draft.answer(ToTerminal(reply_to, Result(facts, of)))
    _give_up(draft, of, "")


def late(draft: Draft, txn: Transaction, answer: HostAnswer) -> None:
    """An answer that nobody waited for any more. After a repeat, a refusal may be the answer to either."""
    verdict, of, code = judge(answer, draft.rules), txn.request_id, answer.facts.code
    if txn.status is TxnStatus.IN_DOUBT and verdict.worth is Worth.APPROVED:
        _found_out(draft, txn, r.RefundResolved(of, True, Evidence.LATE_ANSWER, facts=answer.facts))
        draft.alert("refund_happened", request_id=of)
    elif txn.status is TxnStatus.IN_DOUBT:
        refused = verdict.worth is Worth.DECLINED and answer.mac is MacCheck.GOOD and code != SEEN_BEFORE
        if refused and not txn.repeated and not txn.approval_seen:
            _found_out(draft, txn, r.RefundResolved(of, False, Evidence.LATE_ANSWER, facts=answer.facts))
    elif txn.status in (TxnStatus.DECLINED, TxnStatus.NOT_DONE, TxnStatus.NOT_SENT) and verdict.approval_seen:
        draft.record(r.RefundInDoubt(of, Why.UNCONFIRMED, code, True, "an approval came after all"))
        draft.alert("refund_in_doubt", request_id=of, why=Why.UNCONFIRMED.value)


def reconcile(draft: Draft, host: HostTotals) -> None:
    """Totals that agree without it say that it did not happen. Its group is not known: both have to agree (D13).

    They say nothing of a refund that left under another number of the host's: they are not of that batch (D7).
    """
    if host.domestic is not GroupResult.BALANCED or host.foreign is not GroupResult.BALANCED:
        return
    if any(owed.request_id in draft.state.transactions for owed in draft.state.unended_reversals()):
        return  # the host may count what is owed to be reversed: its totals prove nothing of one item
    for txn in draft.state.transactions.values():
        if txn.status is TxnStatus.IN_DOUBT and txn.batch_number == draft.state.batch.number:
            draft.record(r.RefundResolved(txn.request_id, False, Evidence.RECONCILIATION))
            draft.note("refund_did_not_happen", request_id=txn.request_id, because="the totals agree without it")


def why_unresolvable(draft: Draft, request_id: RequestId) -> str | None:
    """Why no person can say now whether it happened."""
    txn = draft.state.find(request_id)
    if txn is None or txn.status is not TxnStatus.IN_DOUBT:
        return "no such refund is in doubt"
    in_flight = draft.state.exchange
    if in_flight is not None and in_flight.request_id == request_id:
        return "its repeat is on its way to the host; wait for its answer, then try again"
    if request_id in draft.state.transactions and draft.state.settlement.phase not in STILL_OPEN:
        return "its batch is being settled without it; wait for the close, which may tell, then try again"
    return None


def resolve(draft: Draft, event: ResolveRefund, by: str) -> str:
    """Named people say whether it happened. Returns what that does to the totals."""
    of, happened = event.request_id, event.happened
    txn = draft.state.find(of)
    assert txn is not None, "a refund in doubt is known"
    _found_out(draft, txn, r.RefundResolved(of, happened, Evidence.PERSON, by, event.reason, who=event.who))
    if not happened:
        return f"resolved by {by}: it did not happen; it stands in no totals"
    if of in draft.state.transactions:
        return f"resolved by {by}: it happened; it counts in the totals of the open batch"
    return f"resolved by {by}: it happened; its batch was closed without it, settle it with the acquirer"


def _found_out(draft: Draft, txn: Transaction, record: r.RefundResolved) -> None:
    draft.record(record)
    if record.happened and txn.request_id in draft.state.transactions:
        limits.after_approval(draft)
    _give_up(draft, txn.request_id, "it was found out meanwhile; ask again")
