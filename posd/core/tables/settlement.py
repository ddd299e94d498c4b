"""The close of a batch: open → draining → totals → uploading → trailer → open (the next one).

    on           open      draining  totals       uploading  trailer  unconfirmed
    begun        DRAINING  -         -            -          -        -
    skipped      OPEN      OPEN      -            -          -        -
    asked        -         TOTALS    TOTALS       -          -        -
    unanswered   -         -         TOTALS       UPLOADING  TRAILER  -
    items_wanted -         -         UPLOADING    -          -        -
    no_items     -         -         TRAILER      -          -        -
    moved_on     -         -         -            UPLOADING  -        -
    all_uploaded -         -         -            TRAILER    -        -
    unclear      -         -         UNCONFIRMED  UNCONFIRMED UNCONFIRMED -
    not_closed   -         DRAINING  TOTALS       UPLOADING  TRAILER  TOTALS
    closed       OPEN      OPEN      OPEN         OPEN       OPEN     OPEN

From open a batch is closed, and an upload or an end message becomes unclear, only after a restore (../restored.py).

The rules in prose: ../settlement.py.
"""

from enum import StrEnum

from posd.core.state import SettlementPhase
from posd.errors import InvariantBroken


class Input(StrEnum):
    """What moves a settlement."""

    BEGUN = "begun"
    SKIPPED = "skipped"
    ASKED = "asked"
    UNANSWERED = "unanswered"
    ITEMS_WANTED = "items_wanted"
    NO_ITEMS = "no_items"
    MOVED_ON = "moved_on"
    ALL_UPLOADED = "all_uploaded"
    UNCLEAR = "unclear"
    NOT_CLOSED = "not_closed"
    CLOSED = "closed"


_P, _I = SettlementPhase, Input
TABLE: dict[tuple[SettlementPhase, Input], SettlementPhase] = {
    (_P.OPEN, _I.BEGUN): _P.DRAINING,
    (_P.OPEN, _I.SKIPPED): _P.OPEN,
    (_P.DRAINING, _I.SKIPPED): _P.OPEN,
    (_P.DRAINING, _I.ASKED): _P.TOTALS,
    (_P.TOTALS, _I.ASKED): _P.TOTALS,
    (_P.TOTALS, _I.UNANSWERED): _P.TOTALS,
    (_P.TOTALS, _I.ITEMS_WANTED): _P.UPLOADING,
    (_P.TOTALS, _I.NO_ITEMS): _P.TRAILER,
    (_P.TOTALS, _I.UNCLEAR): _P.UNCONFIRMED,
    (_P.UPLOADING, _I.UNCLEAR): _P.UNCONFIRMED,
    (_P.TRAILER, _I.UNCLEAR): _P.UNCONFIRMED,
    (_P.UPLOADING, _I.UNANSWERED): _P.UPLOADING,
    (_P.UPLOADING, _I.MOVED_ON): _P.UPLOADING,
    (_P.UPLOADING, _I.ALL_UPLOADED): _P.TRAILER,
    (_P.TRAILER, _I.UNANSWERED): _P.TRAILER,
    (_P.DRAINING, _I.NOT_CLOSED): _P.DRAINING,
    (_P.TOTALS, _I.NOT_CLOSED): _P.TOTALS,
    (_P.UPLOADING, _I.NOT_CLOSED): _P.UPLOADING,
    (_P.TRAILER, _I.NOT_CLOSED): _P.TRAILER,
    (_P.UNCONFIRMED, _I.NOT_CLOSED): _P.TOTALS,
    (_P.OPEN, _I.CLOSED): _P.OPEN,
    (_P.DRAINING, _I.CLOSED): _P.OPEN,
    (_P.TOTALS, _I.CLOSED): _P.OPEN,
    (_P.UPLOADING, _I.CLOSED): _P.OPEN,
    (_P.TRAILER, _I.CLOSED): _P.OPEN,
    (_P.UNCONFIRMED, _I.CLOSED): _P.OPEN,
}


def move(phase: SettlementPhase, what: Input) -> SettlementPhase:
    """The next phase; a pair that the table does not have is refused by name."""
    if (phase, what) not in TABLE:
        raise InvariantBroken(f"a settlement that is {phase} cannot go on with {what}")
    return TABLE[phase, what]
