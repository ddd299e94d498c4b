"""Moments as people read them: in the terminal's own zone, with the offset, so that no two clocks are mixed up."""

from collections.abc import Callable
from datetime import UTC, datetime

from posd.core.schedule import local
from posd.settings import Settings
from posd.values import Tid

At = Callable[[str, int], str]
"""A terminal's id and milliseconds since 1970 UTC -> '2026-03-02 23:00:00.123+08:00'."""


def stamp(iso: str | None, utc: bool = False) -> str:
    """'2026-03-02T23:00:00+08:00' as '2026-03-02 23:00:00+08:00', or in UTC; None is empty."""
    if not iso:
        return ""
    at = datetime.fromisoformat(iso)
    return (at.astimezone(UTC) if utc else at).isoformat(sep=" ")


def row_times(settings: Settings, utc: bool) -> At:
    """How the rows of a journal show their moments; those of no configured terminal are in the first one's zone."""
    zones = {Tid(one.tid): settings.schedule_of(one).zone for one in settings.terminals}
    first = next(iter(zones.values()))

    def at(tid: str, wall_ms: int) -> str:
        zone = "UTC" if utc else zones.get(Tid(tid), first)
        return local(wall_ms, zone).isoformat(sep=" ", timespec="milliseconds")

    return at
