"""Transaction by transaction: the journal against the host's books, both ways.

Every question yields one line for each difference, and none when the two agree. Nothing is explained away.
"""

from collections import Counter
from collections.abc import Iterator

from posd.cli.demo.facts import (
    APPROVED,
    DECLINED,
    IN_DOUBT,
    KINDS,
    NOT_DONE,
    OPEN,
    OWED,
    REVERSED,
    Booked,
    Entry,
    Evidence,
    Key,
)
from posd.values import format_amount


def named(key: Key) -> str:
    """A transaction for a finding."""
    return f"batch {key[0]:06d} STAN {key[1]:06d}"


def at_host_once(evidence: Evidence) -> Iterator[str]:
    """Every approved transaction of the journal stands at the host exactly once, with its amount and RRN."""
    times = Counter(booked.key for booked in evidence.booked)
    at_host = {booked.key: booked for booked in evidence.booked}
    for entry in evidence.ledger.entries.values():
        if entry.outcome in (OPEN, OWED, IN_DOUBT):
            yield f"{named(entry.key)}: its outcome is still {entry.outcome} in the journal"
        if entry.outcome != APPROVED:
            continue
        if times[entry.key] != 1:
            yield f"{named(entry.key)}: approved in the journal, {times[entry.key]} times at the host"
        else:
            yield from _differences(entry, at_host[entry.key], evidence)
    for rrn, count in Counter(booked.rrn for booked in evidence.booked if booked.stands).items():
        if count > 1:
            yield f"RRN {rrn} stands {count} times in the host's books"


def _differences(entry: Entry, booked: Booked, evidence: Evidence) -> Iterator[str]:
    name = named(entry.key)
    if not booked.stands:
        yield f"{name}: approved in the journal, {booked.state} at the host"
    if booked.amount_minor != entry.amount_minor:
        ours, theirs = format_amount(entry.amount_minor), format_amount(booked.amount_minor)
        yield f"{name}: {ours} in the journal, {theirs} at the host"
    if booked.rrn != entry.rrn and not (entry.rrn is None and entry.resolutions):  # a person gives no RRN
        yield f"{name}: RRN {entry.rrn} in the journal, {booked.rrn} at the host"
    if booked.kind != KINDS[entry.kind]:
        yield f"{name}: a {entry.kind} in the journal, a {booked.kind} at the host"
    if booked.card != entry.card:
        yield f"{name}: another card at the host"
    original = (
        evidence.ledger.entries.get(entry.original or "") if entry.kind != "refund" else None
    )  # booked by its card
    if (original.key[1] if original else None) != booked.original_stan:
        yield f"{name}: takes back another sale at the host"


def explained(evidence: Evidence) -> Iterator[str]:
    """Nothing is at the host that the journal does not know, or knows otherwise."""
    known = evidence.ledger.by_key()
    for one in evidence.booked:
        entry, name = known.get(one.key), named(one.key)
        if entry is None:
            yield f"{name}: {one.state} at the host, unknown to the journal"
        elif one.stands and entry.outcome != APPROVED:
            yield f"{name}: {one.state} at the host, {entry.outcome} in the journal"
        elif one.state == DECLINED and entry.outcome not in (DECLINED, REVERSED):
            yield f"{name}: declined at the host, {entry.outcome} in the journal"
        elif one.state == REVERSED and entry.outcome != REVERSED:
            yield f"{name}: reversed at the host, {entry.outcome} in the journal"
        if one.times_asked != 1:
            yield f"{name}: the host was asked {one.times_asked} times"


def reversed_once(evidence: Evidence) -> Iterator[str]:
    """Whatever had no known outcome has no effect at the host: reversed there, refused there, or never there."""
    at_host = {booked.key: booked for booked in evidence.booked}
    for entry in evidence.ledger.entries.values():
        if (not entry.whys and not entry.owed) or entry.doubts:  # a doubt is not reversed: see resolved
            continue
        booked, name = at_host.get(entry.key), named(entry.key)
        if not entry.owed and entry.kind != "balance":
            yield f"{name}: its outcome was unknown ({', '.join(entry.whys)}) and no reversal was owed"
        if booked is None and entry.owed and entry.key not in evidence.reversed_unknown:
            yield f"{name}: its reversal is acknowledged, but the host knows neither it nor its reversal"
        if booked is not None and booked.kind != "balance" and booked.stands:
            yield f"{name}: its outcome was unknown and it still stands at the host"
        if booked is not None and booked.state == REVERSED and booked.times_reversed < 1:
            yield f"{name}: reversed at the host by nobody"


def resolved(evidence: Evidence) -> Iterator[str]:
    """A refund in doubt was never reversed, a named person ended the doubt once, and the host's books say the same."""
    at_host = {booked.key: booked for booked in evidence.booked}
    for entry in doubtful(evidence):
        booked, name = at_host.get(entry.key), named(entry.key)
        if entry.kind != "refund":
            yield f"{name}: a {entry.kind} was left in doubt"
        if entry.owed:
            yield f"{name}: a refund in doubt was reversed"
        if entry.outcome not in (APPROVED, NOT_DONE) or len(entry.resolutions) != 1:
            yield f"{name}: {entry.outcome} in the journal after {len(entry.resolutions)} resolutions"
        if (booked is not None and booked.stands) != (entry.outcome == APPROVED):
            yield f"{name}: {booked.state if booked else 'unknown'} at the host, {entry.outcome} in the journal"
        for one in entry.resolutions:
            if not (one["how"] == "person" and one["by"] and one["reason"]):
                yield f"{name}: resolved by {one['how']}, name and reason are missing"


def doubtful(evidence: Evidence) -> list[Entry]:
    """Whatever was in doubt at some time."""
    return [entry for entry in evidence.ledger.entries.values() if entry.doubts]


def acknowledged(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.ledger.entries.values():
        if entry.owed > entry.acknowledged:
            yield f"{named(entry.key)}: its reversal is not acknowledged"
        for trouble in entry.trouble:
            yield f"{named(entry.key)}: {trouble}"
