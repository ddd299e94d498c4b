"""What one run of the NAC world is like, drawn from its seed."""

from dataclasses import dataclass, field, replace
from datetime import time
from random import Random
from typing import Any, Self

from posd.core.rules import Gaps, OnStuck
from posd.profiles.nac.knobs import Knobs
from simulators.host.settings import Behaviour, NacBehaviour
from simulators.terminal.core import CardInHand
from simulators.world.faults import Faults
from simulators.world.nac.days import nac_day
from simulators.world.network import Roads
from simulators.world.plan import CARDS, EXPIRY, TERMINALS_MAX, Plan

MAC_KEY = bytes(range(16))
REQUESTS = (3, 14)
ROADS_CHANCE = 0.4

HANDS = tuple(
    CardInHand(card.pan, EXPIRY, entry) for card, entry in zip(CARDS, ("022", "012", "022", "012"), strict=True)
)
"""Cards are swiped or typed in; the terminals are trusted with both (`unsigned: accept`)."""


@dataclass(frozen=True, slots=True)
class NacPlan(Plan):
    """`nac`: what the host does otherwise. `knobs`: what posd was told of it. `logon`: the host wants one.

    `resets`: the chance that a terminal counts from 1 again after its own close. `reversal_of_nothing`: what posd
    answers to its 0400 of what never came.
    """

    nac: NacBehaviour = field(default_factory=NacBehaviour)
    knobs: Knobs = field(default_factory=Knobs)
    logon: bool = True
    resets: float = 0.0
    reversal_of_nothing: str = "00"

    @classmethod
    def drawn(cls, random: Random) -> Self:
        requests = random.randint(*REQUESTS)
        signed, voids = random.random() < 0.4, random.choice(("excluded", "credited"))
        repeats = random.choice(("same", "same", "77", "80", "85", "95"))
        nac = NacBehaviour.model_validate(
            {
                "voids": voids,
                "mac_key": MAC_KEY.hex() if signed else "",
                "disagree": random.choice(("never",) * 4 + ("totals", "always")),
                "repeat_after_close": repeats,
                "out_of_balance": random.choice(("77", "95")),
            }
        )
        knobs = Knobs(
            voids=voids,
            mac_algorithm="unionpay-ecb" if signed else "none",
            times=random.choice(("advices", "always")),
            more_follows=random.random() < 0.5,
            refunds=random.choice(("reversed", "reversed", "in_doubt")),
            transfer_on_repeat=repeats == "same" and random.random() < 0.5,
            reversal_mti=random.choice(("0400", "0400", "0420")),
            reversal_repeat_digit=random.random() < 0.3,
            settle_with_reversal_owed=random.random() < 0.2,
        )
        roads = replace(Roads.drawn(random), spoils=False) if random.random() < ROADS_CHANCE else None
        return cls(
            terminals=random.choice((1, 1, 2, TERMINALS_MAX)),
            days=random.choice((1, 1, 2)),
            day=lambda agent, cards, until_ms: nac_day(agent, HANDS, requests, until_ms),
            rules=_rules(random),
            behaviour=Behaviour.model_validate(
                {
                    "repeat_advice": random.choice(("94", "same")),
                    "reverse_unknown": random.choice(("refuse_later", "approve_later")),
                }
            ),
            roads=roads,
            people=random.choice((0.0, 1.0, 3.0)),
            nac=nac,
            knobs=knobs,
            logon=random.random() < 0.8,
            resets=random.choice((0.0, 0.5, 1.0)),
            reversal_of_nothing=random.choice(("00", "00", "78")),
        )

    def possible(self, faults: Faults) -> Faults:
        """The troubles that this dialect can have: nothing finds a spoilt bit where nothing is signed, and there are no
        keys to be forgotten. Without a logon no host's answer judges a clock (D24): it may not jump then."""
        signed = faults if self.nac.mac_key else replace(faults, wrong_mac=0.0, no_mac=0.0)
        judged = signed if self.logon else replace(signed, clock_jumps_a_day=0.0)
        return replace(judged, corrupt=0.0, forget_keys=0.0)


def _rules(random: Random) -> dict[str, Any]:
    times = random.choice(((time(23, 0),), (time(23, 0),), (time(13, 30), time(23, 0)), (time(0, 5),)))
    return {
        "due_times": times,
        "echo_interval_s": random.choice((0.0, 0.0, 0.0, 3600.0)),
        "reversal_attempts_max": random.choice((1, 2, 4)),
        "reversal_retry": random.choice((Gaps(5.0, 300.0), Gaps(1.0, 30.0))),
        "on_stuck": random.choice((OnStuck.BLOCK, OnStuck.BLOCK, OnStuck.CONTINUE)),
        "settle_hold_max_s": random.choice((0.0, 60.0, 900.0)),
        "sign_in_after_close": random.random() < 0.3,
        "advice_stored_max": random.choice((1, 3, 10)),
        "advice_attempts_max": random.choice((1, 2, 4)),
        "advice_retry": random.choice((Gaps(5.0, 300.0), Gaps(1.0, 30.0))),
        "totals_timeout_factor": random.choice((1.0, 1.5)),
    }
