"""What a refused caller gets: once, verbatim, in their own format; and Envoy's own refusals beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Gate, manager, running_gate
from tests.e2e.upstream import Answer, Reset, Upstream, chat, json_answer


def openai(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"message", "type", "param", "code"}
    assert answer.headers.get_list("content-length") in ([], [str(len(answer.content))])
    error: dict[str, Any] = document["error"]
    return error


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    assert answer.headers.get_list("x-request-id") == [document["request_id"]]
    return document


def test_no_credential_is_401(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.chat(name, key=None)
    assert answer.status_code == 401
    assert openai(answer)["code"] == "credential_missing"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error=" not in answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"
    assert problem(gate.get(name, key=None))["code"] == "credential_missing"
    assert gate.seen(name) == []


def test_a_wrong_credential_is_401(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    key = gate.keys["free"]
    for bad in (key[:-1] + ("A" if key[-1] != "A" else "B"), key + "x", "tg_nobody000000_" + "A" * 43, "x"):
        answer = gate.chat(name, key=None, headers={"authorization": f"Bearer {bad}"})
        assert answer.status_code == 401
        assert openai(answer)["code"] in {"credential_invalid", "credential_missing"}
    assert gate.seen(name) == []


@pytest.mark.parametrize("caller", ["roleless", "beta"])
def test_who_was_granted_nothing_is_403(gate: Gate, caller: str) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.chat(name, key=caller)
    assert answer.status_code == 403
    assert openai(answer)["code"] == "access_denied"
    assert gate.seen(name) == []


def test_a_model_above_the_tier_is_403(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.chat(name, model="large")
    assert answer.status_code == 403
    assert openai(answer)["code"] == "model_not_allowed"
    assert gate.seen(name) == []
    assert gate.chat(name, model="large", key="premium").status_code == 200


def test_an_exhausted_limit_is_429_with_all_that_a_client_needs(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    first, second = gate.get(name, key="metered-1"), gate.get(name, key="metered-1")
    assert first.status_code == 200
    assert '"hourly"' in first.headers["ratelimit"]
    assert second.status_code == 429
    assert problem(second)["code"] == "rate_limit_exceeded"
    assert problem(second)["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem(second)["violated-policies"] == ["hourly"]
    assert 0 < int(second.headers["retry-after"]) <= 3600
    assert second.headers["ratelimit-policy"] == '"hourly";q=1;w=3600'
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(gate.seen(name)) == 1


def test_a_refusal_costs_nothing(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert gate.chat(name, key="metered-2").status_code == 403  # the tier may use no model
    assert gate.get(name, key="metered-2").status_code == 200


def test_an_unknown_path_is_404_and_a_wrong_method_405(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert openai(gate.send("GET", "/v1/unknown", name))["code"] == "endpoint_unknown"
    answer = gate.send("DELETE", "/predict/x", name)
    assert answer.status_code == 405
    assert problem(answer)["code"] == "method_not_allowed"
    assert gate.seen(name) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b'{"model": "small"', b'{"model": "\xff"}'])
def test_a_body_without_a_readable_model_is_400(gate: Gate, body: bytes) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.send("POST", "/v1/chat/completions", name, content=body)
    assert answer.status_code == 400
    assert openai(answer)["code"] in {"request_malformed", "model_missing"}
    assert gate.seen(name) == []


def test_a_body_that_names_two_models_is_refused(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    for body in (b'{"model": "small", "model": "large"}', b'{"model": "small", "mod\\u0065l": "large"}'):
        answer = gate.send("POST", "/v1/chat/completions", name, content=body)
        assert answer.status_code == 400
    assert gate.seen(name) == []


def test_a_body_over_the_limit_is_413_and_never_reaches_the_model(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    body = b'{"model": "small", "x": "' + b"x" * (7 << 20) + b'"}'
    answer = gate.send("POST", "/v1/chat/completions", name, content=body)
    assert answer.status_code == 413
    assert openai(answer)["code"] == "request_too_large"
    assert gate.seen(name) == []


def test_a_body_larger_than_grpcs_default_message_is_decided(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    body = json.dumps({"x": "x" * (5 << 20), "model": "small"}).encode()
    answer = gate.send("POST", "/v1/chat/completions", name, content=body)
    assert answer.status_code == 200
    assert gate.seen(name)[0].body == body


def test_a_body_that_no_decision_reads_has_no_limit(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    body = b"x" * (9 << 20)
    assert gate.send("POST", "/predict/x", name, content=body).status_code == 200
    assert gate.seen(name)[0].body == body


def test_the_models_own_errors_pass_filtered(gate: Gate) -> None:
    for status in (400, 404, 429, 500, 503):
        document = {"error": {"message": "bob@example.com is unknown", "code": "x"}}
        answer = gate.get(json_answer(document, status=status, headers=[("retry-after", "7")]))
        assert answer.status_code == status
        assert answer.json()["error"]["message"] == "[EMAIL] is unknown"
        assert answer.headers["retry-after"] == "7"


def test_the_routers_own_errors_are_in_the_callers_format(gate: Gate) -> None:
    """A model that hangs up: 503 that Envoy writes itself, although Process sees its headers too."""
    assert openai(gate.chat(Answer([Reset()], raw=True)))["code"] == "model_unavailable"
    answer = gate.get(Answer([Reset()], raw=True))
    assert problem(answer)["code"] == "model_unavailable"
    assert "reset" not in answer.text
    assert "upstream" not in answer.text
    garbage = gate.get(Answer([b"not http at all\r\n\r\n"], raw=True, close=True))
    assert problem(garbage)["code"] == "model_unavailable"


@pytest.fixture(scope="module")
def closed_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """No route for anything but /predict, and its model is not there."""

    def close(document: dict[str, Any]) -> None:
        (host,) = manager(document)["route_config"]["virtual_hosts"]
        host["routes"] = [route for route in host["routes"] if route["name"] == "predict"]
        endpoint = document["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = 1

    with running_gate(tmp_path_factory.mktemp("closed"), upstream, tweak=close) as running:
        yield running


def test_no_model_is_503_and_no_route_404(closed_gate: Gate) -> None:
    away = closed_gate.get()
    assert away.status_code == 503
    assert problem(away)["code"] == "model_unavailable"
    assert "127.0.0.1" not in away.text
    nowhere = closed_gate.send("GET", "/files/x")
    assert nowhere.status_code == 404
    assert problem(nowhere)["code"] == "not_found"
    assert closed_gate.chat().status_code == 404
    denied = closed_gate.get(key=None)
    assert denied.status_code == 401
    assert problem(denied)["code"] == "credential_missing"


def test_no_header_of_envoys_own_tells_about_the_inside(gate: Gate) -> None:
    answer = gate.get(json_answer(chat("hello")))
    assert not [name for name in answer.headers if name.startswith("x-envoy-")]


def test_http2_clients_get_the_same(gate: Gate) -> None:
    with gate.client(http1=False, http2=True) as client:
        assert client.get("/predict/x").status_code == 401
        answer = client.get("/predict/x", headers=gate.fields(json_answer(chat("mail bob@example.com"))))
    assert answer.http_version == "HTTP/2"
    assert answer.json() == chat("mail [EMAIL]")


@pytest.mark.parametrize("headers", [{"x-odd": b"\xff"}, {"host": "-a"}])
def test_a_malformed_request_is_refused_under_the_id_that_the_client_sees(gate: Gate, headers: dict[str, Any]) -> None:
    answer = gate.get(json_answer(chat("hello")), headers=headers)
    assert answer.status_code == 400
    assert problem(answer)["code"] == "request_malformed"
