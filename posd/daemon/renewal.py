"""What runs, made anew from settings that changed while it runs: all of it, or nothing.

`prepare` makes everything that can fail and changes nothing; what it returns changes all and cannot fail. Connections
that are up stay as they are: new certificates are for the next one.
"""

import ssl
from collections.abc import Callable
from typing import Protocol

from posd.addresses import TlsAddress
from posd.daemon.control.access import Access, alert_unknown, rights_of
from posd.daemon.doors.all_doors import Doors
from posd.daemon.links.linking import way_of
from posd.daemon.links.routes import Routes
from posd.daemon.log import set_level
from posd.daemon.router import Lanes
from posd.daemon.rules import rules_of
from posd.profiles.contract import Profile
from posd.security.token import Token, load_tokens
from posd.settings import DoorTlsSettings, Settings
from posd.values import Now, Tid


class Clock(Protocol):
    def now(self) -> Now: ...


class Till(Protocol):
    """The doors for tills (daemon/till/service.py)."""

    def renew(self, tokens: tuple[Token, ...]) -> None: ...


class Owner(Protocol):
    """The daemon: it has the settings, and perhaps tills."""

    @property
    def clock(self) -> Clock: ...
    @property
    def till(self) -> Till | None: ...
    def take(self, settings: Settings) -> None: ...


class Renewal:
    """Of one daemon."""

    def __init__(
        self, profile: Profile, table: Lanes, link: Routes, doors: Doors, access: Access, owner: Owner
    ) -> None:
        self._profile, self._table, self._link, self._doors, self._owner = profile, table, link, doors, owner
        self._access = access

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Everything that these settings need. Raises ConfigError for a file that cannot be used."""
        rules = {Tid(one.tid): rules_of(settings, one, self._profile) for one in settings.terminals}
        ways = [way_of(settings.host, route, self._owner.clock.now) for route in settings.host.every_route()]
        spoken = any(isinstance(address, TlsAddress) for address in settings.door.listen)
        context = door_context(settings.door.tls) if spoken else None
        tokens = load_tokens(settings.till.every_token)
        rights = rights_of(settings.access)

        def apply() -> None:
            set_level(settings.log.level)
            for tid, runner in self._table.lanes.items():
                runner.lane.engine.rules = rules[tid]
            self._link.renew(ways)
            if context is not None:
                self._doors.encrypt(context, self._owner.clock.now)
            if self._owner.till is not None:
                self._owner.till.renew(tokens)
            self._access.renew(rights)
            alert_unknown(settings)
            self._owner.take(settings)

        return apply


def door_context(tls: DoorTlsSettings) -> ssl.SSLContext:
    """What the doors with TLS show and demand. Raises ConfigError for files that cannot be used."""
    from posd.transport.tls import server_context  # who does not use it does not pay for it

    assert tls.certificate_file is not None, "config demands it"
    assert tls.key_file is not None, "config demands it"
    return server_context(tls.certificate_file, tls.key_file, tls.client_ca_file, minimum=tls.minimum_version)
