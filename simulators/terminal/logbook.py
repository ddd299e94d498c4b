"""What a terminal holds: the card in its reader, a request as it was sent, a line of its log.

Values only; nothing shows a card number.
"""

from dataclasses import dataclass

from posd.iso8583.message import Message
from simulators.chip import Tags, is_chip_entry
from simulators.host.kinds import MATRIX, Kind, Side
from simulators.terminal.chip_card import CARD_SEQUENCE


@dataclass(frozen=True, slots=True, repr=False)
class CardInHand:
    """A card as this terminal reads it: number, expiry YYMM, entry mode, PIN or none.

    Entry modes: 022 swiped, 012 typed, 052 chip, 072 contactless. A chip has a `sequence` (field 23).
    """

    pan: str
    expiry: str
    entry: str = "022"
    pin: str | None = None
    sequence: str = CARD_SEQUENCE

    @property
    def chip(self) -> bool:
        return is_chip_entry(self.entry)


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """One request: what it was for, the message, and its bytes from the MTI on."""

    do: str
    message: Message
    body: bytes

    @property
    def stan(self) -> int:
        return int(self.message.get(11) or "0")


@dataclass(slots=True, repr=False)
class Logged:
    """A line of the terminal's transaction log.

    `tags`: field 55 as it was sent. `script`: "owed" until its result was reported. `failed`: 11 refused by the card
    after the host's approval, 05 issuer authentication failed (1.7, type 6).
    """

    sent: Sent
    pan: str
    amount_minor: int = 0
    rrn: str | None = None
    approval: str | None = None
    foreign: bool = False
    approved: bool = False
    credit: bool = False
    kind: Kind = Kind.SALE
    batch: int = 0
    date: str | None = None
    tags: Tags | None = None
    script: str = ""
    failed: str = ""
    replaced: bool = False

    @property
    def counts(self) -> bool:
        """Is it in the totals? One that was adjusted is not, the adjustment counts in its place (1.6)."""
        return self.approved and not self.replaced and MATRIX[self.kind].side is not Side.NEITHER
