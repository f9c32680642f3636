"""The contract: over the network or in this process, awaited or not, the answers are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tidegate_client import Allowed, Denied, TidegateInvalid

from tests.client.world import HOST, World

SMALL = b'{"model": "small"}'


def chat(engine: Any, world: World, subject: str = "frida", body: bytes = SMALL, **options: Any) -> Allowed | Denied:
    verdict = engine.decide(
        "POST", "/v1/chat/completions", host=HOST, headers=[world.credential(subject)], body=body, **options
    )
    assert isinstance(verdict, Allowed | Denied)
    return verdict


def test_an_allowed_request_says_who_and_what_next(engine: Any, world: World) -> None:
    verdict = chat(engine, world, request_id="r-1")

    assert isinstance(verdict, Allowed)
    assert verdict.allowed
    assert (verdict.subject, verdict.tenant, verdict.tier, verdict.method) == ("frida", "acme", "free", "api_key")
    assert (verdict.endpoint, verdict.model, verdict.rulesets) == ("chat", "small", ("secrets", "pii"))
    assert (verdict.request_id, verdict.policy_version) == ("r-1", world.policy.version)
    [limit] = verdict.limits
    assert (limit.scope, limit.name, limit.capacity, limit.remaining, limit.period) == ("tier:free", "rpm", 2, 1, 60.0)
    assert dict(verdict.headers)["ratelimit"].startswith('"rpm";r=1;t=')


def test_a_request_without_a_credential_is_denied_in_the_endpoints_dialect(engine: Any) -> None:
    verdict = engine.decide("POST", "/v1/chat/completions", host=HOST, body=SMALL, request_id="r-2")

    assert isinstance(verdict, Denied)
    assert not verdict.allowed
    assert (verdict.status, verdict.reason, verdict.limit) == (401, "credential_missing", None)
    assert dict(verdict.headers)["www-authenticate"].startswith("Bearer")
    assert dict(verdict.headers)["x-request-id"] == "r-2"
    assert json.loads(verdict.body)["error"]["code"] == "credential_missing"


def test_a_limit_refuses_names_itself_and_says_when(engine: Any, world: World) -> None:
    assert [chat(engine, world).allowed for _ in range(3)] == [True, True, False]

    verdict = chat(engine, world)
    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.reason) == (429, "rate_limit_exceeded")
    assert verdict.limit is not None
    assert verdict.limit.name == "rpm"
    assert 0 < verdict.limit.retry_after <= 60
    assert 1 <= int(dict(verdict.headers)["retry-after"]) <= 60
    assert chat(engine, world, "fred").allowed


@pytest.mark.parametrize("path", ["/v1/%2e%2e/x", "/v1//x", "/a%00", "no-slash", "/v1/%2fchat", ""])
def test_a_path_with_two_readings_is_denied_not_repaired(engine: Any, path: str) -> None:
    verdict = engine.decide("POST", path, host=HOST)

    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.reason) == (400, "request_malformed")


def test_a_repeated_credential_is_denied(engine: Any, world: World) -> None:
    twice = [world.credential("frida"), world.credential("fred")]

    verdict = engine.decide("POST", "/v1/chat/completions", host=HOST, headers=twice, body=SMALL)

    assert verdict.status == 400


def test_a_cut_body_cannot_name_a_model(engine: Any, world: World) -> None:
    verdict = chat(engine, world, body_partial=True)

    assert isinstance(verdict, Denied)
    assert not chat(engine, world, body=b'{"model": "large"}').allowed


def test_host_comes_from_the_headers_and_an_id_is_made_up(engine: Any, world: World) -> None:
    headers = {"Host": HOST, "Authorization": f"Bearer {world.keys['paul']}"}

    verdict = engine.decide("POST", "/api/score", headers=headers, query="a=1")

    assert verdict.allowed
    assert len(verdict.request_id) == 32


def test_text_is_rewritten_and_the_findings_counted(engine: Any) -> None:
    result = engine.filter_text("ask bob@example.com or eve@example.org", rulesets=["pii"])

    assert result.text == "ask [EMAIL] or [EMAIL]"
    [finding] = result.findings
    assert (finding.entity, finding.action, finding.count) == ("EMAIL", "redact", 2)
    assert result.blocked is None
    assert result.coverage.scanned_bytes == 38
    assert result.coverage.skipped_bytes == 0


def test_rulesets_come_from_endpoint_and_tier(engine: Any) -> None:
    text = "bob@example.com paid with 4111 1111 1111 1111"

    assert engine.filter_text(text, endpoint="chat", tier="free").text == "[EMAIL] paid with 4111 1111 1111 1111"
    assert engine.filter_text(text, endpoint="chat", tier="premium").text == "[EMAIL] paid with [CREDIT_CARD]"
    assert engine.filter_text(text, endpoint="score", tier="free").text == text


def test_the_floor_blocks_whatever_was_asked_for(engine: Any) -> None:
    result = engine.filter_text("key AKIAIOSFODNN7EXAMPL2 and bob@example.com", rulesets=["cards"])

    assert result.text == ""
    assert (result.blocked.entity, result.blocked.action) == ("AWS_KEY", "block")


def test_the_fields_of_a_document_are_rewritten(engine: Any) -> None:
    document = json.dumps({"to": "bob@example.com", "n": [1, None], "nested": {"cc": "eve@example.org"}})

    result = engine.filter_text(document, rulesets=["pii"], content_type="application/json")

    assert json.loads(result.text) == {"to": "[EMAIL]", "n": [1, None], "nested": {"cc": "[EMAIL]"}}
    assert result.coverage.format == "json"


@pytest.mark.parametrize("text", ["", "nothing here", "\u0000", "ümläut 🌊 " * 3])
def test_text_without_findings_is_unchanged(engine: Any, text: str) -> None:
    assert engine.filter_text(text, rulesets=["pii"]).text == text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rulesets": ["nothing"]},
        {"rulesets": ["pii"], "endpoint": "chat"},
        {"rulesets": ["pii"], "tier": "free"},
        {"rulesets": "pii"},
        {"rulesets": [1]},
        {"endpoint": "nowhere", "tier": "free"},
        {"endpoint": "chat"},
        {"endpoint": "chat", "tier": "gold"},
        {"rulesets": ["pii"], "content_type": "image/png"},
        {"rulesets": ["pii"], "content_type": "application/json"},
    ],
)
def test_a_wrong_filter_call_is_the_callers_fault(engine: Any, options: dict[str, Any]) -> None:
    with pytest.raises(TidegateInvalid):
        engine.filter_text("{bob@example.com", **options)
    if "content_type" not in options:
        with pytest.raises(TidegateInvalid):
            list(engine.filter_stream(["bob@example.com"], **options))


def test_text_that_is_no_unicode_is_the_callers_fault(engine: Any) -> None:
    with pytest.raises(TidegateInvalid):
        engine.filter_text("\ud800", rulesets=["pii"])
    with pytest.raises(TidegateInvalid):
        list(engine.filter_stream(["\ud800"], rulesets=["pii"]))
    with pytest.raises(TidegateInvalid):
        engine.decide("POST", "/\ud800", host=HOST)


TEXT = "mail bob@example.com or pay 4111 1111 1111 1111, not today. Ünïcödé 🌊 eve@example.org"


@pytest.mark.parametrize("size", [1, 2, 7, len(TEXT)])
def test_a_stream_says_the_same_however_it_is_cut(engine: Any, size: int) -> None:
    whole = engine.filter_text(TEXT, rulesets=["pii", "cards"])
    stream = engine.filter_stream(
        [TEXT[start : start + size] for start in range(0, len(TEXT), size)], rulesets=["pii", "cards"]
    )

    assert (stream.complete, stream.coverage) == (False, None)
    assert "".join(stream) == whole.text == "mail [EMAIL] or pay [CREDIT_CARD], not today. Ünïcödé 🌊 [EMAIL]"
    assert (stream.complete, stream.findings, stream.blocked) == (True, whole.findings, None)
    assert stream.coverage == whole.coverage
    assert (whole.coverage.format, whole.coverage.scanned_bytes, whole.coverage.skipped) == (
        "text",
        len(TEXT.encode()),
        {},
    )


def test_an_empty_stream_ends(engine: Any) -> None:
    stream = engine.filter_stream(["", ""], rulesets=["pii"])
    assert list(stream) == []
    assert stream.complete


def test_a_chunk_larger_than_a_message_is_carried(engine: Any) -> None:
    word = "tide and gate, " * 1000
    assert "".join(engine.filter_stream([word * 40], rulesets=["pii"])) == word * 40


def test_a_blocked_stream_ends_early_and_says_why(engine: Any) -> None:
    pulled = []

    def chunks() -> Iterator[str]:
        for chunk in ["all is well. ", "key AKIAIOSFODNN7EXAMPL2 found. ", "x. " * 99, "never ", "sent"]:
            pulled.append(chunk)
            yield chunk

    stream = engine.filter_stream(chunks(), rulesets=["pii"])
    text = "".join(stream)

    assert stream.blocked.entity == "AWS_KEY"
    assert stream.complete
    assert 0 < stream.coverage.scanned_bytes < len("".join(pulled)) + 1
    assert "AKIA" not in text
    assert "sent" not in pulled


def test_a_stream_is_lazy_and_hands_out_what_it_can(engine: Any) -> None:
    pulled = []

    def endless() -> Iterator[str]:
        while True:
            pulled.append("all is well and dry, no mail today. ")
            yield pulled[-1]

    stream = engine.filter_stream(endless(), rulesets=["pii"])
    assert pulled == []
    out = next(stream)
    assert "".join(pulled).startswith(out)
    assert len(pulled) < 20
    stream.close()


def test_a_failing_source_fails_the_stream_with_its_own_error(engine: Any) -> None:
    def chunks() -> Iterator[str]:
        yield "some text that is long enough "
        raise LookupError("the model went away")

    with pytest.raises(LookupError, match="the model went away"):
        list(engine.filter_stream(chunks(), rulesets=["pii"]))
