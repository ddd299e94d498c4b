"""When a fault rule is awake: between two times of the host's day, or from and until so many seconds after start.

Pure: the clock is an argument. A rule with a window never acts where nobody tells the time.
"""

from dataclasses import dataclass

MILLISECONDS = 1_000
MINUTE_MS = 60_000
DAY_MINUTES = 1_440
TIMES_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of a run: milliseconds since 1970 UTC, when the run began, and the host's zone."""

    now_ms: int
    started_ms: int
    utc_offset_minutes: int

    @property
    def since_start_s(self) -> float:
        return (self.now_ms - self.started_ms) / MILLISECONDS

    @property
    def minute_of_day(self) -> int:
        """0 to 1439, by the host's own clock (fields 12 and 13)."""
        return (self.now_ms // MINUTE_MS + self.utc_offset_minutes) % DAY_MINUTES


def minutes(between: str) -> tuple[int, int]:
    """'22:00-06:00' as minutes of the day: (1320, 360)."""
    first, last = (int(text[:2]) * 60 + int(text[3:]) for text in between.split("-"))
    return first, last


def awake(between: str | None, from_s: float | None, until_s: float | None, moment: Moment | None) -> bool:
    """Is a rule with these limits awake? The end is not included; a window may span midnight."""
    if between is None and from_s is None and until_s is None:
        return True
    if moment is None:
        return False
    if from_s is not None and moment.since_start_s < from_s:
        return False
    if until_s is not None and moment.since_start_s >= until_s:
        return False
    return between is None or _in_day(minutes(between), moment.minute_of_day)


def _in_day(window: tuple[int, int], minute: int) -> bool:
    first, last = window
    return first <= minute < last if first < last else minute >= first or minute < last
