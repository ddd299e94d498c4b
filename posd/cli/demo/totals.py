"""The sums: the closed batch in every view that there is of it, and what each card has left.

Every question yields one line for each difference, and none when all agree; the totals are summed up anew from both
sides, nothing is believed because somebody says "balanced".
"""

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from posd.cli.demo.facts import APPROVED, KINDS, Evidence, Json, Settled

NO_MONEY = {"debit_minor": 0, "debit_count": 0, "credit_minor": 0, "credit_count": 0}
SCHEDULE, OPERATOR = "schedule", "operator"
AGREED, OUT_OF_BALANCE = "agreed", "out_of_balance"
CLOSED, BALANCED = "closed", "balanced"
END_BALANCED, END_UNBALANCED = "207", "202"
"""Codes of the end message (reference 1.7)."""


def totals(evidence: Evidence) -> Iterator[str]:
    """The closed batch: the same totals in the journal, in the host's books, and summed up anew from each side."""
    closes = {close.batch: close for close in evidence.ledger.closes}
    if len(closes) != len(evidence.ledger.closes):
        yield "a batch was closed twice in the journal"
    found = [Settled(close.cause, close.due_ms, close.outcome, close.approved_by) for close in evidence.ledger.closes]
    for number, (had_to_be, was) in enumerate(zip_longest(evidence.settled, found), 1):
        if had_to_be != was:
            yield f"close {number} was {_close_text(was)}; it had to be {_close_text(had_to_be)}"
    for batch in evidence.batches:
        number = batch["number"]
        close = closes.pop(number, None)
        if (batch["state"] == CLOSED) != (close is not None):
            ours = "closed" if close else "not closed"
            yield f"batch {number:06d}: {batch['state']} at the host, {ours} in the journal"
        if close is None:
            continue
        views = {
            "the host's own totals": batch["totals"],
            "the sum of the host's transactions": _host_sum(evidence, number),
            "the sum of the journal's transactions": _journal_sum(evidence, number),
            **_asked(batch),
        }
        for view, totals in views.items():
            if totals != close.totals:
                yield f"batch {number:06d}: {view} are not the totals in the journal"
    for number in closes:
        yield f"batch {number:06d}: closed in the journal, unknown to the host"
    for outcome in evidence.closes_told:
        if outcome != BALANCED:
            yield f"the terminal's own close was {outcome}"


def _close_text(settled: Settled | None) -> str:
    if settled is None:
        return "none"
    due = "" if settled.due_ms is None else f", due {settled.due_ms}"
    approved = f", approved by {settled.approved_by}" if settled.approved_by else ""
    return f"{settled.outcome}, cause {settled.cause}{due}{approved}"


def uploads(evidence: Evidence) -> Iterator[str]:
    """What did not balance was uploaded record by record, and the host matched each one; what balanced was not."""
    at_journal = {close.batch: close for close in evidence.ledger.closes}
    for batch in evidence.batches:
        close = at_journal.get(batch["number"])
        for settlement in batch["settlements"]:
            name = f"batch {batch['number']:06d}"
            unbalanced = {group for group, one in settlement["groups"].items() if one["result"] != 1}
            agreed = close is not None and close.outcome == AGREED
            if agreed == bool(unbalanced):
                yield f"{name}: closed as {close.outcome if close else 'nothing'}, unbalanced: {sorted(unbalanced)}"
            end = END_UNBALANCED if unbalanced else END_BALANCED
            if (settlement["end_code"], settlement["end_count_agrees"]) != (end, True):
                yield f"{name}: ended with {settlement['end_code']} and count {settlement['end_count']}"
            wanted = _to_upload(evidence, batch["number"], unbalanced)
            if not settlement["uploaded"] == settlement["matched"] == wanted:
                counted = f"{settlement['uploaded']} uploaded, {settlement['matched']} matched"
                yield f"{name}: {wanted} records to upload, {counted}"
            yield from (f"{name}: STAN {one['stan']:06d}: {one['kind']}" for one in settlement["differences"])


def uploaded_count(evidence: Evidence) -> int:
    """How many records the host was given."""
    return sum(settlement["uploaded"] for batch in evidence.batches for settlement in batch["settlements"])


def _to_upload(evidence: Evidence, batch: int, unbalanced: set[str]) -> int:
    """Money of the journal in these groups."""
    return sum(
        entry.key[0] == batch
        and entry.outcome == APPROVED
        and entry.kind != "balance"
        and ("foreign" if entry.foreign else "domestic") in unbalanced
        for entry in evidence.ledger.entries.values()
    )


def _asked(batch: Json) -> dict[str, Json]:
    """What stood in the 0500 and in its answer."""
    settlements = batch["settlements"]
    if len(settlements) != 1:
        return {f"{len(settlements)} settlements at the host": {}}
    groups = settlements[0]["groups"]
    return {
        f"the {side} of the settlement message": {name: group[side] for name, group in groups.items()}
        for side in ("asked", "ours")
    }


def _host_sum(evidence: Evidence, batch: int) -> Json:
    counted = [one for one in evidence.booked if one.key[0] == batch and one.stands]
    return _sum([(one.kind, one.foreign, one.amount_minor) for one in counted])


def _journal_sum(evidence: Evidence, batch: int) -> Json:
    entries = [one for one in evidence.ledger.entries.values() if one.key[0] == batch and one.outcome == APPROVED]
    return _sum([(KINDS[one.kind], one.foreign, one.amount_minor) for one in entries])


def _sum(counted: list[tuple[str, bool, int]]) -> Json:
    """Sales are debit, voids and refunds credit, by group (reference 1.6)."""
    groups = {"domestic": dict(NO_MONEY), "foreign": dict(NO_MONEY)}
    for kind, foreign, amount_minor in counted:
        if kind == "balance":
            continue
        group, side = groups["foreign" if foreign else "domestic"], "debit" if kind == "sale" else "credit"
        group[f"{side}_minor"] += amount_minor
        group[f"{side}_count"] += 1
    return groups


def balances(evidence: Evidence) -> Iterator[str]:
    """Each card has lost exactly what the journal approved and did not take back: nothing moved twice."""
    expected = Counter(evidence.balances)
    for entry in evidence.ledger.entries.values():
        if entry.outcome == APPROVED:
            expected[entry.card] += {"sale": -1, "void": 1, "balance": 0, "refund": 1}[entry.kind] * entry.amount_minor
    for card in sorted(set(expected) | set(evidence.cards)):
        if expected[card] != evidence.cards.get(card):
            has = evidence.cards.get(card)
            yield f"card {card}: has {has} at the host, {expected[card]} by the journal (minor units)"
