"""What happened: everything that the engine of a lane can be told. None of these lasts; records do.

`reply_to` names the door's memory of one message of the terminal, for answering it. `received_s` is the monotonic time
of receipt, from which the terminal's patience is counted (D17).
"""
# ruff: noqa: I001 (one import for each file, not one for each name)

from msgspec import Struct

from posd.core.events.asked import (
    OriginalPointer as OriginalPointer,
    RequestUnusable as RequestUnusable,
    ReversalRequested as ReversalRequested,
    TerminalEchoed as TerminalEchoed,
    TerminalManagement as TerminalManagement,
    TerminalSignedOff as TerminalSignedOff,
    TerminalSignInRequested as TerminalSignInRequested,
    TerminalTotalsGiven as TerminalTotalsGiven,
    TerminalUploaded as TerminalUploaded,
    TillConfirmed as TillConfirmed,
    TransactionRequested as TransactionRequested,
    UploadedItem as UploadedItem,
)
from posd.core.events.inside import (
    HandedOver as HandedOver,
    KeysDestroyed as KeysDestroyed,
    NumbersDue as NumbersDue,
)
from posd.core.events.line import (
    ExchangeLost as ExchangeLost,
    HostAnswered as HostAnswered,
    HostUnreadable as HostUnreadable,
    LinkDown as LinkDown,
    LinkUp as LinkUp,
    NeverLeft as NeverLeft,
    Restored as Restored,
    Started as Started,
    Tick as Tick,
)
from posd.core.events.people import (
    AdmitAfterRestore as AdmitAfterRestore,
    ApproveSettlement as ApproveSettlement,
    DecideSettlement as DecideSettlement,
    DownloadNow as DownloadNow,
    ResolveAdvice as ResolveAdvice,
    ResolveGap as ResolveGap,
    ResolveRefund as ResolveRefund,
    ResolveReversal as ResolveReversal,
    RetryAdvices as RetryAdvices,
    RetryReversals as RetryReversals,
    SetBatchNumber as SetBatchNumber,
    SettleNow as SettleNow,
    WithdrawProposal as WithdrawProposal,
)
from posd.values import RequestId
from posd.core.answers import ExchangeKind


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
