"""What an answer means for money, whatever its dialect calls it (D9)."""

from enum import StrEnum


class AnswerClass(StrEnum):
    """The class of a response code. A dialect's code table maps every code to one of these.

    UNCONFIRMED is also the class of every code that the table does not know, and of an approval without a good
    MAC: the terminal is told "failed" and a reversal is owed; a needless reversal is harmless.
    """

    APPROVE = "approve"
    APPROVE_PARTIAL = "approve_partial"
    DECLINE = "decline"
    ACT_AND_RETRY = "act_and_retry"
    UNCONFIRMED = "unconfirmed"
