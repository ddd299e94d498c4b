"""The 0500: when it leaves, and what the host's answer makes of it.

- The totals are repeated with their own STAN until the answer is durable, then never asked again. If a repeat is
  answered as if the batch were closed, that is *unconfirmed* (D20). So is "the totals differ" from a host that tells
  none of its own: it may mean its next, empty batch.
- What does not agree is uploaded (upload.py); where the acquirer takes agreement for the close, it closes the batch.
"""

from msgspec.structs import replace

from posd.core import advices, chips, refunds
from posd.core import records as r
from posd.core.answers import AnswerClass, ExchangeKind, GroupResult, HostAnswer, HostTotals, Totals
from posd.core.draft import Draft
from posd.core.effects import SendTotals
from posd.core.settlement import SETTLE, balanced, carry_over, close, sign_in_first
from posd.core.state import CloseOutcome, TxnStatus
from posd.core.totals import counts, possible, to_upload, totals_of
from posd.core.verdict import SEEN_BEFORE

SIGN_IN_FIRST = "77"
"""With SEEN_BEFORE, the code of a host that may have closed the batch already: only on a repeat (D14, D20)."""


def ask(draft: Draft) -> None:
    """0500. A repeat carries the STAN and the totals of the first (D20)."""
    settlement = draft.state.settlement
    if settlement.stan is None or settlement.totals is None:
        carry_over(draft)
        advices.carry_over(draft)
        if untold := chips.unreported(draft.state):
            draft.alert("script_results_not_told", count=len(untold), request_id=untold[0].request_id)
        stan, totals = draft.state.stan, totals_of(draft.state.transactions.values(), draft.rules)
    else:
        stan, totals = settlement.stan, settlement.totals
    draft.record(r.TotalsAsked(stan, totals, settlement.asked + 1))
    draft.send(ExchangeKind.TOTALS, SendTotals(stan, draft.state.batch.number, totals))


def answered(draft: Draft, answer: HostAnswer) -> None:
    """The 0510."""
    draft.end_exchange()
    settlement = draft.state.settlement
    host, code = answer.host_totals, answer.facts.code
    rules = draft.rules.close
    empty = (
        host is not None and host.totals == Totals() and (_host_has_some(draft) or _differs_about_nothing(draft, host))
    )
    told_otherwise = draft.state.session.host_batch not in (None, draft.state.batch.number)
    closed = code == SEEN_BEFORE or (code == SIGN_IN_FIRST and (settlement.unanswered > 0 or told_otherwise))
    closed |= code in rules.batch_gone and settlement.unanswered > 0
    closed |= _wants_items(host) and not rules.uploads_on_repeat
    if answer.mismatch:
        _retry(draft, answer.mismatch, "")
    elif settlement.asked > 1 and (closed or empty):
        _unconfirmed(draft, f"a repeated 0500 was answered {code}" if closed else "a repeat was answered with zeros")
    elif code and answer.answer_class is not AnswerClass.APPROVE:
        _retry(draft, f"the host answered {code}", code)
        sign_in_first(draft, answer)
    elif host is None:
        _retry(draft, "the host answered without totals", "")
    elif host.totals is not None and not possible(host.totals):
        _unconfirmed(draft, "the host's totals cannot be: an amount without a count, or a count without an amount")
    else:
        host = _taken_at_its_word(draft, host)
        items = to_upload(draft.state.transactions.values(), host, draft.rules)
        draft.record(r.TotalsAnswered(host, (*items, *chips.to_upload(draft.state))))
        refunds.reconcile(draft, host)
        advices.reconcile(draft, host)
        draft.at_once(SETTLE)
        if not balanced(draft.state.settlement):
            _say_out_of_balance(draft)
        elif rules.agreed_closes or not (rules.ends_without_items or draft.state.settlement.items):
            close(draft, CloseOutcome.AGREED, "")


def _wants_items(host: HostTotals | None) -> bool:
    words = (host.domestic, host.foreign) if host is not None else ()
    return any(word is not GroupResult.BALANCED for word in words)


def _taken_at_its_word(draft: Draft, host: HostTotals) -> HostTotals:
    """A group that it calls balanced beside other totals than ours is not clear: uploading settles what it has.

    Zeros are no totals of a batch: some hosts give none (reference 1.6).
    """
    ours, theirs = draft.state.settlement.totals, host.totals
    if ours is None or theirs is None or theirs in (ours, Totals()):
        return host
    pairs = ((host.domestic, ours.domestic, theirs.domestic), (host.foreign, ours.foreign, theirs.foreign))
    domestic, foreign = (
        GroupResult.UNCLEAR if word is GroupResult.BALANCED and mine != its else word for word, mine, its in pairs
    )
    if (domestic, foreign) != (host.domestic, host.foreign):
        draft.alert("host_contradicts_itself", because="it calls balanced what is not our totals")
    return replace(host, domestic=domestic, foreign=foreign)


def _host_has_some(draft: Draft) -> bool:
    """Something of this batch was acknowledged: a host that says "nothing" speaks of another batch."""
    every = draft.state.transactions.values()
    return any(txn.status is TxnStatus.APPROVED and counts(txn, draft.rules) for txn in every)


def _differs_about_nothing(draft: Draft, host: HostTotals) -> bool:
    """Nothing was claimed, it has nothing, and says that this does not agree: it speaks of no open batch."""
    return draft.state.settlement.totals == Totals() and _wants_items(host)


def _say_out_of_balance(draft: Draft) -> None:
    """With the first suspects: declines that had no MAC (D10), refunds in doubt (D13)."""
    every = draft.state.transactions.values()
    unmaced = sum(txn.unmaced and txn.status is TxnStatus.DECLINED for txn in every)
    doubts = sum(txn.status is TxnStatus.IN_DOUBT for txn in every)
    items = len(draft.state.settlement.items)
    draft.alert("settlement_out_of_balance", items=items, unmaced_declines=unmaced, refunds_in_doubt=doubts)


def _retry(draft: Draft, because: str, code: str) -> None:
    """No usable answer: the same question again, later."""
    draft.record(r.TotalsUnanswered(because, code))
    draft.back_off(SETTLE, draft.rules.settle_retry)
    draft.alert("totals_unanswered", because=because)


def lost(draft: Draft, because: str) -> None:
    """No answer will be taken any more for the totals in flight."""
    draft.end_exchange()
    _retry(draft, because, "")


def never_left(draft: Draft, because: str) -> None:
    """The host was not asked: 94, 77 or zeros in answer to the next 0500 are no sign that it closed (D20)."""
    draft.end_exchange()
    draft.record(r.TotalsNotSent(because))
    draft.back_off(SETTLE, draft.rules.settle_retry)


def _unconfirmed(draft: Draft, because: str) -> None:
    draft.record(r.SettlementUnconfirmed(because))
    draft.record(r.SignedOut("the host's batch number tells whether the batch is closed"))  # D20
    draft.alert("settlement_unconfirmed", because=because)
