"""Bodies that are rewritten: whole or as they come, packed or not; withheld, blocked or cut off in their own form."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from tidegate.envoy.exchange import (
    COVERAGE_HEADER,
    Abort,
    Body,
    Continue,
    Reply,
)
from tidegate.errors import DetectorUnavailable
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.spotting import Effort, Mark

from tests.envoy.world import BLOCK, HANDOFF, SECRET, body_of, content_of, exchange, head, sse


def test_json_is_answered_whole_and_only_at_its_end() -> None:
    subject = exchange()
    raw = json.dumps({"text": f"write to {SECRET}"}).encode()
    assert subject.head(head()) == []
    assert subject.body(raw[:20], end=False) == []
    assert subject.body(raw[20:], end=False) == []
    answered, released = subject.body(b"", end=True)
    assert isinstance(answered, Continue)
    assert "content-length" in answered.remove_headers
    assert dict(answered.set_headers)[COVERAGE_HEADER].startswith("format=json")
    assert released == Body(b'{"text": "write to [EMAIL]"}', end=True)
    assert subject.outcome == "rewritten"


def test_sse_is_answered_at_once_and_a_value_split_over_deltas_is_redacted() -> None:
    subject = exchange()
    first = subject.head(head(content_type="text/event-stream"))
    assert len(first) == 1
    assert isinstance(first[0], Continue)
    out = b""
    for chunk in (sse("mail bo", done=False), sse("b@exam", done=False), sse("ple.com now", " ok")):
        out += body_of(subject.body(chunk, end=False))
    out += body_of(subject.body(b"", end=True))
    assert content_of(out) == "mail [EMAIL] now ok"
    assert out.endswith(b"data: [DONE]\n\n")


def test_a_compressed_document_is_read_and_leaves_as_it_is() -> None:
    subject = exchange()
    assert subject.head(head(content_encoding="gzip")) == []
    assert subject.effort is Effort.LONG
    answered, released = subject.body(gzip.compress(json.dumps({"text": SECRET}).encode()), end=True)
    assert isinstance(answered, Continue)
    assert "content-encoding" in answered.remove_headers
    assert "vary" not in answered.remove_headers
    assert released == Body(b'{"text": "[EMAIL]"}', end=True)


def test_a_compressed_stream_is_read_while_it_runs() -> None:
    subject = exchange()
    (answered,) = subject.head(head(content_type="text/event-stream", content_encoding="gzip"))
    assert isinstance(answered, Continue)
    assert "content-encoding" in answered.remove_headers
    coder = zlib.compressobj(wbits=31)
    out = b""
    for part in (sse("mail bo", done=False), sse("b@exam", done=False), sse("ple.com now", " ok")):
        out += body_of(subject.body(coder.compress(part) + coder.flush(zlib.Z_SYNC_FLUSH), end=False))
        assert SECRET not in content_of(out)
    assert content_of(out) == "mail [EMAIL] now ok"
    assert body_of(subject.body(coder.flush(), end=True)) == b""
    assert subject.outcome == "rewritten"


def test_a_compressed_stream_that_breaks_off_ends_with_an_error() -> None:
    subject = exchange()
    subject.head(head(content_type="text/event-stream", content_encoding="gzip"))
    out = body_of(subject.body(gzip.compress(sse("mail ", SECRET))[:-9], end=True))
    assert SECRET.encode() not in out
    assert b'"error"' in out
    assert (subject.outcome, subject.failure) == ("withheld", "malformed")


@pytest.mark.parametrize("unscannable", ["withhold", "pass"])
def test_what_is_not_compressed_as_it_says_is_withheld_whatever_the_policy(unscannable: Any) -> None:
    subject = exchange()
    subject.head(head(content_encoding="gzip", handoff=HANDOFF._replace(unscannable=unscannable)))
    (reply,) = subject.body(json.dumps({"text": SECRET}).encode(), end=True)
    assert isinstance(reply, Reply)
    assert (reply.deny.status, subject.failure) == (502, "malformed")


def test_malformed_json_is_withheld_before_the_first_byte() -> None:
    subject = exchange()
    subject.head(head())
    (reply,) = subject.body(b'{"a": ', end=True)
    assert isinstance(reply, Reply)
    assert (reply.deny.status, subject.failure) == (502, "malformed")


def test_a_body_over_its_cap_is_withheld_before_the_first_byte_and_swallowed() -> None:
    subject = exchange()
    subject.head(head())
    (reply,) = subject.body(b'"' + b"a" * 70000, end=False)
    assert isinstance(reply, Reply)
    assert subject.failure == "too_large"
    assert subject.body(b"more", end=False) == []
    assert subject.body(b"", end=True) == []


def test_malformed_sse_ends_in_band_with_an_error_and_a_proper_end() -> None:
    subject = exchange()
    subject.head(head(content_type="text/event-stream"))
    out = subject.body(sse("hello there ", done=False), end=False)
    out += subject.body(b'data: {"choices": [\n\n', end=False)
    assert isinstance(out[-1], Body)
    assert out[-1].end
    assert b'"code":"response_withheld"' in body_of(out)
    assert body_of(out).endswith(b"data: [DONE]\n\n")
    assert subject.body(sse(SECRET), end=True) == []


def test_malformed_text_is_cut_off_because_text_has_no_error_form() -> None:
    subject = exchange()
    subject.head(head(content_type="text/plain"))
    assert [type(command) for command in subject.body(b"\xff\xfe", end=False)] == [Abort]


def test_a_blocked_json_body_is_a_403_and_a_blocked_stream_ends_in_band() -> None:
    whole = exchange(BLOCK)
    whole.head(head())
    (reply,) = whole.body(json.dumps({"a": SECRET}).encode(), end=True)
    assert isinstance(reply, Reply)
    assert (reply.deny.status, whole.outcome) == (403, "blocked")
    live = exchange(BLOCK)
    live.head(head(content_type="text/event-stream"))
    out = body_of(live.body(sse("mail ", "bob@exam", "ple.com ", "now "), end=False))
    assert b"content_blocked" in out
    assert b"example.com" not in out
    assert live.outcome == "blocked"


class Away:
    """A spotter whose service does not answer."""

    entities = frozenset({"PERSON"})
    effort = Effort.WAIT
    cap = 10
    decided = 0

    def open(self) -> Away:
        return self

    def feed(self, text: str) -> list[Mark]:
        raise DetectorUnavailable("no answer")


AWAY = FilterPlan({"PERSON": Action.REDACT}, spotters=(Away(),))


def test_what_a_detector_cannot_read_now_is_withheld() -> None:
    subject = exchange(AWAY)
    assert subject.head(head()) == []
    assert subject.effort is Effort.WAIT
    reply = subject.body(b'{"text": "hello"}', end=True)[-1]
    assert isinstance(reply, Reply)
    assert (reply.deny.status, str(reply.deny.reason)) == (502, "response_withheld")
    assert subject.failure == "detector_unavailable"


def test_a_stream_that_a_detector_cannot_read_now_ends_with_an_error() -> None:
    subject = exchange(AWAY)
    subject.head(head(content_type="text/event-stream"))
    commands = subject.body(b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n', end=False)
    assert commands[-1].end
    assert b"response_withheld" in commands[-1].data
    assert b"hello" not in b"".join(command.data for command in commands)
    assert subject.outcome == "withheld"
