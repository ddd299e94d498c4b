"""What the acquirer holds: terminals, batches, the authorisation ledger, cards, settlements.

Plain state and the sums over it; what an entry may become is decided in financial.py, reversal.py and
settlement.py. `dump` shows it all with card numbers masked and without keys: it is what an audit compares.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from posd.iso8583.message import Message
from simulators.crypto import WorkingKeys
from simulators.fields import Totals, UploadRecord, mask_pan
from simulators.host.differences import Difference
from simulators.host.settings import CardSettings, HostSettings, TerminalSettings

DOMESTIC_SCHEME = "CUP"


class Kind(StrEnum):
    SALE = "sale"
    SALE_VOID = "sale_void"
    REFUND = "refund"
    BALANCE = "balance"


class EntryState(StrEnum):
    APPROVED = "approved"
    VOIDED = "voided"
    REVERSED = "reversed"
    DECLINED = "declined"


class BatchState(StrEnum):
    OPEN = "open"
    TOTALLED = "totalled"
    CLOSED = "closed"


@dataclass(slots=True, repr=False)
class Card:
    """A card account. `balance_minor` is what it can still spend."""

    settings: CardSettings
    balance_minor: int

    @property
    def foreign(self) -> bool:
        return self.settings.scheme != DOMESTIC_SCHEME


@dataclass(slots=True, repr=False)
class Entry:
    """One authorisation in the ledger, known under (TID, batch, STAN). `amount_minor` is what was approved."""

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

    @property
    def counts(self) -> bool:
        """Is it money in the totals? A voided sale stays in debit, its void counts in credit (1.6)."""
        return self.state in (EntryState.APPROVED, EntryState.VOIDED) and self.kind is not Kind.BALANCE

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
            "times_reversed": self.times_reversed,
            "times_asked": self.times_asked,
            "at_ms": self.at_ms,
        }


@dataclass(slots=True, repr=False)
class Settlement:
    """One 0500 and what followed it: groups (asked, ours, result), uploads matched, the end message."""

    stan: int
    at_ms: int
    groups: dict[str, tuple[Totals, Totals, int]]
    uploaded: dict[tuple[int, str], UploadRecord] = field(default_factory=dict)
    chip_details: int = 0
    matched: int = 0
    mismatched: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    end_code: str | None = None
    end_count: int | None = None
    differences: dict[tuple[int, str], Difference] = field(default_factory=dict)

    @property
    def end_count_agrees(self) -> bool | None:
        """Is the count of the end message what we counted, with or without chip details? None before it came."""
        if self.end_count is None:
            return None
        return self.end_count in (len(self.uploaded), len(self.uploaded) + self.chip_details)

    @property
    def balanced(self) -> bool:
        return all(result == 1 for _, _, result in self.groups.values())

    def agreed(self, foreign: bool) -> bool:
        """Was the group of such a card balanced? A single group holds both."""
        name = "foreign" if foreign and "foreign" in self.groups else "domestic"
        return self.groups[name][2] == 1

    def dump(self) -> dict[str, object]:
        return {
            "stan": self.stan,
            "at_ms": self.at_ms,
            "balanced": self.balanced,
            "groups": {
                name: {"asked": asked.as_dict(), "ours": ours.as_dict(), "result": result}
                for name, (asked, ours, result) in self.groups.items()
            },
            "uploaded": len(self.uploaded),
            "chip_details": self.chip_details,
            "matched": self.matched,
            "mismatched": list(self.mismatched),
            "extra": list(self.extra),
            "missing": list(self.missing),
            "end_code": self.end_code,
            "end_count": self.end_count,
            "end_count_agrees": self.end_count_agrees,
            "differences": [one.dump() for _, one in sorted(self.differences.items(), key=lambda item: item[0])],
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
        """(domestic, foreign) by the table of 1.6: sales debit, voids and refunds credit."""
        return self._group(False), self._group(True)

    def _group(self, foreign: bool) -> Totals:
        counted = [entry for entry in self.entries.values() if entry.counts and entry.foreign is foreign]
        debit = [entry.amount_minor for entry in counted if entry.kind is Kind.SALE]
        credit = [entry.amount_minor for entry in counted if entry.kind is not Kind.SALE]
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

    @property
    def batch(self) -> Batch:
        return self.batches[-1]

    def find_batch(self, number: int) -> Batch | None:
        """The newest batch with this number."""
        return next((batch for batch in reversed(self.batches) if batch.number == number), None)

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
        return cls(terminals, {card.pan: Card(card, card.balance) for card in settings.cards})

    def dump(self) -> dict[str, object]:
        """JSON-ready: no keys, no PIN, card numbers masked; amounts in minor units."""
        return {
            "terminals": [terminal.dump() for terminal in self.terminals.values()],
            "cards": [
                {"card": mask_pan(pan), "scheme": card.settings.scheme, "balance": card.balance_minor}
                for pan, card in self.cards.items()
            ],
        }
