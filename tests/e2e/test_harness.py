"""The harness itself, against a policy service that decides nothing."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tidegate import services
from tidegate.settings import Settings

from tests.e2e.noop_policy import OPTIONS
from tests.e2e.stack import Gate, until
from tests.e2e.upstream import Answer, Hold, Reset, chat, chunked, delta, finish, gzip_answer, json_answer


def test_json_passes_unchanged(noop_gate: Gate) -> None:
    answer = noop_gate.get(json_answer(chat("mail bob@example.com")))
    assert answer.status_code == 200
    assert answer.json() == chat("mail bob@example.com")


def test_the_model_gets_what_the_client_sent(noop_gate: Gate) -> None:
    name = noop_gate.script(json_answer({}))
    noop_gate.send("POST", "/predict/x?q=1", name, content=b"abc", headers={"X-Mine": "1", "range": "bytes=0-1"})
    (seen,) = noop_gate.seen(name)
    assert (seen.method, seen.target, seen.body) == ("POST", "/predict/x?q=1", b"abc")
    assert seen.values("x-mine") == ["1"]
    assert not seen.names & {"accept-encoding", "range", "if-range"}


def test_a_stream_is_live(noop_gate: Gate) -> None:
    hold = Hold()
    fields = noop_gate.fields(chunked([delta("a"), hold, delta("b"), *finish()]))
    with noop_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        parts = answer.iter_raw()
        assert next(parts) == delta("a")
        hold.open()
        assert b"".join(parts).endswith(finish()[1])


def test_a_reset_model_is_a_json_error(noop_gate: Gate) -> None:
    answer = noop_gate.get(Answer([Reset()], raw=True))
    assert answer.status_code == 503
    assert answer.json()["code"] == "model_unavailable"


def test_a_reset_in_mid_stream_is_an_error(noop_gate: Gate) -> None:
    hold = Hold()
    fields = noop_gate.fields(chunked([delta("a"), hold, Reset()]))
    with noop_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        parts = answer.iter_raw()
        assert next(parts) == delta("a")
        hold.open()
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)


def test_a_client_that_hangs_up_is_noticed(noop_gate: Gate) -> None:
    hold = Hold()
    name = noop_gate.script(chunked([delta("a"), hold]))
    with noop_gate.client() as client, client.stream("GET", "/predict/x", headers=noop_gate.fields(name)) as answer:
        next(answer.iter_raw())
    until(lambda: noop_gate.upstream.lost(name))


def test_gzip_comes_as_the_model_sent_it(noop_gate: Gate) -> None:
    answer = noop_gate.get(gzip_answer({"a": 1}))
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == {"a": 1}


def test_trailers_reach_the_filters(noop_gate: Gate) -> None:
    answer = noop_gate.get(chunked([b"{}"], content_type="application/json", trailers=[("x-sum", "1")]))
    assert answer.json() == {}


def test_the_stand_in_runs_under_the_options_of_the_real_server() -> None:
    assert dict(OPTIONS) == dict(services.OPTIONS) | {"grpc.max_receive_message_length": Settings(Path()).max_message}
