"""One terminal wired straight to a pure acquirer: what the playbooks of this directory speak with."""

import json
from dataclasses import dataclass, field
from typing import Any

from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from simulators.host.acquirer import Acquirer
from simulators.host.settings import Behaviour, CardSettings, HostSettings, TerminalSettings
from simulators.terminal.core import CardInHand, Sent, Terminal

TID, MID = "10000001", "898100012345678"
TMK = "0123456789ABCDEFFEDCBA9876543210"
DOMESTIC = CardInHand("6225880123456789", "3012")
FOREIGN = CardInHand("4761739001010010", "3012")
STRANGER = CardInHand("6225880000000005", "3012")
NOON_MS = 1_795_320_000_000  # 2026-11-22T04:00:00Z: noon at UTC+8
BALANCE_MINOR = 1_000_000


def settings(**behaviour: Any) -> HostSettings:
    return HostSettings(
        terminals=(TerminalSettings(tid=TID, mid=MID, tmk=TMK, batch=8),),
        cards=(
            CardSettings(pan=DOMESTIC.pan, balance=BALANCE_MINOR, expiry="3012"),
            CardSettings(pan=FOREIGN.pan, balance=BALANCE_MINOR, scheme="VIS"),
        ),
        behaviour=Behaviour(**behaviour),
    )


@dataclass
class Bench:
    """`say` sends what the terminal built; `take` also lets the terminal read the answer."""

    host: Acquirer
    terminal: Terminal = field(default_factory=lambda: Terminal(TID, MID, bytes.fromhex(TMK)))

    @classmethod
    def of(cls, **behaviour: Any) -> "Bench":
        return cls(Acquirer(settings(**behaviour), seed=1))

    @classmethod
    def signed_in(cls, **behaviour: Any) -> "Bench":
        bench = cls.of(**behaviour)
        assert bench.take(bench.terminal.sign_in())["outcome"] == "approved"
        return bench

    def say(self, sent: Sent, **how: Any) -> Message:
        return self._answer(sent, how)[0]

    def take(self, sent: Sent, **how: Any) -> dict[str, object]:
        answer, body = self._answer(sent, how)
        assert self.terminal.answers(sent, answer)
        return self.terminal.take(sent, answer, body)

    def sale(self, amount: int = 1_000, card: CardInHand = DOMESTIC) -> int:
        """An approved sale; its trace."""
        sent = self.terminal.sale(card, amount)
        assert self.take(sent)["code"] == "00"
        return sent.stan

    @property
    def books(self) -> Any:
        return json.loads(json.dumps(self.host.dump()))["terminals"][0]

    def entry(self, stan: int) -> Any:
        rows = [row for batch in self.books["batches"] for row in batch["transactions"]]
        return next(row for row in rows if row["stan"] == stan)

    def spent(self, card: CardInHand = DOMESTIC) -> int:
        return BALANCE_MINOR - self.host.books.cards[card.pan].balance_minor

    def _answer(self, sent: Sent, how: dict[str, Any]) -> tuple[Message, bytes]:
        answer = self.host.handle(UNIONPAY.decode(sent.body), sent.body, NOON_MS, **how)
        assert answer.body is not None
        return UNIONPAY.decode(answer.body), answer.body
