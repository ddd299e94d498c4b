"""TLS 1.2 and later over any channel, verified: who the host is, and if it asks, who we are.

The records are made here, with the standard library's own TLS and no buffer of asyncio's between, so that what the
kernel has not taken is known as exactly as without TLS (D2). It must never accept a certificate that was not
verified, nor say a key's or a message's bytes in an error.
"""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

from posd.errors import ConfigError
from posd.security.secretfile import refuse_if_open
from posd.transport.contract import ConfirmingChannel
from posd.transport.tcp import Source, connect_tcp

READ_BYTES = 16_384


def client_context(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """What our side of a connection demands and shows. PEM files; without `ca_file` the system's authorities count.

    Raises ConfigError, one line that names the file and the remedy.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the host's name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca_file)
    if certificate_file is not None and key_file is not None:
        _load_own(context, certificate_file, key_file)
    return context


def _load_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(f"{ca_file}: holds no certificates; it must be a PEM file of the host's authority") from None
    except OSError as error:
        raise ConfigError(f"{ca_file}: {_lower(error)}; give the PEM file of the host's authority") from None


def _load_own(context: ssl.SSLContext, certificate_file: Path, key_file: Path) -> None:
    refuse_if_open(key_file, "key of the certificate")
    try:
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")  # never ask at a terminal
    except (ssl.SSLError, ValueError):
        what = f"{certificate_file}: certificate and key ({key_file}) cannot be used together"
        raise ConfigError(f"{what}; both must be PEM, the key its own and not encrypted") from None
    except OSError as error:
        raise ConfigError(f"{certificate_file}: {_lower(error)}; give the PEM file of the certificate") from None


async def connect_tls(
    host: str,
    port: int,
    timeout_s: float,
    context: ssl.SSLContext,
    server_name: str,
    source: Source | None = None,
) -> "TlsChannel":
    """Connect and shake hands within `timeout_s` seconds. Raises OSError (TimeoutError is one) that says why."""
    try:
        async with asyncio.timeout(timeout_s):
            channel = TlsChannel(await connect_tcp(host, port, timeout_s, source), context, server_name)
            await channel.shake_hands()
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no TLS with {host}:{port} within {timeout_s:g} s") from None
    return channel


class TlsChannel:
    """A channel inside a channel, kept to `posd.transport.contract.ConfirmingChannel`.

    `server_name`: what the host's certificate must say; None: we are the host. `unsent_bytes` counts encrypted bytes:
    above 0 exactly while the kernel has not taken everything.
    """

    def __init__(self, inner: ConfirmingChannel, context: ssl.SSLContext, server_name: str | None) -> None:
        self._inner = inner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_name is None, server_name)
        self._ending = ""

    @property
    def peer(self) -> str:
        return self._inner.peer

    @property
    def ended(self) -> bool:
        return bool(self._ending) or self._inner.ended

    @property
    def ending(self) -> str:
        return self._ending or self._inner.ending

    @property
    def unsent_bytes(self) -> int:
        return self._inner.unsent_bytes

    @property
    def delivered(self) -> bool:
        return self._inner.delivered

    async def shake_hands(self) -> None:
        """Raises OSError with the reason; then the connection is gone. Cancelled: gone too."""
        try:
            while not self._shaken():
                await self._feed("during the TLS handshake")
        except ConnectionError:
            await self._inner.close()  # after the alert that tells the host why
            raise
        except asyncio.CancelledError:
            self._inner.abort()
            raise

    def _shaken(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise ConnectionError(f"no TLS with {self.peer}: {_why(error)}") from None
        finally:
            self._flush()
        return True

    async def _feed(self, when: str) -> None:
        data = await self._inner.receive()
        if not data:
            raise ConnectionError(f"{self.peer} ended the connection {when}: {self._inner.ending}")
        self._in.write(data)

    async def receive(self) -> bytes:
        while not self._ending:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                self._flush()
                if not (more := await self._inner.receive()):
                    break
                self._in.write(more)
            except ssl.SSLZeroReturnError:
                self._end("closed by the peer")
            except ssl.SSLError as error:
                self._end(f"TLS: {_why(error)}")
                self._inner.abort()
            else:
                self._flush()
                if data:
                    return data
                self._end("closed by the peer")
        return b""

    def send(self, data: bytes) -> None:
        if self._ending or self._inner.ended:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._end(f"TLS: {_why(error)}")
        self._flush()

    async def drained(self) -> None:
        await self._inner.drained()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._inner.abort()

    async def close(self) -> None:
        self._end("closed by this side")
        if not self._inner.ended:
            with suppress(ssl.SSLError, ValueError):  # the peer's own goodbye is not waited for
                self._tls.unwrap()
            self._flush()
        await self._inner.close()

    def _flush(self) -> None:
        if self._out.pending:
            self._inner.send(self._out.read())

    def _end(self, why: str) -> None:
        self._ending = self._ending or why


def _why(error: ssl.SSLError) -> str:
    """What the library says, without its numbers and places."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return (error.reason or "unreadable").lower().replace("_", " ")


def _lower(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()
