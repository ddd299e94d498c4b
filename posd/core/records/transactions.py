"""Records of financial requests and refunds."""

from msgspec import Struct

from posd.core.answers import AnswerFacts
from posd.core.rules import TxnKind, Why
from posd.core.state import Evidence
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Who


class AuthorisationStarted(Struct, frozen=True):
    """A financial request is about to leave. From here on its outcome is owed an explanation."""

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
    options: str = ""
    partial_asked: bool = False
    reference: str = ""
    tip_minor: Minor = Minor(0)
    confirm: bool = False
    invoice: int = 0
    chip: bool = False


class Approved(Struct, frozen=True):
    """The host approved, with a good MAC. From this commit on the answer counts as released (D16).

    `approved_minor`: the part that was approved, where a part was allowed (D15).
    """

    request_id: RequestId
    facts: AnswerFacts
    approved_minor: Minor | None = None


class Declined(Struct, frozen=True):
    """The host refused: no money moved. `unmaced`: nothing but the line vouches for it (D10)."""

    request_id: RequestId
    facts: AnswerFacts
    unmaced: bool = False


class OutcomeUnknown(Struct, frozen=True):
    """No trustworthy outcome. `approval_seen`: an approval was read, but may not stand (D9, D11)."""

    request_id: RequestId
    why: Why
    code: str | None = None
    approval_seen: bool = False
    detail: str = ""


class NotSent(Struct, frozen=True):
    """Of this request no byte has left, and none will: no money moved, and nothing is owed. Ends its exchange."""

    request_id: RequestId
    because: str


class LateAnswer(Struct, frozen=True):
    """An answer to a transaction or reversal that was no longer waited for."""

    request_id: RequestId
    code: str
    approval: bool
    what: str


class RefundInDoubt(Struct, frozen=True):
    """Nobody knows whether this refund happened; it is never reversed (D13). Ends its exchange, if it was in flight."""

    request_id: RequestId
    why: Why
    code: str | None = None
    approval_seen: bool = False
    detail: str = ""


class RefundRepeated(Struct, frozen=True):
    """The one repeat of a refund in doubt is about to leave, with its own number (D13)."""

    request_id: RequestId


class RefundResolved(Struct, frozen=True):
    """It was found out whether a refund in doubt happened; `by` and `reason` where a person said so (D13)."""

    request_id: RequestId
    happened: bool
    how: Evidence
    by: str = ""
    reason: str = ""
    facts: AnswerFacts | None = None
    who: Who | None = None


class RequestRefused(Struct, frozen=True):
    """A terminal's request was answered without the host: nothing was sent."""

    request_id: RequestId | None
    refusal: str
    because: str


class AnswerHandedOver(Struct, frozen=True):
    """The approval was given to the terminal's connection, or the terminal went on (D16)."""

    request_id: RequestId
