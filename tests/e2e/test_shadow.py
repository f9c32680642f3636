"""`tidegate serve --shadow` behind a real Envoy: nothing is changed or withheld, and everything is counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Gate, running_gate, until_at
from tests.e2e.upstream import Answer, Upstream, chunked

SECRET = "bob@example.com"
RAW = b'{ "a" : 1.0,\r\n "mail":"bob\\u0040example.com"}'


@pytest.fixture(scope="module")
def shadow_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("shadow"), upstream, flags={"shadow": True}) as gate:
        yield gate


def answer(body: bytes, kind: str) -> Answer:
    described = [("content-type", kind), ("content-length", str(len(body))), ("etag", '"1"')]
    return Answer([body], headers=described)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (RAW, "application/json"),
        (RAW[:-1], "application/json"),
        (f"to {SECRET}\n".encode(), "text/plain"),
        (b"\xff\xfe" + SECRET.encode(), "image/png"),
    ],
)
def test_a_body_arrives_byte_for_byte_with_its_own_headers(shadow_gate: Gate, body: bytes, kind: str) -> None:
    given = shadow_gate.get(answer(body, kind))
    assert (given.status_code, given.content) == (200, body)
    assert given.headers["etag"] == '"1"'


def test_a_stream_arrives_byte_for_byte_and_what_it_held_is_counted(shadow_gate: Gate) -> None:
    pieces = [b'data: {"choices":[{"index":0,"delta":{"content":"to bob@exam"}}]}\r\n\r\n']
    pieces += [b'data:{"choices":[{"index":0,"delta":{"content":"ple.com"}}]}\n\n', b"data: [DONE]\n\n"]
    labels = {"entity": "EMAIL", "action": "annotate"}
    before = shadow_gate.metric("tidegate_findings_total", **labels)
    given = shadow_gate.get(chunked(pieces))
    assert given.content == b"".join(pieces)
    until_at(lambda: int(shadow_gate.metric("tidegate_findings_total", **labels) - before), 1)


def test_the_log_says_that_nothing_is_enforced(shadow_gate: Gate) -> None:
    log = shadow_gate.workers[0].log.read_text()
    assert "in shadow: no rule changes or withholds a response" in log
    assert SECRET not in log
