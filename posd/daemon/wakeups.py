"""Wakes the daemon at the settings' times of day, every 30 seconds, and when the clock was moved.

APScheduler in the one pattern that lost and doubled nothing (a memory store, daily cron jobs with an explicit
zone, coalesced, no misfire limit). A wake-up is one idempotent tick: what is due is computed by the engine from
durable facts. So it must never remember, decide or run a settlement here; a wake-up too many is harmless.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from posd.daemon.clock import step_s
from posd.values import Now

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

HEARTBEAT_S = 30.0
"""The longest time that a due moment goes unnoticed, whatever the scheduler and the clocks do."""
CLOCK_STEP_S = 2.0
"""A larger difference between the two clocks is a step, not drift: the scheduler's timer is monotonic."""

TimeOfDay = tuple[int, int, int, str]
"""Hour, minute, second, IANA zone name."""


class Clock(Protocol):
    def now(self) -> Now: ...


class Wakeups:
    """Calls `wake` from the event loop. `clock_stepped`, when given, first hears by how many seconds."""

    def __init__(
        self,
        times: list[TimeOfDay],
        wake: Callable[[], None],
        clock: Clock,
        *,
        clock_stepped: Callable[[float], None] | None = None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._times, self._wake, self._clock = times, wake, clock
        self._clock_stepped, self._heartbeat_s = clock_stepped, heartbeat_s
        self._scheduler: AsyncIOScheduler | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = clock.now()

    def start(self) -> None:
        """Begin; call it inside the running loop. Does not wake at once: start-up is a tick of its own."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        self._last = self._clock.now()
        self._scheduler = AsyncIOScheduler(
            timezone=ZoneInfo("UTC"),
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._schedule()
        self._scheduler.start()
        self._beat_later()

    def stop(self) -> None:
        """No wake-up comes after this returns."""
        if self._timer is not None:
            self._timer.cancel()
        if self._scheduler is not None:
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=False)
        self._timer = self._scheduler = None

    def reschedule(self, times: list[TimeOfDay]) -> None:
        """New times of day, after the settings changed."""
        self._times = times
        self._schedule()

    def _schedule(self) -> None:
        """Compute every job's next moment anew from the wall clock as it stands now."""
        from apscheduler.triggers.cron import CronTrigger

        if self._scheduler is None:
            return
        self._scheduler.remove_all_jobs()
        for hour, minute, second, zone in self._times:
            trigger = CronTrigger(hour=hour, minute=minute, second=second, timezone=ZoneInfo(zone))
            self._scheduler.add_job(self._tick, trigger, name=f"{hour:02d}:{minute:02d}:{second:02d} {zone}")

    async def _tick(self) -> None:
        """A coroutine, because APScheduler runs plain functions in a thread."""
        if self._scheduler is not None:
            self._wake()

    def _beat_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat_s, self._beat)

    def _beat(self) -> None:
        self._beat_later()
        now = self._clock.now()
        moved_s = step_s(self._last, now)
        self._last = now
        if moved_s > CLOCK_STEP_S:
            self._schedule()
            if self._clock_stepped is not None:
                self._clock_stepped(moved_s)
        self._wake()
