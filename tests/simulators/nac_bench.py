"""One NAC terminal wired straight to a pure NAC acquirer: what the NAC playbooks of this directory speak with."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from posd.iso8583.message import Message
from simulators.host.nac_acquirer import NacAcquirer
from simulators.host.settings import Behaviour, CardSettings, HostSettings, NacBehaviour, TerminalSettings
from simulators.terminal.core import CardInHand, Sent
from simulators.terminal.nac_core import NacTerminal

TID, MID = "12345678", "000000012345678"
CARD = CardInHand("4761739001010119", "3012")
OTHER = CardInHand("5413330089010434", "3012", "012")
STRANGER = CardInHand("4761730000000011", "3012")
NOON_MS = 1_795_320_000_000  # 2026-11-22T04:00:00Z: noon at UTC+8
BALANCE_MINOR = 1_000_000


def settings(behaviour: Behaviour | None = None, **nac: Any) -> HostSettings:
    return HostSettings(
        profile="nac",
        terminals=(TerminalSettings(tid=TID, mid=MID, batch=7),),
        cards=(
            CardSettings(pan=CARD.pan, balance=BALANCE_MINOR, expiry="3012", scheme="VIS"),
            CardSettings(pan=OTHER.pan, balance=BALANCE_MINOR, scheme="MCC"),
        ),
        behaviour=behaviour or Behaviour(),
        nac=NacBehaviour(**nac),
    )


def terminal(**how: Any) -> NacTerminal:
    return NacTerminal(TID, MID, batch=7, clock=lambda: datetime(2026, 11, 22, 12, 0, 0), **how)


@dataclass
class Bench:
    """`say` sends what the terminal built; `take` also lets the terminal read the answer."""

    host: NacAcquirer
    terminal: NacTerminal = field(default_factory=terminal)

    @classmethod
    def of(cls, behaviour: Behaviour | None = None, **nac: Any) -> "Bench":
        return cls(NacAcquirer(settings(behaviour, **nac), seed=1))

    def say(self, sent: Sent, **how: Any) -> Message:
        return self._answer(sent, how)[0]

    def take(self, sent: Sent, **how: Any) -> dict[str, object]:
        answer, body = self._answer(sent, how)
        assert self.terminal.answers(sent, answer)
        return self.terminal.take(sent, answer, body)

    def code(self, sent: Sent, **how: Any) -> object:
        return self.take(sent, **how)["code"]

    def sale(self, amount: int = 1_000, card: CardInHand = CARD) -> int:
        """An approved sale; its trace."""
        sent = self.terminal.sale(card, amount)
        assert self.code(sent) == "00"
        return sent.stan

    def settled(self) -> list[object]:
        """The whole settlement; the codes that the host gave to totals, uploads and closing."""
        codes = [self.code(self.terminal.settle())]
        if codes == ["95"]:
            codes += [self.code(upload) for upload in list(self.terminal.uploads())]
            codes.append(self.code(self.terminal.close()))
        return codes

    @property
    def books(self) -> Any:
        return json.loads(json.dumps(self.host.dump()))["terminals"][0]

    def entry(self, stan: int) -> Any:
        rows = [row for batch in self.books["batches"] for row in batch["transactions"]]
        return next(row for row in rows if row["stan"] == stan)

    def totals(self) -> tuple[int, int, int, int]:
        all_ = self.books["batches"][-1]["totals"]["all"]
        return (all_["debit_count"], all_["debit_minor"], all_["credit_count"], all_["credit_minor"])

    def spent(self, card: CardInHand = CARD) -> int:
        return BALANCE_MINOR - self.host.books.cards[card.pan].balance_minor

    def _answer(self, sent: Sent, how: dict[str, Any]) -> tuple[Message, bytes]:
        codec = self.host.codec
        answer = self.host.handle(codec.decode(sent.body), sent.body, NOON_MS, **how)
        assert answer.body is not None
        return codec.decode(answer.body), answer.body
