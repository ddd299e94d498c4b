"""Planted bugs of a restored journal (loss.py)."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from posd.core import records as r
from posd.core import restored
from posd.daemon.restoring import Jump
from posd.values import BatchNumber, Stan, Tid
from simulators.world.lost import Lost
from simulators.world.plan import Cards, Plan
from simulators.world.planting import patched
from simulators.world.terminals import Agent, Script, Wait

RUSH_SALES, RUSH_GAP_S = 150, (2.0, 20.0)


def with_a_loss(plan: Plan) -> Plan:
    """A busy day, whose second half is lost, and a second day after it."""
    return replace(plan, orders=0, roads=None, days=2, lost=Lost(2 * 3_600.0, 14 * 3_600.0))


def with_a_rush(plan: Plan) -> Plan:
    """One sale after the other; the journal is lost among them."""
    return replace(plan, orders=0, roads=None, days=1, day=_rush, lost=Lost(600.0, 900.0))


def _rush(agent: Agent, cards: Cards, until_ms: int) -> Script:
    yield from agent.sign_in()
    for _ in range(RUSH_SALES):
        yield Wait(agent.stage.random.uniform(*RUSH_GAP_S))
        yield from agent.request(agent.core.sale(agent.stage.random.choice(cards), 100))


def numbers_used_again() -> AbstractContextManager[None]:
    """The restored journal counts on from where it was."""

    def stay(jump: Jump, tid: Tid, stan: Stan) -> Stan:
        return stan

    return patched(Jump, "from_here", stay)


def sold_without_a_question() -> AbstractContextManager[None]:
    """What is not known is new."""
    return patched(restored, "refusal", lambda state, event: None)


def old_batch_goes_on() -> AbstractContextManager[None]:
    """The number that the host gives is not listened to."""

    def stay(draft: Any, number: BatchNumber, by: str) -> None:
        draft.record(r.HostBatchFound(draft.state.batch.number, by))

    return patched(restored, "_found", stay)
