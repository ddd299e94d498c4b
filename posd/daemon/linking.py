"""From the settings of a host to the routes that serve it: which connections, kept or made for each message."""

import random
from collections.abc import Callable

from posd.addresses import SerialAddress
from posd.daemon.backoff import Backoff
from posd.daemon.host_link import HostLink, Link, LinkListener
from posd.daemon.one_shot import OneShotLink
from posd.daemon.route import Connect, Way
from posd.daemon.route_choice import Limits
from posd.daemon.routes import Routes, RoutesListener
from posd.daemon.serial_door import say_trouble
from posd.settings import HostSettings, Route
from posd.transport.serial_line import connect_serial
from posd.transport.tcp import Source, connect_tcp
from posd.values import Now


def routes_of(host: HostSettings, listener: RoutesListener, now: Callable[[], Now]) -> Routes:
    """Every route to the host, not yet started."""
    limits = Limits(host.failover.connect_failures, host.failover.good_for_s)
    silence_max_s = host.failover.silent_limits * host.reply_timeout_s
    ways = [way_of(host, route, now) for route in host.every_route()]
    return Routes(ways, listener, limits, silence_max_s, host.reply_timeout_s, now)


def way_of(host: HostSettings, route: Route, now: Callable[[], Now]) -> Way:
    """How one route is made, with a link of its mode."""

    def build(connect: Connect, listener: LinkListener) -> Link:
        backoff = Backoff(route.reconnect.first_s, route.reconnect.max_s, random.Random())
        size = host.frame_bytes_max
        if route.mode == "one_shot":
            return OneShotLink(connect, listener, size, backoff, lambda: now().monotonic_s, host.connections_max)
        return HostLink(connect, listener, size, backoff, lambda: now().monotonic_s)

    return Way(route.name, _shown(route), connect_of(route, host.frame_bytes_max), build)


def connect_of(route: Route, frame_bytes_max: int) -> Connect:
    """How a connection by this route is made: within its limit, or it raises OSError."""
    address, bind = route.address, route.bind
    if isinstance(address, SerialAddress):
        return lambda: connect_serial(address, frame_bytes_max, say_trouble)
    source = None if bind is None else Source(bind.interface or "", bind.address or "")
    return lambda: connect_tcp(address.host, address.port, route.connect_timeout_s, source)


def _shown(route: Route) -> str:
    by = "" if route.bind is None else route.bind.interface or route.bind.address
    return f"{route.address} by {by}" if by else str(route.address)
