"""Records of decisions that take two people, between the first word and the second."""

from msgspec import Struct

from posd.core.proposed import Deed, ProposalEnd
from posd.values import RequestId, Who


class DecisionProposed(Struct, frozen=True):
    """A named person said it; nothing is done until another one says the same. `request_id` None: of the open batch."""

    deed: Deed
    request_id: RequestId | None
    choice: str
    amount_minor: int
    ceiling_minor: int
    by: str
    reason: str
    who: Who | None
    ends_at_ms: int


class ProposalEnded(Struct, frozen=True):
    """It waits no more. `by`, `reason` and `who` of the second person, or of the one who took it back."""

    request_id: RequestId | None
    how: ProposalEnd
    by: str = ""
    reason: str = ""
    who: Who | None = None
