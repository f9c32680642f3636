"""A policy is replaced whole or not at all, and what comes with it as well."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tidegate.errors import PolicyError, Problem
from tidegate.policy import Policy, PolicySource

from tests.policy.watching import KEYS, Seen, document, with_files


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
