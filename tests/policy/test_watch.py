"""Every way of replacing a file is seen, and nothing ends the watch. Real files, real inotify."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tidegate.policy import Policy, PolicySource
from tidegate.policy import reload as reloading
from tidegate.policy.load import Outcome, examine_file

from tests.policy.watching import DEADLINE, KEYS, Seen, document, replace, watched, with_files


async def test_writes_in_place_and_atomic_renames_are_seen(file: Path) -> None:
    async with watched(file) as (source, seen):
        file.write_text(document(2))
        await seen.weight(2, source)
        replace(file, document(3))
        await seen.weight(3, source)


async def test_a_bad_write_is_reported_and_the_next_good_one_taken(file: Path) -> None:
    async with watched(file) as (source, seen):
        replace(file, "version: 1\ntiers: [")
        await seen.next()
        assert seen.errors
        assert source.current.tiers["free"].weight == 1
        replace(file, document(4))
        await seen.weight(4, source)


async def test_a_file_that_goes_and_comes_back_is_seen(file: Path) -> None:
    async with watched(file) as (source, seen):
        file.unlink()
        await seen.next()
        assert "No such file" in str(seen.errors[0])
        file.write_text(document(5))
        await seen.weight(5, source)


async def test_the_swap_of_a_configmaps_link_is_seen(tmp_path: Path) -> None:
    """Kubernetes: policy.yaml -> ..data/policy.yaml, ..data -> ..<time>; an update renames a new link over ..data."""
    for number in (1, 2, 3):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "policy.yaml").write_text(document(number))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    async with watched(tmp_path / "policy.yaml") as (source, seen):
        for number in (2, 3):
            (tmp_path / "..data_tmp").symlink_to(f"..{number}")
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")
            await seen.weight(number, source)


async def test_a_change_behind_a_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.yaml").write_text(document(1))
    (tmp_path / "policy.yaml").symlink_to("real/p.yaml")
    async with watched(tmp_path / "policy.yaml") as (source, seen):
        replace(tmp_path / "real" / "p.yaml", document(2))
        await seen.weight(2, source)


async def test_changes_of_named_files_are_seen(file: Path) -> None:
    (file.parent / "jwks.json").write_text(json.dumps(KEYS))
    file.write_text(with_files(1))
    async with watched(file) as (source, seen):
        version = source.current.version
        (file.parent / "keys.yaml").write_text("keys: []\n")
        await seen.next()
        assert seen.policies[-1].version == version
        replace(file.parent / "jwks.json", json.dumps({"keys": [{**KEYS["keys"][0], "kid": "2"}]}))
        await seen.next()
        assert seen.policies[-1].version != version
        assert source.current.issuers[0].jwks[0]["kid"] == "2"


async def test_a_named_file_that_comes_late_and_elsewhere_is_seen(file: Path) -> None:
    (file.parent / "other").mkdir()
    async with watched(file) as (source, seen):
        replace(file, with_files(2, jwks="other/jwks.json"))
        await seen.next()
        assert "jwks.json" in str(seen.errors[0])
        replace(file.parent / "other" / "jwks.json", json.dumps(KEYS))
        await seen.weight(2, source)


async def test_neighbours_of_the_file_do_not_matter(file: Path) -> None:
    async with watched(file) as (source, seen):
        (file.parent / "neighbour").write_text("x")
        replace(file, document(2))
        await seen.weight(2, source)
        assert len(seen.policies) == 1


async def test_a_folder_that_goes_away_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_AGAIN", 50)
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "policy.yaml").write_text(document(1))
    async with watched(folder / "policy.yaml") as (source, seen):
        (folder / "policy.yaml").unlink()
        folder.rmdir()
        await seen.next()
        assert seen.errors
        folder.mkdir()
        (folder / "policy.yaml").write_text(document(2))
        await seen.weight(2, source)


async def test_a_watch_that_the_system_refuses_looks_instead(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("no space left on device: inotify watches")

    monkeypatch.setattr(reloading, "LOOK_AGAIN", 20)
    monkeypatch.setattr(reloading, "awatch", refuse)
    async with watched(file) as (source, seen):
        replace(file, document(2))
        await seen.weight(2, source)


@pytest.mark.parametrize("failing", ["listening", "reading", "preparing"])
async def test_no_failure_ends_the_watch(file: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """Whatever it was: nobody would have looked at the files any more, and no key could have been revoked."""
    broken: set[str] = set()

    def fail(step: str) -> None:
        if step in broken:
            raise RuntimeError("a bug")

    def listen(*_: object, **__: object) -> object:
        raise RuntimeError("a bug")

    def read(path: Path) -> Outcome:
        fail("reading")
        return examine_file(path)

    def prepare(policy: Policy) -> Callable[[], None]:
        fail("preparing")
        return lambda: None

    monkeypatch.setattr(reloading, "LOOK_AGAIN", 20)
    monkeypatch.setattr(reloading, "examine_file", read)
    if failing == "listening":
        monkeypatch.setattr(reloading, "awatch", listen)
    seen, stop = Seen(), asyncio.Event()
    source = PolicySource(file, prepare=prepare, on_change=seen.on_change, on_error=seen.on_error)
    watch = asyncio.create_task(source.watch(stop))
    if failing != "listening":
        broken.add(failing)
        replace(file, document(2))
        await seen.next()
        assert [problem.message for problem in seen.errors[0].problems] == ["unexpected RuntimeError"]
        assert source.current.tiers["free"].weight == 1
        broken.clear()
    replace(file, document(3))
    await seen.weight(3, source)
    stop.set()
    async with asyncio.timeout(DEADLINE):
        await watch


async def test_cancelling_the_watch_leaves_the_stop_event_alone(file: Path) -> None:
    stop = asyncio.Event()
    seen = Seen()
    source = PolicySource(file, on_change=seen.on_change)
    watch = asyncio.create_task(source.watch(stop))
    replace(file, document(2))
    await seen.weight(2, source)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert not stop.is_set()


async def test_a_link_that_leads_to_itself_does_not_end_the_watch(file: Path) -> None:
    async with watched(file) as (source, seen):
        file.unlink()
        file.symlink_to(file)
        await seen.next()
        assert seen.errors
        replace(file, document(2))
        await seen.weight(2, source)


async def test_a_reload_on_a_signal_is_not_undone_by_an_older_one_that_is_under_way(file: Path) -> None:
    seen, stop = Seen(), asyncio.Event()
    slow, under_way, go_on = 2, threading.Event(), threading.Event()

    def prepare(policy: Policy) -> Callable[[], None]:
        if policy.tiers["free"].weight == slow:
            under_way.set()
            assert go_on.wait(DEADLINE)
        return lambda: None

    source = PolicySource(file, prepare=prepare, on_change=seen.on_change, on_error=seen.on_error)
    watch = asyncio.create_task(source.watch(stop))
    try:
        replace(file, document(slow))
        assert await asyncio.to_thread(under_way.wait, DEADLINE)
        replace(file, document(3))
        assert source.reload()
        go_on.set()
        replace(file, document(4))
        await seen.weight(4, source)
    finally:
        go_on.set()
        stop.set()
        await watch
    assert [policy.tiers["free"].weight for policy in seen.policies] == [3, 4]
