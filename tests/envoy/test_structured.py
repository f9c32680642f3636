"""Responses that are held to a structure, through the exchange: who is told what, and that nothing leaves unjudged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from tidegate.envoy.commands import Body, Command, Continue, Reply
from tidegate.envoy.exchange import COVERAGE_HEADER, Exchange
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.plans import exchanges
from tidegate.errors import UnsupportedBody
from tidegate.filtering.formats import open_body
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.structure.demand import Shape, Structure
from tidegate.filtering.structure.schema import Schema
from tidegate.model import Hold, Reason
from tidegate.policy import Policy, parse_policy

from tests.envoy.world import HANDOFF, NOTHING, REDACT, SHADOW, body_of, head
from tests.filtering.structure.bodies import BAD, GOOD, answer, chat

RAW_GOOD = json.dumps(chat(GOOD)).encode()
RAW_BAD = json.dumps(chat(BAD)).encode()


def exchange(plan: FilterPlan, structure: Structure | None = None) -> Exchange:
    made = structure or answer()
    return Exchange(
        lambda _: plan,
        lambda kind, rules, cap, to: open_body(kind, rules, max_bytes=cap, observer=to),
        structure=lambda _: made,
    )


def answered(subject: Exchange, raw: bytes, **changes: Any) -> list[Command]:
    return [*subject.head(head(**changes)), *subject.body(raw[:9], end=False), *subject.body(raw[9:], end=True)]


@pytest.mark.parametrize("plan", [NOTHING, REDACT, SHADOW])
def test_what_matches_leaves_as_it_came_with_a_receipt_that_says_so(plan: FilterPlan) -> None:
    subject = exchange(plan)
    continued, released = answered(subject, RAW_GOOD)
    assert isinstance(continued, Continue)
    assert "structure=valid" in dict(continued.set_headers)[COVERAGE_HEADER]
    assert released == Body(RAW_GOOD, end=True)
    assert subject.outcome == "rewritten"


@pytest.mark.parametrize("plan", [NOTHING, REDACT, SHADOW])
def test_what_does_not_match_is_withheld_with_502_and_nothing_of_it(plan: FilterPlan) -> None:
    subject = exchange(plan)
    (reply,) = answered(subject, RAW_BAD)
    assert isinstance(reply, Reply)
    assert (reply.deny.status, reply.deny.reason) == (502, Reason.RESPONSE_STRUCTURE)
    assert reply.deny.detail == "answer/schema/properties/city/type"
    assert reply.deny.detail not in reply.deny.message
    assert subject.outcome == "blocked"
    assert subject.coverage().findings == {("STRUCTURE", "block"): 1}


@pytest.mark.parametrize("kind", ["image/png", "text/plain", "text/csv", "", "application/json; charset=utf-16"])
@pytest.mark.parametrize("unscannable", ["withhold", "pass"])
def test_what_cannot_be_judged_is_withheld_whatever_may_pass_unread(kind: str, unscannable: Any) -> None:
    subject = exchange(NOTHING)
    handoff = HANDOFF._replace(unscannable=unscannable)
    (reply,) = subject.head(head(content_type=kind, handoff=handoff))
    assert isinstance(reply, Reply)
    assert reply.deny.reason is Reason.RESPONSE_STRUCTURE
    assert subject.coverage().structure == "unchecked"


@pytest.mark.parametrize("status", [301, 400, 429, 500])
def test_an_error_of_the_models_is_no_answer(status: int) -> None:
    raw = b'{"error": "no"}'
    subject = exchange(REDACT)
    assert body_of(answered(subject, raw, status=status)) == raw
    assert subject.coverage().structure == "unchecked"


def test_a_part_of_a_document_is_withheld() -> None:
    assert isinstance(exchange(NOTHING).head(head(status=206))[0], Reply)


@pytest.mark.parametrize("plan", [NOTHING, REDACT])
def test_a_compressed_answer_is_judged_and_leaves_uncompressed(plan: FilterPlan) -> None:
    assert body_of(answered(exchange(plan), gzip.compress(RAW_GOOD), content_encoding="gzip")) == RAW_GOOD
    (reply,) = answered(exchange(plan), gzip.compress(RAW_BAD), content_encoding="gzip")
    assert isinstance(reply, Reply)
    assert isinstance(exchange(plan).head(head(content_encoding="zstd"))[0], Reply)


@pytest.mark.parametrize("plan", [NOTHING, SHADOW])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_annotating_lets_every_byte_leave_as_and_when_it_comes(
    plan: FilterPlan, pack: Callable[[bytes], bytes]
) -> None:
    raw = pack(RAW_BAD)
    subject = exchange(plan, answer("annotate"))
    coding = "gzip" if pack is gzip.compress else ""
    assert subject.head(head(content_encoding=coding)) == [Continue((), (COVERAGE_HEADER,))]
    assert subject.body(raw[:9], end=False) == [Body(raw[:9], end=False)]
    assert subject.body(raw[9:], end=True) == [Body(raw[9:], end=True)]
    assert subject.outcome == "passed"
    assert subject.coverage().structure == "answer/schema/properties/city/type"
    assert subject.coverage().findings == {("STRUCTURE", "annotate"): 1}


def test_annotating_is_of_what_leaves_where_rules_rewrite_it() -> None:
    subject = exchange(REDACT, answer("annotate"))
    raw = json.dumps(chat('{"city": "Oslo", "mail": "bob@example.com"}')).encode()
    assert b"[EMAIL]" in body_of(answered(subject, raw))
    assert subject.coverage().structure == "answer/schema/properties/mail/format"


def events(*pieces: str) -> bytes:
    deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return b"".join(b"data: " + json.dumps(delta).encode() + b"\n\n" for delta in deltas)


@pytest.mark.parametrize("plan", [NOTHING, REDACT, SHADOW])
def test_a_stream_leaves_as_it_comes_and_ends_with_an_error_in_place_of_what_breaks_it(plan: FilterPlan) -> None:
    kind = "text/event-stream"
    subject = exchange(plan)
    (continued,) = subject.head(head(content_type=kind))
    assert isinstance(continued, Continue)
    assert "content-length" in continued.remove_headers
    assert body_of(subject.body(events('{"city"', ": "), end=False))
    out = body_of(subject.body(events("7}") + b"data: [DONE]\n\n", end=True))
    assert b"7}" not in out
    assert b'"code":"response_structure"' in out
    assert out.endswith(b"data: [DONE]\n\n")
    assert subject.outcome == "blocked"
    assert subject.finished
    good = exchange(plan)
    whole = events('{"city"', ': "Oslo"}') + b"data: [DONE]\n\n"
    assert (
        "".join(
            json.loads(line[6:])["choices"][0]["delta"]["content"]
            for line in body_of(answered(good, whole, content_type=kind)).decode().splitlines()
            if line.startswith("data: {")
        )
        == '{"city": "Oslo"}'
    )
    assert (good.outcome, good.coverage().structure) == ("rewritten", "valid")


def test_a_stream_of_an_endpoint_that_wants_one_document_is_withheld() -> None:
    subject = exchange(NOTHING, Structure(body=Shape(Schema({}))))
    assert isinstance(subject.head(head(content_type="text/event-stream"))[0], Reply)


POLICY = """
version: 1
tenants: {acme: {}}
endpoints:
  chat:
    owner: acme
    match: {hosts: "*", path: /chat, methods: [POST]}
    structure: {answer: {schema: {type: object, required: [city]}}}
"""
GONE = POLICY.replace("  chat:", "  other:")


def opened(policy: Policy, handoff: Handoff, *, shadow: bool = False) -> list[Command]:
    subject = exchanges(lambda: policy, b"", shadow=shadow)()
    return answered(subject, json.dumps(chat("{}")).encode(), handoff=handoff)


def test_the_policy_in_force_is_what_counts_and_a_demand_that_nobody_knows_withholds() -> None:
    handoff = HANDOFF._replace(rulesets=(), structured=True)
    (reply,) = opened(parse_policy(POLICY), handoff)
    assert isinstance(reply, Reply)
    assert reply.deny.status == 502
    (reply,) = opened(parse_policy(GONE), handoff)
    assert isinstance(reply, Reply)
    assert reply.deny.status == 500
    assert body_of(opened(parse_policy(GONE), handoff._replace(structured=False)))
    assert body_of(opened(parse_policy(POLICY), handoff, shadow=True))


def test_an_unknown_ruleset_withholds_here_too() -> None:
    def unknown(_: Handoff) -> FilterPlan:
        raise UnsupportedBody("unknown")

    subject = Exchange(unknown, lambda *_: None, structure=lambda _: answer())
    assert isinstance(subject.head(head())[0], Reply)


@pytest.mark.parametrize("plan", [NOTHING, REDACT])
@pytest.mark.parametrize("text", [GOOD, BAD])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_what_was_used_is_settled_whether_it_matches_or_not(plan: FilterPlan, text: str, kind: str) -> None:
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
    document = json.dumps({**chat(text), **usage}).encode()
    stream = events(text) + b"data: " + json.dumps({"choices": [], **usage}).encode() + b"\n\ndata: [DONE]\n\n"
    subject = exchange(plan)
    held = HANDOFF._replace(reservation="res-1", prompt_tokens=100, hold=Hold(600.0, (("tokens", 10**6),), ("tpm",)))
    subject.head(head(handoff=held, content_type=kind))
    subject.body(document if kind == "application/json" else stream, end=True)
    subject.lost()
    settlement = subject.settlement()
    assert settlement is not None
    told = {"prompt_tokens": 7, "completion_tokens": 3, "tokens": 10}
    if kind == "application/json" or text == GOOD:
        assert settlement.costs == told
    else:  # the stream ended before its usage came: what was seen of it is counted
        assert settlement.costs["prompt_tokens"] == 100
        assert 0 < settlement.costs["completion_tokens"] < 10
