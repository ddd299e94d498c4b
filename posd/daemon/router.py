"""Frames to lanes, and lanes to frames: who a message is for, and what becomes of one that is for nobody.

`HostSide` and `DoorSide` hear the line and the door; `Exits` is where the runners' steps lead. They read a message as
far as its terminal id and never decide anything about money.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from posd.core import effects as fx
from posd.core import events as e
from posd.core.allowance import Allowance
from posd.core.answers import ExchangeKind
from posd.daemon.doors.all_doors import Doors
from posd.daemon.links.routes import RouteChange, Routes
from posd.daemon.log import alert, log
from posd.daemon.replies import reply_name
from posd.daemon.runner import LaneRunner, Runner
from posd.daemon.station_lane import Garbage, Line, Routed, StationItem, Turnaway, Unmatched
from posd.daemon.steps import FromHost, FromTerminal, Happened, Item
from posd.daemon.till.orders import ANSWER
from posd.errors import CannotEncode, MalformedMessage
from posd.framing.tpdu import split
from posd.iso8583.codec import Unreadable
from posd.profiles.contract import Arrived, Outgoing, Profile
from posd.values import Now, Stan, Tid


class TillSide(Protocol):
    """Who waits for the answers to tills (daemon/till/side.py)."""

    def answer(self, connection: str, outgoing: Outgoing) -> bool: ...


@dataclass(slots=True)
class Lanes:
    """Everybody who has an inbox."""

    profile: Profile
    header_bytes: int
    lanes: dict[Tid, LaneRunner] = field(default_factory=dict)
    station: Runner | None = None
    station_dropped: int = 0
    link_is_up: bool = False
    link_why: str = "not connected yet"

    def all_runners(self) -> list[Runner]:
        """Every loop that has to be kept alive."""
        return [*([self.station] if self.station is not None else []), *self.lanes.values()]

    def tell_station(self, item: StationItem) -> None:
        """What belongs to no terminal; more than it can take is counted, and the count said now and then (D32)."""
        if self.station is not None and self.station.offer(item):
            return
        self.station_dropped += 1
        if self.station_dropped & (self.station_dropped - 1) == 0:  # at 1, 2, 4, 8 …: nobody fills the log
            log.warning("station_busy", item=type(item).__name__, dropped=self.station_dropped)

    def tell_all(self, item: Item) -> None:
        """Every lane hears it: a lane's inbox keeps room for this."""
        for runner in self.lanes.values():
            runner.offer(item)

    def partly(self, frame: bytes, error: MalformedMessage) -> Arrived | None:
        """What could be read of a message that cannot be read whole; None: not even an MTI."""
        if not isinstance(error, Unreadable) or error.partial is None:
            return None
        envelope, body = split(frame, self.header_bytes)
        return Arrived(envelope, body, error.partial)


ECHOES = (ExchangeKind.ECHO, ExchangeKind.SIGN_OFF)
"""Answers that say nothing: those that nobody waits for do not reach the lane, and few are kept (D32)."""


def _awaits(runner: LaneRunner, kind: ExchangeKind) -> bool:
    exchange = runner.lane.engine.state.exchange
    return exchange is not None and exchange.kind is kind


class HostSide:
    """Hears the line (RoutesListener)."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.link: Routes | None = None

    def link_up(self) -> None:
        self._lanes.link_is_up, self._lanes.link_why = True, ""
        self._lanes.tell_station(Line(True, ""))
        self._lanes.tell_all(Happened(e.LinkUp()))

    def link_down(self, why: str) -> None:
        self._lanes.link_is_up, self._lanes.link_why = False, why
        self._lanes.tell_station(Line(False, why))
        self._lanes.tell_all(Happened(e.LinkDown(why)))

    def route_changed(self, change: RouteChange) -> None:
        self._lanes.tell_station(Routed(change.left, change.to, change.why, change.back))

    def withdrawn(self, token: str) -> None:
        """A lane that waits no more knows this token no more, and nothing follows."""
        self._offer(token, e.NeverLeft(token, "the line could not take it"))

    def lost(self, token: str, why: str) -> None:
        """A lane that has its answer already knows this token no more, and nothing follows."""
        self._offer(token, e.ExchangeLost(token, why))

    def _offer(self, token: str, event: e.NeverLeft | e.ExchangeLost) -> None:
        runner = self._lanes.lanes.get(Tid(token.rpartition("#")[0]))
        if runner is not None:
            runner.offer(Happened(event))

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        self._lanes.tell_station(Garbage("host", length, str(error)))

    def frame(self, frame: bytes) -> None:
        profile = self._lanes.profile
        try:
            arrived = profile.arrive(frame)
        except MalformedMessage as error:
            self._unreadable_frame(frame, error)
            return
        runner = self._lanes.lanes.get(arrived.tid) if arrived.tid is not None else None
        key = profile.answer_key(arrived)
        if runner is None:
            self._lanes.tell_station(Unmatched(arrived, "it is for no terminal of ours"))
        elif key is None:
            self._lanes.tell_station(Unmatched(arrived, "it is not an answer"))
        elif key[0] in ECHOES and not _awaits(runner, key[0]):
            self._lanes.tell_station(Unmatched(arrived, "nobody asked for it"))
        elif not runner.offer(FromHost(arrived)) and self.link is not None:
            self.link.abort("the host floods a terminal with answers")

    def _unreadable_frame(self, frame: bytes, error: MalformedMessage) -> None:
        """If its terminal could be read, that one has no outcome; its reply limit need not pass first."""
        self._lanes.tell_station(Garbage("host", len(frame), str(error)))
        partial = self._lanes.partly(frame, error)
        runner = self._lanes.lanes.get(partial.tid) if partial is not None and partial.tid is not None else None
        if partial is None or runner is None:
            return
        kind: ExchangeKind | None
        stan: Stan | None
        kind, stan = self._lanes.profile.answer_key(partial) or (None, None)
        exchange = runner.lane.engine.state.exchange
        if exchange is not None and (exchange.kind, exchange.stan) == (kind, stan):
            runner.offer(Happened(e.HostUnreadable(str(error), kind, stan)))


IMPOSTORS_PER_MINUTE_MAX = 10
"""So many connections a minute whose certificate is of another terminal are alerted; the rest is counted (D32)."""


class DoorSide:
    """Hears the terminals (DoorListener)."""

    def __init__(self, lanes: Lanes, now: Callable[[], Now]) -> None:
        self._lanes, self._now = lanes, now
        self.doors: Doors | None = None
        self._frames = 0
        self._impostors: set[str] = set()
        self._said = Allowance(IMPOSTORS_PER_MINUTE_MAX)

    def frame(self, connection: str, frame: bytes) -> None:
        self._frames += 1
        reply_to = reply_name(connection, self._frames)
        try:
            arrived = self._lanes.profile.arrive(frame)
        except MalformedMessage as error:
            self._unreadable_frame(frame, error, reply_to)
            return
        if (why := self._not_its_own(connection, arrived.tid)) is not None:
            self._lanes.tell_station(Turnaway(arrived, reply_to, fx.Refusal.UNKNOWN_TERMINAL, why))
            return
        runner = self._lanes.lanes.get(arrived.tid) if arrived.tid is not None else None
        if runner is None:
            why = f"terminal {arrived.tid or '-'} is not in the configuration"
            self._lanes.tell_station(Turnaway(arrived, reply_to, fx.Refusal.UNKNOWN_TERMINAL, why))
        elif not runner.offer(FromTerminal(arrived, reply_to, self._now().monotonic_s)):
            self._lanes.tell_station(Turnaway(arrived, reply_to, fx.Refusal.BUSY, "too much waits for this terminal"))

    def _not_its_own(self, connection: str, tid: Tid | None) -> str | None:
        """Why this connection may not speak for that terminal: its certificate is of another (D28)."""
        allowed = self.doors.speaks_for(connection) if self.doors is not None else None
        if allowed is None or tid in allowed:
            return None
        if connection not in self._impostors:
            self._impostors.add(connection)
            if (unsaid := self._said.unsaid("", self._now())) is not None:
                alert("terminal_of_another_certificate", connection=connection, their_tid=tid or "-", unsaid=unsaid)
        return f"the certificate of its connection is not of terminal {tid or '-'}"

    def _unreadable_frame(self, frame: bytes, error: MalformedMessage, reply_to: str) -> None:
        """Code 30 where the MTI could be read, else it is only logged."""
        partial = self._lanes.partly(frame, error)
        if partial is None:
            self._lanes.tell_station(Garbage("terminal", len(frame), str(error)))
        else:
            self._lanes.tell_station(Turnaway(partial, reply_to, fx.Refusal.MALFORMED, str(error)))

    def unreadable(self, connection: str, error: MalformedMessage, head: bytes) -> None:
        self._lanes.tell_station(Garbage("terminal", len(head), str(error)))

    def closed(self, connection: str) -> None:
        self._impostors.discard(connection)
        for runner in self._lanes.lanes.values():
            runner.lane.forget_askers(connection)


class Exits:
    """Where the runners' steps lead (Outlets): hand over, never wait (D2)."""

    def __init__(self) -> None:
        self.link: Routes | None = None
        self.doors: Doors | None = None
        self.till: TillSide | None = None

    def to_host(self, message: fx.ToHost, outgoing: Outgoing) -> bool:
        if self.link is not None and self.link.send(message.token, outgoing.frame, message.deadline_s):
            return True
        of = {} if message.request_id is None else {"request_id": message.request_id}
        log.warning("line_took_nothing", token=message.token, **of, kind=message.kind.value)
        return False

    def withdraw(self, token: str) -> bool:
        return self.link is not None and self.link.withdraw(token)

    def to_terminal(self, connection: str, outgoing: Outgoing) -> bool:
        if outgoing.mti == ANSWER:
            return self.till is not None and self.till.answer(connection, outgoing)
        try:
            return self.doors is not None and self.doors.answer(connection, outgoing.frame)
        except CannotEncode as error:
            alert("answer_too_long", because=str(error))
            return False
