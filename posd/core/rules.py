"""The numbers and choices that a dialect or a shop sets. The engine reads them, records never depend on them (D5)."""

from collections.abc import Mapping
from datetime import time
from enum import StrEnum
from zlib import crc32

from msgspec import Struct, field


class TxnKind(StrEnum):
    """The transactions that the core can serve (reference 1.8); a dialect's `kinds` says which of them it has."""

    SALE = "sale"
    VOID = "void"
    BALANCE = "balance"
    REFUND = "refund"
    PREAUTH = "preauth"
    PREAUTH_VOID = "preauth_void"
    COMPLETION = "completion"
    COMPLETION_VOID = "completion_void"
    EC_LOAD = "ec_load"
    EC_CASH_LOAD = "ec_cash_load"
    EC_TRANSFER_LOAD = "ec_transfer_load"
    EC_CASH_LOAD_VOID = "ec_cash_load_void"
    COMPLETION_NOTICE = "completion_notice"
    VOID_NOTICE = "void_notice"
    OFFLINE_SALE = "offline_sale"
    ADJUST = "adjust"
    TIP = "tip"
    EC_SALE = "ec_sale"
    EC_REFUND = "ec_refund"
    REFUND_VOID = "refund_void"
    CERTIFICATE = "certificate"
    SCRIPT_RESULT = "script_result"


class Why(StrEnum):
    """Why an outcome is not known, or why an approval may not stand."""

    TIMEOUT = "timeout"
    LINK = "link"
    MAC = "mac"
    UNREADABLE = "unreadable"
    UNCONFIRMED = "unconfirmed"
    PARTIAL = "partial"
    REFUSED_BY_CHIP = "refused_by_chip"
    RESTART = "restart"
    TERMINAL = "terminal"
    NOT_CONFIRMED = "not_confirmed"
    NOT_SENT = "not_sent"


class Side(StrEnum):
    """The side of the totals on which an approved transaction counts (reference 1.6)."""

    DEBIT = "debit"
    CREDIT = "credit"
    NEITHER = "neither"


class Upload(StrEnum):
    """How the upload of an unbalanced group carries a kind (reference 1.7)."""

    SHARED = "shared"
    """Several records in one message (record type 3)."""
    ALONE = "alone"
    """A message for each, with the number of its request (record types 1, 2 and 4)."""
    NONE = "none"
    """Not at all: what a chip did is uploaded apart from this, whether the totals agree or not (type 5)."""


class OriginalRules(Struct, frozen=True):
    """What a request of one kind refers to: a transaction of one of `kinds` that stands and was used by no other.

    `known`: it has to be one of our open batch. Else it may lie in an earlier batch or at another terminal, named by
    approval code and date: what we know of it is checked, what we do not know is the host's to judge.
    `takes_back`: it undoes its original; `uncounts`: then its original counts nowhere any more, nor does itself
    (reference 2.4), else both stay in the totals, on both sides. `replaces`: its amount counts in place of the
    original's (an adjustment); `changes`: it has to be another amount.
    `shared`: several may refer to one original, until its amount is used up (refunds). `reports`: it only tells what
    became of its original, of any batch that we know: it uses nothing, and nothing can be in its way.
    `percent_min`, `percent_max`: its amount as a part of the original's; None: any. `tips`: its amount has a tip in it,
    and may be more than the original's by `Rules.tip_percent_max`; what was given before it is no part of the original.
    """

    kinds: frozenset[TxnKind]
    known: bool = True
    takes_back: bool = False
    uncounts: bool = False
    replaces: bool = False
    changes: bool = False
    shared: bool = False
    reports: bool = False
    tips: bool = False
    percent_min: int = 100
    percent_max: int | None = 100


class KindRules(Struct, frozen=True):
    """What a dialect says of one kind: is it reversed when its outcome is unknown, where does it count, to what does it
    refer.

    `in_doubt`: an unknown outcome is neither reversed nor forgotten (D13). `advice`: it tells of what has happened
    already; it is answered as soon as it is durable, and then ours to deliver (advices.py). `certified`: what a chip
    did in it is uploaded, whether the totals agree or not (chips.py). `first`: an advice that goes before everything
    else, reversals too (reference 1.7, step 1).
    """

    reversible: bool
    side: Side
    original: OriginalRules | None = None
    never_deferred: bool = False
    in_doubt: bool = False
    upload: Upload = Upload.SHARED
    advice: bool = False
    has_amount: bool = True
    certified: bool = False
    first: bool = False

    @property
    def takes_back(self) -> bool:
        """It undoes another transaction: nothing may be in its way that is there to keep new ones out (D22, D32)."""
        return self.original is not None and self.original.takes_back

    @property
    def replaces(self) -> bool:
        """Its amount takes the place of another's."""
        return self.original is not None and self.original.replaces

    @property
    def tips(self) -> bool:
        """Its amount has a tip in it."""
        return self.original is not None and self.original.tips

    @property
    def gives_money(self) -> bool:
        """It gives money, and not only back to where a sale of the open batch took it: who asks must be known (D28)."""
        return self.side is Side.CREDIT and not self.takes_back


class Gaps(Struct, frozen=True):
    """Growing, jittered, capped gaps between attempts, in seconds."""

    first_s: float
    max_s: float

    def after(self, attempt: int, key: str) -> float:
        """The gap after attempt number `attempt` (from 1). The jitter is a function of `key`: no randomness here."""
        doublings = min(max(attempt - 1, 0), 30)
        full = min(self.max_s, self.first_s * float(1 << doublings))
        spread = crc32(f"{key}#{attempt}".encode()) / 0xFFFFFFFF
        return full * (0.5 + spread / 2)


class OnStuck(StrEnum):
    """Whether a reversal that is stuck or in conflict blocks new transactions of its terminal."""

    CONTINUE = "continue"
    BLOCK = "block"


class UnmacedDecline(StrEnum):
    """What a decline without a MAC is taken for (D10)."""

    ACCEPT = "accept"
    REVERSE = "reverse"


class CloseRules(Struct, frozen=True):
    """How an acquirer ends a batch. The defaults are those of reference 1.7; reference 2.5 has the others.

    `agreed_closes`: totals that agree close the batch at once, without an end message. `end_agrees`: after an upload
    the end message's approval says that the books agree after all; else a batch that had to be uploaded stays out of
    balance. `end_out_of_balance`: codes with which the end message closes the batch although the books do not agree.
    `batch_gone`: codes with which a host says of a repeated message that it has no such open batch: it closed it.
    `waits_for_reversals`: the totals are not asked while a reversal of the batch is owed, else only for the hold (D19).
    `uploads_on_repeat`: that the totals do not agree is believed of a repeat too; else a host that tells no totals of
    its own may have compared them with its next batch (D20).
    `ends_without_items`: an end message follows totals that agree and ask for no record; else those close the batch.
    """

    agreed_closes: bool = False
    end_agrees: bool = False
    end_out_of_balance: frozenset[str] = frozenset()
    batch_gone: frozenset[str] = frozenset()
    waits_for_reversals: bool = False
    uploads_on_repeat: bool = True
    ends_without_items: bool = True


class Rules(Struct, frozen=True):
    """Everything that is set. Durations in seconds; `due_times` are local times of day in `zone` (IANA name)."""

    kinds: Mapping[TxnKind, KindRules]
    due_times: tuple[time, ...]
    zone: str
    reply_timeout_s: float = 30.0
    terminal_timeout_s: float = 75.0
    connect_timeout_s: float = 10.0
    sign_in_retry: Gaps = Gaps(2.0, 60.0)
    echo_interval_s: float = 0.0
    pin_allowed: bool = True
    unmaced_decline: UnmacedDecline = UnmacedDecline.ACCEPT
    partial_approval: bool = False
    refund_repeat: bool = False
    download: str = ""
    """The function with which the host's parameters are asked for; empty: this dialect has none (management.py)."""
    parameters_applied: bool = False
    """What the host's parameters say of waiting and repeating is what posd goes by (management.py)."""
    reversal_success_codes: frozenset[str] = frozenset({"00", "12", "25"})
    reversal_finds_original: bool = True
    """An acknowledged reversal says that the host had its original; else hosts acknowledge what they never had too, and
    an approval that comes after all may stand (D11, reference 2.6)."""
    reverses_what_never_came: bool = False
    """A terminal's reversal of what never came is answered as done: some sell nothing before that (reference 2.6)."""
    reversal_attempts_max: int = 4
    reversal_reasons: Mapping[Why, str] = field(default_factory=dict)
    reversal_retry: Gaps = Gaps(5.0, 300.0)
    advice_stored_max: int = 10
    advice_attempts_max: int = 4
    advice_retry: Gaps = Gaps(5.0, 300.0)
    tip_percent_max: int = 20
    """A tip may be so much of what was sold; 0: none is taken."""
    totals_timeout_factor: float = 1.0
    """So much longer than for other answers is waited for those to the totals and the end message (reference 2.5)."""
    stuck_retry_s: float = 1800.0
    on_stuck: OnStuck = OnStuck.CONTINUE
    settle_hold_max_s: float = 900.0
    settle_retry: Gaps = Gaps(60.0, 900.0)
    clock_skew_max_s: float = 300.0
    settle_minimum_minor: int = 0
    settle_maximum_minor: int = 0
    settle_deferral_max_s: float = 259_200.0
    skip_empty: bool = True
    host_cutover_at: time | None = None
    sign_in_needed: bool = True
    """Without it the host wants no sign-in: a terminal is ready as soon as the line is."""
    keys_expected: bool = True
    """A sign-in brings working keys; one without any has failed."""
    sign_in_after_close: bool = True
    sign_off_after_close: bool = False
    upload_records_max: int = 8
    foreign_apart: bool = True
    """The totals have a group for foreign cards; else all of it is in one (reference 1.6)."""
    terminal_tells_batch: bool = True
    """A terminal's requests name its own batch; else it is known from its closes only (D25)."""
    has_invoices: bool = False
    """Each transaction has an invoice number; what a till orders is given one of ours (invoices.py)."""
    close: CloseRules = CloseRules()
    settle_attempts_max: int = 4
    queue_max: int = 16
    two_people_above_minor: int = 0
    """A decision about more than this takes two people; 0: never (proposals.py)."""
    proposal_ends_after_s: float = 86_400.0
    confirm_within_s: float = 0.0
    """How long a till may take to confirm an approval; 0: it need not (D16)."""

    @property
    def queue_wait_max_s(self) -> float:
        """How long after receipt a request may still be sent: what starts later could not finish in time (D17)."""
        return self.terminal_timeout_s - self.reply_timeout_s - self.answer_margin_s

    @property
    def repeats_within_s(self) -> float:
        """How long after a request its repeat may come, where nothing else tells it from another under its number."""
        return 3 * self.terminal_timeout_s

    @property
    def answer_margin_s(self) -> float:
        """What is kept for the way back to the terminal."""
        return min(2.0, self.terminal_timeout_s / 20)
