"""What a request refers to reaches its response, as digests alone; and Envoy is told to send what must be read."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import yaml
from tidegate.envoy.config import Address, EnvoyConfig
from tidegate.envoy.exchange import Exchange
from tidegate.filtering.grounding import GroundingSpotter
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.policy import parse_policy

from tests.envoy.test_request_side import request
from tests.envoy.world import body_of, exchange, head
from tests.policy.cases import valid

PLAN = FilterPlan({"UNGROUNDED_URL": Action.REDACT}, spotters=(GroundingSpotter(),))
ASKED = b'{"stream": false, "prompt": "see https://docs.example/a"}'
SAID = b'["https://docs.example/a", "https://docs.example/b"]'


def answered(subject: Exchange) -> bytes:
    commands = subject.head(head(content_type="application/json")) + subject.body(SAID, end=True)
    return body_of(commands)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, b'["https://docs.example/a", "[UNGROUNDED_URL]"]'),
        ({"content_encoding": "gzip"}, b'["[UNGROUNDED_URL]", "[UNGROUNDED_URL]"]'),
    ],
)
def test_an_answer_may_refer_to_what_a_readable_request_does(changes: dict[str, Any], left: bytes) -> None:
    subject = exchange(PLAN)
    subject.request(request(**changes))
    subject.request_body(ASKED)
    assert answered(subject) == left


def test_without_the_request_nothing_is_vouched_for() -> None:
    assert answered(exchange(PLAN)) == b'["[UNGROUNDED_URL]", "[UNGROUNDED_URL]"]'


def test_nothing_of_the_request_is_kept_but_digests() -> None:
    subject = exchange(PLAN)
    subject.request(request())
    subject.request_body(bytes(bytearray(ASKED)))
    assert subject._references
    assert all(isinstance(one, int) for one in subject._references)
    kept = [one for one in gc.get_referents(subject) if isinstance(one, str | bytes)]
    assert not [one for one in kept if "docs.example" in str(one)]


def test_of_a_request_without_such_a_rule_nothing_is_read() -> None:
    subject = exchange(FilterPlan({"EMAIL": Action.REDACT}))
    subject.request(request())
    subject.request_body(ASKED)
    assert subject._references == frozenset()


def test_envoy_sends_the_bodies_of_requests_whose_answers_are_held_to_them() -> None:
    policy = parse_policy(valid("references that the request must vouch for"))
    assert policy.grounded == {"chat"}
    where = Address.parse("127.0.0.1:1")
    written = EnvoyConfig.for_policy(policy, listen=where, workers=(where,), default_upstream=where)
    config = yaml.safe_load(written.render_filters())
    proc = config["typed_per_filter_config"]["chat"]["envoy.filters.http.ext_proc"]
    assert proc["overrides"]["processing_mode"]["request_body_mode"] == "BUFFERED"
    assert proc["overrides"]["processing_mode"]["request_header_mode"] == "SEND"
