"""Wake-ups on a real event loop and real APScheduler; the clock that detects steps is ours to move."""

import asyncio
import datetime
import subprocess
import sys
import time
from zoneinfo import ZoneInfo

from posd.daemon.clock import SystemClock
from posd.daemon.wakeups import TimeOfDay, Wakeups
from posd.values import Now

LIMIT_S = 10
NEVER_S = 3600.0


class MovableClock:
    """The system's clock plus what the test has moved it by."""

    def __init__(self) -> None:
        self.moved_ms = 0

    def now(self) -> Now:
        now = SystemClock().now()
        return Now(now.wall_ms + self.moved_ms, now.monotonic_s)


def in_a_moment(zone: str) -> TimeOfDay:
    """A time of day one to two seconds from now: the next one that begins in the future by half a second."""
    due = datetime.datetime.now(ZoneInfo(zone)) + datetime.timedelta(seconds=1.5)
    return due.hour, due.minute, due.second, zone


def test_a_time_of_day_in_its_own_zone_wakes() -> None:
    async def run() -> None:
        woken = asyncio.Event()
        wakeups = Wakeups([in_a_moment("Asia/Shanghai")], woken.set, SystemClock(), heartbeat_s=NEVER_S)
        wakeups.start()
        assert not woken.is_set()
        async with asyncio.timeout(LIMIT_S):
            await woken.wait()
        wakeups.stop()

    asyncio.run(run())


def test_wakes_in_the_loop_and_not_in_a_thread() -> None:
    async def run() -> None:
        loops: asyncio.Queue[asyncio.AbstractEventLoop] = asyncio.Queue()
        wakeups = Wakeups(
            [in_a_moment("UTC")],
            lambda: loops.put_nowait(asyncio.get_running_loop()),
            SystemClock(),
            heartbeat_s=NEVER_S,
        )
        wakeups.start()
        async with asyncio.timeout(LIMIT_S):
            assert await loops.get() is asyncio.get_running_loop()
        wakeups.stop()

    asyncio.run(run())


def test_the_heartbeat_wakes_without_any_time_of_day() -> None:
    async def run() -> None:
        beats: asyncio.Queue[float] = asyncio.Queue()
        wakeups = Wakeups([], lambda: beats.put_nowait(time.monotonic()), SystemClock(), heartbeat_s=0.01)
        wakeups.start()
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                await beats.get()
        wakeups.stop()
        assert beats.empty()
        await asyncio.sleep(0.03)
        assert beats.empty(), "stopped is stopped"

    asyncio.run(run())


def test_a_clock_step_is_told_once_reschedules_and_wakes() -> None:
    async def run() -> None:
        clock = MovableClock()
        heard: asyncio.Queue[str] = asyncio.Queue()
        steps: list[float] = []

        def stepped(seconds: float) -> None:
            steps.append(seconds)
            heard.put_nowait("step")

        wakeups = Wakeups(
            [(4, 30, 0, "Asia/Shanghai")],
            lambda: heard.put_nowait("wake"),
            clock,
            clock_stepped=stepped,
            heartbeat_s=0.01,
        )
        wakeups.start()
        assert wakeups._scheduler is not None
        (before,) = wakeups._scheduler.get_jobs()
        async with asyncio.timeout(LIMIT_S):
            assert await heard.get() == "wake"
            clock.moved_ms = -3_600_000
            while await heard.get() != "step":
                pass
            assert await heard.get() == "wake"
            assert await heard.get() == "wake"
        assert [round(step) for step in steps] == [3600]
        (after,) = wakeups._scheduler.get_jobs()
        assert after.id != before.id, "jobs are made anew, their next moment computed from the new time"
        wakeups.stop()

    asyncio.run(run())


def test_jobs_follow_the_pattern() -> None:
    async def run() -> None:
        times: list[TimeOfDay] = [(23, 0, 0, "Asia/Shanghai"), (23, 0, 0, "Europe/Berlin"), (4, 15, 30, "UTC")]
        wakeups = Wakeups(times, lambda: None, SystemClock())
        wakeups.start()
        assert wakeups._scheduler is not None
        jobs = wakeups._scheduler.get_jobs()
        assert len(jobs) == 3
        for job in jobs:
            assert job.coalesce
            assert job.max_instances == 1
            assert job.misfire_grace_time is None
            assert (job.next_run_time.hour, job.next_run_time.minute) in {(23, 0), (4, 15)}
        wakeups.reschedule([(1, 2, 3, "UTC")])
        assert [job.name for job in wakeups._scheduler.get_jobs()] == ["01:02:03 UTC"]
        wakeups.stop()
        wakeups.stop()

    asyncio.run(run())


def test_importing_loads_no_scheduler_and_says_nothing() -> None:
    code = "import sys, posd.daemon.wakeups; sys.exit('apscheduler' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=LIMIT_S, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
