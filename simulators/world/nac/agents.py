"""A NAC terminal behind posd: as terminals.py has it, with invoice numbers, and with 0400 as its only way back."""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import ClassVar

from posd.framing.tpdu import Envelope
from posd.iso8583.codec import Codec
from posd.iso8583.nac import NAC
from simulators.terminal.core import CardInHand, Sent
from simulators.terminal.nac_core import Logged, NacTerminal
from simulators.world.terminals import (
    AGAIN_S,
    IMPATIENCE_S,
    PATIENCE_S,
    REPEATS_MAX,
    Agent,
    Ask,
    Reply,
    Script,
    View,
    Wait,
)

ENVELOPE = Envelope(bytes.fromhex("6000010000"), b"", b"")
NO_ORIGINAL = "78"


@dataclass(slots=True)
class NacAgent(Agent):
    """One terminal. `resets`: the chance that it is reset after its own close, and counts up to old numbers again.

    `lives`: what it believed of its requests before each reset. `first`: trace and invoice number of its first sale,
    with card and amount: the same is sold again under the same numbers.
    """

    codec: ClassVar[Codec] = NAC
    envelope: ClassVar[Envelope] = ENVELOPE
    gives_up_on: ClassVar[frozenset[str]] = frozenset({"12", "14", "30", "64", "94"})
    taken_back_by: ClassVar[frozenset[str]] = frozenset({"00", NO_ORIGINAL})

    resets: float = 0.0
    lives: list[dict[str, View]] = field(default_factory=list)
    first: tuple[int, int, CardInHand, int] | None = None

    def sell(self, card: CardInHand, amount_minor: int) -> Sent:
        """A sale."""
        if self.first is None:
            self.first = (self.nac.stan, self.nac.invoice, card, amount_minor)
        return self.nac.sale(card, amount_minor)

    @property
    def nac(self) -> NacTerminal:
        assert isinstance(self.core, NacTerminal)
        return self.core

    def sign_in(self) -> Script:
        """A logon, until it is answered, or ten times."""
        for _ in range(10):
            sent = self.nac.logon()
            reply = yield Ask(sent)
            if reply is not None and self.nac.take(sent, *reply)["outcome"] == "approved":
                return
            yield Wait(self.stage.random.uniform(*AGAIN_S))

    def in_reader(self, card: CardInHand) -> CardInHand:
        return card

    def key(self, sent: Sent) -> str:
        """The request's id: no message tells its batch (D6)."""
        message = sent.message
        return f"{self.tid}/{message.get(62)}/{sent.stan:06d}/{message.mti}/{message.get(3)}"

    def standing(self, *, refunds: bool = False) -> list[int]:
        """Trace numbers of what can be voided."""
        log = self.nac.log.items()
        return [stan for stan, one in log if one.in_batch and one.of is None and one.refund is refunds]

    def held(self) -> list[int]:
        """Trace numbers of holds that were not completed."""
        log = self.nac.log.items()
        return [stan for stan, one in log if one.approved and one.sent.message.mti == "0100"]

    def logged(self, stan: int) -> Logged:
        return self.nac.log[stan]

    def tell(self, sent: Sent) -> Script:
        """What has happened already: told until it is acknowledged; an advice is never taken back (2.6)."""
        stage, key = self.stage, self.key(sent)
        self.views[key] = View.ASKING
        stage.say(f"term {self.tid[-1]}", f"{sent.do} {key} {sent.message.get(4)}")
        for _ in range(REPEATS_MAX):
            hasty = not self.quiet and stage.chance(stage.faults.impatient)
            reply = yield Ask(sent, stage.random.uniform(*IMPATIENCE_S) if hasty else PATIENCE_S)
            if reply is not None and self._understood(sent, key, reply):
                return
            yield Wait(stage.random.uniform(*AGAIN_S))
        self._believe(key, View.FORGOTTEN)

    def close_batch(self) -> Script:
        """Its own 0500, and where it is answered 95 every record and the closing (D25)."""
        sent = self.nac.settle()
        reply = yield Ask(sent)
        outcome = self.nac.take(sent, *reply)["outcome"] if reply is not None else ""
        if outcome == "unbalanced":
            outcome = yield from self._uploaded()
        if outcome in ("balanced", "closed", "out_of_balance") and self.stage.chance(self.resets):
            yield from self._reset()

    def _reset(self) -> Script:
        """It is another sale, though its number, card and amount are those of the first: it may not be told that one's
        approval, nor may a reversal of it, where it never came, take that one back (D6, D17)."""
        if self.first is None:
            return
        stan, invoice, card, amount_minor = self.first
        self.stage.say(f"term {self.tid[-1]}", "was reset: it counts from 1 again")
        self.stage.count("terminal: reset")
        self.lives.append(self.views)
        self.views = {}
        after, self.nac.stan, self.nac.invoice, self.nac.batch = (self.nac.stan, self.nac.invoice), stan, invoice, 1
        again = self.nac.sale(card, amount_minor)
        if self.stage.random.random() < 0.5:
            yield from self.take_back(again)  # it never left the terminal
        else:
            yield from self.request(again)
        self.nac.stan, self.nac.invoice = after

    def _uploaded(self) -> Generator[Wait | Ask, Reply, str]:
        for upload in list(self.nac.uploads()):
            reply = yield Ask(upload)
            if reply is None:
                return ""
        end = self.nac.close()
        reply = yield Ask(end)
        return str(self.nac.take(end, *reply)["outcome"]) if reply is not None else ""
