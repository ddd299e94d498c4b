"""The audit at the end of a run: the host's books against the journal, and both against what terminals were told (P2).

It reads the journal as a person with the books would (ledger.py), and never asks the engine.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulators.host.books import Batch, BatchState, Books, Entry, Settlement
from simulators.world.ledger import Close, Known, Ledger
from simulators.world.stage import Stage
from simulators.world.terminals import Agent, View
from simulators.world.till_audit import audit_tills
from simulators.world.tills import Till
from simulators.world.used_once import audit_uses

SEEN_BEFORE = "94"
CLOSE_MESSAGE = "0320"

OPEN = frozenset({"owed", "stuck", "conflict"})
"""Shown as open: a person can see that the money is not settled."""


class Numbers(Protocol):
    """The trace numbers of a gap (loss.Gap)."""

    def holds(self, stan: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a restored journal does not know: `requests` of which something was durable, and the gap of each terminal
    that posd shows."""

    requests: Collection[str] = ()
    gaps: Mapping[Any, Numbers] = field(default_factory=dict)

    def may_have(self, tid: str, stan: int) -> bool:
        return tid in self.gaps and self.gaps[tid].holds(stan)


NOTHING = Forgotten()


def audit(
    stage: Stage,
    ledger: Ledger,
    books: Books,
    agents: Iterable[Agent],
    tills: Iterable[Till],
    forgotten: Forgotten = NOTHING,
    *,
    unmaced_declines: bool,
    forced: bool,
) -> None:
    """Every promise about money, compared item by item. `unmaced_declines`: they are accepted (the knob of D10);
    `forced`: this host says "unbalanced" whatever it is asked."""
    entries = _entries(books)
    for known in ledger.requests.values():
        entry = entries.pop((known.tid, known.batch, known.stan), None)
        if known.request_id in forgotten.requests:
            stage.count("not known since a restore")
        else:
            _one(stage, known, entry, books, unmaced_declines)
    advised = {(known.tid, known.stan) for known in ledger.requests.values() if known.advice}
    for (tid, batch, stan), entry in entries.items():
        elsewhere = tid in forgotten.gaps and (tid, stan) in advised  # it left, then or again, under another batch
        refused_then = tid in forgotten.gaps and not entry.went_through
        if not refused_then and not elsewhere and not forgotten.may_have(tid, stan):
            stage.violate(f"the host has {tid}/{batch}/{stan}, and the journal has not")
    for agent in agents:
        for key, view in agent.views.items():
            if key not in forgotten.requests:
                told(stage, key, view, ledger.requests.get(key), agent)
    for tid, terminal in books.terminals.items():
        for odd in terminal.conformance:
            if not odd.startswith(CLOSE_MESSAGE):  # a host that moved on to another batch finds its own words in it odd
                stage.violate(f"{tid}: against the field lists: {odd}")
    audit_uses(stage, ledger.requests, books, {str(tid) for tid in forgotten.gaps})
    audit_tills(stage, ledger.requests, tills, forgotten.requests)
    _closes(stage, ledger, books, forced)


def _entries(books: Books) -> dict[tuple[str, int, int], Entry]:
    return {
        (tid, batch.number, entry.stan): entry
        for tid, terminal in books.terminals.items()
        for batch in terminal.batches
        for entry in batch.entries.values()
    }


def _one(stage: Stage, known: Known, entry: Entry | None, books: Books, unmaced_declines: bool) -> None:
    """One request here and there."""
    stage.count(f"posd: {known.status}")
    counts = entry is not None and entry.went_through and known.kind != "balance"
    there = "nothing" if entry is None else entry.state.value
    what = f"{known.request_id} (STAN {known.stan}, batch {known.batch}) is {known.status} here and {there} there"
    if entry is not None and known.kind != "balance" and entry.requested_minor != known.amount:
        stage.violate(f"{what}, with another amount")
    if known.status == "sent":
        stage.violate(f"{what}: nothing became of it")
    elif known.advice:
        _advice(stage, known, entry, what)
    elif known.status == "approved" and not counts and known.kind != "balance":
        stage.violate(what)
    elif known.kind == "refund" and known.status in ("reversed", "owed", "stuck", "conflict", "unknown", "resolved"):
        stage.violate(f"{what}: a refund is never reversed (D13)")
    elif known.status in ("declined", "reversed", "unknown", "not done", "not sent") and counts:
        if known.status == "declined" and unmaced_declines:
            stage.count("suspect: a decline without MAC")  # D10: the knob accepts this, the batch is out of balance
        elif known.status == "reversed" and _denied_then_approved(known, books):
            stage.count("suspect: approved after 25")  # the answer was lost: nobody here could know
        elif known.evidence == "reconciliation" and _after_the_totals(known, entry, books):
            stage.count("suspect: a refund after the totals")  # they agreed without it; its answer was lost
        else:
            stage.violate(what)


def _advice(stage: Stage, known: Known, entry: Entry | None, what: str) -> None:
    """The host has it, unless it said no; and nobody took it back from it."""
    there = entry is not None and entry.went_through
    if known.status == "stored":
        stage.violate(f"{what}: it was never delivered")
    elif known.status == "approved" and not there:
        if entry is not None and entry.code == SEEN_BEFORE and known.attempts > 1:
            stage.count("suspect: 94 at once, and its answer lost")  # the repeat was answered 94 too: that is D14
            return
        if known.evidence != "upload":  # it took the record of what it lacks: its people have to book it
            stage.violate(what)
        stage.count("an advice that only the upload told")
    elif known.status == "cancelled" and there:
        stage.violate(f"{what}: it was taken back before it left")
    elif known.status == "refused" and there:
        if not known.doubtful:
            stage.violate(f"{what}: the host has what it is said to have refused, without a doubt")
        again = "refused on a repeat" if known.code != SEEN_BEFORE else "answered 94 at once"
        stage.count(f"suspect: an advice that was {again}")


def _denied_then_approved(known: Known, books: Books) -> bool:
    """The host said 25 to the reversal, then took the delayed original after all (reference 1.10)."""
    return (known.batch, known.stan) in books.terminals[known.tid].reversed_unknown


def _after_the_totals(known: Known, entry: Entry | None, books: Books) -> bool:
    """The host took a delayed refund after it had said that the batch agrees without it."""
    batch = books.terminals[known.tid].find_batch(known.batch)
    settlements = batch.settlements if batch is not None else []
    return entry is not None and any(one.balanced and one.at_ms <= entry.at_ms for one in settlements)


def told(stage: Stage, key: str, view: View, known: Known | None, agent: Agent) -> None:
    """What the terminal believes against what the journal says of it."""
    status = known.status if known is not None else "never sent"
    if known is not None and known.kind == "balance":
        return
    match view:
        case View.APPROVED | View.REFUSED_TO_TAKE_BACK:
            advised = known is not None and known.advice and status != "cancelled"
            fits = status == "approved" or advised or (view is View.REFUSED_TO_TAKE_BACK and status != "sent")
        case View.DECLINED | View.FAILED if known is not None and known.kind == "refund" and known.doubted:
            fits = status != "sent"  # found out after the terminal was told
        case View.DECLINED | View.FAILED | View.TAKEN_BACK:
            fits = status not in ("approved", "sent", "stored", "refused")
        case View.FORGOTTEN:
            fits = True
        case View.ASKING:
            fits = not agent.idle
    if not fits:
        stage.violate(f"terminal believes that {key} is {view}, and it is {status}")


def _closes(stage: Stage, ledger: Ledger, books: Books, forced: bool) -> None:
    """Each due moment at most once; each batch once; balanced, or with a reason (D18)."""
    satisfied: set[tuple[str, int]] = set()
    for close in ledger.closes:
        stage.count(f"closed: {close.outcome}")
        if close.due_ms is not None and close.outcome != "empty":  # an empty batch may be skipped as often as one likes
            if (close.tid, close.due_ms) in satisfied:
                stage.violate(f"{close.tid} closed twice for the same due moment {close.due_ms}")
            if close.begun_ms < close.due_ms:
                stage.violate(f"{close.tid} closed before it was due")
            satisfied.add((close.tid, close.due_ms))
        batch = _closed_there(books, close)
        if close.outcome == "agreed" and (batch is None or not batch.settlements[-1].balanced):
            stage.violate(f"{close.tid}: batch {close.number} agreed here, and not at the host")
        reason = forced or bool(close.troubles) or any(name.startswith("suspect") for name in stage.stats)
        if close.outcome == "out_of_balance" and not reason:
            stage.violate(f"{close.tid}: batch {close.number} is out of balance without a reason")
        if batch is not None and reason is False and close.outcome == "agreed":
            _chips(stage, close, batch.settlements[-1])
        if batch is not None and forced and not close.troubles:
            _upload(stage, close, batch.settlements[-1])


def _upload(stage: Stage, close: Close, settlement: Settlement) -> None:
    """Forced to upload though the books agree: every item arrives, once and as it is (D21)."""
    wrong = [*settlement.missing, *settlement.mismatched, *settlement.extra]
    if close.outcome in ("agreed", "out_of_balance") and wrong and not any("suspect" in name for name in stage.stats):
        stage.violate(f"{close.tid}: batch {close.number} was not uploaded as it is: {wrong}")


def _chips(stage: Stage, close: Close, settlement: Settlement) -> None:
    """What the chips did arrives too, though the totals agree: once, and fitting (1.7, types 5 and 6)."""
    if settlement.chip:
        stage.count("chip details", len(settlement.chip))
    odd = [one.odd for one in settlement.chip.values() if one.odd]
    if settlement.chip_missing or odd:
        what = f"{settlement.chip_missing} missing, {odd} odd"
        stage.violate(f"{close.tid}: batch {close.number} was closed without what its chips did: {what}")


def _closed_there(books: Books, close: Close) -> Batch | None:
    for batch in books.terminals[close.tid].batches:
        if batch.number == close.number and batch.state is BatchState.CLOSED and batch.settlements:
            return batch
    return None
