"""Answers that must match a JSON Schema, through the real Envoy: what does not match never reaches a client."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Gate, running_gate, until_at
from tests.e2e.upstream import Answer, Upstream, chat, json_answer

POLICY = """
version: 1
platform:
  identity: {api_keys: {header: authorization, file: keys.yaml}}
tiers: {free: {}, premium: {}, metered: {}}
rulesets: {pii: [{detect: [EMAIL], act: redact}]}
tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}, beta: {}}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    rulesets: [pii]
    structure:
      answer:
        schema:
          type: object
          properties: {city: {type: string}, mail: {type: string}}
          required: [city]
          additionalProperties: false
      tools: {lookup: {schema: {type: object, properties: {city: {type: string}}, additionalProperties: false}}}
  predict:
    owner: acme
    match: {hosts: ["*"], path: "/predict/**", methods: [GET]}
    unscannable: pass
    structure: {body: {schema: {type: object, required: [outputs]}}}
  watched:
    owner: acme
    match: {hosts: ["*"], path: "/watched/**", methods: [GET]}
    structure: {body: {schema: {type: object, required: [outputs]}, act: annotate}}
"""
GOOD = '{"city": "Oslo", "mail": "bob@example.com"}'
BAD = '{"city": "Oslo", "secret": "s3cr3t-value"}'


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("structure"), upstream, policy=POLICY) as gate:
        yield gate


def call(name: str, arguments: str) -> dict[str, Any]:
    document = chat("")
    function = {"name": name, "arguments": arguments}
    document["choices"][0]["message"] |= {
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    return document


def test_an_answer_that_matches_arrives_redacted_and_with_a_receipt(held: Gate) -> None:
    answer = held.chat(json_answer(chat(GOOD)))
    assert answer.status_code == 200
    assert json.loads(answer.json()["choices"][0]["message"]["content"]) == {"city": "Oslo", "mail": "[EMAIL]"}
    assert "structure=valid" in answer.headers["x-tidegate-coverage"]


@pytest.mark.parametrize("document", [chat(BAD), chat("Oslo."), chat(GOOD[:-1]), call("lookup", BAD), call("rm", "{}")])
def test_what_does_not_match_is_a_502_in_openais_shape_that_tells_nothing_of_it(held: Gate, document: Any) -> None:
    answer = held.chat(json_answer(document))
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("response_structure", "api_error")
    assert not {word for word in ("s3cr3t", "Oslo", "secret", "lookup", "rm") if word in answer.text}


def test_a_call_that_matches_arrives(held: Gate) -> None:
    document = call("lookup", '{"city": "Oslo"}')
    assert held.chat(json_answer(document)).json() == document


def test_elsewhere_the_refusal_is_a_problem_document(held: Gate) -> None:
    answer = held.get(json_answer({"inputs": []}))
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
    assert answer.json()["code"] == "response_structure"


def test_a_body_that_matches_keeps_its_bytes(held: Gate) -> None:
    raw = b'{ "outputs":[1.00, 2E+3],\n "x" : null }'
    answer = held.get(json_answer(raw))
    assert (answer.status_code, answer.content) == (200, raw)


def test_compressed_bodies_are_judged_too(held: Gate) -> None:
    for document, status in (({"outputs": []}, 200), ({"x": 1}, 502)):
        raw = gzip.compress(json.dumps(document).encode())
        answer = held.get(json_answer(raw, headers=[("content-encoding", "gzip")]))
        assert answer.status_code == status


def test_what_no_format_reads_is_withheld_although_it_may_pass_unread_elsewhere(held: Gate) -> None:
    image = Answer([b"GIF89a"], headers=[("content-type", "image/gif"), ("content-length", "6")])
    assert held.get(image).status_code == 502


def test_an_error_of_the_models_arrives_as_it_is(held: Gate) -> None:
    answer = held.get(json_answer({"error": "busy"}, status=503))
    assert (answer.status_code, answer.json()) == (503, {"error": "busy"})


def test_annotating_changes_no_byte_and_is_counted(held: Gate) -> None:
    labels = {"entity": "STRUCTURE", "action": "annotate"}
    before = held.metric("tidegate_findings_total", **labels)
    raw = b'{ "inputs" : [1.0] }'
    answer = held.get(json_answer(raw), path="/watched/x")
    assert (answer.status_code, answer.content) == (200, raw)
    until_at(lambda: int(held.metric("tidegate_findings_total", **labels) - before), 1)


def test_the_log_says_which_place_of_the_schema_was_broken_and_no_value(held: Gate) -> None:
    held.chat(json_answer(chat(BAD)))
    log = held.workers[0].log
    until_at(lambda: int("structure=answer/schema/additionalProperties" in log.read_text()), 1)
    assert "s3cr3t" not in log.read_text()
