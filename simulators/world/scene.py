"""One run of the world: set the stage, let days go by, bring peace, and audit the books.

`run(seed)` is the whole interface: the same seed gives the same run. Nothing here decides about money; see
machine.py for the order that posd's promises hang on, audit.py for what is held against it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from posd.core.rules import Rules
from posd.core.schedule import newest_due_ms, next_due_ms
from posd.core.state import TxnStatus
from posd.daemon.till.orders import TILL
from posd.profiles.contract import Profile, Terminal
from posd.profiles.unionpay.profile import Knobs, UnionPay
from posd.security.keys import ClearTmk
from posd.values import Tid
from simulators.host.books import Batch
from simulators.host.settings import CardSettings, HostSettings, TerminalSettings
from simulators.terminal.core import Terminal as Core
from simulators.world.at_rest import AFTER_DUE_MS, at_rest
from simulators.world.audit import Forgotten, audit
from simulators.world.faults import Faults
from simulators.world.host import Host
from simulators.world.ledger import Ledger
from simulators.world.line import Line
from simulators.world.loss import Loss
from simulators.world.machine import Machine
from simulators.world.network import Network
from simulators.world.people import People
from simulators.world.plan import CARDS, DOMESTIC, FOREIGN, LAST_CARD, PIN, RESERVED, Plan
from simulators.world.stage import Stage
from simulators.world.terminals import Agent, Script, View
from simulators.world.tills import Belief, Till
from simulators.world.witness import Witness

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MORNING = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
"""08:30 in Shanghai."""

EVENING_MS = 14 * HOUR_MS
"""From the morning to 22:30, half an hour before the usual settlement."""

ZONE = "Asia/Shanghai"
MID = "898100012345678"
PEACE_MS = 3 * HOUR_MS
OFF_DAYS_MAX = 5
RESTART_S = (0.5, 120.0)
POWER_OFF_S = (60.0, 2.5 * 86_400.0)
JUMPS_S = (1.0, 400.0, 3600.0, 86_400.0, 30 * 86_400.0)
JUMP_LASTS_S = (60.0, 86_400.0)
OUTAGE_S = (30.0, 4 * 3600.0)
RECONCILES_S = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. No violations: every promise was kept. `points`: those at which it could have been killed."""

    seed: int
    faults: Faults
    violations: tuple[str, ...]
    stats: dict[str, int]
    points: int
    commits: int
    transcript: tuple[str, ...] = ()


def run(
    seed: int,
    faults: Faults | None = None,
    *,
    plan: Plan | None = None,
    traced: bool = False,
    machine: type[Machine] = Machine,
    adjust: Callable[[Plan], Plan] = lambda plan: plan,
) -> Outcome:
    """Live through one seed. Without `faults` and `plan` both are drawn from it; `adjust` has the last word."""
    random = Random(f"plan {seed}")
    drawn_faults, drawn_plan = Faults.drawn(random), Plan.drawn(random)
    return live_through(World(seed, faults or drawn_faults, adjust(plan or drawn_plan), traced, machine))


def live_through(world: "World") -> Outcome:
    """The days of a world, and what they came to."""
    try:
        world.live()
    finally:
        world.line.leave()
    stage = world.stage
    return Outcome(
        seed=stage.seed,
        faults=stage.faults,
        violations=tuple(stage.violations),
        stats=dict(stage.stats),
        points=world.machine.points,
        commits=world.machine.commits,
        transcript=tuple(stage.transcript),
    )


def _tmk(number: int) -> bytes:
    return bytes((number * 37 + at * 11) % 256 for at in range(16))


class World:
    """Everything of one run."""

    def __init__(self, seed: int, faults: Faults, plan: Plan, traced: bool, machine: type[Machine]) -> None:
        self.plan = plan
        self.morning_ms = round(MORNING.timestamp() * 1000)
        self.stage = Stage(seed, faults, self.morning_ms, traced)
        self.tids = [Tid(f"1000000{number}") for number in range(1, plan.terminals + 1)]
        self.witness = self._witness()
        self.host = self._host()
        self.line = self._line()
        self.agents = {tid: self._agent(tid, number) for number, tid in enumerate(self.tids)}
        self.witness.confirming.within_s = plan.rules.get("confirm_within_s", 0.0)
        self.tills = {tid: self._till(tid) for tid in self.tids} if plan.orders else {}
        self.machine = self._machine(machine)
        self.loss = Loss(self.stage, self.machine, self.witness, self.host.acquirer.books, self.machine.rules)
        self._people = self._shop()
        self._power = True
        self._power_was_off = False

    def _witness(self) -> Witness:
        return Witness(self.stage, (*DOMESTIC, FOREIGN, RESERVED), self.plan.rules.get("refund_repeat", False))

    def _host(self) -> Host:
        return Host(self.stage, self.witness, self._host_settings(), self.plan.host_rules)

    def _shop(self) -> People:
        return People(self.stage, self.machine, self.host, self.witness)

    def _host_settings(self) -> HostSettings:
        terminals = tuple(TerminalSettings(tid=tid, mid=MID, tmk=_tmk(int(tid[-1])).hex()) for tid in self.tids)
        cards = [CardSettings(pan=pan) for pan in DOMESTIC[:2]]
        cards += [CardSettings(pan=DOMESTIC[2], pin=PIN), CardSettings(pan=FOREIGN, scheme="VIS")]
        cards.append(CardSettings(pan=RESERVED))
        return HostSettings(terminals=terminals, cards=tuple(cards), behaviour=self.plan.behaviour)

    def _line(self) -> Line | Network:
        stage, witness, roads = self.stage, self.witness, self.plan.roads
        if roads is None:
            return Line(stage, witness, self.host.receive)
        limit_s = Rules({}, (), ZONE).reply_timeout_s
        return Network(stage, witness, self.host.receive, roads, lambda: self.machine.now(), limit_s)

    def _agent(self, tid: Tid, number: int) -> Agent:
        tmk = _tmk(int(tid[-1])) if self.plan.with_mac[number % len(self.plan.with_mac)] else None
        core = Core(tid, MID, tmk, sign_in_code=self.plan.terminals_sign_in, keying=self.plan.keying)
        return Agent(
            self.stage,
            core,
            lambda connection, frame: self.machine.from_terminal(connection, frame),
            lambda connection: self.machine.hung_up(connection),
            self.witness.pin_blocks,
            self.plan.chips,
            self.plan.slips,
        )

    def _till(self, tid: Tid) -> Till:
        return Till(
            self.stage,
            tid,
            tuple(card for card in CARDS if card.pin is None),
            self.witness.confirming.within_s,
            lambda connection, wish, body: self.machine.from_till(tid, connection, wish, body),
            lambda connection: self.machine.hung_up(connection),
            self.witness.confirming.said.add,
        )

    def _machine(self, machine: type[Machine]) -> Machine:
        keys = self.plan.behaviour.keys
        knobs = Knobs(
            zone=ZONE,
            sign_in=self.plan.sign_in,
            mac_algorithm=keys.mac_algorithm,
            mak=keys.mak,
            track_encryption=self.plan.encrypts_tracks,
        )
        profile = UnionPay(knobs)
        rules = Rules(kinds=profile.kinds, reversal_reasons=profile.reversal_reasons, zone=ZONE, **self.plan.rules)
        terminals = {
            tid: Terminal(tid, MID, ClearTmk(_tmk(int(tid[-1]))), self.plan.mac_required and agent.core.tmk is not None)
            for tid, agent in self.agents.items()
        }
        return self._running(machine, profile, terminals, rules)

    def _running(
        self, machine: type[Machine], profile: Profile, terminals: dict[Tid, Terminal], rules: Rules
    ) -> Machine:
        made = machine(
            self.stage,
            self.witness,
            self.line,
            profile,
            terminals,
            dict.fromkeys(terminals, rules),
            self._to_terminal,
            self._died,
        )
        made.kill_at, made.fail_at = self.plan.kill_at, self.plan.fail_at
        return made

    def _to_terminal(self, connection: str, frame: bytes) -> bool:
        tid, _, number = connection.partition("#")
        if number.startswith(TILL):
            return self.tills[Tid(tid)].hear(connection, frame)
        agent = self.agents[Tid(tid)]
        if connection == agent.connection:
            agent.hear(frame)
        return connection == agent.connection

    def _died(self) -> None:
        for asker in self._askers():
            asker.line_broke()
        if self._power:
            self.stage.after(self.stage.random.uniform(*RESTART_S), self._boot)

    def _askers(self) -> list[Agent | Till]:
        return [*self.agents.values(), *self.tills.values()]

    def _boot(self) -> None:
        if self._power and not self.stage.violations:
            self.machine.boot(self._power_was_off)
            self._power_was_off = False

    # --- days ------------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """The days, the peace after them, and the audit."""
        self._boot()
        if self.plan.lost is not None:
            self.stage.after(self.plan.lost.backed_up_s, self.loss.back_up)
            self.stage.after(self.plan.lost.backed_up_s + self.plan.lost.lost_s, self._lose)
        for day in range(self.plan.days):
            morning_ms = self.morning_ms + day * DAY_MS
            self.stage.run_until(morning_ms)
            self._troubles_of_the_day()
            for agent in self.agents.values():
                if agent.idle:
                    agent.play(self.plan.day(agent, CARDS, morning_ms + EVENING_MS))
            for till in self.tills.values():
                if till.idle:
                    till.play(till.day(self.plan.orders, morning_ms + EVENING_MS))
            self.stage.run_until(morning_ms + DAY_MS - 1)
        self._peace()
        if not self.stage.violations:
            self._audit()

    def _troubles_of_the_day(self) -> None:
        stage, faults = self.stage, self.stage.faults
        kinds = (
            (faults.outages_a_day, self._outage),
            (faults.power_offs_a_day, self._power_off),
            (faults.clock_jumps_a_day, self._clock_jump),
            (self.plan.people, self._people.act),
        )
        for rate, trouble in kinds:
            times = int(rate) + stage.chance(rate - int(rate))
            for _ in range(times):
                stage.after(stage.random.uniform(0.0, DAY_MS / 1000), trouble)

    def _outage(self) -> None:
        if self.host.quiet:
            return
        self.line.reachable = False
        self.line.cut("the host cannot be reached")

        def over() -> None:
            self.line.reachable = True

        self.stage.after(self.stage.random.uniform(*OUTAGE_S), over)

    def _power_off(self) -> None:
        if not self._power or self.host.quiet:
            return
        self._power, self._power_was_off = False, True
        self.machine.die("the power is off")

        def on() -> None:
            if not self._power:
                self._power = True
                self._boot()

        self.stage.after(self.stage.random.uniform(*POWER_OFF_S), on)

    def _lose(self) -> None:
        """The journal is gone, and an older one restored; by then the doors are open again, or the power is still
        off."""
        if self.host.quiet:
            return
        alive = self.machine.alive
        self.loss.lose()
        if not alive and self._power:
            self.stage.after(self.stage.random.uniform(*RESTART_S), self._boot)

    def _clock_jump(self) -> None:
        if self.host.quiet:
            return
        stage, machine = self.stage, self.machine
        seconds = stage.random.choice(JUMPS_S) * stage.random.choice((-1, 1)) * stage.random.random()
        machine.clock_offset_ms = round(seconds * 1000)
        stage.say("posd", f"its clock is {seconds:.0f} s wrong")
        machine.tick()

        def right() -> None:
            machine.clock_offset_ms = 0
            stage.say("posd", "its clock is right again")
            machine.tick()

        stage.after(stage.random.uniform(*JUMP_LASTS_S), right)

    # --- peace -----------------------------------------------------------------------------------------------------

    def _peace(self) -> None:
        """Nothing fails any more: what is owed must be delivered, what is due must be closed."""
        stage, machine = self.stage, self.machine
        stage.say("world", "peace")
        self.host.quiet = self.line.quiet = machine.quiet = True
        for asker in self._askers():
            asker.quiet = True
        self._power, self.line.reachable, machine.clock_offset_ms = True, True, 0
        self._boot()
        machine.tick()
        self._people.come()
        self._reconcile()
        for _ in range(OFF_DAYS_MAX * 24):
            if all(asker.idle for asker in self._askers()):
                break
            stage.run_until(stage.now_ms + HOUR_MS)
        stage.run_until(stage.now_ms + PEACE_MS)
        if not stage.violations:
            self._nothing_overdue()
        self._last_day()

    def _reconcile(self) -> None:
        """People compare what a restored journal does not know, until nothing is unknown."""
        if not self.loss.gaps:
            return
        approved = {key: view is View.APPROVED for agent in self.agents.values() for key, view in agent.views.items()}
        placed = [item for till in self.tills.values() for item in till.placed.items()]
        approved |= {of: one.belief is Belief.APPROVED for of, one in placed}
        self.loss.reconcile(approved, busy=any(not till.idle for till in self.tills.values()))
        self.stage.after(RECONCILES_S, self._reconcile)

    def _nothing_overdue(self) -> None:
        """What was approved before a due moment, by the host's time, is closed some hours after it (D18, P6)."""
        for tid, lane in self.machine.lanes.items():
            rules, state = self.machine.rules[tid], lane.engine.state
            due_ms = newest_due_ms(self.stage.now_ms - PEACE_MS, rules.due_times, rules.zone)
            before_ms = due_ms - 2 * round(rules.clock_skew_max_s * 1000)
            old = self._came_before(tid, before_ms)
            approved = [txn for txn in state.transactions.values() if txn.status is TxnStatus.APPROVED]
            late = [txn.stan for txn in approved if (txn.batch_number, txn.stan) in old]
            if late:
                self.stage.violate(f"{tid}: STAN {late} were due {due_ms} and are still open hours later")

    def _came_before(self, tid: str, before_ms: int) -> set[tuple[int, int]]:
        """Batch number and STAN of what counts at the host since before that moment."""
        batches: list[Batch] = self.host.acquirer.books.terminals[tid].batches
        entries = [entry for batch in batches for entry in batch.entries.values() if entry.counts]
        return {(entry.batch, entry.stan) for entry in entries if entry.at_ms < before_ms}

    def _last_day(self) -> None:
        """One more sale on every terminal, and its settlement: the schedule still works (D18, P6)."""
        stage = self.stage
        rules = self.machine.rules[self.tids[0]]
        due_ms = next_due_ms(stage.now_ms + 30 * MINUTE_MS, rules.due_times, rules.zone)
        stage.run_until(due_ms - 20 * MINUTE_MS)
        for agent in self.agents.values():
            if agent.idle and not stage.violations:
                agent.play(self._last_sale(agent))
        stage.run_until(due_ms + AFTER_DUE_MS)

    def _last_sale(self, agent: Agent) -> Script:
        """A host that has forgotten its keys says so to the first request after it: that one is declined (D12)."""
        for _ in range(3):
            yield from agent.sign_in()
            sent = agent.core.sale(LAST_CARD, 1)
            yield from agent.request(sent)
            if agent.views[agent.key(sent)] is View.APPROVED:
                return

    # --- the audit -------------------------------------------------------------------------------------------------

    def _audit(self) -> None:
        machine = self.machine
        machine.check_replay()
        for tid, lane in machine.lanes.items():
            last_view = list(self.agents[tid].views.values())[-1:]
            at_rest(self.stage, tid, lane.engine.state, machine.rules[tid], sold_last=last_view == [View.APPROVED])
        self._compare(Ledger.read(machine.store.records()))

    def _compare(self, ledger: Ledger) -> None:
        stage, books = self.stage, self.host.acquirer.books
        forced = self.plan.behaviour.unbalance != "none"
        unmaced = self.plan.rules.get("unmaced_decline") != "reverse"
        agents, tills = self.agents.values(), self.tills.values()
        forgotten = Forgotten(self.witness.lost, self.loss.gaps)
        audit(stage, ledger, books, agents, tills, forgotten, unmaced_declines=unmaced, forced=forced)
