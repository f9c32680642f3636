"""A text judged by a service: what of it leaves, what the receipt says, and who judges when the service does not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from tidegate.clock import SystemClock
from tidegate.filtering.formats import open_body
from tidegate.filtering.ruleset import Action, FilterPlan, merge
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.moderator import Moderator
from tidegate.filtering.staged import rewriting
from tidegate.policy import parse_policy
from tidegate.telemetry import Telemetry

from tests.filtering.safety.moderators import HATE, RUDE, azure, categories, openai
from tests.filtering.safety.services import KEY, Reply, Service, running_service


def test_the_classifier_stands_in_for_the_categories_of_the_service(service: Service) -> None:
    service.always = Reply(503)
    moderator = openai(service, on_failure="local")
    bias = "Women are naturally bad at math and should not be engineers."
    hateful, biased = categories(moderator, HATE, bias)
    assert hateful == ["HATE"]
    assert Classifier().judge([bias])[0].categories[-1] == "BIAS"
    assert "BIAS" not in biased
    assert moderator.usage.passages == {"classifier": 2}


def plan(moderator: Moderator, action: Action = Action.REDACT) -> FilterPlan:
    return FilterPlan({**dict.fromkeys(moderator.entities, action), "EMAIL": Action.REDACT}, spotters=(moderator,))


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/event-stream"])
def test_the_receipt_never_claims_what_nobody_judged(service: Service, kind: str) -> None:
    service.always = Reply(503)
    moderator = openai(service, on_failure="annotate")
    text = RUDE + HATE + "Write to ada@example.com."
    body = {
        "application/json": json.dumps({"a": text, "b": text}).encode(),
        "text/plain": text.encode(),
        "text/event-stream": b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()
        + b"\n\n",
    }[kind]
    rewriter = open_body(kind, plan(moderator), max_bytes=1 << 20)
    assert rewriter is not None
    out = rewriter.feed(body) + rewriter.finish()
    assert b"idiot" in out
    assert b"[EMAIL]" in out  # the patterns have read it all the same
    coverage = rewriter.coverage()
    assert coverage.skipped["moderation_unavailable"] == {"application/json": 8, "text/plain": 3}.get(
        kind, 7
    )  # keys too
    assert coverage.scanned_bytes + coverage.skipped_bytes == len(body)
    assert coverage.scanned_bytes < len(body) - len(RUDE + HATE)
    assert "unread=moderation_unavailable:" in coverage.header()
    service.always = None
    judged = open_body(kind, plan(openai(service)), max_bytes=1 << 20)
    assert judged is not None
    assert b"idiot" not in judged.feed(body) + judged.finish()
    assert "moderation_unavailable" not in judged.coverage().skipped


def test_the_receipt_of_a_stream_that_is_cut_off_tells_what_nobody_judged(service: Service) -> None:
    service.always = Reply(503)
    rewriter = open_body("text/event-stream", plan(openai(service, on_failure="annotate")), max_bytes=1 << 20)
    assert rewriter is not None
    event = {"choices": [{"index": 0, "delta": {"content": HATE + RUDE + "Half a"}}]}
    body = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert RUDE.strip().encode() in rewriter.feed(body)
    rewriter.abort("credential_revoked", "Over.")
    coverage = rewriter.coverage()
    assert coverage.skipped["moderation_unavailable"] >= 2
    assert coverage.scanned_bytes + coverage.skipped_bytes == len(body)
    assert coverage.scanned_bytes < len(body) - len(RUDE + HATE)


def test_the_same_short_text_is_judged_when_the_service_is_back(service: Service) -> None:
    moderator = openai(service, on_failure="annotate")
    service.script = [Reply(401)]
    rewriter = open_body("application/json", plan(moderator), max_bytes=1 << 20)
    assert rewriter is not None
    body = json.dumps(["You idiot", "You idiot"]).encode()
    assert json.loads(rewriter.feed(body) + rewriter.finish()) == ["You idiot", "[HARASSMENT]"]


def test_what_the_patterns_took_does_not_reach_the_service(service: Service) -> None:
    rewriter = rewriting(plan(openai(service)))
    assert rewriter.feed("Ada wrote to ada@example.com. ") + rewriter.finish() == "Ada wrote to [EMAIL]. "
    assert service.asked == [["Ada wrote to [EMAIL]. "]]


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Moderator, Moderator]]:
    with running_service() as service:
        yield openai(service), azure(service)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["Fine.", RUDE, HATE, "\n", "  ", "Stab.", "no end", "ada@example.com "]), max_size=6),
    st.sampled_from([Action.REDACT, Action.BLOCK, Action.ANNOTATE, Action.MASK]),
    st.integers(0, 1),
    st.data(),
)
def test_the_outcome_does_not_depend_on_the_cutting(
    standing: tuple[Moderator, Moderator], parts: list[str], action: Action, which: int, data: st.DataObject
) -> None:
    text = " ".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    def run(chunks: list[str]) -> tuple[str, dict[tuple[str, str], int]]:
        rewriter = rewriting(plan(standing[which], action))
        return "".join(map(rewriter.feed, chunks)) + rewriter.finish(), dict(rewriter.findings)

    assert run(chunks) == run([text])


def test_what_was_asked_is_counted_over_policies_and_holds_no_text(service: Service) -> None:
    telemetry = Telemetry(clock=SystemClock(), stream=io.BytesIO())
    document = """
version: 1
rulesets: {safe: [{detect: [CONTENT_SAFETY], act: redact}]}
content_safety: {openai: {key_env: TIDEGATE_TEST_KEY, url: "%s/v1/moderations", on_failure: annotate}}
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEGATE_TEST_KEY", KEY)
        policies = [parse_policy(document % service.url) for _ in range(2)]
    for policy in policies:
        telemetry.upkeep.policy(policy)
        rewriting(merge([policy.rulesets["safe"]], spotters=policy.spotters)).feed(RUDE)
    service.always = Reply(401)
    rewriting(merge([policies[1].rulesets["safe"]], spotters=policies[1].spotters)).feed(HATE)
    shown = generate_latest(telemetry.registry).decode()
    assert 'tidegate_moderation_calls_total{outcome="answered",service="openai"} 2.0' in shown
    assert 'tidegate_moderation_calls_total{outcome="refused",service="openai"} 1.0' in shown
    assert f'tidegate_moderation_characters_total{{service="openai"}} {2 * len(RUDE) + len(HATE)}.0' in shown
    assert 'tidegate_moderation_passages_total{judged_by="nobody",service="openai"} 1.0' in shown
    assert KEY not in shown
    assert "idiot" not in shown
