"""What may go wrong in one run of the world, as chances: drawn from the seed, or given.

Not every kind of trouble is on in every run: a run in which everything fails at once rarely gets far enough to be
interesting, and one with a single kind of trouble says clearly whose fault it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Self


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances per occasion, 0 to 1, unless said otherwise. All zero: a perfect day.

    The line, per frame: `lose`, `delay` (seconds to minutes, so that later frames overtake it), `duplicate`, `corrupt`
    (one bit of a message with a MAC), `garbage`, `cut` (the connection breaks at this frame), `stall` (the line does
    not take it at once). `outages_a_day`: times a day the host cannot be reached, for minutes or hours.
    The host, per message: `wrong_stan`, `wrong_mac`, `no_mac`, `refuse`, `unclear` (booked, then answered with a
    code that says nothing), `reused` (says 94 to the first attempt of an advice that it does not have),
    `forget_keys`, `move_batch` (goes on with a batch number of its own, per sign-in: D7).
    The machine: `kill`, per point at which it can die; `disk`, per commit; `power_offs_a_day`; `clock_jumps_a_day`.
    The terminals, per message: `terminal_line` (its frame or its answer is lost, late or doubled), `impatient` (gives
    up before its answer), `forgetful` (never asks again), `takes_back` (reverses an approval), `odd` (asks what makes
    no sense), `long_off` (is switched off for days before it goes on).
    The tills, per order: `till_deaf` (leaves before its answer), `till_twice` (orders the same on two connections),
    `till_fickle` (orders something else under the same key), `till_late` (confirms late, perhaps too late),
    `till_silent` (never confirms).
    """

    lose: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    garbage: float = 0.0
    cut: float = 0.0
    stall: float = 0.0
    outages_a_day: float = 0.0
    wrong_stan: float = 0.0
    wrong_mac: float = 0.0
    no_mac: float = 0.0
    refuse: float = 0.0
    unclear: float = 0.0
    forget_keys: float = 0.0
    move_batch: float = 0.0
    kill: float = 0.0
    disk: float = 0.0
    power_offs_a_day: float = 0.0
    clock_jumps_a_day: float = 0.0
    terminal_line: float = 0.0
    impatient: float = 0.0
    forgetful: float = 0.0
    takes_back: float = 0.0
    odd: float = 0.0
    long_off: float = 0.0
    reused: float = 0.0
    till_deaf: float = 0.0
    till_twice: float = 0.0
    till_fickle: float = 0.0
    till_late: float = 0.0
    till_silent: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> Self:
        """Each kind of trouble is off in half of the runs, and of a random strength in the others."""
        tills = aside(random, "tills")
        return cls(
            **_strengths(random, WORST),
            **_strengths(tills, WORST_TILLS),
            **_strengths(aside(random, "host"), WORST_HOST),
        )

    def without_line_and_host(self) -> Self:
        """The same terminals and the same machine on a perfect line."""
        quiet = {one.name: 0.0 for one in fields(self) if one.name not in OURS}
        return replace(self, **quiet)


def aside(random: Random, name: str) -> Random:
    """Chance of its own for what joined the world later: what is drawn from it moves no other draw, and the seeds
    keep their stories."""
    copy = Random()
    copy.setstate(random.getstate())
    return Random(f"{name} {copy.getrandbits(64)}")


def _strengths(random: Random, worst: Mapping[str, float]) -> dict[str, float]:
    return {name: most * random.random() for name, most in worst.items() if random.random() < ON_CHANCE}


ON_CHANCE = 0.5

WORST = {
    "lose": 0.25,
    "delay": 0.25,
    "duplicate": 0.3,
    "corrupt": 0.2,
    "garbage": 0.1,
    "cut": 0.15,
    "stall": 0.3,
    "outages_a_day": 3.0,
    "wrong_stan": 0.1,
    "wrong_mac": 0.2,
    "no_mac": 0.2,
    "refuse": 0.2,
    "unclear": 0.15,
    "forget_keys": 0.1,
    "move_batch": 0.1,
    "kill": 0.04,
    "disk": 0.03,
    "power_offs_a_day": 0.7,
    "clock_jumps_a_day": 2.0,
    "terminal_line": 0.2,
    "impatient": 0.2,
    "forgetful": 0.3,
    "takes_back": 0.15,
    "odd": 0.2,
    "long_off": 0.05,
}
"""The strongest that each kind is drawn."""

WORST_LINE = {name: WORST[name] for name in ("lose", "delay", "duplicate", "corrupt", "garbage", "cut", "stall")}

WORST_TILLS = {"till_deaf": 0.3, "till_twice": 0.3, "till_fickle": 0.2, "till_late": 0.4, "till_silent": 0.3}

WORST_HOST = {"reused": 0.1}

OURS = frozenset({"terminal_line", "impatient", "forgetful", "takes_back", "odd", "long_off", *WORST_TILLS})
