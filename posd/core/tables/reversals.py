"""A reversal: owed → acknowledged | stuck | conflict; never dropped.

    status        unanswered  refused  exhausted  acknowledged  contradicted  retry  reopened  resolved
    owed          OWED        OWED     STUCK      ACKNOWLEDGED  CONFLICT      OWED   -         RESOLVED
    stuck         STUCK       STUCK    -          ACKNOWLEDGED  CONFLICT      OWED   -         RESOLVED
    conflict      -           -        -          -             -             -      -         RESOLVED
    acknowledged  -           -        -          -             -             -      OWED      -
    resolved      -           -        -          -             -             -      -         -

The rules in prose: ../reversals.py.
"""

from enum import StrEnum

from posd.core.state import ReversalStatus
from posd.errors import InvariantBroken


class Input(StrEnum):
    """What moves a reversal."""

    UNANSWERED = "unanswered"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    ACKNOWLEDGED = "acknowledged"
    CONTRADICTED = "contradicted"
    RETRY = "retry"
    REOPENED = "reopened"
    RESOLVED = "resolved"


_S, _I = ReversalStatus, Input
TABLE: dict[tuple[ReversalStatus, Input], ReversalStatus] = {
    (_S.OWED, _I.UNANSWERED): _S.OWED,
    (_S.OWED, _I.REFUSED): _S.OWED,
    (_S.OWED, _I.EXHAUSTED): _S.STUCK,
    (_S.OWED, _I.ACKNOWLEDGED): _S.ACKNOWLEDGED,
    (_S.OWED, _I.CONTRADICTED): _S.CONFLICT,
    (_S.OWED, _I.RETRY): _S.OWED,
    (_S.OWED, _I.RESOLVED): _S.RESOLVED,
    (_S.STUCK, _I.UNANSWERED): _S.STUCK,
    (_S.STUCK, _I.REFUSED): _S.STUCK,
    (_S.STUCK, _I.ACKNOWLEDGED): _S.ACKNOWLEDGED,
    (_S.STUCK, _I.CONTRADICTED): _S.CONFLICT,
    (_S.STUCK, _I.RETRY): _S.OWED,
    (_S.STUCK, _I.RESOLVED): _S.RESOLVED,
    (_S.CONFLICT, _I.RESOLVED): _S.RESOLVED,
    (_S.ACKNOWLEDGED, _I.REOPENED): _S.OWED,
}


def move(status: ReversalStatus, what: Input) -> ReversalStatus:
    """The next status; a pair that the table does not have is refused by name."""
    if (status, what) not in TABLE:
        raise InvariantBroken(f"a reversal that is {status} cannot become {what}")
    return TABLE[status, what]
