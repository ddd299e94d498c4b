"""The running daemon: starts its parts in order, keeps them alive, stops them in order.

READY means: the journal is open and the doors are up. The watchdog is fed by the lanes' progress, not by a timer. A
part that ends by an error ends the whole; starting again is recovering (house rule 2).
"""

import asyncio
import errno
import signal
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Protocol

from posd.core import events as e
from posd.daemon.archive.beside import Archivist
from posd.daemon.certificates import CertificateWatch, alert_unverified
from posd.daemon.clock import SystemClock, synchronised
from posd.daemon.control.server import ControlServer
from posd.daemon.doors.all_doors import Doors
from posd.daemon.doors.door_view import DoorShown
from posd.daemon.keys.custody import Remember
from posd.daemon.keys.watch import watch_token
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.links.routes import Routes
from posd.daemon.log import alert, log
from posd.daemon.notify import Notifier
from posd.daemon.reload import Reload
from posd.daemon.retention import Retention
from posd.daemon.router import Lanes
from posd.daemon.runner import LaneRunner
from posd.daemon.shown.certificate_view import WatchedCertificate
from posd.daemon.shown.questions import version
from posd.daemon.shown.settings_view import SettingsShown
from posd.daemon.snapshots import ENDING_LAG_ROWS, SNAPSHOT_BEAT_S, keep_snapshots_near, lag_rows_max
from posd.daemon.station_lane import Ending, Reread, Up
from posd.daemon.steps import Happened
from posd.daemon.wakeups import Wakeups
from posd.errors import PosdError
from posd.journal.contract import Store
from posd.journal.room import has_room
from posd.journal.writer import Writer
from posd.security.keystore import KeyStore
from posd.security.token import Token
from posd.settings import Settings
from posd.values import Tid

ANCHOR_SYNC_S = 5.0
"""How often the anchor is made durable (D31)."""

HEART_S = 10.0
"""How often the lanes are asked for progress when no watchdog asks for more."""

DRAIN_POLL_S = 0.05

LAST_WORD_S = 1.0
"""The longest that the journal may take for the word that posd ends in order."""

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accepting a connection may fail with because there are too many: no reason to end those that exist."""


class Broken(PosdError):
    """A part of the daemon ended by an error that no rule expects: the process stops with status 3."""


class TillService(Protocol):
    """The JSON door (daemon/till/service.py)."""

    def shown(self) -> list[DoorShown]: ...

    async def start(self) -> None: ...

    def renew(self, tokens: tuple[Token, ...]) -> None: ...

    def stop_accepting(self) -> None: ...

    async def stop(self) -> None: ...


class Daemon:
    """Everything that was assembled, and its life."""

    def __init__(
        self,
        settings: Settings,
        clock: SystemClock,
        store: Store,
        writer: Writer,
        lanes: Lanes,
        link: Routes,
        doors: Doors,
        notifier: Notifier,
    ) -> None:
        self.settings, self.clock = settings, clock
        self.started_at_ms = clock.now().wall_ms
        self._store, self._writer = store, writer
        self._table, self._link, self._doors, self._notifier = lanes, link, doors, notifier
        self.control: ControlServer | None = None
        self.keys: KeyStore | None = None
        self.remember: Remember | None = None
        self.till: TillService | None = None
        self.reload: Reload | None = None
        self.retention: Retention | None = None
        self.archivist: Archivist | None = None
        self._wakeups = Wakeups(_times(self.lanes), self._wake, clock, clock_stepped=self._clock_stepped)
        self._stop = asyncio.Event()
        self._broken: asyncio.Future[None] | None = None
        self._certificates = CertificateWatch(settings)
        self._room = True
        self._in_step: bool | None = True
        self.ready = False
        """The journal is open, the doors are up."""

    @property
    def lanes(self) -> Mapping[Tid, LaneRunner]:
        """The terminals."""
        return self._table.lanes

    @property
    def link_up(self) -> bool:
        """Whether the line to the host is open."""
        return self._table.link_is_up

    @property
    def link_why(self) -> str:
        """Why it is not."""
        return self._table.link_why

    @property
    def troubles(self) -> list[str]:
        """What of the machine stands in the way, by the names of the alerts."""
        named = {
            "disk_nearly_full": not self._room,
            "clock_unsynchronised": self._in_step is False,
            "token_out_of_reach": self.keys is not None and bool(self.keys.because),
            "card_keys_not_destroyed": self.retention is not None and self.retention.in_trouble,
            "segments_not_here": self.archivist is not None and self.archivist.is_missing_some,
        }
        return [name for name, there in named.items() if there]

    @property
    def certificates(self) -> list[WatchedCertificate]:
        """Those that posd lives by, as they stand."""
        return self._certificates.seen(self._link.shown(), self.clock.now())

    @property
    def routes(self) -> list[RouteShown]:
        """Every route to the host, the best first."""
        return self._link.shown()

    @property
    def doors(self) -> list[DoorShown]:
        """Every door for terminals and tills."""
        return [*self._doors.shown(), *(self.till.shown() if self.till is not None else ())]

    @property
    def settings_shown(self) -> SettingsShown:
        """How what runs and the file on the disk agree."""
        return self.reload.shown if self.reload is not None else SettingsShown()

    def tell(self, item: Reread) -> None:
        """The journal has what was read, and when."""
        self._table.tell_station(item)

    def take(self, settings: Settings) -> None:
        """These count from now on."""
        self.settings = self._certificates.settings = settings
        self._certificates.forget()
        self._wakeups.reschedule(_times(self.lanes))
        self._look_for_room()
        self._wake()

    def read_settings(self) -> None:
        """SIGHUP. Before posd is ready the settings are as good as new; when it stops they are of no use any more."""
        if self.reload is None or not self.ready or self._stop.is_set():
            log.warning("settings_kept", because="posd is starting or stopping")
            return
        self._notifier.reloading(round(self.clock.monotonic_s() * 1_000_000))
        self.reload.read()
        self._notifier.ready(self._summary())

    def stop(self) -> None:
        """Ask for the orderly end, as SIGTERM does; `live` returns when it is over."""
        self._stop.set()

    async def live(self) -> None:
        """Until SIGTERM or SIGINT. Raises StorageFailed, ConfigError (a door that cannot be had), Broken."""
        loop = asyncio.get_running_loop()
        self._broken = loop.create_future()
        loop.set_exception_handler(self._on_broken)
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.read_settings)
        self._writer.start(loop)
        tasks = [asyncio.create_task(runner.run()) for runner in self._table.all_runners()]
        try:
            await self._open(tasks)
            await self._unless_broken(tasks, self._told())
            await self._unless_broken(tasks, self._drain())
        finally:
            await self._shut(tasks)
            loop.set_exception_handler(None)

    async def _open(self, tasks: list[asyncio.Task[None]]) -> None:
        """Recovery first, then the doors, then the line (no terminal is refused while posd still folds)."""
        self._table.tell_station(Up(version()))
        self._table.tell_all(Happened(e.Started()))
        await self._doors.start()
        if self.till is not None:
            await self.till.start()
        if self.control is not None:
            await self.control.start()
        self._link.start()
        tasks.append(asyncio.create_task(self._keep_anchor()))
        tasks.append(asyncio.create_task(self._keep_snapshots()))
        tasks.append(asyncio.create_task(self._beat()))
        if self.retention is not None:
            tasks.append(asyncio.create_task(self.retention.keep()))
        if self.keys is not None and self.remember is not None and self.settings.keys.home == "pkcs11":
            tasks.append(asyncio.create_task(watch_token(self.keys, self.remember)))
        if self.archivist is not None:
            tasks.append(asyncio.create_task(self.archivist.keep()))
        self._look_for_room()
        self._look_at_clock()
        alert_unverified(self._link.shown())
        self.ready = True
        self._notifier.ready(self._summary())
        self._wakeups.start()  # its scheduler takes long to import, and `Started` was the first look at what is due
        log.info("ready", doors=self._doors.where, terminals=len(self.lanes))

    async def _told(self) -> None:
        await self._stop.wait()

    async def _unless_broken(self, tasks: list[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, unless the journal or a part breaks first: then raise what ends the process."""
        assert self._broken is not None
        failed = asyncio.create_task(self._writer.failed())
        working = asyncio.create_task(work)
        try:
            watched: list[asyncio.Future[Any]] = [*tasks, failed, working, self._broken]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise failed.result()
            for ended in (part for part in [*tasks, self._broken] if part.done()):
                raise _broken_by(ended)
            working.result()
        finally:
            failed.cancel()
            working.cancel()

    async def _drain(self) -> None:
        """Finish what is in flight within the limit; what is not finished is recovered at the next start."""
        limit_s = self.settings.drain_timeout_s
        self._notifier.stopping("finishing what is in flight", limit_s)
        log.info("stopping", limit_s=limit_s)
        self._doors.stop_accepting()
        for runner in self.lanes.values():
            runner.lane.stopping = True
        if self.till is not None:
            self.till.stop_accepting()
        self._wakeups.stop()
        try:
            async with asyncio.timeout(limit_s):
                while self._under_way():
                    await asyncio.sleep(DRAIN_POLL_S)
        except TimeoutError:
            log.warning("drain_timed_out", limit_s=limit_s)
        await keep_snapshots_near(self.lanes.values(), ENDING_LAG_ROWS)
        await self._say_that_it_ends()

    async def _say_that_it_ends(self) -> None:
        """The journal's last word: without it the next start knows that this one was killed."""
        station = self._table.station
        if station is None or not station.offer(Ending("told to stop")):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                while not station.resting:
                    await asyncio.sleep(DRAIN_POLL_S)

    def _under_way(self) -> bool:
        resting = all(runner.resting for runner in self._table.all_runners())
        return not resting or any(_busy(runner) for runner in self.lanes.values())

    async def _shut(self, tasks: list[asyncio.Task[None]]) -> None:
        """In the order that loses nothing: no new input, then the line, then the journal."""
        self._wakeups.stop()
        await self._doors.stop()
        if self.till is not None:
            await self.till.stop()
        await self._link.stop()
        if self.control is not None:
            await self.control.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._writer.failure is None:
                await self._writer.sync_anchor()
            await self._writer.close()
        finally:
            self._store.close()
            if self.keys is not None:
                self.keys.close()
        log.info("stopped")

    async def _keep_anchor(self) -> None:
        while True:
            await asyncio.sleep(ANCHOR_SYNC_S)
            await self._writer.sync_anchor()

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_BEAT_S)
            await keep_snapshots_near(self.lanes.values(), lag_rows_max(len(self.lanes)))

    async def _beat(self) -> None:
        """Feed the watchdog when every lane has lived through a tick since the last time."""
        interval_s = min(HEART_S, self._notifier.watchdog_interval_s or HEART_S)
        told = ""
        while True:
            self._look_for_room()
            self._look_at_clock()
            self._certificates.look(self._link.shown(), self.clock.now(), self.settings.settlement.zone)
            before = {tid: runner.lived_through for tid, runner in self.lanes.items()}
            self._wake()
            await asyncio.sleep(interval_s)
            if all(runner.lived_through > before[tid] for tid, runner in self.lanes.items()):
                self._notifier.watchdog()
            if (summary := self._summary()) != told:
                self._notifier.status(told := summary)

    def _look_for_room(self) -> None:
        """D32: on a disk that is nearly full new sales are refused, while reversals and settlement go on."""
        try:
            room = has_room(self.settings.state_dir, self.settings.journal.free_bytes_min)
        except OSError:
            room = False
        if room != self._room:
            self._room = room
            alert(
                "disk_has_room_again" if room else "disk_nearly_full",
                free_bytes_min=self.settings.journal.free_bytes_min,
            )
        for runner in self.lanes.values():
            runner.lane.no_sales_because = "" if room else "the disk is nearly full"

    def _look_at_clock(self) -> None:
        """D24: a clock that nothing keeps in step is only alerted; what may settle is judged by the host's clock."""
        in_step = synchronised()
        if in_step is False and self._in_step is not False:
            alert("clock_unsynchronised", to_do="start a time service, such as systemd-timesyncd or chrony")
        elif in_step and self._in_step is False:
            log.info("clock_synchronised")
        self._in_step = in_step

    def _wake(self) -> None:
        """One idempotent tick for every lane: what is due is computed by the engine (D18)."""
        self._table.tell_all(Happened(e.Tick()))

    def _clock_stepped(self, seconds: float) -> None:
        alert("clock_stepped", seconds=round(seconds, 1))

    def _on_broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody awaited is our bug: stop, restart, recover. A connection too many is not."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            alert("no_room_for_connections", because=str(error.strerror))  # the door tries again by itself
            return
        if self._broken is not None and not self._broken.done():
            why = error if isinstance(error, PosdError) else Broken(f"{context.get('message')}: {type(error).__name__}")
            self._broken.set_exception(why)
            log.error("broken", because=str(why), exc_info=error)

    def _summary(self) -> str:
        """One line for `systemctl status`."""
        states = [runner.lane.engine.state for runner in self.lanes.values()]
        signed_in = sum(1 for state in states if state.session.signed_in)
        owed = sum(len(state.unended_reversals()) for state in states)
        line = "line up" if self.link_up else f"line down ({self.link_why})"
        return f"{line}, {signed_in} of {len(states)} terminals signed in, {owed} reversals owed"


def _broken_by(ended: "asyncio.Future[None]") -> PosdError:
    """What to raise for a part that ended, though no part ever should."""
    error = None if ended.cancelled() else ended.exception()
    if isinstance(error, PosdError):
        return error
    log.error("broken", exc_info=error)
    return Broken(f"a part of the daemon ended by {type(error).__name__}" if error else "a part of the daemon ended")


def _busy(runner: LaneRunner) -> bool:
    return not runner.fenced and runner.lane.engine.state.exchange is not None


def _times(lanes: Mapping[Tid, LaneRunner]) -> list[tuple[int, int, int, str]]:
    """The distinct due times of all terminals."""
    rules = [runner.lane.engine.rules for runner in lanes.values()]
    return sorted({(at.hour, at.minute, at.second, rule.zone) for rule in rules for at in rule.due_times})
