"""What the acquirer holds: terminals, batches, the authorisation ledger, cards, settlements.

Plain state and the sums over it; what an entry may become is decided in financial.py, reversal.py and
settlement.py. `dump` shows it all with card numbers masked and without keys: it is what an audit compares.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from posd.iso8583.message import Message
from simulators.crypto import WorkingKeys
from simulators.fields import Totals, UploadRecord, mask_pan
from simulators.host.closing import ChipRecord, Settlement
from simulators.host.kinds import MATRIX, Kind, Side, Upload
from simulators.host.settings import CardSettings, HostSettings, TerminalSettings

__all__ = [
    "DOMESTIC_SCHEME",
    "Batch",
    "BatchState",
    "Books",
    "Card",
    "ChipRecord",
    "Entry",
    "EntryState",
    "Settlement",
    "Terminal",
]

DOMESTIC_SCHEME = "CUP"


class EntryState(StrEnum):
    APPROVED = "approved"
    VOIDED = "voided"
    REVERSED = "reversed"
    DECLINED = "declined"
    COMPLETED = "completed"
    ADJUSTED = "adjusted"


class BatchState(StrEnum):
    OPEN = "open"
    TOTALLED = "totalled"
    CLOSED = "closed"


@dataclass(slots=True, repr=False)
class Card:
    """A card account. `balance_minor` is what it can still spend, `purse_minor` its electronic cash as known here."""

    settings: CardSettings
    balance_minor: int
    purse_minor: int = 0

    @property
    def foreign(self) -> bool:
        return self.settings.scheme != DOMESTIC_SCHEME


@dataclass(slots=True, repr=False)
class Entry:
    """One authorisation in the ledger, known under (TID, batch, STAN). `amount_minor` is what was approved.

    `moved_minor`, `purse_minor`: what it added to the card's balance and purse; a reversal takes it back. `script`:
    "sent" with the answer, "reported" by a 0620 (then `script_result` is its tag DF31 in hex).
    """

    batch: int
    stan: int
    mti: str
    kind: Kind
    pan: str
    foreign: bool
    requested_minor: int
    amount_minor: int
    rrn: str
    code: str
    state: EntryState
    at_ms: int
    fingerprint: tuple[str, ...]
    answer: Message
    original: "Entry | None" = None
    times_reversed: int = 0
    times_asked: int = 1
    moved_minor: int = 0
    purse_minor: int = 0
    approval: str = ""
    chip: bool = False
    script: str = ""
    script_result: str = ""

    @property
    def stands(self) -> bool:
        """Approved and not taken back; a voided one stands, its void takes it back (1.6)."""
        return self.state in (EntryState.APPROVED, EntryState.VOIDED)

    @property
    def went_through(self) -> bool:
        """Approved and not reversed, whatever named it later: its chip details and script results are owed."""
        return self.state not in (EntryState.REVERSED, EntryState.DECLINED)

    @property
    def counts(self) -> bool:
        """Is it money in the totals? One that was adjusted is not: the adjustment counts in its place (1.6)."""
        return self.stands and MATRIX[self.kind].side is not Side.NEITHER

    @property
    def uploadable(self) -> bool:
        """Does an unbalanced group upload it as a record, many or one a message (1.7, types 1 to 4)?"""
        return self.counts and MATRIX[self.kind].upload is not Upload.CHIP_ONLY

    def as_record(self) -> UploadRecord:
        return UploadRecord("01" if self.foreign else "00", self.stan, self.pan, self.amount_minor)

    def dump(self) -> dict[str, object]:
        return {
            "stan": self.stan,
            "mti": self.mti,
            "kind": self.kind.value,
            "card": mask_pan(self.pan),
            "foreign": self.foreign,
            "amount": self.amount_minor,
            "requested": self.requested_minor,
            "rrn": self.rrn,
            "code": self.code,
            "state": self.state.value,
            "original_stan": self.original.stan if self.original else None,
            "original_batch": self.original.batch if self.original else None,
            "chip": self.chip,
            "script": self.script or None,
            "script_result": self.script_result or None,
            "times_reversed": self.times_reversed,
            "times_asked": self.times_asked,
            "at_ms": self.at_ms,
        }


@dataclass(slots=True, repr=False)
class Batch:
    """One batch of a terminal: `entries` by STAN."""

    number: int
    state: BatchState = BatchState.OPEN
    entries: dict[int, Entry] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    closed_at_ms: int | None = None

    def totals(self) -> tuple[Totals, Totals]:
        """(domestic, foreign) by the table of 1.6."""
        return self._group(False), self._group(True)

    def _group(self, foreign: bool) -> Totals:
        counted = [entry for entry in self.entries.values() if entry.counts and entry.foreign is foreign]
        debit = [entry.amount_minor for entry in counted if MATRIX[entry.kind].side is Side.DEBIT]
        credit = [entry.amount_minor for entry in counted if MATRIX[entry.kind].side is Side.CREDIT]
        return Totals(sum(debit), len(debit), sum(credit), len(credit))

    def dump(self) -> dict[str, object]:
        domestic, foreign = self.totals()
        return {
            "number": self.number,
            "state": self.state.value,
            "transactions": [entry.dump() for entry in self.entries.values()],
            "totals": {"domestic": domestic.as_dict(), "foreign": foreign.as_dict()},
            "settlements": [settlement.dump() for settlement in self.settlements],
            "closed_at_ms": self.closed_at_ms,
        }


@dataclass(slots=True, repr=False)
class Terminal:
    """One terminal as the acquirer sees it. `keys` is None while it is signed out."""

    settings: TerminalSettings
    batches: list[Batch]
    keys: WorkingKeys | None = None
    sign_ins: int = 0
    reversed_unknown: dict[tuple[int, int], int] = field(default_factory=dict)
    management_answers: dict[tuple[str, int, int, str], tuple[str | None, Message]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    conformance: list[str] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)

    @property
    def batch(self) -> Batch:
        return self.batches[-1]

    def find_batch(self, number: int) -> Batch | None:
        """The newest batch with this number."""
        return next((batch for batch in reversed(self.batches) if batch.number == number), None)

    def entries(self) -> Iterator["Entry"]:
        """Every entry of every batch, the newest first."""
        for batch in reversed(self.batches):
            yield from reversed(batch.entries.values())

    def dump(self) -> dict[str, object]:
        return {
            "tid": self.settings.tid,
            "mid": self.settings.mid,
            "signed_in": self.keys is not None,
            "sign_ins": self.sign_ins,
            "batch": self.batch.number,
            "batches": [batch.dump() for batch in self.batches],
            "reversed_unknown": [
                {"batch": batch, "stan": stan, "times": times} for (batch, stan), times in self.reversed_unknown.items()
            ],
            "remarks": list(self.remarks),
            "conformance": list(self.conformance),
            "status": dict(self.status),
        }


@dataclass(slots=True, repr=False)
class Books:
    """Everything the acquirer remembers. `sequence` numbers what it gives out (field 37)."""

    terminals: dict[str, Terminal]
    cards: dict[str, Card]
    sequence: int = 0

    @classmethod
    def open(cls, settings: HostSettings) -> "Books":
        terminals = {one.tid: Terminal(one, [Batch(one.batch)]) for one in settings.terminals}
        return cls(terminals, {card.pan: Card(card, card.balance, card.purse) for card in settings.cards})

    def dump(self) -> dict[str, object]:
        """JSON-ready: no keys, no PIN, card numbers masked; amounts in minor units."""
        return {
            "terminals": [terminal.dump() for terminal in self.terminals.values()],
            "cards": [
                {
                    "card": mask_pan(pan),
                    "scheme": card.settings.scheme,
                    "balance": card.balance_minor,
                    "purse": card.purse_minor,
                }
                for pan, card in self.cards.items()
            ],
        }
