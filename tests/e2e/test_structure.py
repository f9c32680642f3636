"""Answers that must match a JSON Schema, through the real Envoy: what does not match never reaches a client."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stack import Gate, running_gate, until_at
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Answer, Hold, Upstream, chat, chunked, delta, event, finish, json_answer

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
  trimmed:
    owner: acme
    match: {hosts: ["*"], path: "/trimmed/**", methods: [GET]}
    structure:
      answer: {act: strip, schema: {type: object, properties: {city: {type: string}}, additionalProperties: false}}
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


def test_a_stream_comes_while_the_model_still_talks(held: Gate) -> None:
    hold = Hold()
    rest = [delta('"Oslo"'), delta("}"), *finish()]
    fields = [*held.fields(chunked([delta('{"city": '), hold, *rest])), ("content-type", "application/json")]
    url = "/v1/chat/completions"
    with held.client() as client, client.stream("POST", url, headers=fields, content=b"{}") as answer:
        parts = answer.iter_raw()
        first = next(parts)
        assert streamed_text(first.decode()).startswith('{"city":')  # what a rule may still need is held
        hold.open()
        whole = first + b"".join(parts)
    assert json.loads(streamed_text(whole.decode())) == {"city": "Oslo"}
    assert whole.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("pieces", "arrives"),
    [
        (["Sure, ", "here you are"], ""),
        (['{"city": ', "7", "}"], '{"city": 7'),
        (['{"city": "Oslo", ', '"secret": "s3cr3t', '-value"', "}"], '{"city": "Oslo", "secret": "s3cr3t-value"'),
        (['{"city": "Os'], '{"city": "Os'),
    ],
)
def test_an_invalid_stream_ends_with_an_error_in_place_of_its_last_piece(
    held: Gate, pieces: list[str], arrives: str
) -> None:
    answer = held.chat(chunked([*map(delta, pieces), *finish()]))
    assert answer.status_code == 200
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    said = "".join(one["choices"][0]["delta"].get("content", "") for one in events if "choices" in one)
    assert arrives.startswith(said)
    assert len(arrives) - len(said) <= 2  # what a rule may still need is held
    assert [one["error"]["code"] for one in events if "error" in one] == ["response_structure"]
    assert not [one for one in events if "choices" in one and one["choices"][0]["finish_reason"]]
    assert answer.text.endswith("data: [DONE]\n\n")


def test_a_streamed_call_of_a_tool_is_judged(held: Gate) -> None:
    def piece(arguments: str, **more: str) -> bytes:
        call = {"index": 0, "function": {"arguments": arguments, **more}}
        return event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]})

    good = held.chat(chunked([piece("", name="lookup"), piece('{"city":'), piece(' "Oslo"}'), *finish()]))
    assert "response_structure" not in good.text
    for bad in (
        [piece("", name="lookup"), piece('{"town": "Oslo"}')],
        [piece("{}", name="rm")],
    ):
        answer = held.chat(chunked([*bad, *finish()]))
        assert "response_structure" in answer.text
        assert "town" not in answer.text


def test_a_stream_where_one_document_is_demanded_is_a_502(held: Gate) -> None:
    assert held.get(chunked([delta("x"), *finish()])).status_code == 502


def test_what_a_schema_forbids_is_taken_out_and_all_else_keeps_its_bytes(held: Gate) -> None:
    raw = json.dumps(chat(BAD)).encode().replace(b'"created": 1', b'"created":1.00')
    answer = held.get(json_answer(raw), path="/trimmed/x")
    assert answer.status_code == 200
    assert answer.content == raw.replace(json.dumps(BAD)[1:-1].encode(), b'{\\"city\\": \\"Oslo\\"}')
    assert "findings=STRUCTURE:strip:1; structure=valid" in answer.headers["x-tidegate-coverage"]


def test_a_stream_that_is_stripped_arrives_when_its_text_is_over(held: Gate) -> None:
    pieces = [BAD[start : start + 7] for start in range(0, len(BAD), 7)]
    answer = held.get(chunked([*map(delta, pieces), *finish()]), path="/trimmed/x")
    assert streamed_text(answer.text) == '{"city": "Oslo"}'
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "s3cr3t" not in answer.text
    broken = held.get(chunked([delta('{"city": 7, "x": "s3cr3t"}'), *finish()]), path="/trimmed/x")
    assert "response_structure" in broken.text
    assert "s3cr3t" not in broken.text
