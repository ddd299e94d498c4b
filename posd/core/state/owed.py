"""What is owed to the host: reversals and advices, with their attempts."""

from msgspec import Struct

from posd.core.rules import Why
from posd.core.state.statuses import AdviceStatus, ReversalStatus, Settled
from posd.values import RequestId

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
