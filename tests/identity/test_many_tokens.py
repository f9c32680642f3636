"""Ten thousand distinct tokens that are all in use, and as many that come once: memory stays where it is."""

from __future__ import annotations

import gc
import tracemalloc

from tidegate.identity import BearerVerifier, KeySets
from tidegate.model import Identity

from tests.identity import forge
from tests.identity.forge import FakeClock
from tests.identity.signatures import Signatures

LIVE = 10_000
BYTES_EACH = 4096  # a token of a kilobyte, what it proves, and its place


def tokens(start: int) -> list[str]:
    claims = forge.good_claims()
    return [
        forge.token(claims | {"jti": f"token-{n}", "sub": f"user-{n}", "session": "s" * 400}, alg="ES256", key="ec")
        for n in range(start, start + LIVE)
    ]


def in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_ten_thousand_live_tokens_are_remembered_in_bounded_memory(
    clock: FakeClock, signatures: Signatures
) -> None:
    verifier, issuers = BearerVerifier(clock=clock, key_sets=KeySets(clock=clock)), (forge.issuer(),)

    async def verify(given: list[str]) -> int:
        """How many signatures had to be checked."""
        before = signatures.checked
        for token in given:
            assert isinstance(await verifier.verify(token, issuers, policy_version="v"), Identity)
        return signatures.checked - before

    live, once = tokens(0), tokens(LIVE)
    tracemalloc.start()
    try:
        empty = in_use()
        assert await verify(live) == LIVE
        full = in_use()
        assert full - empty < LIVE * BYTES_EACH
        assert await verify(live) == 0
        assert await verify(once) == LIVE
        assert len(verifier._verified) == LIVE
        assert in_use() - empty < 1.1 * (full - empty)
        assert await verify(once) == 0
    finally:
        tracemalloc.stop()
