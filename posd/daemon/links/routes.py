"""Several routes to one acquirer, in order (wired, mobile), behind the interface of one link.

route_choice.py decides which route carries the messages; here it is done. Every route is kept connected, so that a
dead second line shows before it is needed. To the lanes it is one line: when the route in use fails, the line goes down
(what is in flight has no outcome, as always) and comes up again by the next route, and the owed reversals go out there.
Going back to a better route happens between exchanges and is no event for them.

Two things lose money here. A request must never arrive after its own reversal (D2): over two lines nobody orders them,
so a failed route's connection is kept, to hear late answers, only if the kernel says that everything sent on it has
arrived. Else it is reset, so that nothing of it is sent again, and `pause_s` pass before the next route is used: what
has left the socket (for the queue of an interface, for a modem) cannot be called back, only be waited for. And an
answer must never be dropped: whatever comes on any route is delivered.

It must never read a message or repeat a frame. The listener is called from the event loop only, never from inside
`send`, `withdraw` or `abort`.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from posd.daemon.links.host_link import LinkListener
from posd.daemon.links.route import Retiring, WatchedRoute, Way
from posd.daemon.links.route_choice import Health, Limits, Sign, after, choose
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.log import log
from posd.daemon.tasks import end, spawn
from posd.values import Now

FORGOTTEN_AFTER_S = 1.0
"""A message that nobody took back so long after its reply limit is not in flight any more (its lane is fenced)."""


@dataclass(frozen=True, slots=True)
class RouteChange:
    """Another route is in use, or none can be (`to` is empty). `back`: to a better one, without need."""

    left: str
    to: str
    why: str
    back: bool = False


class RoutesListener(LinkListener, Protocol):
    """Who hears what happens on the line, whichever route carries it."""

    def route_changed(self, change: RouteChange) -> None:
        """A person must find this again; told only where there are several routes."""


@dataclass(frozen=True, slots=True)
class _Flight:
    route: WatchedRoute
    sent_s: float
    deadline_s: float


class Routes:
    """HostLink's interface over the routes `ways`, the best first.

    `silence_max_s`: a route on which nothing comes for so long, though something was sent, has failed; looked at when
    an exchange ends without an answer. `reply_limit_s`: how long an answer is waited for, and a failed route listened
    to. `pause_s`: how long the next one waits when not all that was sent by the failed one has arrived.
    """

    def __init__(
        self,
        ways: Sequence[Way],
        listener: RoutesListener,
        limits: Limits,
        silence_max_s: float,
        reply_limit_s: float,
        pause_s: float,
        now: Callable[[], Now],
    ) -> None:
        only = len(ways) == 1  # then there is nothing to leave it for: it connects for ever
        self.limits = replace(limits, connect_failures=sys.maxsize) if only else limits
        self.listener, self.now = listener, now
        self._silence_max_s, self._reply_limit_s, self._pause_s = silence_max_s, reply_limit_s, pause_s
        self._paused_until_s = now().monotonic_s
        self._flights: dict[str, _Flight] = {}
        self._routes = [WatchedRoute(way, self, now()) for way in ways]
        self._active: int | None = None
        self._last = 0
        self._delivering: WatchedRoute | None = None
        self._told_down: str | None = ""
        self._told_all_down = False
        self._timer: asyncio.TimerHandle | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        """Begin to connect by every route. Call it inside the running loop."""
        for route in self._routes:
            route.link.start()

    async def stop(self) -> None:
        """Hang up on every route; no other one is taken meanwhile."""
        self._stopping = True
        self._disarm()
        for task in list(self._asking):
            await end(task)
        await asyncio.gather(*(route.link.stop() for route in self._routes))

    @property
    def up(self) -> bool:
        """True while a frame handed to `send` has a chance to leave."""
        return self._active is not None and self._routes[self._active].link.up

    @property
    def active(self) -> str | None:
        """The name of the route in use; None: none."""
        return None if self._active is None else self._routes[self._active].way.name

    def send(self, token: str, frame: bytes, deadline_s: float) -> bool:
        """As HostLink.send, by the route in use."""
        if self._active is None:
            return False
        route, now_s = self._routes[self._active], self.now().monotonic_s
        if not route.link.send(token, frame, deadline_s):
            return False
        route.facts.sent += 1
        self._flights[token] = _Flight(route, now_s, deadline_s)
        if route.silent_since_s is None:
            route.silent_since_s = min(now_s, deadline_s - self._reply_limit_s)  # from when it was decided upon
        return True

    def withdraw(self, token: str) -> bool:
        """As HostLink.withdraw. The exchange is over: the moment to look at silence, and to go back to a better one."""
        taken_back = [route.link.withdraw(token) for route in self._routes]
        flight = self._flights.pop(token, None)
        if flight is not None:
            self._look_at(flight)
        if self._active is not None:  # else only time, or a route itself, brings one
            self._decide(soon=True)
        return any(taken_back)

    def abort(self, why: str) -> None:
        """Drop the connection whose frame is being delivered, else that of the route in use."""
        route = self._delivering
        if route is None and self._active is not None:
            route = self._routes[self._active]
        if route is not None:
            route.link.abort(why)

    def renew(self, ways: Sequence[Way]) -> None:
        """Connect by these from now on: the same routes, other certificates. What is connected stays."""
        for route, way in zip(self._routes, ways, strict=True):
            route.way = way

    def shown(self) -> list[RouteShown]:
        """Every route as it is now."""
        now_s = self.now().monotonic_s
        found = []
        for place, route in enumerate(self._routes):
            trusted_s = route.health.trusted_at_s(self.limits)
            trusted_in_s = None if trusted_s is None else max(0.0, trusted_s - now_s)
            active, strikes = place == self._active, route.health.strikes
            name, peer, health = route.way.name, route.way.peer, route.health.health
            found.append(RouteShown(name, peer, health, active, strikes, trusted_in_s, route.facts, route.way.verified))
        return found

    # What the routes tell.

    def noticed(self, route: WatchedRoute, sign: Sign) -> None:
        """Something happened to a route."""
        before, now = route.health, self.now()
        route.health = after(before, sign, now.monotonic_s, self.limits)
        if route.health is before:
            return
        if route.health.health is not before.health:
            route.facts.since_ms = now.wall_ms
            if route.health.health is Health.FAILED:
                route.failed_because = route.trouble
            if len(self._routes) > 1:
                why = {} if route.health.connected else {"why": route.trouble}
                log.info("route", route=route.way.name, health=route.health.health.value, **why)
        self._decide()
        if self._active is None:
            self._tell_if_all_are_down()
        if route.health.health is Health.FAILED and route.link.up and not isinstance(route.link, Retiring):
            asyncio.get_running_loop().call_soon(route.link.abort, route.trouble)  # it then tries until it succeeds
        self._arm()

    def deliver(self, route: WatchedRoute, frame: bytes) -> None:
        """A frame of any route: in use, failed or standing by."""
        self._delivering = route
        try:
            self.listener.frame(frame)
        finally:
            self._delivering = None

    def in_flight_by(self, route: WatchedRoute) -> bool:
        """Whether something sent by this route has no answer yet."""
        return any(flight.route is route for flight in self._flights.values())

    def say_why(self) -> None:
        """The line is down, and perhaps for another reason than was told."""
        paused = self.now().monotonic_s < self._paused_until_s
        if self._active is None and self._told_down is not None and not self._stopping and not paused:
            self._tell_down(self._why_down())

    # Which route.

    def _decide(self, soon: bool = False) -> None:
        """Take the route that route_choice names. `soon`: the listener hears of it from the loop, later."""
        before, chosen = self._active, self._choice()
        if chosen == before:
            return
        self._active = chosen
        left = self._routes[self._last]
        back = before is not None and self._routes[before].health.connected
        change = None
        if chosen is not None and chosen != self._last:
            self._last = chosen
            why = "it has been good for long enough" if back else left.trouble or left.failed_because
            change = RouteChange(left.way.name, self._routes[chosen].way.name, why, back)
        if back and change is not None:
            if isinstance(left.link, Retiring) and not left.link.quiet:
                left.link.abort("what it was sent has not all arrived, and messages go by a better route")  # D2
            asyncio.get_running_loop().call_soon(self.listener.route_changed, change)
            return
        assert not soon, "only going back happens inside withdraw"
        self._line_changed(before, change)

    def _line_changed(self, before: int | None, change: RouteChange | None) -> None:
        """What the lanes hear: down, if it was up; up, if there is a route; and between the two, which."""
        if before is not None:
            self._forget_flights(self._routes[before])
            self._tell_down(self._why_down() if self._active is None else self._routes[before].trouble)
        if change is not None:
            self.listener.route_changed(change)
        if self._active is not None:
            self._told_down, self._told_all_down = None, False
            self.listener.link_up()

    def _choice(self) -> int | None:
        healths = [route.health for route in self._routes]
        if self._stopping:
            return self._active if self._active is not None and healths[self._active].connected else None
        used = self._active is not None and healths[self._active].connected
        if not used and self.now().monotonic_s < self._paused_until_s:
            return None
        better = any(one.health is Health.UP for one in healths[: self._active or 0])
        return choose(healths, self._active, better and self._at_rest())

    def _at_rest(self) -> bool:
        """No exchange in flight."""
        if len(self._routes) == 1:
            return False
        now_s = self.now().monotonic_s
        for token in [
            token for token, flight in self._flights.items() if flight.deadline_s + FORGOTTEN_AFTER_S < now_s
        ]:
            del self._flights[token]
        return not self._flights

    def _forget_flights(self, route: WatchedRoute) -> None:
        """The line of these is gone: their lanes are told by `link_down`."""
        for token in [token for token, flight in self._flights.items() if flight.route is route]:
            del self._flights[token]

    def _tell_if_all_are_down(self) -> None:
        if len(self._routes) == 1 or self._told_all_down:
            return
        if all(route.health.health is Health.FAILED for route in self._routes):
            self._told_all_down = True
            self.listener.route_changed(RouteChange(self._routes[self._last].way.name, "", self._why_down()))

    def _why_down(self) -> str:
        if len(self._routes) == 1:
            return self._routes[0].trouble
        return "; ".join(f"{route.way.name}: {_state(route)}" for route in self._routes)

    def _tell_down(self, why: str) -> None:
        if why != self._told_down:
            self._told_down = why
            self.listener.link_down(why)

    # Silence, and time.

    def _look_at(self, flight: _Flight) -> None:
        """An exchange is over. Either its answer came, or the line may have been silent for too long."""
        route, now_s = flight.route, self.now().monotonic_s
        if route.silent_since_s is None:
            if now_s < flight.deadline_s:
                route.facts.answered(now_s - flight.sent_s)
        elif now_s - route.silent_since_s >= self._silence_max_s:
            asyncio.get_running_loop().call_soon(self._silent, route, route.silent_since_s)

    def _silent(self, route: WatchedRoute, since_s: float) -> None:
        """The route has failed, though its connection stands."""
        if route.silent_since_s != since_s:
            return  # it spoke meanwhile, or was told before
        route.silent_since_s = None
        route.trouble = f"the host has said nothing for {self._silence_max_s:g} s"
        route.facts.silences += 1
        route.facts.error(route.trouble, self.now())
        if len(self._routes) > 1 and not (isinstance(route.link, Retiring) and route.link.quiet):
            self._paused_until_s = self.now().monotonic_s + self._pause_s  # D2
        self.noticed(route, Sign.SILENT)
        if self._active is not None and isinstance(route.link, Retiring):
            route.link.retire(route.trouble, self._reply_limit_s)
        elif isinstance(route.link, Retiring):
            route.link.abort(route.trouble)

    def _arm(self) -> None:
        """The next moment at which a route has proved itself."""
        self._disarm()
        due = [route.health.trusted_at_s(self.limits) for route in self._routes if not route.asked]
        times, now_s = [at_s for at_s in due if at_s is not None], self.now().monotonic_s
        if self._paused_until_s > now_s:
            times.append(self._paused_until_s)
        if times and not self._stopping:
            wait_s = max(0.0, min(times) - now_s)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._time_has_passed)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_has_passed(self) -> None:
        """Whoever has proved itself is trusted; where no connection was kept for so long, one is tried once more."""
        now_s = self.now().monotonic_s
        for route in self._routes:
            at_s = route.health.trusted_at_s(self.limits)
            if at_s is None or at_s > now_s or route.asked:
                continue
            if isinstance(route.link, Retiring):
                self.noticed(route, Sign.GOOD)
            else:
                route.asked = True
                self._asking.add(task := spawn(self._ask(route), "route probe"))
                task.add_done_callback(self._asking.discard)
        self._decide()
        self._arm()

    async def _ask(self, route: WatchedRoute) -> None:
        try:
            channel = await route.connect()
        except OSError:
            return  # `connect` has told it
        finally:
            route.asked = False
        self.noticed(route, Sign.GOOD)
        await channel.close()


def _state(route: WatchedRoute) -> str:
    return "connected" if route.health.connected else route.trouble or "connecting"
