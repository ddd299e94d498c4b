"""One terminal under load: a closed loop of steps out of a mix, as a well-behaved terminal makes them.

The next request leaves when the last one ended. What ended without a good answer is reversed before anything else;
a host that forgot us is signed in to again. Chance comes out of the given Random only.
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

KINDS = ("sale", "void", "balance", "refund", "echo", "settle")
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
    _voidable: list[tuple[int, str]] = field(default_factory=list)
    _owed: list[int] = field(default_factory=list)
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
            return self._step("reverse", stan=self._owed[0])
        kind = self.random.choices(list(self.plan.mix), list(self.plan.mix.values()))[0]
        if kind in ("void", "refund") and not self._voidable:
            kind = "sale"
        match kind:
            case "void":
                return self._step("void", of_stan=self._voidable[-1][0])
            case "refund":
                return self._step("refund", **self._money(), rrn=self._voidable[-1][1], date=self.plan.date)
            case "sale" | "balance":
                return self._step(kind, **self._money())
            case _:
                return self._step(kind)

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
            self._voidable.clear()
        if kind == "reverse":
            self._reversed(code in ACKNOWLEDGED and outcome != "bad_mac")
        elif kind in ("sale", "void") and outcome in UNKNOWN_OUTCOMES:
            self._owed.append(int(str(result["stan"])))
        if kind == "void":
            self._voidable = [row for row in self._voidable if row[0] != step["of_stan"]]
        elif kind == "sale" and outcome == "approved":
            self._voidable = [*self._voidable[1 - VOIDABLE_MAX :], (int(str(result["stan"])), str(result["rrn"]))]
        elif kind == "settle":
            self._voidable.clear()

    def _reversed(self, acknowledged: bool) -> None:
        self._tries += 1
        if acknowledged or self._tries >= REVERSAL_TRIES_MAX:
            self.tally.given_up += not acknowledged
            self._owed.pop(0)
            self._tries = 0
