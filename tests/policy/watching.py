"""A policy file that is watched, what its source reports, and ways to change the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tidegate.errors import PolicyError
from tidegate.policy import Policy, PolicySource

KEYS = {"keys": [{"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"}]}
DEADLINE = 20.0


def document(weight: int, identity: str = "{}") -> str:
    return f"version: 1\nplatform: {{identity: {identity}}}\ntiers: {{free: {{weight: {weight}}}}}\n"


def with_files(weight: int, jwks: str = "jwks.json") -> str:
    issuer = f"{{name: a, issuer: b, audiences: [c], jwks_file: {jwks}, claims: {{tenant: t, tier: t}}}}"
    return document(weight, f"{{api_keys: {{file: keys.yaml}}, issuers: [{issuer}]}}")


class Seen:
    """What a source reported, to be waited for."""

    def __init__(self) -> None:
        self.policies: list[Policy] = []
        self.errors: list[PolicyError] = []
        self.news = asyncio.Event()

    def on_change(self, policy: Policy) -> None:
        self.policies.append(policy)
        self.news.set()

    def on_error(self, error: PolicyError) -> None:
        self.errors.append(error)
        self.news.set()

    async def next(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.news.wait()
        self.news.clear()

    async def weight(self, wanted: int, source: PolicySource) -> None:
        async with asyncio.timeout(DEADLINE):
            while source.current.tiers["free"].weight != wanted:
                await self.news.wait()
                self.news.clear()


def replace(file: Path, text: str) -> None:
    """As careful editors do: a new file takes the name in one step."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.rename(file)


@asynccontextmanager
async def watched(file: Path) -> AsyncIterator[tuple[PolicySource, Seen]]:
    seen, stop = Seen(), asyncio.Event()
    source = PolicySource(file, on_change=seen.on_change, on_error=seen.on_error)
    watch = asyncio.create_task(source.watch(stop))
    try:
        yield source, seen
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE):
            await watch
