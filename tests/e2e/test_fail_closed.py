"""Whatever breaks, nothing unread leaves and nobody passes undecided."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Gate, Tweak, manager, ping_every, running_gate, until, until_at
from tests.e2e.upstream import Answer, Hold, Upstream, chat, chunked, delta, finish, json_answer
from tests.e2e.wire import http2

SECRET = "bob@example.com"
ANSWERS = "http.edge.ext_proc.stream_msgs_received"


@pytest.fixture
def own_gate(asking: dict[str, bool], tmp_path: Path, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path, upstream, tweak=ping_every("0.5s", "1s"), check_timeout=0.5, **asking) as running:
        yield running


def read_all(answer: httpx.Response) -> tuple[bytes, bool]:
    """What came, and whether it ended as it should."""
    received = b""
    try:
        for part in answer.iter_raw():
            received += part
    except httpx.RemoteProtocolError:
        return received, False
    return received, True


def test_a_clean_close_in_mid_stream_leaks_which_is_why_process_never_closes_early(
    tmp_path: Path, upstream: Upstream
) -> None:
    """Envoy's own behaviour, `failure_mode_allow: false` or not. When this fails, Envoy has become safer."""
    hold = Hold()
    with running_gate(tmp_path, upstream, stand_in="tests.e2e.hasty_policy") as gate:
        fields = gate.fields(chunked([delta("good morning. "), hold, delta(f"mail {SECRET} now. "), *finish()]))
        with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
            until(lambda: gate.stat("http.edge.ext_proc.streams_closed") == 1)
            hold.open()
            received, ended = read_all(answer)
    assert SECRET.encode() in received
    assert ended


def test_a_process_that_stops_for_good_in_mid_stream_never_leaks(tmp_path: Path, upstream: Upstream) -> None:
    """The drain is over and the response is not: the rest must not pass."""
    hold = Hold()
    stream = [delta("good morning. "), hold, *(delta(f"mail {SECRET} now. ") for _ in range(50)), *finish()]
    with running_gate(tmp_path, upstream, flags={"drain": 0.2, "health-grace": 0.1}) as gate:
        fields = gate.fields(chunked(stream))
        with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
            until(hold.reached)
            gate.workers[0].send(signal.SIGTERM)
            assert gate.workers[0].wait() == 0
            hold.open()
            received, ended = read_all(answer)
    assert b"bob" not in received
    assert not ended


def test_a_killed_process_in_mid_stream_never_leaks(own_gate: Gate) -> None:
    hold = Hold()
    stream = [delta("good morning. "), hold, *(delta(f"mail {SECRET} now. ") for _ in range(50)), *finish()]
    with (
        own_gate.client() as client,
        client.stream("GET", "/predict/x", headers=own_gate.fields(chunked(stream))) as answer,
    ):
        until(hold.reached)
        until(lambda: own_gate.metric("tidegate_streams") == 1)
        own_gate.workers[0].kill()
        hold.open()
        received, ended = read_all(answer)
    assert SECRET.encode() not in received
    assert b"bob" not in received
    assert not ended


def test_a_frozen_process_in_mid_stream_never_leaks(own_gate: Gate) -> None:
    hold = Hold()
    fields = own_gate.fields(chunked([delta("good morning. "), hold, delta(f"mail {SECRET} now. "), *finish()]))
    with own_gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        until(hold.reached)
        with own_gate.frozen():
            hold.open()
            received, ended = read_all(answer)
    assert b"bob" not in received
    assert not ended


def test_a_frozen_process_decides_nothing(own_gate: Gate) -> None:
    name = own_gate.script(json_answer(chat("hello")))
    with own_gate.frozen():
        answer = own_gate.get(name)
    assert answer.status_code == 503
    assert answer.json()["code"] == "policy_unavailable"
    assert own_gate.seen(name) == []


def test_a_dead_process_is_a_503_in_the_callers_format(own_gate: Gate) -> None:
    own_gate.workers[0].kill()
    name = own_gate.script(json_answer(chat("hello")))
    openai = own_gate.chat(name)
    assert openai.status_code == 503
    assert openai.headers["content-type"] == "application/json"
    assert openai.headers["retry-after"] == "1"
    assert openai.json()["error"]["code"] == "policy_unavailable"
    problem = own_gate.get(name)
    assert problem.status_code == 503
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["code"] == "policy_unavailable"
    assert problem.json()["request_id"] == problem.headers["x-request-id"]
    assert own_gate.seen(name) == []


def test_a_process_killed_while_it_holds_a_body_leaves_an_error(own_gate: Gate) -> None:
    hold = Hold()
    body = json.dumps(chat(f"mail {SECRET}")).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    name = own_gate.script(Answer([body[:20], hold, body[20:]], headers=headers))
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(own_gate.get, name)
        until(lambda: own_gate.metric("tidegate_streams") == 1)
        own_gate.workers[0].kill()
        hold.open()
        answer = sending.result(20)
    assert answer.status_code == 503
    assert answer.json()["code"] == "policy_unavailable"
    assert "bob" not in answer.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/nowhere"])
def test_trailers_in_the_place_of_a_body_are_no_way_around_a_decision(
    asking: dict[str, bool], tmp_path: Path, upstream: Upstream, gate: Gate, path: str
) -> None:
    """Envoy would let such a request go on when its headers were answered, whose decision waits for a body."""
    pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
    fields = [*pseudo, ("authorization", "Bearer forged")]
    name = gate.script(json_answer(chat("hello")))
    assert 400 <= http2(gate.port, [*fields, ("x-script", name)], trailers=[("x-mine", "1")]) < 500
    assert gate.seen(name) == []
    with running_gate(tmp_path, upstream, tweak=_unbuffered, **asking) as bare:
        name = bare.script(json_answer(chat("hello")))
        fields.append(("x-script", name))
        assert 400 <= http2(bare.port, fields, trailers=[("x-mine", "1")]) < 500
        answers = bare.stat(ANSWERS)

        def headers_answered() -> None:
            if asking["one_call"]:
                until(lambda: bare.stat(ANSWERS) > answers)

        assert 400 <= http2(bare.port, fields, trailers=[("x-mine", "1")], before_last=headers_answered) < 500
        assert bare.seen(name) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_while_a_body_is_on_its_way_lets_no_request_go(
    asking: dict[str, bool], tmp_path: Path, upstream: Upstream, how: signal.Signals
) -> None:
    flags = {"drain": 0.2, "health-grace": 0.1}
    with running_gate(tmp_path, upstream, flags=flags, tweak=_unbuffered, **asking) as gate:
        name = gate.script(json_answer(chat("hello")))
        pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/v1/chat/completions")]

        def ended() -> None:
            if asking["one_call"]:
                until(lambda: gate.stat(ANSWERS) == 1)
            gate.workers[0].send(how)
            gate.workers[0].wait()

        fields = [*pseudo, *gate.fields(name)]
        assert http2(gate.port, fields, b'{"model":"small"}', [("x-mine", "1")], before_last=ended) == 503
        assert gate.seen(name) == []


def _unbuffered(document: dict[str, Any]) -> None:
    """Process sees a request before all of it is there, as where somebody else wrote the filters."""
    filters = manager(document)["http_filters"]
    filters[:] = [one for one in filters if one["name"] != "envoy.filters.http.buffer"]


def _no_metadata(document: dict[str, Any]) -> None:
    del manager(document)["http_filters"][1]["typed_config"]["metadata_options"]


def test_without_the_decision_the_body_is_withheld(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream, tweak=_no_metadata) as gate:
        answer = gate.get(json_answer(chat(f"mail {SECRET}")))
        assert answer.status_code == 500
        assert SECRET not in answer.text
        assert answer.json()["code"] == "policy_error"
        assert gate.get(chunked([delta(f"mail {SECRET}"), *finish()])).status_code == 500
        until_at(lambda: int(gate.metric("tidegate_responses_total", failure="handoff_missing")), 2)


def _sends_requests(**modes: str) -> Tweak:
    def tweak(document: dict[str, Any]) -> None:
        manager(document)["http_filters"][1]["typed_config"]["processing_mode"] |= {
            "request_header_mode": "SEND",
            **modes,
        }

    return tweak


@pytest.mark.parametrize("mode", ["STREAMED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"])
def test_an_envoy_configured_otherwise_is_refused(tmp_path: Path, upstream: Upstream, mode: str) -> None:
    """A mode that Process does not take aborts the stream; Envoy answers with an error, and the model is not asked."""
    modes = {"request_body_mode": mode, "request_trailer_mode": "SEND"}
    with running_gate(tmp_path, upstream, tweak=_sends_requests(**modes)) as gate:
        name = gate.script(json_answer(chat(f"mail {SECRET}")))
        answer = gate.send("POST", "/v1/chat/completions", name, json={"model": "small"})
        assert gate.seen(name) == []
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "policy_unavailable"
        assert SECRET not in answer.text


@pytest.mark.parametrize("modes", [{}, {"request_body_mode": "BUFFERED"}])
def test_an_envoy_that_sends_every_request_is_not(tmp_path: Path, upstream: Upstream, modes: dict[str, str]) -> None:
    with running_gate(tmp_path, upstream, tweak=_sends_requests(**modes)) as gate:
        name = gate.script(json_answer(chat(f"mail {SECRET}")))
        answer = gate.send("POST", "/v1/chat/completions", name, json={"model": "small", "stream": True})
        assert answer.status_code == 200
        assert SECRET not in answer.text
        assert [seen.body for seen in gate.seen(name)] == [b'{"model":"small","stream":true}']
        assert gate.get(json_answer(chat(f"mail {SECRET}"))).status_code == 200
