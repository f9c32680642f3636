"""Opaque tokens: the endpoint that made them is asked what they are worth (RFC 7662).

One question at a time for each token, `at_once` for each endpoint: one that is slow, or asked too much, takes nothing
from the others. Where there are more, the askers take turns: made-up tokens by the thousand are one asker's. An answer,
good or bad, is used for as long as the policy says and never past the token's `exp`; it is kept under a hash of the
token. A provider that cannot be reached is left alone for `retry_interval`; one that answers with an error is not,
because a token could be made to provoke that.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from tidegate.clock import Clock
from tidegate.identity import claims, refusals
from tidegate.identity.inquiries import Inquiries, Inquiry
from tidegate.identity.provider import FAILURES, Provider, Unusable
from tidegate.identity.token import TokenRejected
from tidegate.identity.turns import Turns
from tidegate.model import Deny, Identity
from tidegate.policy.compiled_identity import Introspection

INACTIVE: Final = "inactive"
"""The detail of a refusal that is the provider's word: it knows no such token, or does so no longer."""
_MAX_LENGTH: Final = 4096
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # b64token of RFC 6750 section 2.1

_Key = tuple[bytes, str, str]


class _Answer(NamedTuple):
    """A verdict and how long it holds: monotonic seconds, and Unix seconds of the token's own end."""

    verdict: Identity | Deny
    until: float
    expires: float


class Introspector:
    """Asks about opaque tokens. Never raises for anything that a token or an answer can hold.

    `timeout`, for a turn and again for an answer, and `retry_interval` are seconds; `cache_size` bounds the answers
    that are remembered. With `inquiries` an identity tells how to ask about its token again.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        provider: Provider | None = None,
        timeout: float = 2.0,
        retry_interval: float = 1.0,
        cache_size: int = 10_000,
        at_once: int = 64,
        inquiries: Inquiries | None = None,
    ) -> None:
        self._clock = clock
        self._provider = provider or Provider(timeout=timeout)
        self._timeout = timeout
        self._retry_interval = retry_interval
        self._cache_size = cache_size
        self._at_once = at_once
        self._inquiries = inquiries
        self._rooms: dict[str, Turns] = {}  # by url
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()
        self._questions: dict[_Key, asyncio.Task[Identity | Deny]] = {}
        self._silent: dict[str, tuple[float, str]] = {}  # url → since when, and why

    async def introspect(
        self, token: str, endpoint: Introspection, *, policy_version: str, asker: str = ""
    ) -> Identity | Deny:
        """The identity that `endpoint` gives `token`, or the refusal. `asker` is in whose name it is asked.

        401 for a token that is not active, 403 for one whose answer gives no tenant or tier, 503 when there is no
        usable answer. `policy_version` must change whenever `endpoint` does, but for its secret.
        """
        if len(token) > _MAX_LENGTH or _TOKEN.fullmatch(token) is None:
            return refusals.invalid("token_malformed")
        key = (sha256(token.encode("ascii")).digest(), policy_version, endpoint.name)
        known = self._answers.get(key)
        if known is not None:
            if self._clock.monotonic() < known.until and self._clock.now() < known.expires:
                self._answers.move_to_end(key)
                return known.verdict
            del self._answers[key]
        question = self._questions.get(key)
        if question is None:
            asking = self._verdict(token, endpoint, key, asker)
            question = asyncio.create_task(asking, name=f"introspection {endpoint.name}")
            self._questions[key] = question
            question.add_done_callback(lambda _: self._questions.pop(key, None))
        return await asyncio.shield(question)  # a caller that gives up does not end the question of others

    async def close(self) -> None:
        """Stop every question and close the client."""
        running = list(self._questions.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._provider.close()

    async def _verdict(self, token: str, endpoint: Introspection, key: _Key, asker: str) -> Identity | Deny:
        since, why = self._silent.get(endpoint.url, (-math.inf, ""))
        if self._clock.monotonic() - since < self._retry_interval:
            return refusals.unavailable(f"{endpoint.name}: {why}")
        try:
            answer = await self._ask(token, endpoint, asker)
            verdict, expires = self._judge(answer, endpoint, key[0])
            if self._inquiries is not None and isinstance(verdict, Identity):
                sealed = self._inquiries.seal(Inquiry(endpoint.name, token))
                verdict = verdict._replace(inquiry=sealed, asked=self._clock.now())
        except FAILURES as failure:
            why = f"{type(failure).__name__}: {failure}"
            if not isinstance(failure, ValueError):
                self._silent[endpoint.url] = (self._clock.monotonic(), why)
            return refusals.unavailable(f"{endpoint.name}: {why}")
        except Exception as failure:  # noqa: BLE001
            # Rule 10 of the design's list: whatever breaks on a stranger's bytes, it is a refusal.
            return refusals.invalid(f"unexpected_{type(failure).__name__}")
        self._remember(key, _Answer(verdict, self._clock.monotonic() + endpoint.cache, expires))
        return verdict

    async def _ask(self, token: str, endpoint: Introspection, asker: str) -> dict[str, Any]:
        form = {"token": token, "token_type_hint": "access_token"}
        auth = None
        if endpoint.client_auth == "basic":  # both are form-encoded before (RFC 6749 section 2.3.1)
            auth = (quote_plus(endpoint.client_id), quote_plus(endpoint.client_secret))
        else:
            form |= {"client_id": endpoint.client_id, "client_secret": endpoint.client_secret}
        self._provider.open()
        room = self._rooms.setdefault(endpoint.url, Turns(self._at_once))
        try:
            async with asyncio.timeout(self._timeout):
                await room.acquire(asker)
        except TimeoutError:  # which is no fault of the endpoint's: it is not left alone for that
            raise Unusable("too many questions at once") from None
        try:
            async with asyncio.timeout(self._timeout):
                return await self._provider.post(endpoint.url, form, auth=auth)
        finally:
            room.release()

    def _judge(self, answer: dict[str, Any], endpoint: Introspection, digest: bytes) -> tuple[Identity | Deny, float]:
        try:
            expires, audiences = claims.check_answer(answer, endpoint, now=self._clock.now())
            short = digest.hex()[:16]
            identity = claims.map_identity(answer, endpoint.claims, "introspection", short, expires, audiences)
        except TokenRejected as rejected:
            deny = refusals.expired if rejected.expired else refusals.invalid
            return deny(rejected.reason), math.inf
        except claims.ClaimsUnmapped as unmapped:
            return refusals.unmapped(unmapped.reason), math.inf
        return identity, expires

    def _remember(self, key: _Key, answer: _Answer) -> None:
        self._answers[key] = answer
        while len(self._answers) > self._cache_size:
            self._answers.popitem(last=False)
