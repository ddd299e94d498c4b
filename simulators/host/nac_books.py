"""What a NAC acquirer holds beside cards: terminals, batches, the ledger, settlements (reference 2.4, 2.5).

Plain state and the sums over it. `dump` has the shape of the UnionPay books where the facts are the same, so that one
view and one audit read both; totals stand in one group, "all".
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from posd.iso8583.message import Message
from simulators.fields import mask_pan
from simulators.host.books import BatchState, Card, EntryState
from simulators.host.settings import HostSettings, TerminalSettings
from simulators.nac_fields import Record, Totals

Voids = Literal["excluded", "credited"]


class Kind(StrEnum):
    SALE = "sale"
    REFUND = "refund"
    VOID = "void"
    ADJUST = "adjust"
    OFFLINE_SALE = "offline_sale"
    OFFLINE_REFUND = "offline_refund"
    PRE_AUTH = "pre_auth"
    COMPLETION = "completion"


SALES = frozenset({Kind.SALE, Kind.OFFLINE_SALE, Kind.COMPLETION})
REFUNDS = frozenset({Kind.REFUND, Kind.OFFLINE_REFUND})
Side = Literal["sale", "refund"]


@dataclass(slots=True, repr=False)
class Entry:
    """One request in the ledger, known under its STAN in its batch.

    `requested_minor` is field 4 as it came, `amount_minor` what it stands at now (adjusted), `moved_minor` what it
    changed the card's balance by.
    """

    batch: int
    stan: int
    mti: str
    kind: Kind
    pan: str
    invoice: int
    requested_minor: int
    amount_minor: int
    tip_minor: int
    moved_minor: int
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
    def is_void(self) -> bool:
        """A void, online or as an adjustment to zero."""
        return self.kind is Kind.VOID or (self.kind is Kind.ADJUST and self.requested_minor == 0)

    def side(self, voids: Voids) -> Side | None:
        """Where it stands in field 63. A voided sale nowhere, or, credited, with its void on the other side (2.4)."""
        if self.is_void and voids == "credited" and self.original and self.state is EntryState.APPROVED:
            return "refund" if self.original.kind in SALES else "sale"
        alive = self.state is EntryState.APPROVED or (self.state is EntryState.VOIDED and voids == "credited")
        if not alive:
            return None
        return "sale" if self.kind in SALES else "refund" if self.kind in REFUNDS else None

    def as_record(self, voids: Voids) -> Record:
        undone = self.original.amount_minor if self.is_void and self.original else self.amount_minor
        return Record(self.stan, self.invoice, self.pan, undone, self.side(voids) == "refund")

    def dump(self) -> dict[str, object]:
        return {
            "stan": self.stan,
            "mti": self.mti,
            "kind": self.kind.value,
            "card": mask_pan(self.pan),
            "invoice": f"{self.invoice:06d}",
            "amount": self.amount_minor,
            "requested": self.requested_minor,
            "tip": self.tip_minor,
            "rrn": self.rrn,
            "code": self.code,
            "state": self.state.value,
            "original_stan": self.original.stan if self.original else None,
            "times_reversed": self.times_reversed,
            "times_asked": self.times_asked,
            "at_ms": self.at_ms,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """An item that does not agree: amount, card, invoice, extra (not in our books) or missing (not uploaded)."""

    kind: str
    stan: int
    ours: Record | None
    theirs: Record | None

    def dump(self) -> dict[str, object]:
        ours, theirs = (one.dump() if one else None for one in (self.ours, self.theirs))
        return {"stan": self.stan, "kind": self.kind, "ours": ours, "uploaded": theirs}


@dataclass(slots=True, repr=False)
class Settlement:
    """One 0500/920000 and what followed it, up to the code that ended it."""

    stan: int
    at_ms: int
    asked: Totals
    ours: Totals
    code: str
    uploaded: dict[int, Record] = field(default_factory=dict)
    repeated: int = 0
    differences: dict[int, Difference] = field(default_factory=dict)
    end_code: str | None = None

    @property
    def balanced(self) -> bool:
        return self.code == "00"

    @property
    def matched(self) -> int:
        return sum(stan not in self.differences for stan in self.uploaded)

    def dump(self, chip_details: int = 0) -> dict[str, object]:
        """Shape of the UnionPay settlement; `repeated`: records that came again."""
        result = 1 if self.balanced else 2
        return {
            "stan": self.stan,
            "at_ms": self.at_ms,
            "balanced": self.balanced,
            "code": self.code,
            "groups": {"all": {"asked": self.asked.as_dict(), "ours": self.ours.as_dict(), "result": result}},
            "uploaded": len(self.uploaded),
            "repeated": self.repeated,
            "chip_details": chip_details,
            "matched": self.matched,
            "differences": [one.dump() for _, one in sorted(self.differences.items())],
            "end_code": self.end_code,
            "end_count": None,
        }


@dataclass(slots=True, repr=False)
class Batch:
    """One batch of a terminal: `entries` by STAN. TOTALLED means that an upload is awaited (code 95)."""

    number: int
    voids: Voids = "excluded"
    state: BatchState = BatchState.OPEN
    entries: dict[int, Entry] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    certificates: set[int] = field(default_factory=set)
    closed_at_ms: int | None = None

    @property
    def chip_details(self) -> int:
        """How many certificates (TC) came, each once."""
        return len(self.certificates)

    def totals(self) -> Totals:
        return totals_of([one.as_record(self.voids) for one in self.counted()])

    def counted(self) -> list[Entry]:
        """What stands in the totals and belongs in an upload."""
        return [one for one in self.entries.values() if one.side(self.voids) is not None]

    def dump(self) -> dict[str, object]:
        return {
            "number": self.number,
            "state": self.state.value,
            "transactions": [entry.dump() for entry in self.entries.values()],
            "totals": {"all": self.totals().as_dict()},
            "settlements": [settlement.dump(self.chip_details) for settlement in self.settlements],
            "chip_details": self.chip_details,
            "closed_at_ms": self.closed_at_ms,
        }


def totals_of(records: list[Record]) -> Totals:
    """The totals of uploaded or expected records."""
    sold = [one.amount_minor for one in records if not one.refund]
    refunded = [one.amount_minor for one in records if one.refund]
    return Totals(len(sold), sum(sold), len(refunded), sum(refunded))


Remembered = dict[tuple[str, str, int], tuple[str, Message]]
"""(MTI, processing code, STAN) of a management message to what it said and what it was answered."""


@dataclass(slots=True, repr=False)
class Terminal:
    """One terminal as the acquirer sees it."""

    settings: TerminalSettings
    batches: list[Batch]
    sign_ins: int = 0
    reversed_unknown: dict[tuple[int, int], int] = field(default_factory=dict)
    management_answers: Remembered = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def batch(self) -> Batch:
        return self.batches[-1]

    def find_batch(self, number: int) -> Batch | None:
        """The newest batch with this number."""
        return next((batch for batch in reversed(self.batches) if batch.number == number), None)

    def find_rrn(self, rrn: str) -> Entry | None:
        """The newest entry with this retrieval reference, in any batch."""
        every = (entry for batch in reversed(self.batches) for entry in reversed(batch.entries.values()))
        return next((entry for entry in every if entry.rrn == rrn), None)

    def completion_of(self, pre_auth: Entry) -> Entry | None:
        """The approved completion of a pre-authorisation, in any batch."""
        every = (entry for batch in self.batches for entry in batch.entries.values())
        alive = (one for one in every if one.kind is Kind.COMPLETION and one.state is not EntryState.DECLINED)
        return next((one for one in alive if one.original is pre_auth), None)

    def dump(self) -> dict[str, object]:
        return {
            "tid": self.settings.tid,
            "mid": self.settings.mid,
            "signed_in": self.sign_ins > 0,
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
        voids = settings.nac.voids
        terminals = {one.tid: Terminal(one, [Batch(one.batch, voids)]) for one in settings.terminals}
        return cls(terminals, {card.pan: Card(card, card.balance) for card in settings.cards})

    def dump(self) -> dict[str, object]:
        """JSON-ready: card numbers masked; amounts in minor units."""
        return {
            "profile": "nac",
            "terminals": [terminal.dump() for terminal in self.terminals.values()],
            "cards": [
                {"card": mask_pan(pan), "scheme": card.settings.scheme, "balance": card.balance_minor}
                for pan, card in self.cards.items()
            ],
        }
