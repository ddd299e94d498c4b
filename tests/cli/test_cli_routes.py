"""`posd routes` on a real control socket, and without a daemon: what it says, and with which status it ends."""

import json
from collections.abc import Callable
from typing import Any

from posd.daemon.links.route_choice import Health
from posd.daemon.links.route_facts import RouteFacts, RouteShown
from posd.daemon.shown.certificate_view import Role, WatchedCertificate, standing
from posd.security.certificates import Certificate
from posd.values import Now

Posd = Callable[..., Any]


def two(place: Any, first: Health = Health.FAILED) -> None:
    now: Now = place.shop.clock.now()
    wired, mobile = RouteFacts(now.wall_ms), RouteFacts(now.wall_ms)
    if first is Health.FAILED:
        wired.was_refused("cannot connect to 10.0.0.1:5000: connection refused", now)
    mobile.connected(0.0345, now)
    mobile.answered(0.25)
    place.shop.routes = [
        RouteShown(
            "wired", "10.0.0.1:5000", first, first is Health.UP, 1, 42.0 if first is Health.PROVING else None, wired
        ),
        RouteShown("mobile", "10.9.0.1:5000 by wwan0", Health.UP, first is not Health.UP, 0, None, mobile),
    ]


def test_a_dead_route_is_a_finding_and_the_other_is_marked(posd: Posd, place: Any, served: Any) -> None:
    two(place)
    ran = posd("routes")
    assert ran.status == 1
    head, wired, mobile, error = ran.out.splitlines()
    assert head.split() == ["ROUTE", "ADDRESS", "STATE", "SINCE", "LAST", "GOOD", "CONNECT", "ANSWER", "SENT"]
    assert wired.startswith("  wired   10.0.0.1:5000")
    assert "DOWN" in wired
    assert mobile.startswith("* mobile  10.9.0.1:5000 by wwan0  up")
    assert mobile.split()[-5:] == ["34", "ms", "250", "ms", "0"]
    assert "wired: last error 2026-03-02 10:00:00: cannot connect to 10.0.0.1:5000: connection refused; ref" in error


def test_two_good_routes_are_good(posd: Posd, place: Any, served: Any) -> None:
    two(place, Health.UP)
    assert posd("routes").status == 0
    said = json.loads(posd("routes", "--json").out)
    assert (said["good"], said["active"], [route["state"] for route in said["routes"]]) == (True, "wired", ["up", "up"])


def test_a_route_that_proves_itself_says_how_long(posd: Posd, place: Any, served: Any) -> None:
    two(place, Health.PROVING)
    assert "wired: used again if it stays good for 0 min 42 s more" in posd("routes").out
    assert "wired：若再保持正常 0 分 42 秒，将恢复使用" in posd("routes", "--lang", "zh").out


def test_status_names_the_route_and_what_is_wrong(posd: Posd, place: Any, served: Any) -> None:
    two(place)
    ran = posd("status")
    assert ran.status == 0
    assert "line to the host: up, by route mobile" in ran.out
    assert "route wired is down: cannot connect" in ran.out
    chinese = posd("status", "--lang", "zh").out
    assert "已连接，线路 mobile" in chinese
    assert "线路 wired 中断：" in chinese


def test_without_a_daemon_the_configured_ones_are_named(posd: Posd, place: Any) -> None:
    ran = posd("routes")
    assert ran.status == 1
    assert "127.0.0.1:5000" in ran.out
    assert "unknown" in ran.out
    assert "未知" in posd("routes", "--lang", "zh").out
    assert json.loads(posd("routes", "--json").out)["running"] is False


DAY_MS = 86_400_000


def test_the_hosts_certificate_and_a_host_that_is_not_verified_are_shown(posd: Posd, place: Any, served: Any) -> None:
    now: Now = place.shop.clock.now()
    shown = Certificate("host.example", now.wall_ms - DAY_MS, now.wall_ms + 10 * DAY_MS, frozenset(), b"\xab" * 32)
    facts = RouteFacts(now.wall_ms, certificates=(shown,))
    place.shop.routes = [RouteShown("", "tls://10.0.0.1:5000", Health.UP, True, 0, None, facts, verified=False)]
    place.shop.certificates = [WatchedCertificate(Role.HOST, "", shown, standing(shown, now.wall_ms, 30))]
    ran = posd("routes")
    assert ran.status == 1, "up, and not for long"
    said = ran.out
    assert "! the host's certificate (host.example) ends at 2026-03-12T10:00:00+08:00, in 10 day(s)" in said
    assert "(the only one): the host's certificate is host.example, good until 2026-03-12 10:00; pin abab" in said
    ran = posd("status")
    assert ran.status == 1
    assert "the host at tls://10.0.0.1:5000 is not verified: anyone may pretend to be it" in ran.out
    assert "the host's certificate (host.example) ends at 2026-03-12T10:00:00+08:00, in 10 day(s)" in ran.out
    chinese = posd("status", "--lang", "zh").out
    assert "未验证 tls://10.0.0.1:5000 的主机证书" in chinese
    assert "主机证书（host.example）将于 2026-03-12T10:00:00+08:00 到期，还有 10 天" in chinese
