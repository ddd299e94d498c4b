"""After the peace nothing is under way, and nothing is owed but what a person has to end."""

from posd.core.answers import ExchangeKind
from posd.core.confirmations import still_open
from posd.core.rules import Rules
from posd.core.schedule import newest_due_ms
from posd.core.state import ReversalStatus, SettlementPhase, State
from posd.values import Tid
from simulators.world.stage import Stage

AFTER_DUE_MS = 3 * 3_600_000
"""So long after a due moment the close has to have begun."""


def at_rest(stage: Stage, tid: Tid, state: State, rules: Rules, *, sold_last: bool) -> None:
    """Whether it is. `sold_last`: the last sale of a perfect day was approved."""
    owed = [rev for rev in state.unended_reversals() if rev.status is not ReversalStatus.CONFLICT]
    if owed:
        stage.violate(f"{tid} still owes {[rev.request_id for rev in owed]} on a perfect day")
    busy = state.exchange is not None and state.exchange.kind is not ExchangeKind.ECHO
    if busy or state.settlement.phase is not SettlementPhase.OPEN:
        stage.violate(f"{tid} is not at rest: {state.exchange}, {state.settlement.phase}")
    if state.gap is not None or state.held():
        stage.violate(f"{tid}: nobody could end what is not known since the restore: {state.gap}")
    if state.undelivered_advices():
        stage.violate(f"{tid} still has to deliver {list(state.advices)} on a perfect day")
    if still_open(state):
        stage.violate(f"{tid} still waits for the confirmation of {still_open(state)}")
    if state.in_doubt():
        stage.violate(f"{tid}: refunds in doubt that nobody could end: {state.in_doubt()}")
    if not state.session.signed_in:
        stage.violate(f"{tid} is signed out on a perfect day: {state.session.out_because}")
    due_ms = newest_due_ms(stage.now_ms, rules.due_times, rules.zone)
    last = state.last_close
    if last is None or not due_ms <= last.begun_at_ms <= due_ms + AFTER_DUE_MS:
        stage.violate(f"{tid} did not close what was due last: {last}")
    if not sold_last:
        stage.violate(f"{tid}: the last sale of a perfect day was not approved")
