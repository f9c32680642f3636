"""A place outlives its lease for as long as its exchange runs, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.test_concurrency import FILTERED, LIMIT, PLAIN, POLICY, all_free, ask, streaming
from tests.e2e.upstream import Answer, Hold, Upstream, chat, json_answer


@pytest.fixture(scope="module")
def brief(counting: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """Places that lapse after a second."""
    policy = POLICY.replace("LEASE", "1s")
    with running_gate(tmp_path_factory.mktemp("brief"), upstream, policy=policy, **counting) as gate:
        yield gate


def renewed(gate: Gate, times: int) -> None:
    """Wait until so many renewals more were made: with a lease of 1 s, three of one exchange are one second."""
    before = gate.metric("tidegate_extensions_total", why="renewal", outcome="extended")
    until(lambda: gate.metric("tidegate_extensions_total", why="renewal", outcome="extended") >= before + times)


@pytest.mark.parametrize("path", [FILTERED, PLAIN])
def test_a_stream_keeps_its_place_past_its_lease(brief: Gate, model: str, path: str) -> None:
    holds = [Hold() for _ in range(LIMIT)]
    with ExitStack() as stack:
        answers = [stack.enter_context(streaming(brief, model, hold, path)) for hold in holds]
        renewed(brief, LIMIT * 5)
        assert ask(brief, model).status_code == 429
        for hold, answer in zip(holds, answers, strict=True):
            hold.open()
            assert b"[DONE]" in answer.read()
    all_free(brief, model)


@pytest.mark.parametrize("path", [FILTERED, PLAIN])
def test_a_model_that_thinks_past_the_lease_keeps_the_place(brief: Gate, model: str, path: str) -> None:
    hold = Hold()
    body = json_answer(chat("hello"))
    head = "".join(f"{name}: {value}\r\n" for name, value in body.headers)
    slow = Answer([hold, f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), *body.steps], raw=True)
    with ThreadPoolExecutor(LIMIT) as pool:
        waiting = [pool.submit(ask, brief, model, slow, path) for _ in range(LIMIT)]
        renewed(brief, LIMIT * 5)
        assert ask(brief, model).status_code == 429
        hold.open()
        assert [answer.result(20).status_code for answer in waiting] == [200] * LIMIT
    all_free(brief, model)
