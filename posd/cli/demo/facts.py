"""What the three parties wrote down, as plain facts: the vocabulary of the demo's audit.

Values only; demo_evidence.py reads them, demo_accounts.py and demo_totals.py compare them. Cards are masked.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posd.journal.contract import RecordView

Key = tuple[int, int]
"""(batch, STAN): the host's, or the terminal's own."""

Json = Mapping[str, Any]

APPROVED, DECLINED, REVERSED, OWED, OPEN = "approved", "declined", "reversed", "owed", "open"
IN_DOUBT, NOT_DONE = "in_doubt", "not_done"
"""How a transaction ended by posd's journal; OWED, OPEN and IN_DOUBT are no ends. Refunds alone have the last two."""

NOBODY = "nobody"
"""Who approved a settlement that was held and began all the same."""

KINDS = {"sale": "sale", "void": "sale_void", "balance": "balance", "refund": "refund"}
"""The terminal's and the journal's word for a kind -> the host's."""


@dataclass(slots=True)
class Entry:
    """One transaction by posd's journal. `whys`: causes of every unknown outcome; `resolutions`: who ended a doubt."""

    request_id: str
    kind: str
    amount_minor: int
    key: Key
    terminal_key: Key
    card: str
    original: str | None
    status: str = OPEN
    code: str | None = None
    rrn: str | None = None
    scheme: str = ""
    whys: list[str] = field(default_factory=list)
    owed: int = 0
    acknowledged: int = 0
    trouble: list[str] = field(default_factory=list)
    doubts: int = 0
    resolutions: list[Json] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """APPROVED, DECLINED, REVERSED or NOT_DONE; anything else is not settled."""
        if self.owed:
            return REVERSED if self.acknowledged >= self.owed else OWED
        return self.status

    @property
    def foreign(self) -> bool:
        """Its group in the totals (reference 1.6)."""
        return self.scheme.strip() not in ("", "CUP")


@dataclass(frozen=True, slots=True)
class Close:
    """One closed batch by the journal."""

    batch: int
    cause: str
    due_ms: int | None
    outcome: str
    totals: Json
    approved_by: str


@dataclass(frozen=True, slots=True)
class Staged:
    """A trouble that was staged for a request of the terminal, and the cause that posd must have written down."""

    name: str
    terminal_batch: int
    terminal_stan: int
    why: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """A close as it had to be. `approved_by`: who let it begin, where it was held above the maximum; else empty."""

    cause: str
    due_ms: int | None
    outcome: str
    approved_by: str = ""


@dataclass(slots=True)
class Ledger:
    """The journal, read. `sent`: how often a financial request left for the host, by (batch, STAN)."""

    entries: dict[str, Entry] = field(default_factory=dict)
    closes: list[Close] = field(default_factory=list)
    sent: Counter[Key] = field(default_factory=Counter)
    rows: int = 0
    records: list[RecordView] = field(default_factory=list)

    def by_key(self) -> dict[Key, Entry]:
        """The entries by the host's numbers."""
        return {entry.key: entry for entry in self.entries.values()}

    def by_terminal_key(self) -> dict[Key, Entry]:
        """The entries by the terminal's own numbers."""
        return {entry.terminal_key: entry for entry in self.entries.values()}


@dataclass(frozen=True, slots=True)
class Booked:
    """One transaction by the host's books."""

    key: Key
    kind: str
    state: str
    amount_minor: int
    requested_minor: int
    rrn: str
    card: str
    foreign: bool
    original_stan: int | None
    times_reversed: int
    times_asked: int

    @property
    def stands(self) -> bool:
        """Approved and not reversed; a voided sale stands, its void takes it back (reference 1.6)."""
        return self.state in ("approved", "voided")


@dataclass(frozen=True, slots=True)
class Told:
    """What the terminal was told about one of its requests. `outcome` as in its line: approved, declined, line_cut …"""

    key: Key
    kind: str
    outcome: str
    code: str | None
    rrn: str | None
    amount_minor: int | None


@dataclass(slots=True)
class Evidence:
    """All of it. `balances`: what each card had at first, by its masked number; `staged`: name, terminal's key, why.

    `settled`: the closes that the story had to bring about, in order; `alerts`: the alerts that it had to raise.
    """

    booked: list[Booked]
    batches: list[Json]
    cards: dict[str, int]
    remarks: list[str]
    reversed_unknown: set[Key]
    sign_ins: int
    ledger: Ledger
    told: list[Told]
    closes_told: list[str]
    balances: Mapping[str, int] = field(default_factory=dict)
    staged: list[tuple[str, Key, str | None]] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
