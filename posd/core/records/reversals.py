"""Records of reversals: from the first that it is owed to what ended it."""

from msgspec import Struct

from posd.core.rules import Why
from posd.values import RequestId, Who


class ReversalOwed(Struct, frozen=True):
    """A reversal is owed until it is acknowledged or a named person ends it.

    `icc`: what the terminal's own reversal told of the chip, hexadecimal, without card data.
    """

    request_id: RequestId
    why: Why
    reason: str
    icc: str = ""


class ReversalAttempted(Struct, frozen=True):
    """An attempt is about to leave."""

    request_id: RequestId
    attempt: int
    reason: str


class ReversalUnanswered(Struct, frozen=True):
    """The attempt had no answer that can be trusted. `reason` is what the next one says."""

    request_id: RequestId
    because: Why
    reason: str


class ReversalRefused(Struct, frozen=True):
    """The host answered with a code that does not acknowledge."""

    request_id: RequestId
    code: str
    reason: str


class ReversalNeedsSignIn(Struct, frozen=True):
    """The one sign-in that an answer may trigger for this reversal (D12)."""

    request_id: RequestId
    code: str


class ReversalAcknowledged(Struct, frozen=True):
    """The host acknowledged. `flagged`: by 12 or 25 after an attempt of ours that went unanswered (D11)."""

    request_id: RequestId
    code: str
    flagged: bool = False


class ReversalStuck(Struct, frozen=True):
    """The attempts are used up, or it cannot be encoded (`because`): still owed, alerted, retried slowly."""

    request_id: RequestId
    attempts: int
    because: str = ""


class ReversalConflict(Struct, frozen=True):
    """The host denies an original that it approved: a person must end this (D11)."""

    request_id: RequestId
    code: str


class ReversalReopened(Struct, frozen=True):
    """A late approval came after 12 or 25: owed again (D11)."""

    request_id: RequestId


class ReversalRetryWanted(Struct, frozen=True):
    """A person asked for the next attempt now."""

    request_id: RequestId
    by: str
    who: Who | None = None


class ReversalResolved(Struct, frozen=True):
    """A named person ended this, with a reason."""

    request_id: RequestId
    by: str
    reason: str
    who: Who | None = None


class OriginalRefusedInAdvance(Struct, frozen=True):
    """A tombstone: the terminal reversed a request that never came; if it comes, it is refused (D17)."""

    request_id: RequestId
