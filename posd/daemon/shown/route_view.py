"""What `posd routes` says of the routes to the acquirer, and what of it a person must know. Pure, like views.py."""

from collections.abc import Iterator, Sequence

from posd.core.schedule import local
from posd.daemon.links.route_choice import Health
from posd.daemon.links.route_facts import RouteShown
from posd.daemon.shown import words
from posd.daemon.shown.findings import ALERT, NOTE, finding_of
from posd.daemon.shown.views import View
from posd.security.certificates import Certificate
from posd.settings import HostSettings

UNKNOWN = "unknown"
"""The state of a route while no daemon runs."""


def routes_view(routes: Sequence[RouteShown], zone: str) -> list[View]:
    """Every route, the best first. Times are local ISO 8601 in `zone`, latencies in milliseconds; None: not yet."""
    return [_route_view(route, zone) for route in routes]


def _route_view(route: RouteShown, zone: str) -> View:
    facts = route.facts

    def when(wall_ms: int | None) -> str | None:
        return None if wall_ms is None else local(wall_ms, zone).isoformat(timespec="seconds")

    return {
        "name": route.name,
        "address": route.peer,
        "state": route.health.value,
        "text": words.ROUTE[route.health],
        "active": route.active,
        "since": when(facts.since_ms),
        "last_good": when(facts.last_good_ms),
        "last_heard": when(facts.last_heard_ms),
        "last_error": facts.last_error,
        "last_error_at": when(facts.last_error_ms),
        "connect_ms": _rounded(facts.connect_ms),
        "answer_ms": _rounded(facts.answer_ms),
        "verified": route.verified,
        "certificate": _certificate(facts.certificates, zone),
        "trusted_in_s": None if route.trusted_in_s is None else round(route.trusted_in_s),
        "failed_again": max(0, route.strikes - 1),
        "counts": {
            "connects": facts.connects,
            "refused": facts.refused,
            "ended": facts.ended,
            "silences": facts.silences,
            "sent": facts.sent,
            "frames": facts.frames,
        },
    }


def _certificate(shown: Sequence[Certificate], zone: str) -> View | None:
    """The host's own, and when the first of its chain ends; None: it has shown none."""
    if not shown:
        return None
    ends_ms = min(one.ends_ms for one in shown)
    ends = local(ends_ms, zone).isoformat(timespec="seconds")
    return {"name": shown[0].name, "ends": ends, "pin": shown[0].pin.hex()}


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


def configured_routes(host: HostSettings) -> list[View]:
    """The routes of the configuration, while no daemon runs that could tell more."""
    unknown = {"state": UNKNOWN, "text": words.ROUTE_UNKNOWN, "active": False}
    return [
        {"name": route.name, "address": str(route.address), "verified": route.verified, **unknown}
        for route in host.every_route()
    ]


def active_route(routes: Sequence[View]) -> str | None:
    """The name of the route in use ("" for the only, unnamed one); None: none."""
    return next((str(route["name"]) for route in routes if route["active"]), None)


def unverified_findings(routes: Sequence[View]) -> Iterator[View]:
    """Routes on which nobody knows who the host is."""
    for route in routes:
        if not route["verified"]:
            where = f"{route['name']} {route['address']}".strip()
            text = f"the host at {where} is not verified: anyone may pretend to be it, and approve what they like"
            to_do = 'write host.tls.verify: "yes", with the ca_file of the acquirer; then: systemctl restart posd'
            yield {"tid": None, **finding_of("host_not_verified", ALERT, text, to_do, where=where)}


def route_findings(routes: Sequence[View]) -> list[View]:
    """Routes that have failed, where there are several: the spare one is needed when nobody looks."""
    found = list(unverified_findings(routes))
    for route in routes if len(routes) > 1 else ():
        if route["state"] != Health.FAILED:
            continue
        name, why, by = route["name"], route["last_error"], active_route(routes)
        text = f"route {name} is down: {why}; " + (f"messages go by {by}" if by else "no other route works either")
        to_do = f"look at the line {name}; posd returns to it by itself"
        found.append({"tid": None, **finding_of("route_down", NOTE, text, to_do, name=name, why=why, by=by or "-")})
    return found
