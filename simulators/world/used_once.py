"""The audit of what refers to something: no sale is given back twice, no hold is captured twice, no tip outlives its
sale, and no advice is booked twice.

By the host's books, of what the journal also calls approved: what one of both does not have is found by audit.py. The
host lets a refund through whatever it names, so only posd keeps it from giving back too much.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

from simulators.host.books import Books, Entry
from simulators.host.kinds import Kind
from simulators.world.stage import Stage

CHANGES = frozenset({Kind.TIP, Kind.ADJUST})
COUNTED = frozenset({"approved", "stored", "refused"})
CAPTURES = frozenset({Kind.COMPLETION, Kind.COMPLETION_NOTICE})
REFERENCE = 4
"""Where field 37 stands in the fingerprint of a request."""


class Known(Protocol):
    """What this audit reads of a request in the journal (audit.Known)."""

    request_id: str
    tid: str
    batch: int
    stan: int
    kind: str
    status: str
    original: str
    advice: bool
    ended_late: bool


def audit_uses(stage: Stage, requests: Mapping[str, Known], books: Books, restored: Collection[str]) -> None:
    """Each sale and each hold of every terminal, but those whose journal does not know all, since it was `restored`."""
    _booked_once(stage, requests, books)
    _changes(stage, requests)
    ours = {(known.tid, known.batch, known.stan) for known in requests.values() if known.status == "approved"}
    for tid in books.terminals.keys() - set(restored):
        every = list(books.terminals[tid].entries())
        counted = [one for one in every if one.went_through and (tid, one.batch, one.stan) in ours]
        for entry in every:
            if entry.kind is Kind.SALE and entry.went_through:
                _given_back(stage, tid, entry, counted)
            if entry.kind is Kind.PREAUTH:
                _captured(stage, tid, entry, counted)


def _booked_once(stage: Stage, requests: Mapping[str, Known], books: Books) -> None:
    """Under whichever batch it left: it has one number for ever."""
    through = Counter(
        (tid, entry.stan) for tid, one in books.terminals.items() for entry in one.entries() if entry.went_through
    )
    for known in requests.values():
        if known.advice and (times := through[known.tid, known.stan]) > 1:
            stage.violate(f"the host has {known.request_id} {times} times")


def _changes(stage: Stage, requests: Mapping[str, Known]) -> None:
    """What counts in place of another goes with it, but for what people ended after the close."""
    for known in requests.values():
        first = known
        while first.kind in CHANGES and first.original in requests:
            first = requests[first.original]
        if first.ended_late:
            stage.count("a change of what people ended after the close")
        elif known.status in COUNTED and first.status not in COUNTED:
            stage.violate(f"{known.request_id} is {known.status}, and the {first.kind} of it is {first.status}")


def _given_back(stage: Stage, tid: str, sale: Entry, counted: list[Entry]) -> None:
    voids = [one for one in counted if one.kind is Kind.SALE_VOID and _first(one.original) is sale]
    refunds = [one for one in counted if one.kind is Kind.REFUND and _is_of(one, sale)]
    changes = [one for one in counted if one.kind in CHANGES and _first(one.original) is sale]
    given = sum(one.amount_minor for one in (*voids, *refunds))
    most = max(one.amount_minor for one in (sale, *changes))
    if given > most:
        stage.violate(f"{tid}/{sale.batch}/{sale.stan} of {most} was given back {given}, in {len(voids)} void(s) too")


def _captured(stage: Stage, tid: str, hold: Entry, counted: list[Entry]) -> None:
    captures = [one for one in counted if one.kind in CAPTURES and one.original is hold]
    voided = {id(one.original) for one in counted if one.kind is Kind.COMPLETION_VOID}
    if len(standing := [one.stan for one in captures if id(one) not in voided]) > 1:
        stage.violate(f"{tid}/{hold.batch}/{hold.stan} was captured twice, by {standing}")


def _first(entry: Entry | None) -> Entry | None:
    while entry is not None and entry.kind in CHANGES:
        entry = entry.original
    return entry


def _is_of(refund: Entry, sale: Entry) -> bool:
    return bool(sale.rrn) and refund.fingerprint[REFERENCE] == sale.rrn and refund.pan == sale.pan
