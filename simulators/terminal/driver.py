"""One terminal under load: a closed loop of steps out of a mix, as a well-behaved terminal makes them.

The next request leaves when the last one ended. What ended without a good answer is reversed, or said again if it is
an advice, before anything else; a host that forgot us is signed in to again. Chance comes out of the given Random only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

from simulators.terminal.client import TerminalClient
from simulators.terminal.line import BAD_STEP, LINE_CUT, NO_ANSWER, NO_LINE, Result
from simulators.terminal.steps import Step
from simulators.terminal.tally import Tally

REVERSIBLE = frozenset({"sale", "void", "preauth", "preauth_void", "complete", "complete_void", "ec_load"})
ADVICES = frozenset({"complete_notice", "offline_sale", "adjust", "tip", "ec_sale"})
KINDS = ("sale", "void", "balance", "refund", "echo", "settle", "chip_sale", *sorted(REVERSIBLE - {"sale", "void"}))
KINDS += tuple(sorted(ADVICES))
NAMES_ONE_OF = {
    "void": "sale",
    "refund": "sale",
    "tip": "sale",
    "adjust": "offline_sale",
    "preauth_void": "preauth",
    "complete": "preauth",
    "complete_notice": "preauth",
    "complete_void": "complete",
}
"""What a kind needs an original of; without one, that is made first."""

CHIP_ENTRY = "051"
SIGN_IN_CODES = frozenset({"77", "99", "A0"})
UNKNOWN_OUTCOMES = frozenset({NO_ANSWER, LINE_CUT, "bad_mac"})
ACKNOWLEDGED = frozenset({"00", "12", "25"})
REVERSAL_TRIES_MAX = 3
SIGN_IN_TRIES_MAX = 3
VOIDABLE_MAX = 50
PAUSE_S = 0.1
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 100, 9_999


@dataclass(frozen=True, slots=True)
class Plan:
    """What every terminal of a run does. `mix`: weight by kind; `cards`: (PAN, expiry YYMM)."""

    mix: Mapping[str, int]
    cards: tuple[tuple[str, str], ...] = field(repr=False)
    timeout_s: float = 30.0
    date: str = "0101"


@dataclass(slots=True, repr=False)
class Driver:
    """One terminal. `go` answers whether there is time and room for another step; `pace` waits for its turn."""

    client: TerminalClient
    plan: Plan
    tally: Tally
    random: Random
    signed_in: bool = False
    _made: dict[str, list[Result]] = field(default_factory=dict)
    _owed: list[tuple[str, int]] = field(default_factory=list)
    _tries: int = 0
    _sign_ins_failed: int = 0

    async def run(self, go: Callable[[], bool], pace: Callable[[], Awaitable[None]]) -> None:
        """Until `go` says no and nothing is owed, or this terminal cannot sign in."""
        try:
            while self._sign_ins_failed < SIGN_IN_TRIES_MAX and (self._owed or go()):
                step = self._next()
                if step["do"] in KINDS:
                    await pace()
                await self._do(step)
        finally:
            await self.client.close()

    async def _do(self, step: Step) -> None:
        kind, began = str(step["do"]), perf_counter()
        result = await self.client.do(step)
        self.tally.note(kind, result, perf_counter() - began)
        self._learn(kind, step, result)
        if result["outcome"] in (NO_LINE, BAD_STEP):
            await asyncio.sleep(PAUSE_S)

    def _next(self) -> dict[str, object]:
        if not self.signed_in:
            return self._step("sign_in")
        if self._owed:
            kind, stan = self._owed[0]
            return self._step(kind, stan=stan)
        kind = self.random.choices(list(self.plan.mix), list(self.plan.mix.values()))[0]
        while kind in NAMES_ONE_OF and not self._made.get(NAMES_ONE_OF[kind]):
            kind = NAMES_ONE_OF[kind]
        original = self._made[NAMES_ONE_OF[kind]][-1] if kind in NAMES_ONE_OF else {}
        match kind:
            case "refund":
                return self._step("refund", **self._money(), rrn=original["rrn"], date=self.plan.date)
            case "tip":
                return self._step("tip", of_stan=original["stan"], amount=original["amount"])
            case "adjust":
                return self._step("adjust", of_stan=original["stan"], amount=self._money()["amount"])
            case "chip_sale":
                return self._step("sale", **self._money(), entry=CHIP_ENTRY)
            case _ if kind in NAMES_ONE_OF:
                return self._step(kind, of_stan=original["stan"], of_batch=original["batch"])
            case "echo" | "settle":
                return self._step(kind)
            case _:
                return self._step(kind, **self._money())

    def _step(self, kind: str, **more: object) -> dict[str, object]:
        return {"do": kind, "timeout_s": self.plan.timeout_s, **more}

    def _money(self) -> dict[str, object]:
        pan, expiry = self.random.choice(self.plan.cards)
        return {"card": pan, "expiry": expiry, "amount": self.random.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX)}

    def _learn(self, kind: str, step: Step, result: Result) -> None:
        """What the result of a step means for the next one."""
        outcome, code = result["outcome"], result.get("code")
        if kind == "sign_in":
            self.signed_in = outcome == "approved"
            self._sign_ins_failed = 0 if self.signed_in else self._sign_ins_failed + 1
        elif code in SIGN_IN_CODES:
            self.signed_in = False
            self._forget()
        if kind in ("reverse", "repeat"):
            self._told_again(kind, result)
        elif outcome in UNKNOWN_OUTCOMES and kind in REVERSIBLE | ADVICES:
            self._owed.append(("reverse" if kind in REVERSIBLE else "repeat", int(str(result["stan"]))))
        if kind in NAMES_ONE_OF and kind != "refund":
            originals = self._made.get(NAMES_ONE_OF[kind], [])
            originals[:] = [row for row in originals if row["stan"] != step["of_stan"]]
        if kind in NAMES_ONE_OF.values() and outcome == "approved":
            self._made[kind] = [*self._made.get(kind, [])[1 - VOIDABLE_MAX :], result]
        elif kind == "settle":
            self._forget()

    def _forget(self) -> None:
        """Another batch: only holds are there still."""
        self._made = {"preauth": self._made.get("preauth", [])}

    def _told_again(self, kind: str, result: Result) -> None:
        """A reversal or a repeated advice: done, or tried once more."""
        code, outcome = result.get("code"), result["outcome"]
        if kind == "reverse":
            self._again(code in ACKNOWLEDGED and outcome != "bad_mac")
        else:
            self._again(outcome not in UNKNOWN_OUTCOMES)

    def _again(self, acknowledged: bool) -> None:
        self._tries += 1
        if acknowledged or self._tries >= REVERSAL_TRIES_MAX:
            self.tally.given_up += not acknowledged
            self._owed.pop(0)
            self._tries = 0
