"""What a restored journal does not know (restored.py)."""

from msgspec import Struct

from posd.values import BatchNumber, RequestId, Stan

ASKED_OF_THE_GAP_MAX = 256
"""So many of the newest requests by which terminals spoke of what is in a gap are remembered; the journal has all."""


class Gap(Struct, frozen=True):
    """What this journal does not know: it is a backup of `since_ms`, restored at `until_ms` (restored.py).

    In between the numbers from `first_stan` to the one before `next_stan` may have been used, and the batches from
    `first_number` to `number`, which the host had open after the restore; None: it has not been found out. `mark`: the
    terminal's own trace number of a sign-in since: what is above it is new. `admitted_by`: who says that everything is
    new. `asked`: requests of terminals that belong in the gap, and were refused.
    """

    backup: str
    since_ms: int
    until_ms: int
    first_stan: Stan
    next_stan: Stan
    first_number: BatchNumber
    number: BatchNumber | None = None
    mark: Stan | None = None
    admitted_by: str = ""
    asked: tuple[RequestId, ...] = ()
