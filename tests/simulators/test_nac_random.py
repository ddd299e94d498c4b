"""Random NAC days, from a seed: messages are lost, a good terminal reverses and repeats, the day balances."""

import json
from random import Random
from typing import Any

import pytest

from simulators.host.faults import Faults
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.state import restore, saved
from simulators.terminal.core import Sent
from tests.simulators.nac_bench import CARD, OTHER, Bench, settings

STEPS = 40
LOST = 0.25
ADVICE = "0220"


class Shop:
    """A terminal that never forgets what it owes, on a line that loses every fourth message."""

    def __init__(self, seed: int, **nac: Any) -> None:
        self.random = Random(seed)
        self.nac = nac
        self.bench = Bench(NacAcquirer(settings(**nac)))

    def step(self) -> None:
        sent = self.build(self.random.randrange(9))
        if sent is not None:
            self.surely(sent)
        if self.random.random() < 0.1:
            self.restart()

    def build(self, kind: int) -> Sent | None:
        terminal, card, amount = self.bench.terminal, self.random.choice((CARD, OTHER)), self.random.randrange(1, 5_000)
        counted = [stan for stan, one in terminal.log.items() if one.in_batch]
        holds = [stan for stan, one in terminal.log.items() if one.approved and one.sent.do == "preauth"]
        chosen = self.random.choice(counted) if counted else None
        match kind:
            case 0:
                return terminal.refund(card, amount)
            case 1:
                return terminal.offline_sale(card, amount, "654321")
            case 2:
                return terminal.preauth(card, amount)
            case 3 if chosen is not None:
                return terminal.void(chosen)
            case 4 if chosen is not None:
                return terminal.adjust(chosen, amount)
            case 5 if chosen is not None:
                return terminal.adjust(chosen, 0)
            case 6 if holds:
                held = self.random.choice(holds)
                return terminal.complete(held, terminal.log[held].amount_minor)
            case 7 | 8:
                return terminal.sale(card, amount)
            case _:
                return None

    def surely(self, sent: Sent) -> None:
        """Until the outcome is known: an advice is repeated, anything else reversed until 00."""
        if self.exchange(sent) is not None:
            return
        self.bench.terminal.unanswered.add(sent.stan)
        again = sent if sent.message.mti == ADVICE else self.bench.terminal.reverse(sent.stan)
        while self.exchange(again) is None:
            pass

    def exchange(self, sent: Sent) -> dict[str, object] | None:
        """One message and its answer; None when either is lost."""
        if self.random.random() < LOST:
            return None
        if self.random.random() < LOST:
            self.bench.say(sent)
            return None
        return self.bench.take(sent)

    def restart(self) -> None:
        """A host process killed and started with its state."""
        fresh = NacAcquirer(settings(**self.nac))
        restore(json.loads(json.dumps(saved(self.bench.host, Faults(())))), fresh, Faults(()))
        assert fresh.dump() == self.bench.host.dump()
        self.bench.host = fresh

    def settle(self) -> list[object]:
        """Every message of it repeated as it is until it is answered (D20)."""
        codes = [self.certainly(self.bench.terminal.settle())]
        if codes == ["95"]:
            codes += [self.certainly(one) for one in list(self.bench.terminal.uploads())]
            codes.append(self.certainly(self.bench.terminal.close()))
        return codes

    def certainly(self, sent: Sent) -> object:
        while (result := self.exchange(sent)) is None:
            pass
        return result["code"]

    def held_minor(self) -> int:
        terminal = self.bench.host.books.terminals[self.bench.terminal.tid]
        every = [entry for batch in terminal.batches for entry in batch.entries.values()]
        return sum(
            entry.amount_minor
            for entry in every
            if entry.kind == "pre_auth" and entry.state == "approved" and terminal.completion_of(entry) is None
        )


@pytest.mark.parametrize("disagree", ["never", "totals"])
@pytest.mark.parametrize("seed", range(60))
def test_a_lossy_day_balances_to_the_cent(seed: int, disagree: str) -> None:
    shop = Shop(seed, disagree=disagree)
    for _ in range(2):
        for _ in range(STEPS):
            shop.step()
        counted = len([one for one in shop.bench.terminal.log.values() if one.in_batch])
        codes = shop.settle()
        assert codes == (["00"] if disagree == "never" else ["95", *["00"] * counted, "00"])
    books = shop.bench.books
    assert books["remarks"] == []
    assert [batch["state"] for batch in books["batches"]] == ["closed", "closed", "open"]
    groups = [batch["totals"]["all"] for batch in books["batches"]]
    counted = sum(group["debit_minor"] - group["credit_minor"] for group in groups)
    assert shop.bench.spent() + shop.bench.spent(OTHER) == counted + shop.held_minor()
