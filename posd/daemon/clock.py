"""The only reader of clocks (house rule 3). Everything else is given a `Now`.

It must never be imported by a room that decides; nothing here may wait.
"""

import ctypes
import time

from posd.values import Now

TIME_ERROR = 5
"""What adjtimex(2) returns of a clock that nothing keeps in step."""
TIMEX_BYTES = 512
"""More than `struct timex` has on any machine; all zero asks and changes nothing."""


class SystemClock:
    """The machine's two clocks: UTC wall time and CLOCK_MONOTONIC."""

    def now(self) -> Now:
        """Both clocks, read next to each other."""
        return Now(wall_ms=time.time_ns() // 1_000_000, monotonic_s=time.monotonic())

    def monotonic_s(self) -> float:
        """Seconds for limits; the event loop's own scale."""
        return time.monotonic()


def synchronised() -> bool | None:
    """Whether a time service keeps the wall clock in step, as the kernel has it; None: it does not say (D24).

    A service manager that guards the clock (ProtectClock=) forbids the question as well.
    """
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    status = -1 if adjtimex is None else adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return None if status < 0 else status != TIME_ERROR


def step_s(previous: Now, current: Now) -> float:
    """Seconds by which the wall clock was moved between two readings: |change of wall − change of monotonic|.

    A machine that slept shows as a step too, because the monotonic clock stands still meanwhile; that is
    wanted: the schedule has to be looked at again.
    """
    wall_s = (current.wall_ms - previous.wall_ms) / 1000
    return abs(wall_s - (current.monotonic_s - previous.monotonic_s))
