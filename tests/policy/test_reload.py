"""A policy is replaced whole or not at all, and every way of replacing a file is seen. Real files, real inotify."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tidegate.errors import PolicyError, Problem
from tidegate.policy import Policy, PolicySource
from tidegate.policy import reload as reloading
from tidegate.policy.load import Outcome, examine_file

KEYS = {"keys": [{"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"}]}
DEADLINE = 20.0


def document(weight: int, identity: str = "{}") -> str:
    return f"version: 1\nplatform: {{identity: {identity}}}\ntiers: {{free: {{weight: {weight}}}}}\n"


def with_files(weight: int, jwks: str = "jwks.json") -> str:
    issuer = f"{{name: a, issuer: b, audiences: [c], jwks_file: {jwks}, claims: {{tenant: t, tier: t}}}}"
    return document(weight, f"{{api_keys: {{file: keys.yaml}}, issuers: [{issuer}]}}")


class Seen:
    """What a source reported, to be waited for."""

    def __init__(self) -> None:
        self.policies: list[Policy] = []
        self.errors: list[PolicyError] = []
        self.news = asyncio.Event()

    def on_change(self, policy: Policy) -> None:
        self.policies.append(policy)
        self.news.set()

    def on_error(self, error: PolicyError) -> None:
        self.errors.append(error)
        self.news.set()

    async def next(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.news.wait()
        self.news.clear()

    async def weight(self, wanted: int, source: PolicySource) -> None:
        async with asyncio.timeout(DEADLINE):
            while source.current.tiers["free"].weight != wanted:
                await self.news.wait()
                self.news.clear()


def replace(file: Path, text: str) -> None:
    """As careful editors do: a new file takes the name in one step."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    new.rename(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(document(1))
    return tmp_path / "policy.yaml"


@asynccontextmanager
async def watched(file: Path) -> AsyncIterator[tuple[PolicySource, Seen]]:
    seen, stop = Seen(), asyncio.Event()
    source = PolicySource(file, on_change=seen.on_change, on_error=seen.on_error)
    watch = asyncio.create_task(source.watch(stop))
    try:
        yield source, seen
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE):
            await watch


def test_a_bad_file_at_the_start_is_an_error(file: Path) -> None:
    file.write_text("version: 2\n")
    with pytest.raises(PolicyError, match="must be 1"):
        PolicySource(file)


def test_reload_replaces_the_policy_and_tells(file: Path) -> None:
    told: list[Policy] = []
    source = PolicySource(file, on_change=told.append)
    first = source.current
    assert not told
    file.write_text(document(2))
    assert source.reload()
    assert source.current is told[0] is not first
    assert source.current.tiers["free"].weight == 2
    assert first.tiers["free"].weight == 1


@pytest.mark.parametrize("change", ["bad", "gone", "folder"])
def test_a_file_that_cannot_be_used_leaves_the_old_policy(file: Path, change: str) -> None:
    told: list[PolicyError] = []
    source = PolicySource(file, on_error=told.append)
    first = source.current
    if change == "bad":
        file.write_text("version: 1\ntiers: 5\nx: 1\n")
    else:
        file.unlink()
    if change == "folder":
        file.mkdir()
    assert not source.reload()
    assert source.current is first
    assert len(told) == 1
    assert len(told[0].problems) == (2 if change == "bad" else 1)


def test_files_names_what_the_policy_refers_to(file: Path) -> None:
    (file.parent / "jwks.json").write_text(json.dumps(KEYS))
    file.write_text(with_files(1))
    source = PolicySource(file)
    assert source.files == (file, file.parent / "jwks.json", file.parent / "keys.yaml")
    file.write_text(document(1))
    assert source.reload()
    assert source.files == (file,)


def test_a_source_without_listeners_works(file: Path) -> None:
    source = PolicySource(file)
    assert source.reload()
    file.write_text("")
    assert not source.reload()


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


def test_what_comes_with_a_policy_comes_into_force_with_it_or_neither_does(file: Path) -> None:
    adopted: list[int] = []
    bad = PolicyError((Problem("keys.yaml", 1, "", "cannot be read"),))

    def prepare(policy: Policy) -> Callable[[], None]:
        weight = policy.tiers["free"].weight
        if weight == 2:
            raise bad
        return lambda: adopted.append(weight)

    seen = Seen()
    source = PolicySource(file, prepare=prepare, on_change=seen.on_change, on_error=seen.on_error)
    file.write_text(document(2))
    assert not source.reload()
    assert (source.current.tiers["free"].weight, adopted) == (1, [1, 1])
    assert [error.problems for error in seen.errors] == [bad.problems]
    file.write_text(document(3))
    assert source.reload()
    assert (source.current.tiers["free"].weight, adopted) == (3, [1, 1, 3])
    file.write_text(document(2))
    with pytest.raises(PolicyError):
        PolicySource(file, prepare=prepare)


@pytest.mark.parametrize("fault", ["in the policy", "in what comes with it"])
def test_what_comes_with_the_policy_in_force_does_not_wait_for_another_to_be_mended(file: Path, fault: str) -> None:
    """A key that was revoked while a typo stood in the policy stayed good until somebody mended the typo."""
    adopted: list[tuple[int, str]] = []

    def prepare(policy: Policy) -> Callable[[], None]:
        weight, keys = policy.tiers["free"].weight, (file.parent / "keys.yaml").read_text()
        if weight == 9 or keys == "bad":
            raise PolicyError((Problem("keys.yaml", 1, "", "cannot be read"),))
        return lambda: adopted.append((weight, keys))

    (file.parent / "keys.yaml").write_text("all")
    source = PolicySource(file, prepare=prepare)
    file.write_text("version: 1\ntiers: [" if fault == "in the policy" else document(9))
    for keys in ("all", "one revoked", "bad"):
        (file.parent / "keys.yaml").write_text(keys)
        assert not source.reload()
    assert adopted == [(1, "all"), (1, "all"), (1, "one revoked")]
    assert source.current.tiers["free"].weight == 1


def test_what_came_with_a_policy_that_was_replaced_meanwhile_is_not_put_in_force(file: Path) -> None:
    adopted: list[int] = []
    source = PolicySource(file, prepare=lambda policy: lambda: adopted.append(policy.tiers["free"].weight))
    before = source.current
    file.write_text("")
    late = source._attempt(before)  # on the thread of `watch`
    file.write_text(document(2))
    assert source.reload()
    source._settle(*late)
    assert (source.current.tiers["free"].weight, adopted) == (2, [1, 2])


async def test_a_link_that_leads_to_itself_does_not_end_the_watch(file: Path) -> None:
    async with watched(file) as (source, seen):
        file.unlink()
        file.symlink_to(file)
        await seen.next()
        assert seen.errors
        replace(file, document(2))
        await seen.weight(2, source)
