"""What a process holds, and by how much that grows."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.load.watch import MEBI, Sample, growth, look

START = 120 * MEBI


def series(sizes: Sequence[float]) -> list[Sample]:
    return [Sample(5.0 * place, round(size), 0, 0, 0) for place, size in enumerate(sizes)]


def noise(count: int) -> list[float]:
    rng = random.Random(3)
    return [START + rng.gauss(0, MEBI) for _ in range(count)]


def test_noise_is_no_growth() -> None:
    assert abs(growth(series(noise(300)))) < MEBI / 2


def test_a_slow_leak_under_noise_is_found() -> None:
    leaking = [size + 10 * MEBI * place / 300 for place, size in enumerate(noise(300))]
    assert growth(series(leaking)) == pytest.approx(10 * MEBI, rel=0.15)


def test_a_peak_that_is_over_is_no_growth() -> None:
    peak = [size + (50 * MEBI if 100 <= place < 130 else 0) for place, size in enumerate(noise(300))]
    assert abs(growth(series(peak))) < MEBI


def test_what_shrinks_does_not_grow() -> None:
    assert growth(series([START - place * MEBI for place in range(10)])) == -9 * MEBI


@pytest.mark.parametrize("count", [0, 1])
def test_one_look_is_no_growth(count: int) -> None:
    assert growth(series([START] * count)) == 0


def test_a_process_is_looked_at_as_it_is() -> None:
    before = look(os.getpid(), 1.0)
    ballast = bytearray(os.urandom(32 * MEBI))
    with Path(os.devnull).open("rb"):
        after = look(os.getpid(), 2.0, tasks=7)
    assert after.resident - before.resident > 24 * MEBI
    assert after.descriptors == before.descriptors + 1
    assert (after.at, after.tasks, len(ballast)) == (2.0, 7, 32 * MEBI)
    assert 0 < after.proportional <= after.resident
    assert after.threads >= 1


def test_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        look(2**22 + 1, 1.0)
