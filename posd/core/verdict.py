"""What an answer is worth after all checks: approved, declined, act and retry, or unknown with a reason (D9, D10, D15).

One reading for transactions and reversals. It must never take an approval without a good MAC for one.
"""

from enum import StrEnum

from msgspec import Struct

from posd.core.answers import AnswerClass, HostAnswer, MacCheck
from posd.core.rules import Rules, UnmacedDecline, Why


class Worth(StrEnum):
    """What may be done with the answer."""

    APPROVED = "approved"
    DECLINED = "declined"
    RETRY = "retry"
    UNKNOWN = "unknown"


class Verdict(Struct, frozen=True):
    """`why` and `detail` are set when the outcome is unknown; `approval_seen`: the host did say yes."""

    worth: Worth
    why: Why | None = None
    detail: str = ""
    approval_seen: bool = False


SEEN_BEFORE = "94"
"""The host says that it had this before: done on a repeat, a reused number on a first attempt (D14)."""

APPROVALS = frozenset({AnswerClass.APPROVE, AnswerClass.APPROVE_PARTIAL})


def judge(answer: HostAnswer, rules: Rules, part_of_minor: int | None = None) -> Verdict:
    """The verdict on an answer whose exchange is known; `part_of_minor`: a part of so much was asked for (D15)."""
    seen = answer.answer_class in APPROVALS
    if answer.mismatch:
        return Verdict(Worth.UNKNOWN, Why.UNREADABLE, answer.mismatch, seen)
    if answer.mac is MacCheck.BAD:
        return Verdict(Worth.UNKNOWN, Why.MAC, "the MAC of the answer is wrong", seen)
    if answer.mac is MacCheck.ABSENT and seen:
        return Verdict(Worth.UNKNOWN, Why.MAC, "an approval without a MAC", seen)  # D10
    match answer.answer_class:
        case AnswerClass.APPROVE:
            return Verdict(Worth.APPROVED, approval_seen=True)
        case AnswerClass.APPROVE_PARTIAL if rules.partial_approval and _is_part(answer, part_of_minor):
            return Verdict(Worth.APPROVED, approval_seen=True)
        case AnswerClass.APPROVE_PARTIAL:
            return Verdict(Worth.UNKNOWN, Why.PARTIAL, "a partial approval that was not asked for", True)  # D15
        case AnswerClass.UNCONFIRMED:
            return Verdict(Worth.UNKNOWN, Why.UNCONFIRMED, f"code {answer.facts.code} confirms nothing", False)  # D9
        case AnswerClass.ACT_AND_RETRY:
            return Verdict(Worth.RETRY)
        case AnswerClass.DECLINE:
            if answer.mac is MacCheck.ABSENT and rules.unmaced_decline is UnmacedDecline.REVERSE:
                return Verdict(Worth.UNKNOWN, Why.MAC, "a decline without a MAC", False)  # D10
            return Verdict(Worth.DECLINED)


def _is_part(answer: HostAnswer, part_of_minor: int | None) -> bool:
    """More than nothing, and not more than was asked for."""
    return part_of_minor is not None and answer.amount_minor is not None and 0 < answer.amount_minor <= part_of_minor
