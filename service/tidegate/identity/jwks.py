"""Where an issuer's keys come from: the policy itself, or the issuer, which is asked with care (`provider`).

Their address is the policy's `jwks_uri`, or what the issuer's metadata names, read anew each time so that it may move.
One fetch at a time for each address. A set is used for `ttl` seconds, and while the provider fails for at most
`max_age`. Keys rotate without a restart: a token with an unknown key id asks for a newer set, at most once in
`min_interval` seconds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import httpx

from tidegate.clock import Clock
from tidegate.errors import IdentityProviderUnavailable
from tidegate.identity import discovery
from tidegate.identity.keyset import MAX_KEYS, KeySet, key_set
from tidegate.identity.provider import FAILURES, Provider, Unusable
from tidegate.policy.compiled_identity import Issuer

_MAX_STATIC: Final = 256  # compiled policies whose static keys are remembered, times their issuers
_JWK_SET: Final = "application/jwk-set+json, application/json"
_Place = tuple[bool, str]  # (discovered, its jwks_uri or issuer)


@dataclass(slots=True)
class _Source:
    """What is known of the keys of one place. Times are monotonic seconds; -inf stands for never."""

    keys: KeySet | None = None
    fetched: float = float("-inf")
    tried: float = float("-inf")
    failure: str = ""  # why the last attempt gave nothing, "" when it gave a set
    fetch: asyncio.Task[None] | None = None


class KeySets:
    """The key sets of all issuers. `ttl`, `max_age`, `min_interval`, `retry_interval` and `timeout` are seconds.

    `max_age` counts from the last good fetch: no older set is ever used. After a failed fetch the provider is left
    alone for `retry_interval`. The httpx client is closed by `close` only when it was made here.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        client: httpx.AsyncClient | None = None,
        ttl: float = 600.0,
        max_age: float = 3600.0,
        min_interval: float = 10.0,
        retry_interval: float = 5.0,
        timeout: float = 2.0,
    ) -> None:
        self._clock = clock
        self._provider = Provider(client=client, timeout=timeout)
        self._ttl = ttl
        self._max_age = max_age
        self._min_interval = min_interval
        self._retry_interval = retry_interval
        self._timeout = timeout
        self._sources: dict[_Place, _Source] = {}
        self._static: dict[int, tuple[Issuer, KeySet]] = {}

    def fresh(self, issuer: Issuer) -> KeySet | None:
        """The issuer's keys when they are at hand and younger than `ttl`; never waits."""
        if not (issuer.jwks_uri or issuer.discover):
            known = self._static.get(id(issuer))
            return known[1] if known is not None and known[0] is issuer else self._static_keys(issuer)
        source = self._sources.get(_place(issuer))
        if source is None or self._clock.monotonic() - source.fetched >= self._ttl:
            return None
        return source.keys

    async def get(self, issuer: Issuer) -> KeySet:
        """The issuer's keys, fetched when they are not fresh. Raises IdentityProviderUnavailable."""
        keys = self.fresh(issuer)
        if keys is not None:
            return keys
        source = self._sources.setdefault(_place(issuer), _Source())
        if not source.failure or self._clock.monotonic() - source.tried >= self._retry_interval:
            self._start(issuer, source)
        bridged = bool(source.failure) and self._usable(source)  # in an outage nobody waits for the next attempt
        if source.fetch is not None and not bridged:
            await asyncio.shield(source.fetch)
        if source.keys is None or not self._usable(source):
            raise IdentityProviderUnavailable(f"{issuer.name}: {source.failure}")
        return source.keys

    async def newer(self, issuer: Issuer) -> KeySet | None:
        """The keys after one more fetch, for a token whose key id is unknown; None when it is too soon for one.

        Raises IdentityProviderUnavailable when the last attempt failed: whether the key exists cannot be told.
        """
        source = self._sources.get(_place(issuer))
        if source is None:  # static keys never change
            return None
        if self._clock.monotonic() - source.tried >= self._min_interval:
            self._start(issuer, source)
        attempt = source.fetch
        if attempt is not None:
            await asyncio.shield(attempt)
        if source.failure:
            raise IdentityProviderUnavailable(f"{issuer.name}: {source.failure}")
        return None if attempt is None else source.keys

    async def close(self) -> None:
        """Stop every fetch and close the client."""
        running = [source.fetch for source in self._sources.values() if source.fetch is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._provider.close()

    def _static_keys(self, issuer: Issuer) -> KeySet:
        if len(self._static) >= _MAX_STATIC:
            self._static.clear()
        keys = key_set(issuer.jwks)
        self._static[id(issuer)] = (issuer, keys)  # holding the issuer keeps its id from being used again
        return keys

    def _usable(self, source: _Source) -> bool:
        return source.keys is not None and self._clock.monotonic() - source.fetched <= self._max_age

    def _start(self, issuer: Issuer, source: _Source) -> None:
        """Make sure that one fetch runs. It is a task of its own: a caller that gives up does not stop it."""
        if source.fetch is None:
            source.fetch = asyncio.create_task(self._refresh(issuer, source), name=f"keys of {issuer.name}")

    async def _refresh(self, issuer: Issuer, source: _Source) -> None:
        source.tried = self._clock.monotonic()
        try:
            self._provider.open()
            async with asyncio.timeout(self._timeout):
                uri = issuer.jwks_uri or await discovery.jwks_uri(self._provider, issuer.issuer)
                keys = key_set(await self._download(uri))
            source.fetched = self._clock.monotonic()
            source.failure = ""
            if keys != source.keys:  # the same object for the same keys, so that verified tokens stay verified
                source.keys = keys
        except FAILURES as failure:
            source.failure = f"{type(failure).__name__}: {failure}"
        except BaseException as failure:
            source.failure = f"stopped: {type(failure).__name__}"
            raise
        finally:
            source.fetch = None

    async def _download(self, uri: str) -> tuple[object, ...]:
        """The `keys` of the JWK Set document at `uri`."""
        keys = (await self._provider.get(uri, accept=_JWK_SET)).get("keys")
        if not isinstance(keys, tuple) or len(keys) > MAX_KEYS:
            raise Unusable(f"not a JWK set of at most {MAX_KEYS} keys")
        return keys


def _place(issuer: Issuer) -> _Place:
    return issuer.discover, issuer.jwks_uri or issuer.issuer
