"""The NAC terminal on its line: what steps there are, and the settlement with upload and closing (reference 2.5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from simulators.terminal.core import Sent
from simulators.terminal.line import LINE_CUT, NO_ANSWER, Line, Result, Step, amount_of, card_of
from simulators.terminal.nac_core import NacTerminal

TPDU = bytes.fromhex("6000010000")


Build = Callable[[NacTerminal, Step], Sent]
MONEY = "card, expiry, amount"


class Made(NamedTuple):
    """How a step is built, and its arguments for --help."""

    build: Build
    needs: str
    about: str


def _stan(step: Step, name: str = "of_stan") -> int:
    return int(str(step[name]))


def _sale(terminal: NacTerminal, step: Step) -> Sent:
    return terminal.sale(card_of(step), amount_of(step), amount_of(step, "tip") if "tip" in step else 0)


def _offline_sale(terminal: NacTerminal, step: Step) -> Sent:
    return terminal.offline_sale(card_of(step), amount_of(step), str(step["approval"]))


STEPS: dict[str, Made] = {
    "logon": Made(lambda t, s: t.logon(), "", "0800/920000"),
    "echo": Made(lambda t, s: t.echo(), "", "0800/990000"),
    "load": Made(lambda t, s: t.load(str(s.get("code", "930000"))), "[code]", "0800/930000: ask for parameters"),
    "sale": Made(_sale, f"{MONEY} [, tip]", "0200; the amount holds the tip"),
    "refund": Made(lambda t, s: t.refund(card_of(s), amount_of(s)), MONEY, "0200/200000"),
    "void": Made(lambda t, s: t.void(_stan(s)), "of_stan", "0200/020000 or 220000: a sale or refund of this batch"),
    "preauth": Made(lambda t, s: t.preauth(card_of(s), amount_of(s)), MONEY, "0100/300000: hold money"),
    "complete": Made(lambda t, s: t.complete(_stan(s), amount_of(s)), "of_stan, amount", "0220: capture a hold"),
    "offline_sale": Made(_offline_sale, f"{MONEY}, approval", "0220/000000: agreed by telephone"),
    "adjust": Made(
        lambda t, s: t.adjust(_stan(s), amount_of(s)), "of_stan, amount", "0220/020000: the new amount; 0 voids"
    ),
    "tip": Made(lambda t, s: t.tip(_stan(s), amount_of(s, "tip")), "of_stan, tip", "0220/020000: a tip on top"),
    "tc": Made(lambda t, s: t.certificate(_stan(s)), "of_stan", "0320/940000: the certificate of a chip sale"),
    "reverse": Made(lambda t, s: t.reverse(_stan(s, "stan")), "stan", "0400"),
    "totals": Made(lambda t, s: t.settle(), "", "the 0500/920000 alone"),
    "upload": Made(lambda t, s: t.upload(_stan(s)), "of_stan", "one 0320 alone"),
    "settle_end": Made(lambda t, s: t.close(), "", "the 0500/960000 alone"),
}
OTHERS = (
    ("settle", "", "totals; after 95 every upload and the closing"),
    ("repeat", "stan", "the same bytes once more"),
)


def listing() -> str:
    """Every step with its arguments, aligned, for --help."""
    rows = [(name, made.needs, made.about) for name, made in STEPS.items()] + list(OTHERS)
    name_width, needs_width = (max(len(row[at]) for row in rows) for at in (0, 1))
    return "\n".join(f"  {name:<{name_width}}  {needs:<{needs_width}}  {about}" for name, needs, about in rows)


@dataclass(slots=True, repr=False)
class NacClient(Line[NacTerminal]):
    """One NAC terminal connected to HOST:PORT. `tries`: how often one message of a settlement is sent at most."""

    tpdu: bytes = TPDU
    tries: int = 3

    def build(self, step: Step) -> Sent | None:
        """The request of a step of STEPS."""
        made = STEPS.get(str(step.get("do")))
        return made.build(self.terminal, step) if made is not None else None

    async def exchange(self, sent: Sent, timeout_s: float) -> Result:
        """As Line.exchange; what nobody answered is noted, for 94 to its repeat."""
        result = await Line.exchange(self, sent, timeout_s)
        if result["outcome"] in (NO_ANSWER, LINE_CUT):
            self.terminal.unanswered.add(sent.stan)
        return result

    async def settle(self, timeout_s: float) -> Result:
        """920000, and where it is answered 95 every record and 960000; the outcome of the last, or of what failed.

        Outcomes: balanced, closed (after an upload), out_of_balance; totals_*, upload_* and end_* for what broke off.
        """
        totals = await self._surely(self.terminal.settle(), timeout_s)
        match totals["outcome"]:
            case "balanced":
                return totals | {"uploads": 0, "next_batch": self.terminal.batch}
            case "unbalanced":
                pass
            case outcome:
                return totals | {"outcome": f"totals_{outcome}"}
        uploaded = 0
        for upload in list(self.terminal.uploads()):
            done = await self._surely(upload, timeout_s)
            if done["outcome"] != "approved":
                return totals | {"outcome": f"upload_{done['outcome']}", "code": done["code"], "uploads": uploaded}
            uploaded += 1
        end = await self._surely(self.terminal.close(), timeout_s)
        if end["outcome"] not in ("closed", "out_of_balance"):
            return totals | {"outcome": f"end_{end['outcome']}", "code": end["code"], "uploads": uploaded}
        result = {"outcome": end["outcome"], "code": end["code"], "uploads": uploaded}
        return totals | result | {"next_batch": self.terminal.batch}

    async def _surely(self, sent: Sent, timeout_s: float) -> Result:
        """A management message, repeated with its own number while nobody answers (D20, D21)."""
        result = await self.exchange(sent, timeout_s)
        for _ in range(self.tries - 1):
            if result["outcome"] not in (NO_ANSWER, LINE_CUT):
                break
            result = await self.exchange(sent, timeout_s)
        return result
