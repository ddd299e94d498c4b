"""The state of one lane: what is true of one terminal. Only `fold.apply` makes a new one.

Everything is frozen, so that a draft is a reference and to discard it is to forget it (D1). No monotonic time and no
setting stands here (D5): this is what a restart finds again.
"""

from enum import StrEnum

from msgspec import Struct, field

from posd.core.answers import AnswerFacts, ExchangeKind, GroupResult, HostTotals, Totals
from posd.core.proposed import Proposal
from posd.core.rules import TxnKind, Why
from posd.values import BatchNumber, CardRef, Minor, RequestId, Stan, Tid


class TxnStatus(StrEnum):
    """The statuses of `transactions.py`."""

    SENT = "sent"
    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    REVERSED = "reversed"
    RESOLVED = "resolved"
    IN_DOUBT = "in_doubt"
    NOT_DONE = "not_done"
    STORED = "stored"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    NOT_SENT = "not_sent"


class ReversalStatus(StrEnum):
    """The statuses of `reversals.py`. OWED, STUCK and CONFLICT are unended: nothing drops them."""

    OWED = "owed"
    STUCK = "stuck"
    CONFLICT = "conflict"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class AdviceStatus(StrEnum):
    """The statuses of `advices.py`. OWED and STUCK are unended: nothing drops them."""

    OWED = "owed"
    STUCK = "stuck"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"
    """Refused, and the host may have it all the same (D14)."""
    DONE = "done"
    CANCELLED = "cancelled"
    RESOLVED = "resolved"


UNDELIVERED = frozenset({AdviceStatus.OWED, AdviceStatus.STUCK})

NOT_TAKEN = frozenset({AdviceStatus.REFUSED, AdviceStatus.DOUBTFUL})
"""The host said no: not sent again, counted, and for a person to look at."""

TOMBSTONES_MAX = 256
"""So many of the newest requests that were refused in advance are remembered (D17)."""

EARLIER_MAX = 500
"""So many requests of closed batches, beside those of the last one, can still be answered from the state (D6, D33)."""

UNENDED = frozenset({ReversalStatus.OWED, ReversalStatus.STUCK, ReversalStatus.CONFLICT})


class SettlementPhase(StrEnum):
    """The phases of `settlement.py`."""

    OPEN = "open"
    DRAINING = "draining"
    TOTALS = "totals"
    UPLOADING = "uploading"
    TRAILER = "trailer"
    UNCONFIRMED = "unconfirmed"


class CloseOutcome(StrEnum):
    """How a batch was closed."""

    AGREED = "agreed"
    OUT_OF_BALANCE = "out_of_balance"
    UNCONFIRMED = "unconfirmed"
    EMPTY = "empty"


class SettlementCause(StrEnum):
    """What made a settlement due."""

    SCHEDULE = "schedule"
    OPERATOR = "operator"
    TERMINAL = "terminal"
    HOST_BATCH_CHANGED = "host_batch_changed"
    CAPACITY = "capacity"


class Evidence(StrEnum):
    """How the outcome of a refund in doubt was found out (D13)."""

    PERSON = "person"
    LATE_ANSWER = "late_answer"
    REPEAT = "repeat"
    RECONCILIATION = "reconciliation"


class Settled(StrEnum):
    """How the host was found to have an advice that it had not acknowledged."""

    UPLOAD = "upload"
    TOTALS = "totals"


class ChipResult(StrEnum):
    """How the chip ended a transaction that the host approved (reference 1.7, record types 5 and 6)."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNPROVEN = "unproven"
    """It accepted, although it could not prove that the approval was its issuer's."""


class ChipEnd(Struct, frozen=True):
    """What the terminal told of the end: the dialect's code for it, and the chip's last words (hexadecimal)."""

    result: ChipResult
    code: str
    icc: str


class FoundOut(Struct, frozen=True):
    """What ended a doubt: it happened or not, how that is known, and who said so where a person did."""

    happened: bool
    how: Evidence
    at_ms: int
    by: str = ""
    reason: str = ""


class Transaction(Struct, frozen=True):
    """One financial request that left, or was about to leave, for the host.

    `batch_number` and `stan` are those it was sent with; the `terminal_` ones are the terminal's own. `secret` facts
    (card number, expiry) are with the vault under `request_id`, not here. `approved_minor` is set where the host
    approved a part (D15). `unmaced`: its decline had no MAC (D10). `repeated`: a refund that left twice (D13).
    `reference` and `tip_minor` are a till's; `confirm`: its approval has to be confirmed, or it is reversed (D16).
    `replaced_by`: an adjustment or tip whose amount counts in place of this one, or a void because of which neither
    counts. `invoice`: the terminal's number of it (reference 2.4), 0 where the dialect has none.
    `over`: its terminal has closed its own batch since, with this in it (D25).
    `of_foreign`: an advice about what is in the foreign group. `chip`: a chip took part, and what it did is uploaded;
    `chip_end`: what its terminal told of it.
    """

    request_id: RequestId
    kind: TxnKind
    status: TxnStatus
    amount_minor: Minor
    stan: Stan
    batch: int
    batch_number: BatchNumber
    terminal_batch: int
    terminal_stan: Stan
    at_ms: int
    fingerprint: str
    entry_mode: str
    options: str = ""
    card: CardRef | None = None
    original: RequestId | None = None
    facts: AnswerFacts | None = None
    why: Why | None = None
    approval_seen: bool = False
    handed_over: bool = False
    partial_asked: bool = False
    approved_minor: Minor | None = None
    unmaced: bool = False
    repeated: bool = False
    found_out: "FoundOut | None" = None
    replaced_by: RequestId | None = None
    invoice: int = 0
    over: bool = False
    of_foreign: bool = False
    reference: str = ""
    tip_minor: Minor = Minor(0)
    confirm: bool = False
    chip: bool = False
    chip_end: ChipEnd | None = None

    @property
    def counted_minor(self) -> Minor:
        """What the totals and the upload say of it: the approved amount, else the requested one (D15)."""
        return self.amount_minor if self.approved_minor is None else self.approved_minor

    @property
    def foreign(self) -> bool:
        """In the foreign group of the totals: the answer named a scheme, and not CUP (reference 1.5, 1.6).

        Of an advice whose answer named none, or that has none yet: as what it is about.
        """
        scheme = (self.facts.scheme or "").strip() if self.facts else ""
        return scheme != "CUP" if scheme else self.of_foreign


HISTORY_MAX = 16
"""So many of the newest attempts of a reversal are remembered with their outcome; the journal has all of them."""


class Attempt(Struct, frozen=True):
    """One 0400 or advice that left. `reason`: field 39 of a 0400. `code`: the host's answer; `because`: why none
    counts.

    Both None: its answer is waited for.
    """

    at_ms: int
    reason: str
    code: str | None = None
    because: Why | None = None


class Reversal(Struct, frozen=True):
    """A reversal that is or was owed for the transaction `request_id`.

    `reason` is what the next attempt says in field 39. `unanswered` counts attempts of ours that no answer followed:
    only then may 12 and 25 acknowledge what was approved (D11). `unsayable`: why it cannot be encoded (D1). `icc`:
    what the terminal's own reversal told of the chip. `held`: it was owed in a backup, and nobody knows what became of
    it since: it waits for a person (restored.py).
    """

    request_id: RequestId
    why: Why
    reason: str
    owed_at_ms: int
    status: ReversalStatus = ReversalStatus.OWED
    attempts: int = 0
    unanswered: int = 0
    refused: int = 0
    last_code: str | None = None
    last_attempt_ms: int | None = None
    signed_in_for: bool = False
    flagged: bool = False
    carried_over: bool = False
    resolved_by: str | None = None
    resolved_reason: str | None = None
    history: tuple[Attempt, ...] = ()
    unsayable: str = ""
    icc: str = ""
    held: bool = False


class Advice(Struct, frozen=True):
    """The delivery of the advice `request_id`; what it says is its transaction.

    `unanswered` counts attempts that the host may have acted on although no trustworthy answer came: only then does 94
    mean done (D14). `settled`: how the host was found to have it. `unsayable`: why it cannot be encoded (D1). `held`:
    as of a reversal.
    """

    request_id: RequestId
    stored_at_ms: int
    status: AdviceStatus = AdviceStatus.OWED
    attempts: int = 0
    unanswered: int = 0
    last_code: str | None = None
    last_attempt_ms: int | None = None
    signed_in_for: bool = False
    wanted: bool = False
    carried_over: bool = False
    settled: Settled | None = None
    resolved_by: str | None = None
    resolved_reason: str | None = None
    history: tuple[Attempt, ...] = ()
    unsayable: str = ""
    held: bool = False


TERMINAL_KEYS_MAX = 2
"""The newest block, and the one before it: the answer that brought the newest may have been lost."""


class Session(Struct, frozen=True):
    """Signed in or not, and the keys as the host sent them, under the TMK (D26).

    `terminal_keys` are the last blocks that were given to the terminal, newest first: it signs its messages with what
    it has, whatever has been agreed with the host since. `renewal_wanted`: the host asked for a new sign-in beside an
    answer; the present keys hold until then.
    """

    signed_in: bool = False
    wrapped_keys: str | None = None
    generation: int = 0
    signed_in_at_ms: int | None = None
    clock_offset_ms: int | None = None
    terminal_generation: int = 0
    host_batch: BatchNumber | None = None
    terminal_keys: tuple[str, ...] = ()
    out_because: str = "never signed in"
    renewal_wanted: bool = False


class Exchange(Struct, frozen=True):
    """The one host exchange in flight. `request_id` is the transaction's, for transactions and reversals."""

    kind: ExchangeKind
    stan: Stan | None
    started_at_ms: int
    request_id: RequestId | None = None
    for_settlement: bool = False


class Batch(Struct, frozen=True):
    """The open batch: `identity` is ours and only grows, `number` is the host's (D7).

    `unknown`: the host may have more in it than these books, because of a restore (restored.py).
    """

    identity: int
    number: BatchNumber
    opened_at_ms: int
    unknown: bool = False


class Settlement(Struct, frozen=True):
    """Where the close of the open batch stands.

    `asked`, `unanswered` and `refused` count the attempts of the current message (totals, one upload, end message):
    after an unanswered one the host may have acted on it, after a refused one it has not (D14).
    """

    phase: SettlementPhase = SettlementPhase.OPEN
    wanted: SettlementCause | None = None
    cause: SettlementCause | None = None
    due_ms: int | None = None
    begun_at_ms: int | None = None
    stan: Stan | None = None
    totals: Totals | None = None
    host: HostTotals | None = None
    asked: int = 0
    unanswered: int = 0
    refused: int = 0
    items: tuple[RequestId, ...] = ()
    uploaded: int = 0
    in_flight: int = 0
    set_aside: tuple[RequestId, ...] = ()
    trailer_stan: Stan | None = None
    postponed_because: str = ""
    held_minor: int | None = None
    approved_by: str | None = None
    deferred_due_ms: int | None = None
    alone_until: int = 0
    """Up to this item each is uploaded alone: together they were refused again and again (D21)."""


class LastClose(Struct, frozen=True):
    """The newest close: what a due moment is judged against (D18).

    `judged_ms` is the begin of the newest close that was no mere skip: a host judged the clock before it (D24).
    """

    batch: int
    batch_number: BatchNumber
    begun_at_ms: int
    closed_at_ms: int
    outcome: CloseOutcome
    totals: Totals
    carried_over: int = 0
    judged_ms: int = 0


class DownloadFailure(Struct, frozen=True):
    """What the host wants asked, or a person, and could not be had yet; `times` in a row."""

    function: str
    because: str
    at_ms: int
    times: int


class TerminalUpload(Struct, frozen=True):
    """The terminal's own close of one of its batches: our word on each group, and what it has uploaded (D25)."""

    terminal_batch: int
    domestic: GroupResult = GroupResult.UNCLEAR
    foreign: GroupResult = GroupResult.UNCLEAR
    seen: tuple[Stan, ...] = ()
    ended: bool = False


ASKED_OF_THE_GAP_MAX = 256
"""So many of the newest requests by which terminals spoke of what is in a gap are remembered; the journal has all."""


class Gap(Struct, frozen=True):
    """What this journal does not know: it is a backup of `since_ms`, restored at `until_ms` (restored.py).

    In between the numbers from `first_stan` to the one before `next_stan` may have been used, and the batches from
    `first_number` to `number`, which the host had open after the restore; None: it has not been found out. `mark`: the
    terminal's own trace number of a sign-in since: what is above it is new. `admitted_by`: who says that everything is
    new. `asked`: requests of terminals that belong in the gap, and were refused.
    """

    backup: str
    since_ms: int
    until_ms: int
    first_stan: Stan
    next_stan: Stan
    first_number: BatchNumber
    number: BatchNumber | None = None
    mark: Stan | None = None
    admitted_by: str = ""
    asked: tuple[RequestId, ...] = ()


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
