"""The audit of a demo: the host's books against posd's journal against what the terminal was told, to the cent.

Every check is a function of the evidence that says what it looked at and what it found; no finding may be explained
away, and nothing of posd's own judgement is taken over but for the one check that compares with it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from posd.cli.demo.accounts import (
    acknowledged,
    at_host_once,
    doubtful,
    explained,
    named,
    resolved,
    reversed_once,
)
from posd.cli.demo.facts import APPROVED, DECLINED, REVERSED, Booked, Entry, Evidence, Told
from posd.cli.demo.totals import balances, totals, uploaded_count, uploads
from posd.values import format_amount

FAILED = "98"
"""What it is told of a refund in doubt: that it failed (D13)."""

NOT_SENT_CODES = frozenset({"A0", "96", "98"})
"""What the terminal is told of a request that did not leave for the host."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the evidence. `looked_at`: how many things; `findings`: one line each, empty when all is well."""

    name: str
    title: str
    title_zh: str
    looked_at: int
    findings: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.findings


Question = Callable[[Evidence], Iterator[str]]


def money_checks(evidence: Evidence) -> list[Check]:
    """Everything that can be asked of books, journal and terminal. A check that saw nothing is a finding."""
    entries, closes = len(evidence.ledger.entries), len(evidence.ledger.closes)
    owed = sum(1 for entry in evidence.ledger.entries.values() if entry.owed)
    asked: list[tuple[str, str, str, int, Question]] = [
        ("approved", "approved here, at the host once", "批准的交易主机各有一笔", entries, at_host_once),
        ("booked", "at the host, explained here", "主机每笔都有出处", len(evidence.booked), explained),
        ("reversed", "unknown outcomes reversed once", "结果不明的均冲正一次", owed, reversed_once),
        ("acknowledged", "no reversal still owed", "无未完成冲正", owed, acknowledged),
        ("resolved", "refunds in doubt resolved", "存疑退货已确认", len(doubtful(evidence)), resolved),
        ("told", "the terminal was told the same", "终端所知一致", len(evidence.told), _told),
        ("sent", "no request left twice", "请求未重发", sum(evidence.ledger.sent.values()), _sent),
        ("totals", "totals of the closed batches", "批结总额一致", closes, totals),
        ("uploads", "uploaded records matched", "批上送逐笔相符", uploaded_count(evidence), uploads),
        ("balances", "the cards' balances", "卡余额一致", len(evidence.cards), balances),
        ("staged", "every trouble left its trace", "故障均已记录", len(evidence.staged), _staged),
        ("remarks", "the host has no remarks", "主机无异议", len(evidence.booked), _remarks),
    ]
    checks = []
    for name, title, title_zh, looked_at, question in asked:
        findings = tuple(question(evidence)) or (() if looked_at else ("there was nothing to look at",))
        checks.append(Check(name, title, title_zh, looked_at, findings))
    return checks


def _told(evidence: Evidence) -> Iterator[str]:
    """What the terminal was told is what both others know; and it asked for all that the journal has."""
    known = evidence.ledger.by_terminal_key()
    for told in evidence.told:
        entry = known.pop(told.key, None)
        name = f"terminal's batch {told.key[0]:06d} STAN {told.key[1]:06d}"
        for difference in _told_otherwise(told, entry):
            yield f"{name}: {difference}"
    for entry in known.values():
        yield f"{named(entry.key)}: in the journal, but the terminal never asked for it"


def _told_otherwise(told: Told, entry: Entry | None) -> Iterator[str]:
    if entry is None:
        if told.outcome != DECLINED or told.code not in NOT_SENT_CODES:
            yield f"told {told.outcome} {told.code or ''}, and the journal has no such transaction"
        return
    outcome = entry.outcome
    if entry.doubts:
        if (told.outcome, told.code) != (DECLINED, FAILED):
            yield f"told {told.outcome} {told.code or ''} of a refund in doubt"
        return
    if told.outcome == APPROVED and outcome != APPROVED:
        yield f"told approved, {outcome} in the journal"
    if told.outcome == DECLINED and outcome not in (DECLINED, REVERSED):
        yield f"told declined, {outcome} in the journal"
    if told.outcome not in (APPROVED, DECLINED) and outcome != REVERSED:
        yield f"told nothing ({told.outcome}), {outcome} in the journal"
    if told.outcome == APPROVED and (told.rrn, told.amount_minor or 0) != (entry.rrn, entry.amount_minor):
        yield "told another RRN or amount than the journal has"


def _sent(evidence: Evidence) -> Iterator[str]:
    """Each financial request left exactly once: what carried a PIN block is never sent again (D12)."""
    known = evidence.ledger.by_key()
    for key, times in evidence.ledger.sent.items():
        if times != 1:
            yield f"{named(key)}: left {times} times"
        if key not in known:
            yield f"{named(key)}: left without a record"


def _staged(evidence: Evidence) -> Iterator[str]:
    """The demo did show what it says: each staged trouble is in the journal with its cause."""
    known = evidence.ledger.by_terminal_key()
    for name, key, why in evidence.staged:
        entry = known.get(key)
        found = (entry.whys[0] if entry.whys else None) if entry else "not there"
        if found != why:
            yield f"{name}: the journal says {found}, expected {why}"


def _remarks(evidence: Evidence) -> Iterator[str]:
    yield from evidence.remarks


def rows(evidence: Evidence) -> list[Mapping[str, object]]:
    """Transaction by transaction, the three side by side."""
    at_host = {booked.key: booked for booked in evidence.booked}
    told = {one.key: one for one in evidence.told}
    return [_row(entry, at_host.get(entry.key), told.get(entry.terminal_key)) for entry in _in_order(evidence)]


def _in_order(evidence: Evidence) -> list[Entry]:
    return list(evidence.ledger.entries.values())


def _row(entry: Entry, booked: Booked | None, told: Told | None) -> Mapping[str, object]:
    return {
        "batch": entry.key[0],
        "stan": entry.key[1],
        "kind": entry.kind,
        "amount": format_amount(entry.amount_minor),
        "amount_minor": entry.amount_minor,
        "card": entry.card,
        "rrn": entry.rrn,
        "why_unknown": entry.whys,
        "journal": entry.outcome,
        "host": booked.state if booked else "unknown",
        "times_reversed": booked.times_reversed if booked else 0,
        "told": f"{told.outcome} {told.code or ''}".strip() if told else "nothing",
    }
