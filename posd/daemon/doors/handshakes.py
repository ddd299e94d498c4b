"""TLS at a door: whoever comes in proves itself first, in time, and beside all others.

A connection that has not shaken hands takes no place of a terminal. There are HALF_OPEN_MAX of them at most; of the
machine that has the most of them the oldest gives way, so that whoever never finishes disturbs nobody but himself. It
must never let one in whose handshake has not succeeded.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from posd.core.allowance import Allowance
from posd.daemon.doors.connections import HALF_OPEN_MAX, oldest_of_the_busiest
from posd.daemon.log import log
from posd.daemon.tasks import end, spawn
from posd.transport.contract import Channel, ConfirmingChannel
from posd.transport.tls import TlsChannel
from posd.values import Now

HANDSHAKE_S = 10.0
"""The longest that a handshake may take, over a slow mobile line too."""

SAID_PER_MINUTE_MAX = 10
"""Refusals that are logged one by one; the rest is counted (D32)."""


@dataclass(slots=True)
class Refusals:
    """Handshakes that did not succeed. `last_s` is on the event loop's clock."""

    count: int = 0
    why: str = ""
    last_s: float | None = None


@dataclass(slots=True)
class Handshakes:
    """Of one door at `where`; `let_in` gets each channel that has succeeded."""

    context: ssl.SSLContext
    where: str
    now: Callable[[], Now]
    let_in: Callable[[Channel], object]
    refused: Refusals = field(default_factory=Refusals)
    _half_open: dict[asyncio.Task[None], ConfirmingChannel] = field(default_factory=dict)
    _said: Allowance = field(default_factory=lambda: Allowance(SAID_PER_MINUTE_MAX))

    def begin(self, channel: ConfirmingChannel) -> None:
        """Shake hands with one more."""
        if len(self._half_open) >= HALF_OPEN_MAX:
            worst = oldest_of_the_busiest({task: inner.peer for task, inner in self._half_open.items()})
            loser = self._half_open.pop(worst)
            self._refuse(loser.peer, "too many unfinished TLS handshakes: the oldest gave way")
            worst.cancel()
            loser.abort()  # a task that is cancelled early never runs a line of its own
        task = spawn(self._shake(channel), f"TLS handshake {channel.peer}")
        self._half_open[task] = channel
        task.add_done_callback(lambda done: self._half_open.pop(done, None))

    async def stop(self) -> None:
        """Nobody who has not finished comes in any more."""
        for task in list(self._half_open):
            await end(task)

    async def _shake(self, inner: ConfirmingChannel) -> None:
        channel = TlsChannel(inner, self.context, None)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await channel.shake_hands()
        except TimeoutError:
            self._refuse(channel.peer, f"no TLS with {channel.peer}: no handshake within {HANDSHAKE_S:g} s")
        except OSError as error:
            self._refuse(channel.peer, str(error))
        else:
            self._look_at(channel)

    def _look_at(self, channel: TlsChannel) -> None:
        """Let it in, unless it comes back by a session whose certificate has ended meanwhile."""
        if channel.resumed and any(one.ends_ms <= self.now().wall_ms for one in channel.certificates):
            channel.abort()
            self._refuse(channel.peer, f"no TLS with {channel.peer}: its certificate has expired")
        else:
            self.let_in(channel)

    def _refuse(self, peer: str, why: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self.refused.count, self.refused.why, self.refused.last_s = self.refused.count + 1, why, now_s
        unsaid = self._said.unsaid("", Now(0, now_s))
        if unsaid is not None:
            log.warning("door_handshake_refused", door=self.where, peer=peer, because=why, unsaid=unsaid)
