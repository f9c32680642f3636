"""A limit that is changed in the policy of a running service holds as it now stands, at once, on memory and on Redis.

Each test asks for a model of its own, and the limit is kept per model: so each begins with an unused one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.policy import parse_policy

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer

PATH = "/v1/chat/completions"
PER = "per: [subject, model]"
POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
prices: {currency: USD, default: {prompt: 0, completion: 0, request: 1}}
tiers:
  free: {limits: [LIMITS]}
  premium: {}
tenants:
  acme:
    grants: [{role: analyst, endpoints: "*"}]
    subjects: {SUBJECTS}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*", premium: "*"}}
"""
ANSWER = json_answer({**chat("hello"), "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


class Running:
    """A gate whose policy can be written anew."""

    def __init__(self, gate: Gate, file: Path) -> None:
        self.gate = gate
        self._file = file

    def enforce(self, *limits: str, subjects: str = "") -> None:
        """Put these limits of the tier, and of subjects, in force."""
        text = written(*limits, subjects=subjects)
        self._file.write_text(text)
        version = parse_policy(text).version
        until(lambda: self.gate.metric("tidegate_policy_info", version=version) == 1, what="the policy in force")

    def ask(self, model: str, times: int, key: str = "free") -> list[int]:
        """The statuses of so many calls."""
        body = {"model": model, "max_tokens": 1}
        return [self.gate.send("POST", PATH, ANSWER, json=body, key=key).status_code for _ in range(times)]


def written(*limits: str, subjects: str = "") -> str:
    return POLICY.replace("LIMITS", ", ".join(limits)).replace("SUBJECTS", subjects)


def window(limit: int | str, name: str = "rph", more: str = "") -> str:
    return f"{{name: {name}, algorithm: sliding_window, limit: {limit}, window: 1h, {PER}{more}}}"


@pytest.fixture(scope="module")
def running(
    store: dict[str, object], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("changes")
    with running_gate(directory, upstream, policy=written(), flags=store) as gate:
        yield Running(gate, directory / "policy.yaml")


def test_a_raised_limit_lets_the_refused_in_and_counts_what_was(running: Running, model: str) -> None:
    running.enforce(window(2))
    assert running.ask(model, 4) == [200, 200, 429, 429]
    running.enforce(window(4))
    assert running.ask(model, 4) == [200, 200, 429, 429]


def test_a_lowered_limit_refuses_at_once_and_lets_in_when_it_is_raised_again(running: Running, model: str) -> None:
    running.enforce(window(4))
    assert running.ask(model, 3) == [200] * 3
    running.enforce(window(2))
    assert running.ask(model, 2) == [429] * 2
    running.enforce(window(4))
    assert running.ask(model, 2) == [200, 429]


def test_a_renamed_limit_is_a_new_one(running: Running, model: str) -> None:
    running.enforce(window(2))
    assert running.ask(model, 3) == [200, 200, 429]
    running.enforce(window(2, name="hourly"))
    assert running.ask(model, 3) == [200, 200, 429]


@pytest.mark.parametrize(
    "other",
    [
        f"{{name: rph, algorithm: token_bucket, capacity: 2, refill: 1/1d, {PER}}}",
        f"{{name: rph, algorithm: sliding_window_counter, limit: 2, window: 31d, {PER}}}",
        f"{{name: rph, algorithm: quota, limit: 2, period: month, {PER}}}",
        window('"2.00"', more=", cost: money"),
    ],
    ids=["token_bucket", "sliding_window_counter", "quota", "money"],
)
def test_another_algorithm_or_unit_counts_anew_and_the_old_counts_do_not_disturb_it(
    running: Running, model: str, other: str
) -> None:
    running.enforce(window(2))
    assert running.ask(model, 3) == [200, 200, 429]
    running.enforce(other)
    assert running.ask(model, 3) == [200, 200, 429]
    running.enforce(window(3))
    assert running.ask(model, 2) == [200, 429]


def test_a_removed_limit_refuses_nobody(running: Running, model: str) -> None:
    running.enforce(window(1))
    assert running.ask(model, 2) == [200, 429]
    running.enforce()
    assert running.ask(model, 3) == [200] * 3


def test_a_limit_becomes_a_shadow_and_is_enforced_again(running: Running, model: str) -> None:
    running.enforce(window(1))
    assert running.ask(model, 2) == [200, 429]
    running.enforce(window(1, more=", shadow: true"))
    assert running.ask(model, 2) == [200, 200]
    running.enforce(window(1))
    assert running.ask(model, 1) == [429]


def test_a_callers_own_limit_takes_effect_and_ends_at_once(running: Running, model: str) -> None:
    own = "free: {limits: [{name: rph, algorithm: sliding_window, limit: 3, window: 1h, per: [model]}]}"
    running.enforce(window(1))
    assert running.ask(model, 2) == [200, 429]
    running.enforce(window(1), subjects=own)
    assert running.ask(model, 4) == [200, 200, 200, 429]
    assert running.ask(model, 2, key="premium") == [200, 200]
    running.enforce(window(1))
    assert running.ask(model, 1) == [429]
