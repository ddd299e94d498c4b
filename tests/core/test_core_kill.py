"""Kill -9 after every step of a scripted day: recovery is replay, and the day ends the same (T2)."""

from collections.abc import Callable

import pytest

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, GroupResult
from posd.core.rules import TxnKind
from posd.core.state import CloseOutcome, SettlementPhase, TxnStatus
from tests.core.playbook import (
    FIRST_BATCH,
    SETTLE_NOW,
    Playbook,
    answered,
    host_totals,
    request_id,
    sale,
    signed_in,
    terminal_signs_in,
    void,
)

SILENT = {2}
"""The host's first answer to these sales of the terminal is lost, and it never approved them."""


class Day:
    """A scripted day with an idempotent host. `kill_at`: the step after which the process dies (None: never)."""

    def __init__(self, kill_at: int | None, balanced: bool) -> None:
        self.play = Playbook()
        self.kill_at, self.balanced = kill_at, balanced
        self.steps = 0
        self.approved_at_host: dict[str, int] = {}
        self.reversed_at_host: set[str] = set()

    def feed(self, event: e.Event | Callable[[Playbook], e.Event]) -> None:
        self.play >> event
        self._maybe_killed()

    def _maybe_killed(self) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            self.play.killed()
            self.play >> e.LinkUp()

    def run(self) -> "Day":
        self.feed(e.Started())
        self.feed(e.LinkUp())
        self._until_idle()
        self.feed(terminal_signs_in())
        for number in range(1, 12):
            self._ask(sale(number, amount=100 * number), number)
        self._ask(void(12, of=3, amount=300), 12, "void")
        self.feed(SETTLE_NOW)
        self._until_idle()
        if self.play.state.batch.number == FIRST_BATCH and not self.play.state.settlement.wanted:
            self.feed(SETTLE_NOW)
            self._until_idle()
        self._ask(sale(20), 20)
        return self

    def _ask(self, request: Callable[[Playbook], e.Event], number: int, what: str = "sale") -> None:
        """Until the terminal knows; it asks again after its own patience is over, as terminals do."""
        for _ in range(4):
            self.feed(request)
            self._until_idle()
            if self.play.state.find(request_id(number, what)) is not None:
                return
        assert what == "void", "a sale is never refused here; a void is, if a kill had its sale reversed"

    def _until_idle(self) -> None:
        for _ in range(500):
            if self.play.state.exchange is not None:
                self._host()
            elif self._waiting():
                self.play.wake()
                self._maybe_killed()
            else:
                return
        raise AssertionError(f"the day does not end: {self.play.state.settlement}")

    def _waiting(self) -> bool:
        state = self.play.state
        pending = (
            state.settlement.phase is not SettlementPhase.OPEN
            or state.settlement.wanted
            or self.play.engine.agenda.queue
        )
        return bool(pending or not state.session.signed_in or state.unended_reversals())

    def _host(self) -> None:
        """What leaves is at the host; the process may die between that and its answer."""
        to_host = self.play.sent[-1]
        answer = self._answer(to_host.kind)
        before = self.steps
        self._maybe_killed()
        if before + 1 == self.kill_at:
            return
        if answer is None:
            self.play.wake()
            self._maybe_killed()
        else:
            self.feed(answer)

    def _answer(self, kind: ExchangeKind) -> Callable[[Playbook], e.Event] | None:
        message = self.play.sent[-1].message
        match kind:
            case ExchangeKind.SIGN_IN:
                return signed_in()
            case ExchangeKind.TRANSACTION:
                txn = message.transaction
                if txn.terminal_stan in SILENT:
                    return None
                self.approved_at_host[txn.request_id] = txn.amount_minor
                return answered("00")
            case ExchangeKind.REVERSAL:
                self.reversed_at_host.add(message.transaction.request_id)
                return answered("00" if message.transaction.request_id in self.approved_at_host else "25")
            case ExchangeKind.TOTALS:
                result = GroupResult.BALANCED if self.balanced else GroupResult.UNBALANCED
                return lambda play: answered("", host_totals=host_totals(play, result))(play)
            case _:
                return answered("00")


def outcome(day: Day) -> tuple[object, ...]:
    """What must be the same however often the process died."""
    close = day.play.state.last_close
    assert close is not None
    return (close.batch_number, close.outcome, day.play.state.batch.number, len(day.play.every(r.BatchClosed)))


def check(day: Day) -> None:
    """The host's books and ours agree to the cent."""
    state = day.play.state
    at_host = set(day.approved_at_host) - day.reversed_at_host
    ours = {
        txn.request_id
        for txn in [*state.closed.values(), *state.transactions.values()]
        if txn.status is TxnStatus.APPROVED
    }
    assert ours == at_host
    assert not state.unended_reversals()
    sent = [x.message.transaction.request_id for x in day.play.sent if x.kind is ExchangeKind.TRANSACTION]
    assert len(sent) == len(set(sent)), "no request is ever sent twice"
    debits = sum(
        txn.amount_minor for txn in state.closed.values() if txn.request_id in at_host and txn.kind is TxnKind.SALE
    )
    assert state.last_close is not None
    assert state.last_close.totals.domestic.debit_minor == debits


WHOLE = {balanced: Day(None, balanced).run() for balanced in (True, False)}


@pytest.mark.parametrize("balanced", [True, False], ids=["balanced", "unbalanced"])
def test_the_day_without_a_kill(balanced: bool) -> None:
    day = WHOLE[balanced]
    check(day)
    agreed = CloseOutcome.AGREED if balanced else CloseOutcome.OUT_OF_BALANCE
    assert outcome(day) == (7, agreed, 8, 1)
    assert day.steps > 40


@pytest.mark.parametrize("balanced", [True, False], ids=["balanced", "unbalanced"])
def test_killed_after_any_step_it_ends_the_same(balanced: bool) -> None:
    whole = WHOLE[balanced]
    for kill_at in range(1, whole.steps + 1):
        day = Day(kill_at, balanced).run()
        check(day)
        assert outcome(day) == outcome(whole), f"killed after step {kill_at}"
