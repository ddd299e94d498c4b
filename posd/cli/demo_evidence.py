"""What the three parties wrote down, read for the audit: the host's books, posd's journal, the terminal's own lines.

The journal is read record by record, in a reading of its own that shares nothing with posd's fold but the records'
names: two readings that must agree. It judges nothing (demo_audit.py does) and never changes a file.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posd.journal.contract import RecordView
from posd.journal.reader import JournalReader

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


def read_evidence(books: Path, journal: Path, told: Path, tid: str) -> Evidence:
    """Read all three. Raises OSError, ValueError, KeyError for what is not there or not readable, PosdError."""
    everything = json.loads(books.read_text())
    terminal = next(one for one in everything["terminals"] if one["tid"] == tid)
    lines = list(_lines(told))
    return Evidence(
        booked=[_booked(batch["number"], one) for batch in terminal["batches"] for one in batch["transactions"]],
        batches=terminal["batches"],
        cards={card["card"]: card["balance"] for card in everything["cards"]},
        remarks=terminal["remarks"],
        reversed_unknown={(one["batch"], one["stan"]) for one in terminal["reversed_unknown"]},
        sign_ins=terminal["sign_ins"],
        ledger=read_ledger(journal, tid),
        told=[_told(line) for line in lines if line["do"] in KINDS],
        closes_told=[line["outcome"] for line in lines if line["do"] == "settle"],
    )


def read_ledger(journal: Path, tid: str) -> Ledger:
    """The journal of one terminal in plain facts. Raises ConfigError, StorageFailed."""
    ledger = Ledger()
    begun: Json = {}
    batch, approved_by = 0, ""
    with JournalReader(journal) as reader:
        for record in reader.records(tid=tid):
            ledger.rows += 1
            ledger.records.append(record)
            facts = json.loads(record.payload)
            if record.kind in ("settlement_begun", "batch_skipped"):
                begun = facts
            if record.kind == "totals_asked":
                batch = record.batch or 0
            if record.kind == "settlement_held":
                approved_by = NOBODY
            if record.kind == "settlement_approved":
                approved_by = facts["by"]
            if record.kind == "batch_closed":
                cause, due_ms = begun["cause"], begun["due_ms"]
                ledger.closes.append(Close(batch, cause, due_ms, facts["outcome"], facts["totals"], approved_by))
                approved_by = ""
            _apply(ledger, record.kind, facts)
        for mti in ("0200", "0220"):
            for message in reader.messages(tid=tid, mti=mti):
                if (message.direction, message.peer) == ("out", "host"):
                    ledger.sent[message.batch or 0, message.stan or 0] += 1
    return ledger


def _apply(ledger: Ledger, kind: str, facts: Json) -> None:
    if kind == "authorisation_started":
        entry = _entry(facts)
        ledger.entries[entry.request_id] = entry
        return
    found = ledger.entries.get(facts.get("request_id") or "")
    if found is None:
        return
    match kind:
        case "approved" | "declined":
            found.status, answer = kind, facts["facts"]
            found.code, found.rrn, found.scheme = answer["code"], answer["rrn"], answer["scheme"] or ""
        case "outcome_unknown":
            found.status = OPEN
            found.whys.append(facts["why"])
        case "refund_in_doubt":
            found.status = IN_DOUBT
            found.whys.append(facts["why"])
            found.doubts += 1
        case "refund_resolved":
            found.status = APPROVED if facts["happened"] else NOT_DONE
            found.resolutions.append(facts)
        case "reversal_owed" | "reversal_reopened":
            found.owed += 1
        case "reversal_acknowledged":
            found.acknowledged += 1
        case "reversal_stuck" | "reversal_conflict" | "reversal_resolved":
            found.trouble.append(kind)
        case _:
            pass


def _entry(facts: Json) -> Entry:
    return Entry(
        request_id=facts["request_id"],
        kind=facts["kind"],
        amount_minor=facts["amount_minor"],
        key=(facts["batch_number"], facts["stan"]),
        terminal_key=(facts["terminal_batch"], facts["terminal_stan"]),
        card=(facts["card"] or {}).get("masked", ""),
        original=facts["original"],
    )


def _booked(batch: int, one: Json) -> Booked:
    return Booked(
        key=(batch, one["stan"]),
        kind=one["kind"],
        state=one["state"],
        amount_minor=one["amount"],
        requested_minor=one["requested"],
        rrn=one["rrn"],
        card=one["card"],
        foreign=one["foreign"],
        original_stan=one["original_stan"],
        times_reversed=one["times_reversed"],
        times_asked=one["times_asked"],
    )


def _told(line: Json) -> Told:
    return Told((line["batch"], line["stan"]), line["do"], line["outcome"], line["code"], line["rrn"], line["amount"])


def _lines(path: Path) -> Iterator[Json]:
    for text in path.read_text().splitlines():
        line = json.loads(text)
        if isinstance(line, dict) and "stan" in line:
            yield line
