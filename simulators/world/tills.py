"""The tills at the JSON door: each places orders under keys, asks again until it is told, and confirms.

A till has chance of its own, so that a world without tills is what it was before there were any. What it knows is what
its requests were answered: the audit holds it to that, and posd to what it said (till_audit.py).
"""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import msgspec

from posd.core.rules import TxnKind
from posd.daemon.till.orders import Confirmation, Told, Wish, till_request
from posd.profiles.contract import Order, Receipt
from posd.security.cards import CardData, keyed_digest
from posd.values import Minor, RequestId, Tid
from simulators.host.request import APPROVE_CODES
from simulators.terminal.core import CardInHand
from simulators.world.faults import Faults
from simulators.world.stage import Stage

PATIENCE_S = 75.0
LATENCY_S = (0.0005, 0.01)
ANSWER_LOST_S = (0.0, 20.0)
RACE_S = (0.0, 3.0)
AGAIN_S = (0.5, 30.0)
CONFIRM_S = (0.01, 2.0)
CONFIRM_LATE = (0.3, 3.0)
"""Of the time that it has."""
REPEATS_MAX = 8
DIGEST_KEY = b"digest key of the tills".ljust(32)
SALE_RRN, SALE_CODE = "260301000001", "123456"
"""A sale of an older day, by its receipt."""


class Belief(StrEnum):
    """What a till knows of one of its orders."""

    ASKING = "asking"
    APPROVED = "approved"
    UNCONFIRMED = "approved, not confirmed"
    TOO_LATE = "confirmed too late"
    DECLINED = "declined"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """One wish with its bytes; `deaf`: it hangs up before it is answered."""

    wish: Wish
    body: bytes
    deaf: bool = False


Script = Generator[Pause | Say, Told | None, None]


@dataclass(slots=True)
class Placed:
    """One order as its till knows it. `amounts`: what it ordered under this key, one after the other."""

    kind: TxnKind
    amounts: list[int]
    belief: Belief = Belief.ASKING
    tipped: int = 0
    """The whole of it with the tip that it was given since."""


@dataclass(slots=True)
class Till:
    """`to_posd(connection, wish, body)` carries a request, False: nobody listens; `hang_up(connection)`. `within_s`:
    how long it may take to confirm; 0: it need not. `confirms(of)` is told before it tries to."""

    stage: Stage
    tid: Tid
    cards: tuple[CardInHand, ...]
    within_s: float
    to_posd: Callable[[str, Wish, bytes], bool]
    hang_up: Callable[[str], None]
    confirms: Callable[[str], None]
    placed: dict[RequestId, Placed] = field(default_factory=dict)
    quiet: bool = False
    idle: bool = True
    random: Random = field(init=False)
    _script: Script | None = None
    _turn: int = 0
    _asked: int = 0
    _connection: str = ""

    def __post_init__(self) -> None:
        self.random = Random(f"till {self.stage.seed} {self.tid}")

    def play(self, script: Script) -> None:
        """Begin a script; the one before has to be at its end."""
        assert self.idle
        self._script, self.idle = script, False
        self._go_on(None)

    # --- the door ----------------------------------------------------------------------------------------------------

    def line_broke(self) -> None:
        """posd is gone, and with it every connection."""
        if self._connection:
            self._later(self.random.uniform(*LATENCY_S), None)

    def hear(self, connection: str, frame: bytes) -> bool:
        """posd's word on one connection; False: the till is not there any more."""
        if connection != self._connection:
            return False
        told = msgspec.json.decode(frame, type=Told)
        self._later(self.random.uniform(*LATENCY_S), told)
        return True

    def _go_on(self, told: Told | None) -> None:
        assert self._script is not None
        try:
            wish = self._script.send(told)
        except StopIteration:
            self._script, self.idle = None, True
            return
        self._turn += 1
        match wish:
            case Pause(seconds=seconds):
                self._later(seconds, None)
            case Say():
                self._say(wish)

    def _say(self, say: Say) -> None:
        self._connection, turn = self._named(), self._turn
        patience_s = self.random.uniform(*ANSWER_LOST_S) if say.deaf else PATIENCE_S
        self.stage.after(patience_s, lambda: self._patience_is_over(turn))
        self.stage.after(self.random.uniform(*LATENCY_S), lambda: self._connect(turn, say))

    def _connect(self, turn: int, say: Say) -> None:
        if turn == self._turn and not self.to_posd(self._connection, say.wish, say.body):
            self._later(self.random.uniform(*LATENCY_S), None)

    def _beside(self, wish: Wish, body: bytes) -> None:
        """On a connection of its own, whose answer nobody reads."""
        connection = self._named()
        self.stage.after(self.random.uniform(*RACE_S), lambda: self._unheard(connection, wish, body))

    def _unheard(self, connection: str, wish: Wish, body: bytes) -> None:
        if self.to_posd(connection, wish, body):
            self.hang_up(connection)

    def _named(self) -> str:
        self._asked += 1
        return f"{self.tid}#till-{self._asked}"

    def _patience_is_over(self, turn: int) -> None:
        if turn == self._turn and not self.idle:
            self.hang_up(self._connection)
            self._later(0.0, None)

    def _later(self, seconds: float, told: Told | None) -> None:
        turn = self._turn

        def go_on() -> None:
            if turn == self._turn and not self.idle:
                self._connection = ""
                self._go_on(told)

        self.stage.after(seconds, go_on)

    def _chance(self, probability: float) -> bool:
        return not self.quiet and self.random.random() < probability

    # --- what a till does --------------------------------------------------------------------------------------------

    def day(self, orders: int, until_ms: int) -> Script:
        """So many orders, at random times, until the evening."""
        gap_s = max(1.0, (until_ms - self.stage.now_ms) / 1000 / orders)
        for _ in range(orders):
            yield Pause(self.random.expovariate(1.5 / gap_s))
            if self.stage.now_ms >= until_ms:
                return
            yield from self.order(*self._something())

    def _something(self) -> tuple[TxnKind, int, RequestId | None]:
        """Sales mostly; what refers to something, where there is something to refer to."""
        roll, amount = self.random.random(), self.random.randrange(1, 200_000)
        for kind, of, most in REFERRING:
            roll -= most
            found = self._approved(of)
            if roll < 0 and found:
                original = self.random.choice(found)
                whole = self.placed[original].tipped or self.placed[original].amounts[0]
                if kind is TxnKind.TIP:
                    return kind, self._with_tip(self.placed[original].amounts[0]), original
                part = kind in (TxnKind.COMPLETION, TxnKind.REFUND)
                return kind, self.random.randrange(1, whole + 1) if part else whole, original
            if roll < 0:
                break
        if roll >= 0 and self.random.random() < 0.15:
            return TxnKind.PREAUTH, amount, None
        if roll >= 0 and self.random.random() < 0.1:
            return TxnKind.REFUND, amount, None
        return TxnKind.SALE, amount, None

    def _with_tip(self, sold: int) -> int:
        return sold + max(1, sold * self.random.choice((1, 5, 10, 20, 30)) // 100)  # 30 is too much

    def _approved(self, kind: TxnKind) -> list[RequestId]:
        good = (Belief.APPROVED, Belief.UNCONFIRMED)
        return [of for of, one in self.placed.items() if one.kind is kind and one.belief in good]

    def order(self, kind: TxnKind, amount: int, original: RequestId | None) -> Script:
        """One order, until it is known what became of it; then its confirmation."""
        order = self._new(kind, amount, original)
        of, faults, body = order.request_id, self.stage.faults, _body(order)
        for _ in range(REPEATS_MAX):
            if self._chance(faults.till_twice):
                self._beside(order, body)
            if self._chance(faults.till_fickle):
                self._change_of_mind(order)
            told = yield Say(order, body, self._chance(faults.till_deaf))
            if told is not None:
                break
            yield Pause(self.random.uniform(*AGAIN_S))
        if told is None or told.refusal in NOT_AN_OUTCOME:
            self._believe(of, Belief.UNKNOWN)
        elif told.code not in APPROVE_CODES:
            self._believe(of, Belief.FAILED if told.refusal else Belief.DECLINED)
        elif self.within_s and kind not in (TxnKind.REFUND, TxnKind.TIP):
            self._believe(of, Belief.UNCONFIRMED)
            yield from self._confirm(of, faults)
        else:
            self._believe(of, Belief.APPROVED)
            if kind is TxnKind.TIP and original is not None:
                self.placed[original].tipped = amount

    def _new(self, kind: TxnKind, amount: int, original: RequestId | None) -> Order:
        key = f"{kind}-{len(self.placed) + 1:04d}"
        of = till_request(self.tid, key)
        self.placed[of] = Placed(kind, [amount])
        self.stage.say(f"till {self.tid[-1]}", f"orders {of} {amount} {original or ''}")
        self.stage.count("till: orders")
        card = self.random.choice(self.cards)
        known = original is not None
        return Order(
            request_id=of,
            kind=kind,
            digest=_digest(of, kind, amount, original),
            amount_minor=Minor(amount),
            card=None if known else CardData(pan=card.pan, expiry=card.expiry),
            original=original,
            receipt=Receipt(SALE_RRN, "0301", SALE_CODE) if kind is TxnKind.REFUND and not known else None,
            reference=f"{self.tid}-{key}",
        )

    def _change_of_mind(self, order: Order) -> None:
        """Another amount under the same key: one of the two is served, never both (D6)."""
        amount = self.placed[order.request_id].amounts[0] + self.random.randrange(1, 1_000)
        self.placed[order.request_id].amounts.append(amount)
        digest = _digest(order.request_id, order.kind, amount, order.original)
        other = msgspec.structs.replace(order, amount_minor=Minor(amount), digest=digest)
        self._beside(other, _body(other))

    def _confirm(self, of: RequestId, faults: Faults) -> Script:
        """Says that it has the approval: soon, late, or never; until it is told that this was understood."""
        if self._chance(faults.till_silent):
            return
        late = self._chance(faults.till_late)
        yield Pause(self.within_s * self.random.uniform(*CONFIRM_LATE) if late else self.random.uniform(*CONFIRM_S))
        for _ in range(REPEATS_MAX):
            self.confirms(of)
            told = yield Say(Confirmation(of), b"", self._chance(faults.till_deaf))
            if told is None:
                yield Pause(self.random.uniform(*AGAIN_S))
                continue
            if not told.refusal:
                self._believe(of, Belief.APPROVED)
            elif told.refusal == "not_confirmable":
                self._believe(of, Belief.TOO_LATE)
            return

    def _believe(self, of: RequestId, belief: Belief) -> None:
        self.stage.say(f"till {self.tid[-1]}", f"{of} is {belief}")
        self.stage.count(f"till: {belief}")
        self.placed[of].belief = belief


REFERRING = (
    (TxnKind.VOID, TxnKind.SALE, 0.12),
    (TxnKind.REFUND, TxnKind.SALE, 0.06),
    (TxnKind.TIP, TxnKind.SALE, 0.1),
    (TxnKind.COMPLETION, TxnKind.PREAUTH, 0.1),
    (TxnKind.PREAUTH_VOID, TxnKind.PREAUTH, 0.04),
    (TxnKind.COMPLETION_VOID, TxnKind.COMPLETION, 0.04),
)
"""What is ordered of what, and how often."""

NOT_AN_OUTCOME = frozenset({"key_reused"})
"""The other order under this key may have been served."""


def _body(order: Order) -> bytes:
    return json.dumps([order.kind, order.amount_minor, order.original or ""]).encode()


def _digest(of: RequestId, kind: TxnKind, amount: int, original: RequestId | None) -> str:
    return keyed_digest(DIGEST_KEY, f"{of} {kind} {amount} {original or ''}")
