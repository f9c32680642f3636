"""Asks again about opaque tokens that responses hang on which still run."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegate.clock import Clock
from tidegate.identity.inquiries import Inquiries, Inquiry
from tidegate.identity.introspection import INACTIVE, Introspector
from tidegate.model import Deny
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_identity import Introspection

_LEAST: Final = 1.0
"""Seconds between two questions about a token, where the policy keeps no answer for as long."""


@dataclass(slots=True)
class _Followed:
    """What is known of one token. `asked` is the Unix time of the last question."""

    inquiry: Inquiry | None
    asked: float
    over: bool = False
    question: asyncio.Task[None] | None = None


class Renewed:
    """Whether opaque tokens still stand at their providers, for a caller who looks again and again.

    A token is asked about at most once in the `cache` of its endpoint, and never twice at once. `size` bounds those
    that are followed: the least recently looked at goes first, and is asked about anew when it is looked at again.
    `at_once` bounds the questions, which leaves room at the provider for who calls anew; the others have to wait.
    """

    def __init__(
        self,
        *,
        introspector: Introspector,
        inquiries: Inquiries,
        policy: Callable[[], Policy],
        clock: Clock,
        size: int = 10_000,
        at_once: int = 16,
    ) -> None:
        self._introspector = introspector
        self._inquiries = inquiries
        self._policy = policy
        self._clock = clock
        self._size = size
        self._at_once = at_once
        self._asking = 0
        self._followed: OrderedDict[str, _Followed] = OrderedDict()

    def over(self, sealed: str, asked: float) -> bool:
        """Whether the provider was heard to say that the token is not active any more. Never waits: see `Inquiries`.

        `asked` is when the token was last asked about elsewhere (Unix seconds). Whoever does not answer ends nothing,
        nor does an endpoint that the policy in force no longer has.
        """
        known = self._followed.get(sealed)
        if known is None:
            known = self._followed[sealed] = _Followed(self._inquiries.open(sealed), asked)
            while len(self._followed) > self._size:
                self._followed.popitem(last=False)
        self._followed.move_to_end(sealed)
        if known.over or known.inquiry is None or known.question is not None or self._asking >= self._at_once:
            return known.over
        endpoint = self._endpoint(known.inquiry.endpoint)
        now = self._clock.now()
        known.asked = min(max(known.asked, asked), now)  # clocks of replicas differ
        if endpoint is not None and now - known.asked >= max(endpoint.cache, _LEAST):
            known.asked = now
            self._asking += 1
            known.question = asyncio.get_running_loop().create_task(
                self._ask(known, known.inquiry, endpoint), name=f"again: {endpoint.name}"
            )
        return False

    async def close(self) -> None:
        """Stop every question."""
        running = [known.question for known in self._followed.values() if known.question is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, known: _Followed, inquiry: Inquiry, endpoint: Introspection) -> None:
        try:
            verdict = await self._introspector.introspect(
                inquiry.token, endpoint, policy_version=self._policy().version
            )
            if isinstance(verdict, Deny):
                known.over = verdict.detail == INACTIVE
            else:
                known.asked = verdict.asked  # it may be an answer that others were given before
        finally:
            self._asking -= 1
            known.question = None

    def _endpoint(self, name: str) -> Introspection | None:
        policy = self._policy()
        return next((one for one in (*policy.introspections, policy.introspection) if one and one.name == name), None)
