"""The machine is lost, and an older journal restored in its place: what was done since the backup is in no journal.

The world remembers it all the same: which requests, which trace numbers and which batches of before are not known any
more. From that follow the promises: no number is used again, nothing of it is done a second time, and everything that
is not known lies within the gap that posd shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from posd.core import events as e
from posd.core.rules import Rules
from posd.core.state import State
from posd.core.station import JournalRestored
from posd.daemon.restoring import Jump, mark_older
from posd.daemon.steps import Happened
from posd.journal.contract import RecordRow, RecordView
from posd.journal.memory import MemoryStore
from posd.values import STAN_MAX, Now, RequestId, Tid
from simulators.host.books import BatchState, Books
from simulators.world.machine import Machine
from simulators.world.stage import Stage
from simulators.world.witness import Witness

STAN_GAP = 5_000


@dataclass(slots=True)
class Gap:
    """What posd says of one terminal: these numbers may have been used."""

    first: int
    next: int

    def holds(self, stan: int) -> bool:
        return (stan - self.first) % STAN_MAX < (self.next - self.first) % STAN_MAX


@dataclass(slots=True)
class Loss:
    """The one loss of a run, and the people who deal with it."""

    stage: Stage
    machine: Machine
    witness: Witness
    books: Books
    rules: Mapping[Tid, Rules]
    gaps: dict[Tid, Gap] = field(default_factory=dict)
    _kept: MemoryStore | None = None
    _kept_ms: int = 0

    def back_up(self) -> None:
        """A copy of what is durable now."""
        self._kept, self._kept_ms = self.machine.store.copied(), self.stage.now_ms
        self.witness.backed_up()
        self.stage.say("world", "a backup is made")

    def lose(self) -> None:
        """The disk is gone; the backup is put in its place, and marked."""
        if self._kept is None:
            return
        self.machine.die("its disk is lost")
        store, now = self._kept, Now(self.stage.now_ms, 0.0)
        before = store.head().sequence
        usual = next(iter(self.rules.values()))
        jump = Jump(STAN_GAP, {})
        restored = JournalRestored("backup", self._kept_ms, newest=False)
        marked = mark_older(store, self.rules, usual, restored, jump, now, 1)
        for one in marked:
            if one.state is None or one.state.gap is None:
                self.stage.violate(f"{one.tid} is not marked as restored")
            else:
                self.gaps[one.tid] = Gap(one.state.gap.first_stan, one.state.gap.next_stan)
        self.machine.restored(store)
        self.witness.restored()
        self.witness.durable([_row(view) for view in store.records() if view.sequence > before])
        self.stage.count("an older journal restored")
        self.stage.say("world", "an older journal is restored")

    # --- the people --------------------------------------------------------------------------------------------------

    def reconcile(self, approved: Mapping[str, bool], busy: bool) -> None:
        """By the host's books and the slips (`approved`: what terminals and tills believe). `busy`: tills still ask."""
        for tid, lane in tuple(self.machine.lanes.items()):
            state = lane.engine.state
            if state.gap is None:
                continue
            for of in state.held():
                self._end(tid, state, of, approved.get(of, False))
            if not busy:
                self.machine.offer(tid, Happened(e.AdmitAfterRestore("g1", "person", "nobody asks", None, None)))
            if not state.held():
                self.machine.offer(tid, Happened(e.ResolveGap("g2", "person", "compared with the bank")))

    def _end(self, tid: Tid, state: State, of: RequestId, approved: bool) -> None:
        """What the host has is left alone where the customer has it too; anything else is sent after all."""
        if state.exchange is not None:
            return
        txn = state.find(of)
        assert txn is not None
        if of in state.reversals:
            stays = approved
            ended = e.ResolveReversal("g3", "person", "the slip says approved", of)
            self.machine.offer(tid, Happened(ended if stays else e.RetryReversals("g3", "person", of)))
            return
        # By the trace number, whatever batch it was in: under another number a repeat would be booked a second time.
        entry = next((one for one in self.books.terminals[tid].entries() if one.stan == txn.stan), None)
        has_it = entry is not None and entry.went_through
        batch = self.books.terminals[tid].find_batch(entry.batch) if entry is not None else None
        over = batch is not None and (batch.state is BatchState.CLOSED or batch.number != txn.batch_number)
        known = e.ResolveAdvice("g4", "person", "the bank has it", of)
        self.machine.offer(tid, Happened(known if has_it and over else e.RetryAdvices("g4", "person", of)))


def _row(view: RecordView) -> RecordRow:
    named = (view.request_id, view.stan, view.rrn, view.batch)
    return RecordRow(view.tid, view.kind, view.version, view.at_ms, view.payload, *named)
