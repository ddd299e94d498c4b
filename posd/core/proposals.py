"""Two people for what is above a set amount: proposed → confirmed | withdrawn | expired | overtaken | outgrown.

- Where it is decided: `weigh` below, for every word that ends or decides something. Durable: `DecisionProposed`;
  nothing else happens then. The second person says the same command; `ProposalEnded` and what it does are one commit.
- Two people are two users of the machine, or tokens; names that were typed count for nothing. root is one.
- What is at stake is what is at stake *now*, at each of the two words. Where it has become more than the first person
  saw (or allowed: `up_to_minor`), the second word is a first one for the new amount. Where it is no more above the set
  amount, one word is enough.
- Another choice than the first person's is refused: one of them has to give way, by taking it back.
- It ends by itself after a set time, and when what it was about is over (acknowledged, closed, taken by the host).
"""

from collections.abc import Callable

from msgspec import Struct

from posd.core import limits, settlement
from posd.core import records as r
from posd.core.draft import Draft
from posd.core.fold.proposals import key_of
from posd.core.proposed import Deed, Proposal, ProposalEnd
from posd.core.state import RESOLVABLE_ADVICES, UNENDED, SettlementPhase, State, TxnStatus
from posd.values import NOBODY_KNOWN, RequestId, Who, format_amount


class Decision(Struct, frozen=True):
    """What one person says now. `act` does it, in the name that it is given, and says what was done."""

    deed: Deed
    about: RequestId | None
    choice: str
    by: str
    reason: str
    who: Who | None
    act: Callable[[str], str]
    up_to_minor: int | None = None


def at_stake(draft: Draft, deed: Deed, about: RequestId | None) -> int:
    """How much the decision is about, now. Of a transaction what was asked for, or what counts if that is more."""
    if deed is Deed.APPROVE_SETTLEMENT:
        return limits.gross_minor(draft)
    if deed is Deed.DECIDE_SETTLEMENT:
        return settlement.asked_minor(draft)
    txn = draft.state.find(about) if about is not None else None
    return max(txn.amount_minor, txn.counted_minor) if txn is not None else 0


class Outcome(Struct, frozen=True):
    """What became of it: done, `waits` for a second person, or neither."""

    done: bool
    text: str
    waits: bool = False


def weigh(draft: Draft, decision: Decision) -> Outcome:
    """One person's word: does it act, wait for a second one, or nothing?"""
    tidy(draft)  # a first word whose time is over is none, even if nothing has happened since
    standing, above = draft.state.proposals.get(key_of(decision.about)), draft.rules.two_people_above_minor
    amount = at_stake(draft, decision.deed, decision.about)
    if not above or amount <= above:
        if standing is not None:
            _end(draft, standing, ProposalEnd.ONE_IS_ENOUGH, decision)
        return Outcome(True, decision.act(decision.by))
    if decision.up_to_minor is not None and decision.up_to_minor < amount:
        return Outcome(False, f"{format_amount(amount)} is at stake, which is more than you would agree to")
    if standing is None or standing.deed is not decision.deed:
        return _propose(draft, decision, amount, "")
    if amount > standing.ceiling_minor:
        _end(draft, standing, ProposalEnd.OUTGROWN, decision)
        beyond = f"it has grown beyond the {format_amount(standing.ceiling_minor)} that {standing.by} agreed to"
        return _propose(draft, decision, amount, f"{beyond}; yours is the first word again, ")
    return _second(draft, standing, decision)


def _second(draft: Draft, standing: Proposal, decision: Decision) -> Outcome:
    first = standing.who or NOBODY_KNOWN
    if first.is_same(decision.who or NOBODY_KNOWN):
        return Outcome(False, f"you said so already, as {first}; another person has to, under a user of their own")
    if standing.choice != decision.choice:
        differs = f"{standing.by} ({first}) said {standing.choice!r}; agree on one answer"
        return Outcome(False, f"{differs}, and take the other back: posd proposals withdraw")
    _end(draft, standing, ProposalEnd.CONFIRMED, decision)
    return Outcome(True, decision.act(f"{standing.by} and {decision.by}"))


def _propose(draft: Draft, decision: Decision, amount: int, because: str) -> Outcome:
    ends_at_ms = draft.now.wall_ms + round(draft.rules.proposal_ends_after_s * 1000)
    draft.record(
        r.DecisionProposed(
            deed=decision.deed,
            request_id=decision.about,
            choice=decision.choice,
            amount_minor=amount,
            ceiling_minor=max(amount, decision.up_to_minor or 0),
            by=decision.by,
            reason=decision.reason,
            who=decision.who,
            ends_at_ms=ends_at_ms,
        )
    )
    draft.alert("second_person_needed", deed=decision.deed.value, amount_minor=amount, by=decision.by)
    above = format_amount(draft.rules.two_people_above_minor)
    more = f"{format_amount(amount)} is above {above}, so a second person has to say the same"
    return Outcome(False, f"{because}noted, and nothing is done yet: {more}", waits=True)


def _end(draft: Draft, standing: Proposal, how: ProposalEnd, decision: Decision) -> None:
    draft.record(r.ProposalEnded(standing.about, how, decision.by, decision.reason, decision.who))


def withdraw(draft: Draft, about: RequestId | None, by: str, reason: str, who: Who | None) -> str | None:
    """A named person takes it back. Returns why not, or None."""
    standing = draft.state.proposals.get(key_of(about))
    if standing is None:
        return "nothing of that name waits for a second person"
    draft.record(r.ProposalEnded(about, ProposalEnd.WITHDRAWN, by, reason, who))
    return None


def tidy(draft: Draft) -> None:
    """What has waited for too long, or is about something that is over, ends.

    An end that lies further ahead than any proposal is given was set by a clock that was wrong.
    """
    longest_ms = round(draft.rules.proposal_ends_after_s * 1000)
    for standing in tuple(draft.state.proposals.values()):
        left_ms = standing.ends_at_ms - draft.now.wall_ms
        if _is_over(draft.state, standing):
            draft.record(r.ProposalEnded(standing.about, ProposalEnd.OVERTAKEN))
        elif left_ms <= 0 or left_ms > longest_ms:
            draft.record(r.ProposalEnded(standing.about, ProposalEnd.EXPIRED))
            draft.alert("proposal_expired", deed=standing.deed.value, by=standing.by)


def _is_over(state: State, standing: Proposal) -> bool:
    """There is nothing left to decide."""
    match standing.deed:
        case Deed.APPROVE_SETTLEMENT:
            held = state.settlement.phase is SettlementPhase.OPEN and state.settlement.approved_by is None
            return state.batch.identity != standing.batch or not held
        case Deed.DECIDE_SETTLEMENT:
            return state.batch.identity != standing.batch or state.settlement.phase is SettlementPhase.OPEN
        case Deed.RESOLVE_REVERSAL:
            reversal = state.reversals.get(standing.about) if standing.about else None
            return reversal is None or reversal.status not in UNENDED
        case Deed.RESOLVE_ADVICE:
            advice = state.advices.get(standing.about) if standing.about else None
            return advice is None or advice.status not in RESOLVABLE_ADVICES
        case Deed.RESOLVE_REFUND:
            txn = state.find(standing.about) if standing.about else None
            return txn is None or txn.status is not TxnStatus.IN_DOUBT
