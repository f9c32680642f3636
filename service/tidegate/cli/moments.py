"""Times and durations as flags give them."""

from __future__ import annotations

from datetime import datetime, timedelta

from tidegate.settings import SettingsError


def moment(flag: str, text: str) -> datetime:
    """A time with a zone. Raises `SettingsError`, which names the flag."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise SettingsError(f"{flag}: '{text}' is not ISO 8601 with a zone, like 2030-01-01T00:00:00Z")
    return found


def span(flag: str, text: str) -> timedelta:
    """A duration in the notation of policies. Raises `SettingsError`, which names the flag."""
    from tidegate.policy.durations import parse_duration

    try:
        return timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{flag}: {error}") from None
