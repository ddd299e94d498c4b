"""The statuses of everything that has a life, and how a thing ended."""

from enum import StrEnum


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


RESOLVABLE_ADVICES = UNDELIVERED | NOT_TAKEN
"""What a person may end."""


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
