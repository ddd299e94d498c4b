"""What one person has said of a decision that takes two: a part of a lane's state, and the words for it."""

from enum import StrEnum

from msgspec import Struct

from posd.values import RequestId, Who


class Deed(StrEnum):
    """What a person decides."""

    APPROVE_SETTLEMENT = "approve_settlement"
    DECIDE_SETTLEMENT = "decide_settlement"
    RESOLVE_REVERSAL = "resolve_reversal"
    RESOLVE_ADVICE = "resolve_advice"
    RESOLVE_REFUND = "resolve_refund"


class ProposalEnd(StrEnum):
    """How a proposal ended. One that is outgrown is followed by another."""

    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    OUTGROWN = "outgrown"
    ONE_IS_ENOUGH = "one_is_enough"
    OVERTAKEN = "overtaken"


class Proposal(Struct, frozen=True):
    """The first of two words. `about`: the request that it is about, None for the open batch, which is `batch`.

    `choice`: what is said, where there is a choice. `amount_minor` was at stake; up to `ceiling_minor` it holds.
    """

    deed: Deed
    about: RequestId | None
    choice: str
    batch: int
    amount_minor: int
    ceiling_minor: int
    by: str
    reason: str
    who: Who | None
    at_ms: int
    ends_at_ms: int
