"""From the settings of a host to the link that serves it: which connection, kept or made for each message."""

import random
from collections.abc import Awaitable, Callable

from posd.addresses import SerialAddress
from posd.daemon.backoff import Backoff
from posd.daemon.host_link import HostLink, Link, LinkListener
from posd.daemon.one_shot import OneShotLink
from posd.daemon.serial_door import say_trouble
from posd.settings import HostSettings
from posd.transport.contract import ConfirmingChannel
from posd.transport.serial_line import connect_serial
from posd.transport.tcp import connect_tcp

Connect = Callable[[], Awaitable[ConfirmingChannel]]
"""Makes one connection within a limit of its own, or raises OSError."""


def link_of(host: HostSettings, listener: LinkListener, clock_monotonic: Callable[[], float]) -> Link:
    """The link of `host.mode`, not yet started."""
    connect = connect_of(host)
    backoff = Backoff(host.reconnect.first_s, host.reconnect.max_s, random.Random())
    if host.mode == "one_shot":
        size = host.frame_bytes_max
        return OneShotLink(connect, listener, size, backoff, clock_monotonic, host.connections_max)
    return HostLink(connect, listener, host.frame_bytes_max, backoff, clock_monotonic)


def connect_of(host: HostSettings) -> Connect:
    """How a connection to `host.address` is made."""
    address = host.address
    if isinstance(address, SerialAddress):
        return lambda: connect_serial(address, host.frame_bytes_max, say_trouble)
    return lambda: connect_tcp(address.host, address.port, host.connect_timeout_s)
