"""Rule 0, once: a step's rows are durable, then it is true, then it is done. Nobody else may order this.

A runner lives one inbox: a terminal's lane, or the station. It must never send anything itself before `append` has
returned, and never go on after a failed write: StorageFailed ends the process (P3).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from posd.core import effects as fx
from posd.core import events as e
from posd.core.payload import FOLD_VERSION, dump_state
from posd.core.station import OperationRecord
from posd.daemon.fence import BUGS, because
from posd.daemon.lane import Lane
from posd.daemon.log import alert, log
from posd.daemon.replies import approval_of, connection_of
from posd.daemon.shown.lately import Lately
from posd.daemon.station_lane import Operation
from posd.daemon.steps import FromTerminal, Happened, Item, Step
from posd.daemon.till.orders import FromTill
from posd.errors import PosdError
from posd.journal.writer import Writer
from posd.profiles.contract import Outgoing
from posd.values import Now, RequestId

INBOX_ITEMS_MAX = 256
"""Items of one terminal that may wait; more are answered busy (D3)."""

INBOX_ANSWERS_MAX = 1024
"""Frames of the host for one terminal that may wait; a host that floods loses its line."""

SNAPSHOT_ROWS = 5000
"""Rows of a lane after which the next snapshot is taken: what a restart has to fold at most (D33)."""

DEADLINE_CLAMP_S = 1.0
"""A deadline that stays in the past is a bug of ours: alerted once, and tried again after this (D4)."""

LATE_TICKS_MAX = 3
"""So many ticks in a row that do not move a past deadline on, and it is taken for one that stays."""

COMMANDS_REMEMBERED = 64

NEVER_MISSED = (e.Started, e.LinkUp, e.LinkDown)
"""A lane that missed one of these would wait for ever; the line's backoff bounds how many there can be."""


class StationBusy(PosdError):
    """What was asked for could not be recorded, so it was not done."""


class Outlets(Protocol):
    """Where a step leads: bounded outboxes that never wait (D2)."""

    def to_host(self, message: fx.ToHost, outgoing: Outgoing) -> bool:
        """Hand a message to the line; False: it takes nothing, so nothing of it will ever leave."""

    def withdraw(self, token: str) -> bool:
        """Nobody waits for this exchange any more. True: no byte of it has left, and none will."""

    def to_terminal(self, connection: str, outgoing: Outgoing) -> bool:
        """Hand an answer to the door; False: nobody is there."""


class Steps(Protocol):
    """Whoever turns an item of its own kind into steps: a Lane, or the StationLane."""

    def steps(self, item: Any, now: Now) -> Iterator[Step]: ...

    def adopt(self, step: Step) -> None: ...


class Runner:
    """The loop of one inbox."""

    def __init__(self, steps: Steps, writer: Writer, outlets: Outlets, now: Callable[[], Now]) -> None:
        self._steps, self._writer, self._outlets, self._now = steps, writer, outlets, now
        self._inbox: deque[Any] = deque()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self.resting = True
        """Nothing waits, and nothing is being lived through."""
        self._living: Any = None
        """The item that is being lived through: while its rows are on their way, neither inbox nor state has it."""
        self.lived_through = 0
        """Items done: the watchdog is fed by its growth, not by a timer."""

    def offer(self, item: Any) -> bool:
        """Put an item into the inbox; False: it is full."""
        event = item.event if isinstance(item, Happened) else None
        if isinstance(event, e.Tick) and self._inbox:
            return True  # whatever waits there is a tick too
        limit = INBOX_ITEMS_MAX if isinstance(item, FromTerminal | FromTill) else INBOX_ANSWERS_MAX
        if len(self._inbox) >= limit and not isinstance(event, NEVER_MISSED):
            return False
        if isinstance(event, e.NeverLeft):
            self._inbox.appendleft(item)  # before a tick or a line's end, which would call its outcome unknown
        else:
            self._inbox.append(item)
        self.resting = False
        self._wake.set()
        return True

    async def run(self) -> None:
        """For ever. Raises StorageFailed."""
        while True:
            while self._inbox:
                self._living = self._inbox.popleft()
                await self._live_through(self._living)
                self._living = None
                self.lived_through += 1
                self._changed.set()
                self._changed = asyncio.Event()
            self._wake.clear()
            self.resting = True
            self._before_rest()
            await self._wake.wait()

    async def wait_change(self) -> None:
        """Until the next item has been lived through."""
        await self._changed.wait()

    async def _live_through(self, item: Any) -> None:
        """Decide, remember, do (D1): the order on which everything hangs."""
        for step in self._steps.steps(item, self._now()):
            sequence = await self._writer.append(step.rows) if step.rows else None
            self._steps.adopt(step)
            self._perform(step)
            if sequence is not None:
                await self._remembered(step, sequence)

    def _perform(self, step: Step) -> None:
        """Hand over, never wait. Withdrawals come before what is sent, so no request follows its own reversal (D2)."""
        for effect in step.effects:
            self._effect(effect)
        if step.to_host is not None:
            self._send(*step.to_host)
        for answer, outgoing in step.to_terminal:
            handed = self._outlets.to_terminal(connection_of(answer.reply_to), outgoing)
            if handed and (request_id := approval_of(answer)) is not None:
                self.offer(Happened(e.HandedOver(request_id)))

    def _send(self, message: fx.ToHost, outgoing: Outgoing) -> None:
        """By the line for which it was decided: if that was lost meanwhile, by no other one (D2)."""
        lost = any(isinstance(item, Happened) and isinstance(item.event, e.LinkDown) for item in self._inbox)
        if lost or not self._outlets.to_host(message, outgoing):
            why = "the line was lost before it could leave" if lost else "the line takes nothing"
            self.offer(Happened(e.NeverLeft(message.token, why)))

    def _effect(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Withdraw(token=token):
                self._outlets.withdraw(token)
            case fx.Alert(event=event, facts=facts):
                alert(event, **facts)
            case fx.Note(event=event, facts=facts):
                log.info(event, **facts)
            case fx.ForgetCard() | fx.CommandDone() | fx.BatchEnded():
                pass

    async def _remembered(self, step: Step, sequence: int) -> None:
        """After a step with rows; `sequence` is that of its last row."""

    def _before_rest(self) -> None:
        """Before waiting for the next item."""


class StationRunner(Runner):
    """The station's loop: it holds nothing that could be wrong afterwards, so a bug costs one item, not the daemon."""

    async def remember(self, record: OperationRecord) -> None:
        """Make the record of an operation durable, in its turn: when this returns, it is. Raises StationBusy."""
        durable = asyncio.get_running_loop().create_future()
        if not self.offer(Operation(record, durable)):
            raise StationBusy("posd has too much to do; nothing was changed: try again in a moment")
        await durable

    async def _live_through(self, item: Any) -> None:
        try:
            await super()._live_through(item)
            if isinstance(item, Operation) and not item.durable.done():
                item.durable.set_result(None)
        except BUGS as error:
            if isinstance(item, Operation) and not item.durable.done():
                item.durable.set_exception(
                    StationBusy("the record could not be made; nothing was changed: see the log")
                )
            alert("station_item_dropped", item=type(item).__name__, because=because(error), exc_info=error)


class LaneRunner(Runner):
    """A terminal's loop: besides the above its deadlines, snapshots, commands and fence."""

    def __init__(
        self,
        lane: Lane,
        writer: Writer,
        outlets: Outlets,
        now: Callable[[], Now],
        fenced: str = "",
        snapshot_sequence: int = 0,
    ) -> None:
        super().__init__(lane, writer, outlets, now)
        self.lane = lane
        self.fenced = fenced
        self._snapshot_sequence, self._snapshot_due = snapshot_sequence, False
        self._timer: asyncio.TimerHandle | None = None
        self._late, self._late_for_s = 0, 0.0
        self._rows_since_snapshot = 0
        self._commands: dict[str, asyncio.Future[fx.CommandDone]] = {}
        self.lately = Lately()
        """What was alerted about this terminal, for `posd status`."""

    def knows(self, request_id: RequestId) -> bool:
        """Whether this request was taken before, if only into the inbox, or to the disk."""
        wishes = [item.wish.request_id for item in (*self._inbox, self._living) if isinstance(item, FromTill)]
        return request_id in wishes or self.lane.knows(request_id)

    async def command(self, event: e.Command) -> fx.CommandDone:
        """A person's command, once for each command id: asked again, it gives the first answer (D36)."""
        known = self._commands.get(event.command_id)
        if known is None:
            known = self._commands[event.command_id] = asyncio.get_running_loop().create_future()
            self._forget_old_commands()
            if self.fenced or not self.offer(Happened(event)):
                why = f"the terminal is fenced: {self.fenced}" if self.fenced else "the terminal is too busy"
                known.set_result(fx.CommandDone(event.command_id, False, why))
        return await asyncio.shield(known)

    def _forget_old_commands(self) -> None:
        while len(self._commands) > COMMANDS_REMEMBERED:
            oldest = next(iter(self._commands))
            if not self._commands[oldest].done():
                return
            del self._commands[oldest]

    async def _live_through(self, item: Item) -> None:
        if self.fenced:
            await self._live_behind_fence(item)
            return
        try:
            if (never_left := self._never_left()) is not None:
                await super()._live_through(never_left)
            await super()._live_through(item)
        except BUGS as error:  # our bug, this terminal's fence (D4)
            self.fenced = because(error)
            alert("lane_fenced", tid=self.lane.terminal.tid, because=self.fenced, exc_info=error)
            self.lane.forget_cards()
            self._refuse_commands()
            await self._live_behind_fence(item)

    def _never_left(self) -> Happened | None:
        """D2: at its reply limit a message is taken back from the line; what the line had not begun with is not sent,
        and no unknown outcome."""
        agenda = self.lane.engine.agenda
        token, deadline_s = agenda.exchange_token, agenda.exchange_deadline_s
        if token is None or deadline_s is None or deadline_s > self._now().monotonic_s:
            return None
        if not self._outlets.withdraw(token):
            return None
        return Happened(e.NeverLeft(token, "the line took none of it before the reply limit"))

    def _refuse_commands(self) -> None:
        for command_id, waiting in self._commands.items():
            if not waiting.done():
                waiting.set_result(fx.CommandDone(command_id, False, f"the terminal is fenced: {self.fenced}"))

    async def _live_behind_fence(self, item: Item) -> None:
        """Nothing is applied; the terminal is told (D4)."""
        try:
            step = self.lane.fenced_step(item, self._now())
            if step is not None:
                await self._writer.append(step.rows)
                self._perform(step)
        except BUGS as error:
            alert("fenced_item_dropped", tid=self.lane.terminal.tid, because=because(error), exc_info=error)

    def _effect(self, effect: fx.Effect) -> None:
        super()._effect(effect)
        if isinstance(effect, fx.Alert):
            self.lately.note(effect.event, self._now().wall_ms, str(effect.facts.get("request_id", "")))
        if isinstance(effect, fx.CommandDone):
            waiting = self._commands.get(effect.command_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(effect)

    async def _remembered(self, step: Step, sequence: int) -> None:
        self._rows_since_snapshot += len(step.rows)
        ended = any(isinstance(effect, fx.BatchEnded) for effect in step.effects)
        if ended or self._snapshot_due or self._rows_since_snapshot >= SNAPSHOT_ROWS:
            await self._take_snapshot(sequence)
        if ended:
            await self._writer.sync_anchor()  # D31

    @property
    def snapshot_sequence(self) -> int:
        """The row after which the newest snapshot was taken."""
        return self._snapshot_sequence

    def snapshot_lag(self) -> int:
        """Rows of the whole journal since the newest snapshot; behind a fence none is taken any more."""
        return 0 if self.fenced else self._writer.head_sequence() - self._snapshot_sequence

    async def refresh_snapshot(self) -> None:
        """A new snapshot: at once if the lane rests, else with its next rows. Raises StorageFailed.

        Of a lane that rests no row is on its way, so its state is the one after any row up to the head.
        """
        if self.resting and not self.fenced:
            await self._take_snapshot(self._writer.head_sequence())
        else:
            self._snapshot_due = True

    async def _take_snapshot(self, sequence: int) -> None:
        self._rows_since_snapshot, self._snapshot_sequence, self._snapshot_due = 0, sequence, False
        state = self.lane.engine.state
        await self._writer.snapshot(state.tid, sequence, FOLD_VERSION, dump_state(state))

    def _before_rest(self) -> None:
        """Set the alarm for the engine's next deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.fenced:
            return
        now = self._now()
        deadline_s = self.lane.engine.next_deadline_s(now)
        if deadline_s is not None:
            wait_s = self._clamped(deadline_s, now.monotonic_s)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.offer, Happened(e.Tick()))

    def _clamped(self, deadline_s: float, now_s: float) -> float:
        """A deadline that passed while an item was lived through is met at once; one that stays is our bug (D4)."""
        if deadline_s > now_s:
            return deadline_s - now_s
        self._late = self._late + 1 if deadline_s == self._late_for_s else 1
        self._late_for_s = deadline_s
        if self._late == LATE_TICKS_MAX:
            alert("deadline_in_the_past", tid=self.lane.terminal.tid, late_ms=round((now_s - deadline_s) * 1000))
        return 0.0 if self._late < LATE_TICKS_MAX else DEADLINE_CLAMP_S
