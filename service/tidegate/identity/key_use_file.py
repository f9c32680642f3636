"""The uses of the keys in a key file, in a JSON file beside it: all processes of a machine add to the same.

keys.yaml.uses    {"acme0prod0001": [1024, 1893456000]}    how often, and when last (Unix seconds)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import PolicyError, Problem, StoreUnavailable
from tidegate.identity.key_store import Use
from tidegate.identity.replacing import only_writer, replace

_FILE: TypeAdapter[dict[str, tuple[int, float]]] = TypeAdapter(dict[str, tuple[int, float]])


class FileSums:
    """Adds up beside the key file that `path` gives at the time, None for none. A crash leaves the sums of before."""

    def __init__(self, path: Callable[[], Path | None]) -> None:
        self._path = path

    async def count(self, uses: Mapping[str, int], *, now: float) -> None:
        """Add to the uses of keys, by id; they were last used at `now` (Unix seconds). Raises StoreUnavailable."""
        path = self._path()
        if path is None:
            return
        try:
            await asyncio.to_thread(_add, path, uses, now)
        except (OSError, PolicyError) as failure:
            raise StoreUnavailable(f"the uses of API keys: {failure}") from failure

    async def close(self) -> None:
        """Nothing is held open."""


def read_uses(path: Path) -> dict[str, Use] | None:
    """The uses of the keys in the key file at `path`; None where nobody has counted. Raises PolicyError and OSError."""
    beside = _beside(path)
    try:
        raw = beside.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return {key_id: Use(*use) for key_id, use in _FILE.validate_json(raw, strict=True).items()}
    except ValidationError:
        raise PolicyError((Problem(str(beside), 1, "", "is not what was written there"),)) from None


def _add(path: Path, uses: Mapping[str, int], now: float) -> None:
    beside = _beside(path)
    with only_writer(beside.parent):
        known = read_uses(path) or {}
        for key_id, times in uses.items():
            before = known.get(key_id, Use(0, 0.0))
            known[key_id] = Use(before.times + times, max(before.last, float(round(now))))
        replace(beside, json.dumps(known))


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.uses")
