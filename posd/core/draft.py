"""A draft: what one event leads to, before any of it is true (D1).

The draft works on its own state and agenda; the engine's are untouched until `Engine.adopt`. To discard a draft is to
forget it. `Agenda` is what need not outlive the process: who waits for an answer, and the monotonic deadlines (D5).
"""

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from posd.core.answers import ExchangeKind
from posd.core.effects import Alert, Effect, HostMessage, Note, Refusal, Refused, ToHost, ToTerminal, Withdraw
from posd.core.events import EncodingFailed, Event, TerminalManagement, Tick, TransactionRequested
from posd.core.fold.apply import apply
from posd.core.records import Record, RequestRefused
from posd.core.rules import Gaps, Rules
from posd.core.state import State
from posd.errors import InvariantBroken
from posd.values import Now, RequestId

SLOW = frozenset({ExchangeKind.TOTALS, ExchangeKind.TRAILER})
"""What a host may have to add up a whole batch for."""

UNSAYABLE = "unsayable"
"""The agenda's name for how often items of this upload could not be encoded."""


class Agenda(Struct, frozen=True):
    """The volatile half of a lane. Times are monotonic seconds."""

    link_up: bool = False
    exchange_deadline_s: float | None = None
    exchange_token: str | None = None
    tokens_used: int = 0
    queue: tuple[TransactionRequested, ...] = ()
    handed_over: tuple[RequestId, ...] = ()
    waiters: Mapping[RequestId, tuple[str, ...]] = field(default_factory=dict)
    sign_in_waiters: tuple[tuple[str, float], ...] = ()
    not_before_s: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    drain_until_s: float | None = None
    sign_off: bool = False
    repeat: tuple[RequestId, float] | None = None
    """The refund in flight or in doubt that may be repeated, and until when (D13)."""
    advice_turn: bool = False
    """The host has answered an online request: one advice may follow (advices.py)."""
    managements: tuple[TerminalManagement, ...] = ()
    management_for: str | None = None
    """Who waits for the management message in flight; None: it is ours."""
    unsayable: frozenset[RequestId] = frozenset()
    """Items of the upload that could not be encoded: the others go without them (upload.py)."""
    confirm_until_s: Mapping[RequestId, float] = field(default_factory=dict)
    """Approvals that a till has to confirm, and until when (D16)."""


class Draft(Struct):
    """Collects what an event leads to. Only lifecycle functions write to it."""

    rules: Rules
    state: State
    agenda: Agenda
    now: Now
    event: Event = field(default_factory=Tick)
    records: list[Record] = field(default_factory=list)
    to_host: ToHost | None = None
    to_terminal: list[ToTerminal] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def record(self, record: Record) -> None:
        """One more fact, at once true in this draft's state."""
        self.state = apply(self.state, record, self.now.wall_ms)
        self.records.append(record)

    def send(self, kind: ExchangeKind, message: HostMessage, request_id: RequestId | None = None) -> None:
        """The one message to the host that this draft may send; its reply limit begins now."""
        if self.to_host is not None:
            raise InvariantBroken("a second host exchange in one step")
        number = self.agenda.tokens_used + 1
        factor = self.rules.totals_timeout_factor if kind in SLOW else 1.0
        deadline_s = self.now.monotonic_s + self.rules.reply_timeout_s * factor
        token = f"{self.state.tid}#{number}"
        self.to_host = ToHost(token, kind, message, request_id, deadline_s)
        self.agenda = replace(self.agenda, tokens_used=number, exchange_token=token, exchange_deadline_s=deadline_s)

    def cannot_encode(self, because: str, for_now: bool = False, at_fault: RequestId | None = None) -> EncodingFailed:
        """The event to handle instead, if what this draft sends cannot be encoded; then forget this draft (D1)."""
        assert self.to_host is not None, "only what is sent can fail to be encoded"
        return EncodingFailed(self.to_host.kind, self.to_host.request_id, because, self.event, for_now, at_fault)

    def end_exchange(self) -> None:
        """Nobody waits for the host any more: the frame is taken back if it has not left (D2)."""
        if self.agenda.exchange_token is not None:
            self.effects.append(Withdraw(self.agenda.exchange_token))
        self.agenda = replace(self.agenda, exchange_token=None, exchange_deadline_s=None)

    def answer(self, answer: ToTerminal) -> None:
        """One answer to the terminal."""
        self.to_terminal.append(answer)

    def refuse(self, reply_to: str, refusal: Refusal, because: str, request_id: RequestId | None = None) -> None:
        """Answer without the host, and say so in the journal."""
        self.record(RequestRefused(request_id, refusal.value, because))
        self.answer(ToTerminal(reply_to, Refused(refusal, because, request_id)))

    def alert(self, event: str, **facts: str | int) -> None:
        """Somebody must know."""
        self.effects.append(Alert(event, {"tid": self.state.tid, **facts}))

    def note(self, event: str, **facts: str | int) -> None:
        """A line in the log."""
        self.effects.append(Note(event, {"tid": self.state.tid, **facts}))

    def wait(self, what: str, seconds: float) -> None:
        """Do not do `what` again before so many seconds have passed."""
        times = {**self.agenda.not_before_s, what: self.now.monotonic_s + seconds}
        self.agenda = replace(self.agenda, not_before_s=times)

    def at_once(self, what: str) -> None:
        """Nothing holds `what` back any more, and its failures are forgotten."""
        times = {key: value for key, value in self.agenda.not_before_s.items() if key != what}
        failures = {key: value for key, value in self.agenda.failures.items() if key != what}
        self.agenda = replace(self.agenda, not_before_s=times, failures=failures)

    def back_off(self, what: str, gaps: Gaps) -> float:
        """`what` failed once more: wait a growing gap. Returns the gap in seconds."""
        attempt = self.agenda.failures.get(what, 0) + 1
        self.agenda = replace(self.agenda, failures={**self.agenda.failures, what: attempt})
        gap = gaps.after(attempt, f"{self.state.tid}/{what}")
        self.wait(what, gap)
        return gap

    def may(self, what: str) -> bool:
        """Nothing holds `what` back."""
        return self.agenda.not_before_s.get(what, 0.0) <= self.now.monotonic_s

    def all_sayable(self) -> None:
        """Another batch: of its items nothing is known yet."""
        failures = {what: count for what, count in self.agenda.failures.items() if what != UNSAYABLE}
        self.agenda = replace(self.agenda, unsayable=frozenset(), failures=failures)

    def take_waiters(self, request_id: RequestId) -> tuple[str, ...]:
        """Those who wait for the outcome of a request; from now on they do not."""
        waiting = self.agenda.waiters.get(request_id, ())
        waiters = {key: value for key, value in self.agenda.waiters.items() if key != request_id}
        self.agenda = replace(self.agenda, waiters=waiters)
        return waiting

    def drop_queued(self, request_id: RequestId) -> None:
        """A waiting request will not be sent."""
        queue = tuple(event for event in self.agenda.queue if event.request_id != request_id)
        self.agenda = replace(self.agenda, queue=queue)

    def set_sign_in_waiters(self, waiters: tuple[tuple[str, float], ...]) -> None:
        """The terminals that wait for our sign-in, each with the time at which it gives up."""
        self.agenda = replace(self.agenda, sign_in_waiters=waiters)

    def want_sign_off(self, wanted: bool) -> None:
        """The next thing to say is a sign-off, or it has been said. Not durable: a restart only signs in."""
        self.agenda = replace(self.agenda, sign_off=wanted)

    def start_draining(self) -> None:
        """The hold of D19 begins; it begins anew after a restart."""
        until_s = self.now.monotonic_s + self.rules.settle_hold_max_s
        self.agenda = replace(self.agenda, drain_until_s=until_s)

    def set_repeat(self, repeat: tuple[RequestId, float] | None) -> None:
        """Which refund may be repeated, and until when."""
        self.agenda = replace(self.agenda, repeat=repeat)

    def add_waiter(self, request_id: RequestId, reply_to: str) -> None:
        """One more who waits for the outcome of a request."""
        waiting = (*self.agenda.waiters.get(request_id, ()), reply_to)
        self.agenda = replace(self.agenda, waiters={**self.agenda.waiters, request_id: waiting})
