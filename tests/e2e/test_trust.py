"""What a client claims about itself, and tricks with names and paths: none reaches a decision or the model."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from tests.e2e.stack import Gate
from tests.e2e.upstream import chat, json_answer

IDENTITY = {
    "x-tidegate-subject": "free",
    "x-tidegate-tenant": "acme",
    "x-tidegate-tier": "free",
    "x-tidegate-endpoint": "predict",
}

REFUSED = {0, 400, 501}


def raw(gate: Gate, request: bytes) -> bytes:
    """Send bytes as they are; what comes back until Envoy closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(request)
        while part := connection.recv(65536):
            received += part
    return received


def request(gate: Gate, target: str, name: str, *lines: str, host: str = "x", key: str | None = "free") -> bytes:
    fields = [f"{field}: {value}" for field, value in gate.fields(name, key)]
    head = [f"GET {target} HTTP/1.1", f"host: {host}", "connection: close", *fields, *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


def status(answer: bytes) -> int:
    """0 when Envoy closed without an answer: so it does where the HTTP parser itself refused, since ext_proc takes the
    reply to be a response and the connection is gone before that is processed."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_the_model_learns_who_calls_and_not_the_credential(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert gate.get(name).status_code == 200
    (seen,) = gate.seen(name)
    for header, value in IDENTITY.items():
        assert seen.values(header) == [value]
    assert "authorization" not in seen.names
    assert gate.keys["free"] not in str(seen)


@pytest.mark.parametrize(
    "header",
    ["x-tidegate-subject", "X-Tidegate-Tenant", "X-TIDEGATE-TIER", "x-tidegate-endpoint", "x-tidegate-admin"],
)
def test_a_forged_identity_header_never_arrives(gate: Gate, header: str) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.get(name, headers=[(header, "forged"), (header, "forged too")])
    assert answer.status_code == 200
    (seen,) = gate.seen(name)
    assert "forged" not in str(seen)
    assert seen.values(header.lower()) == ([IDENTITY[header.lower()]] if header.lower() in IDENTITY else [])


@pytest.mark.parametrize("header", ["x_tidegate_subject", "X_Tidegate-Tenant", "x-tidegate_tier", "AUTHORIZATION_"])
def test_a_header_with_underscores_is_refused(gate: Gate, header: str) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert status(raw(gate, request(gate, "/predict/x", name, f"{header}: forged"))) in REFUSED
    assert gate.seen(name) == []


def test_a_forged_identity_gives_nobody_an_identity(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert gate.get(name, key=None, headers=IDENTITY).status_code == 401
    assert gate.get(name, key="beta", headers=IDENTITY).status_code == 403
    assert gate.seen(name) == []


@pytest.mark.parametrize("order", [1, -1])
def test_two_credentials_are_refused(gate: Gate, order: int) -> None:
    name = gate.script(json_answer(chat("hello")))
    two = [("authorization", f"Bearer {gate.keys[caller]}") for caller in ("beta", "free")][::order]
    answer = gate.get(name, key=None, headers=two)
    assert answer.status_code in {400, 401}
    joined = ", ".join(value for _, value in two)
    assert gate.get(name, key=None, headers={"authorization": joined}).status_code in {400, 401}
    assert gate.seen(name) == []


def test_a_repeated_authorization_header_is_400(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.get(name, headers={"authorization": f"Bearer {gate.keys['free']}"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "request_malformed"
    assert gate.seen(name) == []


@pytest.mark.parametrize("header", ["x-envoy-auth-partial-body", "x-envoy-upstream-rq-timeout-ms", "x-envoy-retry-on"])
def test_envoys_control_headers_are_not_the_clients(gate: Gate, header: str) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert gate.chat(name, headers={header: "true" if "partial" in header else "1"}).status_code == 200
    (seen,) = gate.seen(name)
    assert header not in seen.names


@pytest.mark.parametrize(
    "target",
    [
        "/files%2fx",
        "/predict/%2e%2e%2ffiles/x",
        "/predict/..%5cfiles",
        "/predict/x;v=1",
        "/predict/x%3bv=1",
        "/predict/x%00",
        "/predict/%zz",
        "/predict/%252e%252e/files",
        "/predict/x%0d%0ax: y",
        "/predict/\xff",
        "/predict/%ff",
    ],
)
def test_a_path_with_two_readings_is_refused(gate: Gate, target: str) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert status(raw(gate, request(gate, target, name))) in REFUSED
    assert gate.seen(name) == []


@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        ("/files/../predict/x", "/predict/x"),
        ("/files/%2e%2e/predict/x", "/predict/x"),
        ("//predict///x", "/predict/x"),
        ("/./predict/./x", "/predict/x"),
        ("/%70redict/x", "/predict/x"),
        ("/predict/%78", "/predict/x"),
        ("/files/\\..\\..\\predict/x", "/predict/x"),
    ],
)
def test_what_is_decided_on_is_what_the_model_gets(gate: Gate, target: str, arrives: str) -> None:
    """Envoy makes these canonical before anyone reads them; refusing them would be as good."""
    name = gate.script(json_answer(chat("hello")))
    code = status(raw(gate, request(gate, target, name)))
    seen = gate.seen(name)
    assert code in {200, 400, 404}
    assert [(one.target, one.values("x-tidegate-endpoint")) for one in seen] in ([], [(arrives, ["predict"])])


def test_an_absolute_target_and_a_forged_host_decide_nothing(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert status(raw(gate, request(gate, "http://other.example/predict/x", name))) in {200, 400}
    assert status(raw(gate, request(gate, "http://other.example/predict/x", name, key=None))) in {400, 401}
    assert status(raw(gate, request(gate, "/predict/x", name, host="a b"))) in REFUSED
    assert all(one.target == "/predict/x" for one in gate.seen(name))


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("content-length: 5", "content-length: 6"),
        ("transfer-encoding: chunked, identity",),
        ("transfer-encoding: xchunked",),
        ("name : 1",),
    ],
)
def test_framing_that_two_parsers_read_differently_is_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    name = gate.script(json_answer(chat("hello")))
    assert status(raw(gate, request(gate, "/predict/x", name, *lines))) in REFUSED
    assert gate.seen(name) == []


def test_an_upgrade_is_refused(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    lines = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: eA==")
    answer = raw(gate, request(gate, "/predict/x", name, *lines).replace(b"connection: close\r\n", b"", 1))
    assert status(answer) in {400, 403}
    assert gate.seen(name) == []


def test_the_client_address_is_not_what_the_client_says(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    gate.get(name, headers={"x-forwarded-for": "10.0.0.1", "x-real-ip": "10.0.0.1"})
    (seen,) = gate.seen(name)
    assert seen.values("x-forwarded-for")[0].split(",")[-1] != "10.0.0.1"


def test_a_forged_request_id_stays_one_value(gate: Gate) -> None:
    name = gate.script(json_answer(chat("hello")))
    answer = gate.get(name, headers={"x-request-id": "forged"})
    (seen,) = gate.seen(name)
    assert seen.values("x-request-id") == answer.headers.get_list("x-request-id")
