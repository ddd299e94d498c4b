"""Records of advices: what terminals told, and how it reached the host."""

from msgspec import Struct

from posd.core.answers import AnswerFacts
from posd.core.rules import TxnKind, Why
from posd.core.state import Settled
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Who


class AdviceStored(Struct, frozen=True):
    """A terminal told of what has happened: the fact is ours to deliver from here on, and counts.

    `stan` is its number towards the host for as long as it lives. `foreign`: it is of the group of what it refers to.
    """

    request_id: RequestId
    kind: TxnKind
    amount_minor: Minor
    stan: Stan
    batch_number: BatchNumber
    terminal_batch: int
    terminal_stan: Stan
    fingerprint: str
    entry_mode: str
    card: CardRef | None
    original: RequestId | None
    options: str
    reference: str
    tip_minor: Minor
    invoice: int = 0
    foreign: bool = False


class AmountReplaced(Struct, frozen=True):
    """The amount of `by` counts in place of this transaction's, or `by` voided it and none does; None: its own counts
    again."""

    request_id: RequestId
    by: RequestId | None


class AdviceAttempted(Struct, frozen=True):
    """An attempt is about to leave, under this batch number (D7)."""

    request_id: RequestId
    attempt: int
    batch_number: BatchNumber


class AdviceUnanswered(Struct, frozen=True):
    """The attempt brought no answer that can be trusted. `may_have_arrived`: the host may have booked it (D14)."""

    request_id: RequestId
    because: Why
    code: str | None
    may_have_arrived: bool


class AdviceNeedsSignIn(Struct, frozen=True):
    """The one sign-in that an answer may trigger for this advice (D12)."""

    request_id: RequestId
    code: str


class AdviceAcknowledged(Struct, frozen=True):
    """The host has it. `after_silence`: it said 94 after an attempt that went unanswered (D14)."""

    request_id: RequestId
    facts: AnswerFacts
    after_silence: bool


class AdviceRefused(Struct, frozen=True):
    """The host will not have it: not sent again, shown, and in the upload of an unbalanced batch (reference 1.9).

    `may_be_booked`: it may have it all the same, of an attempt before this answer (D14).
    """

    request_id: RequestId
    code: str
    may_be_booked: bool


class AdviceNotBooked(Struct, frozen=True):
    """The host's totals agree without it: what was doubtful is refused, and nothing else (D14)."""

    request_id: RequestId


class AdviceStuck(Struct, frozen=True):
    """The attempts are used up, or it cannot be encoded (`because`): still owed, alerted, retried slowly."""

    request_id: RequestId
    attempts: int
    because: str


class AdviceSettled(Struct, frozen=True):
    """The host has it after all: it took it in the upload, or its totals agree with it."""

    request_id: RequestId
    how: Settled


class AdviceCarriedOver(Struct, frozen=True):
    """Not delivered within the hold: it counts in its batch and goes on under its old number (D19)."""

    request_id: RequestId


class AdviceCancelled(Struct, frozen=True):
    """The terminal took it back before it left (D17)."""

    request_id: RequestId


class AdviceRetryWanted(Struct, frozen=True):
    """A person asked for the next attempt now."""

    request_id: RequestId
    by: str
    who: Who | None = None


class AdviceResolved(Struct, frozen=True):
    """A named person ended this, with a reason: it is delivered no more, and counts no more."""

    request_id: RequestId
    by: str
    reason: str
    who: Who | None = None
