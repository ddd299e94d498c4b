"""What is true from now on: the journal's vocabulary. One record is one fact; the state is folded from nothing else.

Records are written before anything leaves (rule 0) and never change their shape: a new shape is a new version with an
upcast in `posd/core/payload.py` (D34). They hold wall times, counts and the numbers that a decision used, never
settings, monotonic time or card data (D5). The wall time of a record is that of its row.
"""

from enum import StrEnum

from msgspec import Struct

from posd.core.answers import AnswerFacts, HostTotals, Totals
from posd.core.rules import TxnKind, Why
from posd.core.state import ChipResult, CloseOutcome, Evidence, Settled, SettlementCause
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Tid


class LaneOpened(Struct, frozen=True):
    """The first record of a terminal."""

    tid: Tid
    stan: Stan
    batch_number: BatchNumber


# --- session -----------------------------------------------------------------------------------------------------


class SignInStarted(Struct, frozen=True):
    """A sign-in is about to leave. `for_settlement`: its answer judges the clock (D24)."""

    stan: Stan
    for_settlement: bool


class SignedIn(Struct, frozen=True):
    """The host signed us in. `batch_number` is adopted outside settlement only (D7)."""

    stan: Stan
    wrapped_keys: str
    batch_number: BatchNumber | None
    clock_offset_ms: int | None


class SignInFailed(Struct, frozen=True):
    """A sign-in brought no usable keys: the terminal stays signed out."""

    stan: Stan
    because: str


class SignedOut(Struct, frozen=True):
    """The next thing that this terminal says to the host is a sign-in."""

    because: str


class SignInWanted(Struct, frozen=True):
    """The host asked for a new sign-in beside an answer: after the current transaction, never amid a settlement."""

    because: str


class TerminalKeysGiven(Struct, frozen=True):
    """The terminal's own 0800 was answered with the held keys of this generation (D26)."""

    generation: int


class SignOffStarted(Struct, frozen=True):
    """A sign-off is about to leave: the batch was closed and the acquirer wants it (reference 1.7, step 9)."""

    stan: Stan


class SignOffEnded(Struct, frozen=True):
    """The sign-off was answered, or not: a sign-in follows either way."""

    answered: bool


class DownloadWanted(Struct, frozen=True):
    """The host asks for a management message beside an answer (reference 1.1, header digit 6)."""

    function: str


class ManagementStarted(Struct, frozen=True):
    """A management message is about to leave: one that the host wants, or the terminal's own."""

    stan: Stan
    function: str
    for_terminal: bool


class ManagementEnded(Struct, frozen=True):
    """It was answered with this code, or was not (empty)."""

    code: str
    because: str


class ParametersTold(Struct, frozen=True):
    """The parameters that the host told, by name (reference 1.14)."""

    parameters: dict[str, str]


class EchoStarted(Struct, frozen=True):
    """An echo is about to leave; it has no STAN (reference 1.6)."""


class EchoEnded(Struct, frozen=True):
    """The echo was answered, or not."""

    answered: bool


# --- transactions ------------------------------------------------------------------------------------------------


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


class RequestRefused(Struct, frozen=True):
    """A terminal's request was answered without the host: nothing was sent."""

    request_id: RequestId | None
    refusal: str
    because: str


class AnswerHandedOver(Struct, frozen=True):
    """The approval was given to the terminal's connection, or the terminal went on (D16)."""

    request_id: RequestId


# --- reversals ---------------------------------------------------------------------------------------------------


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


class ReversalResolved(Struct, frozen=True):
    """A named person ended this, with a reason."""

    request_id: RequestId
    by: str
    reason: str


class OriginalRefusedInAdvance(Struct, frozen=True):
    """A tombstone: the terminal reversed a request that never came; if it comes, it is refused (D17)."""

    request_id: RequestId


# --- advices -----------------------------------------------------------------------------------------------------


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
    """The host will not have it: not sent again, shown, and in the upload of an unbalanced batch (reference 1.9)."""

    request_id: RequestId
    code: str


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


class AdviceResolved(Struct, frozen=True):
    """A named person ended this, with a reason: it is delivered no more, and counts no more."""

    request_id: RequestId
    by: str
    reason: str


# --- settlement --------------------------------------------------------------------------------------------------


class SettlementWanted(Struct, frozen=True):
    """A settlement is due for a cause other than the schedule."""

    cause: SettlementCause
    by: str = ""


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
    """The host refused these items: they stay visible and the upload goes on (D21)."""

    request_ids: tuple[RequestId, ...]
    cursor: int
    code: str


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


class TerminalClosed(Struct, frozen=True):
    """The terminal closed its own batch: its totals against our books of it (D25)."""

    terminal_batch: int
    theirs: Totals
    ours: Totals


class ItemDifference(StrEnum):
    """How one item of the terminal's upload differs from our books (D25)."""

    UNKNOWN_HERE = "unknown_here"
    NOT_COUNTED_HERE = "not_counted_here"
    AMOUNT = "amount"
    CARD = "card"
    GROUP = "group"
    COUNTED_HERE = "counted_here"
    """Its chip refused it, and our books have it approved."""


class ItemDiffers(Struct, frozen=True):
    """One item of the terminal's upload that is not as our books have it; `ours_minor`: None where we have nothing."""

    terminal_stan: Stan
    what: ItemDifference
    theirs_minor: Minor
    ours_minor: Minor | None
    request_id: RequestId | None


class ChipEndTold(Struct, frozen=True):
    """How a chip ended a transaction, as its terminal tells in its own close: its result, with the dialect's code for
    it, and its last words (hexadecimal, without card data)."""

    request_id: RequestId
    result: ChipResult
    code: str
    icc: str


class TerminalItemsCompared(Struct, frozen=True):
    """One upload message of the terminal's own close: its trace numbers, and every difference from our books (D25)."""

    terminal_batch: int
    stans: tuple[Stan, ...]
    differing: tuple[ItemDiffers, ...]


class TerminalUploadEnded(Struct, frozen=True):
    """Its end message: the count it states, how many we saw, and what our unbalanced groups hold beside (D25)."""

    terminal_batch: int
    stated: int
    seen: int
    missing: tuple[RequestId, ...]


Record = (
    LaneOpened
    | SignInStarted
    | SignedIn
    | SignInFailed
    | SignedOut
    | SignInWanted
    | TerminalKeysGiven
    | SignOffStarted
    | SignOffEnded
    | DownloadWanted
    | ManagementStarted
    | ManagementEnded
    | ParametersTold
    | EchoStarted
    | EchoEnded
    | AuthorisationStarted
    | Approved
    | Declined
    | OutcomeUnknown
    | NotSent
    | RefundInDoubt
    | RefundRepeated
    | RefundResolved
    | LateAnswer
    | RequestRefused
    | AnswerHandedOver
    | ReversalOwed
    | ReversalAttempted
    | ReversalUnanswered
    | ReversalRefused
    | ReversalNeedsSignIn
    | ReversalAcknowledged
    | ReversalStuck
    | ReversalConflict
    | ReversalReopened
    | ReversalRetryWanted
    | ReversalResolved
    | OriginalRefusedInAdvance
    | AdviceStored
    | AmountReplaced
    | AdviceAttempted
    | AdviceUnanswered
    | AdviceNeedsSignIn
    | AdviceAcknowledged
    | AdviceRefused
    | AdviceStuck
    | AdviceSettled
    | AdviceCarriedOver
    | AdviceCancelled
    | AdviceRetryWanted
    | AdviceResolved
    | SettlementWanted
    | SettlementPostponed
    | SettlementDeferred
    | SettlementHeld
    | SettlementApproved
    | SettlementBegun
    | BatchSkipped
    | ReversalCarriedOver
    | TotalsAsked
    | TotalsUnanswered
    | TotalsNotSent
    | TotalsAnswered
    | SettlementUnconfirmed
    | SettlementDecided
    | UploadSent
    | UploadAcknowledged
    | UploadUnanswered
    | UploadSetAside
    | TrailerSent
    | TrailerUnanswered
    | BatchClosed
    | TerminalClosed
    | TerminalItemsCompared
    | TerminalUploadEnded
    | ChipEndTold
)
