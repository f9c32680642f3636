"""What happens to an API key in its life, as pure steps from one entry to the next. Its id never changes hands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tidegate.identity.key_file import KeyEntry


class KeyChangeRefused(Exception):
    """The step makes no sense for this key; the text says why, to whoever asked."""


def rotated(entry: KeyEntry, digest: str, *, overlap_until: datetime | None) -> KeyEntry:
    """With `digest` (as `mint_key` gives it) as the newest secret. The one before is good until `overlap_until`.

    None ends it at once. Of two live secrets the older is given up.
    """
    _refuse_revoked(entry)
    record = entry.record()
    newest = (record.pop("hashes", None) or [record.pop("hash", "")])[-1]
    record.pop("overlap_until", None)
    if overlap_until is None:
        return _entry(record | {"hash": digest})
    return _entry(record | {"hashes": [newest, digest], "overlap_until": overlap_until.isoformat()})


def revoked(entry: KeyEntry, *, now: float) -> KeyEntry:
    """Of no use from now on, and for good. `now` is Unix seconds. The entry stays, so that its id is not given anew."""
    if entry.revoked is not None:
        return entry
    return _entry(entry.record() | {"revoked": datetime.fromtimestamp(int(now), UTC).isoformat()})


def expiring(entry: KeyEntry, at: datetime | None) -> KeyEntry:
    """Good until `at`; None for no end."""
    _refuse_revoked(entry)
    record = entry.record()
    record.pop("expires", None)
    return _entry(record if at is None else record | {"expires": at.isoformat()})


def _refuse_revoked(entry: KeyEntry) -> None:
    if entry.revoked is not None:
        raise KeyChangeRefused(f"key {entry.id} is revoked, for good; create another")


def _entry(record: dict[str, Any]) -> KeyEntry:
    return KeyEntry.model_validate(record)
