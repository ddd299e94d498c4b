"""Certificates are watched: those of files, those that hosts show; and one that ends while posd runs."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from posd.daemon.certificates import CertificateWatch, in_files
from posd.daemon.links.route_choice import Health
from posd.daemon.links.route_facts import RouteFacts, RouteShown
from posd.daemon.log import set_up
from posd.daemon.shown.certificate_view import Role, Standing, certificate_findings, certificates_view, standing
from posd.security.certificates import Certificate, certificates_in
from posd.settings import Settings
from posd.values import Now
from simulators.host.web import Web, server_context
from tests.daemon.stage import Stage, play
from tests.transport.pki import DAY, GOOD, OLD, SELF, Pki

MakeStage = Callable[..., Stage]
DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


def one(name: str, begins_days: int, ends_days: int) -> Certificate:
    return Certificate(
        name, NOW_MS + begins_days * DAY_MS, NOW_MS + ends_days * DAY_MS, frozenset({name}), name.encode()
    )


@pytest.mark.parametrize(
    ("begins", "ends", "expected"),
    [
        (-10, 31, Standing.GOOD),
        (-10, 30, Standing.GOOD),
        (-10, 29, Standing.SOON),
        (-10, 0, Standing.EXPIRED),
        (-10, -1, Standing.EXPIRED),
        (1, 90, Standing.EARLY),
    ],
)
def test_how_a_certificate_stands(begins: int, ends: int, expected: Standing) -> None:
    assert standing(one("x", begins, ends), NOW_MS, 30) is expected


def a_settings(host: dict[str, Any], door: dict[str, Any] | None = None) -> Settings:
    return Settings.model_validate(
        {
            "version": 1,
            "host": {"address": "tls://localhost:5000", "tls": host},
            "door": {"listen": ["tls://127.0.0.1:7443" if door else "127.0.0.1:7000"], "tls": door or {}},
            "terminals": [{"tid": "10000001", "mid": "898100012345678"}],
        }
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_the_files_that_are_watched(tmp_path: Path) -> None:
    """Of a chain the first that ends; of authorities the first of those that have not ended."""
    pki = Pki(tmp_path).make()
    pki.issue("near", "near its end", (-DAY, 5 * DAY))
    pki.issue("gone", "an old authority", OLD, (), SELF, True)
    pki.issue("next", "the next authority", (-DAY, 20 * DAY), (), SELF, True)
    chain, authorities = tmp_path / "chain.pem", tmp_path / "authorities.pem"
    chain.write_bytes(pki.file("host.pem").read_bytes() + pki.file("near.pem").read_bytes())
    authorities.write_bytes(b"".join(pki.file(f"{name}.pem").read_bytes() for name in ("gone", "ca", "next")))
    ours = {"ca_file": str(authorities), "certificate_file": str(pki.file("client.pem")), "key_file": "x"}
    door = {"certificate_file": str(chain), "key_file": "x", "client_ca_file": str(pki.file("gone.pem"))}
    found = {(role, certificate.name) for role, _, certificate in in_files(a_settings(ours, door), now_ms())}
    assert found == {
        (Role.OURS, "client"),
        (Role.AUTHORITY, "the next authority"),
        (Role.DOOR, "near its end"),
        (Role.TERMINALS, "an old authority"),
    }


def test_a_file_that_cannot_be_read_is_not_watched(tmp_path: Path) -> None:
    assert in_files(a_settings({"ca_file": str(tmp_path / "none.pem")}), now_ms()) == []


def test_what_ends_is_alerted_once_a_day_and_again_when_it_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up()
    watch = CertificateWatch(a_settings({}))
    facts = RouteFacts(NOW_MS, certificates=(one("host", -10, 90), one("its authority", -10, 10)))
    routes = [RouteShown("wired", "tls://h:1", Health.UP, True, 0, None, facts)]
    for hours in range(0, 24 * 13, 6):
        watch.look(routes, Now(NOW_MS + hours * 3_600_000, hours * 3600.0), "UTC")
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in said] == ["certificate_soon"] * 10 + ["certificate_expired"] * 3
    assert said[0]["alert"] is True
    assert (said[0]["where"], said[0]["name"], said[0]["days"]) == ("wired", "its authority", 10)


def test_a_finding_says_whose_when_and_what_then() -> None:
    watch = CertificateWatch(a_settings({}))
    facts = RouteFacts(NOW_MS, certificates=(one("host.example", -10, 3),))
    seen = watch.seen([RouteShown("", "tls://h:1", Health.UP, True, 0, None, facts)], Now(NOW_MS, 0.0))
    (found,) = certificate_findings(certificates_view(seen, NOW_MS, "Asia/Shanghai"))
    assert (found["code"], found["level"]) == ("certificate_soon", "alert")
    assert (
        "the host's certificate (host.example, tls://h:1) ends at 2027-01-18T16:00:00+08:00, in 3 day(s)"
        in found["text"]
    )


def test_what_cannot_be_read_as_a_certificate_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(Exception, match=r"bad\.pem: holds no certificates that posd can read") as caught:
        certificates_in(bad)
    assert "\n" not in str(caught.value)


def test_an_expired_certificate_at_midnight(staged: MakeStage, tmp_path: Path) -> None:
    """The line that is up stays; the next handshake is refused, and says why; nothing is lost."""
    pki = Pki(tmp_path / "pki").make()
    pki.issue("short", "localhost", (GOOD[0], timedelta(seconds=4)))
    ends_ms = certificates_in(pki.file("short.pem"))[0].ends_ms
    web = Web(server_context(pki.file("short.pem"), pki.file("short.key"), None), frames=True)

    async def story(stage: Stage) -> None:
        stage.settings["host"]["address"] = f"tls://localhost:{stage.host_port}"
        await stage.start()
        (seen,) = [each for each in stage.daemon.certificates if each.role is Role.HOST]
        assert seen.standing is Standing.SOON
        await stage.until(lambda: now_ms() > ends_ms)
        assert (await stage.sale("1.00"))["outcome"] == "approved", "the line is up and stays"
        assert {each.standing for each in stage.daemon.certificates if each.role is Role.HOST} == {Standing.EXPIRED}
        stage.cut()
        await stage.until(lambda: "its certificate has expired" in stage.daemon.link_why)
        (route,) = stage.daemon.routes
        assert route.facts.last_error == f"no TLS with 127.0.0.1:{stage.host_port}: its certificate has expired"
        assert (await stage.sale("2.00"))["code"] == "91"
        assert len(stage.received("0200")) == 1
        await stage.end()
        assert stage.differences() == []

    play(staged(web=web, change={"host": {"tls": {"ca_file": str(pki.ca)}}}), story)


def test_a_host_that_is_not_verified_is_alerted_at_every_start(staged: MakeStage) -> None:
    other = Pki.other()
    web = Web(server_context(other.file("host.pem"), other.file("host.key"), None), frames=True)

    async def story(stage: Stage) -> None:
        stage.settings["host"]["address"] = f"tls://127.0.0.1:{stage.host_port}"
        for starts in (1, 2):
            await stage.start()
            assert len(stage.alerts("host_not_verified")) == starts
            assert [route.verified for route in stage.daemon.routes] == [False]
            await stage.end()

    change = {"host": {"tls": {"verify": "no_anyone_may_pretend_to_be_the_host"}}}
    play(staged(web=web, change=change), story)
