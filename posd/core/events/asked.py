"""What terminals and tills ask for."""

from msgspec import Struct

from posd.core.answers import Totals
from posd.core.rules import TxnKind
from posd.core.state import ChipEnd
from posd.values import CardRef, Minor, RequestId, Stan


class OriginalPointer(Struct, frozen=True):
    """How a terminal names an earlier transaction: by RRN, by its own batch and trace, or by approval code and date
    MMDD (fields 37, 61 and 38)."""

    rrn: str | None
    terminal_batch: int | None
    terminal_stan: Stan | None
    request_id: RequestId | None = None
    """How a till names it; then nothing else counts."""
    approval_code: str | None = None
    date: str | None = None
    invoice: int | None = None
    """The invoice number that it was given (reference 2.4); it goes with `rrn` or stands alone."""


class TransactionRequested(Struct, frozen=True):
    """A terminal asks for a financial transaction."""

    request_id: RequestId
    kind: TxnKind
    amount_minor: Minor
    terminal_batch: int
    terminal_stan: Stan
    fingerprint: str
    entry_mode: str
    card: CardRef | None
    original: OriginalPointer | None
    has_pin: bool
    reply_to: str
    received_s: float
    options: str = ""
    """What the dialect must say again in a reversal or an upload (UnionPay: 60.3 to 60.7, of a refund its original)."""
    partial_asked: bool = False
    """The terminal can take an approval of a part (D15)."""
    leaves_once: bool = False
    """It carries a PIN block or encrypted tracks: never sent twice, whatever happens (D12)."""
    tracks_encrypted: bool = False
    """The terminal encrypted its tracks, under the keys that it was given (D26)."""
    reference: str = ""
    """The till's own name for it."""
    tip_minor: Minor = Minor(0)
    """The part of the amount that is a tip."""
    invoice: int = 0
    """The terminal's invoice number (reference 2.4, field 62); 0 where the dialect has none."""
    chip: bool = False
    """It carries what a chip said."""
    from_till: bool = False
    """It came through the JSON door: its approval may have to be confirmed (D16)."""


class TillConfirmed(Struct, frozen=True):
    """A till says that it has the approval of this request (D16)."""

    request_id: RequestId
    reply_to: str


class ReversalRequested(Struct, frozen=True):
    """A terminal's own 0400: `original` is the request id that its original had (D17)."""

    original: RequestId
    amount_minor: Minor
    reason: str
    reply_to: str
    icc: str = ""
    """What it tells of the chip, hexadecimal, without card data."""
    chip_refused: bool = False
    """And that says that the chip refused; the `reason` alone may as well mean a printer without paper."""
    or_originals: tuple[RequestId, ...] = ()
    """The other ids that its original may have had, where the dialect's 0400 does not tell which of them it is."""
    card: str | None = None
    """The keyed digest of the card number, where it is told."""
    terminal_stan: Stan | None = None
    invoice: int = 0
    kinds: frozenset[TxnKind] = frozenset()
    """Its original's own numbers, and what that may have been: what is like it cannot be called unknown."""


class TerminalSignInRequested(Struct, frozen=True):
    """A terminal's 0800. `terminal_stan`: its own trace number, where it says one."""

    reply_to: str
    received_s: float
    terminal_stan: Stan | None = None


class TerminalSignedOff(Struct, frozen=True):
    """A terminal's 0820 with code 002."""

    reply_to: str


class TerminalEchoed(Struct, frozen=True):
    """A terminal's 0820 with code 301."""

    reply_to: str


class TerminalManagement(Struct, frozen=True):
    """A terminal's 0800 or 0820 that is for the host to answer: `function` is the dialect's name for it.

    `block`: field 62, hexadecimal, as it came.
    """

    function: str
    block: str
    reply_to: str
    received_s: float


class TerminalTotalsGiven(Struct, frozen=True):
    """A terminal's 0500: the totals of its own batch (D25).

    `terminal_stan`: its own number of it, where its other requests do not tell their batch. `ends`: it is the totals
    again, after the upload.
    """

    terminal_batch: int
    totals: Totals
    reply_to: str
    terminal_stan: Stan | None = None
    ends: bool = False


class UploadedItem(Struct, frozen=True):
    """One transaction as the terminal's own upload tells it. `card`: the keyed digest of its number, if it was told.

    `foreign`: the group that the terminal counted it in; None: the message does not say. `chip`: it tells how the chip
    ended it, and is no record of money.
    """

    terminal_stan: Stan
    amount_minor: Minor
    card: str | None = None
    foreign: bool | None = None
    chip: ChipEnd | None = None


class TerminalUploaded(Struct, frozen=True):
    """A terminal's 0320: accepted and compared (D25); the money is settled from our books, not from its.

    `items` of an upload message; `stated`: the count that the end message gives.
    """

    terminal_batch: int
    reply_to: str
    items: tuple[UploadedItem, ...] = ()
    stated: int | None = None


class RequestUnusable(Struct, frozen=True):
    """A terminal's message was read and cannot be served. `refusal` is a `effects.Refusal` value."""

    refusal: str
    because: str
    reply_to: str
    request_id: RequestId | None = None
