"""What the control socket and the JSON door look at: every terminal and posd itself, as they are now.

It reads adopted states, and must never change one.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from posd.core import events as e
from posd.core import management
from posd.core.effects import CommandDone
from posd.core.engine import Engine
from posd.core.state import State
from posd.daemon.doors.door_view import DoorShown, door_findings, doors_view
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.shown.certificate_view import WatchedCertificate, certificate_findings, certificates_view
from posd.daemon.shown.findings import link_down, machine_trouble
from posd.daemon.shown.lately import Lately
from posd.daemon.shown.questions import Seen, version
from posd.daemon.shown.route_view import active_route, route_findings, routes_view
from posd.daemon.shown.settings_view import SettingsShown, settings_findings, settings_view
from posd.daemon.shown.views import Around, View
from posd.profiles.codes import flagged, meanings
from posd.profiles.contract import Profile
from posd.values import Now, Tid


class LaneAt(Protocol):
    """A terminal's lane, as far as it is looked at here."""

    @property
    def engine(self) -> Engine: ...
    @property
    def profile(self) -> Profile: ...


class RunnerAt(Protocol):
    """What runs a lane (daemon/runner.py)."""

    @property
    def lane(self) -> LaneAt: ...
    @property
    def fenced(self) -> str: ...
    @property
    def lately(self) -> Lately: ...
    async def command(self, event: e.Command) -> CommandDone: ...
    async def wait_change(self) -> None: ...


class Clock(Protocol):
    """The two clocks."""

    def now(self) -> Now: ...


class DaemonAt(Protocol):
    """The daemon, as far as it is looked at here (daemon/daemon.py)."""

    @property
    def lanes(self) -> Mapping[Tid, RunnerAt]: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def link_up(self) -> bool: ...
    @property
    def link_why(self) -> str: ...
    @property
    def routes(self) -> Sequence[RouteShown]: ...
    @property
    def doors(self) -> Sequence[DoorShown]: ...
    @property
    def started_at_ms(self) -> int: ...
    @property
    def troubles(self) -> list[str]: ...
    @property
    def settings_shown(self) -> SettingsShown: ...
    @property
    def certificates(self) -> Sequence[WatchedCertificate]: ...


class Sight:
    """The daemon, seen from outside."""

    def __init__(self, daemon: DaemonAt) -> None:
        self.daemon = daemon

    def everything(self) -> dict[Tid, Seen]:
        """Every terminal as it is."""
        return {tid: Seen(runner.lane.engine.state, self.around(runner)) for tid, runner in self.daemon.lanes.items()}

    def look(self, runner: RunnerAt) -> tuple[State, Around]:
        """The state with what is around it."""
        return runner.lane.engine.state, self.around(runner)

    def around(self, runner: RunnerAt) -> Around:
        """What is true around a terminal now."""
        engine = runner.lane.engine
        return Around(
            rules=management.applied(engine.rules, engine.state),
            now=self.daemon.clock.now(),
            agenda=engine.agenda,
            link_up=self.daemon.link_up,
            link_why=self.daemon.link_why,
            fenced=runner.fenced,
            meanings=meanings(runner.lane.profile.codes),
            flagged=flagged(runner.lane.profile.codes),
            alerted=runner.lately.all(),
        )

    def posd(self) -> View:
        """posd itself, with its own findings."""
        daemon = self.daemon
        down = [] if daemon.link_up else [link_down(daemon.link_why)]
        routes = routes_view(daemon.routes, self._zone())
        doors = doors_view(daemon.doors, daemon.clock.now(), self._zone())
        certificates = certificates_view(daemon.certificates, daemon.clock.now().wall_ms, self._zone())
        settings = settings_view(daemon.settings_shown)
        machine = map(machine_trouble, daemon.troubles)
        return {
            "running": True,
            "version": version(),
            "up_s": max(0, (daemon.clock.now().wall_ms - daemon.started_at_ms) // 1000),
            "link_up": daemon.link_up,
            "link_why": daemon.link_why,
            "route": active_route(routes),
            "routes": routes,
            "doors": doors,
            "certificates": certificates,
            "settings": settings,
            "findings": [
                *down,
                *route_findings(routes),
                *door_findings(doors),
                *certificate_findings(certificates),
                *settings_findings(settings),
                *machine,
            ],
        }

    def _zone(self) -> str:
        """Of the first terminal: the routes belong to all of them."""
        return next(iter(self.daemon.lanes.values())).lane.engine.rules.zone
