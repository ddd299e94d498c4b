"""What the three parties wrote down, read for the audit: the host's books, posd's journal, the terminal's own lines.

The journal is read record by record, in a reading of its own that shares nothing with posd's fold but the records'
names: two readings that must agree. It judges nothing (demo_audit.py does) and never changes a file.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from posd.cli.demo.facts import (
    APPROVED,
    DECLINED,
    IN_DOUBT,
    KINDS,
    NOBODY,
    NOT_DONE,
    OPEN,
    Booked,
    Close,
    Entry,
    Evidence,
    Json,
    Ledger,
    Told,
)
from posd.journal.reader import JournalReader


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
        case "not_sent":
            found.status = DECLINED
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
