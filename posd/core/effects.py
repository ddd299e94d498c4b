"""What to do next. Sends become messages through the profile; effects are handed to bounded outboxes (D1, D2).

Nothing here is done before the records of the same draft are durable.
"""

from dataclasses import dataclass
from enum import StrEnum

from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult, Totals
from posd.core.state import Transaction
from posd.values import BatchNumber, Minor, RequestId, Stan


class Refusal(StrEnum):
    """Why a terminal's request is answered without the host; the profile has a code for each."""

    NOT_SENT = "not_sent"
    OUTCOME_UNKNOWN = "outcome_unknown"
    NO_ORIGINAL = "no_original"
    ALREADY_VOIDED = "already_voided"
    CARD_DIFFERS = "card_differs"
    AMOUNT_DIFFERS = "amount_differs"
    AMOUNT_INVALID = "amount_invalid"
    KEY_REUSED = "key_reused"
    REVERSED_IN_ADVANCE = "reversed_in_advance"
    SIGN_IN_FIRST = "sign_in_first"
    BLOCKED = "blocked"
    BATCH_FULL = "batch_full"
    BUSY = "busy"
    FENCED = "fenced"
    MALFORMED = "malformed"
    NOT_SUPPORTED = "not_supported"
    NOT_REVERSIBLE = "not_reversible"
    NOT_AUTHENTICATED = "not_authenticated"
    BAD_MAC = "bad_mac"
    UNKNOWN_TERMINAL = "unknown_terminal"


# --- sends to the host ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendSignIn:
    """0800."""

    stan: Stan
    batch_number: BatchNumber


@dataclass(frozen=True, slots=True)
class SendSignOff:
    """0820 with code 002."""

    stan: Stan
    batch_number: BatchNumber


@dataclass(frozen=True, slots=True)
class SendEcho:
    """0820 with code 301."""

    batch_number: BatchNumber


@dataclass(frozen=True, slots=True)
class SendTransaction:
    """A financial request. The vault has the card under the transaction's request id."""

    transaction: Transaction
    original: Transaction | None


@dataclass(frozen=True, slots=True)
class SendReversal:
    """0400 for `transaction`, with `reason` in field 39."""

    transaction: Transaction
    original: Transaction | None
    reason: str


@dataclass(frozen=True, slots=True)
class SendTotals:
    """0500."""

    stan: Stan
    batch_number: BatchNumber
    totals: Totals


@dataclass(frozen=True, slots=True)
class SendUpload:
    """0320 with up to eight records."""

    stan: Stan
    batch_number: BatchNumber
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True)
class SendTrailer:
    """0320, end of batch."""

    stan: Stan
    batch_number: BatchNumber
    uploaded: int
    balanced: bool


HostMessage = (
    SendSignIn | SendSignOff | SendEcho | SendTransaction | SendReversal | SendTotals | SendUpload | SendTrailer
)


@dataclass(frozen=True, slots=True)
class ToHost:
    """One message to the host, to be given to the line before `deadline_s` (monotonic) or never (D2)."""

    token: str
    kind: ExchangeKind
    message: HostMessage
    request_id: RequestId | None
    deadline_s: float


# --- answers to the terminal ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """The host's word on a transaction, or "00" for what we answer ourselves; the part that was approved (D15)."""

    facts: AnswerFacts
    request_id: RequestId | None = None
    approved_minor: Minor | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered without the host's word."""

    refusal: Refusal
    because: str
    request_id: RequestId | None = None


@dataclass(frozen=True, slots=True)
class SignInResult:
    """The held keys, as the host sent them (D26)."""

    wrapped_keys: str
    clock_offset_ms: int


@dataclass(frozen=True, slots=True)
class TotalsResult:
    """Our word on the terminal's totals, and our totals of its batch."""

    totals: Totals
    domestic: GroupResult
    foreign: GroupResult


@dataclass(frozen=True, slots=True)
class ToTerminal:
    """One answer to the message that the door knows as `reply_to`."""

    reply_to: str
    answer: Result | Refused | SignInResult | TotalsResult


# --- effects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a message back from the outbox if it has not been given to the line (D2)."""

    token: str


@dataclass(frozen=True, slots=True)
class ForgetCard:
    """The track, the PIN block and what else must not outlive the sending are no longer needed."""

    request_id: RequestId


@dataclass(frozen=True, slots=True)
class Alert:
    """Somebody must know. `facts` are safe to show."""

    event: str
    facts: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Note:
    """A line in the log."""

    event: str
    facts: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class CommandDone:
    """The answer to a person's command."""

    command_id: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A batch was closed: a good moment for a snapshot and for the anchor (D31, D33)."""


Effect = Withdraw | ForgetCard | Alert | Note | CommandDone | BatchEnded
