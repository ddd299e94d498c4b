"""The open batch, its close, the last close, and the terminal's own."""

from msgspec import Struct

from posd.core.answers import GroupResult, HostTotals, Totals
from posd.core.state.statuses import CloseOutcome, SettlementCause, SettlementPhase
from posd.values import BatchNumber, RequestId, Stan

EARLIER_MAX = 500
"""So many requests of closed batches, beside those of the last one, can still be answered from the state (D6, D33)."""


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


class TerminalUpload(Struct, frozen=True):
    """The terminal's own close of one of its batches: our word on each group, and what it has uploaded (D25)."""

    terminal_batch: int
    domestic: GroupResult = GroupResult.UNCLEAR
    foreign: GroupResult = GroupResult.UNCLEAR
    seen: tuple[Stan, ...] = ()
    ended: bool = False
