"""The service's own parts put together in this process. Imported only where the `tidegate` package is needed."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import MEMORY, open_queue
from tidegate.api.conductor import Conductor
from tidegate.api.faults import fault_of
from tidegate.api.servicer import ApiServicer
from tidegate.clock import Clock, SystemClock
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.plans import exchanges
from tidegate.envoy.settle import Settlements
from tidegate.envoy.terms import Terms
from tidegate.errors import PolicyError, Problem
from tidegate.hash_key import check_hash_key, hash_key
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore, revocation_file
from tidegate.identity.confirmation import Confirmation
from tidegate.identity.nonces import nonces_under
from tidegate.identity.replays import MemoryReplays
from tidegate.identity.standing import Standing, Why
from tidegate.model import Proof
from tidegate.pipeline import Pipeline
from tidegate.policy import Policy, load_policy
from tidegate.seal_keys import check_seal_keys

from tidegate_client.messages import Rpc, StreamRpc

_EVERY: Final = 1.0
"""How often the files of keys and revoked tokens are looked at, at the most, seconds."""
_LOGGER: Final = "tidegate_client.local"


class InProcess:
    """One policy, its keys, and limits counted in memory. Raises the service's `PolicyError`.

    The policy stays as it is. Its keys and revoked tokens are read again when their files change.
    """

    def __init__(self, policy: str | Path | Policy, key_pepper: bytes, *, clock: Clock | None = None) -> None:
        compiled = policy if isinstance(policy, Policy) else load_policy(Path(policy))
        check_hash_key(compiled, key_pepper)
        check_seal_keys(compiled, (), audited=True)
        if compiled.api_keys is not None and compiled.api_keys.file is None:
            message = "no file: the keys are in a store, which a policy in this process does not have"
            raise PolicyError((Problem("the policy", 0, "platform.identity.api_keys", message),))
        if compiled.revocation is not None and compiled.revocation.file is None:
            message = "no file: the revoked tokens are in a store, which a policy in this process does not have"
            raise PolicyError((Problem("the policy", 0, "platform.revocation", message),))
        if compiled.audit_required:
            message = "nothing is put on record by a policy in this process"
            raise PolicyError((Problem("the policy", 0, "platform.audit.required", message),))
        clock = clock or SystemClock()
        self._key_sets = KeySets(clock=clock)
        self._ledger = MemoryLedger(clock)
        self._credentials = _Credentials(compiled, key_pepper, clock)
        self._introspector = Introspector(clock=clock)
        verifier = BearerVerifier(clock=clock, key_sets=self._key_sets)
        confirmation = Confirmation(clock=clock, replays=MemoryReplays(clock), nonces=nonces_under(key_pepper))
        identifier = Identifier(
            keys=KeyStore({}, pepper=key_pepper),
            verifier=verifier,
            introspector=self._introspector,
            confirmation=confirmation,
            clock=clock,
        )
        self._credentials.read(identifier)
        self._identifier = identifier
        standing = Standing(policy=lambda: compiled, identifier=identifier, clock=clock)

        def over(proof: Proof, subject: str, tenant: str) -> Why:
            self._credentials.look(identifier)
            return standing.over(proof, subject, tenant)

        self._queue = open_queue(MEMORY, ledger=self._ledger, clock=clock)
        pipeline = Pipeline(
            policy=lambda: compiled, identifier=identifier, ledger=self._ledger, on_error=_log, queue=self._queue
        )
        self._keeping = Keeping(
            settlements=Settlements(self._ledger.settle, record=_unrecorded, on_error=_log),
            holds=Holds(self._ledger, record=_unrecorded, on_error=_log),
            places=Places(self._queue, record=_unrecorded, on_error=_log),
            terms=Terms(over, on_error=_log),
        )
        self._api = ApiServicer(
            pipeline=pipeline,
            policy=lambda: compiled,
            ledger=self._ledger,
            queue=self._queue,
            conductor=Conductor(
                exchange=exchanges(lambda: compiled, hash_key(key_pepper)),
                keeping=self._keeping,
                heartbeat=lambda: compiled.heartbeat,
            ),
            credential_headers=identifier.credential_headers,
            hash_key=hash_key(key_pepper),
            on_error=_log,
            clock=clock,
        )
        self._answers: Mapping[Rpc, Callable[[Any], Awaitable[Any]]] = {
            "Decide": self._api.decide,
            "Consume": self._api.consume,
            "Settle": self._api.settle,
            "Extend": self._api.extend,
            "FilterText": self._api.filter_text,
        }

    def stream(self, rpc: StreamRpc, messages: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Answer a stream of messages as the service would. Its messages and the client's are the same classes."""
        self._credentials.look(self._identifier)
        return self._api.exchange(messages) if rpc == "Exchange" else self._api.filter_stream(messages)

    async def answer(self, rpc: Rpc, request: Any) -> Any:
        """Answer one message as the service would."""
        self._credentials.look(self._identifier)
        return await self._answers[rpc](request)

    def fault_of(self, failure: Exception) -> tuple[str, str]:
        """(gRPC status name, details) of a failure, as the service would tell it."""
        return fault_of(failure)

    async def close(self) -> None:
        """Release background tasks and connections."""
        await self._keeping.drained()
        await self._queue.close()
        await self._ledger.close()
        await self._key_sets.close()
        await self._introspector.close()


class _Credentials:
    """The keys and revoked tokens in the files of a policy, looked at by whoever asks: there is nobody else."""

    def __init__(self, policy: Policy, key_pepper: bytes, clock: Clock) -> None:
        self._keys = policy.api_keys.file if policy.api_keys else None
        self._list = policy.revocation.file if policy.revocation else None
        self._pepper = key_pepper
        self._clock = clock
        self._next = 0.0
        self._seen: list[tuple[int, ...]] = []

    def read(self, identifier: Identifier) -> None:
        """Put in force what the files say. Raises `PolicyError`."""
        self._next, self._seen = self._clock.monotonic() + _EVERY, self._stamps()
        keys, listed = KeyStore.load(self._keys, pepper=self._pepper), revocation_file.listed(self._list)
        identifier.keys, identifier.revoked = keys, listed

    def look(self, identifier: Identifier) -> None:
        """`read` what has changed. What cannot be used changes nothing, and is logged."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + _EVERY
        if self._stamps() == self._seen:
            return
        try:
            self.read(identifier)
        except PolicyError as failure:
            logging.getLogger(_LOGGER).error("keys or revoked tokens refused, the old ones stay: %s", failure)

    def _stamps(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for file in (self._keys, self._list):
            try:
                stat = None if file is None else file.stat()
            except OSError:
                stat = None
            found.append(() if stat is None else (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return found


def _log(failure: Exception) -> None:
    """Of what became a denial or an INTERNAL, the kind is told and not the message: it may quote a request."""
    logging.getLogger(_LOGGER).error("unexpected %s", type(failure).__name__)


def _unrecorded(*_told: object) -> None:
    """There are no metrics in this process."""
