"""What the demo plays: cards, sales and which trouble meets which sale, all of it out of one seed.

Pure, and the same seed gives the same plan. It must never hold anything but obvious test data: made-up cards, a made-up
master key, a merchant that does not exist.
"""

import random
from dataclasses import dataclass

from posd.values import Minor

TID, MID = "10000001", "898100012345678"
TMK_HEX = "1F2E3D4C5B6A79888796A5B4C3D2E1F0"
"""A test master key; no terminal in the field has it."""

OPENING_BALANCE_MINOR = 10_000_000
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 100, 50_000
EXPIRY = "3012"
GOOD_SALES = 12
SALES_AFTER_RESTART = 2
EXTRA_TROUBLES = 2
SETTLE_MAXIMUM_MINOR = 2_000_000
"""What posd settles without asking; above the batches of the demo, but for the one with the large sale."""
LARGE_MINOR_MIN, LARGE_MINOR_MAX = 2_500_000, 3_000_000
UPLOADED_SALES, REFUND_DAY_SALES = 9, 2
"""Domestic sales of the second batch, more than one upload message holds; sales of the third."""
HELD_MS = 5_000
"""How long the host holds back the answer before which posd is killed: longer than the kill takes."""

BATCH_MAX, STAN_MAX = 800_000, 900_000
"""Where the host's batch and the terminal's own numbers begin at most: none of them wraps in a demo."""

DOMESTIC, FOREIGN = "CUP", "VIS"
_BINS = (("622588", 16, DOMESTIC), ("621700", 19, DOMESTIC), ("625900", 16, DOMESTIC), ("476173", 16, FOREIGN))
"""First six digits, length, scheme: domestic and foreign, sixteen digits and nineteen."""


@dataclass(frozen=True, slots=True, repr=False)
class DemoCard:
    """A made-up card. A card with a PIN is always used with it."""

    pan: str
    scheme: str
    pin: str | None = None

    @property
    def masked(self) -> str:
        """First six, stars, last four."""
        return f"{self.pan[:6]}{'*' * (len(self.pan) - 10)}{self.pan[-4:]}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that the host simulator makes: rules of its `faults`, and what has to come of it.

    `why` is the cause that posd must write down (posd/core/rules.py), None when the outcome stays known. `code` is
    what the terminal must be told.
    """

    name: str
    title: str
    title_zh: str
    rules: tuple[dict[str, object], ...]
    why: str | None
    code: str


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale to be made; the amount is unique in the plan, so that a trouble can be tied to it."""

    amount_minor: Minor
    card: DemoCard
    typed: bool = False
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """Takes back one of the sales approved so far; `pick` (0 to 1) says which."""

    pick: float


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance inquiry: a financial message that moves no money."""

    card: DemoCard


Action = Sale | Void | Balance


@dataclass(frozen=True, slots=True)
class Plan:
    """One demo. `day` is played first, then posd is killed during `killed`, and so on."""

    seed: int
    host_batch: int
    terminal_batch: int
    terminal_stan: int
    cards: tuple[DemoCard, ...]
    day: tuple[Action, ...]
    killed: Sale
    after_restart: tuple[Sale, ...]
    next_batch: Sale
    uploaded: tuple[Sale, ...]
    refund_day: tuple[Sale, ...]
    large: Sale
    while_held: Sale
    before_power_off: tuple[Sale, ...]

    @property
    def sales(self) -> tuple[Sale, ...]:
        """Every sale, in the order of play."""
        day = tuple(action for action in self.day if isinstance(action, Sale))
        first = (*day, self.killed, *self.after_restart)
        last = (self.while_held, *self.before_power_off)
        return (*first, self.next_batch, *self.uploaded, *self.refund_day, self.large, *last)


def _rule(do: str, **more: object) -> dict[str, object]:
    return {"do": do, "mti": "0200", "times": 1, **more}


ALWAYS = (
    Trouble("lost_answer", "the answer is lost", "应答丢失", (_rule("lose_answer"),), "timeout", "98"),
    Trouble("wrong_mac", "the answer's MAC is wrong", "应答MAC错", (_rule("wrong_mac"),), "mac", "98"),
    Trouble("line_cut", "the line is cut", "线路中断", (_rule("close"),), "link", "98"),
)
EXTRAS = (
    Trouble("lost_request", "the request is lost", "请求丢失", (_rule("lose_request"),), "timeout", "98"),
    Trouble("half_answer", "half an answer, then a cut", "应答残缺", (_rule("partial"),), "link", "98"),
    Trouble("no_mac", "an approval without a MAC", "应答无MAC", (_rule("no_mac"),), "mac", "98"),
    Trouble("wrong_trace", "an answer to another trace", "流水号不符", (_rule("wrong_stan"),), "timeout", "98"),
    Trouble("garbage", "noise instead of an answer", "应答乱码", (_rule("garbage"),), "timeout", "98"),
    Trouble("unsure", "booked, but answered 68", "应答68", (_rule("answer_code", code="68"),), "unconfirmed", "98"),
    Trouble("refused", "refused: not enough money", "余额不足", (_rule("refuse", code="51"),), None, "51"),
    Trouble("twice", "the answer comes twice", "重复应答", (_rule("duplicate"),), None, "00"),
    Trouble("keys_lost", "the host lost the keys", "主机丢失密钥", (_rule("forget_keys"),), None, "A0"),
    Trouble(
        "lost_again",
        "its reversal's answer is lost too",
        "冲正应答也丢失",
        (_rule("lose_answer"), {"do": "lose_answer", "mti": "0400", "times": 1}),
        "timeout",
        "98",
    ),
)
REFUND_LOST: dict[str, object] = {"do": "lose_answer", "mti": "0220", "nth": 2}
"""The answer to the second refund of the demo never comes."""
KILL = Trouble("kill", "kill -9 before the answer", "应答前强杀进程", (_rule("delay", ms=HELD_MS),), "restart", "")


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(seed)
    cards = _cards(dice)
    amounts = iter(dice.sample(range(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX), 64))

    def sale(trouble: Trouble | None = None, card: DemoCard | None = None) -> Sale:
        chosen = card or dice.choice(cards)
        typed = chosen.pin is None and dice.random() < 0.25
        return Sale(Minor(next(amounts)), chosen, typed, trouble)

    troubles = [*ALWAYS, *dice.sample(EXTRAS, EXTRA_TROUBLES)]
    day: list[Action] = [sale() for _ in range(GOOD_SALES)]
    for trouble in troubles:
        day.insert(dice.randint(1, len(day)), sale(trouble))
    day.insert(dice.randint(4, len(day)), Void(dice.random()))
    day.insert(dice.randint(1, len(day)), Balance(cards[0]))
    domestic = [card for card in cards if card.scheme == DOMESTIC]
    return Plan(
        seed=seed,
        host_batch=dice.randint(1, BATCH_MAX),
        terminal_batch=dice.randint(1, BATCH_MAX),
        terminal_stan=dice.randint(1, STAN_MAX),
        cards=cards,
        day=tuple(day),
        killed=sale(KILL),
        after_restart=(sale(card=cards[0]), *(sale() for _ in range(SALES_AFTER_RESTART - 1))),
        next_batch=sale(card=cards[0]),
        uploaded=tuple(sale(card=dice.choice(domestic)) for _ in range(UPLOADED_SALES)),
        refund_day=(sale(card=cards[0]), *(sale() for _ in range(REFUND_DAY_SALES - 1))),
        large=Sale(Minor(dice.randint(LARGE_MINOR_MIN, LARGE_MINOR_MAX)), cards[0]),
        while_held=sale(),
        before_power_off=(sale(card=cards[0]), sale()),
    )


def _cards(dice: random.Random) -> tuple[DemoCard, ...]:
    """One card of each kind; the first has a PIN."""
    cards: list[DemoCard] = []
    for first_six, digits, scheme in _BINS:
        body = first_six + "".join(dice.choices("0123456789", k=digits - len(first_six) - 1))
        pin = "".join(dice.choices("0123456789", k=6)) if not cards else None
        cards.append(DemoCard(body + luhn(body), scheme, pin))
    return tuple(cards)


def luhn(body: str) -> str:
    """The check digit that belongs behind these digits."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)
