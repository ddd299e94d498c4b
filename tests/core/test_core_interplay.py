"""What refers to what, in any order: walks in which nearly every request names another one that there really is.

Random days (test_core_random_days.py) name at random, and seldom hit. Here voids, tips, refunds, completions and their
voids, of terminals and of tills, meet lost and late answers, 0400s, unconfirmed approvals, kills and closes; what must
hold after every step is checked by the playbook, above all that nothing is used twice.
"""

import os
import random
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from posd.core import events as e
from posd.core import records as r
from posd.core.answers import ExchangeKind, GroupResult
from posd.core.rules import TxnKind
from posd.core.state import ReversalStatus, SettlementPhase, Transaction, TxnStatus
from tests.core.playbook import (
    RULES,
    SETTLE_NOW,
    Fed,
    Playbook,
    answered,
    host_totals,
    late,
    offline_sale,
    preauth,
    ready,
    refers,
    refund_of,
    rules,
    sale,
    signed_in,
    taken_back,
)

SEEDS = int(os.environ.get("POSD_SEEDS", "60"))
STEPS, PEACE = 150, 400
SOLD = (TxnKind.SALE, TxnKind.PREAUTH, TxnKind.OFFLINE_SALE, TxnKind.EC_SALE)
NAMING = tuple(kind for kind, row in RULES.kinds.items() if row.original is not None and row.has_amount)
HOLDS = (
    TxnKind.COMPLETION,
    TxnKind.COMPLETION,
    TxnKind.COMPLETION_NOTICE,
    TxnKind.COMPLETION_VOID,
    TxnKind.PREAUTH_VOID,
)
SALES = (TxnKind.VOID, TxnKind.TIP, TxnKind.REFUND)
THEMES = ((SOLD, NAMING), ((TxnKind.PREAUTH,), HOLDS), ((TxnKind.SALE,), SALES))
"""What a walk sells, and what it does to that: of everything, of holds or of sales."""

CODES = ("00",) * 30 + ("51", "94", "68", "25", "10")


class Walk:
    """One lane and its chance; `confirm` 0 or a till's time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"interplay {seed}")
        confirm = self.random.choice((0.0, 45.0))
        self.play = ready(rules(confirm_within_s=confirm, settle_hold_max_s=self.random.choice((0.0, 900.0))))
        self.sold, self.naming = self.random.choice(THEMES)
        self.numbers = 0

    def known(self) -> list[Transaction]:
        return [*self.play.state.closed.values(), *self.play.state.transactions.values()]

    def new(self) -> int:
        self.numbers += 1
        return self.numbers

    # --- what happens ------------------------------------------------------------------------------------------------

    def sells(self) -> None:
        kind, number, amount = self.random.choice(self.sold), self.new(), self.random.choice((1000, 2000))
        of_kind: dict[TxnKind, Fed] = {
            TxnKind.SALE: sale(number, amount),
            TxnKind.PREAUTH: preauth(number, amount),
            TxnKind.OFFLINE_SALE: offline_sale(number, amount),
        }
        self.asks(of_kind.get(kind) or refers(kind, number, of=None, amount=amount))

    def names(self) -> None:
        """A kind, and one of those that it may refer to: mostly one that stands, else whatever became of it since."""
        kind = self.random.choice(self.naming)
        wanted = RULES.kinds[kind].original
        assert wanted is not None
        fitting = [txn for txn in self.known() if txn.kind in wanted.kinds and txn.terminal_stan]
        standing = [txn for txn in fitting if txn.status in (TxnStatus.APPROVED, TxnStatus.STORED)]
        fitting = standing if standing and self.random.random() < 0.8 else fitting
        if not fitting:
            return
        original = self.random.choice(fitting[-3:])
        whole = original.counted_minor
        if original.replaced_by is not None and (later := self.play.state.find(original.replaced_by)) is not None:
            whole = self.random.choice((whole, later.counted_minor))
        amount = self.random.choice((whole, whole, whole // 2, whole + 100))
        if kind is not TxnKind.REFUND:
            self.asks(refers(kind, self.new(), original.terminal_stan, amount))
        elif original.facts is not None and original.facts.rrn is not None:
            self.asks(refund_of(self.new(), original.terminal_stan, amount, date=None))

    def asks(self, fed: Fed) -> None:
        event: Any = fed(self.play) if callable(fed) else fed
        self.play >> replace(event, from_till=self.random.random() < 0.3)

    def host_answers(self, code: str = "") -> None:
        exchange = self.play.state.exchange
        code = code or self.random.choice(CODES)
        if exchange is None:
            return
        if exchange.kind is ExchangeKind.SIGN_IN:
            self.play >> signed_in()
        elif exchange.kind is ExchangeKind.TOTALS:
            word = self.random.choice((GroupResult.BALANCED, GroupResult.UNBALANCED))
            self.play >> answered("", host_totals=host_totals(self.play, word))
        elif exchange.kind in (ExchangeKind.UPLOAD, ExchangeKind.TRAILER):
            self.play >> answered("00")
        else:
            part = {"amount_minor": 300} if code == "10" else {}
            self.play >> answered(code, **part)

    def late_answer(self) -> None:
        if (txn := self.one()) is not None:
            self.play >> late(ExchangeKind.TRANSACTION, txn.stan, self.random.choice(("00", "00", "51")))

    def terminal_takes_back(self) -> None:
        if (txn := self.one()) is not None:
            self.play >> taken_back(txn.terminal_stan, txn.amount_minor, txn.kind.value)

    def till_confirms(self) -> None:
        waiting = self.play.state.unconfirmed
        if waiting:
            self.play >> e.TillConfirmed(self.random.choice(waiting), "confirm")

    def person_ends_a_conflict(self) -> None:
        for reversal in self.play.state.unended_reversals():
            if reversal.status is ReversalStatus.CONFLICT:
                self.play >> e.ResolveReversal("word", "anna", "the host has it not", reversal.request_id)

    def one(self) -> Transaction | None:
        named = [txn for txn in self.known() if txn.terminal_stan]
        return self.random.choice(named[-5:]) if named else None

    # --- the walk ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        happenings = (
            (20, self.names),
            (6, self.sells),
            (40, self.host_answers),
            (4, lambda: self.play.wait(31)),
            (1, lambda: self.play.wait(700)),
            (3, self.late_answer),
            (4, self.terminal_takes_back),
            (5, self.till_confirms),
            (1, self.person_ends_a_conflict),
            (1, lambda: self.play.killed() >> e.LinkUp()),
            (1, lambda: self.play >> replace(SETTLE_NOW, command_id=f"settle-{self.new()}")),
        )
        weights, actions = zip(*happenings, strict=True)
        self.random.choices(actions, weights)[0]()

    def peace(self) -> None:
        """The host answers everything with yes until nothing is owed."""
        for _ in range(PEACE):
            if self.play.state.exchange is not None:
                self.host_answers("00")
            elif self.play.state.settlement.phase is SettlementPhase.UNCONFIRMED:
                self.play >> e.DecideSettlement(f"decide-{self.new()}", "anna", "the host says so", True)
            elif self.owes():
                self.person_ends_a_conflict()
                self.play.wait(400)
            else:
                return
        raise AssertionError(f"never at rest: {self.play.state}")

    def owes(self) -> bool:
        state = self.play.state
        closing = state.settlement.phase is not SettlementPhase.OPEN
        return bool(state.unended_reversals() or state.undelivered_advices() or closing)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_used_twice_whatever_meets_whatever(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(STEPS):
        walk.step()
    walk.peace()


def test_the_walks_get_there() -> None:
    """A walk that never names anything proves nothing: each kind was sent of an original that posd knew."""
    approved, taken = Counter[TxnKind](), Counter[TxnKind]()
    for seed in range(SEEDS):
        walk = Walk(seed)
        for _ in range(STEPS):
            walk.step()
        started = [*walk.play.every(r.AuthorisationStarted), *walk.play.every(r.AdviceStored)]
        known = {record.request_id: record.kind for record in started if record.original is not None}
        approved.update(kind for of, kind in known.items() if _went_through(walk.play, of))
        taken.update(known[one.request_id] for one in walk.play.every(r.ReversalOwed) if one.request_id in known)
    assert set(approved) == set(NAMING), approved
    assert {TxnKind.VOID, TxnKind.COMPLETION, TxnKind.COMPLETION_VOID} <= set(taken), taken


def _went_through(play: Playbook, of: Any) -> bool:
    txn = play.state.find(of)
    return txn is not None and txn.status in (TxnStatus.APPROVED, TxnStatus.STORED)
