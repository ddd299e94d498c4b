"""The audit of the NAC demo: the host's books against posd's journal against what the terminal was told, to the cent.

The journal is read record by record, in a reading of its own that shares nothing with posd's fold but the records'
names. No finding may be explained away.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posd.cli.demo.audit import Check
from posd.cli.demo.canary import Canary, bytes_canary, digits_canary
from posd.cli.demo.nac_plan import EXPIRY, OPENING_BALANCE_MINOR, TID, Plan
from posd.cli.demo.nac_story import NacStory
from posd.cli.demo.proof import canary_check, chain_check, log_check
from posd.cli.demo.stage import Folder
from posd.daemon.recover import fold
from posd.journal.contract import StoredRecord
from posd.journal.reader import JournalReader
from posd.values import format_amount
from simulators.terminal.nac_core import TRACK_TAIL

HOSTS_WORD = {
    "sale": "sale",
    "refund": "refund",
    "void": "void",
    "refund_void": "void",
    "preauth": "pre_auth",
    "offline_sale": "offline_sale",
    "completion_notice": "completion",
    "void_notice": "adjust",
    "adjust": "adjust",
    "tip": "adjust",
}
SOLD = frozenset({"sale", "offline_sale", "completion_notice", "adjust", "tip"})
ADVICES = frozenset({"offline_sale", "completion_notice", "void_notice", "adjust", "tip"})
STANDING = frozenset({"approved", "voided"})


@dataclass(slots=True)
class Entry:
    """One request by posd's journal."""

    request_id: str
    kind: str
    amount_minor: int
    key: tuple[int, int]
    terminal_stan: int
    card: str
    original: str | None
    rrn: str | None = None
    status: str = "open"
    whys: list[str] = field(default_factory=list)
    owed: int = 0
    acknowledged: int = 0
    replaced_by: str | None = None

    @property
    def outcome(self) -> str:
        if self.owed:
            return "reversed" if self.acknowledged >= self.owed else "owed"
        return self.status

    @property
    def counts(self) -> bool:
        """It stands in the totals (reference 2.4)."""
        money = self.outcome == "approved" and self.replaced_by is None
        return money and (self.kind in SOLD or self.kind == "refund")


@dataclass(slots=True)
class Evidence:
    """All that was written down. `closes`: cause, outcome, number and totals of each, by the journal."""

    entries: dict[str, Entry] = field(default_factory=dict)
    closes: list[tuple[str, str, int, Any]] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)
    cards: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    unknown_reversed: set[tuple[int, int]] = field(default_factory=set)


def read_evidence(folder: Folder) -> Evidence:
    """Read all three. Raises OSError, ValueError, KeyError, PosdError for what cannot be read."""
    books = json.loads(folder.books.read_text())
    terminal = books["terminals"][0]
    evidence = Evidence(
        batches=terminal["batches"],
        cards={card["card"]: card["balance"] for card in books["cards"]},
        remarks=terminal["remarks"],
        told=[json.loads(line) for line in folder.told.read_text().splitlines()],
        unknown_reversed={(one["batch"], one["stan"]) for one in terminal["reversed_unknown"]},
    )
    _read_journal(folder.journal, evidence)
    return evidence


def _read_journal(journal: Path, evidence: Evidence) -> None:
    cause, batch = "", 0
    with JournalReader(journal) as reader:
        for row in reader.records(tid=TID):
            evidence.records.append(row)
            said = json.loads(row.payload)
            match row.kind:
                case "settlement_begun" | "batch_skipped":
                    cause = said["cause"]
                case "totals_asked":
                    batch = row.batch or 0
                case "batch_closed":
                    evidence.closes.append((cause, said["outcome"], batch, said["totals"]["domestic"]))
                case "authorisation_started" | "advice_stored":
                    evidence.entries[said["request_id"]] = _entry(said)
            _apply(evidence.entries.get(said.get("request_id") or ""), row.kind, said)


def _entry(said: Mapping[str, Any]) -> Entry:
    return Entry(
        said["request_id"],
        said["kind"],
        said["amount_minor"],
        (said["batch_number"], said["stan"]),
        said["terminal_stan"],
        (said["card"] or {}).get("masked", ""),
        said["original"],
    )


def _apply(entry: Entry | None, kind: str, said: Mapping[str, Any]) -> None:
    if entry is None:
        return
    match kind:
        case "approved" | "advice_acknowledged":
            entry.status, entry.rrn = "approved", said["facts"]["rrn"]
        case "declined":
            entry.status = "declined"
        case "not_sent":
            entry.status = "declined"
        case "advice_attempted":
            entry.key = (said["batch_number"], entry.key[1])
        case "outcome_unknown":
            entry.whys.append(said["why"])
        case "reversal_owed" | "reversal_reopened":
            entry.owed += 1
        case "reversal_acknowledged":
            entry.acknowledged += 1
        case "amount_replaced":
            entry.replaced_by = said["by"]


def checks_of(evidence: Evidence, story: NacStory, plan: Plan, folder: Folder) -> list[Check]:
    """Every question; one that saw nothing is a finding."""
    every, booked = len(evidence.entries), sum(len(batch["transactions"]) for batch in evidence.batches)
    owed = sum(1 for one in evidence.entries.values() if one.owed)
    uploaded = sum(one["uploaded"] for batch in evidence.batches for one in batch["settlements"])
    advices = sum(one.kind in ADVICES for one in evidence.entries.values())
    asked: list[tuple[str, str, str, int, Iterator[str]]] = [
        ("approved", "approved here, at the host once", "批准的交易主机各有一笔", every, _at_host(evidence)),
        ("booked", "at the host, explained here", "主机每笔都有出处", booked, _explained(evidence)),
        ("reversed", "unknown outcomes reversed once", "未知结果均冲正一次", owed, _reversed(evidence)),
        ("advices", "each advice delivered once", "通知类交易各送达一次", advices, _advices(evidence)),
        ("told", "the terminal was told the same", "终端所知一致", len(evidence.told), _told(evidence)),
        ("totals", "totals of the closed batches", "批结总额一致", len(evidence.closes), _totals(evidence)),
        ("closes", "closed as it had to be", "批结方式一致", len(story.closes), _closes(evidence, story)),
        ("uploads", "uploaded records matched", "批上送逐笔相符", uploaded, _uploads(evidence)),
        ("balances", "the cards' balances", "卡余额一致", len(evidence.cards), _balances(evidence, plan)),
        ("staged", "every trouble left its trace", "故障均已记录", len(story.whys), _staged(evidence, story)),
        ("remarks", "the host has no remarks", "主机无异议", booked, iter(evidence.remarks)),
        ("fold", "posd's own state agrees", "状态重算一致", len(evidence.records), _fold(evidence)),
    ]
    checks = []
    for name, title, title_zh, looked_at, found in asked:
        findings = tuple(found) or (() if looked_at else ("there was nothing to look at",))
        checks.append(Check(name, title, title_zh, looked_at, findings))
    key = bytes.fromhex(folder.machine_key.read_text().strip())
    secrets = [*_canaries(plan), bytes_canary("the machine key", key)]
    return [
        *checks,
        chain_check(folder.journal, folder.machine_key),
        log_check(folder.log, story.alerts),
        canary_check(folder.posd, (folder.machine_key,), folder.host / "host.yaml", secrets),
    ]


def _booked(evidence: Evidence) -> dict[tuple[int, int], Any]:
    return {(batch["number"], one["stan"]): one for batch in evidence.batches for one in batch["transactions"]}


def _name(key: tuple[int, int]) -> str:
    return f"batch {key[0]:06d} STAN {key[1]:06d}"


def _at_host(evidence: Evidence) -> Iterator[str]:
    booked = _booked(evidence)
    for entry in evidence.entries.values():
        one, name = booked.get(entry.key), _name(entry.key)
        if entry.outcome in ("open", "owed"):
            yield f"{name}: its outcome is still {entry.outcome} in the journal"
        if entry.outcome != "approved":
            continue
        if one is None or one["state"] not in STANDING:
            yield f"{name}: approved in the journal, {one['state'] if one else 'unknown'} at the host"
            continue
        if (one["requested"], one["card"]) != (entry.amount_minor, entry.card) or one["kind"] != HOSTS_WORD[entry.kind]:
            yield f"{name}: another kind, amount or card at the host"
        if entry.rrn not in (one["rrn"], None):
            yield f"{name}: RRN {entry.rrn} in the journal, {one['rrn']} at the host"


def _explained(evidence: Evidence) -> Iterator[str]:
    known = {entry.key: entry for entry in evidence.entries.values()}
    for key, one in _booked(evidence).items():
        entry = known.get(key)
        ours = entry.outcome if entry else "unknown"
        expected = {"approved": "approved", "voided": "approved", "reversed": "reversed"}.get(one["state"])
        if entry is None or (expected is not None and ours != expected):
            yield f"{_name(key)}: {one['state']} at the host, {ours} in the journal"


def _reversed(evidence: Evidence) -> Iterator[str]:
    booked = _booked(evidence)
    for entry in evidence.entries.values():
        if not entry.whys and not entry.owed:
            continue
        one, name = booked.get(entry.key), _name(entry.key)
        if not entry.owed:
            yield f"{name}: its outcome was unknown ({', '.join(entry.whys)}) and no reversal was owed"
        if one is None and entry.key not in evidence.unknown_reversed:
            yield f"{name}: reversed here, and the host knows neither it nor its reversal"
        if one is not None and (one["state"] in STANDING or one["times_reversed"] < 1):
            yield f"{name}: its outcome was unknown and it is {one['state']} at the host"


def _advices(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.entries.values():
        if entry.kind in ADVICES and entry.outcome != "approved":
            yield f"{_name(entry.key)}: an advice ({entry.kind}) that is {entry.outcome}"


def _told(evidence: Evidence) -> Iterator[str]:
    known = {entry.terminal_stan: entry for entry in evidence.entries.values()}
    for line in evidence.told:
        if line.get("do") not in ("sale", "void", "refund", "preauth", "complete", "offline_sale", "adjust", "tip"):
            continue
        entry, name = known.get(line["stan"]), f"terminal's STAN {line['stan']:06d}"
        if entry is None:
            if line["outcome"] != "declined":
                yield f"{name}: told {line['outcome']}, and the journal does not know it"
            continue
        approved = entry.outcome == "approved"
        if approved != (line["outcome"] == "approved"):
            yield f"{name}: told {line['outcome']} {line['code'] or ''}, {entry.outcome} in the journal"
        if approved and entry.kind not in ADVICES and line["rrn"] != entry.rrn:
            yield f"{name}: told another RRN than the journal has"


def _sums(counted: list[tuple[bool, int]]) -> dict[str, int]:
    sums = {"debit_minor": 0, "debit_count": 0, "credit_minor": 0, "credit_count": 0}
    for sold, minor in counted:
        side = "debit" if sold else "credit"
        sums[f"{side}_minor"] += minor
        sums[f"{side}_count"] += 1
    return sums


def _totals(evidence: Evidence) -> Iterator[str]:
    """The same totals in every view that there is of them."""
    at_host = {batch["number"]: batch for batch in evidence.batches}
    if len({close[2] for close in evidence.closes}) != len(evidence.closes):
        yield "a batch was closed twice in the journal"
    for _, _, number, ours in evidence.closes:
        batch = at_host.get(number)
        if batch is None or batch["state"] != "closed":
            yield f"batch {number:06d}: closed here, {batch['state'] if batch else 'unknown'} at the host"
            continue
        mine = [one for one in evidence.entries.values() if one.key[0] == number and one.counts]
        theirs = [one for one in batch["transactions"] if one["state"] == "approved"]
        views = {
            "the host's own totals": batch["totals"]["all"],
            "the sum of the journal's transactions": _sums([(one.kind in SOLD, one.amount_minor) for one in mine]),
            "the sum of the host's transactions": _sums(
                [
                    (one["kind"] != "refund", one["amount"])
                    for one in theirs
                    if one["kind"] in ("sale", "offline_sale", "completion", "refund")
                ]
            ),
            **{f"what was asked ({n})": one["groups"]["all"]["asked"] for n, one in enumerate(batch["settlements"], 1)},
        }
        for view, totals in views.items():
            if totals != ours:
                yield f"batch {number:06d}: {view} are not the totals in the journal"


def _closes(evidence: Evidence, story: NacStory) -> Iterator[str]:
    found = [(cause, outcome) for cause, outcome, _, _ in evidence.closes]
    if found != story.closes:
        yield f"closed as {found}; it had to be {story.closes}"
    still_open = [batch["number"] for batch in evidence.batches if batch["state"] != "closed"]
    if len(still_open) != 1:
        yield f"open at the host: {still_open}"


def _uploads(evidence: Evidence) -> Iterator[str]:
    for batch in evidence.batches:
        for one in batch["settlements"]:
            counted = sum(entry.key[0] == batch["number"] and entry.counts for entry in evidence.entries.values())
            wanted = 0 if one["code"] == "00" else counted
            if not one["uploaded"] == one["matched"] == wanted:
                what = f"{one['uploaded']} uploaded, {one['matched']} matched"
                yield f"batch {batch['number']:06d}: {wanted} records to upload, {what}"
            yield from (f"batch {batch['number']:06d}: STAN {d['stan']}: {d['kind']}" for d in one["differences"])


def _balances(evidence: Evidence, plan: Plan) -> Iterator[str]:
    """Each card has lost exactly what counts in the journal, and what is still held."""
    expected = Counter({card.masked: OPENING_BALANCE_MINOR for card in plan.cards})
    completed = {entry.original for entry in evidence.entries.values() if entry.kind == "completion_notice"}
    for entry in evidence.entries.values():
        held = entry.kind == "preauth" and entry.outcome == "approved" and entry.request_id not in completed
        if entry.counts or held:
            expected[entry.card] += entry.amount_minor * (1 if entry.kind == "refund" else -1)
    for card in sorted(set(expected) | set(evidence.cards)):
        if expected[card] != evidence.cards.get(card):
            theirs = evidence.cards.get(card)
            yield f"card {card}: {theirs} at the host, {expected[card]} by the journal (minor units)"


def _staged(evidence: Evidence, story: NacStory) -> Iterator[str]:
    known = {entry.terminal_stan: entry for entry in evidence.entries.values()}
    for stan, why in story.whys.items():
        entry = known.get(stan)
        found = (entry.whys[0] if entry.whys else None) if entry else "not there"
        if found != why:
            yield f"terminal's STAN {stan:06d}: the journal says {found}, expected {why}"


def _fold(evidence: Evidence) -> Iterator[str]:
    rows = (StoredRecord(r.sequence, r.tid, r.kind, r.version, r.at_ms, r.payload) for r in evidence.records)
    recovered = fold(rows, None)
    if recovered is None or recovered.fenced:
        yield recovered.fenced if recovered else "the journal has no records"
        return
    state = recovered.state
    yield from (f"{one.request_id}: its reversal is {one.status}" for one in state.unended_reversals())
    yield from (f"{one.request_id}: an advice that is {one.status}" for one in state.undelivered_advices())
    for txn in (*state.closed.values(), *state.transactions.values()):
        ours = evidence.entries[txn.request_id].outcome
        if txn.status.value not in (ours, "not_sent" if ours == "declined" else ours):
            yield f"{txn.request_id}: {txn.status} by posd's fold, {ours} by the audit"


def _canaries(plan: Plan) -> list[Canary]:
    secrets = [digits_canary(f"the number of card {card.masked}", card.pan) for card in plan.cards]
    return [*secrets, digits_canary("a track's discretionary data", f"{EXPIRY}{TRACK_TAIL}")]


def rows(evidence: Evidence) -> list[Mapping[str, object]]:
    """Transaction by transaction, journal beside host."""
    booked = _booked(evidence)
    return [
        {
            "batch": entry.key[0],
            "stan": entry.key[1],
            "kind": entry.kind,
            "amount": format_amount(entry.amount_minor),
            "amount_minor": entry.amount_minor,
            "card": entry.card,
            "rrn": entry.rrn,
            "why_unknown": entry.whys,
            "journal": entry.outcome,
            "host": booked[entry.key]["state"] if entry.key in booked else "unknown",
            "counts": entry.counts,
        }
        for entry in evidence.entries.values()
    ]
