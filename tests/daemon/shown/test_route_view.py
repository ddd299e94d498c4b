"""What is said of the routes: the view of real ones, of configured ones, and the findings."""

import pytest

from posd.daemon.control.peer import Peer
from posd.daemon.control.server import Request
from posd.daemon.control.verbs import Control
from posd.daemon.links.route_choice import Health
from posd.daemon.links.route_facts import SMOOTHING, RouteFacts, RouteShown
from posd.daemon.shown import words
from posd.daemon.shown.route_view import active_route, route_findings, routes_view
from posd.values import Now
from tests.daemon.shop import EVERYTHING, ZONE, Shop, a_shop, wall_ms

AT = Now(wall_ms("2026-03-02 10:00:00"), 1000.0)


def shown(name: str, health: Health, active: bool = False, **more: object) -> RouteShown:
    facts = RouteFacts(AT.wall_ms)
    if health is Health.FAILED:
        facts.was_refused("connection refused", AT)
    return RouteShown(name, "10.0.0.1:5000", health, active, 0, None, facts)


def test_the_words_cover_every_health() -> None:
    assert set(words.ROUTE) == set(Health)


def test_a_view_is_local_time_and_milliseconds() -> None:
    facts = RouteFacts(AT.wall_ms)
    facts.connected(0.0123, AT)
    facts.answered(0.1)
    facts.answered(0.2)
    facts.heard(AT)
    facts.has_ended("reset", AT)
    (view,) = routes_view([RouteShown("wired", "10.0.0.1:5000", Health.PROVING, True, 3, 59.6, facts)], ZONE)
    assert view["since"] == view["last_good"] == view["last_error_at"] == "2026-03-02T10:00:00+08:00"
    assert (view["connect_ms"], view["answer_ms"]) == (12.3, 100 + 100 / SMOOTHING)
    assert (view["state"], view["active"], view["trusted_in_s"], view["failed_again"]) == ("proving", True, 60, 2)
    assert view["last_error"] == "reset"
    assert view["counts"] == {"connects": 1, "refused": 0, "ended": 1, "silences": 0, "sent": 0, "frames": 1}


@pytest.mark.parametrize(
    ("states", "texts"),
    [
        ([Health.UP, Health.UP], []),
        ([Health.FAILED, Health.UP], ["route r0 is down: connection refused; messages go by r1"]),
        ([Health.UP, Health.FAILED], ["route r1 is down: connection refused; messages go by r0"]),
        ([Health.PROVING, Health.CONNECTING], []),
        ([Health.FAILED], []),
    ],
)
def test_a_failed_route_is_a_finding_where_there_are_several(states: list[Health], texts: list[str]) -> None:
    first_up = next((n for n, one in enumerate(states) if one is Health.UP), None)
    routes = routes_view([shown(f"r{n}", one, n == first_up) for n, one in enumerate(states)], ZONE)
    assert [found["text"] for found in route_findings(routes)] == texts


def test_both_down_says_so() -> None:
    routes = routes_view([shown("r0", Health.FAILED), shown("r1", Health.FAILED)], ZONE)
    assert active_route(routes) is None
    assert all("no other route works either" in found["text"] for found in route_findings(routes))


async def asked(shop: Shop, verb: str) -> dict[str, object]:
    replies = [reply async for reply in Control(shop, EVERYTHING).handle(Request("1", verb, {}, Peer(0)))]
    return dict(replies[-1].data)


def test_the_verb_and_the_status_name_the_route_in_use() -> None:
    import asyncio

    shop = a_shop()
    shop.routes = [shown("wired", Health.FAILED), shown("mobile", Health.UP, active=True)]
    said = asyncio.run(asked(shop, "routes"))
    assert (said["good"], said["running"], said["active"]) == (False, True, "mobile")
    status = asyncio.run(asked(shop, "status"))
    assert isinstance(status["posd"], dict)
    assert status["posd"]["route"] == "mobile"
    assert "routes" not in status["posd"]
    assert status["good"] is True, "a note, not an alert: sales go on"
