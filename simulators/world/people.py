"""The people of the shop: they settle by hand at times, and end what posd leaves to a person, by the host's books."""

from dataclasses import dataclass

from posd.core import events as e
from posd.core.rules import OnStuck
from posd.core.state import AdviceStatus, ReversalStatus, SettlementPhase
from posd.daemon.steps import Happened
from simulators.host.books import BatchState
from simulators.world.host import Host
from simulators.world.machine import Machine
from simulators.world.stage import Stage
from simulators.world.witness import Witness

COMES_S = 1800.0
CERTAIN_MS = 15 * 60_000
"""Nothing is under way for so long: from then on the bank can say what became of a request."""


@dataclass(slots=True)
class People:
    """What a person of the shop does, with the bank at the telephone."""

    stage: Stage
    machine: Machine
    host: Host
    witness: Witness

    def act(self) -> None:
        """At a moment of the day: asks for a settlement, or for the reversals."""
        if self.stage.random.random() < 0.5:
            self._look_refunds_up()
        tid = self.stage.random.choice(list(self.machine.terminals))
        settle = self.stage.random.random() < 0.5
        event = e.SettleNow("c1", "person") if settle else e.RetryReversals("c2", "person", None)
        self.stage.say("person", type(event).__name__)
        self.machine.offer(tid, Happened(event))

    def _look_refunds_up(self) -> None:
        """A person says of each refund in doubt what the host's books say (D13)."""
        for tid, lane in tuple(self.machine.lanes.items()):
            for txn in lane.engine.state.in_doubt():
                if self.stage.now_ms - self.witness.left_ms.get(txn.request_id, 0) > CERTAIN_MS:
                    batch = self.host.acquirer.books.terminals[tid].find_batch(txn.batch_number)
                    entry = batch.entries.get(txn.stan) if batch is not None else None
                    happened = entry is not None and entry.counts
                    self.stage.say("person", f"{txn.request_id} happened: {happened}")
                    event = e.ResolveRefund("c4", "person", "asked the bank", txn.request_id, happened)
                    self.machine.offer(tid, Happened(event))

    def come(self) -> None:
        """Says of an unconfirmed settlement, and of refunds in doubt, what the host's books say (D13, D20)."""
        self._look_refunds_up()
        self._late_advices_are_settled()
        self._conflicts_that_block_are_ended()
        for tid, lane in self.machine.lanes.items():
            state = lane.engine.state
            if state.settlement.phase is SettlementPhase.UNCONFIRMED and state.exchange is None:
                closed = self._closed_there(tid, state.batch.number)
                self.stage.say("person", f"batch {state.batch.number} of {tid} is closed: {closed}")
                self.machine.offer(tid, Happened(e.DecideSettlement("c3", "person", "asked the bank", closed)))
        self.stage.after(COMES_S, self.come)

    def _late_advices_are_settled(self) -> None:
        """What a host will not have for a batch that is closed is between the people of the shop and of the bank."""
        for tid, lane in self.machine.lanes.items():
            state = lane.engine.state
            for advice in state.undelivered_advices():
                late = advice.status is AdviceStatus.STUCK and advice.request_id in state.closed
                if late and state.exchange is None:
                    event = e.ResolveAdvice("c5", "person", "agreed with the bank", advice.request_id)
                    self.machine.offer(tid, Happened(event))

    def _conflicts_that_block_are_ended(self) -> None:
        """A host that denies what it approved: agreed with the bank, or nothing would be sold here any more."""
        for tid, lane in self.machine.lanes.items():
            for reversal in lane.engine.state.unended_reversals():
                blocks = self.machine.rules[tid].on_stuck is OnStuck.BLOCK
                if blocks and reversal.status is ReversalStatus.CONFLICT:
                    event = e.ResolveReversal("c6", "person", "agreed with the bank", reversal.request_id)
                    self.machine.offer(tid, Happened(event))

    def _closed_there(self, tid: str, number: int) -> bool:
        """Whether the host closed it, or will never close it: it went on with a number of its own instead (D7)."""
        terminal = self.host.acquirer.books.terminals[tid]
        batch = terminal.find_batch(number)
        if batch is not None and batch.state is BatchState.CLOSED:
            return True
        gone = batch is not terminal.batch or not any(entry.counts for entry in batch.entries.values())
        return tid in self.host.moved and gone
