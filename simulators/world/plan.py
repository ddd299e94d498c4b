"""What one run of the world is about: how many terminals and days, under which rules, before which host.

Drawn from the seed, or written down by a script (scripts.py). Values only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from random import Random
from typing import Any, Literal, Self

from posd.core.rules import Gaps, OnStuck, UnmacedDecline
from simulators.host.faults import Rule
from simulators.host.settings import Behaviour
from simulators.macs import USUAL, Keying
from simulators.terminal.core import CardInHand
from simulators.world.days import random_day
from simulators.world.faults import aside
from simulators.world.lost import CHANCE as LOST_CHANCE
from simulators.world.lost import Lost
from simulators.world.network import Roads
from simulators.world.terminals import Agent, Script

Cards = tuple[CardInHand, ...]
Day = Callable[[Agent, Cards, int], Script]
"""The script of a day: for a terminal, with cards, until a moment (milliseconds, true time)."""

DOMESTIC = ("6225880123456789", "6225880123456797", "6222021234567890123")
FOREIGN = "4111111111111111"
RESERVED = "6222020000000000000"
"""Nobody pays with it before the last sale: there is money on it."""
EXPIRY = "3012"
PIN = "246810"

CARDS: Cards = (
    CardInHand(DOMESTIC[0], EXPIRY),
    CardInHand(DOMESTIC[1], EXPIRY, "012"),
    CardInHand(DOMESTIC[2], EXPIRY, "021", PIN),
    CardInHand(FOREIGN, EXPIRY, "012"),
)
LAST_CARD = CardInHand(RESERVED, EXPIRY)

TERMINALS_MAX = 3

CHIPS = (0.0, 0.0, 0.5)
SLIPS = (0.0, 0.0, 0.6)
TILLS_CHANCE, ROADS_CHANCE = 0.4, 0.4
ORDERS = (2, 8)
CONFIRM_WITHIN_S = (0.0, 15.0, 90.0, 900.0)

DesMac = Literal["unionpay-ecb", "x9.9", "x9.19", "3des-cbc", "9606"]
REQUESTS_MIN, REQUESTS_MAX = 3, 12


@dataclass(frozen=True, slots=True)
class Plan:
    """`rules`: what differs from the defaults of core.rules.Rules. `with_mac`: of each terminal, whether it
    signs its messages. `sign_in`: the layout of the host's keys; `terminals_sign_in`: the one that terminals
    ask for. `keying`: what terminals agreed on, the host in its `behaviour`; `encrypts_tracks`: whether posd
    does. `chips`: of the cards, how many are read by their chip. `slips`: of the refunds, how many are of a sale
    of this terminal's, voided or not. `orders`: how many each terminal's till places a day; 0: there are no tills.
    `roads`: posd's own routes over these, else one kept line of the world's own (line.py). `host_rules`: faults at
    certain messages. `kill_at`: the numbered point at which the machine dies. `fail_at`: the numbered commit that
    fails, and whether its rows are durable all the same. `lost`: when the journal is lost and an older one restored."""

    terminals: int
    days: int
    day: Day
    rules: Mapping[str, Any] = field(default_factory=dict)
    behaviour: Behaviour = field(default_factory=Behaviour)
    with_mac: tuple[bool, ...] = (True, False, True)
    mac_required: bool = False
    sign_in: str = "004"
    terminals_sign_in: str = "004"
    keying: Keying = USUAL
    encrypts_tracks: bool = False
    chips: float = 0.0
    slips: float = 0.0
    orders: int = 0
    roads: Roads | None = None
    host_rules: tuple[Rule, ...] = ()
    kill_at: int | None = None
    fail_at: tuple[int, bool] | None = None
    people: float = 0.0
    lost: Lost | None = None

    @classmethod
    def drawn(cls, random: Random) -> Self:
        """A shop, its settings and its host, at random."""
        beside = Random()
        beside.setstate(random.getstate())
        beside.seed(beside.getrandbits(64))  # what is drawn from it moves none of the draws below
        tills, roads, chips, lost = (aside(random, name) for name in ("tills", "roads", "chips", "lost"))
        slips = aside(random, "slips")
        requests = random.randint(REQUESTS_MIN, REQUESTS_MAX)
        rules, behaviour = _rules(random), _behaviour(random)
        if rules["unmaced_decline"] is UnmacedDecline.REVERSE:  # its host signs its declines
            behaviour = behaviour.model_copy(update={"mac_declines": True})
        sign_in = random.choice(("001", "003", "004"))
        plan = cls(
            terminals=random.choice((1, 1, 2, TERMINALS_MAX)),
            days=random.choice((1, 1, 2)),
            day=lambda agent, cards, until_ms: random_day(agent, cards, requests, until_ms),
            rules=rules,
            behaviour=behaviour,
            with_mac=tuple(random.random() < 0.6 for _ in range(TERMINALS_MAX)),
            mac_required=random.random() < 0.3,
            sign_in=sign_in,
            terminals_sign_in="003" if sign_in != "001" and random.random() < 0.5 else sign_in,
            people=random.choice((0.0, 0.0, 0.5)),
            chips=chips.choice(CHIPS),
            slips=slips.choice(SLIPS),
            lost=Lost.drawn(lost) if lost.random() < LOST_CHANCE else None,
        )
        return plan.with_keys(beside).with_tills(tills).with_roads(roads)

    def with_roads(self, random: Random) -> Self:
        """The same with posd's own routes and links, at random."""
        return replace(self, roads=Roads.drawn(random)) if random.random() < ROADS_CHANCE else self

    def with_tills(self, random: Random, chance: float = TILLS_CHANCE) -> Self:
        """The same with tills at random, which have to confirm what is approved, or not (D16)."""
        if random.random() >= chance:
            return self
        within_s = random.choice(CONFIRM_WITHIN_S)
        orders = random.randint(*ORDERS)
        return replace(self, orders=orders, rules={**self.rules, "confirm_within_s": within_s})

    def with_keys(self, random: Random) -> Self:
        """The same with a MAC and tracks at random; terminals encrypt theirs or not, whatever posd does."""
        keying, encrypts_tracks = _keying(random, self.sign_in)
        national = keying.mac_algorithm.startswith("sm4")
        return replace(
            self,
            behaviour=self.behaviour.model_copy(update={"keys": keying}),
            keying=keying.model_copy(update={"tracks": random.choice(("clear", "encrypted"))}),
            encrypts_tracks=encrypts_tracks,
            sign_in="006" if national else self.sign_in,
            terminals_sign_in="006" if national else self.terminals_sign_in,
        )


def _keying(random: Random, sign_in: str) -> tuple[Keying, bool]:
    """A MAC that goes with these keys, more often than not the usual one; and whether posd encrypts tracks."""
    if random.random() < 0.2:
        return Keying(mac_algorithm=random.choice(("sm4-ecb", "sm4-cbc"))), False
    mak: Literal["single", "double"] = "double" if sign_in != "001" and random.random() < 0.3 else "single"
    others: tuple[DesMac, ...] = ("9606", "x9.9") if mak == "single" else ("9606", "x9.19", "3des-cbc")
    algorithm: DesMac = "unionpay-ecb" if random.random() < 0.6 else random.choice(others)
    encrypted = sign_in == "004" and random.random() < 0.5
    return Keying(mac_algorithm=algorithm, mak=mak, tracks="encrypted" if encrypted else "any"), encrypted


def _rules(random: Random) -> dict[str, Any]:
    times = random.choice(((time(23, 0),), (time(23, 0),), (time(13, 30), time(23, 0)), (time(0, 5),)))
    return {
        "due_times": times,
        "echo_interval_s": random.choice((0.0, 0.0, 0.0, 3600.0)),
        "unmaced_decline": random.choice(tuple(UnmacedDecline)),
        "reversal_attempts_max": random.choice((1, 2, 4)),
        "reversal_retry": random.choice((Gaps(5.0, 300.0), Gaps(1.0, 30.0))),
        "on_stuck": random.choice(tuple(OnStuck)),
        "settle_hold_max_s": random.choice((0.0, 60.0, 900.0)),
        "sign_in_after_close": random.random() < 0.8,
        "refund_repeat": random.random() < 0.4,
        "advice_stored_max": random.choice((1, 3, 10)),
        "advice_attempts_max": random.choice((1, 2, 4)),
        "advice_retry": random.choice((Gaps(5.0, 300.0), Gaps(1.0, 30.0))),
    }


def _behaviour(random: Random) -> Behaviour:
    return Behaviour(
        reverse_unknown="refuse_later" if random.random() < 0.7 else "approve_later",
        close_at=random.choice(("end", "totals")),
        repeat_after_close=random.choice(("77", "zero")),
        unbalance=random.choice(("none",) * 12 + ("domestic", "foreign", "both")),
        mac_declines=random.random() < 0.5,
        repeat_advice=random.choice(("94", "94", "same")),
        late_advice=random.choice(("book", "book", "77")),
    )
