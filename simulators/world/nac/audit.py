"""The audit of the NAC world: the host's books against the journal, and both against what terminals were told (P2).

No message says its batch: a host that is reached after the close, by a doubled or late request, books it in its next
batch, and an entry is known here by its trace number alone. What only that explains is counted as a suspect.
"""

from collections.abc import Iterable

from simulators.host.books import BatchState, EntryState
from simulators.host.nac_books import Batch, Books, Entry
from simulators.world.audit import told
from simulators.world.host import Host
from simulators.world.ledger import Close, Known, Ledger
from simulators.world.nac.agents import NacAgent
from simulators.world.nac.plan import NacPlan
from simulators.world.stage import Stage
from simulators.world.terminals import View

SEEN_BEFORE = "94"
STANDING = frozenset({EntryState.APPROVED, EntryState.VOIDED})
NOT_THERE = frozenset({"declined", "reversed", "unknown", "not done", "not sent", "cancelled"})


def audit(stage: Stage, ledger: Ledger, host: Host, agents: Iterable[NacAgent], plan: NacPlan) -> None:
    """Every promise about money, compared item by item."""
    books: Books = host.acquirer.books
    entries = _entries(books)
    for known in ledger.requests.values():
        _one(stage, known, entries.pop((known.tid, known.stan), []), books)
    for tid, stan in entries:
        stage.violate(f"the host has {tid}/{stan}, and the journal has not")
    for agent in agents:
        _believed(stage, ledger, agent)
    _closes(stage, ledger, books, plan, host.moved)


def _believed(stage: Stage, ledger: Ledger, agent: NacAgent) -> None:
    """What its terminal believes; after a reset nothing that was asked under an old number may have been approved."""
    old: dict[str, View] = {}
    for views in (*agent.lives, agent.views):
        for key, view in views.items():
            if key not in old:
                told(stage, key, view, ledger.requests.get(key), agent)
            elif view is View.APPROVED and old[key] is View.APPROVED:
                stage.violate(f"{key} was approved before a reset, and the terminal was told so of another sale (D6)")
        old |= views


def _entries(books: Books) -> dict[tuple[str, int], list[Entry]]:
    found: dict[tuple[str, int], list[Entry]] = {}
    for tid, terminal in books.terminals.items():
        for batch in terminal.batches:
            for entry in batch.entries.values():
                found.setdefault((tid, entry.stan), []).append(entry)
    return found


def _one(stage: Stage, known: Known, entries: list[Entry], books: Books) -> None:
    """One request here and there."""
    stage.count(f"posd: {known.status}")
    standing = [entry for entry in entries if entry.state in STANDING]
    states = ", ".join(entry.state.value for entry in entries) or "nothing"
    what = f"{known.request_id} (STAN {known.stan}) is {known.status} here and {states} there"
    amount = 0 if known.kind == "void_notice" else known.amount
    if any(entry.requested_minor != amount for entry in entries):
        stage.violate(f"{what}, with another amount")
    if known.evidence == "upload" and any(entry.batch != known.batch for entry in standing):
        stage.count("suspect: an advice that the upload told, booked in the next batch by a late frame")
    if len(standing) > 1 or (len(entries) > 1 and standing):
        stage.count("suspect: doubled by the line after the close")
    elif known.status == "sent" or (known.advice and known.status == "stored"):
        stage.violate(f"{what}: nothing became of it")
    elif known.status == "approved" and not standing:
        _should_stand(stage, known, entries, what)
    elif known.status in NOT_THERE and standing:
        _should_not_stand(stage, known, books, what)
    elif known.status == "refused" and standing:
        if known.attempts <= 1 and known.code != SEEN_BEFORE:  # of a repeat, or by 94, that is no proof (D14)
            stage.violate(f"{what}: the host has what it refused")
        stage.count("suspect: an advice that was refused on a repeat, or by 94")


def _should_stand(stage: Stage, known: Known, entries: list[Entry], what: str) -> None:
    """Unless the host said that it has what it lacks."""
    if known.advice and known.attempts > 1 and any(entry.code == SEEN_BEFORE for entry in entries):
        stage.count("suspect: 94 at once, and its answer lost")  # the repeat was answered 94 too: that is D14
    elif known.evidence == "upload":
        stage.count("suspect: an advice that only the upload told")  # it took the record: its people have to book it
    else:
        stage.violate(what)


def _should_not_stand(stage: Stage, known: Known, books: Books, what: str) -> None:
    """Unless it came to the host after its reversal, and nobody here could know: its approval never reached us."""
    came_later = any(stan == known.stan for _, stan in books.terminals[known.tid].reversed_unknown)
    if known.status == "reversed" and came_later and not known.approved_late:
        stage.count("suspect: approved after its reversal, and its answer lost")
    elif known.evidence == "reconciliation":
        stage.count("suspect: a refund after the totals")
    else:
        stage.violate(what)


def _closes(stage: Stage, ledger: Ledger, books: Books, plan: NacPlan, moved: set[str]) -> None:
    """Each due moment at most once; each batch once; balanced, or with a reason (D18, D20)."""
    satisfied: set[tuple[str, int]] = set()
    for close in ledger.closes:
        stage.count(f"closed: {close.outcome}")
        if close.outcome == "empty":
            continue
        if close.due_ms is not None:
            if (close.tid, close.due_ms) in satisfied:
                stage.violate(f"{close.tid} closed twice for the same due moment {close.due_ms}")
            if close.begun_ms < close.due_ms:
                stage.violate(f"{close.tid} closed before it was due")
            satisfied.add((close.tid, close.due_ms))
        _close(stage, close, _batch(books, close), plan, close.tid in moved)


def _close(stage: Stage, close: Close, batch: Batch | None, plan: NacPlan, moved: bool) -> None:
    if batch is None:
        if not moved:
            stage.violate(f"{close.tid}: batch {close.number} is closed here ({close.outcome}), and not at the host")
        return
    last = batch.settlements[-1]
    suspect = moved or bool(close.troubles) or any(name.startswith("suspect") for name in stage.stats)
    if close.outcome == "agreed" and not (last.balanced or last.end_code == "00"):
        stage.violate(f"{close.tid}: batch {close.number} agreed here, and not at the host")
    if close.outcome == "agreed" and not suspect and last.asked != last.ours:
        stage.violate(f"{close.tid}: batch {close.number} agreed with other totals than the host's")
    if close.outcome == "out_of_balance" and last.end_code == "00" and close.ends_sent == 1:
        stage.count("suspect: a closing that the line doubled")  # the second was answered 77 or 95, and first
    elif close.outcome == "out_of_balance" and last.end_code == "00":
        stage.violate(
            f"{close.tid}: batch {close.number} agrees at the host; what a repeat was told is no word on it (D20)"
        )
    elif close.outcome == "out_of_balance" and not suspect and plan.nac.disagree != "always":
        stage.violate(f"{close.tid}: batch {close.number} is out of balance without a reason")
    if last.end_code is not None and not suspect and last.differences:
        stage.violate(f"{close.tid}: batch {close.number} was not uploaded as it is: {list(last.differences.values())}")


def _batch(books: Books, close: Close) -> Batch | None:
    for batch in books.terminals[close.tid].batches:
        if batch.number == close.number and batch.state is BatchState.CLOSED and batch.settlements:
            return batch
    return None
