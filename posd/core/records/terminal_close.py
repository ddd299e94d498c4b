"""Records of the terminal's own close (D25)."""

from enum import StrEnum

from msgspec import Struct

from posd.core.answers import Totals
from posd.core.state import ChipResult
from posd.values import Minor, RequestId, Stan


class TerminalClosed(Struct, frozen=True):
    """The terminal closed its own batch: its totals against our books of it (D25).

    What it asked for up to `terminal_stan` is over for it: it neither repeats it nor takes it back any more (D6).
    """

    terminal_batch: int
    theirs: Totals
    ours: Totals
    terminal_stan: Stan | None = None


class ItemDifference(StrEnum):
    """How one item of the terminal's upload differs from our books (D25)."""

    UNKNOWN_HERE = "unknown_here"
    NOT_COUNTED_HERE = "not_counted_here"
    AMOUNT = "amount"
    CARD = "card"
    GROUP = "group"
    COUNTED_HERE = "counted_here"
    """Its chip refused it, and our books have it approved."""


class ItemDiffers(Struct, frozen=True):
    """One item of the terminal's upload that is not as our books have it; `ours_minor`: None where we have nothing."""

    terminal_stan: Stan
    what: ItemDifference
    theirs_minor: Minor
    ours_minor: Minor | None
    request_id: RequestId | None


class ChipEndTold(Struct, frozen=True):
    """How a chip ended a transaction, as its terminal tells in its own close: its result, with the dialect's code for
    it, and its last words (hexadecimal, without card data)."""

    request_id: RequestId
    result: ChipResult
    code: str
    icc: str


class TerminalItemsCompared(Struct, frozen=True):
    """One upload message of the terminal's own close: its trace numbers, and every difference from our books (D25)."""

    terminal_batch: int
    stans: tuple[Stan, ...]
    differing: tuple[ItemDiffers, ...]


class TerminalUploadEnded(Struct, frozen=True):
    """Its end message: the count it states, how many we saw, and what our unbalanced groups hold beside (D25)."""

    terminal_batch: int
    stated: int
    seen: int
    missing: tuple[RequestId, ...]
