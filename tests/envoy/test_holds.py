"""A reservation lives as long as its exchange, on a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from tidegate.envoy.holds import Holds
from tidegate.errors import StoreUnavailable

from tests.envoy.clock import Turned


class Book:
    """One reservation, which lapses when it is not extended in time."""

    def __init__(self, clock: Turned, hold: float) -> None:
        self.clock = clock
        self.lease = hold
        self.until = hold
        self.calls: list[tuple[float, Mapping[str, int]]] = []
        self.failures: list[Exception] = []
        self.refuses = False

    async def extend(
        self, reservation: str, costs: Mapping[str, int], *, hold: float
    ) -> Literal["extended", "refused", "gone"]:
        assert reservation == "res-1"
        self.calls.append((self.clock.now, costs))
        if self.failures:
            raise self.failures.pop(0)
        if self.clock.now >= self.until:
            return "gone"
        assert hold == 600
        self.until = self.clock.now + self.lease
        return "refused" if self.refuses else "extended"


def holds(book: Book) -> tuple[Holds, list[Any], list[Exception]]:
    told: list[Any] = []
    errors: list[Exception] = []
    return (
        Holds(book, record=lambda *given: told.append(given), on_error=errors.append, sleep=book.clock.sleep),
        told,
        errors,
    )


async def test_a_reservation_is_renewed_every_third_of_its_hold_for_as_long_as_it_is_kept() -> None:
    book = Book(Turned(), hold=30)
    subject, told, _ = holds(book)
    kept = subject.keep("res-1", 600, 30)
    await asyncio.sleep(0)
    await book.clock.turn(1000)
    assert [at for at, _ in book.calls] == [10.0 * n for n in range(1, 101)]
    assert all(costs == {} for _, costs in book.calls)
    assert book.clock.now < book.until
    kept.cancel()
    await book.clock.turn(1000)
    assert len(book.calls) == 100
    assert told == [("renewal", "extended")] * 100


async def test_two_renewals_may_fail_and_the_reservation_still_lives() -> None:
    book = Book(Turned(), hold=30)
    broke = RuntimeError("boom")
    book.failures = [StoreUnavailable("out"), broke]
    subject, _, errors = holds(book)
    kept = subject.keep("res-1", 600, 30)
    await asyncio.sleep(0)
    await book.clock.turn(29.9)
    assert errors == [broke]
    book.until = 30.1  # a store's clock is not ours
    await book.clock.turn(10)
    assert book.until == 60.0
    kept.cancel()


async def test_renewing_ends_when_the_reservation_is_gone() -> None:
    book = Book(Turned(), hold=30)
    book.until = 5
    subject, _, _ = holds(book)
    kept = subject.keep("res-1", 600, 30)
    await asyncio.sleep(0)
    await book.clock.turn(1000)
    assert len(book.calls) == 1
    assert kept.done()


@pytest.mark.parametrize(
    ("failure", "refuses", "answer"),
    [
        (None, False, "extended"),
        (None, True, "refused"),
        (StoreUnavailable("out"), False, "unavailable"),
        (RuntimeError("boom"), False, "unavailable"),
    ],
)
async def test_how_each_extension_went_is_told(failure: Exception | None, refuses: bool, answer: str) -> None:
    book = Book(Turned(), hold=30)
    book.failures = [] if failure is None else [failure]
    book.refuses = refuses
    subject, told, errors = holds(book)
    assert await subject.extend("res-1", {"tokens": 64}, 600) == answer
    assert book.calls == [(0.0, {"tokens": 64})]
    assert told == [("growth", answer)]
    assert errors == ([failure] if isinstance(failure, RuntimeError) else [])
