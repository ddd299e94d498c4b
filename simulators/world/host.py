"""The acquirer of simulators.host as the world's host, and oracle: it books what arrives, and lies only about codes.

The troubles drawn here are those that a real host makes: it refuses, it answers what says nothing, it forgets keys, its
answers have wrong numbers or MACs. It never denies money that it moved: then no terminal could be right.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar

from posd.errors import MalformedMessage
from posd.framing.tpdu import join, split
from posd.iso8583.codec import Unreadable
from posd.iso8583.message import Message
from simulators.host.acquirer import SECURITY_FAILED, Acquirer, Answer
from simulators.host.faults import Faults as Rules
from simulators.host.faults import Rule
from simulators.host.request import APPROVE_CODES
from simulators.host.settings import HostSettings
from simulators.world.line import Reply
from simulators.world.stage import Stage
from simulators.world.witness import Witness

THINKING_S = (0.01, 0.3)
REFUSALS: Mapping[str, tuple[str, ...]] = {
    "0100": ("05", "51", "61", "91", "96", "99", "77", "A0", "30", "10"),
    "0200": ("05", "51", "61", "91", "96", "99", "77", "A0", "30", "10", "94"),
    "0220": ("05", "61", "91", "96", "99", "77", "A0", "30"),
    "0400": ("96", "91", "06", "A0", "77", "30"),
    "0500": ("96", "A0", "77", "94"),
    "0320": ("96", "91", "A0"),
    "0800": ("96", "97", "A0"),
    "0820": ("96",),
}
"""What it may refuse with. Never 12, 25 or 94 to a reversal or an upload: that would deny money that moved; nor 94 to
a refund or an advice, whose repeat it would prove (D14)."""

WRONG_STAN_BY = 500_000
WRONG_BITS = 3
"""More than one: the one bit that the line may spoil must not mend it."""

MOVES_BY = (1, 50)
SEEN_BEFORE = "94"
UNCLEAR = ("09", "68", "98", "ZZ")


class Host:
    """Takes frames, gives frames. `rules` are the faults of a script, beside those drawn by chance.

    `refusals` and `approvals` are codes of its dialect.
    """

    refusals: ClassVar[Mapping[str, tuple[str, ...]]] = REFUSALS
    approvals: ClassVar[frozenset[str]] = APPROVE_CODES

    def __init__(self, stage: Stage, witness: Witness, settings: HostSettings, rules: tuple[Rule, ...] = ()) -> None:
        self.stage, self.witness = stage, witness
        self.acquirer = self._open(settings)
        self.quiet = False
        self.moved: set[str] = set()
        self._rules = Rules(rules, stage.seed)
        self._random = Random(f"host {stage.seed}")

    def _open(self, settings: HostSettings) -> Any:
        return Acquirer(settings, self.stage.seed)

    def receive(self, frame: bytes, reply: Reply) -> None:
        """One frame of a terminal (of posd); its answer or answers go to `reply`."""
        header_bytes = self.acquirer.header_bytes
        try:
            envelope, body = split(frame, header_bytes)
            message = self.acquirer.codec.decode(body)
        except MalformedMessage as trouble:
            partial = trouble.partial if isinstance(trouble, Unreadable) else None
            answer = self.acquirer.refuse_unreadable(partial)
            if answer.body is not None:
                reply(join(split(frame, header_bytes)[0].answered(), answer.body), 0.0, lambda: None)
            return
        rule = self._rules.plan(message)
        if rule is not None and rule.do == "lose_request":
            return
        answer = self._decide(message, body, rule)
        if answer.code == SECURITY_FAILED:
            self.stage.violate(f"the host could not open what was encrypted for it: {answer.what}")
        self.stage.say("host", f"{message.mti} {message.get(11) or ''} -> {answer.what} {'; '.join(answer.remarks)}")
        said, genuine = self._said(answer)
        if said is None or (rule is not None and rule.do == "lose_answer"):
            return
        delivered = self._delivered(answer) if genuine else lambda: None
        reply(join(envelope.answered(), said), self.stage.random.uniform(*THINKING_S), delivered)

    def _decide(self, message: Message, body: bytes, rule: Rule | None) -> Answer:
        stage, faults = self.stage, self.stage.faults
        refuse = say = None
        if rule is not None and rule.do == "refuse":
            refuse = rule.code
        elif rule is not None and rule.do == "answer_code":
            say = rule.code
        elif not self.quiet:
            if stage.chance(faults.forget_keys):
                self.acquirer.forget_keys(message.get(41))
            if message.mti == "0800" and stage.chance(faults.move_batch):
                self._move_batch(message.get(41))
            if stage.chance(faults.refuse) and message.mti in self.refusals:
                refuse = stage.random.choice(self.refusals[message.mti])
            elif stage.chance(faults.unclear) and message.mti in ("0100", "0200", "0220"):
                say = stage.random.choice(UNCLEAR)
            elif self._seems_reused(message):
                refuse = SEEN_BEFORE
        answer: Answer = self.acquirer.handle(message, body, stage.now_ms, refuse=refuse, say=say)
        return answer

    def _seems_reused(self, message: Message) -> bool:
        """94 to an advice that left once and is not in the books: never to a repeat, which it would prove (D14)."""
        tid, stan = message.get(41) or "", int(message.get(11) or "0")
        if (tid, stan) not in self.witness.first_attempts or self._random.random() >= self.stage.faults.reused:
            return False
        return not self._has(tid, stan)

    def _has(self, tid: str, stan: int) -> bool:
        return any(entry.stan == stan for entry in self.acquirer.books.terminals[tid].entries())

    def _move_batch(self, tid: str | None) -> None:
        """Some numbers further, for no reason that anybody here could know (D7)."""
        terminal = self.acquirer.books.terminals.get(tid or "")
        if terminal is not None:
            number = terminal.batch.number + self.stage.random.randint(*MOVES_BY)
            self.stage.say("host", f"goes on with batch {number} of {tid}")
            self.stage.count("host: batch moved")
            self.moved.add(terminal.settings.tid)
            self.acquirer.move_batch(tid, number)

    def _said(self, answer: Answer) -> tuple[bytes | None, bool]:
        """The bytes of an answer, perhaps with something wrong; whether they are what the host meant."""
        stage, faults, message = self.stage, self.stage.faults, answer.message
        if answer.body is None or message is None or self.quiet:
            return answer.body, True
        if stage.chance(faults.wrong_stan) and message.get(11) is not None:
            other = f"{(answer.stan + WRONG_STAN_BY) % 1_000_000:06d}"
            return self.acquirer.seal(answer.tid, message.with_({11: other})), False
        if stage.chance(faults.wrong_mac) and message.get(64) is not None:
            return answer.body[:-1] + bytes([answer.body[-1] ^ WRONG_BITS]), False
        if stage.chance(faults.no_mac) and message.get(64) is not None:
            return self.acquirer.seal(answer.tid, message.with_({64: None})), False
        return answer.body, True

    def _delivered(self, answer: Answer) -> Callable[[], None]:
        """An approval that reaches posd as it was meant is one that may be believed."""

        def witness() -> None:
            message = answer.message
            if message is not None and message.mti in ("0110", "0210", "0230") and answer.code in self.approvals:
                self.witness.good_approvals.add((answer.tid or "", answer.stan))

        return witness
