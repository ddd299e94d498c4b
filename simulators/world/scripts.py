"""Days that are written down: for each, the machine can be killed at every point and its disk can fail at every commit
(testing.md T2). `outcome` is how the day's batch has to be closed, whatever happened in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Literal

from simulators.host.faults import Rule
from simulators.host.settings import Behaviour
from simulators.terminal import matrix
from simulators.terminal.core import CardInHand
from simulators.world.faults import Faults
from simulators.world.network import Mode, Roads
from simulators.world.plan import Cards, Day, Plan
from simulators.world.scene import Outcome, run
from simulators.world.terminals import Agent, Script, Wait

SEED = 1
PERFECT = Faults()
BREAK_S = 60.0
UPLOAD_RECORDS_MAX = 8


@dataclass(frozen=True, slots=True)
class ScriptedDay:
    """One terminal's day. `when_killed`: how its batch may be closed too if the machine dies: it may leave a doubt."""

    plan: Plan
    outcome: str
    when_killed: str = "agreed"

    def run(self, *, kill_at: int | None = None, fail_at: tuple[int, bool] | None = None) -> Outcome:
        """Live it through, killed or broken at one place or not at all."""
        return run(SEED, PERFECT, plan=replace(self.plan, kill_at=kill_at, fail_at=fail_at))


def _sell(agent: Agent, card: CardInHand, amount: int) -> Script:
    yield from agent.request(agent.core.sale(card, amount))
    yield Wait(BREAK_S)


def sale(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """One sale."""
    yield from agent.sign_in()
    yield from _sell(agent, cards[0], 12_345)


def void(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """A sale, and its void."""
    yield from sale(agent, cards, until_ms)
    for stan in agent.voidable()[:1]:
        yield from agent.request(agent.core.void(stan))


def refund(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """A sale, and money back for one of another day."""
    yield from sale(agent, cards, until_ms)
    yield from agent.refund(cards[0], 2_000)


def hold(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """A hold, captured in part."""
    yield from agent.sign_in()
    yield from agent.request(matrix.preauth(agent.core, cards[0], 10_000))
    yield Wait(BREAK_S)
    for batch, stan in list(agent.core.holds):
        yield from agent.request(matrix.complete(agent.core, stan, 9_000, batch))


def advices(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """A sale with a tip; an offline sale that is adjusted; an approval that lets one of them follow; the rest waits."""
    yield from sale(agent, cards, until_ms)
    for stan in agent.voidable()[:1]:
        yield from agent.tell(matrix.tip(agent.core, stan, 13_000))
    card = CardInHand(cards[0].pan, cards[0].expiry, "022")
    told = matrix.offline_sale(agent.core, card, 5_000, "777777")
    yield from agent.tell(told)
    yield Wait(BREAK_S)
    yield from agent.tell(matrix.adjust(agent.core, told.stan, 4_500))
    yield from _sell(agent, cards[0], 700)


def tips(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """Tips: too much, corrected, delivered, nearly taken away again; two of the sales are voided with theirs."""
    yield from agent.sign_in()
    for number, card in enumerate(cards[:2] * 2):
        yield from _sell(agent, card, 10_000 + number)
        for stan in agent.voidable()[-1:]:
            for minor in (15_000, 11_900, 11_000, 10_100)[number % 2 :]:
                yield from agent.tell(matrix.tip(agent.core, stan, minor))
                yield from _sell(agent, card, 100)
    for stan in [stan for stan in agent.voidable() if agent.core.changes(stan)][:2]:
        yield from agent.request(agent.core.void(stan))


def small_shop(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """A sale with every kind of card, and a void."""
    yield from _shop(agent, cards, len(cards))


def busy_shop(agent: Agent, cards: Cards, until_ms: int) -> Script:
    """More than fits one upload message."""
    yield from _shop(agent, cards, UPLOAD_RECORDS_MAX)


def _shop(agent: Agent, cards: Cards, sales: int) -> Script:
    yield from agent.sign_in()
    for number in range(1, sales + 1):
        yield from _sell(agent, cards[number % len(cards)], 100 * number + 1)
    for stan in agent.voidable()[:1]:
        yield from agent.request(agent.core.void(stan))


def _plan(day: Day, *rules: Rule, unbalance: Literal["none", "both"] = "none") -> Plan:
    return Plan(
        terminals=1,
        days=1,
        day=day,
        rules={"due_times": (time(23, 0),)},
        behaviour=Behaviour(unbalance=unbalance),
        host_rules=rules,
    )


def _with_tills(plan: Plan) -> Plan:
    return replace(plan, orders=3, rules={**plan.rules, "confirm_within_s": 60.0})


def _by(plan: Plan, *modes: Mode) -> Plan:
    return replace(plan, roads=Roads(modes))


SCRIPTED: Mapping[str, ScriptedDay] = {
    "sale": ScriptedDay(_plan(sale), "agreed"),
    "void": ScriptedDay(_plan(void), "agreed"),
    "lost answer": ScriptedDay(_plan(sale, Rule(do="lose_answer", mti="0200", nth=1)), "empty"),
    "lost answer to a void": ScriptedDay(_plan(void, Rule(do="lose_answer", mti="0200", nth=2)), "agreed"),
    "refund": ScriptedDay(_plan(refund), "agreed", "out_of_balance"),
    "lost answer to a refund": ScriptedDay(_plan(refund, Rule(do="lose_answer", mti="0220", nth=1)), "out_of_balance"),
    "lost refund": ScriptedDay(_plan(refund, Rule(do="lose_request", mti="0220", nth=1)), "agreed"),
    "hold": ScriptedDay(_plan(hold), "agreed", "empty"),
    "lost answer to a completion": ScriptedDay(_plan(hold, Rule(do="lose_answer", mti="0200", nth=1)), "empty"),
    "advices": ScriptedDay(_plan(advices), "agreed"),
    "lost answer to an advice": ScriptedDay(_plan(advices, Rule(do="lose_answer", mti="0220", nth=1)), "agreed"),
    "tips": ScriptedDay(_plan(tips), "agreed"),
    "advices with upload": ScriptedDay(_plan(advices, unbalance="both"), "out_of_balance"),
    "lost answer on a connection of its own": ScriptedDay(
        _by(_plan(sale, Rule(do="lose_answer", mti="0200", nth=1)), "one_shot"), "empty"
    ),
    "by two routes": ScriptedDay(_by(_plan(void), "kept", "one_shot"), "agreed"),
    "orders of a till": ScriptedDay(_with_tills(_plan(sale)), "agreed"),
    "balanced": ScriptedDay(_plan(small_shop), "agreed"),
    "unbalanced with upload": ScriptedDay(_plan(busy_shop, unbalance="both"), "out_of_balance"),
}
