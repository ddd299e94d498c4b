"""An advice tells the host of what has happened already: owed → done | refused | stuck; never dropped, never reversed.

    status     unanswered  exhausted  acknowledged  refused  doubted   not_booked  settled  retry  cancelled  resolved
    owed       OWED        STUCK      DONE          REFUSED  DOUBTFUL  -           DONE     OWED   CANCELLED  RESOLVED
    stuck      STUCK       -          DONE          REFUSED  DOUBTFUL  -           DONE     OWED   CANCELLED  RESOLVED
    refused    -           -          DONE          -        -         -           DONE     -      -          RESOLVED
    doubtful   -           -          DONE          -        -         REFUSED     DONE     -      -          RESOLVED
    done       -           -          -             -        -         -           -        -      -          -
    cancelled  -           -          -             -        -         -           -        -      -          -
    resolved   -           -          -             -        -         -           -        -      -          -

The rules in prose: ../advices.py.
"""

from enum import StrEnum

from posd.core.state import AdviceStatus
from posd.errors import InvariantBroken


class Input(StrEnum):
    """What moves an advice."""

    UNANSWERED = "unanswered"
    EXHAUSTED = "exhausted"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    DOUBTED = "doubted"
    NOT_BOOKED = "not_booked"
    SETTLED = "settled"
    RETRY = "retry"
    CANCELLED = "cancelled"
    RESOLVED = "resolved"


_S, _I = AdviceStatus, Input
TABLE: dict[tuple[AdviceStatus, Input], AdviceStatus] = {
    (_S.OWED, _I.UNANSWERED): _S.OWED,
    (_S.OWED, _I.EXHAUSTED): _S.STUCK,
    (_S.OWED, _I.ACKNOWLEDGED): _S.DONE,
    (_S.OWED, _I.REFUSED): _S.REFUSED,
    (_S.OWED, _I.DOUBTED): _S.DOUBTFUL,
    (_S.OWED, _I.SETTLED): _S.DONE,
    (_S.OWED, _I.RETRY): _S.OWED,
    (_S.OWED, _I.CANCELLED): _S.CANCELLED,
    (_S.OWED, _I.RESOLVED): _S.RESOLVED,
    (_S.STUCK, _I.UNANSWERED): _S.STUCK,
    (_S.STUCK, _I.ACKNOWLEDGED): _S.DONE,
    (_S.STUCK, _I.REFUSED): _S.REFUSED,
    (_S.STUCK, _I.DOUBTED): _S.DOUBTFUL,
    (_S.STUCK, _I.SETTLED): _S.DONE,
    (_S.STUCK, _I.RETRY): _S.OWED,
    (_S.STUCK, _I.CANCELLED): _S.CANCELLED,
    (_S.STUCK, _I.RESOLVED): _S.RESOLVED,
    (_S.REFUSED, _I.ACKNOWLEDGED): _S.DONE,
    (_S.REFUSED, _I.SETTLED): _S.DONE,
    (_S.REFUSED, _I.RESOLVED): _S.RESOLVED,
    (_S.DOUBTFUL, _I.ACKNOWLEDGED): _S.DONE,
    (_S.DOUBTFUL, _I.NOT_BOOKED): _S.REFUSED,
    (_S.DOUBTFUL, _I.SETTLED): _S.DONE,
    (_S.DOUBTFUL, _I.RESOLVED): _S.RESOLVED,
}


def move(status: AdviceStatus, what: Input) -> AdviceStatus:
    """The next status; a pair that the table does not have is refused by name."""
    if (status, what) not in TABLE:
        raise InvariantBroken(f"an advice that is {status} cannot become {what}")
    return TABLE[status, what]
