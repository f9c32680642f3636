"""Where tokens are counted a stream is asked for its usage, and the client sees what it would have seen without."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.careless_policy import ADDED
from tests.e2e.priced import NOTHING, PATHS, POLICY, body_of, settles_at
from tests.e2e.stack import Gate, Tweak, manager, running_gate
from tests.e2e.upstream import Answer, Upstream, chunked, delta, event, finish, json_answer

USAGE = {"usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}
STOP, DONE = finish()
TOLD = event({"id": "c", "object": "chat.completion.chunk", "choices": [], **USAGE})
ASK = b'{"stream_options":{"include_usage":true},'


def stream(gate: Gate, answer: Answer, path: str, body: bytes) -> tuple[httpx.Response, bytes]:
    """(what the client got, what the model was sent)."""
    name = gate.script(answer)
    reply = gate.send("POST", path, name, content=body, headers={"content-type": "application/json"})
    (seen,) = gate.seen(name)
    assert seen.values("content-length") == [str(len(seen.body))]
    return reply, seen.body


def request(model: str, **more: Any) -> bytes:
    return json.dumps(body_of(model, stream=True, prompt="", **more)).encode()


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_is_asked_for_its_usage_and_settled_by_it_and_its_client_sees_no_more(
    priced: Gate, model: str, path: str
) -> None:
    body = request(model, x=1.50)
    reply, sent = stream(priced, chunked([delta("Hi. "), delta("You. "), STOP, TOLD, DONE]), path, body)
    assert sent == ASK + body[1:]
    assert reply.content == b"".join([delta("Hi. "), delta("You. "), STOP, DONE])
    settles_at(priced, model, 18)


@pytest.mark.parametrize("path", PATHS)
def test_a_usage_of_null_in_every_chunk_is_not_seen(priced: Gate, model: str, path: str) -> None:
    nulls = [delta("Hi. ", usage=None), delta("You. ", usage=None), STOP, TOLD, DONE]
    reply, _ = stream(priced, chunked(nulls), path, request(model))
    assert reply.content == b"".join([delta("Hi. "), delta("You. "), STOP, DONE])


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_asks_sees_what_it_asked_for(priced: Gate, model: str, path: str) -> None:
    body = request(model, stream_options={"include_usage": True})
    parts = [delta("Hi. ", usage=None), STOP, TOLD, DONE]
    reply, sent = stream(priced, chunked(parts), path, body)
    assert sent == body
    assert reply.content == b"".join(parts)
    settles_at(priced, model, 18)


def test_other_stream_options_are_kept(priced: Gate, model: str) -> None:
    body = request(model, stream_options={"include_obfuscation": False})
    _, sent = stream(priced, chunked([delta("Hi. "), *finish()]), PATHS[0], body)
    assert json.loads(sent)["stream_options"] == {"include_usage": True, "include_obfuscation": False}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1, 7, 50])
def test_however_the_stream_is_cut_the_same_is_hidden(priced: Gate, model: str, path: str, size: int) -> None:
    whole = b"".join([delta("Hi. ", usage=None), STOP, TOLD, DONE])
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    reply, _ = stream(priced, chunked(parts), path, request(model))
    assert reply.content == b"".join([delta("Hi. "), STOP, DONE])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [{}, {"stream": False}, {"stream": "true"}, {"stream": True, "stream_options": []}])
def test_what_is_no_such_request_reaches_the_model_as_it_was_sent(
    priced: Gate, model: str, path: str, more: dict[str, Any]
) -> None:
    body = json.dumps(body_of(model, **more), indent=1).encode()
    reply, sent = stream(priced, json_answer(NOTHING), path, body)
    assert sent == body
    assert reply.json() == NOTHING


def test_a_long_chunked_request_is_asked_too(priced: Gate, model: str) -> None:
    body = request(model, max_tokens=1, tools=[], metadata="y" * 3_000_000)

    def parts() -> Iterator[bytes]:
        for at in range(0, len(body), 500_000):
            yield body[at : at + 500_000]

    name = priced.script(chunked([delta("Hi. "), STOP, TOLD, DONE]))
    reply = priced.send("POST", PATHS[0], name, content=parts())
    (seen,) = priced.seen(name)
    assert seen.body == ASK + body[1:]
    assert seen.values("content-length") == [str(len(seen.body))]
    assert reply.content == b"".join([delta("Hi. "), STOP, DONE])
    settles_at(priced, model, 18)


def test_a_model_that_answers_with_a_document_is_not_touched(priced: Gate, model: str) -> None:
    reply, _ = stream(priced, json_answer({"choices": [], **USAGE}), PATHS[1], request(model))
    assert reply.json() == {"choices": [], **USAGE}


def without_the_request(document: dict[str, Any]) -> None:
    for host in manager(document)["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route.get("typed_per_filter_config", {}).pop("envoy.filters.http.ext_proc", None)


def test_an_envoy_that_sends_no_requests_works_as_before(tmp_path_factory: Any, upstream: Upstream, model: str) -> None:
    directory = tmp_path_factory.mktemp("no-requests")
    with running_gate(directory, upstream, policy=POLICY, tweak=without_the_request) as gate:
        body = request(model)
        for path in PATHS:
            reply, sent = stream(gate, chunked([delta("y" * 40), *finish()]), path, body)
            assert sent == body
            assert reply.content.endswith(DONE)
        settles_at(gate, model, 2 * (3 + 4 + 10 + 10))


def request_in(mode: str) -> Tweak:
    def tweak(document: dict[str, Any]) -> None:
        (filter_,) = (f for f in manager(document)["http_filters"] if f["name"] == "envoy.filters.http.ext_proc")
        changes = {"request_header_mode": "SEND", "request_body_mode": mode, "request_trailer_mode": "SEND"}
        filter_["typed_config"]["processing_mode"] |= changes

    return tweak


def test_a_request_body_whose_length_is_not_declared_anew_is_refused_by_envoy(
    tmp_path_factory: Any, upstream: Upstream
) -> None:
    directory = tmp_path_factory.mktemp("careless")
    running = running_gate(directory, upstream, stand_in="tests.e2e.careless_policy", tweak=request_in("BUFFERED"))
    with running as gate:
        name = gate.script(json_answer({"ok": True}))
        assert gate.send("POST", "/x", name, content=b"hello").status_code == 503
        assert gate.seen(name) == []
        assert gate.send("POST", "/x", name, content=iter([b"hello"])).status_code == 200
        assert [seen.body for seen in gate.seen(name)] == [b"hello" + ADDED]


def test_a_request_with_trailers_is_asked_too(priced: Gate, model: str) -> None:
    body = request(model)
    name = priced.script(chunked([delta("Hi. "), STOP, TOLD, DONE]))
    fields = "".join(f"{key}: {value}\r\n" for key, value in priced.fields(name))
    head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: x\r\n{fields}transfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", priced.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"%x\r\n%b\r\n0\r\nx-a: b\r\n\r\n" % (len(body), body))
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert [seen.body for seen in priced.seen(name)] == [ASK + body[1:]]
