"""What a person asks for: each command said to its lifecycle, and what is told of it.

What ends or decides something, with money at stake, goes over proposals.weigh; what only hurries does not.
"""

from functools import partial
from typing import assert_never

from posd.core import advices, batch_number, limits, management, proposals, refunds, restored, reversals, settlement
from posd.core import events as e
from posd.core import records as r
from posd.core.draft import Draft
from posd.core.effects import CommandDone
from posd.core.proposals import Decision, Outcome
from posd.core.proposed import Deed
from posd.core.state import SettlementCause, SettlementPhase

Deciding = e.ResolveReversal | e.ResolveAdvice | e.ResolveRefund | e.ApproveSettlement | e.DecideSettlement


def obey(draft: Draft, event: e.Command) -> None:
    """Do it, or say why not."""
    match event:
        case e.SettleNow():
            outcome = _settle_now(draft, event)
        case e.DownloadNow():
            outcome = Outcome(*management.person_wants(draft, event))
        case e.RetryReversals():
            outcome = Outcome(True, reversals.retry(draft, event))
        case e.RetryAdvices():
            outcome = Outcome(True, advices.retry(draft, event))
        case e.AdmitAfterRestore():
            why_not = restored.admit(draft, event)
            told = f"admitted by {event.by}; the settlement waits for the reconciliation"
            outcome = Outcome(why_not is None, why_not or told)
        case e.ResolveGap():
            why_not = restored.resolve(draft, event)
            outcome = Outcome(why_not is None, why_not or f"ended by {event.by}; the settlement goes on when it is due")
        case e.SetBatchNumber():
            outcome = Outcome(*batch_number.set_number(draft, event))
        case e.WithdrawProposal():
            why_not = proposals.withdraw(draft, event.about, event.by, event.reason, event.who)
            outcome = Outcome(why_not is None, why_not or f"taken back by {event.by}; nothing was done")
        case _:
            why_not = _why_not(draft, event)
            outcome = Outcome(False, why_not) if why_not else proposals.weigh(draft, _decision(draft, event))
    draft.effects.append(CommandDone(event.command_id, outcome.done, outcome.text, outcome.waits))


def _why_not(draft: Draft, event: Deciding) -> str | None:
    """What stands in the way of it, whoever and however many say so."""
    match event:
        case e.ResolveReversal():
            return reversals.why_unresolvable(draft, event.request_id)
        case e.ResolveAdvice():
            return advices.why_unresolvable(draft, event.request_id)
        case e.ResolveRefund():
            return refunds.why_unresolvable(draft, event.request_id)
        case e.ApproveSettlement():
            return limits.why_unapprovable(draft, event.batch)
        case e.DecideSettlement():
            return settlement.why_undecidable(draft)
        case _:
            assert_never(event)


def _decision(draft: Draft, event: Deciding) -> Decision:
    """What it is about, and what it does."""
    said = (event.by, event.reason, event.who)
    match event:
        case e.ResolveReversal(request_id=of):
            return Decision(Deed.RESOLVE_REVERSAL, of, "", *said, partial(reversals.resolve, draft, event))
        case e.ResolveAdvice(request_id=of):
            return Decision(Deed.RESOLVE_ADVICE, of, "", *said, partial(advices.resolve, draft, event))
        case e.ResolveRefund(request_id=of):
            choice = "yes" if event.happened else "no"
            return Decision(Deed.RESOLVE_REFUND, of, choice, *said, partial(refunds.resolve, draft, event))
        case e.ApproveSettlement(up_to_minor=up_to):
            act = partial(limits.approve, draft, event)
            return Decision(Deed.APPROVE_SETTLEMENT, None, "", *said, act, up_to)
        case e.DecideSettlement():
            choice = "closed" if event.closed else "open"
            return Decision(Deed.DECIDE_SETTLEMENT, None, choice, *said, partial(settlement.decide, draft, event))
        case _:
            assert_never(event)


def _settle_now(draft: Draft, event: e.SettleNow) -> Outcome:
    phase = draft.state.settlement.phase
    if phase is not SettlementPhase.OPEN:
        return Outcome(False, f"a settlement is under way ({phase}); nothing is asked twice")
    if settlement.nothing_to_settle(draft):
        return Outcome(False, "there is nothing to settle in the open batch")
    draft.at_once(settlement.SETTLE)
    if draft.state.settlement.wanted is None:
        draft.record(r.SettlementWanted(SettlementCause.OPERATOR, event.by, event.who))
    if settlement.waits(draft) is limits.Wait.GAP:
        gap = "posd was restored from a backup; reconcile what is not known since: posd restore-gap list"
        return Outcome(False, gap)
    if settlement.waits(draft) is limits.Wait.HELD:
        held = "it is above the maximum and held; a person must approve it: posd settle --approve --by --reason"
        return Outcome(False, held)
    return Outcome(True, "the settlement is due now")
