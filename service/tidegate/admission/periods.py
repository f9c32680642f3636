"""Calendar periods: when an hour, a day, a week (from Monday) or a month of a time zone begins and ends.

A period is what the clocks on the wall there call so. It begins at the first moment at which they show its first
second, or a later one. Where they are set back, a period is as much longer; where they are set forward, shorter, and
one that is skipped altogether does not exist. So every moment lies in one period, and each begins where the last one
ended.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo, available_timezones

NOMINAL: Mapping[str, float] = MappingProxyType(
    {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0, "month": 31 * 86_400.0}
)
"""How long a period lasts, at the most but for clocks that are set back. Seconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


def _month_after(first: datetime) -> datetime:
    return first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)


_NEXT: Mapping[str, Callable[[datetime], datetime]] = {
    "hour": lambda first: first + timedelta(hours=1),
    "day": lambda first: first + timedelta(days=1),
    "week": lambda first: first + timedelta(days=7),
    "month": _month_after,
}


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA time zone database of this machine that mean the same everywhere."""
    return frozenset(available_timezones() - {"localtime", "Factory"} | {"UTC"})


class Calendar:
    """The periods of one kind ("hour", "day", "week" or "month") in one time zone.

    Raises `zoneinfo.ZoneInfoNotFoundError` for a zone that the machine does not know, KeyError for an unknown kind.
    """

    def __init__(self, kind: str, time_zone: str) -> None:
        self._kind = kind
        self._next = _NEXT[kind]
        self._zone: tzinfo = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
        self._known = (0, 0)

    def period(self, at_us: int) -> tuple[int, int]:
        """When the period that holds `at_us` begins and ends. Microseconds since the Unix epoch."""
        start, end = self._known
        if not start <= at_us < end:
            start, end = self._known = self._find(at_us // _SECOND)
        return start, end

    def around(self, at_us: int) -> tuple[int, int, int, int]:
        """The edges of the period that holds `at_us` and of its two neighbours."""
        start, end = self.period(at_us)
        before, _ = self._find(start // _SECOND - 1)
        _, after = self._find(end // _SECOND)
        return before, start, end, after

    def _find(self, second: int) -> tuple[int, int]:
        first = self._floor(self._wall(second))
        following = self._next(first)
        # After the clocks were set back across an edge, the wall shows a period that was over before.
        while (end := self._moment(following)) <= second:
            first, following = following, self._next(following)
        return self._moment(first) * _SECOND, end * _SECOND

    def _floor(self, wall: datetime) -> datetime:
        hour = wall.replace(minute=0, second=0)
        if self._kind == "hour":
            return hour
        day = hour.replace(hour=0)
        if self._kind == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self._kind == "month" else day

    def _wall(self, second: int) -> datetime:
        return datetime.fromtimestamp(second, self._zone).replace(tzinfo=None, fold=0)

    def _moment(self, wall: datetime) -> int:
        """The first second at which the clocks show `wall` or later."""
        second = (wall.replace(tzinfo=self._zone) - _EPOCH) // timedelta(seconds=1)
        skipped = (self._wall(second) - wall) // timedelta(seconds=1)
        if skipped <= 0:
            return second
        span = range(second - skipped, second)
        return span.start + bisect_left(span, True, key=lambda moment: self._wall(moment) >= wall)


@lru_cache(maxsize=256)
def calendar_of(kind: str, time_zone: str) -> Calendar:
    """The calendar, made once."""
    return Calendar(kind, time_zone)
