"""Delivering advices: when each leaves, and what the host's answer makes of it; the table is in advices.py.

- Sent one after each online success, all of them when `advice_stored_max` are stored, and all before the totals
  (reference 1.9); the least tried first, an adjustment after what it adjusts. A customer who waits comes before those
  that only follow a success.
- 00 is done. 94 is done after an attempt that may have arrived, else the number was used twice: refused, and alerted
  (D14). No trustworthy answer is an attempt (D9); any other code is a refusal for good, and a doubtful one after an
  attempt that may have arrived (advices.py). An answer may trigger one sign-in for each advice, the second such answer
  counts as an attempt (D12).
- The results of issuer scripts go at once, before reversals and requests (reference 1.7 and 1.10: scripts first).
- When one has no answer the others wait with it, with growing gaps: the host is as silent for them.
- After its attempts, or when it cannot be encoded, it is *stuck*: alerted, shown, still owed, retried slowly.
"""

from msgspec.structs import replace

from posd.core import originals
from posd.core import records as r
from posd.core.advices import ADVICES, due_key, refused, undelivered_in_batch
from posd.core.answers import AnswerClass, AnswerFacts, ExchangeKind, HostAnswer
from posd.core.draft import Draft
from posd.core.effects import SendAdvice
from posd.core.rules import Why
from posd.core.state import NOT_TAKEN, UNDELIVERED, Advice, AdviceStatus, SettlementPhase, State, Transaction
from posd.core.verdict import SEEN_BEFORE, Worth, judge
from posd.values import RequestId


def online_success(draft: Draft) -> None:
    """The host is there and answers: one of the advices that wait may follow (reference 1.9)."""
    if draft.state.undelivered_advices():
        draft.agenda = replace(draft.agenda, advice_turn=True)


def next_first(draft: Draft) -> Advice | None:
    """What goes before everything else: the results of issuer scripts (reference 1.7, step 1)."""
    first = [one for one in _not_held(draft.state) if _is_first(draft, one)]
    return _least_tried(first, draft)


def _not_held(state: State) -> list[Advice]:
    """What was owed in a restored backup waits for a person (restored.py)."""
    return [one for one in state.undelivered_advices() if not one.held]


def _is_first(draft: Draft, advice: Advice) -> bool:
    return draft.rules.kinds[_transaction_of(draft.state, advice.request_id).kind].first


def next_urgent(draft: Draft) -> Advice | None:
    """The advice that goes before the next request: the totals wait for it, or too many are stored."""
    return _least_tried(_urgent(draft), draft)


def next_owed(draft: Draft) -> Advice | None:
    """The advice whose turn it is while no customer waits."""
    return _least_tried(_with_a_turn(draft), draft)


def _least_tried(candidates: list[Advice], draft: Draft) -> Advice | None:
    may = [one for one in candidates if draft.may(key_of(one))]
    return min(may, key=lambda one: (one.attempts, one.stored_at_ms), default=None)


def key_of(advice: Advice) -> str:
    """The agenda's name for what holds its next attempt back."""
    return due_key(advice.request_id) if advice.status is AdviceStatus.STUCK else ADVICES


def _urgent(draft: Draft) -> list[Advice]:
    every = _that_may_leave(draft.state)
    if not every:
        return []
    waited_for = _waited_for(draft)
    holding = undelivered_in_batch(draft.state) if draft.state.settlement.phase is SettlementPhase.DRAINING else []
    first = [one for one in every if _is_first(draft, one)]
    named = {one.request_id for one in (*holding, *first)} | ({waited_for} if waited_for is not None else set())
    owed = sum(one.status is AdviceStatus.OWED for one in _not_held(draft.state))
    all_owed = owed >= draft.rules.advice_stored_max
    return [one for one in every if one.request_id in named or (all_owed and one.status is AdviceStatus.OWED)]


def _waited_for(draft: Draft) -> RequestId | None:
    """What the next request refers to: the host has to know it first."""
    if not draft.agenda.queue:
        return None
    original = originals.named(draft.state, draft.rules, draft.agenda.queue[0])
    return original.request_id if original is not None else None


def _with_a_turn(draft: Draft) -> list[Advice]:
    """After an online success; what is late, is stuck, or a person wants now needs no success before it."""
    every = _that_may_leave(draft.state)
    if draft.agenda.advice_turn or not every:
        return every
    at_any_time = [one for one in every if one.wanted or one.status is AdviceStatus.STUCK or _is_late(draft, one)]
    known = {one.request_id for one in at_any_time}
    return at_any_time + [one for one in _urgent(draft) if one.request_id not in known]


def _is_late(draft: Draft, advice: Advice) -> bool:
    """Its batch has been totalled without it, or closed (a restored journal may learn of that last)."""
    return advice.carried_over or advice.request_id in draft.state.closed


def _that_may_leave(state: State) -> list[Advice]:
    """Not before what it adjusts: the host would not know it."""
    waiting = {one.request_id for one in state.undelivered_advices()}
    return [one for one in _not_held(state) if _original_of(state, one) not in waiting]


def _original_of(state: State, advice: Advice) -> RequestId | None:
    txn = state.find(advice.request_id)
    return txn.original if txn is not None else None


def held_back(draft: Draft) -> list[str]:
    """What would be sent now if its gap were over."""
    keys = {key_of(one) for one in _with_a_turn(draft)}
    return [key for key in keys if not draft.may(key)]


def all_at_once(draft: Draft) -> None:
    """The totals will wait for them: no gap holds any of them back."""
    draft.at_once(ADVICES)
    for advice in draft.state.undelivered_advices():
        draft.at_once(due_key(advice.request_id))


def attempt_next(draft: Draft) -> None:
    """Record the attempt, then it may leave. It is encoded anew each time, from sealed facts (D1)."""
    advice = next_first(draft) or next_urgent(draft) or next_owed(draft)
    assert advice is not None
    txn = _transaction_of(draft.state, advice.request_id)
    # The number may have changed since it was stored: until it has left once, it is of the open batch (D7).
    fresh = advice.last_attempt_ms is None and txn.request_id in draft.state.transactions
    number = draft.state.batch.number if fresh else txn.batch_number
    draft.agenda = replace(draft.agenda, advice_turn=False)
    draft.record(r.AdviceAttempted(txn.request_id, advice.attempts + 1, number))
    txn = _transaction_of(draft.state, advice.request_id)
    original = draft.state.find(txn.original) if txn.original is not None else None
    root = originals.root_of(draft.state, draft.rules, original)
    known = originals.at_host(draft.state, draft.rules, original) if original is not None else None
    draft.send(ExchangeKind.TRANSACTION, SendAdvice(txn, known, root), txn.request_id)


def answered(draft: Draft, advice: Advice, answer: HostAnswer) -> None:
    """The host's answer to the attempt in flight."""
    draft.end_exchange()
    of, code = advice.request_id, answer.facts.code
    verdict = judge(answer, draft.rules)
    asks = answer.answer_class is AnswerClass.ACT_AND_RETRY and not answer.mismatch
    if asks and not advice.signed_in_for:  # D12; also under a wrong MAC: our keys may be why
        draft.record(r.AdviceNeedsSignIn(of, code))
        draft.record(r.SignedOut(f"the host answered {code} to an advice"))
    elif verdict.worth is Worth.APPROVED:
        _acknowledged(draft, advice, answer.facts, after_silence=False)
    elif verdict.worth is Worth.DECLINED and code == SEEN_BEFORE and advice.unanswered > 0:
        _acknowledged(draft, advice, answer.facts, after_silence=True)  # D14
    elif verdict.worth is Worth.DECLINED or verdict.why is Why.PARTIAL:
        refused(draft, advice, code, verdict.approval_seen)
    elif verdict.worth is Worth.RETRY:
        draft.record(r.SignedOut(f"the host answered {code} to an advice"))
        _failed(draft, r.AdviceUnanswered(of, Why.UNCONFIRMED, code, may_have_arrived=False))
    else:
        _failed(draft, r.AdviceUnanswered(of, verdict.why or Why.UNREADABLE, code, may_have_arrived=True))


def _acknowledged(draft: Draft, advice: Advice, facts: AnswerFacts, after_silence: bool) -> None:
    draft.record(r.AdviceAcknowledged(advice.request_id, facts, after_silence))
    draft.at_once(ADVICES)
    draft.at_once(due_key(advice.request_id))
    draft.note("advice_acknowledged", request_id=advice.request_id, code=facts.code, attempts=advice.attempts)


def lost(draft: Draft, advice: Advice, why: Why) -> None:
    """No answer will be taken any more for the attempt in flight."""
    draft.end_exchange()
    _failed(draft, r.AdviceUnanswered(advice.request_id, why, None, may_have_arrived=why is not Why.NOT_SENT))


def _failed(draft: Draft, record: r.AdviceUnanswered) -> None:
    """One attempt more is gone; what comes next is a gap for all of them, or *stuck*."""
    draft.record(record)
    of, advice = record.request_id, draft.state.advices[record.request_id]
    draft.back_off(ADVICES, draft.rules.advice_retry)
    if advice.status is AdviceStatus.OWED and advice.attempts >= draft.rules.advice_attempts_max:
        _stuck(draft, advice, "")
    if draft.state.advices[of].status is AdviceStatus.STUCK:
        draft.wait(due_key(of), draft.rules.stuck_retry_s)


def _stuck(draft: Draft, advice: Advice, because: str) -> None:
    draft.record(r.AdviceStuck(advice.request_id, advice.attempts, because))
    draft.alert("advice_stuck", request_id=advice.request_id, attempts=advice.attempts)


def cannot_encode(draft: Draft, of: RequestId, because: str, for_now: bool) -> None:
    """It cannot be said in this dialect: quick attempts would not help, and it must not stop the terminal (D1).

    `for_now`: a key is out of reach. That is no attempt.
    """
    advice = draft.state.advices[of]
    if for_now and advice.status is AdviceStatus.OWED:
        draft.back_off(ADVICES, draft.rules.advice_retry)
        return
    if advice.status is AdviceStatus.OWED:
        _stuck(draft, advice, because)
    draft.wait(due_key(of), draft.rules.stuck_retry_s)


def late(draft: Draft, txn: Transaction, answer: HostAnswer) -> None:
    """An answer that nobody waited for any more: an approval says that the host has it after all."""
    advice = draft.state.advices[txn.request_id]
    in_flight = draft.state.exchange is not None and draft.state.exchange.request_id == txn.request_id
    open_still = advice.status in UNDELIVERED | NOT_TAKEN
    if open_still and not in_flight and judge(answer, draft.rules).worth is Worth.APPROVED:
        _acknowledged(draft, advice, answer.facts, after_silence=False)
    elif advice.status in (AdviceStatus.RESOLVED, AdviceStatus.CANCELLED) and judge(answer, draft.rules).approval_seen:
        draft.alert("late_approval", request_id=txn.request_id)  # the host has what we do not count


def _transaction_of(state: State, of: RequestId) -> Transaction:
    txn = state.find(of)
    assert txn is not None, f"the advice {of} has no transaction"
    return txn
