"""The machine that posd runs on: real lanes over a journal in memory, one item at a time, and it may die anywhere.

The order of a step is that of daemon/runner.py: decide, remember, do. Between any two of these, and between any two
things that are done, stands a numbered point at which the machine can be killed; a commit can fail, with its rows
durable or not. Starting again is recovering from the store, and nothing else.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from posd.core import effects as fx
from posd.core import events as e
from posd.core.engine import Engine
from posd.core.payload import FOLD_VERSION, dump_state
from posd.core.rules import Rules
from posd.core.state import State
from posd.daemon.lane import Lane
from posd.daemon.recover import NO_SNAPSHOT, fold, recover
from posd.daemon.replies import approval_of, connection_of, reply_name
from posd.daemon.steps import FromHost, FromTerminal, Happened, Item, Step
from posd.daemon.till.orders import FromTill, Wish
from posd.errors import MalformedMessage, StorageFailed
from posd.framing.tpdu import split
from posd.iso8583.codec import Unreadable
from posd.journal.contract import Row, Sealed
from posd.journal.memory import MemoryStore
from posd.profiles.contract import Arrived, Profile, Terminal
from posd.values import Now, Tid
from simulators.world.line import Line
from simulators.world.network import Network
from simulators.world.stage import Stage
from simulators.world.witness import Witness

HEARTBEAT_S = 1800.0
SNAPSHOT_ROWS = 60
CHAIN_KEY, DIGEST_KEY = b"chain key of the world".ljust(32), b"digest key of the world".ljust(32)


class Killed(Exception):
    """The process ends here and now."""


class PlainSealer:
    """Seals by turning bits round: the world looks for clear text, not at ciphers."""

    def seal(self, plain: bytes, aad: bytes, tid: str, batch: int) -> Sealed:
        return Sealed("0", hashlib.sha256(aad).digest()[:12], bytes(byte ^ 0xFF for byte in plain))

    def open(self, sealed: Sealed, aad: bytes) -> bytes:
        return bytes(byte ^ 0xFF for byte in sealed.ciphertext)


@dataclass(slots=True)
class Machine:
    """`to_terminal(connection, frame)` hands an answer to a door; False: nobody is there. `kill_at`: the one point
    at which it is killed (numbered from 1); None: by chance. `fail_at`: the one commit that fails; is it durable?"""

    stage: Stage
    witness: Witness
    line: Line | Network
    profile: Profile
    terminals: Mapping[Tid, Terminal]
    rules: Mapping[Tid, Rules]
    to_terminal: Callable[[str, bytes], bool]
    died: Callable[[], None] = lambda: None
    kill_at: int | None = None
    fail_at: tuple[int, bool] | None = None
    quiet: bool = False
    clock_offset_ms: int = 0
    alive: bool = False
    points: int = 0
    commits: int = 0
    lanes: dict[Tid, Lane] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(CHAIN_KEY, DIGEST_KEY, PlainSealer()))
    _boot: int = 0
    _powered_ms: int = 0
    _frames: int = 0
    _inbox: deque[tuple[Tid, Item]] = field(default_factory=deque)
    _living: bool = False
    _unsure: Tid | None = None
    _before: dict[Tid, State] = field(default_factory=dict)
    _alarms: dict[Tid, int] = field(default_factory=dict)
    _rows: dict[Tid, int] = field(default_factory=dict)

    def now(self) -> Now:
        """The machine's own two clocks: the wall clock may be wrong, the monotonic one begins with the power."""
        return Now(self.stage.now_ms + self.clock_offset_ms, 100.0 + (self.stage.now_ms - self._powered_ms) / 1000)

    # --- life and death --------------------------------------------------------------------------------------------

    def boot(self, power_was_off: bool) -> None:
        """Recover every lane from the store, then open the doors."""
        if self.alive:
            return
        self._boot += 1
        if power_was_off or self._boot == 1:
            self._powered_ms = self.stage.now_ms
        self.stage.say("posd", f"starts ({self._boot})")
        self.alive = True
        self.witness.confirming.booted()
        for tid, terminal in self.terminals.items():
            self.lanes[tid] = self._recovered(tid, terminal)
        self.line.on_up, self.line.on_frame = self._line_up, self._from_host
        self.line.on_down, self.line.on_lost = self._line_down, self._lost
        self.line.on_withdrawn = self._withdrawn
        self._tell_all(e.Started())
        if self.alive:
            self.line.start()
            self._beat(self._boot)

    def _recovered(self, tid: Tid, terminal: Terminal) -> Lane:
        recovered = recover(self.store, tid, self.now().wall_ms)
        if recovered.fenced:
            self.stage.violate(f"{tid} is fenced at the start: {recovered.fenced}")
        before = self._before.get(tid)
        if before is not None and tid != self._unsure and recovered.state != before:
            self.stage.violate(f"{tid}: what was replayed is not what was adopted: {_differs(before, recovered.state)}")
        engine, highest = Engine(self.rules[tid], recovered.state), self.store.highest_request(tid)
        return Lane(terminal, engine, self.profile, DIGEST_KEY, self.store.secret, highest)

    def die(self, why: str) -> None:
        """Everything in memory is gone; the store is what it is."""
        if not self.alive:
            return
        self.stage.say("posd", f"dies: {why}")
        self.stage.count("deaths")
        self._before = {tid: lane.engine.state for tid, lane in self.lanes.items()}
        self.alive = False
        self.lanes.clear()
        self._inbox.clear()
        self.store = self.store.crashed()
        self.line.stop()
        self.died()

    def restored(self, store: MemoryStore) -> None:
        """Another journal is in the place of this dead machine's."""
        self.store = store
        self._before = {}
        self._rows = {}

    def check_replay(self) -> None:
        """All records, and a snapshot with those after it, fold to what is adopted."""
        for tid, lane in self.lanes.items():
            whole = fold(self.store.replay(tid, NO_SNAPSHOT).records, None)
            if whole is None or whole.state != lane.engine.state:
                what = "nothing" if whole is None else _differs(lane.engine.state, whole.state)
                self.stage.violate(f"{tid}: the whole journal folds to another state: {what}")
            if recover(self.store, tid, self.now().wall_ms).state != lane.engine.state:
                self.stage.violate(f"{tid}: the snapshot and the records after it fold to another state")

    # --- what comes in ---------------------------------------------------------------------------------------------

    def _line_up(self) -> None:
        self._tell_all(e.LinkUp())

    def _line_down(self, why: str) -> None:
        self._tell_all(e.LinkDown(why))

    def _withdrawn(self, token: str) -> None:
        """Before whatever waits: a tick, or the line's end, would call its outcome unknown."""
        tid = Tid(token.rpartition("#")[0])
        if tid in self.lanes:
            self.offer(tid, Happened(e.NeverLeft(token, "the line could not take it")), first=True)

    def _lost(self, token: str, why: str) -> None:
        tid = Tid(token.rpartition("#")[0])
        if tid in self.lanes:
            self.offer(tid, Happened(e.ExchangeLost(token, why)))

    def _from_host(self, frame: bytes) -> None:
        """As daemon/router.py does: to the lane of field 41, or as far as it can be read."""
        try:
            arrived = self.profile.arrive(frame)
        except MalformedMessage as error:
            self._unreadable(frame, error)
            return
        if arrived.tid in self.lanes and self.profile.answer_key(arrived) is not None:
            assert arrived.tid is not None
            self.offer(arrived.tid, FromHost(arrived))

    def _unreadable(self, frame: bytes, error: MalformedMessage) -> None:
        partial = error.partial if isinstance(error, Unreadable) else None
        tid = Tid(partial.get(41) or "") if partial is not None else Tid("")
        if partial is None or tid not in self.lanes:
            return
        envelope, body = split(frame, self.witness.header_bytes)
        kind, stan = self.profile.answer_key(Arrived(envelope, body, partial)) or (None, None)
        self.offer(tid, Happened(e.HostUnreadable(str(error), kind, stan)))

    def from_terminal(self, connection: str, frame: bytes) -> None:
        """A frame at the door."""
        if not self.alive:
            return
        self._frames += 1
        try:
            arrived = self.profile.arrive(frame)
        except MalformedMessage:
            return
        if arrived.tid in self.lanes:
            assert arrived.tid is not None
            reply_to = reply_name(connection, self._frames)
            self.offer(arrived.tid, FromTerminal(arrived, reply_to, self.now().monotonic_s))

    def from_till(self, tid: Tid, connection: str, wish: Wish, body: bytes) -> bool:
        """A wish at the JSON door, read and checked; False: nobody is there."""
        if self.alive:
            self.offer(tid, FromTill(wish, body, reply_name(connection, 0), self.now().monotonic_s))
        return self.alive

    def hung_up(self, connection: str) -> None:
        """A terminal's connection is gone."""
        for lane in self.lanes.values():
            lane.forget_askers(connection)

    def tick(self) -> None:
        """The wake-up of a schedule, a heartbeat or a clock step."""
        self._tell_all(e.Tick())

    def _tell_all(self, event: e.Event) -> None:
        for tid in tuple(self.lanes):
            self.offer(tid, Happened(event))

    def _beat(self, boot: int) -> None:
        def beat() -> None:
            if self.alive and boot == self._boot:
                self.tick()
                self._beat(boot)

        self.stage.after(HEARTBEAT_S, beat)

    # --- one item --------------------------------------------------------------------------------------------------

    def offer(self, tid: Tid, item: Item, *, first: bool = False) -> None:
        """Into the inbox; lived through at once unless something else is being lived through."""
        if not self.alive:
            return
        (self._inbox.appendleft if first else self._inbox.append)((tid, item))
        if self._living:
            return
        self._living = True
        try:
            while self._inbox and self.alive and not self.stage.violations:
                current, next_item = self._inbox.popleft()
                self._live_through(current, next_item)
                if self.alive:
                    self._set_alarm(current)
        finally:
            self._living = False

    def _live_through(self, tid: Tid, item: Item) -> None:
        lane = self.lanes[tid]
        self._unsure = None
        try:
            for step in lane.steps(item, self.now()):
                self.order(tid, lane, step)
        except Killed as killed:
            self.die(str(killed))
        except StorageFailed as failed:
            self.die(str(failed))
        except AssertionError as broken:  # InvariantBroken is one
            self.stage.violate(f"{tid}: the lane is fenced: {type(broken).__name__} {broken}")

    def order(self, tid: Tid, lane: Lane, step: Step) -> None:
        """Remember, adopt, do. The planted bugs of the tests change this order."""
        if step.rows:
            self.point("before append")
            self.append(tid, step.rows)
            self.point("after append")
        lane.adopt(step)
        self._unsure = None
        if step.rows:
            self.point("after adopt")
        self.perform(tid, step)
        self._snapshot(tid, lane, step)

    def append(self, tid: Tid, rows: tuple[Row, ...]) -> None:
        """One commit; if it fails, its rows may be durable all the same, and nobody here knows."""
        self.commits += 1
        if self.fail_at is not None and self.commits == self.fail_at[0]:
            self.store.break_at(self.store.commits + 1, durable=self.fail_at[1])
        elif not self.quiet and self.stage.chance(self.stage.faults.disk):
            self.store.break_at(self.store.commits + 1, durable=self.stage.random.random() < 0.5)
        self._unsure = tid
        before = self.store.head()
        try:
            self.store.write([rows])
        finally:
            if self.store.head() != before:
                self.witness.durable(rows)

    def perform(self, tid: Tid, step: Step) -> None:
        """Hand over; withdrawals come before what is sent (D2)."""
        for effect in step.effects:
            self._effect(tid, effect)
        if step.to_host is not None:
            message, outgoing = step.to_host
            self.stage.say(f"posd {tid[-1]}", f"-> host {outgoing.mti} {message.kind} {outgoing.stan or ''}")
            self.witness.leaves_for_host(tid, message, outgoing)
            if not self.line.send(tid, message, outgoing, message.deadline_s - self.now().monotonic_s):
                self._inbox.appendleft((tid, Happened(e.NeverLeft(message.token, "the line takes nothing"))))
            self.point("after sending")
        for answer, encoded in step.to_terminal:
            self.stage.say(f"posd {tid[-1]}", f"-> terminal {encoded.mti} {_told(answer)}")
            self.witness.leaves_for_terminal(tid, answer, encoded)
            handed = self.to_terminal(connection_of(answer.reply_to), encoded.frame)
            if handed and (request_id := approval_of(answer)) is not None:
                self._inbox.append((tid, Happened(e.HandedOver(request_id))))
            self.point("after answering")

    def _effect(self, tid: Tid, effect: fx.Effect) -> None:
        match effect:
            case fx.Withdraw(token=token):
                self.line.withdraw(token)
            case fx.Alert(event=event, facts=facts) | fx.Note(event=event, facts=facts):
                self.stage.count(event)
                self.stage.say(f"posd {tid[-1]}", f"{event} { {k: v for k, v in facts.items() if k != 'tid'} }")
            case _:
                pass

    def _snapshot(self, tid: Tid, lane: Lane, step: Step) -> None:
        self._rows[tid] = self._rows.get(tid, 0) + len(step.rows)
        ended = any(isinstance(effect, fx.BatchEnded) for effect in step.effects)
        if step.rows and (ended or self._rows[tid] >= SNAPSHOT_ROWS):
            self._rows[tid] = 0
            self.store.save_snapshot(tid, self.store.head().sequence, FOLD_VERSION, dump_state(lane.engine.state))

    def point(self, where: str) -> None:
        """A numbered point at which the machine may die."""
        self.points += 1
        by_chance = self.kill_at is None and not self.quiet and self.stage.chance(self.stage.faults.kill)
        if by_chance or self.points == self.kill_at:
            raise Killed(f"killed at point {self.points}, {where}")

    def _take_back(self, tid: Tid) -> None:
        """At its reply limit the line is asked for a message: what it had not taken never left (D2)."""
        agenda = self.lanes[tid].engine.agenda
        token, deadline_s = agenda.exchange_token, agenda.exchange_deadline_s
        if token is None or deadline_s is None or deadline_s > self.now().monotonic_s:
            return
        if self.line.withdraw(token):
            self.offer(tid, Happened(e.NeverLeft(token, "the line took none of it")))

    def _set_alarm(self, tid: Tid) -> None:
        """Wake the lane at its next deadline, which must lie in the future (D4, house rule 3)."""
        lane, now = self.lanes[tid], self.now()
        deadline_s = lane.engine.next_deadline_s(now)
        self._alarms[tid] = number = self._alarms.get(tid, 0) + 1
        if deadline_s is None:
            return
        if deadline_s <= now.monotonic_s:
            self.stage.violate(f"{tid}: the next deadline lies {now.monotonic_s - deadline_s:.3f} s in the past")
        boot = self._boot

        def ring() -> None:
            if self.alive and boot == self._boot and self._alarms[tid] == number:
                self._take_back(tid)
                self.offer(tid, Happened(e.Tick()))

        self.stage.after(deadline_s - now.monotonic_s + 0.001, ring)


def _told(answer: fx.ToTerminal) -> str:
    match answer.answer:
        case fx.Result(facts=facts, request_id=request_id):
            return f"{facts.code} {request_id or ''}"
        case fx.Refused(refusal=refusal, because=because, request_id=request_id):
            return f"{refusal}: {because} {request_id or ''}"
        case _:
            return type(answer.answer).__name__


def _differs(left: State, right: State) -> str:
    names = [name for name in State.__struct_fields__ if getattr(left, name) != getattr(right, name)]
    return ", ".join(f"{name}: {getattr(left, name)!r} / {getattr(right, name)!r}" for name in names)
