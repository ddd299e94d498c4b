"""One route: how it is made, its link, what is thought of it, and what is known of it.

It watches: attempts to connect, connections, their ends, frames. What follows from that is decided by
daemon/links/routes.py. It must never hold a frame back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from posd.daemon.links.host_link import Link, LinkListener
from posd.daemon.links.route_choice import Health, Limits, RouteHealth, Sign, ended
from posd.daemon.links.route_facts import RouteFacts
from posd.errors import MalformedMessage
from posd.transport.contract import CertifiedChannel, ConfirmingChannel
from posd.values import Now

Connect = Callable[[], Awaitable[ConfirmingChannel]]


@runtime_checkable
class Retiring(Protocol):
    """A link with one connection for all messages, which can outlive its use to hear late answers."""

    @property
    def quiet(self) -> bool: ...
    def retire(self, why: str, listen_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Way:
    """How one route is made. `peer` is where it leads, for people; `build` gets `connect` back, watched. `verified`: as
    of RouteShown."""

    name: str
    peer: str
    connect: Connect
    build: Callable[[Connect, LinkListener], Link]
    verified: bool = True


class Owner(Protocol):
    """Whoever has the routes (daemon/links/routes.py)."""

    @property
    def listener(self) -> LinkListener: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def now(self) -> Callable[[], Now]: ...
    def noticed(self, route: "WatchedRoute", sign: Sign) -> None: ...
    def deliver(self, route: "WatchedRoute", frame: bytes) -> None: ...
    def in_flight_by(self, route: "WatchedRoute") -> bool: ...
    def say_why(self) -> None: ...


class WatchedRoute:
    """One route: its link, what is thought of it, what is known of it."""

    def __init__(self, way: Way, owner: Owner, now: Now) -> None:
        self.way, self._owner = way, owner
        self.health = RouteHealth(Health.CONNECTING, now.monotonic_s)
        self.facts = RouteFacts(now.wall_ms)
        self.trouble = ""
        self.failed_because = ""
        """Its trouble when it failed; `trouble` is gone as soon as it is connected again."""
        self.silent_since_s: float | None = None
        self.asked = False
        """A connection is being tried, to see whether it has stayed good."""
        self._connected_s: float | None = None
        self._answered = False
        self.link = way.build(self.connect, self)

    async def connect(self) -> ConfirmingChannel:
        """The way's own connect, watched. Raises OSError."""
        began_s = self._owner.now().monotonic_s
        try:
            channel = await self.way.connect()
        except OSError as error:
            self.trouble = error.strerror or str(error) or type(error).__name__
            self.facts.was_refused(self.trouble, self._owner.now())
            self._owner.noticed(self, Sign.REFUSED)
            raise
        now = self._owner.now()
        if isinstance(channel, CertifiedChannel):
            self.facts.certificates = channel.certificates
        self.facts.connected(now.monotonic_s - began_s, now)
        if self.health.health is Health.UP:
            self._owner.noticed(self, Sign.CONNECTED)
        return channel

    # What the link tells (LinkListener).

    def link_up(self) -> None:
        self._connected_s, self._answered, self.silent_since_s = self._owner.now().monotonic_s, False, None
        self.trouble = ""
        self._owner.noticed(self, Sign.CONNECTED)

    def link_down(self, why: str) -> None:
        self.trouble = why
        now = self._owner.now()
        if self._connected_s is not None:
            self.facts.has_ended(why, now)
            lasted_s, self._connected_s = now.monotonic_s - self._connected_s, None
            in_flight = self._owner.in_flight_by(self)
            self._owner.noticed(self, ended(lasted_s, self._answered, in_flight, self._owner.limits))
        self._owner.say_why()

    def frame(self, frame: bytes) -> None:
        self.facts.heard(self._owner.now())
        self.silent_since_s, self._answered = None, True
        self._owner.noticed(self, Sign.ANSWERED)
        self._owner.deliver(self, frame)

    def withdrawn(self, token: str) -> None:
        self._owner.listener.withdrawn(token)

    def lost(self, token: str, why: str) -> None:
        self._owner.listener.lost(token, why)

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        self._owner.listener.unreadable(error, length)
