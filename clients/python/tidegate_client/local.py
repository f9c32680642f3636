"""The policy engine in this process: the service's own code behind the client's own methods, without a network.

Needs the `tidegate` package, which this module imports when an engine is made and not before. Limits are counted in
this process's memory, so they hold for this process only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from tidegate_client.background import Background
from tidegate_client.engine import OnUnavailable, PolicyEngine, SyncPolicyEngine
from tidegate_client.errors import TidegateError, failure_of
from tidegate_client.messages import Call, StreamRpc
from tidegate_client.stream import Ask, AsyncAsk

if TYPE_CHECKING:
    from tidegate.policy.compiled import Policy

Result = TypeVar("Result")


class LocalPolicy(PolicyEngine):
    """A policy (a file, or a compiled `Policy`) in force in this process, for asyncio.

    `key_pepper` is the secret that the hashes of API keys are keyed with. Raises `ImportError` when the service's
    package is missing or of another version, and the service's `PolicyError` when the policy cannot be used.
    """

    def __init__(
        self, policy: str | Path | Policy, *, key_pepper: bytes = b"", on_unavailable: OnUnavailable = "raise"
    ) -> None:
        self.on_unavailable = on_unavailable
        try:
            from tidegate_client.inprocess import InProcess
        except (ImportError, TypeError) as error:  # TypeError: protobuf refuses two versions of one file
            raise ImportError(
                "LocalPolicy runs the policy engine in this process and needs the 'tidegate' package of the same "
                "version: pip install 'tidegate-client[local]'"
            ) from error
        self._engine = InProcess(policy, key_pepper)

    async def close(self) -> None:
        """Release the engine's background tasks and connections."""
        await self._engine.close()

    async def _call(self, call: Call[Result]) -> Result:
        try:
            answer = await self._engine.answer(call.rpc, call.request)
        except Exception as failure:
            raise self._failure(failure) from failure
        return call.read(answer)

    @asynccontextmanager
    async def _stream(self, rpc: StreamRpc, start: Message) -> AsyncGenerator[AsyncAsk, None]:
        sent: deque[Message] = deque()

        async def messages() -> AsyncIterator[Message]:
            while True:  # the engine takes one message for each answer, and is asked after each message
                yield sent.popleft()

        answers = self._engine.stream(rpc, messages())

        async def ask(request: Message) -> Any:
            sent.append(request)
            try:
                return await anext(answers)
            except Exception as failure:
                raise self._failure(failure) from failure

        try:
            await ask(start)
            yield ask
        finally:
            await answers.aclose()

    def _failure(self, failure: Exception) -> TidegateError:
        return failure_of(*self._engine.fault_of(failure))


class LocalPolicySync(SyncPolicyEngine):
    """`LocalPolicy` for code that does not await (Flask). Safe to share among threads.

    The engine runs on an event loop in a thread of its own, which the first call starts: a server that forks may create
    this before it forks, and must not call it before.
    """

    def __init__(
        self, policy: str | Path | Policy, *, key_pepper: bytes = b"", on_unavailable: OnUnavailable = "raise"
    ) -> None:
        self.on_unavailable = on_unavailable
        self._inner = LocalPolicy(policy, key_pepper=key_pepper)
        self._background = Background("tidegate-local")

    def close(self) -> None:
        """Release the engine and end its thread."""
        self._background.stop(self._inner.close)

    def _call(self, call: Call[Result]) -> Result:
        return self._background.run(self._inner._call(call))

    @contextmanager
    def _stream(self, rpc: StreamRpc, start: Message) -> Generator[Ask, None, None]:
        run = self._background.run
        stream = self._inner._stream(rpc, start)
        ask = run(stream.__aenter__())
        try:
            yield lambda request: run(ask(request))
        finally:
            run(stream.__aexit__(None, None, None))
