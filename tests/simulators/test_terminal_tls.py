"""The simulated terminal behind TLS: it knows its door, shows its certificate, and says what cannot be used."""

import asyncio
import io
import json
from pathlib import Path

import pytest

from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.framing.tpdu import join, split
from posd.iso8583.unionpay import UNIONPAY
from simulators.terminal.__main__ import main
from tests.simulators.bench import MID, TID
from tests.transport.pki import Pki

WHO = ("--tid", TID, "--mid", MID, "--timeout-s", "3")


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str | Path) -> tuple[str, bool]:
    """The outcome of an echo at a door that wants a certificate, and whether the door heard anything."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = LengthPrefixed()
        while data := await reader.read(1000):
            for frame in frames.feed(data):
                heard.append(frame)
                envelope, body = split(frame, 6)
                answer = UNIONPAY.decode(body).with_({39: "00"}, mti="0830")
                writer.write(with_length(join(envelope.answered(), UNIONPAY.encode(answer))))
        writer.close()

    async def door() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=Pki.shared().server_context(ask=True))
        port = server.sockets[0].getsockname()[1]
        words = ["--connect", f"tls://localhost:{port}", *WHO, *map(str, options)]
        assert await asyncio.to_thread(main, words) == 0
        server.close()

    monkeypatch.setattr("sys.stdin", io.StringIO('{"do": "echo"}\n'))
    asyncio.run(door())
    return str(json.loads(capsys.readouterr().out)["outcome"]), bool(heard)


def test_it_proves_itself_and_knows_its_door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pki, own = (
        Pki.shared(),
        ("--certificate", Pki.shared().file("client.pem"), "--key", Pki.shared().file("client.key")),
    )
    assert run(monkeypatch, capsys, "--ca", pki.ca, *own) == ("approved", True)
    assert run(monkeypatch, capsys, "--ca", pki.ca)[1] is False, "without one it is not heard"
    assert run(monkeypatch, capsys, "--ca", Pki.other().ca, *own) == ("no_line", False)
    assert run(monkeypatch, capsys, "--ca", pki.ca, *own, "--server-name", "host.example") == ("no_line", False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--connect", "127.0.0.1:1", "--ca", "x.pem"), "belong to --connect tls://HOST:PORT"),
        (("--connect", "tls://127.0.0.1:1", "--ca", "/nowhere.pem"), "no such file or directory"),
        (("--connect", "tls://127.0.0.1"), "is not HOST:PORT"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options, "--tid", TID, "--mid", MID]) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
