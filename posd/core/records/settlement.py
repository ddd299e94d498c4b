"""Records of the close of a batch."""

from msgspec import Struct

from posd.core.answers import HostTotals, Totals
from posd.core.state import CloseOutcome, SettlementCause
from posd.values import BatchNumber, RequestId, Stan, Who


class BatchNumberSet(Struct, frozen=True):
    """A named person gave the open batch another number; its transactions keep theirs (D7)."""

    number: BatchNumber
    by: str
    reason: str
    who: Who | None = None


class SettlementWanted(Struct, frozen=True):
    """A settlement is due for a cause other than the schedule."""

    cause: SettlementCause
    by: str = ""
    who: Who | None = None


class SettlementPostponed(Struct, frozen=True):
    """It is due and may not begin (D24)."""

    because: str


class SettlementDeferred(Struct, frozen=True):
    """Below the minimum: this due moment does not settle (D23)."""

    due_ms: int
    gross_minor: int
    minimum_minor: int


class SettlementHeld(Struct, frozen=True):
    """Above the maximum: it waits for a person (D23)."""

    gross_minor: int
    maximum_minor: int
    due_ms: int | None


class SettlementApproved(Struct, frozen=True):
    """A named person let a held settlement begin (D23)."""

    by: str
    reason: str
    gross_minor: int
    who: Who | None = None


class SettlementBegun(Struct, frozen=True):
    """The close of the open batch begins; every due moment until now is satisfied (D18)."""

    cause: SettlementCause
    due_ms: int | None


class BatchSkipped(Struct, frozen=True):
    """There was nothing to settle: the batch ends without a message."""

    cause: SettlementCause
    due_ms: int | None


class ReversalCarriedOver(Struct, frozen=True):
    """Unacknowledged within the hold: it goes on under its old batch number (D19)."""

    request_id: RequestId


class TotalsAsked(Struct, frozen=True):
    """The 0500 is about to leave; a repeat carries the same STAN and totals (D20)."""

    stan: Stan
    totals: Totals
    attempt: int


class TotalsUnanswered(Struct, frozen=True):
    """No answer that can be used; the same question is asked again. `code`: the host refused with it (else silence)."""

    because: str
    code: str = ""


class TotalsNotSent(Struct, frozen=True):
    """The line took none of the 0500: the host was not asked, and the next one is no repeat (D20)."""

    because: str


class TotalsAnswered(Struct, frozen=True):
    """The 0510 is known: the totals are not asked again (D20). `items` is what the host wants uploaded."""

    host: HostTotals
    items: tuple[RequestId, ...]


class SettlementUnconfirmed(Struct, frozen=True):
    """A repeated question was answered as if the batch were closed: a sign-in or a person decides (D20)."""

    because: str


class SettlementDecided(Struct, frozen=True):
    """A named person said whether the host has closed the batch (D20)."""

    by: str
    reason: str
    closed: bool
    who: Who | None = None


class UploadSent(Struct, frozen=True):
    """`count` items from the cursor are about to leave; a repeat carries the same STAN."""

    stan: Stan
    cursor: int
    count: int
    attempt: int


class UploadAcknowledged(Struct, frozen=True):
    """The cursor moves: only an acknowledged message does that (D21)."""

    cursor: int


class UploadUnanswered(Struct, frozen=True):
    """The items are repeated with their own number. `code`: the host refused with it (else silence)."""

    because: str
    code: str = ""


class UploadSetAside(Struct, frozen=True):
    """These items stay visible and the upload goes on without them (D21): the host refused them with `code`, or they
    cannot be encoded (`because`)."""

    request_ids: tuple[RequestId, ...]
    cursor: int
    code: str
    because: str


class TrailerSent(Struct, frozen=True):
    """The end message is about to leave; `uploaded` is its total count."""

    stan: Stan
    uploaded: int
    attempt: int


class TrailerUnanswered(Struct, frozen=True):
    """The end message is repeated with its own number. `code`: the host refused with it (else silence)."""

    because: str
    code: str = ""


class BatchClosed(Struct, frozen=True):
    """The batch is closed, once; the next one is open."""

    outcome: CloseOutcome
    totals: Totals
    next_number: BatchNumber
    by: str = ""
