"""Tills to lanes and back, beside router.DoorSide: a wish goes into its terminal's inbox, its answer is waited for.

Leaving cancels nothing: who hangs up, or loses patience, asks again with the same key.
"""

import asyncio
from collections.abc import Callable

import msgspec

from posd.core.effects import Refusal
from posd.daemon.replies import reply_name
from posd.daemon.router import Lanes
from posd.daemon.runner import LaneRunner
from posd.daemon.till.orders import TILL, Confirmation, FromTill, Told, Wish
from posd.profiles.contract import Outgoing
from posd.values import Now, RequestId, Tid, Who


class TillSide:
    """Every wish has a connection of its own in the core's eyes, so that each answer finds the one who waits for it."""

    def __init__(self, lanes: Lanes, now: Callable[[], Now]) -> None:
        self._lanes, self._now = lanes, now
        self._waiting: dict[str, asyncio.Future[Told]] = {}
        self._asked = 0
        self._undecided: dict[str, RequestId] = {}
        self.stopping = False
        """What comes from now on is not sent: posd finishes what it has and ends."""

    async def ask(self, tid: Tid, wish: Wish, body: bytes, received_s: float, who: Who) -> Told | None:
        """What the lane says; None: nothing in the time that a till waits (D17)."""
        runner = self._lanes.lanes[tid]
        if self.stopping and not _asks_again(runner, wish):
            return Told(refusal=Refusal.NOT_SENT.value, because="posd is stopping")
        self._asked += 1
        connection = f"{TILL}-{self._asked}"
        answer = self._waiting[connection] = asyncio.get_running_loop().create_future()
        self._undecided[connection] = wish.request_id
        try:
            if not runner.offer(FromTill(wish, body, reply_name(connection, 0), received_s, who)):
                if _asks_again(runner, wish):
                    return None
                return Told(refusal=Refusal.BUSY.value, because="too much waits for this terminal")
            async with asyncio.timeout(self._patience_s(runner, received_s)):
                said: Told = await answer
                return said
        except TimeoutError:
            return None
        finally:
            del self._waiting[connection], self._undecided[connection]
            runner.lane.forget_askers(connection)

    def _patience_s(self, runner: LaneRunner, received_s: float) -> float:
        return max(0.0, received_s + runner.lane.engine.rules.terminal_timeout_s - self._now().monotonic_s)

    def is_undecided(self, tid: Tid, request_id: RequestId) -> bool:
        """It was asked for and may still be sent, though nothing is known of it yet."""
        queue = self._lanes.lanes[tid].lane.engine.agenda.queue
        return request_id in self._undecided.values() or any(one.request_id == request_id for one in queue)

    def answer(self, connection: str, outgoing: Outgoing) -> bool:
        """The lane's word, durable; False: nobody waits for it any more."""
        waiting = self._waiting.get(connection)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(msgspec.json.decode(outgoing.frame, type=Told))
        return True


def _asks_again(runner: LaneRunner, wish: Wish) -> bool:
    """Of what has been taken once nobody may say that it was not sent: it would be ordered a second time (D6)."""
    return isinstance(wish, Confirmation) or runner.knows(wish.request_id)
