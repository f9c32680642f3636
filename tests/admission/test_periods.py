"""Every moment lies in one calendar period, and each period begins where the one before it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.admission.periods import Calendar, time_zones

SECOND = 1_000_000
KINDS = ["hour", "day", "week", "month"]
# Half-hour offsets and changes, changes at midnight and a minute past it, a day that never was, seconds in an offset.
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Havana", "Asia/Beirut", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns", "Africa/Monrovia",
]  # fmt: skip
moments = st.integers(0, 2**31 - 1)


@cache
def changes(zone: str) -> list[int]:
    """The hours before which the clocks of a zone were changed, 2005 to 2015."""
    hours = range(1_104_537_600, 1_420_070_400, 3600)
    offsets = [datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset() for second in hours]
    return [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


def whole(calendar: Calendar, second: int) -> None:
    start, end = calendar.period(second * SECOND)
    assert start <= second * SECOND < end
    before, again, until, after = calendar.around(second * SECOND)
    assert (again, until) == (start, end)
    assert calendar.period(start - 1) == (before, start)
    assert calendar.period(start) == (start, end)
    assert calendar.period(end - 1) == (start, end)
    assert calendar.period(end) == (end, after)


@given(st.sampled_from(KINDS), st.sampled_from(ZONES), moments)
def test_periods_meet(kind: str, zone: str, second: int) -> None:
    whole(Calendar(kind, zone), second)


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "America/St_Johns"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_periods_meet_where_clocks_change(kind: str, zone: str) -> None:
    calendar = Calendar(kind, zone)
    for change in changes(zone):
        for second in range(change - 7200, change + 7200, 600):
            whole(calendar, second)


@given(st.sampled_from(KINDS), moments)
def test_in_utc_a_period_is_what_it_says(kind: str, second: int) -> None:
    start, end = (datetime.fromtimestamp(edge // SECOND, UTC) for edge in Calendar(kind, "UTC").period(second * SECOND))
    shown = datetime.fromtimestamp(second, UTC)
    assert (start.minute, start.second, start.microsecond) == (0, 0, 0)
    if kind == "hour":
        assert (start.date(), start.hour) == (shown.date(), shown.hour)
        return
    assert start.hour == 0
    if kind == "day":
        assert start.date() == shown.date()
    elif kind == "week":
        assert start.isocalendar()[:2] == shown.isocalendar()[:2]
        assert start.weekday() == 0
    else:
        assert (start.year, start.month, start.day) == (shown.year, shown.month, 1)
        assert end.day == 1


@pytest.mark.parametrize(
    ("kind", "zone", "moment", "start", "end"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("day", "Europe/Berlin", "2026-10-25T02:30+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("hour", "Europe/Berlin", "2026-10-25T02:30+01:00", "2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00"),
        ("hour", "Europe/Berlin", "2026-03-29T03:30+02:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),
        ("hour", "Australia/Lord_Howe", "2026-04-05T01:45+10:30", "2026-04-05T01:00+11:00", "2026-04-05T02:00+10:30"),
        ("hour", "Asia/Kathmandu", "2026-04-05T01:45+05:45", "2026-04-05T01:00+05:45", "2026-04-05T02:00+05:45"),
        # midnight does not exist, and comes twice
        ("day", "America/Havana", "2026-03-08T12:00-04:00", "2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"),
        ("day", "America/Havana", "2026-11-01T12:00-05:00", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        # the 30th was left out
        ("day", "Pacific/Apia", "2011-12-29T12:00-10:00", "2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00"),
        ("week", "Asia/Kolkata", "2026-01-01T00:00+05:30", "2025-12-29T00:00+05:30", "2026-01-05T00:00+05:30"),
        ("month", "Europe/Berlin", "2026-12-31T23:59+01:00", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
    ],
)
def test_periods(kind: str, zone: str, moment: str, start: str, end: str) -> None:
    at, *edges = (int(datetime.fromisoformat(text).timestamp()) * SECOND for text in (moment, start, end))
    assert list(Calendar(kind, zone).period(at)) == edges


def test_zones_mean_the_same_everywhere() -> None:
    assert {"UTC", "Europe/Berlin"} <= time_zones()
    assert "localtime" not in time_zones()
    with pytest.raises(ZoneInfoNotFoundError):
        Calendar("day", "Europe/Atlantis")
