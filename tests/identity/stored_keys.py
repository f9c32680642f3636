"""Keys in a store that can be made to be out."""

from __future__ import annotations

from typing import Any

from tidegate.errors import StoreUnavailable
from tidegate.identity import RedisKeys, mint_key
from tidegate.identity.key_store import Changes

PEPPER = b"a pepper of the tests"


def minted(number: int) -> tuple[str, dict[str, Any]]:
    key, key_id, digest = mint_key(PEPPER, key_id=f"stored{number:06}")
    return key, {"id": key_id, "hash": digest, "subject": f"s{number}", "tenant": "acme", "tier": "free"}


class Flaky:
    """Keys that can be made to be out."""

    def __init__(self, keys: RedisKeys) -> None:
        self.keys = keys
        self.out = False
        self.broken = False
        self.counted: list[dict[str, int]] = []

    async def since(self, number: int, mark: bytes = b"") -> Changes:
        if self.broken:
            raise RuntimeError("a bug")
        if self.out:
            raise StoreUnavailable("out")
        return await self.keys.since(number, mark)

    async def count(self, uses: Any, *, now: float) -> None:
        if self.out:
            raise StoreUnavailable("out")
        self.counted.append(dict(uses))

    async def close(self) -> None:
        pass
