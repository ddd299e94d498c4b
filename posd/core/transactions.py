"""One financial request: sent → approved | declined | unknown | in doubt | not sent.

Which state moves on what: tables/transactions.py.

- A request that the terminal sends again is answered from here, never sent again (D6, D12).
- Time-out, lost line, bad MAC, unreadable or unconfirmed answer, restart and the terminal's own reversal are one fact:
  *unknown*. The terminal is told "failed" and, if the kind is reversible, a reversal is owed (D9).
- An approved request becomes unknown only when the terminal takes it back (its own 0400); a declined one only when an
  approval comes after all: the customer must not be charged for what the terminal was told is refused.
- A request of which the line says that no byte has left is *not sent*: nothing is owed, and the terminal is told so at
  once. Only where the line is certain; should an approval come after all, it is treated like that of a declined one.
- A refund is never reversed: without an outcome it is *in doubt*, until it is found out (refunds.py, D13).
- A first attempt that is answered 94 used a number twice: failed, and alerted (D14).
- Where a part may be approved, the totals use that part; a reversal carries what was requested (D15).
- An approval that a till does not confirm in time becomes unknown too, where that is wanted (confirmations.py, D16).
- An advice is *stored* when it is ours to deliver: it counts from then on, whether the host has it (approved), will not
  have it (refused) or has not been asked yet (advices.py).
- What cannot be sent in time is answered "not sent" and is not sent, then or ever: a repeat that crosses a refusal is
  refused again (D6, D17).
"""

from msgspec.structs import replace

from posd.core import advice_delivery, confirmations, invoices, limits, originals, refunds, restored
from posd.core import records as r
from posd.core.answers import AnswerClass, AnswerFacts, ExchangeKind, HostAnswer, MacCheck
from posd.core.draft import Draft
from posd.core.effects import ForgetCard, Refusal, Refused, Result, SendTransaction, ToTerminal
from posd.core.events import TransactionRequested
from posd.core.rules import OnStuck, Rules, UnmacedDecline, Why
from posd.core.state import ReversalStatus, State, Transaction, TxnStatus
from posd.core.verdict import SEEN_BEFORE, Verdict, Worth, judge
from posd.values import Minor


def requested(draft: Draft, event: TransactionRequested) -> None:
    """A terminal asks. A known key is answered from state; a new one is queued for its turn."""
    known = draft.state.find(event.request_id)
    waiting = next((q for q in draft.agenda.queue if q.request_id == event.request_id), None)
    if known is not None or waiting is not None:
        fingerprint = known.fingerprint if known else waiting.fingerprint if waiting else ""
        if known is not None and originals.repeat_is_over(draft.state, draft.rules, known, draft.now.wall_ms):
            _number_of_a_closed_batch(draft, event)
        elif fingerprint != event.fingerprint:
            _key_reused(draft, event)
        elif known is not None and known.status is not TxnStatus.SENT:
            _answer_from_state(draft, known, event.reply_to)
        else:
            draft.add_waiter(event.request_id, event.reply_to)
        return
    refusal = _refusal(draft, event)
    if refusal is None and len(draft.agenda.queue) >= draft.rules.queue_max:
        refusal = Refusal.BUSY, "too many requests of this terminal are waiting"
    if refusal is not None:
        draft.refuse(event.reply_to, *refusal, event.request_id)
        draft.effects.append(ForgetCard(event.request_id))
        return
    _confirm_earlier(draft)
    draft.add_waiter(event.request_id, event.reply_to)
    draft.agenda = replace(draft.agenda, queue=(*draft.agenda.queue, event))


def _number_of_a_closed_batch(draft: Draft, event: TransactionRequested) -> None:
    """D6: a terminal that was reset has come to the number of a request that is over; its outcome is not this one's."""
    draft.alert("number_of_a_closed_batch", request_id=event.request_id)
    because = "a request of a closed batch had this trace and invoice number; set the terminal's numbers above it"
    draft.refuse(event.reply_to, Refusal.NUMBER_TAKEN, because, event.request_id)


def _key_reused(draft: Draft, event: TransactionRequested) -> None:
    """D6: the same key with another amount or card is never answered from state."""
    draft.alert("request_key_reused", request_id=event.request_id)
    draft.refuse(
        event.reply_to, Refusal.KEY_REUSED, "this number or key was used for another request", event.request_id
    )


def _answer_from_state(draft: Draft, txn: Transaction, reply_to: str) -> None:
    if not _in_flight(draft, txn):
        draft.effects.append(ForgetCard(txn.request_id))
    if txn.request_id in draft.state.closed:
        # D6 has it so; but a terminal that was reset and counts from 1 again looks the same: somebody must look.
        draft.alert("answered_from_a_closed_batch", request_id=txn.request_id, sold_at_ms=txn.at_ms)
    if txn.request_id in draft.state.advices and txn.status is not TxnStatus.CANCELLED:
        draft.answer(ToTerminal(reply_to, Result(AnswerFacts("00"), txn.request_id)))  # ours to deliver, or delivered
    elif txn.status is TxnStatus.CANCELLED:
        refused = Refused(Refusal.REVERSED_IN_ADVANCE, "the terminal took it back before it left", txn.request_id)
        draft.answer(ToTerminal(reply_to, refused))
    elif txn.status is TxnStatus.NOT_SENT:
        draft.answer(ToTerminal(reply_to, Refused(Refusal.NOT_SENT, "it never left", txn.request_id)))
    elif txn.status is TxnStatus.APPROVED or (txn.status is TxnStatus.DECLINED and txn.facts is not None):
        facts = txn.facts or AnswerFacts("00")  # found out without an answer: then the word is ours (D13)
        draft.answer(ToTerminal(reply_to, Result(facts, txn.request_id, txn.approved_minor)))
    else:
        draft.answer(
            ToTerminal(reply_to, Refused(Refusal.OUTCOME_UNKNOWN, f"its outcome is {txn.status}", txn.request_id))
        )


def _in_flight(draft: Draft, txn: Transaction) -> bool:
    exchange = draft.state.exchange
    return exchange is not None and exchange.request_id == txn.request_id


def _refusal(draft: Draft, event: TransactionRequested) -> tuple[Refusal, str] | None:
    """Why this request will not go to the host; None: it may. Asked when it comes and again when it is its turn."""
    session = draft.state.session
    kind = draft.rules.kinds[event.kind]
    if event.request_id in draft.state.tombstones:
        return Refusal.REVERSED_IN_ADVANCE, "the terminal reversed this request before it came"  # D17
    earlier = draft.state.refused.get(event.request_id)
    if earlier is not None and not (kind.advice and earlier in NOT_NOW):
        return Refusal(earlier), "this request was refused before"  # D6
    if (since_restore := restored.refusal(draft.state, event)) is not None:
        return since_restore
    if event.has_pin and not draft.rules.pin_allowed:
        return Refusal.NOT_SUPPORTED, "PIN entry is refused for this terminal by its configuration"
    under_our_keys = draft.rules.keys_expected and (event.has_pin or event.tracks_encrypted)
    if under_our_keys and session.terminal_generation != session.generation:
        what = "PIN" if event.has_pin else "track"
        return Refusal.SIGN_IN_FIRST, f"the terminal's {what} key is not the current one"  # D26
    if event.has_pin and kind.advice:
        return Refusal.MALFORMED, "an advice carries no PIN: it is kept until it is delivered"
    if event.amount_minor == 0 and kind.has_amount:
        return Refusal.AMOUNT_INVALID, "the amount is zero"
    if (kind.reversible or kind.in_doubt) and (why := blocked_by(draft.state, draft.rules)):
        return Refusal.BLOCKED, f"{why} and the configuration blocks new transactions"
    if limits.full(draft, kind):
        return Refusal.BATCH_FULL, "the batch is full: it has to be settled first"  # D22
    return invoices.refusal(draft.state, draft.rules, event)


def blocked_by(state: State, rules: Rules) -> str:
    """The reversal that keeps new requests of this terminal from leaving; empty: none does."""
    if rules.on_stuck is not OnStuck.BLOCK:
        return ""
    for reversal in state.reversals.values():
        if reversal.status in NEED_SOMEBODY:
            return f"a reversal is {reversal.status}"
        if reversal.held:
            return "a reversal is held since a restore"
    return ""


NEED_SOMEBODY = frozenset({ReversalStatus.STUCK, ReversalStatus.CONFLICT})
"""Of a reversal: it has been tried, and did not end (D11)."""

NOT_NOW = frozenset(
    {
        *(Refusal.NOT_SENT, Refusal.BUSY, Refusal.BATCH_FULL, Refusal.BLOCKED, Refusal.FENCED),
        *(Refusal.RESTORED, Refusal.SIGN_IN_FIRST),
    }
)
"""What an advice may be told more than once: it has happened, and its terminal tells it until somebody takes it."""


def _confirm_earlier(draft: Draft) -> None:
    """The terminal goes on: it has our earlier answers, but for those that a till has to confirm itself (D16)."""
    waited_for = {txn.request_id for txn in confirmations.still_open(draft.state)}
    for request_id in draft.state.unconfirmed:
        if request_id not in waited_for:
            draft.record(r.AnswerHandedOver(request_id))


def send_next(draft: Draft) -> None:
    """The oldest waiting request has its turn: record it, then it may leave."""
    event, *later = draft.agenda.queue
    draft.agenda = replace(draft.agenda, queue=tuple(later))
    original = originals.named(draft.state, draft.rules, event)
    # Keys may have changed, a reversal may be stuck and the original may be used since it came.
    refusal = _refusal(draft, event) or originals.refusal(draft.state, draft.rules, event, original)
    if refusal is not None:
        for reply_to in draft.take_waiters(event.request_id):
            draft.refuse(reply_to, *refusal, event.request_id)
        draft.effects.append(ForgetCard(event.request_id))
        return
    if original is not None:
        confirmations.by_naming(draft, original)
        original = originals.referred(draft.state, draft.rules, event, original)
    draft.record(
        r.AuthorisationStarted(
            request_id=event.request_id,
            kind=event.kind,
            amount_minor=event.amount_minor,
            stan=draft.state.stan,
            batch_number=draft.state.batch.number,
            terminal_batch=originals.terminal_batch(draft.state, draft.rules, event.terminal_batch),
            terminal_stan=event.terminal_stan,
            fingerprint=event.fingerprint,
            entry_mode=event.entry_mode,
            card=event.card,
            original=original.request_id if original else None,
            options=event.options,
            partial_asked=event.partial_asked and draft.rules.partial_approval,
            reference=event.reference,
            tip_minor=event.tip_minor,
            confirm=_to_be_confirmed(draft, event),
            chip=event.chip and draft.rules.kinds[event.kind].certified,
            invoice=invoices.number_for(draft.state, draft.rules, event, original),
        )
    )
    refunds.sent(draft, event)
    root = originals.root_of(draft.state, draft.rules, original)
    message = SendTransaction(draft.state.transactions[event.request_id], original, root)
    draft.send(ExchangeKind.TRANSACTION, message, event.request_id)


def _to_be_confirmed(draft: Draft, event: TransactionRequested) -> bool:
    """D16: what cannot be reversed need not be confirmed."""
    return event.from_till and draft.rules.confirm_within_s > 0 and draft.rules.kinds[event.kind].reversible


def answered(draft: Draft, txn: Transaction, answer: HostAnswer) -> None:
    """The host's answer to the request in flight."""
    verdict = judge(answer, draft.rules, txn.amount_minor if txn.partial_asked else None)
    draft.end_exchange()
    if txn.status is TxnStatus.IN_DOUBT:
        refunds.repeat_answered(draft, txn, answer, verdict)
        return
    if txn.status is TxnStatus.UNKNOWN:  # the terminal took it back while it was in flight (D17)
        draft.record(r.OutcomeUnknown(txn.request_id, Why.TERMINAL, answer.facts.code, verdict.approval_seen))
        draft.effects.append(ForgetCard(txn.request_id))
        return
    if verdict.worth is Worth.RETRY and _unsigned(draft, answer):
        _unknown(draft, txn, Verdict(Worth.UNKNOWN, Why.MAC, "a refusal without a MAC"), answer.facts.code)
        draft.record(r.SignedOut(f"the host answered {answer.facts.code}"))
        return
    match verdict.worth:
        case Worth.APPROVED:
            draft.record(r.Approved(txn.request_id, answer.facts, _part(answer)))
            _uncount(draft, txn)
            confirmations.begin(draft, txn.request_id)
            advice_delivery.online_success(draft)
            limits.after_approval(draft)
        case Worth.DECLINED | Worth.RETRY:
            draft.record(r.Declined(txn.request_id, answer.facts, answer.mac is MacCheck.ABSENT))
        case Worth.UNKNOWN:
            _unknown(draft, txn, verdict, answer.facts.code)
            if answer.answer_class is AnswerClass.ACT_AND_RETRY:
                # Our keys may be why its MAC does not fit: at worst this costs one sign-in.
                draft.record(r.SignedOut(f"the host answered {answer.facts.code} under a MAC that does not fit"))
            return
    if verdict.worth is Worth.RETRY:
        # The next request needs it; this one is never sent again (D12).
        draft.record(r.SignedOut(f"the host answered {answer.facts.code}"))
    if answer.facts.code == SEEN_BEFORE:
        draft.alert("stan_reused", request_id=txn.request_id, stan=txn.stan)  # D14
    draft.effects.append(ForgetCard(txn.request_id))
    for reply_to in draft.take_waiters(txn.request_id):
        draft.answer(ToTerminal(reply_to, Result(answer.facts, txn.request_id, _part(answer), answer.icc)))


def _uncount(draft: Draft, txn: Transaction) -> None:
    """A void after which neither it nor its original counts (reference 2.4); undone with the void, by the fold."""
    rules = draft.rules.kinds[txn.kind].original
    if rules is not None and rules.uncounts and txn.original is not None:
        draft.record(r.AmountReplaced(txn.original, txn.request_id))


def _unsigned(draft: Draft, answer: HostAnswer) -> bool:
    """Nobody signed this refusal, and the shop trusts none such (D10)."""
    return answer.mac is MacCheck.ABSENT and draft.rules.unmaced_decline is UnmacedDecline.REVERSE


def _part(answer: HostAnswer) -> Minor | None:
    """The approved amount, if only a part was approved (D15)."""
    if answer.answer_class is not AnswerClass.APPROVE_PARTIAL or answer.amount_minor is None:
        return None
    return Minor(answer.amount_minor)


def lost(draft: Draft, txn: Transaction, why: Why, detail: str) -> None:
    """No answer will be taken any more for the request in flight."""
    draft.end_exchange()
    if txn.status is TxnStatus.IN_DOUBT:
        refunds.doubt(draft, txn, Verdict(Worth.UNKNOWN, why, detail), None)
    elif txn.status is TxnStatus.UNKNOWN:
        draft.record(r.OutcomeUnknown(txn.request_id, Why.TERMINAL, None, False, detail))
        draft.effects.append(ForgetCard(txn.request_id))
    else:
        _unknown(draft, txn, Verdict(Worth.UNKNOWN, why, detail), None)


def never_left(draft: Draft, txn: Transaction, because: str) -> None:
    """The line is certain that the host cannot know of the request in flight: no outcome has to be undone (D2)."""
    if txn.status is not TxnStatus.SENT:  # taken back meanwhile, or the repeat of a refund that did leave
        lost(draft, txn, Why.LINK, because)
        return
    draft.end_exchange()
    draft.record(r.NotSent(txn.request_id, because))
    draft.note("not_sent", request_id=txn.request_id, because=because)
    draft.set_repeat(None)
    draft.effects.append(ForgetCard(txn.request_id))
    for reply_to in draft.take_waiters(txn.request_id):
        draft.answer(ToTerminal(reply_to, Refused(Refusal.NOT_SENT, because, txn.request_id)))


def _unknown(draft: Draft, txn: Transaction, verdict: Verdict, code: str | None) -> None:
    """The one road of every outcome that is not known."""
    if draft.rules.kinds[txn.kind].in_doubt:
        refunds.doubt(draft, txn, verdict, code)
        return
    why = verdict.why or Why.UNREADABLE
    draft.record(r.OutcomeUnknown(txn.request_id, why, code, verdict.approval_seen, verdict.detail))
    draft.note("outcome_unknown", request_id=txn.request_id, why=why.value, detail=verdict.detail)
    if draft.rules.kinds[txn.kind].reversible:
        draft.record(r.ReversalOwed(txn.request_id, why, draft.rules.reversal_reasons[why]))
    draft.effects.append(ForgetCard(txn.request_id))
    for reply_to in draft.take_waiters(txn.request_id):
        draft.answer(ToTerminal(reply_to, Refused(Refusal.OUTCOME_UNKNOWN, verdict.detail, txn.request_id)))


def refuse_waiting(draft: Draft, because: str, send_by_s: float | None = None) -> None:
    """Answer "not sent" to waiting requests: to all, or to those that had to be sent by `send_by_s` after receipt."""
    kept = []
    for event in draft.agenda.queue:
        if send_by_s is not None and event.received_s + send_by_s > draft.now.monotonic_s:
            kept.append(event)
            continue
        for reply_to in draft.take_waiters(event.request_id):
            draft.refuse(reply_to, Refusal.NOT_SENT, because, event.request_id)
        draft.effects.append(ForgetCard(event.request_id))
    draft.agenda = replace(draft.agenda, queue=tuple(kept))
