"""The field's own words as types: what a STAN, an RRN, a batch number, an amount is.

Everything here is immutable and safe to log, to journal and to show. A card number is none of these
things, which is why there is a `CardRef` and no `Pan`: the rooms that decide hold a reference, the
vault holds the number.
"""

from typing import Any, NewType, NoReturn

from msgspec import Struct

Tid = NewType("Tid", str)
"""Terminal id, field 41: 8 characters (reference 1.2)."""

Stan = NewType("Stan", int)
"""System trace audit number, field 11: 1-999999, wraps to 1 (reference 1.8)."""

BatchNumber = NewType("BatchNumber", int)
"""The host's number of a batch, field 60.2: 1-999999, an attribute that the host may change (D7)."""

Rrn = NewType("Rrn", str)
"""Retrieval reference number, field 37: 12 characters, given by the host."""

RequestId = NewType("RequestId", str)
"""The key under which a request is known for ever: TID/batch/STAN/MTI/processing code (D6)."""

Minor = NewType("Minor", int)
"""An amount in minor units (fen, cents): 0 to 999_999_999_999, field 4 (reference 1.2)."""

STAN_MAX = 999_999
BATCH_NUMBER_MAX = 999_999
AMOUNT_MINOR_MAX = 999_999_999_999


def next_stan(stan: Stan) -> Stan:
    """The trace number after this one; 999999 is followed by 1 (reference 1.8)."""
    return Stan(1 if stan >= STAN_MAX else stan + 1)


def is_above(stan: Stan, mark: Stan) -> bool:
    """Whether a terminal that counts up, and wraps, used `stan` after `mark`."""
    return 0 < (stan - mark) % STAN_MAX < STAN_MAX // 2


def next_batch_number(number: BatchNumber) -> BatchNumber:
    """The batch number after this one; 999999 is followed by 1 (reference 1.7 step 8)."""
    return BatchNumber(1 if number >= BATCH_NUMBER_MAX else number + 1)


def format_amount(minor: int) -> str:
    """Decimal text with two places: 12345 -> '123.45'."""
    return f"{minor // 100}.{minor % 100:02d}"


class CardRef(Struct, frozen=True):
    """A card without its number: enough to show, to compare, and to ask the vault for the rest.

    `masked` is first six, stars, last four. `digest` is a keyed digest of the number (hex), equal for equal
    cards. The vault knows the number under the request id of the request that brought the card.
    """

    masked: str
    digest: str


class Who(Struct, frozen=True):
    """Whom this machine knows to have asked: one of its users, or a token of the configuration; never what was typed.

    Nothing given: nobody that it knows.
    """

    uid: int | None = None
    user: str = ""
    token: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is anybody to hold to account."""
        return self.uid is not None or bool(self.token)

    def is_same(self, other: "Who") -> bool:
        """Whether both may be one person: a name may change, an id does not; the unknown may be anybody."""
        if not self.is_known or not other.is_known:
            return True
        return (self.uid, self.token) == (other.uid, other.token)

    @property
    def name(self) -> str:
        """The shortest that names them: "lina", "token display", "uid 1001", "nobody"."""
        return self.user or (f"token {self.token}" if self.token else f"uid {self.uid}" if self.is_known else "nobody")

    def __str__(self) -> str:
        return f"{self.user}, uid {self.uid}" if self.user else self.name


NOBODY_KNOWN = Who()


class Now(Struct, frozen=True):
    """The two clocks at one moment, read by daemon/clock.py alone (house rule 3).

    `wall_ms`: milliseconds since 1970 UTC, for schedules, records and fields 12/13; it may jump.
    `monotonic_s`: seconds, for limits only; it never jumps and never lasts (D5).
    """

    wall_ms: int
    monotonic_s: float


class MayHoldCardData:
    """What no encoder knows, and no hook for unknown objects can make a text of: what has one is never encoded."""

    __slots__ = ()

    def __repr__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: it is never encoded, nor shown by its parts")


class Quiet(Struct, frozen=True, kw_only=True):
    """The base of what holds bytes or fields of a message: shown by its name only, whoever prints it; never encoded."""

    may_hold: MayHoldCardData = MayHoldCardData()
    """Never given."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} may hold card data and is never pickled")
