"""TLS 1.2 and later over any channel, verified: who the peer is, and if it asks, who we are.

The records are made here, with the standard library's own TLS and no buffer of asyncio's between, so that what the
kernel has not taken is known as exactly as without TLS (D2). It must never accept a certificate that was not
verified (but where the settings say so in words), nor say a key's or a message's bytes in an error.
"""

import asyncio
import ssl
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

from posd.errors import ConfigError
from posd.security.certificates import Certificate, certificate_of
from posd.security.secretfile import refuse_if_open
from posd.transport import tls_words
from posd.transport.contract import ConfirmingChannel
from posd.transport.tcp import Source, connect_tcp

READ_BYTES = 16_384

LAST_WORD_S_MIN = 0.05
"""The shortest that a host's word on our certificate is waited for (TlsChannel.hear_verdict)."""

Version = Literal["1.2", "1.3"]
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    *,
    minimum: Version = "1.2",
    verified: bool = True,
) -> ssl.SSLContext:
    """What our side of a connection demands and shows. PEM files; without `ca_file` the system's authorities count.

    Raises ConfigError, one line that names the file and the remedy.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the host's name
    context.hostname_checks_common_name = False
    _restrict(context, minimum)
    if ca_file is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca_file)
    if certificate_file is not None and key_file is not None:
        _load_own(context, certificate_file, key_file)
    if not verified:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def server_context(
    certificate_file: Path, key_file: Path, client_ca_file: Path | None, *, minimum: Version = "1.2"
) -> ssl.SSLContext:
    """What a door of ours shows, and demands where `client_ca_file` is given: a certificate of each client.

    There are no session tickets: with one a terminal could come back for long without showing its certificate. By its
    session's id one of TLS 1.2 still can, while this context lives: see TlsChannel.resumed. Raises ConfigError, as
    client_context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, minimum)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    _load_own(context, certificate_file, key_file)
    if client_ca_file is not None:
        _load_authorities(context, client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _restrict(context: ssl.SSLContext, minimum: Version) -> None:
    context.minimum_version = VERSIONS[minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _load_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(f"{ca_file}: holds no certificates; it must be a PEM file of an authority") from None
    except OSError as error:
        raise ConfigError(f"{ca_file}: {_lower(error)}; give the PEM file of the authority") from None


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
    pins: Collection[bytes] = (),
) -> "TlsChannel":
    """Connect and shake hands within `timeout_s` seconds. Raises OSError (TimeoutError is one) that says why.

    `pins`: one certificate of the verified chain, the host's own or an authority's, must have one of these keys.
    """
    try:
        async with asyncio.timeout(timeout_s):
            channel = TlsChannel(await connect_tcp(host, port, timeout_s, source), context, server_name)
            await channel.shake_hands(pins)
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
        self._server_name, self._verified = server_name, context.verify_mode is ssl.CERT_REQUIRED
        self._early = b""
        self._ending = ""
        self.certificates: tuple[Certificate, ...] = ()
        """What the peer has shown: its own, then its authorities', as verified; its own alone where nothing was."""

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

    @property
    def resumed(self) -> bool:
        """The peer has shown nothing now: its certificate is the one of an earlier handshake. Whether that is still in
        time is for the owner to say, who has a clock."""
        return bool(self._tls.session_reused)

    async def shake_hands(self, pins: Collection[bytes] = ()) -> None:
        """Raises OSError with the reason; then the connection is gone. Cancelled: gone too."""
        began_s = asyncio.get_running_loop().time()
        try:
            while not self._shaken():
                await self._feed("during the TLS handshake")
            self._look_at_peer(pins)
            if self._server_name is not None and self._tls.version() == "TLSv1.3":
                await self._hear_verdict(2 * (asyncio.get_running_loop().time() - began_s))
        except ConnectionError:
            await self._inner.close()  # after the alert that tells the peer why
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
            raise self._refused(tls_words.why(error, self._server_name)) from None
        finally:
            self._flush()
        return True

    def _refused(self, why: str) -> ConnectionError:
        return ConnectionError(f"no TLS with {self.peer}: {why}")

    def _look_at_peer(self, pins: Collection[bytes]) -> None:
        """Who it is; ConnectionError where that is none of `pins`."""
        own = self._tls.getpeercert(binary_form=True)
        shown = [own] if own else []
        if self._verified and not self.resumed:
            shown = _verified_chain(self._tls)
        with suppress(ValueError):  # TLS has read it: one of a kind that is not known here is only not watched
            self.certificates = tuple(map(certificate_of, shown))
        if pins and not any(one.pin in pins for one in self.certificates):
            raise self._refused(tls_words.WRONG_PIN)

    async def _hear_verdict(self, at_most_s: float) -> None:
        """What the host says of our certificate, or that it wants one, comes after the handshake in TLS 1.3.

        Without waiting for it the line would be called up, and a message sent to a host that will not hear it. Most
        hosts say something at once (a session ticket); one that says nothing for twice as long as the handshake took is
        taken to be content.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(max(at_most_s, LAST_WORD_S_MIN)):
                await self._feed("after the TLS handshake")
        try:
            self._early = self._tls.read(READ_BYTES)
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            raise ConnectionError(f"{self.peer} ended the connection after the TLS handshake") from None
        except ssl.SSLError as error:
            raise self._refused(tls_words.why(error, self._server_name)) from None

    async def _feed(self, when: str) -> None:
        data = await self._inner.receive()
        if not data:
            raise ConnectionError(f"{self.peer} ended the connection {when}: {self._inner.ending}")
        self._in.write(data)

    async def receive(self) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
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
                self._end(f"TLS: {tls_words.why(error, self._server_name)}")
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
            self._end(f"TLS: {tls_words.why(error, self._server_name)}")
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


def _verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The peer's own certificate and those above it, up to the one that is trusted.

    Python has had this since 3.10, under a public name since 3.13.
    """
    public = getattr(tls, "get_verified_chain", None)
    if public is not None:
        return list(public())
    import _ssl

    chain = tls._sslobj.get_verified_chain() or []  # type: ignore[attr-defined]
    return [one.public_bytes(_ssl.ENCODING_DER) for one in chain]


def _lower(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()
