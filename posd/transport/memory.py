"""An in-process pair of channels with the contract of TCP: for tests and for a world without sockets.

What one end sends fills the other end's buffer up to `capacity_bytes` (the part that "the kernel" plays); the
rest counts as unsent until the peer reads. `one_byte` delivers a byte at a time, as the worst line would.
It must never be friendlier than TCP: no message boundaries, no unbounded buffer, no promise after the end.
"""

import asyncio

CAPACITY_BYTES = 64 * 1024
CLOSE_TIMEOUT_S = 2.0


class MemoryChannel:
    """One end of a pair, kept to `posd.transport.contract.Channel`."""

    def __init__(self, peer: str, capacity_bytes: int, one_byte: bool) -> None:
        self._peer = peer
        self._capacity_bytes, self._one_byte = capacity_bytes, one_byte
        self._other: MemoryChannel | None = None
        self._unsent = bytearray()
        self._taken = bytearray()
        self._ending = ""
        self._gone = False
        self._closing = False
        self._arrived = asyncio.Event()
        self._flushed = asyncio.Event()
        self._flushed.set()

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def ended(self) -> bool:
        return bool(self._ending)

    @property
    def ending(self) -> str:
        return self._ending

    @property
    def unsent_bytes(self) -> int:
        return len(self._unsent)

    @property
    def delivered(self) -> bool:
        return not self._unsent and not self._gone

    async def receive(self) -> bytes:
        while not self._taken and not self._ending:
            self._arrived.clear()
            await self._arrived.wait()
        size = 1 if self._one_byte else len(self._taken)
        data = bytes(self._taken[:size])
        del self._taken[:size]
        if self._other is not None and not self._gone:
            self._other._push()
        return data

    def send(self, data: bytes) -> None:
        if not self._gone and not self._closing:
            self._unsent += data
            self._push()

    async def drained(self) -> None:
        await self._flushed.wait()

    def abort(self) -> None:
        self._end("aborted by this side")
        self._taken.clear()
        self._vanish()
        if self._other is not None:
            self._other._end("lost: connection reset by peer")
            self._other._vanish()

    async def close(self) -> None:
        self._end("closed by this side")
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._flushed.wait()
        except TimeoutError:
            self.abort()
        if not self._gone and self._other is not None:
            self._other._end("closed by the peer")
        self._vanish()

    def _push(self) -> None:
        """Move what the peer has room for; tell whoever waits when nothing is left."""
        if self._other is not None and self._other._gone:
            self._unsent.clear()  # as after a reset
        elif self._other is not None:
            room = self._capacity_bytes - len(self._other._taken)
            moved = self._unsent[: max(0, room)]
            del self._unsent[: len(moved)]
            self._other._taken += moved
            self._other._arrived.set()
        if self._unsent:
            self._flushed.clear()
        else:
            self._flushed.set()

    def _end(self, why: str) -> None:
        self._ending = self._ending or why
        self._arrived.set()

    def _vanish(self) -> None:
        self._gone = True
        self._unsent.clear()
        self._flushed.set()


def memory_pair(capacity_bytes: int = CAPACITY_BYTES, one_byte: bool = False) -> tuple[MemoryChannel, MemoryChannel]:
    """Two connected ends. Call it inside a running event loop."""
    left = MemoryChannel("memory:right", capacity_bytes, one_byte)
    right = MemoryChannel("memory:left", capacity_bytes, one_byte)
    left._other, right._other = right, left
    return left, right
