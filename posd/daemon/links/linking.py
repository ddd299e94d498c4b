"""From the settings of a host to the routes that serve it: which connections, kept or made for each message."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from posd.addresses import Address, HttpAddress, SerialAddress, TlsAddress
from posd.daemon.doors.serial_door import say_trouble
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.host_link import HostLink, Link, LinkListener
from posd.daemon.links.one_shot import OneShotLink
from posd.daemon.links.route import Connect, Way
from posd.daemon.links.route_choice import Limits
from posd.daemon.links.routes import Routes, RoutesListener
from posd.daemon.log import log
from posd.framing.length_prefix import Length
from posd.settings import HostSettings, Route
from posd.transport.contract import ConfirmingChannel
from posd.transport.serial_line import connect_serial
from posd.transport.tcp import Source, connect_tcp
from posd.values import Now


def routes_of(host: HostSettings, listener: RoutesListener, now: Callable[[], Now]) -> Routes:
    """Every route to the host, not yet started."""
    limits = Limits(host.failover.connect_failures, host.failover.good_for_s)
    silence_max_s = host.failover.silent_limits * host.reply_timeout_s
    ways = [way_of(host, route, now) for route in host.every_route()]
    return Routes(ways, listener, limits, silence_max_s, host.reply_timeout_s, host.failover.pause_s, now)


def way_of(host: HostSettings, route: Route, now: Callable[[], Now]) -> Way:
    """How one route is made, with a link of its mode."""

    def build(connect: Connect, listener: LinkListener) -> Link:
        backoff = Backoff(route.reconnect.first_s, route.reconnect.max_s, random.Random())
        size, length = host.frame_bytes_max, Length(host.nac.length)

        def clock() -> float:
            return now().monotonic_s

        if route.mode == "one_shot":
            return OneShotLink(connect, listener, size, backoff, clock, host.connections_max, length)
        return HostLink(connect, listener, size, backoff, clock, length)

    return Way(route.name, _shown(route), connect_of(host, route), build, route.verified)


def connect_of(host: HostSettings, route: Route) -> Connect:
    """How a connection by this route is made: within its limit, or it raises OSError.

    Raises ConfigError for certificate files that cannot be used.
    """
    match route.address:
        case Address(host=name, port=port):
            return lambda: connect_tcp(name, port, route.connect_timeout_s, _source(route))
        case SerialAddress() as line:
            return lambda: connect_serial(line, host.frame_bytes_max, say_trouble)
        case TlsAddress(host=name, port=port):
            return _over_tls(route, name, port)
        case HttpAddress() as address:
            return _over_http(host, route, address)
        case _:
            assert_never(route.address)


def _source(route: Route) -> Source | None:
    return None if route.bind is None else Source(route.bind.interface or "", route.bind.address or "")


def _over_tls(route: Route, name: str, port: int) -> Connect:
    from posd.transport.tls import client_context, connect_tls  # who does not use it does not pay for it

    tls, limit_s = route.tls, route.connect_timeout_s
    context = client_context(
        tls.ca_file, tls.certificate_file, tls.key_file, minimum=tls.minimum_version, verified=tls.verified
    )
    return lambda: connect_tls(name, port, limit_s, context, tls.server_name or name, _source(route), tls.pin)


def _over_http(host: HostSettings, route: Route, address: HttpAddress) -> Connect:
    from posd.transport.https import HttpChannel, Post

    post = Post(address.authority, address.path, host.http.user_agent, host.http.content_type)
    if address.encrypted:
        connect = _over_tls(route, address.host, address.port)
    else:
        log.warning("line_not_encrypted", because="the host's address is http; good for tests on this machine only")
        connect = connect_of(host, replace(route, address=Address(address.host, address.port)))

    async def made() -> ConfirmingChannel:
        return HttpChannel(await connect(), post, host.frame_bytes_max)

    return made


def _shown(route: Route) -> str:
    by = "" if route.bind is None else route.bind.interface or route.bind.address
    return f"{route.address} by {by}" if by else str(route.address)
