"""A stream that costs more than was reserved goes on while there is room, and ends properly where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tidegate.demo.redis_server import RedisServer

from tests.e2e.priced import LIMIT, NOTHING, PATHS, POLICY, ask, body_of, settles_at
from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Hold, Upstream, chunked, delta, event, finish, json_answer

PIECE = "y" * 39 + " "  # ten tokens
PROMPT = 3 + 4 + 10
STOP, DONE = finish()
everywhere = pytest.mark.parametrize("store", ["memory", "redis", "cluster"], indirect=True, scope="module")


def pieces(count: int) -> list[bytes]:
    return [delta(PIECE)] * count


@contextmanager
def taking(gate: Gate, model: str, max_tokens: int) -> Iterator[None]:
    """Another exchange holds as much for as long as the block runs, and costs nothing in the end."""
    hold = Hold()
    fields = gate.fields(chunked([b": hi\n\n", hold, event({"choices": [], **NOTHING}), DONE]))
    body = body_of(model, max_tokens=max_tokens)
    with gate.client() as client, client.stream("POST", PATHS[1], headers=fields, json=body) as answer:
        parts = answer.iter_raw()
        next(parts)
        try:
            yield
        finally:
            hold.open()
            for _ in parts:
                pass


@everywhere
@pytest.mark.parametrize("path", PATHS)
def test_a_stream_that_outgrows_its_reservation_goes_on_while_there_is_room(
    priced: Gate, model: str, path: str
) -> None:
    answer = ask(priced, chunked([*pieces(300), STOP, DONE]), model, path, max_tokens=10)
    assert streamed_text(answer.text) == PIECE * 300
    assert answer.text.endswith("data: [DONE]\n\n")
    settles_at(priced, model, PROMPT + 3000)


@everywhere
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "event by event"])
def test_a_stream_ends_where_its_limit_does(priced: Gate, model: str, path: str, whole: bool) -> None:
    room = 200
    events = [*pieces(100), STOP, DONE]
    name = priced.script(chunked([b"".join(events)] if whole else events))
    with taking(priced, model, LIMIT - room - PROMPT):
        answer = ask(priced, name, model, path, max_tokens=10)
    assert answer.status_code == 200
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith('data: {"error"')]
    assert told == [
        {
            "error": {
                "message": "Limit 'tph' is exhausted: the response ends here.",
                "type": "rate_limit_error",
                "param": None,
                "code": "rate_limit_exceeded",
            }
        }
    ]
    assert answer.text.endswith("data: [DONE]\n\n")
    fits = (room - PROMPT) // 10
    text = answer.text.partition('data: {"error"')[0]
    assert streamed_text(text) == PIECE * fits
    settles_at(priced, model, PROMPT + 10 * (fits + 1))


@pytest.mark.parametrize("path", PATHS)
def test_lines_end_where_their_limit_does(priced: Gate, model: str, path: str) -> None:
    """Ollama's streams: one document a line, and one with `error` where it ends early."""
    room, hold = 200, Hold()
    said = json.dumps({"message": {"role": "assistant", "content": PIECE}, "done": False}).encode() + b"\n"
    name = priced.script(chunked([said] * 50 + [hold, said], content_type="application/x-ndjson"))
    with taking(priced, model, LIMIT - room - PROMPT):
        answer = ask(priced, name, model, path, max_tokens=10)  # ends although the model does not
        until(lambda: priced.upstream.lost(name), what="the model's connection to be reset")
    hold.open()
    *before, last = [json.loads(line) for line in answer.text.splitlines()]
    fits = (room - PROMPT) // 10
    assert "".join(one["message"]["content"] for one in before) == PIECE * fits
    assert last == {"error": "Limit 'tph' is exhausted: the response ends here.", "code": "rate_limit_exceeded"}
    settles_at(priced, model, PROMPT + 10 * (fits + 1))


def test_a_model_that_writes_on_is_told_to_stop(priced: Gate, model: str) -> None:
    hold = Hold()
    name = priced.script(chunked([*pieces(50), hold, delta("never")]))
    with taking(priced, model, LIMIT - 100 - PROMPT):
        answer = ask(priced, name, model, max_tokens=1)  # ends although the model does not
        assert answer.text.endswith("data: [DONE]\n\n")
        until(lambda: priced.upstream.lost(name), what="the model's connection to be reset")
    until(lambda: priced.metric("tidegate_responses_total", outcome="stopped") > 0)
    assert priced.metric("tidegate_extensions_total", why="growth", outcome="refused") > 0


@pytest.mark.parametrize("path", PATHS)
def test_what_a_running_stream_has_used_is_not_given_to_others(priced: Gate, model: str, path: str) -> None:
    hold = Hold()
    fields = priced.fields(chunked([*pieces(300), hold, STOP, DONE]))
    body = body_of(model, max_tokens=10)
    with priced.client() as client, client.stream("POST", path, headers=fields, json=body) as answer:
        parts = answer.iter_raw()
        seen = b""
        while len(streamed_text(seen.decode())) < 290 * 40:
            seen += next(parts)
        free = LIMIT - PROMPT - 3000
        assert ask(priced, json_answer(NOTHING), model, max_tokens=free - PROMPT + 1).status_code == 429
        assert ask(priced, json_answer(NOTHING), model, max_tokens=free - PROMPT - 64).status_code == 200
        hold.open()
        for _ in parts:
            pass
    settles_at(priced, model, PROMPT + 3000)


MESSAGES: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
    *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": PIECE}}] * 50,
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r"}, "sequence_number": 0},
    *[{"type": "response.output_text.delta", "item_id": "i", "delta": PIECE, "sequence_number": 1}] * 50,
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("events", [MESSAGES, RESPONSES], ids=["messages", "responses"])
def test_a_stream_is_ended_in_its_own_dialect(
    priced: Gate, model: str, path: str, events: list[dict[str, Any]]
) -> None:
    parts = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    with taking(priced, model, LIMIT - 100 - PROMPT):
        answer = ask(priced, chunked(parts), model, path, max_tokens=1)
    name, data = answer.text.removesuffix("\n\n").split("\n")[-2:]
    document = json.loads(data.removeprefix("data: "))
    assert (name, document["type"]) == ("event: error", "error")
    error = document.get("error", document)
    assert error["code"] == "rate_limit_exceeded"
    assert "tph" in error["message"]


def test_a_document_is_not_cut(priced: Gate, model: str) -> None:
    document = {"choices": [{"message": {"content": PIECE * 100}}]}
    with taking(priced, model, LIMIT - 100 - PROMPT):
        assert ask(priced, json_answer(document), model, max_tokens=1).json() == document
    settles_at(priced, model, PROMPT + 1000)


@pytest.mark.parametrize("rule", ["share", "deny", "allow"])
def test_a_store_that_dies_in_mid_stream_cuts_nothing(tmp_path_factory: Any, upstream: Upstream, rule: str) -> None:
    directory = tmp_path_factory.mktemp("outage")
    policy = POLICY.replace("platform:\n", f"platform:\n  limits_store: {{on_outage: {rule}}}\n")
    with (
        RedisServer(directory / "redis") as store,
        running_gate(directory, upstream, policy=policy, flags={"store": store.url}) as gate,
    ):
        answer = outlived(gate, store)
        assert streamed_text(answer) == PIECE * 301
        assert answer.endswith("data: [DONE]\n\n")


def outlived(gate: Gate, store: RedisServer) -> str:
    """What a client got of a stream whose store died while it ran."""
    hold = Hold()
    fields = gate.fields(chunked([delta(PIECE), hold, *pieces(300), STOP, DONE]))
    body = body_of("outlived", max_tokens=10)
    with gate.client() as client, client.stream("POST", PATHS[1], headers=fields, json=body) as answer:
        parts = answer.iter_raw()
        seen = next(parts)
        store.stop(kill=True)
        hold.open()
        return (seen + b"".join(parts)).decode()
