"""Moderation services over real HTTP: asked by their published schemas, believed only where they keep to them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from tidegate.clock import SystemClock
from tidegate.errors import DetectorUnavailable
from tidegate.filtering.formats import open_body
from tidegate.filtering.ruleset import Action, FilterPlan, merge
from tidegate.filtering.safety.azure import AzureContentSafety
from tidegate.filtering.safety.breaker import Breaker
from tidegate.filtering.safety.calls import MAX_ANSWER, Calls
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.moderator import Moderator, OnFailure
from tidegate.filtering.safety.openai import OpenAiModeration
from tidegate.filtering.safety.remembered import SECONDS, SIZE, Remembered
from tidegate.filtering.staged import rewriting
from tidegate.policy import parse_policy
from tidegate.telemetry import Telemetry

from tests.filtering.safety.services import KEY, Reply, Service, openai_answer, running_service

RUDE = "You idiot, nobody likes you. "
HATE = "The Zorbs are filthy vermin and should be exterminated. "
Make = Callable[..., Moderator]


class HandClock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def openai(
    service: Service, *, on_failure: OnFailure = "withhold", timeout: float = 5.0, **options: object
) -> Moderator:
    thresholds = options.pop("thresholds", None)
    asking = OpenAiModeration(KEY, url=f"{service.url}/v1/moderations", thresholds=thresholds)  # type: ignore[arg-type]
    calls = Calls(asking.url, asking.headers, timeout=timeout, **options)  # type: ignore[arg-type]
    return Moderator(asking, calls, on_failure=on_failure, classifier=Classifier() if on_failure == "local" else None)


def azure(service: Service, *, severities: dict[str, int] | None = None, **options: object) -> Moderator:
    asking = AzureContentSafety(KEY, endpoint=f"{service.url}/", severities=severities)
    calls = Calls(asking.url, asking.headers, timeout=5.0, **options)  # type: ignore[arg-type]
    return Moderator(asking, calls)


def categories(moderator: Moderator, *passages: str) -> list[list[str]]:
    return [list(verdict.categories) for verdict in moderator.judge(passages)]


def test_openai_is_asked_about_many_passages_in_one_call_and_its_kinds_are_our_categories(service: Service) -> None:
    moderator = openai(service)
    assert categories(moderator, "Fine.", HATE, RUDE, "Stab him.", "A noose for me.") == [
        [],
        ["HATE"],
        ["HARASSMENT"],
        ["VIOLENCE"],
        ["SELF_HARM"],
    ]
    assert service.bad == []
    assert list(map(len, service.asked)) == [5]
    assert (moderator.usage.calls["answered"], moderator.usage.passages["service"]) == (1, 5)
    assert moderator.usage.characters == sum(map(len, service.asked[0]))


def test_openai_is_asked_about_32_passages_at_most_in_a_call_and_answers_keep_their_order(service: Service) -> None:
    passages = [f"You idiot {at}." if at % 7 == 0 else f"Fine {at}." for at in range(100)]
    assert categories(openai(service), *passages) == [["HARASSMENT"] if at % 7 == 0 else [] for at in range(100)]
    assert sorted(map(len, service.asked)) == [4, 32, 32, 32]


def test_a_threshold_of_the_policy_takes_the_place_of_the_services_flag(service: Service) -> None:
    assert categories(openai(service, thresholds={"HATE": 0.9}), HATE + RUDE) == [["HARASSMENT"]]
    assert categories(openai(service, thresholds={"VIOLENCE": 0.01}), "Fine.") == [["VIOLENCE"]]


def test_azure_is_asked_about_one_text_a_call_and_severities_from_4_count(service: Service) -> None:
    moderator = azure(service)
    assert categories(moderator, "Fine.", HATE, "Stab him.", "A bruise.", RUDE) == [[], ["HATE"], ["VIOLENCE"], [], []]
    assert service.bad == []
    assert sorted(map(len, service.asked)) == [1] * 5
    assert categories(azure(service, severities={"VIOLENCE": 2, "HATE": 6}), "A bruise.", HATE) == [
        ["VIOLENCE"],
        ["HATE"],
    ]


def test_what_was_judged_a_moment_ago_is_not_asked_about_again(service: Service, clock: HandClock) -> None:
    moderator = openai(service, now=clock.now)
    assert categories(moderator, "choices", RUDE, "choices") == [[], ["HARASSMENT"], []]
    assert categories(moderator, RUDE, "index", "choices") == [["HARASSMENT"], [], []]
    assert service.asked == [["choices", RUDE], ["index"]]
    assert moderator.usage.passages == {"service": 3, "memory": 2}
    clock.at += SECONDS
    categories(moderator, RUDE)
    assert service.asked[2:] == [[RUDE]]
    known = Remembered(clock.now)
    for at in range(SIZE + 1):
        known.put(str(at), ())
    assert (known.get("0"), known.get("1"), known.get("2")) == (None, (), ())


def test_lone_surrogates_are_sent_as_what_stands_for_them(service: Service) -> None:
    assert categories(openai(service), "bad \ud83d idiot") == [["HARASSMENT"]]
    assert service.asked == [["bad ? idiot"]]


def _results(change: Callable[[list[dict[str, object]]], object], body: bytes) -> bytes:
    document = json.loads(openai_answer(json.loads(body)["input"]))
    change(document["results"])
    return json.dumps(document).encode()


LIES = {
    "more results than inputs": Reply(body=partial(_results, lambda results: results.append(results[0]))),
    "fewer results than inputs": Reply(body=partial(_results, lambda results: results.pop())),
    "a score that is a string": Reply(body=partial(_results, lambda r: r[0]["category_scores"].update(hate="0.9"))),  # type: ignore[attr-defined]
    "a category that is missing": Reply(body=partial(_results, lambda r: r[0]["categories"].pop("hate"))),  # type: ignore[attr-defined]
    "an array": Reply(body=b"[]"),
    "no JSON": Reply(body=b"all is well"),
    "nested without end": Reply(body=b'{"results":' + b"[" * 100_000),
    "an empty body": Reply(),
    "a huge answer": Reply(body=b'{"results": "' + b"x" * (MAX_ANSWER + 1) + b'"}'),
    "a compressed answer": Reply(body=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}),
    "a redirect": Reply(302, headers={"location": "/elsewhere"}),
    "a permanent redirect": Reply(308, headers={"location": "/elsewhere"}),
    "a wrong key": Reply(401, b'{"error": {"message": "Incorrect API key provided"}}'),
    "another status that is good": Reply(204),
    "an error that stays": Reply(503),
    "too many requests": Reply(429, headers={"retry-after": "60"}),
}


@pytest.mark.parametrize("reply", LIES.values(), ids=LIES.keys())
def test_what_is_no_answer_withholds_the_text(service: Service, reply: Reply) -> None:
    service.always = reply
    moderator = openai(service)
    with pytest.raises(DetectorUnavailable) as failure:
        moderator.judge([RUDE, HATE])
    assert "/elsewhere" not in service.paths
    assert KEY not in str(failure.value)
    assert "idiot" not in str(failure.value)
    assert moderator.usage.passages == {"nobody": 2}


@pytest.mark.parametrize(
    "analysis",
    [
        [],
        [{"category": "Hate", "severity": 0}],
        [{"category": kind, "severity": 0} for kind in ("Hate", "Hate", "SelfHarm", "Sexual", "Violence")],
        [{"category": kind, "severity": 9} for kind in ("Hate", "SelfHarm", "Sexual", "Violence")],
        [{"category": kind} for kind in ("Hate", "SelfHarm", "Sexual", "Violence")],
    ],
)
def test_azure_must_have_analysed_every_category_once(service: Service, analysis: list[object]) -> None:
    service.always = Reply(body=json.dumps({"blocklistsMatch": [], "categoriesAnalysis": analysis}).encode())
    with pytest.raises(DetectorUnavailable, match="azure: unusable"):
        azure(service).judge(["Fine."])


@pytest.mark.parametrize(
    "reply", [Reply(holds=True), Reply(body=b" " * 10_000, drips=True)], ids=["silent", "dripping"]
)
def test_a_service_that_is_slow_is_given_up_in_time(service: Service, reply: Reply) -> None:
    service.always = reply
    with pytest.raises(DetectorUnavailable, match="openai: late"):
        openai(service, timeout=0.3).judge(["Fine."])


def test_nobody_listening_is_a_failure() -> None:
    with running_service() as gone:
        pass
    with pytest.raises(DetectorUnavailable, match="openai: failed"):
        openai(gone).judge(["Fine."])


def test_a_failure_is_tried_once_more_and_no_oftener(service: Service, clock: HandClock) -> None:
    service.script = [Reply(503)]
    moderator = openai(service, now=clock.now, sleep=clock.sleep)
    assert categories(moderator, RUDE) == [["HARASSMENT"]]
    assert moderator.usage.calls == {"failed": 1, "answered": 1}
    service.always = Reply(500)
    with pytest.raises(DetectorUnavailable):
        moderator.judge([HATE])
    assert len(service.asked) == 4


def test_too_many_requests_waits_as_it_is_told_if_there_is_time(service: Service, clock: HandClock) -> None:
    service.script = [Reply(429, headers={"retry-after": "3"})]
    moderator = openai(service, now=clock.now, sleep=clock.sleep)
    assert categories(moderator, RUDE) == [["HARASSMENT"]]
    assert clock.at == 3
    service.script = [Reply(429, headers={"retry-after": "30"})]
    with pytest.raises(DetectorUnavailable, match="openai: limited"):
        moderator.judge([HATE])
    assert clock.at == 3
    assert len(service.asked) == 3


def test_a_refused_key_is_not_tried_again(service: Service) -> None:
    service.always = Reply(401)
    moderator = openai(service)
    for _ in range(2):
        with pytest.raises(DetectorUnavailable, match="openai: refused"):
            moderator.judge([RUDE])
    assert len(service.asked) == 2


def test_a_service_that_fails_is_left_alone_and_one_call_finds_out_that_it_is_back(
    service: Service, clock: HandClock
) -> None:
    breaker = Breaker(failures=4, cooldown=10, now=clock.now)
    moderator = openai(service, now=clock.now, sleep=clock.sleep, breaker=breaker)
    service.always = Reply(body=b"[]")
    for _ in range(6):
        with pytest.raises(DetectorUnavailable):
            moderator.judge([RUDE])
    assert len(service.asked) == 4
    assert moderator.usage.calls == {"unusable": 4, "spared": 2}
    clock.at += 10
    service.always = None
    assert categories(moderator, RUDE) == [["HARASSMENT"]]
    assert categories(moderator, HATE) == [["HATE"]]
    assert len(service.asked) == 6


def test_calls_of_a_minute_are_bounded(service: Service, clock: HandClock) -> None:
    moderator = openai(service, now=clock.now, sleep=clock.sleep, per_minute=6)
    for at in range(6):
        moderator.judge([f"Fine {at}."])
    with pytest.raises(DetectorUnavailable, match="openai: capped"):
        moderator.judge([RUDE])
    clock.at += 10
    moderator.judge([RUDE])
    with pytest.raises(DetectorUnavailable, match="openai: capped"):
        moderator.judge([HATE])
    assert len(service.asked) == 7


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
