"""Content safety behind a real Envoy: sentences that no pattern describes do not reach the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate, until_at
from tests.e2e.test_framing import streamed_text
from tests.e2e.test_streaming import events
from tests.e2e.upstream import Hold, Upstream, chat, chunked, delta, finish, json_answer
from tests.filtering.safety.services import KEY, Reply, Service, running_service

HATE = "The Zorbs are filthy vermin and should be exterminated."
RUDE = "You are a pathetic idiot and nobody likes you."
RULES = """
  safe: [{detect: [CONTENT_SAFETY], act: redact}, {detect: [HATE], act: block}]
  watched: [{detect: [CONTENT_SAFETY], act: annotate}]
"""
LOCAL = POLICY.replace("  stop:", f"{RULES}  stop:").replace("    rulesets: [stop]", "    rulesets: [safe]", 2) + (
    """
  watched:
    owner: acme
    match: {hosts: ["*"], path: "/watched/**", methods: [GET]}
    rulesets: [watched]
"""
)


@pytest.fixture(scope="module")
def safe_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("safe"), upstream, policy=LOCAL) as gate:
        yield gate


def test_a_sentence_is_redacted_in_json(safe_gate: Gate) -> None:
    answer = safe_gate.get(json_answer(chat(f"Good morning. {RUDE} Mail bob@example.com.")))
    content = answer.json()["choices"][0]["message"]["content"]
    assert content == "Good morning. [HARASSMENT] Mail [EMAIL]."


def test_a_sentence_that_blocks_withholds_the_body(safe_gate: Gate) -> None:
    answer = safe_gate.get(json_answer(chat(f"Good morning. {HATE}")))
    assert answer.status_code >= 400
    assert "Zorbs" not in answer.text


def test_a_sentence_split_over_deltas_is_redacted(safe_gate: Gate) -> None:
    text = f"Good morning. {RUDE} All is well."
    parts = [text[at : at + 3] for at in range(0, len(text), 3)]
    answer = safe_gate.get(chunked([*map(delta, parts), *finish()]))
    assert streamed_text(answer.text) == "Good morning. [HARASSMENT] All is well."


def test_a_block_in_mid_stream_ends_it_in_band_before_the_sentence(safe_gate: Gate) -> None:
    hold = Hold()
    parts = [delta("Good morning, all. "), delta(HATE[:20]), delta(f"{HATE[20:]} More."), hold, *finish()]
    fields = safe_gate.fields(chunked(parts))
    with safe_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        body = answer.read()  # ends although the model does not
    hold.open()
    first, *_ = events(body)
    assert json.loads(first)["choices"][0]["delta"]["content"] == "Good morning, all. "
    assert b"Zorbs" not in body
    assert b"vermin" not in body
    assert [data for data in events(body) if '"error"' in data]


def test_in_shadow_a_sentence_arrives_and_is_counted(safe_gate: Gate) -> None:
    labels = {"entity": "HATE", "action": "annotate"}
    before = safe_gate.metric("tidegate_findings_total", **labels)
    pieces = [delta(HATE[:20]), delta(HATE[20:]), *finish()]
    answer = safe_gate.get(chunked(pieces), path="/watched/x")
    assert streamed_text(answer.text) == HATE
    body = json.dumps(chat(HATE)).encode()
    assert safe_gate.get(json_answer(body), path="/watched/x").content == body
    until_at(lambda: int(safe_gate.metric("tidegate_findings_total", **labels) - before), 2)


def test_no_sentence_is_in_a_log(safe_gate: Gate) -> None:
    log = safe_gate.told(safe_gate.get(json_answer(chat(RUDE))))
    assert "pathetic" not in log
    assert "vermin" not in log


@pytest.fixture(scope="module")
def asked() -> Iterator[Service]:
    with running_service() as service:
        yield service


@contextmanager
def asking(directory: Path, upstream: Upstream, service: str) -> Iterator[Gate]:
    """A gate that asks a service, as the policy names it; its key lies in the file `key`."""
    (directory / "key").write_text(KEY)
    with running_gate(directory, upstream, policy=f"{LOCAL}content_safety: {{{service}}}\n") as gate:
        yield gate


@pytest.fixture(scope="module")
def asking_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, asked: Service) -> Iterator[Gate]:
    service = f'openai: {{key_file: key, url: "{asked.url}/v1/moderations", timeout: 5s}}'
    with asking(tmp_path_factory.mktemp("asking"), upstream, service) as gate:
        yield gate


def test_a_service_judges_what_a_model_says(asking_gate: Gate, asked: Service) -> None:
    answer = asking_gate.get(json_answer(chat(f"Good morning. {RUDE} Mail bob@example.com.")))
    assert answer.json()["choices"][0]["message"]["content"] == "Good morning. [HARASSMENT] Mail [EMAIL]."
    text = f"Good morning. {RUDE} All is well."
    parts = [text[at : at + 5] for at in range(0, len(text), 5)]
    streamed = asking_gate.get(chunked([*map(delta, parts), *finish()]))
    assert streamed_text(streamed.text) == "Good morning. [HARASSMENT] All is well."
    assert not asked.bad
    assert not any("bob@" in text for texts in asked.asked for text in texts)


def test_a_service_that_blocks_ends_a_stream(asking_gate: Gate) -> None:
    hold = Hold()
    parts = [delta("Good morning, all. "), delta(HATE[:20]), delta(f"{HATE[20:]} More."), hold, *finish()]
    fields = asking_gate.fields(chunked(parts))
    with asking_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        body = answer.read()
    hold.open()
    assert b"Zorbs" not in body
    assert [data for data in events(body) if '"error"' in data]


def test_without_an_answer_nothing_leaves(asking_gate: Gate, asked: Service) -> None:
    asked.always = Reply(503)
    answer = asking_gate.get(json_answer(chat("This was never judged before.")))
    streamed = asking_gate.get(chunked([delta("Nor was this. "), *finish()]))
    asked.always = None
    assert answer.status_code >= 500
    assert "judged" not in answer.text
    assert "Nor was" not in streamed.text
    assert asking_gate.metric("tidegate_moderation_calls_total", service="openai", outcome="failed") >= 2
    log = asking_gate.told(streamed)
    assert KEY not in log
    assert "Nor was" not in log


@pytest.fixture(scope="module")
def lenient_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, asked: Service) -> Iterator[Gate]:
    service = f'azure: {{key_file: key, endpoint: "{asked.url}", timeout: 5s, on_failure: annotate}}'
    with asking(tmp_path_factory.mktemp("lenient"), upstream, service) as gate:
        yield gate


def test_what_nobody_judged_passes_where_the_policy_says_so_and_the_receipt_tells(
    lenient_gate: Gate, asked: Service
) -> None:
    asked.always = Reply(401)
    answer = lenient_gate.get(json_answer({"text": "This is new. Mail bob@example.com."}))
    asked.always = None
    assert answer.json() == {"text": "This is new. Mail [EMAIL]."}
    assert "unread=moderation_unavailable:3" in answer.headers["x-tidegate-coverage"]
    judged = lenient_gate.get(json_answer({"text": f"This is new. {HATE}"}))
    assert judged.status_code == 403
    assert "Zorbs" not in judged.text
