"""Faults by rule: which message meets which trouble (lost, late, garbled, refused).

Pure: a rule matches by MTI, amount, card, terminal, time window, n-th, every n-th or chance (out of the seed), and
acts at most `times` times. It only names the trouble; acquirer.py, server.py and troubles.py make it.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from posd.iso8583.message import Message
from simulators.host.windows import TIMES_OF_DAY, Moment, awake, minutes

Action = Literal[
    "lose_request",
    "lose_answer",
    "delay",
    "delay_request",
    "duplicate",
    "wrong_stan",
    "wrong_mac",
    "no_mac",
    "garbage",
    "partial",
    "close",
    "never_read",
    "refuse",
    "answer_code",
    "forget_keys",
    "header_digit",
    "move_batch",
    "half_close",
    "answer_after_reversal",
    "echo_storm",
    "replace_fields",
    "restart",
    "drop_script",
    "bad_arpc",
    "http_status",
    "http_type",
    "http_cut",
    "http_chunked",
    "http_drip",
]
NEEDS_CODE = ("refuse", "answer_code")
NEEDS_MS = ("delay", "delay_request", "echo_storm", "http_drip")
CHANCE_STEPS = 1 << 32
ECHOES_A_SECOND_MAX = 5_000


def _ends(value: object) -> object:
    """An amount rule: '12.34' the exact amount, '*34' its last two digits; held as digits or '*' and digits."""
    if not isinstance(value, str):
        return value
    if value.startswith("*"):
        return value
    whole, _, cents = value.partition(".")
    return f"{whole}{cents.ljust(2, '0')}".lstrip("0") or "0"


class Rule(BaseModel):
    """One rule: every condition that is given must hold; `do` says what happens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Action
    mti: str | None = Field(default=None, pattern=r"^[0-9]{4}$")
    type60: str | None = Field(default=None, pattern=r"^[0-9]{2}$", description="60.1, e.g. 30")
    code60: str | None = Field(default=None, pattern=r"^[0-9]{3}$", description="60.3, e.g. 207")
    f3: str | None = Field(default=None, pattern=r"^[0-9]{6}$", description="processing code, e.g. 960000")
    amount: Annotated[str | None, BeforeValidator(_ends), Field(pattern=r"^(\*[0-9]{2}|[0-9]{1,12})$")] = None
    card: str | None = Field(default=None, pattern=r"^[0-9]{4}$", description="the last four digits")
    tid: str | None = None
    nth: int | None = Field(default=None, ge=1, description="only the n-th message that matches")
    every: int | None = Field(default=None, ge=1, description="each n-th message that matches")
    probability: float | None = Field(default=None, ge=0, le=1)
    times: int | None = Field(default=None, ge=1, description="act at most so often; empty: always")
    ms: int = Field(default=0, ge=0, le=600_000, description="how long: a delay, a storm, a restart")
    code: str | None = Field(default=None, pattern=r"^[0-9A-Z]{2}$")
    when: Literal["before", "after", "answered"] = Field(
        default="after",
        description="close, half_close, restart, http_status: before the booking, after it, after the answer",
    )
    digit: int = Field(default=3, ge=0, le=12, description="header_digit: what the host asks for (1.1)")
    number: int | None = Field(default=None, ge=1, le=999_999, description="move_batch: the new number")
    status: int = Field(default=500, ge=200, le=599, description="http_status: what HTTP says instead of 200")
    rate: int = Field(default=100, ge=1, le=ECHOES_A_SECOND_MAX, description="echo_storm: messages a second")
    fields: dict[Annotated[int, Field(ge=2, le=63)], str] = Field(
        default={}, repr=False, description="replace_fields: what the answer says instead; empty text removes"
    )
    between: str | None = Field(default=None, pattern=TIMES_OF_DAY, description="HH:MM-HH:MM of the host's day")
    from_s: float | None = Field(default=None, ge=0, description="seconds after the start: asleep before")
    until_s: float | None = Field(default=None, gt=0, description="seconds after the start: asleep from then on")

    @model_validator(mode="after")
    def _complete(self) -> "Rule":
        if self.do in NEEDS_CODE and self.code is None:
            raise ValueError(f"{self.do} needs code: the two characters of field 39")
        if self.do in NEEDS_MS and self.ms == 0:
            raise ValueError(f"{self.do} needs ms: how long in milliseconds")
        if self.do == "move_batch" and self.number is None:
            raise ValueError("move_batch needs number: the batch number that the host goes on with")
        if self.do == "replace_fields" and not self.fields:
            raise ValueError('replace_fields needs fields: for example {48: "0000"}')
        self._windowed()
        return self

    def _windowed(self) -> None:
        if self.from_s is not None and self.until_s is not None and self.from_s >= self.until_s:
            raise ValueError("from_s is not before until_s: this rule never acts")
        if self.between is not None and len(set(minutes(self.between))) == 1:
            raise ValueError("between starts and ends at the same time; leave it out for the whole day")

    def awake(self, moment: Moment | None) -> bool:
        """Is this the time for it? A rule without a window always is."""
        return awake(self.between, self.from_s, self.until_s, moment)

    def matches(self, message: Message) -> bool:
        """Do the message's own properties fit? (nth, every, probability and times are counted elsewhere.)"""
        return (
            self.mti in (None, message.mti)
            and self.tid in (None, message.get(41))
            and (self.type60 is None or (message.get(60) or "")[:2] == self.type60)
            and (self.code60 is None or (message.get(60) or "")[8:11] == self.code60)
            and self.f3 in (None, message.get(3))
            and (self.card is None or pan_of(message)[-4:] == self.card)
            and (self.amount is None or _amount_fits(self.amount, message.get(4)))
        )


@dataclass(slots=True)
class Faults:
    """The rules and what they have counted. `plan` is called once for each message that arrives.

    `started_ms` and `utc_offset_minutes` are for rules with a window; `begin` sets them.
    """

    rules: tuple[Rule, ...]
    seed: int = 0
    seen: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    started_ms: int | None = None
    utc_offset_minutes: int = 0

    def __post_init__(self) -> None:
        self.seen = [0] * len(self.rules)
        self.used = [0] * len(self.rules)

    def begin(self, now_ms: int, utc_offset_minutes: int) -> None:
        """The run begins now: `from_s` and `until_s` count from here, `between` is a time of this zone."""
        self.started_ms, self.utc_offset_minutes = now_ms, utc_offset_minutes

    def plan(self, message: Message, now_ms: int | None = None) -> Rule | None:
        """The first rule that matches and has uses left; every matching rule that is awake counts the message.

        `now_ms`: milliseconds since 1970 UTC. Without it, or before `begin`, rules with a window are asleep.
        """
        moment = None
        if now_ms is not None and self.started_ms is not None:
            moment = Moment(now_ms, self.started_ms, self.utc_offset_minutes)
        chosen: int | None = None
        for index, rule in enumerate(self.rules):
            if not rule.matches(message) or not rule.awake(moment):
                continue
            self.seen[index] += 1
            if chosen is None and self._acts(index, rule):
                chosen = index
        if chosen is None:
            return None
        self.used[chosen] += 1
        return self.rules[chosen]

    def _acts(self, index: int, rule: Rule) -> bool:
        seen = self.seen[index]
        if rule.times is not None and self.used[index] >= rule.times:
            return False
        if rule.nth is not None and seen != rule.nth:
            return False
        if rule.every is not None and seen % rule.every != 0:
            return False
        return rule.probability is None or self._chance(index, seen) < rule.probability

    def _chance(self, index: int, seen: int) -> float:
        digest = hashlib.sha256(f"{self.seed}|{index}|{seen}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / CHANCE_STEPS


def pan_of(message: Message) -> str:
    """The card number of field 2, or of field 35 up to its separator; '' if neither is there."""
    return message.get(2) or (message.get(35) or "").split("=")[0]


def _amount_fits(wanted: str, amount: str | None) -> bool:
    if amount is None:
        return False
    return amount.endswith(wanted[1:]) if wanted.startswith("*") else (amount.lstrip("0") or "0") == wanted
