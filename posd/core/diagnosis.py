"""Why a reversal is still owed: one cause, and the evidence for it. Pure; it decides nothing and promises nothing.

What stands in the way now comes first: posd itself, the line, the sign-in. Then the newest attempt that failed, then
what made it owed. A cause is the best guess that the evidence allows, and the evidence is always shown beside it.
"""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from posd.core.rules import Why
from posd.core.state import UNENDED, Attempt, Reversal, ReversalStatus, Session, Transaction, TxnStatus
from posd.values import RequestId


class Cause(StrEnum):
    """Where to look."""

    LINE = "line"
    HOST = "host"
    KEY = "key"
    OURS = "ours"
    TERMINAL = "terminal"


CAUSE_OF_WHY: dict[Why, Cause] = {
    Why.TIMEOUT: Cause.HOST,
    Why.LINK: Cause.LINE,
    Why.MAC: Cause.KEY,
    Why.UNREADABLE: Cause.HOST,
    Why.UNCONFIRMED: Cause.HOST,
    Why.PARTIAL: Cause.HOST,
    Why.REFUSED_BY_CHIP: Cause.TERMINAL,
    Why.RESTART: Cause.OURS,
    Why.TERMINAL: Cause.TERMINAL,
    Why.NOT_CONFIRMED: Cause.TERMINAL,
    Why.NOT_SENT: Cause.LINE,
}
"""A silent host on a line that stands is the host's; one on a line that is down is the line's, which comes first."""

KEY_CODES = frozenset({"89", "99", "A0", "A7"})
"""Security processing, PIN format, MAC (reference 1.13)."""

OUR_CODES = frozenset({"03", "30", "40", "97"})
"""Merchant, format, function, registration: what we send, or how we are registered (reference 1.13)."""


class SignOf(StrEnum):
    """What kind of evidence it is."""

    OWED = "owed"
    ATTEMPT = "attempt"
    CANNOT_ENCODE = "cannot_encode"
    NOT_RUNNING = "not_running"
    LINE_DOWN = "line_down"
    SIGNED_OUT = "signed_out"
    APPROVAL_SEEN = "approval_seen"


class Sign(Struct, frozen=True):
    """One piece of evidence; `at_ms` None: it is so now. `reason` is field 39 of the attempt, `code` of its answer."""

    of: SignOf
    at_ms: int | None = None
    why: Why | None = None
    code: str | None = None
    reason: str = ""
    detail: str = ""


class Surroundings(Struct, frozen=True):
    """What is true around the terminal now."""

    running: bool
    link_up: bool
    link_why: str
    session: Session


class Diagnosis(Struct, frozen=True):
    """The cause, and the evidence: what is so now, then what happened, oldest first."""

    cause: Cause
    signs: tuple[Sign, ...]


def diagnose(reversal: Reversal, txn: Transaction | None, around: Surroundings) -> Diagnosis:
    """Of a reversal that has ended: what had kept it."""
    now = _now(reversal, around) if reversal.status in UNENDED else []
    cause = _cause(reversal, now)
    signs = [*now, Sign(SignOf.OWED, reversal.owed_at_ms, why=reversal.why)]
    if txn is not None and txn.approval_seen:
        signs.append(Sign(SignOf.APPROVAL_SEEN, txn.at_ms, code=txn.facts.code if txn.facts else None))
    signs += [Sign(SignOf.ATTEMPT, one.at_ms, one.because, one.code, one.reason) for one in reversal.history]
    return Diagnosis(cause, tuple(signs))


def _now(reversal: Reversal, around: Surroundings) -> list[Sign]:
    if reversal.status is ReversalStatus.CONFLICT:
        return []  # it is not tried any more: nothing stands in its way
    if not around.running:
        return [Sign(SignOf.NOT_RUNNING)]
    if reversal.unsayable:
        return [Sign(SignOf.CANNOT_ENCODE, detail=reversal.unsayable)]
    if not around.link_up:
        return [Sign(SignOf.LINE_DOWN, detail=around.link_why)]
    if not around.session.signed_in:
        return [Sign(SignOf.SIGNED_OUT, detail=around.session.out_because)]
    return []


CAUSE_OF_SIGN = {
    SignOf.NOT_RUNNING: Cause.OURS,
    SignOf.CANNOT_ENCODE: Cause.OURS,
    SignOf.LINE_DOWN: Cause.LINE,
    SignOf.SIGNED_OUT: Cause.KEY,
}


def _cause(reversal: Reversal, now: list[Sign]) -> Cause:
    if now:
        return CAUSE_OF_SIGN[now[0].of]
    if reversal.status is ReversalStatus.CONFLICT:
        return Cause.HOST
    failed = [attempt for attempt in reversal.history if _failed(reversal, attempt)]
    return _cause_of(failed[-1]) if failed else CAUSE_OF_WHY[reversal.why]


def _failed(reversal: Reversal, attempt: Attempt) -> bool:
    """It has ended, and not by the acknowledgement."""
    acknowledged = reversal.status is ReversalStatus.ACKNOWLEDGED and attempt is reversal.history[-1]
    return not acknowledged and (attempt.because is not None or attempt.code is not None)


def _cause_of(attempt: Attempt) -> Cause:
    if attempt.because is not None:
        return CAUSE_OF_WHY[attempt.because]
    if attempt.code in KEY_CODES:
        return Cause.KEY
    return Cause.OURS if attempt.code in OUR_CODES else Cause.HOST


def first_suspects(transactions: Iterable[Transaction], reversals: Iterable[Reversal]) -> list[RequestId]:
    """What to look at first in a batch that is out of balance: refunds in doubt (D13), declines without a MAC (D10),
    then what was carried over unacknowledged (D19)."""
    known = {txn.request_id: txn for txn in transactions}
    doubts = [of for of, txn in known.items() if txn.status is TxnStatus.IN_DOUBT]
    unmaced = [of for of, txn in known.items() if txn.unmaced and txn.status is TxnStatus.DECLINED]
    carried = [rev.request_id for rev in reversals if rev.carried_over and rev.request_id in known]
    return [*doubts, *unmaced, *carried]
