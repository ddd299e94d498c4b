"""What to do next. Sends become messages through the profile; effects are handed to bounded outboxes (D1, D2).

Nothing here is done before the records of the same draft are durable.
"""

from enum import StrEnum

from msgspec import Struct

from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult, Totals
from posd.core.state import ChipResult, Transaction
from posd.values import BatchNumber, Minor, Quiet, RequestId, Stan


class Refusal(StrEnum):
    """Why a terminal's request is answered without the host; the profile has a code for each."""

    NOT_SENT = "not_sent"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NO_ORIGINAL = "no_original"
    ALREADY_VOIDED = "already_voided"
    ALREADY_USED = "already_used"
    CARD_DIFFERS = "card_differs"
    AMOUNT_DIFFERS = "amount_differs"
    AMOUNT_INVALID = "amount_invalid"
    KEY_REUSED = "key_reused"
    NUMBER_TAKEN = "number_taken"
    REVERSED_IN_ADVANCE = "reversed_in_advance"
    SIGN_IN_FIRST = "sign_in_first"
    BLOCKED = "blocked"
    BATCH_FULL = "batch_full"
    BUSY = "busy"
    FENCED = "fenced"
    RESTORED = "restored"
    MALFORMED = "malformed"
    NOT_SUPPORTED = "not_supported"
    GO_ONLINE = "go_online"
    NOT_REVERSIBLE = "not_reversible"
    NOT_CONFIRMABLE = "not_confirmable"
    NOT_AUTHENTICATED = "not_authenticated"
    BAD_MAC = "bad_mac"
    UNKNOWN_TERMINAL = "unknown_terminal"


# --- sends to the host ---------------------------------------------------------------------------------------------


class SendSignIn(Struct, frozen=True):
    """0800."""

    stan: Stan
    batch_number: BatchNumber


class SendSignOff(Struct, frozen=True):
    """0820 with code 002."""

    stan: Stan
    batch_number: BatchNumber


class SendEcho(Struct, frozen=True):
    """0820 with code 301."""

    batch_number: BatchNumber


class SendTransaction(Struct, frozen=True):
    """A financial request. The vault has the card under the transaction's request id.

    `root`: what `original` is an adjustment of, at first; `original` itself where it is none.
    """

    transaction: Transaction
    original: Transaction | None
    root: Transaction | None = None


class SendReversal(Struct, frozen=True):
    """0400 for `transaction`, with `reason` in field 39; `icc`: what the terminal told of the chip since.

    `repeat`: one has left before.
    """

    transaction: Transaction
    original: Transaction | None
    reason: str
    icc: str = ""
    repeat: bool = False


class SendAdvice(Struct, frozen=True):
    """An advice, from its sealed facts; `original` is what it refers to as the host has it, where we know that.

    `root`: as in `SendTransaction`.
    """

    transaction: Transaction
    original: Transaction | None
    root: Transaction | None = None


class SendManagement(Struct, frozen=True):
    """0800 or 0820 by its `function`, with a `block` that goes on as it came, or with what a status upload tells."""

    stan: Stan
    batch_number: BatchNumber
    function: str
    block: str
    status: dict[str, str]


class SendTotals(Struct, frozen=True):
    """0500."""

    stan: Stan
    batch_number: BatchNumber
    totals: Totals


class SendUpload(Struct, frozen=True):
    """0320 with up to eight records, or with one that goes alone; `original` is what that one refers to.

    `root`: what it is an adjustment of, at first. `more`: others follow.
    """

    stan: Stan
    batch_number: BatchNumber
    transactions: tuple[Transaction, ...]
    original: Transaction | None = None
    root: Transaction | None = None
    more: bool = False


class SendChipDetail(Struct, frozen=True):
    """0320 with what a chip did in one transaction. `balanced`: both groups of the totals agree."""

    stan: Stan
    batch_number: BatchNumber
    transaction: Transaction
    result: ChipResult
    balanced: bool


class SendTrailer(Struct, frozen=True):
    """The end message (UnionPay 0320, NAC 0500/960000, which says the `totals` again)."""

    stan: Stan
    batch_number: BatchNumber
    uploaded: int
    balanced: bool
    totals: Totals = Totals()


HostMessage = (
    SendSignIn
    | SendSignOff
    | SendEcho
    | SendManagement
    | SendTransaction
    | SendReversal
    | SendAdvice
    | SendTotals
    | SendUpload
    | SendChipDetail
    | SendTrailer
)


class ToHost(Struct, frozen=True):
    """One message to the host, to be given to the line before `deadline_s` (monotonic) or never (D2)."""

    token: str
    kind: ExchangeKind
    message: HostMessage
    request_id: RequestId | None
    deadline_s: float


# --- answers to the terminal ---------------------------------------------------------------------------------------


class Result(Quiet, frozen=True):
    """The host's word on a transaction, or "00" for what we answer ourselves; the part that was approved (D15).

    `icc`: what the issuer says to the chip, as it came; empty where it is told again from what was kept of it.
    """

    facts: AnswerFacts
    request_id: RequestId | None = None
    approved_minor: Minor | None = None
    icc: str = ""


class Refused(Struct, frozen=True):
    """Answered without the host's word."""

    refusal: Refusal
    because: str
    request_id: RequestId | None = None


class SignInResult(Struct, frozen=True):
    """The held keys, as the host sent them (D26)."""

    wrapped_keys: str
    clock_offset_ms: int


class TotalsResult(Struct, frozen=True):
    """Our word on the terminal's totals, and our totals of its batch."""

    totals: Totals
    domestic: GroupResult
    foreign: GroupResult


class ManagementResult(Struct, frozen=True):
    """The host's word on the terminal's own management message, as it came."""

    code: str
    block: str


class ToTerminal(Struct, frozen=True):
    """One answer to the message that the door knows as `reply_to`."""

    reply_to: str
    answer: Result | Refused | SignInResult | TotalsResult | ManagementResult


# --- effects -------------------------------------------------------------------------------------------------------


class Withdraw(Struct, frozen=True):
    """Take a message back from the outbox if it has not been given to the line (D2)."""

    token: str


class ForgetCard(Struct, frozen=True):
    """The track, the PIN block and what else must not outlive the sending are no longer needed."""

    request_id: RequestId


class Alert(Struct, frozen=True):
    """Somebody must know. `facts` are safe to show."""

    event: str
    facts: dict[str, str | int]


class Note(Struct, frozen=True):
    """A line in the log."""

    event: str
    facts: dict[str, str | int]


class CommandDone(Struct, frozen=True):
    """The answer to a person's command."""

    command_id: str
    ok: bool
    text: str
    waits: bool = False
    """Noted, and not done: a second person has to say the same (proposals.py)."""


class BatchEnded(Struct, frozen=True):
    """A batch was closed: a good moment for a snapshot and for the anchor (D31, D33)."""


Effect = Withdraw | ForgetCard | Alert | Note | CommandDone | BatchEnded
