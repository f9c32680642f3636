"""How often keys are used is told seldom, in parts, and none of it is lost."""

from __future__ import annotations

from tidegate.identity import KeyUses
from tidegate.identity.key_uses import Telling

from tests.identity.forge import NOW, FakeClock
from tests.identity.stored_keys import Flaky
from tests.turns import Turns


async def test_uses_are_written_seldom_in_parts_and_never_lost(flaky: Flaky, clock: FakeClock) -> None:
    uses = KeyUses()
    await uses.flush(flaky, now=NOW)
    assert flaky.counted == []
    for number in range(5):
        for _ in range(number + 1):
            uses.note(f"k{number}")
    flaky.out = True
    await uses.flush(flaky, now=NOW)
    uses.note("k0")
    flaky.out = False
    for _ in range(4):
        await uses.flush(flaky, now=NOW, at_most=2)
    assert [len(part) for part in flaky.counted] == [2, 2, 1]
    assert {key: count for part in flaky.counted for key, count in part.items()} == {
        "k0": 2, "k1": 2, "k2": 3, "k3": 4, "k4": 5
    }  # fmt: skip


async def test_uses_are_told_every_five_seconds_and_at_the_end(flaky: Flaky, clock: FakeClock) -> None:
    turns, uses = Turns(2, clock.advance), KeyUses()
    telling = Telling(uses, flaky, clock=clock, sleep=turns)
    uses.note("stored000001")
    telling.start()
    await turns.done.wait()
    assert turns.slept == {5.0}
    assert flaky.counted == [{"stored000001": 1}]
    for number in range(2500):
        uses.note(f"k{number}")
    await telling.close()
    assert [len(part) for part in flaky.counted[1:]] == [1000, 1000, 500]


async def test_a_store_that_is_out_holds_nobody_at_the_end(flaky: Flaky, clock: FakeClock) -> None:
    uses, flaky.out = KeyUses(), True
    uses.note("stored000001")
    await Telling(uses, flaky, clock=clock).close()
    assert len(uses) == 1
