"""The terminals behind posd: each lives its day as a script that asks and waits, and remembers what it was told.

A decent terminal does not rest until it knows what became of a request: it asks again, or takes it back until that is
acknowledged. What each believes at the end is a promise that posd has made.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import ClassVar

from posd.framing.tpdu import Envelope, join, split
from posd.iso8583.codec import Codec
from posd.iso8583.message import Message
from posd.iso8583.unionpay import UNIONPAY
from simulators.host.kinds import Kind
from simulators.terminal import matrix
from simulators.terminal.core import CardInHand, Logged, Sent
from simulators.terminal.core import Terminal as Core
from simulators.world.stage import HOST_ZONE_MS, Stage

ENVELOPE = Envelope(bytes.fromhex("6000039999"), b"", bytes.fromhex("603100310100"))
PATIENCE_S = 75.0
IMPATIENCE_S = (1.0, 30.0)
LATENCY_S = (0.001, 0.03)
LATE_S = (0.5, 120.0)
AGAIN_S = (1.0, 40.0)
OFF_S = (3_600.0, 3 * 86_400.0)
REPEATS_MAX = 3
CHIP_REFUSES = 0.1
GIVES_UP_TAKING_BACK = frozenset({"06", "64", "40", "30", "97", "03"})
"""Answers to a 0400 that no repeat will change: a person is called."""

TAKEN_BACK_CODES = frozenset({"00", "12", "25"})
SIGN_IN_AGAIN = "A0"
REFUNDED_RRN = "260301000001"
"""The reference of a sale of an older day."""


class View(StrEnum):
    """What a terminal believes of one of its requests."""

    ASKING = "asking"
    APPROVED = "approved"
    DECLINED = "declined"
    FAILED = "failed"
    TAKEN_BACK = "taken back"
    FORGOTTEN = "forgotten"
    REFUSED_TO_TAKE_BACK = "refused to take back"


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """Send a message and wait for its answer at most so long; `late_s`: how long it lies in the line before."""

    sent: Sent
    patience_s: float = PATIENCE_S
    late_s: float = 0.0


Reply = tuple[Message, bytes] | None
Script = Generator[Wait | Ask, Reply, None]


@dataclass(slots=True)
class Agent:
    """One terminal. `to_posd(connection, frame)` carries its frames."""

    codec: ClassVar[Codec] = UNIONPAY
    envelope: ClassVar[Envelope] = ENVELOPE
    gives_up_on: ClassVar[frozenset[str]] = GIVES_UP_TAKING_BACK
    taken_back_by: ClassVar[frozenset[str]] = TAKEN_BACK_CODES

    stage: Stage
    core: Core
    to_posd: Callable[[str, bytes], None]
    hang_up: Callable[[str], None]
    pin_blocks: set[str] = field(default_factory=set)
    chips: float = 0.0
    """Of the cards, how many are read by their chip, and of those how many refuse what the host approved, a tenth."""
    slips: float = 0.0
    """Of the refunds, how many are of a sale of its own."""
    views: dict[str, View] = field(default_factory=dict)
    quiet: bool = False
    idle: bool = True
    _script: Script | None = None
    _asking: Ask | None = None
    _turn: int = 0
    _connection: int = 0
    _reader: Random = field(init=False)
    _drawer: Random = field(init=False)

    def __post_init__(self) -> None:
        self._reader = Random(f"chips {self.stage.seed} {self.core.tid}")
        self._drawer = Random(f"slips {self.stage.seed} {self.core.tid}")

    @property
    def tid(self) -> str:
        return self.core.tid

    @property
    def connection(self) -> str:
        return f"{self.tid}#{self._connection}"

    def play(self, script: Script) -> None:
        """Begin a script; the one before has to be at its end."""
        assert self.idle
        self._script, self.idle = script, False
        self._go_on(None)

    # --- the line to posd ------------------------------------------------------------------------------------------

    def line_broke(self) -> None:
        """posd is gone: the connection with it. Who waits for an answer finds out now or later."""
        self._connection += 1
        if self._asking is not None and self.stage.random.random() < 0.5:
            turn = self._turn
            self.stage.after(self.stage.random.uniform(0.0, 2.0), lambda: self._answered(turn, None))

    def hear(self, frame: bytes) -> None:
        """posd's answer is on its way to this terminal."""
        stage = self.stage
        if self._bad_line():
            match stage.random.randrange(3):
                case 0:
                    stage.say(f"term {self.tid[-1]}", "an answer is lost")
                    return
                case 1:
                    stage.after(stage.random.uniform(*LATE_S), lambda: self._heard(frame))
                    return
                case _:
                    stage.after(stage.random.uniform(*LATE_S), lambda: self._heard(frame))
        stage.after(stage.random.uniform(*LATENCY_S), lambda: self._heard(frame))

    def _heard(self, frame: bytes) -> None:
        """If it is the answer that is waited for; anything else is thrown away."""
        _, body = split(frame, len(self.envelope.header))
        message = self.codec.decode(body)
        asking = self._asking
        if asking is not None and self.core.answers(asking.sent, message):
            self._answered(self._turn, (message, body))

    def _bad_line(self) -> bool:
        return not self.quiet and self.stage.chance(self.stage.faults.terminal_line)

    def _send(self, ask: Ask) -> None:
        frame, connection = join(self.envelope, ask.sent.body), self.connection
        if (block := ask.sent.message.get(52)) is not None:
            self.pin_blocks.add(block)
        times = [ask.late_s + self.stage.random.uniform(*LATENCY_S)]
        if self._bad_line():
            match self.stage.random.randrange(3):
                case 0:
                    times = []
                case 1:
                    times = [self.stage.random.uniform(*LATE_S)]
                case _:
                    times.append(self.stage.random.uniform(*LATE_S))
        for delay_s in times:
            self.stage.after(delay_s, lambda: self.to_posd(connection, frame))

    # --- the script ------------------------------------------------------------------------------------------------

    def _go_on(self, reply: Reply) -> None:
        assert self._script is not None
        try:
            wish = self._script.send(reply)
        except StopIteration:
            self._script, self.idle = None, True
            return
        self._turn += 1
        turn = self._turn
        match wish:
            case Wait(seconds=seconds):
                self.stage.after(seconds, lambda: self._answered(turn, None))
            case Ask():
                self._asking = wish
                self._send(wish)
                self.stage.after(wish.patience_s, lambda: self._patience_is_over(turn))

    def _patience_is_over(self, turn: int) -> None:
        if turn == self._turn and self._script is not None and self.stage.random.random() < 0.3:
            self.hang_up(self.connection)
            self._connection += 1
        self._answered(turn, None)

    def _answered(self, turn: int, reply: Reply) -> None:
        if turn == self._turn and self._script is not None:
            self._asking = None
            self._go_on(reply)

    # --- what a terminal does --------------------------------------------------------------------------------------

    def sign_in(self) -> Script:
        """Until it is signed in, or ten times."""
        for _ in range(10):
            sent = self.core.sign_in()
            reply = yield Ask(sent)
            if reply is not None and self.core.take(sent, *reply)["outcome"] == "approved":
                return
            yield Wait(self.stage.random.uniform(*AGAIN_S))

    def in_reader(self, card: CardInHand) -> CardInHand:
        """The same card, by its chip perhaps: in contact or without."""
        if self._reader.random() >= self.chips:
            return card
        return replace(card, entry=self._reader.choice(("05", "05", "07")) + card.entry[2])

    def _chip_refuses(self, sent: Sent) -> bool:
        by_chip = sent.message.get(55) is not None
        return by_chip and not self.quiet and self._reader.random() < CHIP_REFUSES

    def ask_once(self, sent: Sent) -> Script:
        """A message whose answer changes nothing: echo, balance, nonsense."""
        reply = yield Ask(sent)
        if reply is not None:
            self.core.take(sent, *reply)
            if reply[0].get(39) == SIGN_IN_AGAIN:
                yield from self.sign_in()

    def request(self, sent: Sent, late_s: float = 0.0) -> Script:
        """A sale or a void, until it is known what became of it."""
        stage, key = self.stage, self.key(sent)
        self.views[key] = View.ASKING
        stage.say(f"term {self.tid[-1]}", f"{sent.do} {key} {sent.message.get(4)}")
        for _ in range(REPEATS_MAX):
            hasty = not self.quiet and stage.chance(stage.faults.impatient)
            reply = yield Ask(sent, stage.random.uniform(*IMPATIENCE_S) if hasty else PATIENCE_S, late_s)
            if reply is not None and self._understood(sent, key, reply):
                yield from self._understood_it(sent, key, reply[0].get(39))
                return
            if not self.quiet and stage.chance(stage.faults.forgetful):
                self._believe(key, View.FORGOTTEN)
                return
            if reply is not None or stage.random.random() < 0.5:
                break  # its MAC was wrong, or nothing came: it takes it back
            yield Wait(stage.random.uniform(*AGAIN_S))
        yield from self.take_back(sent)

    def _understood_it(self, sent: Sent, key: str, code: str | None) -> Script:
        """What a terminal does after an answer: sign in if told so; sometimes its printer or its customer fails."""
        if code == SIGN_IN_AGAIN:
            yield from self.sign_in()
        if self.views[key] is View.APPROVED and self._chip_refuses(sent):
            self.stage.count("terminal: the chip refused")
            yield from self.take_back(sent, by_chip=True)
        elif self.views[key] is View.APPROVED and not self.quiet and self.stage.chance(self.stage.faults.takes_back):
            yield from self.take_back(sent)

    def _understood(self, sent: Sent, key: str, reply: tuple[Message, bytes]) -> bool:
        outcome = self.core.take(sent, *reply)["outcome"]
        if outcome == "bad_mac":
            return False
        told = View.APPROVED if outcome == "approved" else View.DECLINED
        if reply[0].get(39) == "98":
            told = View.FAILED
        self._believe(key, told)
        return True

    def _believe(self, key: str, view: View) -> None:
        self.stage.say(f"term {self.tid[-1]}", f"{key} is {view}")
        self.views[key] = view
        self.stage.count(f"terminal: {view}")

    def take_back(self, sent: Sent, *, by_chip: bool = False) -> Script:
        """0400 until it is acknowledged, for days if need be."""
        stage, key = self.stage, self.key(sent)
        self._believe(key, View.ASKING)
        while True:
            if not self.quiet and stage.chance(stage.faults.long_off):
                yield Wait(stage.random.uniform(*OFF_S))
            reversal = matrix.chip_refusal(self.core, sent.stan) if by_chip else self.core.reverse(sent.stan)
            reply = yield Ask(reversal)
            if reply is not None:
                result = self.core.take(reversal, *reply)
                code = str(result["code"])
                if code == SIGN_IN_AGAIN or result["outcome"] == "bad_mac":
                    yield from self.sign_in()
                elif code in self.taken_back_by:
                    self.core.log[sent.stan].approved = False
                    self._believe(key, View.TAKEN_BACK)
                    return
                elif code in self.gives_up_on:
                    self._believe(key, View.REFUSED_TO_TAKE_BACK)
                    return
            yield Wait(stage.random.uniform(*AGAIN_S))

    def refund(self, card: CardInHand, amount: int) -> Script:
        """Money back for a sale of some other day, or of this one; asked again perhaps, never taken back (D13)."""
        stage = self.stage
        moment = datetime.fromtimestamp((stage.now_ms + HOST_ZONE_MS) / 1000, tz=UTC)
        slip = self._slip()
        if slip is None:
            sent = self.core.refund(card, amount, REFUNDED_RRN, f"{moment:%m%d}")
        else:
            stage.count("terminal: a refund by its slip")
            card, part = replace(card, pan=slip.pan, entry="022", pin=None), self._drawer.choice((1, 2, 3))
            sent = self.core.refund(card, max(1, slip.amount_minor // part), slip.rrn or "", slip.date or "")
        key = self.key(sent)
        self.views[key] = View.ASKING
        stage.say(f"term {self.tid[-1]}", f"{sent.do} {key} {sent.message.get(4)}")
        for _ in range(REPEATS_MAX):
            hasty = not self.quiet and stage.chance(stage.faults.impatient)
            reply = yield Ask(sent, stage.random.uniform(*IMPATIENCE_S) if hasty else PATIENCE_S)
            if reply is not None and self._understood(sent, key, reply):
                if reply[0].get(39) == SIGN_IN_AGAIN:
                    yield from self.sign_in()
                return
            yield Wait(stage.random.uniform(*AGAIN_S))
        self._believe(key, View.FORGOTTEN)

    def _slip(self) -> Logged | None:
        """A sale that a customer brings back; that it was voided is on no slip."""
        if self._drawer.random() >= self.slips:
            return None
        sold = [one for one in self.core.log.values() if one.kind is Kind.SALE and one.rrn and one.date]
        sold = [one for one in sold if one.amount_minor]
        return self._drawer.choice(sold) if sold else None

    def tell(self, sent: Sent) -> Script:
        """What has happened already: told until it is acknowledged; taken back at times, before it may have left."""
        stage, key = self.stage, self.key(sent)
        self.views[key] = View.ASKING
        stage.say(f"term {self.tid[-1]}", f"{sent.do} {key} {sent.message.get(4)}")
        for _ in range(REPEATS_MAX):
            hasty = not self.quiet and stage.chance(stage.faults.impatient)
            reply = yield Ask(sent, stage.random.uniform(*IMPATIENCE_S) if hasty else PATIENCE_S)
            if reply is not None and self._understood(sent, key, reply):
                if self.views[key] is not View.APPROVED and self.core.log[sent.stan].kind in (Kind.ADJUST, Kind.TIP):
                    matrix.not_taken(self.core, sent.stan)
                yield from self._understood_it(sent, key, reply[0].get(39))
                return
            yield Wait(stage.random.uniform(*AGAIN_S))
        self._believe(key, View.FORGOTTEN)

    def close_batch(self) -> Script:
        """Its own 0500, uploads and end (D25)."""
        sent = self.core.settle()
        reply = yield Ask(sent)
        if reply is None or self.core.take(sent, *reply)["outcome"] == "declined":
            return
        for upload in [] if all(self.core.settled_groups) else list(self.core.uploads()):
            yield Ask(upload)
        end = self.core.end()
        reply = yield Ask(end)
        if reply is not None:
            self.core.take(end, *reply)

    def key(self, sent: Sent) -> str:
        """The request's id, as the terminal would say it (D6)."""
        batch, code = (sent.message.get(60) or "")[2:8], sent.message.get(3)
        return f"{self.tid}/{batch}/{sent.stan:06d}/{sent.message.mti}/{code}"

    def voidable(self) -> list[int]:
        """Trace numbers of its approved sales, with a tip or without."""
        return [stan for stan, one in self.core.log.items() if one.approved and one.kind is Kind.SALE]

    def approved(self, *kinds: Kind) -> list[int]:
        """Trace numbers of what was approved of these kinds, and not adjusted since."""
        log = self.core.log.items()
        return [stan for stan, one in log if one.approved and not one.replaced and one.kind in kinds]
