"""What every transport promises: a two-way stream of bytes that never makes its owner wait to send.

A channel knows bytes and nothing else: no frames, no messages, no retries, no journal. It must never hide
how much of what it was given has reached the kernel, because a request that has not may still be taken back
(D2). Expected ends (closed, reset, silence) are values: `receive` gives b"" and `ending` says why.
"""

from typing import Protocol, runtime_checkable

from posd.security.certificates import Certificate


class Channel(Protocol):
    """One connection. All members are for the event loop's thread; `receive` has one reader at a time."""

    @property
    def peer(self) -> str:
        """Who is at the other end, for logs: '127.0.0.1:5000', '[::1]:5000'."""

    @property
    def ended(self) -> bool:
        """True once no answer can come any more: the peer has closed its side, or the connection is gone."""

    @property
    def ending(self) -> str:
        """Why it ended, in words for a log; '' while it has not."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes given to `send` that the kernel has not taken yet.

        0 once the connection is gone: nobody can say any more, and a caller has to assume that they left.
        """

    async def receive(self) -> bytes:
        """The next bytes, at least one; b"" when the peer has closed or the connection is gone."""

    def send(self, data: bytes) -> None:
        """Hand over bytes, in order; never waits, never raises. After the end they are dropped in silence."""

    async def drained(self) -> None:
        """Return when `unsent_bytes` is 0 or the connection is gone."""

    def abort(self) -> None:
        """End at once: what the kernel has not sent is thrown away where it can be (TCP: a reset)."""

    async def close(self) -> None:
        """End in order: what was sent is flushed first, for a limited time, then `abort`. May be repeated."""


@runtime_checkable
class ConfirmingChannel(Channel, Protocol):
    """A channel whose other end says what it has got."""

    @property
    def delivered(self) -> bool:
        """True: the peer's kernel has confirmed every byte that was sent. False also where nobody can tell."""


@runtime_checkable
class CertifiedChannel(Channel, Protocol):
    """A channel whose other end has shown who it is."""

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The peer's own, then its authorities'; empty: it has shown none."""


class Listener(Protocol):
    """An open door: `port` as bound (of use when 0 was asked for)."""

    @property
    def port(self) -> int: ...

    def close(self) -> None:
        """Take no new connections; those that exist live on."""
