"""A whole posd with a door that speaks TLS: simulated terminals sell through it, each for itself alone."""

import ssl
from collections.abc import Callable
from typing import Any

from posd.daemon.router import IMPOSTORS_PER_MINUTE_MAX
from simulators.terminal.client import TerminalClient
from tests.daemon.stage import SECOND, TID, Stage, play
from tests.transport.pki import Pki

MakeStage = Callable[..., Stage]


def by_tls(staged: MakeStage, client_name: str = "tid", **how: Any) -> Stage:
    """Doors that are known to the tests by their certificates: one TID each."""
    pki = Pki.shared()
    files = {"certificate_file": "host.pem", "key_file": "host.key", "client_ca_file": "ca.pem"}
    tls = {name: str(pki.file(file)) for name, file in files.items()} | {"client_name": client_name}
    return staged(change={"door": {"tls": tls}}, **how)


async def start(stage: Stage) -> None:
    stage.settings["door"]["listen"] = f"tls://127.0.0.1:{stage.door_port}"
    await stage.start()


def with_certificate(stage: Stage, tid: str, of: str) -> TerminalClient:
    """The terminal `tid` with the certificate of terminal `of`."""
    pki = Pki.shared()
    name = pki.pair(f"t{of}", of, sans=())
    context = ssl.create_default_context(cafile=pki.ca)
    context.load_cert_chain(pki.file(f"{name}.pem"), pki.file(f"{name}.key"))
    terminal = stage.terminal(tid, name=of)
    terminal.tls, terminal.server_name = context, "localhost"
    return terminal


SALE = {"do": "sale", "amount": "1.00", "card": "6225880123456789", "expiry": "3012"}


def test_d28_a_day_through_tls_and_no_terminal_speaks_as_another(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        first = with_certificate(stage, TID, TID)
        assert (await first.do(SALE))["outcome"] == "approved"
        impostor = with_certificate(stage, TID, SECOND)
        said = await impostor.do({**SALE, "amount": "2.00"})
        assert said["code"] == "97"
        assert len(stage.received("0200")) == 1
        assert stage.events() >= {"terminal_of_another_certificate"}
        second = with_certificate(stage, SECOND, SECOND)
        assert (await second.do({**SALE, "amount": "3.00"}))["outcome"] == "approved"
        await first.do({"do": "settle"})
        await stage.until(lambda: stage.state().batch.identity == 2)
        await stage.end()
        assert stage.differences() == []

    play(by_tls(staged, tids=(TID, SECOND)), story)


def test_d32_a_terminal_that_comes_again_and_again_as_another_fills_no_log(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        impostor = with_certificate(stage, TID, SECOND)
        for _ in range(IMPOSTORS_PER_MINUTE_MAX + 5):
            assert (await impostor.do(SALE))["code"] == "97"
            await impostor.close()
        assert len(stage.alerts("terminal_of_another_certificate")) == IMPOSTORS_PER_MINUTE_MAX
        assert stage.received("0200") == []

    play(by_tls(staged, tids=(TID, SECOND)), story)


def test_with_client_name_any_one_certificate_is_enough(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        concentrator = with_certificate(stage, SECOND, TID)
        assert (await concentrator.do(SALE))["outcome"] == "approved"
        assert stage.daemon.doors[0].where == f"tls://127.0.0.1:{stage.door_port}"
        await stage.end()
        assert stage.differences() == []

    play(by_tls(staged, "any", tids=(TID, SECOND)), story)


def test_a_terminal_without_a_certificate_has_no_line_and_posd_says_why(staged: MakeStage) -> None:
    async def story(stage: Stage) -> None:
        await start(stage)
        assert (await stage.sale("1.00"))["outcome"] in ("no_line", "line_cut")
        await stage.until(lambda: stage.daemon.doors[0].unproven)
        assert "what came is not TLS" in stage.daemon.doors[0].unproven_why
        assert "door_handshake_refused" in stage.events()
        assert stage.received("0200") == []
        await stage.end()

    play(by_tls(staged), story)
