"""What is in flight, and how it ends: answered, lost, never sent, or not to be encoded; told to its lifecycle.

One at a time. An answer is its own by class and STAN (D8), or it is late, and never dropped in silence.
"""

from typing import assert_never

from posd.core import (
    advice_delivery,
    management,
    refunds,
    reversals,
    session,
    settlement,
    totals_exchange,
    transactions,
    upload,
)
from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, HostAnswer
from posd.core.draft import Draft
from posd.core.effects import ForgetCard, Refusal
from posd.core.rules import Why
from posd.core.state import Advice, Exchange, Transaction, TxnStatus
from posd.core.verdict import Worth, judge
from posd.errors import InvariantBroken
from posd.values import RequestId


def host_answered(draft: Draft, answer: HostAnswer) -> None:
    """To the exchange in flight if it matches by class and STAN (D8), else late, and never dropped in silence."""
    exchange = draft.state.exchange
    if exchange is None or exchange.kind is not answer.kind or exchange.stan != answer.stan:
        _late(draft, answer)
        return
    _answered(draft, answer, exchange)
    session.host_wants(draft, answer)


def _answered(draft: Draft, answer: HostAnswer, exchange: Exchange) -> None:
    match exchange.kind:
        case ExchangeKind.SIGN_IN:
            session.answered(draft, answer, exchange.for_settlement)
        case ExchangeKind.ECHO:
            session.echo_ended(draft, answered=True)
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, exchange.request_id)) is not None:
            advice_delivery.answered(draft, advice, answer)
        case ExchangeKind.TRANSACTION:
            transactions.answered(draft, _transaction(draft, exchange), answer)
        case ExchangeKind.REVERSAL:
            assert exchange.request_id is not None
            reversals.answered(draft, draft.state.reversals[exchange.request_id], answer)
        case ExchangeKind.TOTALS:
            totals_exchange.answered(draft, answer)
        case ExchangeKind.UPLOAD:
            upload.upload_answered(draft, answer)
        case ExchangeKind.TRAILER:
            upload.trailer_answered(draft, answer)
        case ExchangeKind.SIGN_OFF:
            session.sign_off_ended(draft, answered=True)
        case ExchangeKind.MANAGEMENT:
            management.answered(draft, answer)
        case _:
            assert_never(exchange.kind)


def _late(draft: Draft, answer: HostAnswer) -> None:
    """Nobody waits for it: logged with its key, and an approval is remembered (D11).

    After 12 or 25 an answer that confirms nothing says all the same that the host did get the original (D9).
    """
    txn = _sent_with(draft, answer) if answer.kind is ExchangeKind.TRANSACTION else None
    of = txn.request_id if txn is not None else None
    draft.note(
        "answer_matches_nothing", **_naming(of), kind=answer.kind.value, stan=answer.stan or 0, code=answer.facts.code
    )
    if txn is None or (txn.facts is not None and txn.facts.code == answer.facts.code):
        return  # unknown here, or a duplicate of what was taken
    verdict = judge(answer, draft.rules)
    draft.record(r.LateAnswer(txn.request_id, answer.facts.code, verdict.approval_seen, answer.kind.value))
    if txn.request_id in draft.state.advices:
        advice_delivery.late(draft, txn, answer)
    elif draft.rules.kinds[txn.kind].in_doubt:
        refunds.late(draft, txn, answer)
    elif verdict.approval_seen or (verdict.worth is Worth.UNKNOWN and txn.status is TxnStatus.REVERSED):
        reversals.late_approval(draft, txn)


def _sent_with(draft: Draft, answer: HostAnswer) -> Transaction | None:
    """The newest transaction that left with the number of this answer."""
    every = [*draft.state.closed.values(), *draft.state.transactions.values()]
    return next((txn for txn in reversed(every) if txn.stan == answer.stan), None)


def _naming(request_id: RequestId | None) -> dict[str, str]:
    """The request that a line of the log is about, where it is about one (D34)."""
    return {"request_id": request_id} if request_id is not None else {}


def host_unreadable(draft: Draft, event: e.HostUnreadable) -> None:
    """If it can be told to which exchange it belongs, that one has no outcome; else the reply limit will say so."""
    exchange = draft.state.exchange
    ours = exchange is not None and exchange.kind is event.kind and exchange.stan == event.stan
    draft.note(
        "answer_unreadable", **_naming(exchange.request_id if exchange and ours else None), because=event.because
    )
    if ours:
        lost(draft, Why.UNREADABLE, event.because)


def _transaction(draft: Draft, exchange: Exchange) -> Transaction:
    txn = draft.state.find(exchange.request_id) if exchange.request_id else None
    if txn is None:
        raise InvariantBroken("the exchange in flight has no transaction")
    return txn


def _advice(draft: Draft, request_id: RequestId | None) -> Advice | None:
    return draft.state.advices.get(request_id) if request_id is not None else None


def lost(draft: Draft, why: Why, detail: str) -> None:
    """No answer will be taken any more for what is in flight: the one road of every unknown outcome."""
    exchange = draft.state.exchange
    if exchange is None:
        return
    match exchange.kind:
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, exchange.request_id)) is not None:
            advice_delivery.lost(draft, advice, why)
        case ExchangeKind.TRANSACTION:
            transactions.lost(draft, _transaction(draft, exchange), why, detail)
        case ExchangeKind.REVERSAL:
            assert exchange.request_id is not None
            reversals.lost(draft, draft.state.reversals[exchange.request_id], why)
        case ExchangeKind.SIGN_IN:
            session.failed(draft, detail)
        case ExchangeKind.ECHO:
            session.echo_ended(draft, answered=False)
        case ExchangeKind.SIGN_OFF:
            session.sign_off_ended(draft, answered=False)
        case ExchangeKind.MANAGEMENT:
            management.lost(draft, detail)
        case ExchangeKind.TOTALS:
            totals_exchange.lost(draft, detail)
        case ExchangeKind.UPLOAD | ExchangeKind.TRAILER:
            upload.lost(draft, exchange.kind, detail)
        case _:
            assert_never(exchange.kind)


def never_left(draft: Draft, because: str) -> None:
    """What is in flight is not: the line is certain that no byte of it has left (D2)."""
    exchange = draft.state.exchange
    assert exchange is not None, "a token belongs to an exchange"
    if exchange.kind is ExchangeKind.TRANSACTION and _advice(draft, exchange.request_id) is None:
        transactions.never_left(draft, _transaction(draft, exchange), because)
    elif exchange.kind is ExchangeKind.TOTALS:
        totals_exchange.never_left(draft, because)
    else:
        lost(draft, Why.NOT_SENT, because)


def cannot_encode(draft: Draft, event: e.EncodingFailed) -> None:
    """D1: alerted, still owed, and not tried again in a loop."""
    of = event.request_id or event.at_fault
    draft.alert("cannot_encode", **_naming(of), kind=event.kind.value, because=event.because)
    match event.kind:
        case ExchangeKind.TRANSACTION if (advice := _advice(draft, event.request_id)) is not None:
            advice_delivery.cannot_encode(draft, advice.request_id, event.because, event.for_now)
        case ExchangeKind.TRANSACTION:
            assert event.request_id is not None
            if refunds.cannot_encode(draft, event.request_id):
                return
            for reply_to in draft.take_waiters(event.request_id):
                refusal = Refusal.NOT_SENT if event.for_now else Refusal.MALFORMED
                draft.refuse(reply_to, refusal, event.because, event.request_id)
            draft.drop_queued(event.request_id)
            draft.effects.append(ForgetCard(event.request_id))
        case ExchangeKind.REVERSAL:
            assert event.request_id is not None
            reversals.cannot_encode(draft, event.request_id, event.because, event.for_now)
        case ExchangeKind.SIGN_OFF:
            draft.want_sign_off(False)
        case ExchangeKind.MANAGEMENT:
            management.cannot_encode(draft, event.because)
        case ExchangeKind.SIGN_IN:
            draft.back_off(session.SIGN_IN, draft.rules.sign_in_retry)
            if draft.state.session.signed_in:
                settlement.postpone(draft, "the sign-in before it cannot be encoded")
        case ExchangeKind.ECHO:
            draft.wait(session.ECHO, draft.rules.echo_interval_s)
        case ExchangeKind.UPLOAD:
            upload.cannot_encode_upload(draft, event.because, event.at_fault)
        case ExchangeKind.TOTALS | ExchangeKind.TRAILER:
            draft.back_off(settlement.SETTLE, draft.rules.settle_retry)
        case _:
            assert_never(event.kind)
