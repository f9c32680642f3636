"""An exchange that is over is freed at once: what waits for the garbage collector is memory that grows for minutes.

A worker's collector looks seldom (`server.py`), and an exchange that has lived through a look waits for a rarer one.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.terms import Terms
from tidegate.model import Proof

from tests.envoy.priced import HELD, event
from tests.envoy.served import message
from tests.envoy.stage import Stage
from tests.envoy.world import HANDOFF, sse

PIECE = message(body=sse("hello there, write to bob@", done=False))


def ours() -> Counter[str]:
    """Objects of the service that were made in the block and live, garbage among them."""
    alive = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in alive if str(kind.__module__).startswith("tidegate."))


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize(
    "messages",
    [
        [message(HANDOFF), PIECE, message(body=sse("example.com"), end=True)],
        [message(HELD), message(body=event("x" * 40)), message(body=event("y", usage=None), end=True)],
        [message(HELD), message(body=event("x" * 40))],
        [message(HANDOFF), PIECE],
        [message(HANDOFF), message(HANDOFF)],
        [message(HANDOFF)],
        [],
    ],
    ids=["whole", "counted", "counted, left", "left", "out of order", "only headers", "nothing"],
)
@pytest.mark.parametrize("silence", [0, 60], ids=["busy", "silent"])
async def test_nothing_of_an_exchange_waits_for_the_collector(
    messages: list[ext_proc.ProcessingRequest], silence: int
) -> None:
    async def carry() -> None:
        stage = Stage()
        for each in messages:
            await stage.send(each)
            await stage.clock.turn(silence)
        await stage.over()
        vars(stage).clear()  # its task that failed keeps frames, and they the stage

    await carry()  # what is made once is made now
    with without_collector():
        await carry()
        await asyncio.sleep(0)
        assert ours() == Counter()


async def test_a_term_that_is_closed_keeps_nothing_and_interrupts_nothing() -> None:
    """What it would interrupt knows the term, so the two would keep each other."""
    terms = Terms(lambda *_: "revoked", on_error=lambda _: None)
    exchange = Exchange(plan=lambda _: None, open_body=lambda *_: None)  # type: ignore[arg-type,return-value]
    exchange.handoff = HANDOFF._replace(proof=Proof("api_key", "id"))
    called: list[int] = []
    interrupt = partial(called.append, 1)
    term = terms.open(interrupt)
    term.follow(exchange)
    term.look(lambda *_: "revoked")
    assert called == [1]
    term.close()
    term.look(lambda *_: "revoked")
    assert called == [1]
    assert not any(each is term for each in gc.get_referrers(interrupt))
