"""One financial request: sent → approved | declined | unknown | in doubt | not sent.

    status    approved declined unknown acknowledged reopened resolved doubted  happened missing  cancelled not_sent
    sent      APPROVED DECLINED UNKNOWN -            -        -        IN_DOUBT -        -        -         NOT_SENT
    approved  -        -        UNKNOWN -            -        -        -        -        -        -         -
    declined  -        -        UNKNOWN -            -        -        IN_DOUBT -        -        -         -
    unknown   -        -        UNKNOWN REVERSED     -        RESOLVED -        -        -        -         -
    reversed  -        -        -       -            UNKNOWN  -        -        -        -        -         -
    resolved  -        -        -       -            -        -        -        -        -        -         -
    in_doubt  APPROVED -        -       -            -        -        IN_DOUBT APPROVED NOT_DONE -         -
    not_done  -        -        -       -            -        -        IN_DOUBT -        -        -         -
    stored    APPROVED REFUSED  -       -            -        RESOLVED -        -        -        CANCELLED -
    refused   APPROVED -        -       -            -        RESOLVED -        -        -        -         -
    cancelled -        -        -       -            -        -        -        -        -        -         -
    not_sent  -        -        UNKNOWN -            -        -        IN_DOUBT -        -        -         -

The rules in prose: ../transactions.py.
"""

from enum import StrEnum

from posd.core.state import TxnStatus
from posd.errors import InvariantBroken


class Input(StrEnum):
    """What moves a transaction."""

    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    REOPENED = "reopened"
    RESOLVED = "resolved"
    DOUBTED = "doubted"
    HAPPENED = "happened"
    MISSING = "missing"
    CANCELLED = "cancelled"
    NOT_SENT = "not_sent"


TABLE: dict[tuple[TxnStatus, Input], TxnStatus] = {
    (TxnStatus.SENT, Input.APPROVED): TxnStatus.APPROVED,
    (TxnStatus.SENT, Input.DECLINED): TxnStatus.DECLINED,
    (TxnStatus.SENT, Input.UNKNOWN): TxnStatus.UNKNOWN,
    (TxnStatus.SENT, Input.NOT_SENT): TxnStatus.NOT_SENT,
    (TxnStatus.APPROVED, Input.UNKNOWN): TxnStatus.UNKNOWN,
    (TxnStatus.DECLINED, Input.UNKNOWN): TxnStatus.UNKNOWN,
    (TxnStatus.UNKNOWN, Input.UNKNOWN): TxnStatus.UNKNOWN,
    (TxnStatus.UNKNOWN, Input.ACKNOWLEDGED): TxnStatus.REVERSED,
    (TxnStatus.UNKNOWN, Input.RESOLVED): TxnStatus.RESOLVED,
    (TxnStatus.REVERSED, Input.REOPENED): TxnStatus.UNKNOWN,
    (TxnStatus.SENT, Input.DOUBTED): TxnStatus.IN_DOUBT,
    (TxnStatus.DECLINED, Input.DOUBTED): TxnStatus.IN_DOUBT,
    (TxnStatus.IN_DOUBT, Input.DOUBTED): TxnStatus.IN_DOUBT,
    (TxnStatus.NOT_DONE, Input.DOUBTED): TxnStatus.IN_DOUBT,
    (TxnStatus.IN_DOUBT, Input.APPROVED): TxnStatus.APPROVED,
    (TxnStatus.IN_DOUBT, Input.HAPPENED): TxnStatus.APPROVED,
    (TxnStatus.IN_DOUBT, Input.MISSING): TxnStatus.NOT_DONE,
    (TxnStatus.STORED, Input.APPROVED): TxnStatus.APPROVED,
    (TxnStatus.STORED, Input.DECLINED): TxnStatus.REFUSED,
    (TxnStatus.STORED, Input.RESOLVED): TxnStatus.RESOLVED,
    (TxnStatus.STORED, Input.CANCELLED): TxnStatus.CANCELLED,
    (TxnStatus.REFUSED, Input.APPROVED): TxnStatus.APPROVED,
    (TxnStatus.REFUSED, Input.RESOLVED): TxnStatus.RESOLVED,
    (TxnStatus.NOT_SENT, Input.UNKNOWN): TxnStatus.UNKNOWN,
    (TxnStatus.NOT_SENT, Input.DOUBTED): TxnStatus.IN_DOUBT,
}


def move(status: TxnStatus, what: Input) -> TxnStatus:
    """The next status; a pair that the table does not have is refused by name."""
    if (status, what) not in TABLE:
        raise InvariantBroken(f"a transaction that is {status} cannot become {what}")
    return TABLE[status, what]
