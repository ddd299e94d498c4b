"""Records of a restored backup: what is not known since, and who ended that."""

from msgspec import Struct

from posd.values import BatchNumber, Stan, Who


class LaneRestored(Struct, frozen=True):
    """This journal is a backup whose last row is of `since_ms`: what the terminal did after that is not in it.

    Numbers from the next one up to the one before `next_stan` may have been used since, and are not used again.
    """

    backup: str
    since_ms: int
    next_stan: Stan


class HostBatchFound(Struct, frozen=True):
    """The batch that the host has open after the restore; `by`: who says so, where the host did not say it itself."""

    number: BatchNumber
    by: str = ""


class TerminalAdmitted(Struct, frozen=True):
    """What is new of this terminal can be told from what it asked before the restore: above `terminal_stan`.

    By its own sign-in, or by a named person; None: everything is new.
    """

    terminal_stan: Stan | None
    by: str = ""
    reason: str = ""
    who: Who | None = None


class GapResolved(Struct, frozen=True):
    """A named person has reconciled what was not known since the backup."""

    by: str
    reason: str
    who: Who | None = None
