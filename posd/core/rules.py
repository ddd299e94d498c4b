"""The numbers and choices that a dialect or a shop sets. The engine reads them, records never depend on them (D5)."""

from collections.abc import Mapping
from datetime import time
from enum import StrEnum
from zlib import crc32

from msgspec import Struct, field


class TxnKind(StrEnum):
    """The transactions that are served (reference 1.8)."""

    SALE = "sale"
    VOID = "void"
    BALANCE = "balance"
    REFUND = "refund"


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


class Side(StrEnum):
    """The side of the totals on which an approved transaction counts (reference 1.6)."""

    DEBIT = "debit"
    CREDIT = "credit"
    NEITHER = "neither"


class KindRules(Struct, frozen=True):
    """What a dialect says of one kind: is it reversed when its outcome is unknown, where does it count.

    `in_doubt`: an unknown outcome is neither reversed nor forgotten (D13). `uploaded_alone`: one message for each.
    """

    reversible: bool
    side: Side
    needs_original: bool = False
    never_deferred: bool = False
    in_doubt: bool = False
    uploaded_alone: bool = False


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
    """Whether a stuck reversal blocks new transactions of its terminal."""

    CONTINUE = "continue"
    BLOCK = "block"


class UnmacedDecline(StrEnum):
    """What a decline without a MAC is taken for (D10)."""

    ACCEPT = "accept"
    REVERSE = "reverse"


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
    reversal_success_codes: frozenset[str] = frozenset({"00", "12", "25"})
    reversal_attempts_max: int = 4
    reversal_reasons: Mapping[Why, str] = field(default_factory=dict)
    reversal_retry: Gaps = Gaps(5.0, 300.0)
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
    sign_in_after_close: bool = True
    sign_off_after_close: bool = False
    upload_records_max: int = 8
    settle_attempts_max: int = 4
    queue_max: int = 16
    confirm_within_s: float = 0.0
    """How long a till may take to confirm an approval; 0: it need not (D16)."""

    @property
    def queue_wait_max_s(self) -> float:
        """How long after receipt a request may still be sent: what starts later could not finish in time (D17)."""
        return self.terminal_timeout_s - self.reply_timeout_s - self.answer_margin_s

    @property
    def answer_margin_s(self) -> float:
        """What is kept for the way back to the terminal."""
        return min(2.0, self.terminal_timeout_s / 20)
