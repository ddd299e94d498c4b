"""One run of the NAC world: scene.py with this dialect's host, terminals, people and audit."""

from random import Random

from posd.core.rules import Rules
from posd.iso8583.nac import NAC
from posd.profiles.contract import Terminal
from posd.profiles.nac.profile import Nac
from posd.security.keys import ClearTmk
from posd.values import Tid
from simulators.host.settings import CardSettings, HostSettings, TerminalSettings
from simulators.macs import USUAL
from simulators.terminal.core import CardInHand
from simulators.terminal.nac_core import NacTerminal
from simulators.world.faults import Faults
from simulators.world.ledger import Ledger
from simulators.world.machine import Machine
from simulators.world.nac.agents import NacAgent
from simulators.world.nac.audit import audit
from simulators.world.nac.host import NacHost
from simulators.world.nac.people import NacPeople
from simulators.world.nac.plan import MAC_KEY, NacPlan
from simulators.world.plan import DOMESTIC, EXPIRY, FOREIGN, RESERVED
from simulators.world.scene import MID, ZONE, Outcome, World, live_through
from simulators.world.terminals import Agent, Script, View
from simulators.world.witness import Witness

MERCHANT = MID
LAST = CardInHand(RESERVED, EXPIRY)
NO_KEY = "00" * 16


def run(
    seed: int,
    faults: Faults | None = None,
    *,
    plan: NacPlan | None = None,
    traced: bool = False,
    machine: type[Machine] = Machine,
) -> Outcome:
    """Live through one seed. Without `faults` and `plan` both are drawn from it."""
    random = Random(f"nac plan {seed}")
    drawn_faults, drawn_plan = Faults.drawn(random), NacPlan.drawn(random)
    plan = plan or drawn_plan
    return live_through(NacWorld(seed, plan.possible(faults or drawn_faults), plan, traced, machine))


class NacWorld(World):
    """Everything of one run."""

    plan: NacPlan

    def _witness(self) -> Witness:
        witness = Witness(self.stage, (*DOMESTIC, FOREIGN, RESERVED))
        witness.codec, witness.header_bytes = NAC, 0
        witness.refunds_are_reversed = self.plan.knobs.refunds == "reversed"
        return witness

    def _host(self) -> NacHost:
        return NacHost(self.stage, self.witness, self._host_settings(), self.plan.host_rules)

    def _host_settings(self) -> HostSettings:
        terminals = tuple(TerminalSettings(tid=tid, mid=MERCHANT, tmk=NO_KEY, batch=1) for tid in self.tids)
        cards = tuple(CardSettings(pan=pan) for pan in (*DOMESTIC, FOREIGN, RESERVED))
        return HostSettings(
            profile="nac", terminals=terminals, cards=cards, behaviour=self.plan.behaviour, nac=self.plan.nac
        )

    def _agent(self, tid: Tid, number: int) -> Agent:
        signs = bool(self.plan.nac.mac_key) and self.plan.with_mac[number % len(self.plan.with_mac)]
        core = NacTerminal(tid, MERCHANT, mac_key=MAC_KEY if signs else b"", keying=USUAL)
        agent = NacAgent(
            self.stage,
            core,  # type: ignore[arg-type]
            lambda connection, frame: self.machine.from_terminal(connection, frame),
            lambda connection: self.machine.hung_up(connection),
        )
        agent.resets = self.plan.resets
        return agent

    def _machine(self, machine: type[Machine]) -> Machine:
        profile = Nac(self.plan.knobs)
        rules = Rules(
            kinds=profile.kinds,
            close=profile.close,
            reversal_reasons=profile.reversal_reasons,
            reversal_success_codes=frozenset({"00"}),
            keys_expected=False,
            terminal_tells_batch=False,
            has_invoices=True,
            reversal_finds_original=profile.reversal_finds_original,
            foreign_apart=profile.foreign_apart,
            reverses_what_never_came=self.plan.reversal_of_nothing == "00",
            upload_records_max=profile.upload_records_max,
            sign_in_needed=self.plan.logon,
            zone=ZONE,
            **self.plan.rules,
        )
        key = ClearTmk(MAC_KEY if self.plan.nac.mac_key else b"")
        terminals = {tid: Terminal(tid, MERCHANT, key, False, unsigned_accepted=True) for tid in self.agents}
        return self._running(machine, profile, terminals, rules)

    def _shop(self) -> NacPeople:
        return NacPeople(self.stage, self.machine, self.host, self.witness)

    def _came_before(self, tid: str, before_ms: int) -> set[tuple[int, int]]:
        batches = self.host.acquirer.books.terminals[tid].batches
        entries = [entry for batch in batches for entry in batch.counted() if entry.at_ms < before_ms]
        state = self.machine.lanes[Tid(tid)].engine.state
        stans = {entry.stan for entry in entries}
        return {(txn.batch_number, txn.stan) for txn in state.transactions.values() if txn.stan in stans}

    def _last_sale(self, agent: Agent) -> Script:
        assert isinstance(agent, NacAgent)
        for _ in range(3):
            yield from agent.sign_in()
            sent = agent.nac.sale(LAST, 1)
            yield from agent.request(sent)
            if agent.views[agent.key(sent)] is View.APPROVED:
                return

    def _compare(self, ledger: Ledger) -> None:
        agents = [agent for agent in self.agents.values() if isinstance(agent, NacAgent)]
        audit(self.stage, ledger, self.host, agents, self.plan)
