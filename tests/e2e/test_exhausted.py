"""A caller that is over its limit on Redis: two workers refuse it at no cost to the store, until it is let in again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tidegate.cli import app
from tidegate.demo.redis_server import running_redis
from typer.testing import CliRunner, Result

from tests.admission.redis_cluster import running_cluster
from tests.e2e.stack import running_gate, until
from tests.e2e.upstream import Upstream, chat, json_answer

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
tiers:
  free: {limits: [{name: rph, algorithm: sliding_window, limit: 3, window: 1h, per: [subject]}]}
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
"""


@contextmanager
def _store(kind: str, directory: Path) -> Iterator[str]:
    if kind == "redis":
        with running_redis(directory=directory) as url:
            yield url
    else:
        with running_cluster(directory) as cluster:
            yield cluster.url


@pytest.mark.parametrize("kind", ["redis", "cluster"])
def test_refusals_are_repeated_and_a_reset_lets_the_caller_in(kind: str, tmp_path: Path, upstream: Upstream) -> None:
    def limits(*words: str) -> Result:
        common = ["--policy", str(tmp_path / "policy.yaml"), "--store", store, "--tenant", "acme"]
        return CliRunner().invoke(app, ["limits", *words, *common])

    with (
        _store(kind, tmp_path / "store") as store,
        running_gate(tmp_path, upstream, policy=POLICY, workers=2, flags={"store": store}) as gate,
    ):
        answer = gate.script(json_answer(chat("hello")))
        answers = [gate.chat(answer) for _ in range(40)]
        assert Counter(one.status_code for one in answers) == {200: 3, 429: 37}
        for one in answers[3:]:
            assert 3500 < int(one.headers["retry-after"]) <= 3600
            assert one.headers["x-ratelimit-remaining-requests"] == "0"
            assert one.headers["ratelimit"].startswith('"rph";r=0;t=')
            assert one.json()["error"]["code"] == "rate_limit_exceeded"
            assert "rph" in one.json()["error"]["message"]
        spared = sum(gate.metric("tidegate_store_calls_spared_total", worker) for worker in range(2))
        assert spared >= 20  # each worker asks when it is first refused, and once a second
        shown = limits("show")
        assert shown.stdout.splitlines()[1].split()[:7] == [
            "tier:free",
            "rph",
            "subject=free",
            "3",
            "3",
            "requests",
            "0",
        ]
        assert limits("reset", "--yes").exit_code == 0
        until(lambda: gate.chat(answer).status_code == 200, timeout=2.0)
        assert [gate.chat(answer).status_code for _ in range(6)].count(200) <= 2
