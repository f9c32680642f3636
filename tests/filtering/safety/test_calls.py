"""Calls of a service that lies, fails, is slow or says no: the text is withheld, and tries are few and bounded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial

import pytest
from tidegate.errors import DetectorUnavailable
from tidegate.filtering.safety.breaker import Breaker
from tidegate.filtering.safety.calls import MAX_ANSWER

from tests.filtering.safety.moderators import HATE, RUDE, HandClock, azure, categories, openai
from tests.filtering.safety.services import KEY, Reply, Service, openai_answer, running_service


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
