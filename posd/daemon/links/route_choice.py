"""Which route to the acquirer carries the messages, when it is left, and when it is returned to. Pure: no sockets, no
clock, no waiting; daemon/links/routes.py does what is decided here.

Each route has one health; what happens to the route moves it:

    health      connected   refused   ended well  ended badly  silent   answered  good for long
    connecting  UP          COUNTED   -           -            -        -         -
    up          AGAIN       COUNTED   CONNECTING  COUNTED      FAILED   TRUSTED   -
    failed      PROVING     -         -           -            -        -         -
    proving     -           FAILED    FAILED      FAILED       FAILED   -         UP

- COUNTED: connecting again, and FAILED at the `connect_failures`-th in a row. In a row means: no connection between
  them that lasted for `good_for_s`, or that carried an answer and ended with nothing in flight. So a line that comes
  and goes fails as surely as one that never comes.
- AGAIN: where each message has a connection of its own, one that could be made ends the row of those that could not.
- A route that has failed must be connected for `good_for_s` without a break before it is trusted again. Each further
  failure doubles that time, up to PATIENCE_DOUBLINGS_MAX times; it begins small again only with an answer (TRUSTED)
  that comes when the route has been up for as long as it had to prove itself. So a host that accepts and is silent is
  not returned to again and again.
- The messages go by the first route in order that is up. While an earlier one still connects within its limit, it is
  waited for. A route in use is left only when it fails, or for an earlier one that is up, and then at rest: with no
  exchange in flight. When every route has failed, one that is connected all the same is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

PATIENCE_DOUBLINGS_MAX = 5
"""A route that fails again and again has to be good for up to 2 ** 5 times `good_for_s`."""


class Health(StrEnum):
    """What is thought of a route."""

    CONNECTING = "connecting"
    UP = "up"
    FAILED = "failed"
    PROVING = "proving"


class Sign(StrEnum):
    """What happened to a route."""

    CONNECTED = "connected"
    REFUSED = "refused"
    ENDED_WELL = "ended_well"
    ENDED_BADLY = "ended_badly"
    SILENT = "silent"
    ANSWERED = "answered"
    GOOD = "good"


class Becomes(StrEnum):
    """What a sign makes of a health."""

    UNCHANGED = "unchanged"
    CONNECTING = "connecting"
    COUNTED = "counted"
    AGAIN = "again"
    UP = "up"
    FAILED = "failed"
    PROVING = "proving"
    TRUSTED = "trusted"


TABLE: Mapping[Health, Mapping[Sign, Becomes]] = {
    Health.CONNECTING: {
        Sign.CONNECTED: Becomes.UP,
        Sign.REFUSED: Becomes.COUNTED,
        Sign.ENDED_WELL: Becomes.UNCHANGED,
        Sign.ENDED_BADLY: Becomes.UNCHANGED,
        Sign.SILENT: Becomes.UNCHANGED,
        Sign.ANSWERED: Becomes.UNCHANGED,
        Sign.GOOD: Becomes.UNCHANGED,
    },
    Health.UP: {
        Sign.CONNECTED: Becomes.AGAIN,
        Sign.REFUSED: Becomes.COUNTED,
        Sign.ENDED_WELL: Becomes.CONNECTING,
        Sign.ENDED_BADLY: Becomes.COUNTED,
        Sign.SILENT: Becomes.FAILED,
        Sign.ANSWERED: Becomes.TRUSTED,
        Sign.GOOD: Becomes.UNCHANGED,
    },
    Health.FAILED: {
        Sign.CONNECTED: Becomes.PROVING,
        Sign.REFUSED: Becomes.UNCHANGED,
        Sign.ENDED_WELL: Becomes.UNCHANGED,
        Sign.ENDED_BADLY: Becomes.UNCHANGED,
        Sign.SILENT: Becomes.UNCHANGED,
        Sign.ANSWERED: Becomes.UNCHANGED,
        Sign.GOOD: Becomes.UNCHANGED,
    },
    Health.PROVING: {
        Sign.CONNECTED: Becomes.UNCHANGED,
        Sign.REFUSED: Becomes.FAILED,
        Sign.ENDED_WELL: Becomes.FAILED,
        Sign.ENDED_BADLY: Becomes.FAILED,
        Sign.SILENT: Becomes.FAILED,
        Sign.ANSWERED: Becomes.UNCHANGED,
        Sign.GOOD: Becomes.UP,
    },
}


@dataclass(frozen=True, slots=True)
class Limits:
    """When a route fails, and when it is trusted again; seconds."""

    connect_failures: int
    good_for_s: float


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """One route. `since_s` on the monotonic scale; `refusals` in a row; `strikes`: failures since it was last sound."""

    health: Health
    since_s: float
    refusals: int = 0
    strikes: int = 0

    @property
    def connected(self) -> bool:
        """Whether a message handed to it has a chance to leave."""
        return self.health in (Health.UP, Health.PROVING)

    def patience_s(self, limits: Limits) -> float:
        """How long it has to be connected before it is trusted again."""
        return limits.good_for_s * 2.0 ** min(max(self.strikes - 1, 0), PATIENCE_DOUBLINGS_MAX)

    def trusted_at_s(self, limits: Limits) -> float | None:
        """When it will be trusted again, if nothing happens until then; None: it proves nothing now."""
        return self.since_s + self.patience_s(limits) if self.health is Health.PROVING else None


def ended(lasted_s: float, answered: bool, in_flight: bool, limits: Limits) -> Sign:
    """How a connection ended: badly when it was short and had carried no answer, or took a message with it."""
    if lasted_s >= limits.good_for_s or (answered and not in_flight):
        return Sign.ENDED_WELL
    return Sign.ENDED_BADLY


def after(route: RouteHealth, sign: Sign, now_s: float, limits: Limits) -> RouteHealth:
    """What a route is after a sign: the table above."""
    match TABLE[route.health][sign]:
        case Becomes.UNCHANGED:
            return route
        case Becomes.CONNECTING:
            return RouteHealth(Health.CONNECTING, now_s, 0, route.strikes)
        case Becomes.COUNTED:
            return _counted(route, sign, now_s, limits)
        case Becomes.AGAIN:
            return replace(route, refusals=0) if route.refusals else route
        case Becomes.UP:
            return replace(route, health=Health.UP, since_s=now_s)
        case Becomes.TRUSTED:
            sound = now_s - route.since_s >= route.patience_s(limits)
            return replace(route, strikes=0) if sound and route.strikes else route
        case Becomes.PROVING:
            return replace(route, health=Health.PROVING, since_s=now_s)
        case Becomes.FAILED:
            return _failed(route, sign, now_s)
        case unknown:
            assert_never(unknown)


def _counted(route: RouteHealth, sign: Sign, now_s: float, limits: Limits) -> RouteHealth:
    refusals = route.refusals + 1
    if refusals >= limits.connect_failures:
        return _failed(route, sign, now_s)
    if route.health is Health.UP and sign is Sign.REFUSED:  # a route with a connection for each message stays up
        return replace(route, refusals=refusals)
    since_s = route.since_s if route.health is Health.CONNECTING else now_s
    return RouteHealth(Health.CONNECTING, since_s, refusals, route.strikes)


def _failed(route: RouteHealth, sign: Sign, now_s: float) -> RouteHealth:
    """A route that did not even last until it was trusted is no worse than before, unless it was used and silent."""
    again = route.health is Health.PROVING and sign is not Sign.SILENT
    return RouteHealth(Health.FAILED, now_s, 0, route.strikes if again else route.strikes + 1)


def choose(routes: Sequence[RouteHealth], active: int | None, at_rest: bool) -> int | None:
    """The route that the next message goes by; None: there is none now."""
    if active is not None and routes[active].connected:
        better = next((place for place in range(active) if routes[place].health is Health.UP), None)
        return active if better is None or not at_rest else better
    for place, route in enumerate(routes):
        if route.health is Health.UP:
            return place
        if route.health is Health.CONNECTING:
            return None  # within its limits it is waited for
    return next((place for place, route in enumerate(routes) if route.health is Health.PROVING), None)
