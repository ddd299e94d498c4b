"""A one-shot link under any order of events: what it says of a frame is never contradicted by what the host got."""

import asyncio
import random
import time
from collections import Counter
from itertools import pairwise

import pytest

from posd.daemon.links import one_shot
from posd.daemon.links.backoff import Backoff
from posd.daemon.links.one_shot import OneShotLink
from posd.errors import MalformedMessage
from posd.framing.length_prefix import LengthPrefixed, with_length
from posd.transport.contract import ConfirmingChannel
from posd.transport.memory import MemoryChannel, memory_pair

STEPS = 80
LIMIT_S = 20
TICK_S = 0.0015


class Chaos:
    """Host and listener in one: a host that refuses, hangs, answers, cuts, says nonsense or reads nothing."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.told: list[tuple[str, str]] = []
        self.arrived: set[str] = set()
        self.never: set[str] = set()
        """Tokens of which it was said that they did not leave, or whose rest was thrown away."""
        self.live: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        backoff = Backoff(TICK_S, 3 * TICK_S, random.Random(seed))
        self.link = OneShotLink(self.connect, self, 4096, backoff, time.monotonic, self.chance.choice([1, 2, 8]))

    # The listener.

    def link_up(self) -> None:
        self.told.append(("up", ""))

    def link_down(self, why: str) -> None:
        assert why
        self.told.append(("down", ""))

    def frame(self, frame: bytes) -> None:
        if self.chance.random() < 0.1:
            self.link.abort("a listener that has had enough")

    def withdrawn(self, token: str) -> None:
        self.told.append(("withdrawn", token))
        self.never.add(token)

    def lost(self, token: str, why: str) -> None:
        assert why
        self.told.append(("lost", token))

    def unreadable(self, error: MalformedMessage, length: int) -> None:
        self.told.append(("unreadable", ""))

    # The host.

    async def connect(self) -> ConfirmingChannel:
        await asyncio.sleep(self.chance.choice([0, 0, TICK_S, 20 * TICK_S]))
        if self.chance.random() < 0.25:
            raise ConnectionRefusedError(111, "connection refused")
        near, far = memory_pair(self.chance.choice([0, 5, 1000]), one_byte=self.chance.random() < 0.2)
        self.tasks.append(asyncio.create_task(self.serve(far)))
        return near

    async def serve(self, far: MemoryChannel) -> None:
        await asyncio.sleep(self.chance.choice([0, TICK_S, 10 * TICK_S]))
        frames = LengthPrefixed()
        while data := await far.receive():
            for frame in frames.feed(data):
                self.arrived.add(frame.decode())
                match self.chance.choice(["answer", "answer", "twice", "cut", "close", "nonsense", "nothing"]):
                    case "answer":
                        far.send(with_length(frame))
                    case "twice":
                        far.send(with_length(frame) * 2)
                    case "cut":
                        far.abort()
                    case "close":
                        await far.close()
                    case "nonsense":
                        far.send(b"\x00\x00")

    # The lanes.

    def step(self, number: int) -> None:
        match self.chance.choice(["send", "send", "send", "withdraw", "withdraw", "abort"]):
            case "send":
                token = f"token {number}"
                limit_s = self.chance.choice([TICK_S, 10 * TICK_S, 60])
                if self.link.send(token, token.encode(), time.monotonic() + limit_s):
                    self.live.append(token)
            case "withdraw" if self.live:
                self.withdraw(self.live.pop(self.chance.randrange(len(self.live))))
            case "abort" if self.chance.random() < 0.2:
                self.link.abort("a test")

    def withdraw(self, token: str) -> None:
        known = self.link._open.get(token)
        channel = known.channel if known is not None and not known.over else None
        torn = (
            channel is not None and not channel.delivered and not channel.ended
        )  # ended: the host tore it, and has it
        assert not (self.link.withdraw(token) and token in self.arrived)
        if torn:
            self.never.add(token)


@pytest.mark.parametrize("seed", range(40))
def test_d2_whatever_happens_the_truth_is_told(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_shot, "LATE_ANSWER_S", 10 * TICK_S)

    async def run() -> Chaos:
        chaos = Chaos(seed)
        async with asyncio.timeout(LIMIT_S):
            chaos.link.start()
            for number in range(STEPS):
                chaos.step(number)
                await asyncio.sleep(chaos.chance.choice([0, 0, TICK_S / 3, TICK_S]))
            if chaos.chance.random() < 0.5:
                await asyncio.sleep(20 * TICK_S)
            await chaos.link.stop()
            await asyncio.sleep(0)
            await asyncio.gather(*chaos.tasks)
        return chaos

    chaos = asyncio.run(run())
    assert chaos.never.isdisjoint(chaos.arrived), "it was said not to have left"
    assert max(Counter(one for one in chaos.told if one[1]).values(), default=1) == 1, "told once"
    line = [kind for kind, _ in chaos.told if kind in ("up", "down")]
    assert all(one != "up" or other == "down" for one, other in pairwise(line))
    assert line[-1:] != ["up"]
    assert not chaos.link._open
    assert not chaos.link._late
    assert not chaos.link._waiting
    assert not chaos.link._untold
