"""A stream whose model thinks long lives past every idle timeout on the way, because something is heard of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Hold, Upstream, chunked, delta, finish

IDLE = 2.0
CUT = httpx.RemoteProtocolError
BEAT = b": keep-alive\n\n"


def gate(directory: object, upstream: Upstream, heartbeat: str) -> Iterator[Gate]:
    policy = POLICY.replace("platform:\n", f"platform:\n  heartbeat: {heartbeat}\n", 1)
    policy = policy.replace("  narrow:\n", "  narrow:\n    blank_lines: true\n", 1)
    with running_gate(directory, upstream, policy=policy, idle_timeout=IDLE) as running:  # type: ignore[arg-type]
        yield running


@pytest.fixture(scope="module")
def beating(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    yield from gate(tmp_path_factory.mktemp("beating"), upstream, "1s")


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    yield from gate(tmp_path_factory.mktemp("silent"), upstream, "0s")


def test_a_model_that_thinks_longer_than_envoy_waits_is_heard_to_the_end(beating: Gate) -> None:
    hold = Hold()
    fields = beating.fields(chunked([delta("write to bob@exa"), hold, delta("mple.com today"), *finish()]))
    with beating.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        received = b""
        for part in answer.iter_raw():
            received += part
            if received.count(BEAT) == 5:  # five seconds of silence, and Envoy's patience is two
                hold.open()
    assert b"bob" not in received
    assert streamed_text(received.replace(BEAT, b"").decode()) == "write to [EMAIL] today"
    assert received.rstrip().endswith(b"data: [DONE]")
    assert beating.metric("tidegate_heartbeats_total") >= 5
    assert beating.metric("tidegate_hold_back_seconds_count") >= 1
    assert beating.metric("tidegate_hold_back_seconds_sum") >= 4  # the text that was held back waited as long


def test_without_heartbeats_envoy_ends_the_same_stream(silent: Gate) -> None:
    hold = Hold()
    fields = silent.fields(chunked([delta("write to bob@exa"), hold, delta("mple.com today"), *finish()]))
    with silent.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer, pytest.raises(CUT):
        answer.read()
    hold.open()
    assert silent.metric("tidegate_heartbeats_total") == 0


def test_a_stream_that_beats_is_gone_when_its_client_is(beating: Gate) -> None:
    hold = Hold()
    name = beating.script(chunked([delta("Good morning, all. "), hold]))
    with beating.client() as client, client.stream("GET", "/predict/x", headers=beating.fields(name)) as answer:
        parts = answer.iter_raw()
        while BEAT not in next(parts):
            pass
    until(lambda: beating.metric("tidegate_streams") == 0)
    until(lambda: beating.upstream.lost(name))
    hold.open()


def test_ollamas_lines_are_kept_alive_by_lines_without_text(beating: Gate) -> None:
    def line(text: str, *, done: bool = False) -> bytes:
        return (
            json.dumps({"model": "m", "message": {"role": "assistant", "content": text}, "done": done}).encode() + b"\n"
        )

    hold = Hold()
    steps = [line("write to bob@exa"), hold, line("mple.com today"), line("", done=True)]
    fields = beating.fields(chunked(steps, content_type="application/x-ndjson"))
    received = b""
    with beating.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        for part in answer.iter_raw():
            received += part
            if received.count(b"\n") == 6:  # five seconds of silence, and Envoy's patience is two
                hold.open()
    assert b"bob" not in received
    documents = [json.loads(each) for each in received.splitlines()]  # as Ollama's clients read them, one by one
    assert "".join(each["message"]["content"] for each in documents) == "write to [EMAIL] today"
    assert [each["done"] for each in documents] == [False] * (len(documents) - 1) + [True]
    assert len(documents) >= 8


def test_lines_that_nobody_knows_are_kept_as_they_are(beating: Gate) -> None:
    body = b'{"message": "Good morning. "}\n'
    hold = Hold()
    fields = beating.fields(chunked([body, hold], content_type="application/x-ndjson"))
    received = b""
    with beating.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer, pytest.raises(CUT):
        for part in answer.iter_raw():
            received += part
    hold.open()
    assert b"keep-alive" not in received
    assert len(received.splitlines()) == 1


def test_other_lines_are_kept_alive_by_empty_ones_where_the_endpoints_clients_pass_over_those(beating: Gate) -> None:
    def line(text: str) -> bytes:
        return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n"

    hold = Hold()
    answer = chunked([line("write to bob@exa"), hold, line("mple.com today")], content_type="application/x-ndjson")
    received = b""
    with (
        beating.client() as client,
        client.stream("GET", "/narrow/x", headers=beating.fields(answer)) as response,
    ):
        for part in response.iter_raw():
            received += part
            if received.count(b"\n") == 6:  # five seconds of silence, and Envoy's patience is two
                hold.open()
    assert b"bob" not in received
    documents = [json.loads(each) for each in received.splitlines() if each]
    assert "".join(each["choices"][0]["delta"]["content"] for each in documents) == "write to [EMAIL] today"
    assert received.count(b"\n") - len(documents) >= 4
