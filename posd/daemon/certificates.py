"""Watches the certificates that posd lives by: those in files, read again now and then, and those that hosts showed.

It only looks and alerts. What has ended is refused by TLS itself, at the next handshake; a line that is up stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from posd.addresses import TlsAddress
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.log import alert
from posd.daemon.shown.certificate_view import OF, Role, Standing, WatchedCertificate, certificates_view, standing
from posd.errors import ConfigError
from posd.security.certificates import Certificate, certificates_in, first_to_end
from posd.settings import Settings
from posd.values import Now

FILES_AGAIN_S = 3_600.0
"""How often files are read again: somebody may renew them in place."""

SAID_AGAIN_MS = 86_400_000
"""What ends soon, or has ended, is alerted once a day."""


def files_of(settings: Settings) -> list[tuple[Role, Path]]:
    """Every file with certificates that these settings use."""
    found: list[tuple[Role, Path | None]] = []
    for route in settings.host.every_route():
        if route.encrypted:
            found += [(Role.OURS, route.tls.certificate_file), (Role.AUTHORITY, route.tls.ca_file)]
    if any(isinstance(address, TlsAddress) for address in settings.door.listen):
        found += [(Role.DOOR, settings.door.tls.certificate_file), (Role.TERMINALS, settings.door.tls.client_ca_file)]
    return [(role, path) for role, path in dict.fromkeys(found) if path is not None]


def in_files(settings: Settings, now_ms: int) -> list[tuple[Role, str, Certificate]]:
    """The certificate of each of these files that counts. One that cannot be read is the start's trouble, not this."""
    found = []
    for role, path in files_of(settings):
        try:
            counts = _that_counts(role, certificates_in(path), now_ms)
        except ConfigError:
            continue
        if counts is not None:
            found.append((role, str(path), counts))
    return found


def _that_counts(role: Role, certificates: Sequence[Certificate], now_ms: int) -> Certificate | None:
    """Of a chain the one that ends first. Of several authorities too, but for those that have ended: others do."""
    if role in (Role.OURS, Role.DOOR):
        return first_to_end(certificates)
    alive = [one for one in certificates if one.ends_ms > now_ms]
    return first_to_end(alive) or max(certificates, key=lambda one: one.ends_ms, default=None)


def as_they_stand(
    certificates: Iterable[tuple[Role, str, Certificate]], now_ms: int, alert_days: int
) -> list[WatchedCertificate]:
    """The same with how each stands now."""
    return [WatchedCertificate(*one, standing(one[2], now_ms, alert_days)) for one in certificates]


class CertificateWatch:
    """Of one daemon. `settings` may be replaced; `forget` makes it read the files again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._files: list[tuple[Role, str, Certificate]] = []
        self._read_at_s: float | None = None
        self._told: dict[tuple[Role, str, bytes, Standing], int] = {}

    def forget(self) -> None:
        """The files may be others now."""
        self._read_at_s = None

    def seen(self, routes: Iterable[RouteShown], now: Now) -> list[WatchedCertificate]:
        """Every certificate as it stands now."""
        if self._read_at_s is None or now.monotonic_s - self._read_at_s >= FILES_AGAIN_S:
            self._files, self._read_at_s = in_files(self.settings, now.wall_ms), now.monotonic_s
        every = [*self._files, *_of_hosts(routes)]
        return as_they_stand(every, now.wall_ms, self.settings.certificates.alert_days)

    def look(self, routes: Iterable[RouteShown], now: Now, zone: str) -> None:
        """Alert what a person must know, once a day."""
        for one in self.seen(routes, now):
            key = (one.role, one.where, one.certificate.pin, one.standing)
            told_ms = self._told.get(key)
            if one.standing is Standing.GOOD or (told_ms is not None and now.wall_ms - told_ms < SAID_AGAIN_MS):
                continue
            self._told[key] = now.wall_ms
            (view,) = certificates_view([one], now.wall_ms, zone)
            facts = {name: view[name] for name in ("where", "name", "begins", "ends", "days")}
            alert(f"certificate_{one.standing}", what=OF[one.role], **facts)


def _of_hosts(routes: Iterable[RouteShown]) -> Iterator[tuple[Role, str, Certificate]]:
    for route in routes:
        counts = first_to_end(route.facts.certificates)
        if counts is not None:
            yield Role.HOST, route.name or route.peer, counts


def alert_unverified(routes: Iterable[RouteShown]) -> None:
    """At every start: what the settings leave to anyone."""
    for route in routes:
        if not route.verified:
            alert("host_not_verified", route=route.name, peer=route.peer, to_do='write host.tls.verify: "yes"')
