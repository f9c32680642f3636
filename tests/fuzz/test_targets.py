"""A short run of every fuzz target: all seeds, inputs near them, and inputs of Hypothesis's own making."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import __main__ as command
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

EXAMPLES = {"policy": 60}


def test_every_target_has_seeds_and_is_run_by_make_fuzz() -> None:
    assert set(command.NAMES) == set(TARGETS)
    assert all(seeds(name) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
def test_near_seeds(name: str) -> None:
    given_seeds = seeds(name)

    @settings(
        max_examples=EXAMPLES.get(name, 400),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(seed=st.sampled_from(given_seeds), turn=st.integers(0, 2**32))
    def run(seed: bytes, turn: int) -> None:
        TARGETS[name](mutated(seed, random.Random(turn)))

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_of_all_kinds(name: str) -> None:
    @settings(max_examples=EXAMPLES.get(name, 200), deadline=None, database=None)
    @given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("path", "canonical_path = lambda raw: raw if raw.startswith('/') else None"),
        ("forwarded", "xfcc.last_uris = lambda text: ('spiffe://a.example/first',)"),
    ],
)
def test_a_broken_promise_is_found(name: str, wrong: str, tmp_path: Path) -> None:
    """The negative control: with the promise broken, the command ends with a status and an input that shows it."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r}); from tests.fuzz import targets; "
        f"exec({wrong!r}, targets.__dict__); from tests.fuzz.__main__ import fuzz; sys.exit(fuzz({name!r}, 20))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode != 0
    assert list((tmp_path / ".fuzz" / name).glob("found-*")), done.stderr[-2000:]
