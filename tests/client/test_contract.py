"""The contract: over the network or in this process, awaited or not, the answers are the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from tidegate_client import Allowed, Denied, TidegateInvalid

from tests.client.world import HOST, World

SMALL = b'{"model": "small"}'
FREE = {"tenant": "acme", "tier": "free", "subject": "ida", "model": "small"}
PREMIUM = {"tenant": "acme", "tier": "premium", "subject": "ida", "model": "small"}


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


def test_consume_charges_and_settle_gives_back_once(engine: Any) -> None:
    first = engine.consume("chat", PREMIUM, cost=900, hold=60.0)
    assert (first.admitted, first.refused, first.enforcement) == (True, None, "exact")
    assert [state.remaining for state in first.states] == [100]

    refused = engine.consume("chat", PREMIUM, cost=200)
    assert not refused.admitted
    assert refused.refused.name == "tpm"
    assert refused.reservation == ""

    assert engine.settle(first.reservation, 100) is True
    assert engine.settle(first.reservation, 0) is False
    assert engine.consume("chat", PREMIUM, cost=200).admitted


BATCH = {**PREMIUM, "client_id": "app-1"}
COSTS = {"requests": 1, "money": 200_000, "prompt_tokens": 900}


def test_costs_by_unit_are_charged_and_settled_each_in_its_own(engine: Any) -> None:
    first = engine.consume("batch", BATCH, cost=COSTS, hold=60.0)
    assert first.admitted
    state = {state.name: state for state in first.states}
    assert {name: one.remaining for name, one in state.items()} == {"tpm": 999, "spend": 300_000, "size": 1100}
    assert (state["spend"].unit, state["spend"].currency, state["spend"].capacity) == ("money", "EUR", 500_000)
    assert (state["size"].unit, state["size"].currency) == ("prompt_tokens", "")
    refused = engine.consume("batch", BATCH, cost={**COSTS, "money": 300_001})
    assert refused.refused.name == "spend"

    assert engine.settle(first.reservation, {"money": 50_000}) is True
    after = engine.consume("batch", BATCH, cost={**COSTS, "money": 0, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in after.states} == {"tpm": 998, "spend": 450_000, "size": 1100}
    other = engine.consume("batch", {**BATCH, "client_id": "app-2"}, cost={**COSTS, "prompt_tokens": 0})
    assert {state.name: state.remaining for state in other.states}["spend"] == 300_000


def test_a_shadow_limit_that_would_have_refused_is_told_and_refuses_nothing(engine: Any) -> None:
    answers = [engine.consume("batch", BATCH, cost={"requests": 1, "money": 0, "prompt_tokens": 0}) for _ in range(3)]
    assert [answer.admitted for answer in answers] == [True] * 3
    assert [[state.name for state in answer.shadowed] for answer in answers] == [[], [], ["trial"]]
    assert all("trial" not in {state.name for state in answer.states} for answer in answers)


def test_a_cost_that_never_fits_says_so(engine: Any) -> None:
    assert math.isinf(engine.consume("chat", PREMIUM, cost=1001).refused.retry_after)


def test_decide_and_consume_count_together(engine: Any, world: World) -> None:
    assert chat(engine, world).allowed
    assert engine.consume("chat", {**FREE, "subject": "frida"}).admitted
    assert not chat(engine, world).allowed


def test_a_limit_of_the_endpoint_is_charged(engine: Any) -> None:
    answer = engine.consume("score", PREMIUM)
    assert {(state.scope, state.name) for state in answer.states} == {
        ("tier:premium", "tpm"),
        ("endpoint:score", "burst"),
    }


@pytest.mark.parametrize(
    ("endpoint", "attributes", "options", "message"),
    [
        ("nowhere", FREE, {}, "unknown endpoint 'nowhere'"),
        ("", FREE, {}, "unknown endpoint ''"),
        ("chat", FREE | {"tier": "gold"}, {}, "unknown tier 'gold'"),
        ("chat", {"tier": "free", "subject": "ida"}, {}, "unknown tenant ''"),
        ("chat", FREE | {"shoe": "42"}, {}, "unknown attribute 'shoe'"),
        ("chat", FREE | {"endpoint": "score"}, {}, "unknown attribute 'endpoint'"),
        ("chat", {"tenant": "acme", "tier": "free"}, {}, "counts by 'subject', which is missing"),
        ("chat", FREE, {"cost": 0}, "cost must be"),
        ("chat", FREE, {"cost": 2**40 + 1}, "cost must be"),
        ("chat", FREE, {"cost": -1}, "cannot be sent"),
        ("chat", FREE, {"cost": 2**64}, "cannot be sent"),
        ("chat", FREE, {"cost": {}}, "at least one unit"),
        ("chat", FREE, {"cost": {"requests": 2**40 + 1}}, "at most 2"),
        ("chat", FREE, {"cost": {"requests": -1}}, "cannot be sent"),
        ("chat", FREE, {"cost": {"dollars": 1}}, "unknown unit"),
        ("batch", BATCH, {"cost": 1}, "'spend' of endpoint:batch counts money: give its cost by unit"),
        ("batch", BATCH, {"cost": {"requests": 1, "money": 1}}, "'size' of endpoint:batch counts prompt_tokens"),
        ("batch", PREMIUM, {"cost": COSTS}, "counts by 'client_id', which is missing"),
        ("chat", FREE, {"hold": -1.0}, "hold_seconds must be"),
        ("chat", FREE, {"hold": math.nan}, "hold_seconds must be"),
        ("chat", FREE, {"hold": math.inf}, "hold_seconds must be"),
    ],
)
def test_a_wrong_charge_is_the_callers_fault(
    engine: Any, endpoint: str, attributes: dict[str, str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TidegateInvalid, match=message):
        engine.consume(endpoint, attributes, **options)


def test_a_wrong_settlement_is_the_callers_fault(engine: Any) -> None:
    with pytest.raises(TidegateInvalid):
        engine.settle("", 1)
    with pytest.raises(TidegateInvalid):
        engine.settle("some", -1)
    with pytest.raises(TidegateInvalid, match="unknown unit"):
        engine.settle("some", {"dollars": 1})
    with pytest.raises(TidegateInvalid, match="at most 2"):
        engine.settle("some", {"money": 2**41})
    assert engine.settle("never-made", 1) is False


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

    assert not stream.complete
    assert "".join(stream) == whole.text == "mail [EMAIL] or pay [CREDIT_CARD], not today. Ünïcödé 🌊 [EMAIL]"
    assert (stream.complete, stream.findings, stream.blocked) == (True, whole.findings, None)


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
