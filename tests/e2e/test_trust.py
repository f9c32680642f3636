"""What a client claims about itself: none of it reaches a decision or the model. Requests that no client library would
send are in test_no_way_around."""

from __future__ import annotations

import pytest

from tests.e2e.stack import Gate
from tests.e2e.upstream import chat, json_answer

IDENTITY = {
    "x-tidegate-subject": "free",
    "x-tidegate-tenant": "acme",
    "x-tidegate-tier": "free",
    "x-tidegate-endpoint": "predict",
}


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
