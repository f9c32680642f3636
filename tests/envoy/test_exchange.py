"""The response half as a state machine: no network, every order of events, fail closed."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy.exchange import (
    COVERAGE_HEADER,
    Abort,
    Body,
    Continue,
    Exchange,
    Reply,
    Trailers,
)
from tidegate.envoy.handoff import Handoff
from tidegate.errors import ProtocolViolation, UnsupportedBody
from tidegate.filtering.ruleset import FilterPlan

from tests.envoy.world import HANDOFF, NOTHING, REDACT, SECRET, SHADOW, body_of, exchange, head, sse


@pytest.mark.parametrize(
    ("raw", "content_type", "failure", "receipt"),
    [
        (b'{"text" : "to bob\\u0040example.com"}', "application/json", "", "findings=EMAIL:annotate:1"),
        (b'{"text": "to bob@example.com', "application/json", "malformed", "failure=malformed"),
        (sse("bob@example.com").replace(b"\n", b"\r\n"), "text/event-stream", "", "findings=EMAIL:annotate:1"),
        (b"\xff bob@example.com", "text/plain", "malformed", "failure=malformed"),
        (b"GIF89a bob@example.com", "image/gif", "", "unread=unsupported_type:1"),
    ],
)
def test_in_shadow_everything_passes_as_it_came_and_is_accounted_for(
    raw: bytes, content_type: str, failure: str, receipt: str
) -> None:
    for size in (1, 5, len(raw)):
        subject = exchange(SHADOW)
        (answered,) = subject.head(head(content_type=content_type))
        assert answered == Continue((), (COVERAGE_HEADER,))
        for start in range(0, len(raw), size):
            piece = raw[start : start + size]
            assert subject.body(piece, end=False) == [Body(piece, end=False)]
        assert subject.body(b"", end=True) == [Body(b"", end=True)]
        assert (subject.outcome, subject.failure) == ("passed", failure)
        coverage = subject.coverage()
        assert receipt in coverage.header()
        assert coverage.scanned_bytes + coverage.skipped_bytes == len(raw)


def test_in_shadow_what_came_compressed_is_read_and_leaves_compressed() -> None:
    raw = gzip.compress(b'{"text": "to bob@example.com"}')
    subject = exchange(SHADOW)
    assert subject.head(head(content_encoding="gzip")) == [Continue((), (COVERAGE_HEADER,))]
    assert body_of(subject.body(raw[:9], end=False) + subject.body(raw[9:], end=True)) == raw
    assert subject.coverage().findings == {("EMAIL", "annotate"): 1}
    broken = exchange(SHADOW)
    broken.head(head(content_encoding="gzip"))
    assert body_of(broken.body(raw[:20], end=False) + broken.body(b"junk", end=True)) == raw[:20] + b"junk"
    assert (broken.outcome, broken.failure) == ("passed", "malformed")


def test_in_shadow_an_unknown_ruleset_is_still_withheld() -> None:
    assert isinstance(exchange(SHADOW).head(head(handoff=None))[0], Reply)


def test_without_a_handoff_the_body_is_withheld() -> None:
    (reply,) = exchange().head(head(handoff=None))
    assert isinstance(reply, Reply)
    assert reply.deny.status == 500


def test_a_ruleset_unknown_here_withholds_the_body() -> None:
    def unknown(_: Handoff) -> FilterPlan:
        raise UnsupportedBody("no such ruleset")

    subject = Exchange(unknown, lambda *_: None)
    (reply,) = subject.head(head())
    assert isinstance(reply, Reply)
    assert (reply.deny.status, subject.outcome, subject.failure) == (500, "withheld", "ruleset_unknown")


def test_envoys_own_replies_pass_even_without_a_handoff() -> None:
    subject = exchange()
    (answered,) = subject.head(head(handoff=None, details="ext_authz_denied", status=401))
    assert isinstance(answered, Continue)
    assert subject.body(b'{"error"', end=False) == [Body(b'{"error"', end=False)]
    assert subject.body(b"}", end=True) == [Body(b"}", end=True)]
    assert subject.outcome == "passed"


def test_a_forged_receipt_from_the_model_is_removed() -> None:
    for plan in (REDACT, NOTHING):
        (answered,) = exchange(plan).head(head(content_type="text/event-stream"))
        assert isinstance(answered, Continue)
        assert COVERAGE_HEADER in answered.remove_headers


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"content_encoding": "zstd"}, "content_encoding"),
        ({"content_encoding": "gzip, gzip"}, "content_encoding"),
        ({"content_encoding": "gzip", "content_type": "image/svg+json; charset=latin1"}, "content_encoding"),
        ({"content_encoding": "gzip", "status": 206}, "partial_content"),
        ({"content_type": "image/png"}, "unsupported_type"),
        ({"content_type": ""}, "unsupported_type"),
        ({"tensors": True}, "binary_tensors"),
        ({"tensors": True, "content_encoding": "gzip"}, "binary_tensors"),
        ({"status": 206}, "partial_content"),
        ({"status": 101}, "partial_content"),
    ],
)
def test_what_cannot_be_read_is_withheld_with_502(changes: dict[str, Any], why: str) -> None:
    subject = exchange()
    (reply,) = subject.head(head(**changes))
    assert isinstance(reply, Reply)
    assert (reply.deny.status, subject.failure) == (502, why)
    assert subject.body(b"anything", end=True) == []


def test_a_compressed_body_that_no_rule_looks_into_keeps_its_coding() -> None:
    subject = exchange(NOTHING)
    (answered,) = subject.head(head(content_encoding="gzip"))
    assert isinstance(answered, Continue)
    assert "content-encoding" not in answered.remove_headers
    assert body_of(subject.body(b"\x1f\x8b", end=True)) == b"\x1f\x8b"


def test_what_cannot_be_read_passes_when_the_policy_says_so_and_is_not_called_scanned() -> None:
    subject = exchange()
    lenient = HANDOFF._replace(unscannable="pass")
    subject.head(head(content_type="image/png", handoff=lenient))
    assert subject.body(b"\x89PNG", end=True) == [Body(b"\x89PNG", end=True)]
    receipt = subject.coverage()
    assert (receipt.scanned_bytes, receipt.skipped_bytes) == (0, 4)
    assert "unsupported_type" in receipt.skipped


def test_a_body_that_ends_with_its_headers_needs_no_body_command() -> None:
    assert [type(command) for command in exchange().head(head(end=True, status=204))] == [Continue]


def test_trailers_release_what_was_held_and_leave_the_end_to_the_trailers() -> None:
    subject = exchange()
    subject.head(head(content_type="text/plain"))
    subject.body(f"write to {SECRET}".encode(), end=False)
    released, trailers = subject.trailers()
    assert isinstance(released, Body)
    assert not released.end
    assert isinstance(trailers, Trailers)
    assert subject.finished


def test_trailers_after_json_answer_headers_body_and_trailers_in_order() -> None:
    subject = exchange()
    subject.head(head())
    subject.body(b'{"a": 1}', end=False)
    assert [type(command) for command in subject.trailers()] == [Continue, Body, Trailers]


def test_no_ruleset_means_passed_and_not_scanned() -> None:
    subject = exchange(NOTHING)
    subject.head(head())
    assert subject.body(SECRET.encode(), end=True) == [Body(SECRET.encode(), end=True)]
    assert subject.coverage().scanned_bytes == 0
    assert "no_ruleset" in subject.coverage().skipped


def test_a_stream_lost_in_the_middle_is_recorded_as_truncated() -> None:
    subject = exchange()
    subject.head(head())
    subject.body(b"{", end=False)
    subject.lost()
    assert subject.outcome == "truncated"


@pytest.mark.parametrize("early", ["body", "trailers"])
def test_events_before_the_headers_are_a_protocol_violation(early: str) -> None:
    with pytest.raises(ProtocolViolation):
        exchange().body(b"x", end=True) if early == "body" else exchange().trailers()


def test_headers_twice_are_a_protocol_violation() -> None:
    subject = exchange()
    subject.head(head(content_type="text/plain"))
    with pytest.raises(ProtocolViolation):
        subject.head(head())


@given(
    kind=st.sampled_from(["application/json", "text/event-stream", "text/plain"]),
    data=st.one_of(
        st.binary(max_size=200),
        st.just(json.dumps({"a": [SECRET, 1.0]}).encode()),
        st.just(sse("bob@", "example", ".com", " ok")),
    ),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    trailers=st.booleans(),
)
def test_any_body_in_any_cut_ends_exactly_once_and_never_leaks(
    kind: str, data: bytes, cuts: list[int], trailers: bool
) -> None:
    subject = exchange()
    commands = subject.head(head(content_type=kind))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:stop] for start, stop in itertools.pairwise(edges)]
    for chunk in chunks:
        commands += subject.body(chunk, end=False)
    commands += subject.trailers() if trailers else subject.body(b"", end=True)
    endings = [c for c in commands if isinstance(c, Reply | Abort | Trailers) or (isinstance(c, Body) and c.end)]
    assert len(endings) == 1
    assert endings[0] is commands[-1]
    assert subject.finished
    assert SECRET.encode() not in body_of(commands)
    continues = [index for index, command in enumerate(commands) if isinstance(command, Continue)]
    assert len(continues) <= 1
    if any(isinstance(command, Body) for command in commands):
        assert continues == [0]
