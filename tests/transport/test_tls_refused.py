"""Every way in which a host can fail to prove itself, or refuse us, with openssl as the host: one clear line, and no
byte of a message leaves."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from posd.transport.tls import client_context, connect_tls
from tests.transport.openssl import OpenSsl, host
from tests.transport.pki import EARLY, OLD, SELF, Pki

LIMIT_S = 10.0
WEAK = ("-cipher", "DEFAULT:@SECLEVEL=0")
UNTRUSTED = "its certificate is of no authority that is trusted here"
NO_VERSION = "no common version of TLS"


@dataclass(frozen=True)
class Case:
    """`shown`: what makes the host's certificate; `host`: openssl's options; `ours`: what posd shows and demands."""

    why: str
    shown: Callable[[Pki], str] = lambda pki: "host"
    host: tuple[str, ...] = ()
    name: str = "localhost"
    ours: str | None = None
    minimum: Any = "1.2"
    pins: Callable[[Pki], tuple[bytes, ...]] = lambda pki: ()


def asks(*more: str) -> tuple[str, ...]:
    return ("-Verify", "3", "-verify_return_error", "-CAfile", str(Pki.shared().ca), *more)


CASES = {
    "another authority": Case(UNTRUSTED, lambda pki: str(Pki.other().file("host"))),
    "self-signed": Case(
        "its certificate is self-signed, and not the trusted one", lambda pki: pki.pair("self", "localhost", by=SELF)
    ),
    "another name": Case(
        "its certificate does not have the name host.example among its alternative names", name="host.example"
    ),
    "another address": Case(
        "its certificate does not have the address 10.0.0.1 among its alternative names", name="10.0.0.1"
    ),
    "a name in the subject alone": Case(
        "its certificate does not have the name localhost among its alternative names",
        lambda pki: pki.pair("bare", "localhost", sans=()),
    ),
    "expired": Case("its certificate has expired", lambda pki: pki.pair("old", "localhost", OLD)),
    "not valid yet": Case(
        "its certificate is not valid yet, or this machine's clock is wrong",
        lambda pki: pki.pair("early", "localhost", EARLY),
    ),
    "TLS 1.0": Case(NO_VERSION, host=("-tls1", *WEAK)),
    "TLS 1.1": Case(NO_VERSION, host=("-tls1_1", *WEAK)),
    "TLS 1.2 where 1.3 is the least": Case(NO_VERSION, host=("-tls1_2",), minimum="1.3"),
    "another key than pinned": Case("its key is none of those that are pinned", pins=lambda pki: (b"\0" * 32,)),
    "another authority with the pinned key": Case(
        UNTRUSTED, lambda pki: str(Pki.other().file("host")), pins=lambda pki: (Pki.other().pin("host"),)
    ),
    "wants a certificate, 1.3": Case("it wants a certificate of ours", host=asks("-tls1_3")),
    "wants a certificate, 1.2": Case("it wants a certificate of ours", host=asks("-tls1_2")),
    "our certificate of another authority, 1.3": Case(
        "it does not know the authority of our certificate", host=asks("-tls1_3"), ours=str(Pki.other().file("client"))
    ),
    "our certificate of another authority, 1.2": Case(
        "it does not know the authority of our certificate", host=asks("-tls1_2"), ours=str(Pki.other().file("client"))
    ),
    "our certificate has expired, 1.3": Case(
        "it says that our certificate has expired", host=asks("-tls1_3"), ours="old"
    ),
    "our certificate has expired, 1.2": Case(
        "it says that our certificate has expired", host=asks("-tls1_2"), ours="old"
    ),
    "wants a certificate and gives no tickets": Case(
        "it wants a certificate of ours", host=asks("-tls1_3", "-num_tickets", "0")
    ),
}


def met(case: Case) -> tuple[str, OpenSsl]:
    """Why nothing was said; and the host."""
    pki = Pki.shared()
    pki.pair("old", "localhost", OLD)
    shown, ours = pki.file(case.shown(pki)), pki.file(case.ours) if case.ours else None
    with host(Path(f"{shown}.pem"), Path(f"{shown}.key"), *case.host) as running:
        own = (Path(f"{ours}.pem"), Path(f"{ours}.key")) if ours else (None, None)
        context = client_context(pki.ca, *own, minimum=case.minimum)
        return asyncio.run(speak(running.port, context, case.name, case.pins(pki))), running


async def speak(port: int, context: ssl.SSLContext, name: str, pins: tuple[bytes, ...]) -> str:
    async with asyncio.timeout(LIMIT_S):
        try:
            channel = await connect_tls("127.0.0.1", port, 5, context, name, None, pins)
        except OSError as error:
            return str(error).replace(str(port), "PORT")
        channel.send(b"a message with money in it")
        await asyncio.sleep(0.1)
        await channel.close()
        return "it was spoken to"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_host_that_is_refused_or_refuses_is_named_and_hears_nothing(case: Case) -> None:
    why, running = met(case)
    assert why.startswith("no TLS with 127.0.0.1:PORT: ")
    assert case.why in why
    assert "\n" not in why
    assert b"a message" not in running.said


GOOD_CASES = {
    "the pinned key": Case("", pins=lambda pki: (b"\0" * 32, pki.pin("host"))),
    "the pinned key of its authority": Case("", pins=lambda pki: (pki.pin("ca"),)),
    "a certificate of ours": Case("", host=asks(), ours="client"),
    "a certificate of ours, and no tickets": Case("", host=asks("-num_tickets", "0"), ours="client"),
    "TLS 1.3 where it is the least": Case("", minimum="1.3"),
}


@pytest.mark.parametrize("case", GOOD_CASES.values(), ids=GOOD_CASES)
def test_a_host_that_proves_itself_is_spoken_to(case: Case) -> None:
    why, running = met(case)
    assert why == "it was spoken to"
    running.until(b"a message with money in it")


def test_a_host_that_wants_to_negotiate_anew_is_not_followed() -> None:
    """A renegotiation could change who the host is in mid-stream."""
    pki = Pki.shared()

    async def story(running: OpenSsl) -> tuple[bytes, str]:
        channel = await connect_tls("127.0.0.1", running.port, 5, client_context(pki.ca, None, None), "localhost")
        channel.send(b"before\n")
        await asyncio.to_thread(running.until, b"before")
        running.type(b"R\n")
        async with asyncio.timeout(LIMIT_S):
            heard = await channel.receive()
        await channel.close()
        return heard, channel.ending

    with host(pki.file("host.pem"), pki.file("host.key"), "-tls1_2") as running:
        heard, ending = asyncio.run(story(running))
    assert heard == b""
    assert ending


def test_a_host_that_is_not_looked_at_is_spoken_to_whoever_it_is() -> None:
    """What `verify: no_anyone_may_pretend_to_be_the_host` does; its certificate is still seen, and watched."""
    other = Pki.other()

    async def story(port: int) -> list[str]:
        context = client_context(None, None, None, verified=False)
        channel = await connect_tls("127.0.0.1", port, 5, context, "host.example")
        await channel.close()
        return [one.name for one in channel.certificates]

    with host(other.file("host.pem"), other.file("host.key")) as running:
        assert asyncio.run(story(running.port)) == ["host"]


def test_what_a_host_has_shown_is_known() -> None:
    pki = Pki.shared()

    async def story(port: int) -> list[tuple[str, bytes]]:
        channel = await connect_tls("127.0.0.1", port, 5, client_context(pki.ca, None, None), "localhost")
        await channel.close()
        return [(one.name, one.pin) for one in channel.certificates]

    with host(pki.file("host.pem"), pki.file("host.key")) as running:
        shown = asyncio.run(story(running.port))
    assert shown == [("host", pki.pin("host")), ("A private authority", pki.pin("ca"))]
