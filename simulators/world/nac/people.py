"""The people of a shop that speaks NAC: only they can say what became of a batch whose close had no answer (D20)."""

from dataclasses import dataclass

from posd.core import events as e
from posd.core.settlement import CLOSING
from posd.core.state import ReversalStatus, SettlementPhase
from posd.daemon.steps import Happened
from posd.values import BatchNumber, Tid
from simulators.host.books import BatchState
from simulators.host.nac_books import Entry, Terminal
from simulators.world.people import CERTAIN_MS, People


@dataclass(slots=True)
class NacPeople(People):
    """As people.py, by the NAC host's books."""

    def act(self) -> None:
        """At a moment of the day."""
        if self.stage.random.random() < 0.5:
            self._settle_doubts()
        People.act(self)

    def come(self) -> None:
        """Says of each doubt what the host's books say."""
        self._settle_doubts()
        self._look_refunds_up()
        self._late_advices_are_settled()
        self._retry_stuck()
        self.stage.after(1800.0, self.come)

    def _settle_doubts(self) -> None:
        """Unconfirmed closes (D20), and batch numbers that the host does not know (D7)."""
        for tid, lane in tuple(self.machine.lanes.items()):
            state, closing = lane.engine.state, lane.engine.state.settlement
            if state.exchange is not None:
                continue
            closed = self._closed_there(tid, state.batch.number)
            failing = closing.phase in CLOSING and closing.asked >= lane.engine.rules.settle_attempts_max
            if closing.phase is SettlementPhase.UNCONFIRMED or (failing and closed):
                self.stage.say("person", f"batch {state.batch.number} of {tid} is closed: {closed}")
                self.machine.offer(tid, Happened(e.DecideSettlement("n1", "person", "asked the bank", closed)))
            number = BatchNumber(self._books(tid).batch.number)
            if closing.phase is SettlementPhase.TOTALS and state.batch.number != number:
                self.stage.say("person", f"the open batch of {tid} is {number}")
                self.stage.count("person: batch number set")
                self.machine.offer(tid, Happened(e.SetBatchNumber("n2", "person", "asked the bank", number)))

    def _books(self, tid: str) -> Terminal:
        books: Terminal = self.host.acquirer.books.terminals[tid]
        return books

    def _look_refunds_up(self) -> None:
        for tid, lane in tuple(self.machine.lanes.items()):
            for txn in lane.engine.state.in_doubt():
                if self.stage.now_ms - self.witness.left_ms.get(txn.request_id, 0) > CERTAIN_MS:
                    entry = self._entry(tid, txn.stan)
                    happened = entry is not None and entry.side("excluded") is not None
                    self.stage.say("person", f"{txn.request_id} happened: {happened}")
                    event = e.ResolveRefund("n3", "person", "asked the bank", txn.request_id, happened)
                    self.machine.offer(tid, Happened(event))

    def _entry(self, tid: str, stan: int) -> Entry | None:
        found = (batch.entries.get(stan) for batch in self._books(tid).batches)
        return next((entry for entry in found if entry is not None), None)

    def _retry_stuck(self) -> None:
        """What blocks the shop is tried at once."""
        for tid, lane in tuple(self.machine.lanes.items()):
            for reversal in lane.engine.state.unended_reversals():
                if reversal.status is ReversalStatus.STUCK and lane.engine.state.exchange is None:
                    self.stage.count("person: reversal retried")
                    event = e.RetryReversals("n4", "person", reversal.request_id)
                    self.machine.offer(Tid(tid), Happened(event))

    def _closed_there(self, tid: str, number: int) -> bool:
        terminal = self._books(tid)
        batch = terminal.find_batch(number)
        return batch is not None and (batch.state is BatchState.CLOSED or batch is not terminal.batch)
