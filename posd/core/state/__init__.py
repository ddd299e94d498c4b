"""The state of one lane: what is true of one terminal. Only `fold.apply` makes a new one.

Everything is frozen, so that a draft is a reference and to discard it is to forget it (D1). No monotonic time and no
setting stands here (D5): this is what a restart finds again.
"""
# ruff: noqa: I001 (one import for each file, not one for each name)

from msgspec import Struct, field

from posd.core.proposed import Proposal
from posd.core.state.batch import (
    EARLIER_MAX as EARLIER_MAX,
    Batch as Batch,
    LastClose as LastClose,
    Settlement as Settlement,
    TerminalUpload as TerminalUpload,
)
from posd.core.state.gap import (
    ASKED_OF_THE_GAP_MAX as ASKED_OF_THE_GAP_MAX,
    Gap as Gap,
)
from posd.core.state.owed import (
    HISTORY_MAX as HISTORY_MAX,
    Advice as Advice,
    Attempt as Attempt,
    Reversal as Reversal,
)
from posd.core.state.session import (
    TERMINAL_KEYS_MAX as TERMINAL_KEYS_MAX,
    DownloadFailure as DownloadFailure,
    Exchange as Exchange,
    Session as Session,
)
from posd.core.state.statuses import (
    NOT_TAKEN as NOT_TAKEN,
    RESOLVABLE_ADVICES as RESOLVABLE_ADVICES,
    UNDELIVERED as UNDELIVERED,
    UNENDED as UNENDED,
    AdviceStatus as AdviceStatus,
    ChipResult as ChipResult,
    CloseOutcome as CloseOutcome,
    Evidence as Evidence,
    ReversalStatus as ReversalStatus,
    Settled as Settled,
    SettlementCause as SettlementCause,
    SettlementPhase as SettlementPhase,
    TxnStatus as TxnStatus,
)
from posd.core.state.transaction import (
    ChipEnd as ChipEnd,
    FoundOut as FoundOut,
    Transaction as Transaction,
)
from posd.values import RequestId, Stan, Tid

TOMBSTONES_MAX = 256
"""So many of the newest requests that were refused in advance are remembered (D17)."""


class State(Struct, frozen=True):
    """All that is true of one terminal. `stan` is the next to be used; `closed` keeps the last closed batches (D33).

    `unconfirmed` are approvals of which it is not known that the terminal has them (D16). `refused` are requests that
    were answered without being sent, each with its refusal: asked again, they are answered so again (D6). `wanted`:
    management messages that the host asks for; `managing`: the one of those that is in flight.
    """

    tid: Tid
    stan: Stan
    batch: Batch
    session: Session = Session()
    transactions: dict[RequestId, Transaction] = field(default_factory=dict)
    closed: dict[RequestId, Transaction] = field(default_factory=dict)
    reversals: dict[RequestId, Reversal] = field(default_factory=dict)
    advices: dict[RequestId, Advice] = field(default_factory=dict)
    unconfirmed: tuple[RequestId, ...] = ()
    tombstones: tuple[RequestId, ...] = ()
    refused: dict[RequestId, str] = field(default_factory=dict)
    collided: tuple[RequestId, ...] = ()
    exchange: Exchange | None = None
    settlement: Settlement = Settlement()
    wanted: tuple[str, ...] = ()
    managing: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    parameters_at_ms: int | None = None
    download_failed: DownloadFailure | None = None
    last_close: LastClose | None = None
    out_of_balance: LastClose | None = None
    """The newest close whose totals did not agree, until one after it is agreed."""
    terminal_upload: TerminalUpload | None = None
    gap: Gap | None = None
    """This journal is a restored older one, and nobody has ended what is unknown since (restored.py)."""
    numbers_kept: dict[int, int] = field(default_factory=dict)
    """Closed batches whose card numbers can still be read: their identities, and when each was closed (D29)."""
    numbers_expiring: tuple[int, ...] = ()
    """Of those: the ones whose end is recorded, and of which it is not known yet that their data keys are gone."""
    proposals: dict[str, Proposal] = field(default_factory=dict)
    """What waits for a second person (proposals.py)."""

    def find(self, request_id: RequestId) -> Transaction | None:
        """The transaction in the open or one of the last closed batches."""
        return self.transactions.get(request_id) or self.closed.get(request_id)

    def numbers_gone(self, batch: int) -> bool:
        """Whether the card numbers of a batch, by its identity, must not be readable any more (retention.py)."""
        return batch in self.numbers_expiring or (batch < self.batch.identity and batch not in self.numbers_kept)

    def owed_requests(self) -> set[RequestId]:
        """Transactions of which anything is not over: what must outlive the close of its batch (D19, D33)."""
        owed = {of for of, reversal in self.reversals.items() if reversal.status in UNENDED}
        for advice in self.advices.values():
            if not self.is_over(advice):
                owed |= self.named_by(advice.request_id)
        return owed | {txn.request_id for txn in self.in_doubt()}

    def named_by(self, of: RequestId | None) -> set[RequestId]:
        """A request, and what it refers to down to the first: an advice names that at each attempt."""
        named = set[RequestId]()
        while of is not None and (txn := self.find(of)) is not None:
            named.add(of)
            of = txn.original
        return named

    def in_doubt(self) -> list[Transaction]:
        """Refunds of which nobody knows whether they happened (D13); oldest first."""
        every = (*self.closed.values(), *self.transactions.values())
        return [txn for txn in every if txn.status is TxnStatus.IN_DOUBT]

    def is_over(self, advice: Advice) -> bool:
        """The host need not take it any more, and no person has to look: a later one counts in place of a refused."""
        if advice.status in NOT_TAKEN:
            txn = self.find(advice.request_id)
            return txn is not None and txn.replaced_by is not None
        return advice.status not in UNDELIVERED

    def undelivered_advices(self) -> list[Advice]:
        """Advices that the host has not acknowledged: owed or stuck; oldest first."""
        return [advice for advice in self.advices.values() if advice.status in UNDELIVERED]

    def held(self) -> list[RequestId]:
        """What was owed in a backup, and waits for a person since it was restored; oldest first."""
        reversals = [rev.request_id for rev in self.unended_reversals() if rev.held]
        return [*reversals, *(advice.request_id for advice in self.undelivered_advices() if advice.held)]

    def unended_reversals(self) -> list[Reversal]:
        """Reversals that are still owed, stuck or in conflict; oldest first."""
        if not self.reversals:
            return []
        unended = [r for r in self.reversals.values() if r.status in UNENDED]
        return sorted(unended, key=lambda reversal: reversal.owed_at_ms)
