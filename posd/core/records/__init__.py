"""What is true from now on: the journal's vocabulary. One record is one fact; the state is folded from nothing else.

Records are written before anything leaves (rule 0) and never change their shape: a new shape is a new version with an
upcast in `posd/core/payload.py` (D34). They hold wall times, counts and the numbers that a decision used, never
settings, monotonic time or card data (D5). The wall time of a record is that of its row.
"""

from posd.core.records.advices import (
    AdviceAcknowledged as AdviceAcknowledged,
)
from posd.core.records.advices import (
    AdviceAttempted as AdviceAttempted,
)
from posd.core.records.advices import (
    AdviceCancelled as AdviceCancelled,
)
from posd.core.records.advices import (
    AdviceCarriedOver as AdviceCarriedOver,
)
from posd.core.records.advices import (
    AdviceNeedsSignIn as AdviceNeedsSignIn,
)
from posd.core.records.advices import (
    AdviceNotBooked as AdviceNotBooked,
)
from posd.core.records.advices import (
    AdviceRefused as AdviceRefused,
)
from posd.core.records.advices import (
    AdviceResolved as AdviceResolved,
)
from posd.core.records.advices import (
    AdviceRetryWanted as AdviceRetryWanted,
)
from posd.core.records.advices import (
    AdviceSettled as AdviceSettled,
)
from posd.core.records.advices import (
    AdviceStored as AdviceStored,
)
from posd.core.records.advices import (
    AdviceStuck as AdviceStuck,
)
from posd.core.records.advices import (
    AdviceUnanswered as AdviceUnanswered,
)
from posd.core.records.advices import (
    AmountReplaced as AmountReplaced,
)
from posd.core.records.proposals import (
    DecisionProposed as DecisionProposed,
)
from posd.core.records.proposals import (
    ProposalEnded as ProposalEnded,
)
from posd.core.records.restored import (
    GapResolved as GapResolved,
)
from posd.core.records.restored import (
    HostBatchFound as HostBatchFound,
)
from posd.core.records.restored import (
    LaneRestored as LaneRestored,
)
from posd.core.records.restored import (
    TerminalAdmitted as TerminalAdmitted,
)
from posd.core.records.retention import (
    NumbersDestroyed as NumbersDestroyed,
)
from posd.core.records.retention import (
    NumbersExpired as NumbersExpired,
)
from posd.core.records.reversals import (
    OriginalRefusedInAdvance as OriginalRefusedInAdvance,
)
from posd.core.records.reversals import (
    ReversalAcknowledged as ReversalAcknowledged,
)
from posd.core.records.reversals import (
    ReversalAttempted as ReversalAttempted,
)
from posd.core.records.reversals import (
    ReversalConflict as ReversalConflict,
)
from posd.core.records.reversals import (
    ReversalNeedsSignIn as ReversalNeedsSignIn,
)
from posd.core.records.reversals import (
    ReversalOwed as ReversalOwed,
)
from posd.core.records.reversals import (
    ReversalRefused as ReversalRefused,
)
from posd.core.records.reversals import (
    ReversalReopened as ReversalReopened,
)
from posd.core.records.reversals import (
    ReversalResolved as ReversalResolved,
)
from posd.core.records.reversals import (
    ReversalRetryWanted as ReversalRetryWanted,
)
from posd.core.records.reversals import (
    ReversalStuck as ReversalStuck,
)
from posd.core.records.reversals import (
    ReversalUnanswered as ReversalUnanswered,
)
from posd.core.records.session import (
    DownloadFailed as DownloadFailed,
)
from posd.core.records.session import (
    DownloadWanted as DownloadWanted,
)
from posd.core.records.session import (
    EchoEnded as EchoEnded,
)
from posd.core.records.session import (
    EchoStarted as EchoStarted,
)
from posd.core.records.session import (
    LaneOpened as LaneOpened,
)
from posd.core.records.session import (
    ManagementEnded as ManagementEnded,
)
from posd.core.records.session import (
    ManagementStarted as ManagementStarted,
)
from posd.core.records.session import (
    ParametersTold as ParametersTold,
)
from posd.core.records.session import (
    SignedIn as SignedIn,
)
from posd.core.records.session import (
    SignedOut as SignedOut,
)
from posd.core.records.session import (
    SignInFailed as SignInFailed,
)
from posd.core.records.session import (
    SignInStarted as SignInStarted,
)
from posd.core.records.session import (
    SignInWanted as SignInWanted,
)
from posd.core.records.session import (
    SignOffEnded as SignOffEnded,
)
from posd.core.records.session import (
    SignOffStarted as SignOffStarted,
)
from posd.core.records.session import (
    TerminalKeysGiven as TerminalKeysGiven,
)
from posd.core.records.settlement import (
    BatchClosed as BatchClosed,
)
from posd.core.records.settlement import (
    BatchNumberSet as BatchNumberSet,
)
from posd.core.records.settlement import (
    BatchSkipped as BatchSkipped,
)
from posd.core.records.settlement import (
    ReversalCarriedOver as ReversalCarriedOver,
)
from posd.core.records.settlement import (
    SettlementApproved as SettlementApproved,
)
from posd.core.records.settlement import (
    SettlementBegun as SettlementBegun,
)
from posd.core.records.settlement import (
    SettlementDecided as SettlementDecided,
)
from posd.core.records.settlement import (
    SettlementDeferred as SettlementDeferred,
)
from posd.core.records.settlement import (
    SettlementHeld as SettlementHeld,
)
from posd.core.records.settlement import (
    SettlementPostponed as SettlementPostponed,
)
from posd.core.records.settlement import (
    SettlementUnconfirmed as SettlementUnconfirmed,
)
from posd.core.records.settlement import (
    SettlementWanted as SettlementWanted,
)
from posd.core.records.settlement import (
    TotalsAnswered as TotalsAnswered,
)
from posd.core.records.settlement import (
    TotalsAsked as TotalsAsked,
)
from posd.core.records.settlement import (
    TotalsNotSent as TotalsNotSent,
)
from posd.core.records.settlement import (
    TotalsUnanswered as TotalsUnanswered,
)
from posd.core.records.settlement import (
    TrailerSent as TrailerSent,
)
from posd.core.records.settlement import (
    TrailerUnanswered as TrailerUnanswered,
)
from posd.core.records.settlement import (
    UploadAcknowledged as UploadAcknowledged,
)
from posd.core.records.settlement import (
    UploadSent as UploadSent,
)
from posd.core.records.settlement import (
    UploadSetAside as UploadSetAside,
)
from posd.core.records.settlement import (
    UploadUnanswered as UploadUnanswered,
)
from posd.core.records.terminal_close import (
    ChipEndTold as ChipEndTold,
)
from posd.core.records.terminal_close import (
    ItemDifference as ItemDifference,
)
from posd.core.records.terminal_close import (
    ItemDiffers as ItemDiffers,
)
from posd.core.records.terminal_close import (
    TerminalClosed as TerminalClosed,
)
from posd.core.records.terminal_close import (
    TerminalItemsCompared as TerminalItemsCompared,
)
from posd.core.records.terminal_close import (
    TerminalUploadEnded as TerminalUploadEnded,
)
from posd.core.records.transactions import (
    AnswerHandedOver as AnswerHandedOver,
)
from posd.core.records.transactions import (
    Approved as Approved,
)
from posd.core.records.transactions import (
    AuthorisationStarted as AuthorisationStarted,
)
from posd.core.records.transactions import (
    Declined as Declined,
)
from posd.core.records.transactions import (
    LateAnswer as LateAnswer,
)
from posd.core.records.transactions import (
    NotSent as NotSent,
)
from posd.core.records.transactions import (
    OutcomeUnknown as OutcomeUnknown,
)
from posd.core.records.transactions import (
    RefundInDoubt as RefundInDoubt,
)
from posd.core.records.transactions import (
    RefundRepeated as RefundRepeated,
)
from posd.core.records.transactions import (
    RefundResolved as RefundResolved,
)
from posd.core.records.transactions import (
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
