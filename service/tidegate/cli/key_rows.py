"""API keys as `tidegate keys list` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tidegate.identity.key_file import KeyEntry
from tidegate.identity.key_store import Use

_NEVER: Final = Use(0, 0.0)


def row(entry: KeyEntry, uses: Mapping[str, Use] | None, now: datetime) -> dict[str, Any]:
    """All that may be told of a key at `now`: its record without hashes, its state and its uses.

    Without `uses` nobody has counted: that is not the same as none.
    """
    record = entry.record()
    secrets = len(record.pop("hashes", (1,)))
    record.pop("hash", None)
    if entry.overlap_until is not None and entry.overlap_until <= now:
        secrets = 1
    state = "live"
    if entry.revoked is not None:
        state = "revoked"
    elif entry.expires is not None and entry.expires <= now:
        state = "expired"
    elif secrets == 2:
        state = "rotating"
    if uses is None:
        return record | {"state": state, "uses": None, "last_used": None}
    use = uses.get(entry.id, _NEVER)
    last = datetime.fromtimestamp(use.last, UTC).isoformat() if use.times else ""
    return record | {"state": state, "uses": use.times, "last_used": last}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in columns, with a head."""
    names = ("id", "state", "subject", "tenant", "tier", "roles", "scopes", "endpoints", "expires", "uses", "last_used")
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (names, *cells)
    )


def _cell(value: Any) -> str:
    if value is None:
        return "?"
    return " ".join(value) if isinstance(value, list) else str(value)
