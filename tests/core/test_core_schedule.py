"""Due moments are local dates at local times: neither power cuts, clock jumps nor summer time skip or double one."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.core.schedule import host_wall_ms, local, newest_due_ms, next_due_ms
from tests.core.playbook import wall_ms

BERLIN, SHANGHAI, HOWE = "Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe"
AT_23 = (time(23, 0),)
HOUR_MS = 3_600_000


def test_the_newest_and_the_next() -> None:
    noon = wall_ms("2026-03-02 12:00:00")
    assert newest_due_ms(noon, AT_23, SHANGHAI) == wall_ms("2026-03-01 23:00:00")
    assert next_due_ms(noon, AT_23, SHANGHAI) == wall_ms("2026-03-02 23:00:00")


def test_a_moment_is_due_from_its_own_millisecond_on() -> None:
    moment = wall_ms("2026-03-02 23:00:00")
    assert newest_due_ms(moment, AT_23, SHANGHAI) == moment
    assert newest_due_ms(moment - 1, AT_23, SHANGHAI) == wall_ms("2026-03-01 23:00:00")
    assert next_due_ms(moment, AT_23, SHANGHAI) == wall_ms("2026-03-03 23:00:00")


def test_several_times_a_day() -> None:
    times = (time(6, 0), time(14, 0), time(22, 0))
    assert newest_due_ms(wall_ms("2026-03-02 14:30:00"), times, SHANGHAI) == wall_ms("2026-03-02 14:00:00")
    assert newest_due_ms(wall_ms("2026-03-02 05:59:59"), times, SHANGHAI) == wall_ms("2026-03-01 22:00:00")


@pytest.mark.parametrize(
    ("day", "at", "offset_hours"),
    [
        ("2026-03-29", time(2, 30), 1),  # the hour does not exist: half past two is half past three in summer time
        ("2026-10-25", time(2, 30), 2),  # the hour comes twice: the first one counts
        ("2026-03-29", time(3, 0), 2),
        ("2026-10-25", time(3, 0), 1),
    ],
)
def test_summer_time(day: str, at: time, offset_hours: int) -> None:
    due = newest_due_ms(wall_ms(f"{day} 12:00:00", BERLIN), (at,), BERLIN)
    naive = datetime.fromisoformat(day).replace(hour=at.hour, minute=at.minute, tzinfo=UTC)
    assert due == (naive - timedelta(hours=offset_hours)).timestamp() * 1000


@pytest.mark.parametrize("zone", [BERLIN, HOWE])
@pytest.mark.parametrize("at", [time(0, 0), time(2, 30)])
def test_once_a_day_through_whole_years(zone: str, at: time) -> None:
    """Stepping by the hour meets each date's moment once, and never moves back."""
    now, end = wall_ms("2025-12-31 12:00:00", zone), wall_ms("2027-01-02 12:00:00", zone)
    met: list[int] = []
    while now < end:
        due = newest_due_ms(now, (at,), zone)
        assert due <= now < next_due_ms(now, (at,), zone)
        if not met or met[-1] != due:
            assert not met or due > met[-1]
            met.append(due)
        now += HOUR_MS
    assert len(met) == len({local(due, zone).date() for due in met})
    assert 366 <= len(met) <= 368


def test_a_leap_day_is_a_day() -> None:
    assert newest_due_ms(wall_ms("2028-03-01 12:00:00"), AT_23, SHANGHAI) == wall_ms("2028-02-29 23:00:00")


@pytest.mark.parametrize("year", [1970, 1999, 2038, 2099])
def test_far_years(year: int) -> None:
    assert newest_due_ms(wall_ms(f"{year}-06-02 12:00:00"), AT_23, SHANGHAI) == wall_ms(f"{year}-06-01 23:00:00")
    assert newest_due_ms(0, AT_23, SHANGHAI) < 0


@given(
    now=st.integers(min_value=0, max_value=4_000_000_000_000),
    times=st.lists(st.times().map(lambda t: t.replace(microsecond=0)), min_size=1, max_size=4),
    zone=st.sampled_from([BERLIN, SHANGHAI, HOWE, "UTC", "America/New_York"]),
)
def test_newest_and_next_are_neighbours(now: int, times: list[time], zone: str) -> None:
    newest, following = newest_due_ms(now, tuple(times), zone), next_due_ms(now, times, zone)
    assert newest <= now < following
    assert newest_due_ms(following, tuple(times), zone) == following
    assert next_due_ms(newest, times, zone) == following


# --- the host's clock ------------------------------------------------------------------------------------------------


def test_d24_the_hosts_clock_is_in_the_year_that_brings_it_nearest() -> None:
    """D24."""
    new_year = wall_ms("2027-01-01 00:00:05")
    assert host_wall_ms("1231235958", new_year, SHANGHAI) == wall_ms("2026-12-31 23:59:58")
    old_year = wall_ms("2026-12-31 23:59:58")
    assert host_wall_ms("0101000005", old_year, SHANGHAI) == wall_ms("2027-01-01 00:00:05")
    assert host_wall_ms("0302100000", wall_ms("2026-03-02 10:00:01"), SHANGHAI) == wall_ms("2026-03-02 10:00:00")


def test_the_hosts_leap_day() -> None:
    near = wall_ms("2028-02-29 12:00:00")
    assert host_wall_ms("0229120001", near, SHANGHAI) == wall_ms("2028-02-29 12:00:01")
    assert host_wall_ms("0229235959", wall_ms("2028-03-01 00:00:01"), SHANGHAI) == wall_ms("2028-02-29 23:59:59")
    assert host_wall_ms("0229120000", wall_ms("2026-03-01 12:00:00"), SHANGHAI) is None, "no leap year is near"


@pytest.mark.parametrize(
    "text", ["", "0302", "03021000", "1332100000", "0302250000", "0302106000", "xx02100000", "+30-2 1000"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert host_wall_ms(text, wall_ms("2026-03-02 10:00:00"), SHANGHAI) is None


@given(text=st.text(max_size=12))
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = host_wall_ms(text, wall_ms("2026-03-02 10:00:00"), SHANGHAI)
    assert found is None or isinstance(found, int)
