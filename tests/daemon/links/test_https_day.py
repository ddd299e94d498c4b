"""A whole posd whose host answers HTTPS, with certificates both ways: the money agrees, whatever HTTP says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.host.web import Web, server_context
from tests.daemon.stage import Stage, play
from tests.transport.pki import Pki

MakeStage = Callable[..., Stage]


def over_https(staged: MakeStage, pki: Pki, host: dict[str, Any] | None = None, **how: Any) -> Stage:
    """The host asks for a certificate; posd shows its own."""
    tls = {name: str(pki.file(file)) for name, file in FILES.items()}
    limits = {"connect_timeout_s": 1.5, "reply_timeout_s": 2}  # a handshake takes its time on a busy machine
    settings = {"mode": "one_shot", "tls": tls, **limits, **(host or {})}
    web = Web(server_context(pki.file("host.pem"), pki.file("host.key"), pki.ca))
    return staged(web=web, change={"host": settings}, **how)


FILES = {"ca_file": "ca.pem", "certificate_file": "client.pem", "key_file": "client.key"}


async def start(stage: Stage, signed_in: bool = True) -> None:
    stage.settings["host"]["address"] = f"https://localhost:{stage.host_port}/mjc/webtrans/VPB_lb"
    await stage.start(signed_in)


def test_a_day_over_https(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        for amount in ("1.00", "2.00"):
            assert (await stage.sale(amount))["outcome"] == "approved"
        assert (await stage.sale("4.13"))["outcome"] != "approved"
        await stage.until(lambda: not stage.state().unended_reversals())
        assert len(stage.received("0400")) == 1
        await stage.terminal().do({"do": "settle"})
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.until(lambda: stage.state().session.signed_in)
        assert (await stage.sale("3.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "4.13", "do": "lose_answer"},)
    play(over_https(staged, Pki.shared(), faults=faults), story)


NO_ANSWER = {
    "status 500": ({"do": "http_status"}, "HTTP status 500"),
    "status 302": ({"do": "http_status", "status": 302}, "HTTP status 302"),
    "status 503, not booked": ({"do": "http_status", "status": 503, "when": "before"}, "HTTP status 503"),
    "another type": ({"do": "http_type"}, "another content type"),
    "cut body": ({"do": "http_cut"}, "no whole HTTP answer"),
    "half a frame": ({"do": "partial"}, "not one frame"),
    "chunks": ({"do": "http_chunked"}, "sent in chunks"),
    "drip": ({"do": "http_drip", "ms": 60}, "did not answer in time"),
    "closed": ({"do": "close"}, "no whole HTTP answer"),
}


@pytest.mark.parametrize(("fault", "why"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_d9_what_is_no_answer_is_one_reversal(staged: MakeStage, fault: dict[str, Any], why: str) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        assert (await stage.sale("5.00"))["outcome"] != "approved"
        await stage.until(lambda: stage.received("0400"))
        await stage.until(lambda: not stage.state().unended_reversals())
        (row,) = stage.rig.records("outcome_unknown")
        assert why in str(row.payload)
        assert (await stage.sale("6.00"))["outcome"] == "approved"
        await stage.end()
        assert stage.differences() == []

    faults = ({"mti": "0200", "amount": "5.00", **fault},)
    play(over_https(staged, Pki.shared(), faults=faults), story)


def test_a_day_on_one_connection_behind_tls(staged: MakeStage) -> None:
    """tls://: the same frames as on TCP, and the same truths when the line is cut."""
    pki = Pki.shared()

    async def story(stage: Stage) -> None:
        stage.settings["host"]["address"] = f"tls://localhost:{stage.host_port}"
        await stage.start()
        assert (await stage.sale("1.00"))["outcome"] == "approved"
        assert (await stage.sale("5.00"))["outcome"] != "approved"
        await stage.until(lambda: len(stage.received("0400")) == 1)
        await stage.until(lambda: not stage.state().unended_reversals())
        assert (await stage.sale("4.13"))["outcome"] != "approved"
        await stage.until(lambda: not stage.state().unended_reversals())
        await stage.terminal().do({"do": "settle"})
        await stage.until(lambda: stage.state().batch.identity == 2)
        assert sum(said["event"] == "connected" for said in stage.said) == 2
        await stage.end()
        assert stage.differences() == []

    faults = (
        {"mti": "0200", "amount": "5.00", "do": "close"},
        {"mti": "0200", "amount": "4.13", "do": "lose_answer"},
    )
    tls = {name: str(pki.file(file)) for name, file in FILES.items()}
    change = {"host": {"tls": tls, "connect_timeout_s": 1.5, "reply_timeout_s": 2}}
    web = Web(server_context(pki.file("host.pem"), pki.file("host.key"), pki.ca), frames=True)
    play(staged(web=web, change=change, faults=faults), story)


def test_a_host_with_another_certificate_hears_nothing(staged: MakeStage, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "other").make()

    async def story(stage: Stage) -> None:
        stage.settings["host"]["tls"]["ca_file"] = str(Pki.shared().ca)
        await start(stage, signed_in=False)
        await stage.until(lambda: "no authority that is trusted here" in stage.daemon.link_why)
        assert (await stage.sale("5.00"))["outcome"] != "approved"
        assert stage.received("0200") == stage.received("0800") == []
        await stage.end()

    play(over_https(staged, pki), story)
