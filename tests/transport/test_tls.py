"""What TLS adds: who the host is, who we are, and which errors say so. Real sockets, real certificates."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from posd.errors import ConfigError
from posd.transport.contract import Channel
from posd.transport.tcp import listen_tcp
from posd.transport.tls import client_context, connect_tls
from tests.transport.pki import Pki

LIMIT_S = 10


@asynccontextmanager
async def serving(context: ssl.SSLContext, heard: list[bytes]) -> AsyncIterator[int]:
    """A host by the standard library's own streams: answers what it hears, in capitals."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            heard.append(data)
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def say(port: int, client: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    channel = await connect_tls("127.0.0.1", port, 5, client, name)
    channel.send(b"hello")
    answer = await channel.receive()
    await channel.close()
    return answer or channel.ending.encode()


def run(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> tuple[bytes, list[bytes]]:
    """What came back, or why nothing did; and what the host heard."""

    async def main() -> tuple[bytes, list[bytes]]:
        heard: list[bytes] = []
        async with asyncio.timeout(LIMIT_S), serving(server, heard) as port:
            try:
                return await say(port, client, name), heard
            except OSError as error:
                return str(error).replace(str(port), "PORT").encode(), heard

    return asyncio.run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_host_with_the_right_certificate_is_spoken_to(version: ssl.TLSVersion) -> None:
    pki = Pki.shared()
    assert run(pki.server_context(version=version), client_context(pki.ca, None, None))[0] == b"HELLO"


def test_the_certificate_may_have_another_name_than_the_address() -> None:
    pki = Pki.shared()
    assert run(pki.server_context(), client_context(pki.ca, None, None), "localhost")[0] == b"HELLO"


def test_a_host_of_another_name_hears_nothing() -> None:
    pki = Pki.shared()
    why, heard = run(pki.server_context(), client_context(pki.ca, None, None), "host.example")
    assert b"no TLS with 127.0.0.1:PORT: its certificate does not have the name host.example" in why
    assert heard == []


def test_a_host_of_another_authority_hears_nothing(tmp_path: Path) -> None:
    other = Pki(tmp_path / "other").make()
    why, heard = run(other.server_context(), client_context(Pki.shared().ca, None, None))
    assert b"its certificate is of no authority that is trusted here" in why
    assert heard == []
    why, heard = run(other.server_context(), client_context(None, None, None))
    assert b"its certificate is of no authority that is trusted here" in why, "nor do the system's authorities know it"
    assert heard == []


def test_an_expired_certificate_hears_nothing(tmp_path: Path) -> None:
    old = Pki(tmp_path / "old").make(days=-1)
    why, heard = run(old.server_context(), client_context(old.ca, None, None))
    assert b"certificate has expired" in why
    assert heard == []


def test_older_than_tls_1_2_is_refused() -> None:
    pki = Pki.shared()
    old = pki.server_context()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    why, heard = run(old, client_context(pki.ca, None, None))
    assert b"no TLS with" in why or b"ended the connection during the TLS handshake" in why
    assert heard == []


def test_a_host_that_asks_for_a_certificate_gets_ours() -> None:
    pki = Pki.shared()
    client = client_context(pki.ca, pki.file("client.pem"), pki.file("client.key"))
    assert run(pki.server_context(ask=True), client)[0] == b"HELLO"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        why, heard = run(pki.server_context(ask=True, version=version), client_context(pki.ca, None, None))
        assert heard == [], "without one it hears nothing"
        assert why


def test_a_host_that_is_no_tls_or_says_nothing() -> None:
    async def main(greeting: bytes | None, timeout_s: float) -> str:
        def greet(channel: Channel) -> None:
            kept.append(channel)
            if greeting is not None:
                channel.send(greeting)

        kept: list[Channel] = []
        listener = await listen_tcp("127.0.0.1", 0, greet)
        context = client_context(Pki.shared().ca, None, None)
        with pytest.raises(OSError, match="TLS") as caught:
            await connect_tls("127.0.0.1", listener.port, timeout_s, context, "127.0.0.1")
        listener.close()
        for channel in kept:
            assert (await channel.receive())[:1] in (b"", b"\x16"), "the hello, and then the end"
            channel.abort()
        return str(caught.value)

    assert "what came is not TLS" in asyncio.run(main(b"SSH-2.0-OpenSSH\r\n", 5))
    assert "within 0.05 s" in asyncio.run(main(None, 0.05))


def test_a_host_that_cuts_the_connection_says_so() -> None:
    """Without a goodbye of TLS's own an attacker may have cut it: the frames' lengths tell what is missing."""

    async def main() -> str:
        pki = Pki.shared()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=pki.server_context())
        port = server.sockets[0].getsockname()[1]
        channel = await connect_tls("127.0.0.1", port, 5, client_context(pki.ca, None, None), "127.0.0.1")
        channel.send(b"hello")
        assert await channel.receive() == b""
        server.close()
        return channel.ending

    assert asyncio.run(main()) != ""


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    pki = Pki.shared()
    empty = tmp_path / "empty.pem"
    empty.write_text("not a certificate\n")
    good, key = pki.file("client.pem"), pki.file("client.key")
    for files, what in [
        ((tmp_path / "none.pem", None, None), "none.pem: no such file or directory"),
        ((empty, None, None), "empty.pem: holds no certificates"),
        ((pki.ca, good, tmp_path / "none.key"), "none.key: no such file"),
        ((pki.ca, good, pki.file("host.key")), "cannot be used together"),
        ((pki.ca, empty, key), "cannot be used together"),
        ((pki.ca, tmp_path / "none.pem", key), "none.pem: no such file"),
    ]:
        with pytest.raises(ConfigError, match=what):
            client_context(*files)
    secret = load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.touch(mode=0o600)
    locked.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    with pytest.raises(ConfigError, match="not encrypted"):
        client_context(pki.ca, good, locked)
    open_key = tmp_path / "open.key"
    open_key.write_bytes(key.read_bytes())
    open_key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"open to other users; run: chmod 600"):
        client_context(pki.ca, good, open_key)
