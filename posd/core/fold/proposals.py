"""The fold of what waits for a second person; the rules stand in proposals.py."""

from typing import assert_never

from msgspec.structs import replace

from posd.core import records as r
from posd.core.proposed import Proposal
from posd.core.state import State
from posd.values import RequestId

ProposalRecord = r.DecisionProposed | r.ProposalEnded

OF_THE_BATCH = "settlement"
"""The key of a proposal that is about no request; no request id looks like it."""


def key_of(about: RequestId | None) -> str:
    """Under which a proposal stands in the state: one thing is decided once."""
    return about if about is not None else OF_THE_BATCH


def apply_proposal(state: State, record: ProposalRecord, at_ms: int) -> State:
    """The state after one record of a proposal's life."""
    key = key_of(record.request_id)
    others = {name: one for name, one in state.proposals.items() if name != key}
    match record:
        case r.DecisionProposed():
            proposal = Proposal(
                deed=record.deed,
                about=record.request_id,
                choice=record.choice,
                batch=state.batch.identity,
                amount_minor=record.amount_minor,
                ceiling_minor=record.ceiling_minor,
                by=record.by,
                reason=record.reason,
                who=record.who,
                at_ms=at_ms,
                ends_at_ms=record.ends_at_ms,
            )
            return replace(state, proposals={**others, key: proposal})
        case r.ProposalEnded():
            return replace(state, proposals=others)
        case _:
            assert_never(record)
