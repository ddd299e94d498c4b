"""What `posd demo --profile nac` plays: cards, amounts and troubles, all of it out of one seed. Test data only."""

import random
from dataclasses import dataclass

from posd.cli.demo.plan import DemoCard, luhn

TID, MID, NII = "12345678", "000000012345678", "001"
OPENING_BALANCE_MINOR = 10_000_000
EXPIRY = "3012"
HELD_MS = 5_000
"""How long the host holds back the answer before which posd is killed."""

REVERSALS_REFUSED = 3
"""So often the host refuses one reversal: more than posd's attempts, so that it is stuck and blocks."""

GOOD_SALES = 6
_BINS = (("476173", 16), ("541333", 16), ("601100", 19))
_LOST = ({"do": "lose_answer", "mti": "0200", "times": 1}, "timeout", "the answer is lost", "应答丢失")
_CUT = ({"do": "close", "mti": "0200", "times": 1}, "link", "the line is cut", "线路中断")
_EXTRAS = (
    ({"do": "lose_request", "mti": "0200", "times": 1}, "timeout", "the request is lost", "请求丢失"),
    ({"do": "partial", "mti": "0200", "times": 1}, "link", "half an answer, then a cut", "应答残缺"),
    ({"do": "garbage", "mti": "0200", "times": 1}, "timeout", "noise instead of an answer", "应答乱码"),
    ({"do": "answer_code", "mti": "0200", "code": "68", "times": 1}, "unconfirmed", "booked, answered 68", "应答68"),
    (
        {"do": "answer_code", "mti": "0200", "code": "ZZ", "times": 1},
        "unconfirmed",
        "a code nobody knows",
        "未知应答码",
    ),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the host for one amount, and the cause that posd must write down."""

    rules: tuple[dict[str, object], ...]
    why: str
    title: str
    title_zh: str


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale; its amount is unique in the plan."""

    amount_minor: int
    card: DemoCard
    typed: bool = False
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One demo: the first batch up to the kill, what follows it, and the sales of each later batch."""

    seed: int
    batch: int
    terminal_stan: int
    cards: tuple[DemoCard, ...]
    day: tuple[Sale, ...]
    killed: Sale
    after_restart: Sale
    uploaded: tuple[Sale, ...]
    refused: Sale
    while_blocked: Sale
    unbalanced: tuple[Sale, ...]
    before_power_off: Sale
    spare_amounts: tuple[int, ...]

    @property
    def troubles(self) -> tuple[Sale, ...]:
        """Every sale with a trouble."""
        every = (*self.day, self.killed, *self.uploaded, self.refused, *self.unbalanced)
        return tuple(sale for sale in every if sale.trouble is not None)


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(f"nac {seed}")
    cards = tuple(_card(dice, *kind) for kind in _BINS)
    amounts = iter(dice.sample(range(500, 50_000), 40))

    def sale(trouble: Trouble | None = None) -> Sale:
        return Sale(next(amounts), dice.choice(cards), dice.random() < 0.25, trouble)

    def with_trouble(rule: dict[str, object], why: str, title: str, title_zh: str) -> Sale:
        return sale(Trouble((rule,), why, title, title_zh))

    day = [sale() for _ in range(GOOD_SALES)]
    for trouble in (_LOST, _CUT, *dice.sample(_EXTRAS, 2)):
        day.insert(dice.randint(2, len(day)), with_trouble(*trouble))
    kill = {"do": "delay", "mti": "0200", "ms": HELD_MS, "times": 1}
    refuse = {"do": "refuse", "mti": "0400", "code": "96", "times": REVERSALS_REFUSED}
    return Plan(
        seed=seed,
        batch=dice.randint(1, 800_000),
        terminal_stan=dice.randint(1, 900_000),
        cards=cards,
        day=tuple(day),
        killed=with_trouble(kill, "restart", "kill -9 before the answer", "应答前强杀进程"),
        after_restart=sale(),
        uploaded=tuple(sale() for _ in range(4)),
        refused=sale(Trouble((dict(_LOST[0]), refuse), "timeout", "its reversal is refused", "冲正被拒")),
        while_blocked=sale(),
        unbalanced=(sale(), sale()),
        before_power_off=sale(),
        spare_amounts=tuple(next(amounts) for _ in range(6)),
    )


def _card(dice: random.Random, first_six: str, digits: int) -> DemoCard:
    body = first_six + "".join(dice.choices("0123456789", k=digits - len(first_six) - 1))
    return DemoCard(body + luhn(body), "NAC")
