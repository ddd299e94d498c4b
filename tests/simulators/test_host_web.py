"""The simulated host behind HTTP: what it takes, what it refuses with which status, and its command line."""

import asyncio
from typing import Any

import pytest

from simulators.host.__main__ import main
from simulators.host.acquirer import Acquirer
from simulators.host.faults import Faults
from simulators.host.server import HostServer
from simulators.host.web import Web
from tests.daemon.stage import TID, host_settings
from tests.transport.pki import Pki

LIMIT_S = 10


def request(body: bytes = b"\x00\x04abcd", *, line: str = "POST /x HTTP/1.1", **headers: str | None) -> bytes:
    said: dict[str, str | None] = {
        "Host": "localhost:1",
        "Content-Type": "x-ISO-TPDU/x-auth",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [line, *(f"{name}: {value}" for name, value in said.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answered(said: bytes) -> tuple[bytes, list[str]]:
    """The host's whole answer, and the names of its events."""

    async def run() -> tuple[bytes, list[str]]:
        events: list[str] = []
        settings = host_settings((TID,), ())

        def hear(event: dict[str, Any]) -> None:
            events.append(str(event["event"]))

        server = HostServer(Acquirer(settings, 1), Faults((), 1), emit=hear, web=Web())
        port = await server.start("127.0.0.1", 0)
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
        await server.close()
        return answer, events

    return asyncio.run(run())


REFUSED = {
    "GET": (request(line="GET /x HTTP/1.1"), 405),
    "HTTP/1.0": (request(line="POST /x HTTP/1.0"), 400),
    "no path": (request(line="POST x HTTP/1.1"), 400),
    "no host": (request(Host=None), 400),
    "a header twice": (request(host="again"), 400),
    "no header": (request(**{"X Y": "z"}).replace(b"X Y: z", b"nonsense"), 400),
    "another type": (request(Content_Type="text/xml"), 415),
    "no length": (request(Content_Length=None), 411),
    "a negative length": (request(Content_Length="-1"), 411),
    "chunks": (request(Transfer_Encoding="chunked"), 411),
    "too long": (request(Content_Length="999999"), 413),
    "no frame": (request(b"\x00\x05abcd"), 400),
    "endless": (b"POST /x HTTP/1.1\r\nX: " + b"y" * 70_000, 413),
}


@pytest.mark.parametrize(("said", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_gets_its_status_and_no_booking(said: bytes, status: int) -> None:
    answer, events = answered(said)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert "received" not in events


def test_a_request_that_is_cut_is_none() -> None:
    whole = request()
    assert answered(whole[:-1])[0] == b""
    assert answered(whole[:40])[0] == b""
    assert answered(b"")[0] == b""


def test_a_frame_that_is_no_message_is_said_to_be_unreadable() -> None:
    assert "unreadable" in answered(request())[1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--https"], "--https and --tls need --certificate FILE and --key FILE"),
        (["--tls", "--key", "x.key"], "--https and --tls need --certificate FILE and --key FILE"),
        (["--certificate", "x.pem"], "belong to --https or --tls; add one"),
        (["--https", "--certificate", "none.pem", "--key", "none.key"], "no such file or directory"),
    ],
)
def test_a_command_line_that_does_not_fit(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "config/host-sim.example.yaml", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_a_key_of_another_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    pki = Pki.shared()
    files = ["--certificate", str(pki.file("host.pem")), "--key", str(pki.file("client.key"))]
    assert main(["--config", "config/host-sim.example.yaml", "--https", *files]) == 2
    assert "PEM files that belong together" in capsys.readouterr().err
