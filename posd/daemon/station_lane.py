"""The station's inbox: posd's start and end, the line's changes, answers for nobody, unreadable bytes, refusals of what
has no lane, and of what somebody may not do.

It drives the same runner as a lane, so that nothing of it leaves before its row is durable either. It must never touch
a terminal's money.
"""

from asyncio import Future
from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from posd.core import effects as fx
from posd.core.payload import dump_record, record_name, record_version
from posd.core.station import (
    STATION,
    DaemonStarted,
    DaemonStopped,
    OperationRecord,
    SettingsRead,
    Station,
    StationRecord,
)
from posd.daemon.message_rows import incoming_row, outgoing_row
from posd.daemon.replies import refusal
from posd.daemon.steps import Step
from posd.journal.contract import RecordRow, Row
from posd.profiles.contract import Arrived, Profile
from posd.values import Now, Who


@dataclass(frozen=True, slots=True)
class Up:
    """posd has started; `version` is its own."""

    version: str


@dataclass(frozen=True, slots=True)
class Ending:
    """posd ends in order."""

    why: str


@dataclass(frozen=True, slots=True)
class Line:
    """The line to the host came up or went down."""

    up: bool
    why: str


@dataclass(frozen=True, slots=True)
class Routed:
    """Another route carries the messages; `to` is empty: none can. `back`: to a better one, without need."""

    left: str
    to: str
    why: str
    back: bool


@dataclass(frozen=True, slots=True, repr=False)
class Unmatched:
    """A message of the host for no terminal of ours."""

    arrived: Arrived
    because: str


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that are no message."""

    peer: str
    length: int
    because: str


@dataclass(frozen=True, slots=True, repr=False)
class Turnaway:
    """A terminal's message that no lane will see. `arrived` may hold only what could be read of it."""

    arrived: Arrived
    reply_to: str
    refusal: fx.Refusal
    because: str


@dataclass(frozen=True, slots=True)
class Reread:
    """The configuration was read again."""

    at_once: tuple[str, ...]
    restart: tuple[str, ...]
    refused: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is done to a key or the journal; `durable` is told when its record is: only then it may be."""

    record: OperationRecord
    durable: "Future[None]"


@dataclass(frozen=True, slots=True)
class Denied:
    """Somebody may not do what they asked for; `role`: what they lack, empty: their token is none."""

    who: Who
    door: str
    wish: str
    role: str


StationItem = Up | Reread | Ending | Line | Routed | Unmatched | Garbage | Turnaway | Operation | Denied


class StationLane:
    """Turns station items into steps."""

    def __init__(self, station: Station, profile: Profile) -> None:
        self._station, self._profile = station, profile

    def steps(self, item: StationItem, now: Now) -> Iterator[Step]:
        """Nothing for input whose minute is used up (D32)."""
        match item:
            case Up(version=installed):
                yield Step((_row(DaemonStarted(installed), now),))
            case Reread(at_once=at_once, restart=restart, refused=refused):
                yield Step((_row(SettingsRead(at_once, restart, refused), now),))
            case Ending(why=why):
                yield Step((_row(DaemonStopped(why), now),))
            case Line(up=up, why=why):
                changed, effect = self._station.line(up, why)
                yield Step((_row(changed, now),), (effect,))
            case Routed(left=left, to=to, why=why, back=back):
                changed, effect = self._station.routed(left, to, why, back)
                yield Step((_row(changed, now),), (effect,))
            case Unmatched(arrived=arrived, because=because):
                message = arrived.message
                trace = message.get(11)
                stan = int(trace) if trace else None
                noted = self._station.unmatched(message.mti, arrived.tid, stan, because, now)
                if noted is not None:
                    yield Step((self._came(arrived, "host", now), _row(noted[0], now)), (noted[1],))
            case Garbage(peer=peer, length=length, because=because):
                noted = self._station.unreadable(peer, length, because, now)
                if noted is not None:
                    yield Step((_row(noted[0], now),), (noted[1],))
            case Operation(record=record):
                yield Step((_row(record, now),), (self._station.operation(record),))
            case Denied(who=who, door=door, wish=wish, role=role):
                noted = self._station.denied(who, door, wish, role, now)
                if noted is not None:
                    yield Step((_row(noted[0], now),), (noted[1],))
            case Turnaway():
                yield from self._turn_away(item, now)
            case _:
                assert_never(item)

    def _came(self, arrived: Arrived, peer: str, now: Now) -> Row:
        profile, message = self._profile, arrived.message
        return incoming_row(STATION, arrived, profile.masked(message), peer, now, None, profile.batch_told(message), 0)

    def adopt(self, step: Step) -> None:
        """The station has nothing to become true."""

    def _turn_away(self, item: Turnaway, now: Now) -> Iterator[Step]:
        """Told each time; kept as often as the minute allows, so that nobody can fill the disk with nonsense (D32)."""
        arrived = item.arrived
        encoded = refusal(self._profile, arrived, item.refusal, now)
        noted = self._station.unreadable("terminal", len(arrived.body), item.because, now)
        rows: list[Row] = []
        if noted is not None:
            rows += [self._came(arrived, "terminal", now), _row(noted[0], now)]
            rows += [outgoing_row(STATION, encoded, "terminal", now, None, 0)] if encoded is not None else []
        effects = (noted[1],) if noted is not None else ()
        answer = fx.ToTerminal(item.reply_to, fx.Refused(item.refusal, item.because))
        told = ((answer, encoded),) if encoded is not None else ()
        if rows or told:
            yield Step(tuple(rows), effects, to_terminal=told)


def _row(record: StationRecord, now: Now) -> RecordRow:
    return station_row(record, now.wall_ms)


def station_row(record: StationRecord, at_ms: int) -> RecordRow:
    """A record that belongs to no terminal."""
    name = record_name(record)
    return RecordRow(STATION, name, record_version(name), at_ms, dump_record(record))
