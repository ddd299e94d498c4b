"""Business days and what is due: computed from the zone and the last close, never remembered (D18).

It must never read a clock, and never count intervals: a due moment is a local date at a local time, so a power cut,
a jump of the clock or a change of summer time can neither skip nor double one.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(wall_ms: int, zone: str) -> datetime:
    """The local date and time of a moment."""
    return datetime.fromtimestamp(wall_ms / 1000, tz=UTC).astimezone(_zone(zone))


def _moment_ms(day: date, at: time, zone: str) -> int:
    """Local date and time as milliseconds. fold=0: in the doubled hour the first; a skipped hour moves forward."""
    moment = datetime.combine(day, at.replace(fold=0), tzinfo=_zone(zone))
    return round(moment.timestamp() * 1000)


def newest_due_ms(wall_ms: int, times: tuple[time, ...], zone: str) -> int:
    """The newest due moment that is not later than `wall_ms`."""
    return _newest_due_ms(wall_ms // 1000 * 1000, times, zone)


@lru_cache(maxsize=32)
def _newest_due_ms(wall_ms: int, times: tuple[time, ...], zone: str) -> int:
    """Due moments are whole seconds: the answer is the same for all milliseconds of one."""
    today = local(wall_ms, zone).date()
    days = [today + timedelta(days=offset) for offset in (-2, -1, 0, 1)]
    return max(m for day in days for at in times if (m := _moment_ms(day, at, zone)) <= wall_ms)


def next_due_ms(wall_ms: int, times: Sequence[time], zone: str) -> int:
    """The first due moment later than `wall_ms`."""
    today = local(wall_ms, zone).date()
    days = [today + timedelta(days=offset) for offset in (-1, 0, 1, 2)]
    return min(m for day in days for at in times if (m := _moment_ms(day, at, zone)) > wall_ms)


@lru_cache(maxsize=1024)
def host_wall_ms(host_clock: str, near_ms: int, zone: str) -> int | None:
    """A host's MMDDhhmmss as milliseconds, in the year that brings it nearest (D24); None: there is no such date."""
    year = local(near_ms, zone).year
    try:
        month, day = int(host_clock[0:2]), int(host_clock[2:4])
        at = time(int(host_clock[4:6]), int(host_clock[6:8]), int(host_clock[8:10]))
    except ValueError:
        return None
    candidates = []
    for candidate in (year - 1, year, year + 1):
        try:
            candidates.append(_moment_ms(date(candidate, month, day), at, zone))
        except ValueError:
            continue  # 29 February exists in one of these years only
    return min(candidates, key=lambda moment: abs(moment - near_ms), default=None)


def business_day_ms(day: date, ends_at: time, zone: str) -> tuple[int, int]:
    """A business day as [begin, end): from that local time of this date to the same time of the next."""
    return _moment_ms(day, ends_at, zone), _moment_ms(day + timedelta(days=1), ends_at, zone)


def due_moments_ms(begin_ms: int, end_ms: int, times: Sequence[time], zone: str) -> list[int]:
    """Every due moment in [begin, end)."""
    found, at_ms = [], next_due_ms(begin_ms - 1, times, zone)
    while at_ms < end_ms:
        found.append(at_ms)
        at_ms = next_due_ms(at_ms, times, zone)
    return found
