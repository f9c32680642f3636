"""Uses add up beside the key file: exactly, whoever writes, and without a word of what was lost."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from pathlib import Path

import pytest
from tidegate.errors import PolicyError, StoreUnavailable
from tidegate.identity.key_store import Use
from tidegate.identity.key_use_file import FileSums, read_uses
from tidegate.identity.key_uses import KeyUses, Telling

from tests.identity.forge import NOW, FakeClock
from tests.turns import Turns


def worker(path: Path, number: int) -> None:
    async def run() -> None:
        for turn in range(20):
            await FileSums(lambda: path).count({"shared": 2, f"own{number}": 1}, now=NOW + turn)

    asyncio.run(run())


def test_nothing_is_lost_between_processes_that_add_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=worker, args=(path, number)) for number in range(3)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert read_uses(path) == {"shared": Use(120, NOW + 19), **{f"own{n}": Use(20, NOW + 19) for n in range(3)}}
    assert (tmp_path / "keys.yaml.uses").stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["keys.yaml.uses"]


async def test_a_clock_that_goes_back_takes_no_use_back(tmp_path: Path) -> None:
    sums = FileSums(lambda: tmp_path / "keys.yaml")
    await sums.count({"k": 1}, now=NOW)
    await sums.count({"k": 1}, now=NOW - 60)
    assert read_uses(tmp_path / "keys.yaml") == {"k": Use(2, NOW)}


async def test_a_policy_without_a_key_file_has_nothing_to_count(tmp_path: Path) -> None:
    await FileSums(lambda: None).count({"k": 1}, now=NOW)
    assert read_uses(tmp_path / "keys.yaml") is None
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("text", ["{", "[]", '{"k": 1}', '{"k": [1]}', '{"k": ["1", 2]}', '{"k": [1, 2, 3]}'])
async def test_what_nobody_wrote_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys.yaml.uses").write_text(text)
    with pytest.raises(PolicyError, match=r"keys\.yaml\.uses:1"):
        read_uses(tmp_path / "keys.yaml")
    with pytest.raises(StoreUnavailable):
        await FileSums(lambda: tmp_path / "keys.yaml").count({"k": 1}, now=NOW)
    assert (tmp_path / "keys.yaml.uses").read_text() == text


async def test_uses_wait_for_a_folder_that_cannot_be_written_to_and_that_is_said_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    said: list[str] = []
    uses, turns, path = KeyUses(), Turns(3, clock.advance), tmp_path / "not-there-yet" / "keys.yaml"
    telling = Telling(uses, FileSums(lambda: path), clock=clock, on_silence=said.append, sleep=turns)
    uses.note("k")
    telling.start()
    await turns.done.wait()
    assert len(said) == 1
    assert "No such file" in said[0]
    path.parent.mkdir()
    uses.note("k")
    await telling.close()
    assert json.loads((path.parent / "keys.yaml.uses").read_text()) == {"k": [2, round(clock.now())]}
