"""What happened: everything that the engine of a lane can be told. None of these lasts; records do.

`reply_to` names the door's memory of one message of the terminal, for answering it. `received_s` is the monotonic time
of receipt, from which the terminal's patience is counted (D17).
"""

from msgspec import Struct

from posd.core.answers import ExchangeKind, HostAnswer, Totals
from posd.core.rules import TxnKind
from posd.core.state import ChipEnd
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Who


class Started(Struct, frozen=True):
    """The journal has been replayed and the doors are about to open."""


class Tick(Struct, frozen=True):
    """A deadline has passed, or the schedule or the heartbeat woke us. Idempotent."""


class Restored(Struct, frozen=True):
    """The journal is a backup that has just been put in place, and an older one: what came after it is not in it.

    `since_ms`: the wall time of its last row. `next_stan`: the first number that cannot have been used since.
    """

    backup: str
    since_ms: int
    next_stan: Stan


class LinkUp(Struct, frozen=True):
    """The line to the host is open."""


class LinkDown(Struct, frozen=True):
    """The line to the host is closed, or could not be opened."""

    why: str


class ExchangeLost(Struct, frozen=True):
    """No answer will come to the frame with this token: its own connection ended, or could not be made."""

    token: str
    why: str


class NeverLeft(Struct, frozen=True):
    """Of the frame with this token no byte has left, and none will: the line is certain of it (D2)."""

    token: str
    why: str


class HostAnswered(Struct, frozen=True):
    """An answer arrived, was decoded and had its MAC checked."""

    answer: HostAnswer


class HostUnreadable(Struct, frozen=True):
    """Something arrived for this terminal that is not an answer. What could be read of it is given."""

    because: str
    kind: ExchangeKind | None = None
    stan: Stan | None = None


class OriginalPointer(Struct, frozen=True):
    """How a terminal names an earlier transaction: by RRN, by its own batch and trace, or by approval code and date
    MMDD (fields 37, 61 and 38)."""

    rrn: str | None
    terminal_batch: int | None
    terminal_stan: Stan | None
    request_id: RequestId | None = None
    """How a till names it; then nothing else counts."""
    approval_code: str | None = None
    date: str | None = None
    invoice: int | None = None
    """The invoice number that it was given (reference 2.4); it goes with `rrn` or stands alone."""


class TransactionRequested(Struct, frozen=True):
    """A terminal asks for a financial transaction."""

    request_id: RequestId
    kind: TxnKind
    amount_minor: Minor
    terminal_batch: int
    terminal_stan: Stan
    fingerprint: str
    entry_mode: str
    card: CardRef | None
    original: OriginalPointer | None
    has_pin: bool
    reply_to: str
    received_s: float
    options: str = ""
    """What the dialect must say again in a reversal or an upload (UnionPay: 60.3 to 60.7, of a refund its original)."""
    partial_asked: bool = False
    """The terminal can take an approval of a part (D15)."""
    leaves_once: bool = False
    """It carries a PIN block or encrypted tracks: never sent twice, whatever happens (D12)."""
    tracks_encrypted: bool = False
    """The terminal encrypted its tracks, under the keys that it was given (D26)."""
    reference: str = ""
    """The till's own name for it."""
    tip_minor: Minor = Minor(0)
    """The part of the amount that is a tip."""
    invoice: int = 0
    """The terminal's invoice number (reference 2.4, field 62); 0 where the dialect has none."""
    chip: bool = False
    """It carries what a chip said."""
    from_till: bool = False
    """It came through the JSON door: its approval may have to be confirmed (D16)."""


class TillConfirmed(Struct, frozen=True):
    """A till says that it has the approval of this request (D16)."""

    request_id: RequestId
    reply_to: str


class ReversalRequested(Struct, frozen=True):
    """A terminal's own 0400: `original` is the request id that its original had (D17)."""

    original: RequestId
    amount_minor: Minor
    reason: str
    reply_to: str
    icc: str = ""
    """What it tells of the chip, hexadecimal, without card data."""
    chip_refused: bool = False
    """And that says that the chip refused; the `reason` alone may as well mean a printer without paper."""
    or_original: RequestId | None = None
    """The other id that its original may have had, where the dialect's 0400 does not tell which of both it is."""
    card: str | None = None
    """The keyed digest of the card number, where it is told."""


class TerminalSignInRequested(Struct, frozen=True):
    """A terminal's 0800. `terminal_stan`: its own trace number, where it says one."""

    reply_to: str
    received_s: float
    terminal_stan: Stan | None = None


class TerminalSignedOff(Struct, frozen=True):
    """A terminal's 0820 with code 002."""

    reply_to: str


class TerminalEchoed(Struct, frozen=True):
    """A terminal's 0820 with code 301."""

    reply_to: str


class TerminalManagement(Struct, frozen=True):
    """A terminal's 0800 or 0820 that is for the host to answer: `function` is the dialect's name for it.

    `block`: field 62, hexadecimal, as it came.
    """

    function: str
    block: str
    reply_to: str
    received_s: float


class TerminalTotalsGiven(Struct, frozen=True):
    """A terminal's 0500: the totals of its own batch (D25).

    `terminal_stan`: its own number of it, where its other requests do not tell their batch.
    """

    terminal_batch: int
    totals: Totals
    reply_to: str
    terminal_stan: Stan | None = None


class UploadedItem(Struct, frozen=True):
    """One transaction as the terminal's own upload tells it. `card`: the keyed digest of its number, if it was told.

    `foreign`: the group that the terminal counted it in; None: the message does not say. `chip`: it tells how the chip
    ended it, and is no record of money.
    """

    terminal_stan: Stan
    amount_minor: Minor
    card: str | None = None
    foreign: bool | None = None
    chip: ChipEnd | None = None


class TerminalUploaded(Struct, frozen=True):
    """A terminal's 0320: accepted and compared (D25); the money is settled from our books, not from its.

    `items` of an upload message; `stated`: the count that the end message gives.
    """

    terminal_batch: int
    reply_to: str
    items: tuple[UploadedItem, ...] = ()
    stated: int | None = None


class RequestUnusable(Struct, frozen=True):
    """A terminal's message was read and cannot be served. `refusal` is a `effects.Refusal` value."""

    refusal: str
    because: str
    reply_to: str
    request_id: RequestId | None = None


class EncodingFailed(Struct, frozen=True):
    """What we wanted to send cannot be said in this dialect: its draft was discarded (D1).

    `during` is the event that the discarded draft came from: it did happen, and is taken up again here, so that it is
    neither lost nor handled twice. `Draft.cannot_encode` fills it in. `for_now`: nothing is wrong with the message.
    `at_fault`: of an upload, the item that cannot be said, where that is known.
    """

    kind: ExchangeKind
    request_id: RequestId | None
    because: str
    during: "Event | None" = None
    for_now: bool = False
    at_fault: RequestId | None = None


class HandedOver(Struct, frozen=True):
    """The answer to this request was given to the terminal's connection."""

    request_id: RequestId


class NumbersDue(Struct, frozen=True):
    """Card numbers of batches that were closed before this have been kept for `kept_days`; the daemon vouches for the
    time."""

    closed_before_ms: int
    kept_days: int


class KeysDestroyed(Struct, frozen=True):
    """The data keys of these batches, by identity, are gone from every folder: `files` files, copies included."""

    batches: tuple[int, ...]
    key_ids: tuple[str, ...]
    files: int


class SettleNow(Struct, frozen=True):
    """A person asks for a settlement."""

    command_id: str
    by: str
    who: Who | None = None


class RetryReversals(Struct, frozen=True):
    """A person asks for the next attempt now; None: of every reversal that is owed or stuck."""

    command_id: str
    by: str
    request_id: RequestId | None
    who: Who | None = None


class ResolveReversal(Struct, frozen=True):
    """A named person ends a reversal, with a reason."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    who: Who | None = None


class RetryAdvices(Struct, frozen=True):
    """A person asks for the next attempt now; None: of every advice that is owed or stuck."""

    command_id: str
    by: str
    request_id: RequestId | None
    who: Who | None = None


class ResolveAdvice(Struct, frozen=True):
    """A named person ends an advice, with a reason."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    who: Who | None = None


class ResolveRefund(Struct, frozen=True):
    """A named person says whether a refund in doubt happened (D13)."""

    command_id: str
    by: str
    reason: str
    request_id: RequestId
    happened: bool
    who: Who | None = None


class ApproveSettlement(Struct, frozen=True):
    """A named person lets a held settlement begin; `batch` is the host's number that they mean, or None (D23)."""

    command_id: str
    by: str
    reason: str
    batch: int | None
    who: Who | None = None
    up_to_minor: int | None = None
    """The first of two people lets it grow to this before the second comes; None: not at all."""


class DecideSettlement(Struct, frozen=True):
    """A named person says whether the host closed an unconfirmed batch (D20)."""

    command_id: str
    by: str
    reason: str
    closed: bool
    who: Who | None = None


class WithdrawProposal(Struct, frozen=True):
    """A named person takes back what waits for a second one; `about`: its request, or None for the settlement."""

    command_id: str
    by: str
    reason: str
    about: RequestId | None
    who: Who | None = None


class AdmitAfterRestore(Struct, frozen=True):
    """A named person says that no terminal and no till asks again for what it asked before the restore.

    `terminal_stan`: the last trace number that the terminal used before; None: everything is new. `number`: the batch
    that the host has open, where it does not say so itself.
    """

    command_id: str
    by: str
    reason: str
    terminal_stan: Stan | None
    number: BatchNumber | None
    who: Who | None = None


class ResolveGap(Struct, frozen=True):
    """A named person ends what is not known since a backup was restored: it has been reconciled."""

    command_id: str
    by: str
    reason: str
    who: Who | None = None


class SetBatchNumber(Struct, frozen=True):
    """A named person gives the open batch another number (D7)."""

    command_id: str
    by: str
    reason: str
    number: BatchNumber
    who: Who | None = None


class DownloadNow(Struct, frozen=True):
    """A person wants the host's parameters asked for now."""

    command_id: str
    by: str
    who: Who | None = None


Command = (
    SettleNow
    | DownloadNow
    | RetryReversals
    | ResolveReversal
    | RetryAdvices
    | ResolveAdvice
    | ResolveRefund
    | ApproveSettlement
    | DecideSettlement
    | AdmitAfterRestore
    | ResolveGap
    | SetBatchNumber
    | WithdrawProposal
)
"""What a person asks for; each has the `command_id` under which it acts once (D36). `by` is the name that was typed,
`who` whom this machine knows to have asked."""

Event = (
    Started
    | Restored
    | Tick
    | LinkUp
    | LinkDown
    | ExchangeLost
    | NeverLeft
    | HostAnswered
    | HostUnreadable
    | TransactionRequested
    | TillConfirmed
    | ReversalRequested
    | TerminalSignInRequested
    | TerminalSignedOff
    | TerminalEchoed
    | TerminalManagement
    | TerminalTotalsGiven
    | TerminalUploaded
    | RequestUnusable
    | EncodingFailed
    | HandedOver
    | NumbersDue
    | KeysDestroyed
    | SettleNow
    | DownloadNow
    | RetryReversals
    | ResolveReversal
    | RetryAdvices
    | ResolveAdvice
    | ResolveRefund
    | ApproveSettlement
    | DecideSettlement
    | AdmitAfterRestore
    | ResolveGap
    | SetBatchNumber
    | WithdrawProposal
)
