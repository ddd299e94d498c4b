"""What is true from now on: the journal's vocabulary. One record is one fact; the state is folded from nothing else.

Records are written before anything leaves (rule 0) and never change their shape: a new shape is a new version with an
upcast in `posd/core/payload.py` (D34). They hold wall times, counts and the numbers that a decision used, never
settings, monotonic time or card data (D5). The wall time of a record is that of its row.
"""
# ruff: noqa: I001 (one import for each file, not one for each name)

from posd.core.records.advices import (
    AdviceAcknowledged as AdviceAcknowledged,
    AdviceAttempted as AdviceAttempted,
    AdviceCancelled as AdviceCancelled,
    AdviceCarriedOver as AdviceCarriedOver,
    AdviceNeedsSignIn as AdviceNeedsSignIn,
    AdviceNotBooked as AdviceNotBooked,
    AdviceRefused as AdviceRefused,
    AdviceResolved as AdviceResolved,
    AdviceRetryWanted as AdviceRetryWanted,
    AdviceSettled as AdviceSettled,
    AdviceStored as AdviceStored,
    AdviceStuck as AdviceStuck,
    AdviceUnanswered as AdviceUnanswered,
    AmountReplaced as AmountReplaced,
)
from posd.core.records.proposals import (
    DecisionProposed as DecisionProposed,
    ProposalEnded as ProposalEnded,
)
from posd.core.records.restored import (
    GapResolved as GapResolved,
    HostBatchFound as HostBatchFound,
    LaneRestored as LaneRestored,
    TerminalAdmitted as TerminalAdmitted,
)
from posd.core.records.retention import (
    NumbersDestroyed as NumbersDestroyed,
    NumbersExpired as NumbersExpired,
)
from posd.core.records.reversals import (
    OriginalRefusedInAdvance as OriginalRefusedInAdvance,
    ReversalAcknowledged as ReversalAcknowledged,
    ReversalAttempted as ReversalAttempted,
    ReversalConflict as ReversalConflict,
    ReversalNeedsSignIn as ReversalNeedsSignIn,
    ReversalOwed as ReversalOwed,
    ReversalRefused as ReversalRefused,
    ReversalReopened as ReversalReopened,
    ReversalResolved as ReversalResolved,
    ReversalRetryWanted as ReversalRetryWanted,
    ReversalStuck as ReversalStuck,
    ReversalUnanswered as ReversalUnanswered,
)
from posd.core.records.session import (
    DownloadFailed as DownloadFailed,
    DownloadWanted as DownloadWanted,
    EchoEnded as EchoEnded,
    EchoStarted as EchoStarted,
    LaneOpened as LaneOpened,
    ManagementEnded as ManagementEnded,
    ManagementStarted as ManagementStarted,
    ParametersTold as ParametersTold,
    SignedIn as SignedIn,
    SignedOut as SignedOut,
    SignInFailed as SignInFailed,
    SignInStarted as SignInStarted,
    SignInWanted as SignInWanted,
    SignOffEnded as SignOffEnded,
    SignOffStarted as SignOffStarted,
    TerminalKeysGiven as TerminalKeysGiven,
)
from posd.core.records.settlement import (
    BatchClosed as BatchClosed,
    BatchNumberSet as BatchNumberSet,
    BatchSkipped as BatchSkipped,
    ReversalCarriedOver as ReversalCarriedOver,
    SettlementApproved as SettlementApproved,
    SettlementBegun as SettlementBegun,
    SettlementDecided as SettlementDecided,
    SettlementDeferred as SettlementDeferred,
    SettlementHeld as SettlementHeld,
    SettlementPostponed as SettlementPostponed,
    SettlementUnconfirmed as SettlementUnconfirmed,
    SettlementWanted as SettlementWanted,
    TotalsAnswered as TotalsAnswered,
    TotalsAsked as TotalsAsked,
    TotalsNotSent as TotalsNotSent,
    TotalsUnanswered as TotalsUnanswered,
    TrailerSent as TrailerSent,
    TrailerUnanswered as TrailerUnanswered,
    UploadAcknowledged as UploadAcknowledged,
    UploadSent as UploadSent,
    UploadSetAside as UploadSetAside,
    UploadUnanswered as UploadUnanswered,
)
from posd.core.records.terminal_close import (
    ChipEndTold as ChipEndTold,
    ItemDifference as ItemDifference,
    ItemDiffers as ItemDiffers,
    TerminalClosed as TerminalClosed,
    TerminalItemsCompared as TerminalItemsCompared,
    TerminalUploadEnded as TerminalUploadEnded,
)
from posd.core.records.transactions import (
    AnswerHandedOver as AnswerHandedOver,
    Approved as Approved,
    AuthorisationStarted as AuthorisationStarted,
    Declined as Declined,
    LateAnswer as LateAnswer,
    NotSent as NotSent,
    OutcomeUnknown as OutcomeUnknown,
    RefundInDoubt as RefundInDoubt,
    RefundRepeated as RefundRepeated,
    RefundResolved as RefundResolved,
    RequestRefused as RequestRefused,
)

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
    | DownloadFailed
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
    | AdviceNotBooked
    | AdviceStuck
    | AdviceSettled
    | AdviceCarriedOver
    | AdviceCancelled
    | AdviceRetryWanted
    | AdviceResolved
    | BatchNumberSet
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
    | LaneRestored
    | HostBatchFound
    | TerminalAdmitted
    | GapResolved
    | NumbersExpired
    | NumbersDestroyed
    | DecisionProposed
    | ProposalEnded
)
