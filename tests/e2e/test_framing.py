"""The bytes around a body: lengths, endings, trailers, encodings, and bodies that nobody can read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Gate, manager, running_gate
from tests.e2e.upstream import Answer, Upstream, chat, chunked, delta, finish, json_answer
from tests.e2e.wire import raw

SECRET = "bob@example.com"


def content(answer: httpx.Response) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def in_a_row(gate: Gate, first: Answer, method: str = "GET", **headers: str) -> tuple[httpx.Response, httpx.Response]:
    """The answer `first`, and a sound one after it on the same connection."""
    ports, answers = [], []
    with gate.client() as client:
        for number, reply in enumerate((first, json_answer(chat("second")))):
            fields = [*gate.fields(reply), *headers.items()]
            with client.stream("GET" if number else method, "/predict/x", headers=fields) as answer:
                ports.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
                answer.read()
            answers.append(answer)
    assert ports[0] == ports[1]
    assert content(answers[1]) == "second"
    return answers[0], answers[1]


def test_json_is_redacted_and_everything_else_stays(gate: Gate) -> None:
    answer = gate.get(json_answer(chat(f"mail {SECRET} now"), headers=[("x-model", "m1")]))
    assert answer.status_code == 200
    assert answer.json() == chat("mail [EMAIL] now")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model"] == "m1"


@pytest.mark.parametrize("mail", [SECRET, "a@b.co", " and ".join(f"user{i}@example.org" for i in range(500))])
def test_a_changed_length_never_desynchronises_the_connection(gate: Gate, mail: str) -> None:
    """Shorter, longer and much shorter bodies, each followed by another request on the same connection."""
    answers = in_a_row(gate, json_answer(chat(mail)))
    assert "@" not in content(answers[0])
    for answer in answers:
        assert answer.headers.get("content-length") in (None, str(len(answer.content)))


def test_what_described_the_old_body_is_gone(gate: Gate) -> None:
    stale = [("etag", '"1"'), ("content-md5", "x"), ("digest", "x"), ("last-modified", "x"), ("accept-ranges", "bytes")]
    for answer in (
        gate.get(json_answer(chat(SECRET), headers=stale)),
        gate.get(chunked([delta(SECRET), *finish()], headers=stale)),
    ):
        assert answer.status_code == 200
        assert not {name for name, _ in stale} & set(answer.headers)


def test_a_byte_range_is_never_asked_of_the_model(gate: Gate) -> None:
    name = gate.script(json_answer(chat(SECRET)))
    answer = gate.get(name, headers={"range": "bytes=0-40", "if-range": '"1"'})
    assert answer.status_code == 200
    (seen,) = gate.seen(name)
    assert not seen.names & {"range", "if-range"}


def test_a_partial_answer_nobody_asked_for_is_withheld(gate: Gate) -> None:
    answer = gate.get(json_answer(chat(SECRET), status=206, headers=[("content-range", "bytes 0-99/200")]))
    assert answer.status_code == 502
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "reply",
    [
        Answer(status=204),
        Answer(status=304, headers=[("etag", '"1"')]),
        Answer(status=200, headers=[("content-length", "0")]),
        Answer(status=200, headers=[("content-type", "application/json"), ("content-length", "0")]),
        Answer(status=302, headers=[("location", "/elsewhere"), ("content-length", "0")]),
    ],
    ids=["204", "304", "empty", "empty json", "redirect"],
)
def test_answers_without_a_body(gate: Gate, reply: Answer) -> None:
    first, _ = in_a_row(gate, reply)
    assert (first.status_code, first.content) == (reply.status, b"")


def test_head(gate: Gate) -> None:
    first, _ = in_a_row(gate, json_answer(chat(SECRET)), method="HEAD")
    assert (first.status_code, first.content) == (200, b"")


@pytest.fixture(scope="module")
def trailing_gate(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Gate]:
    """HTTP/1 trailers, which Envoy drops unless told otherwise. (HTTP/2 models send them as a matter of course.)"""

    def keep_trailers(document: dict[str, Any]) -> None:
        manager(document)["http_protocol_options"] = {"enable_trailers": True}
        kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        options = {
            "@type": f"type.googleapis.com/{kind}",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
        document["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = {kind: options}

    with running_gate(tmp_path_factory.mktemp("trailing"), upstream, tweak=keep_trailers) as running:
        yield running


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ([delta("see bob@exam"), delta("ple.com"), *finish()], "see [EMAIL]"),
        ([json.dumps(chat("see bob@example.com")).encode()], "see [EMAIL]"),
    ],
    ids=["sse", "json"],
)
def test_trailers_keep_what_was_held_back(trailing_gate: Gate, reply: list[bytes], expected: str) -> None:
    kind = "application/json" if len(reply) == 1 else "text/event-stream"
    parts = chunked(reply, content_type=kind, trailers=[("x-checksum", "abc")])
    first, _ = in_a_row(trailing_gate, parts, te="trailers")
    text = content(first) if len(reply) == 1 else streamed_text(first.text)
    assert text == expected


@pytest.mark.parametrize("streamed", [True, False])
def test_a_model_writes_no_receipt_of_ours(trailing_gate: Gate, streamed: bool) -> None:
    """Neither above its answer nor below it."""
    forged = [("x-tidegate-coverage", "forged"), ("x-checksum", "abc")]
    reply = [delta("hello"), *finish()] if streamed else [json.dumps(chat("hello")).encode()]
    kind = "text/event-stream" if streamed else "application/json"
    answer = chunked(reply, content_type=kind, trailers=forged, headers=forged)
    fields = "".join(f"{name}: {value}\r\n" for name, value in trailing_gate.fields(answer))
    request = f"GET /predict/x HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close\r\n{fields}\r\n"
    head, _, rest = raw(trailing_gate.port, request.encode("latin-1")).partition(b"\r\n\r\n")
    assert b"hello" in rest
    assert head.count(b"x-checksum: abc") == rest.count(b"x-checksum: abc") == 1
    assert b"forged" not in head + rest


def streamed_text(body: str) -> str:
    """What the deltas of an OpenAI stream say in all."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    choices = [json.loads(line)["choices"][0] for line in lines if line != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def refused(answer: httpx.Response) -> None:
    """502 in the caller's format, and nothing of the body."""
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "response_withheld"
    assert SECRET not in answer.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, identity", "identity, gzip", "x-made-up", "deflate"])
def test_a_content_encoding_that_is_false_or_unknown_is_withheld(gate: Gate, encoding: str) -> None:
    body = gzip.compress(json.dumps(chat(SECRET)).encode())
    refused(gate.get(json_answer(body, headers=[("content-encoding", encoding)])))


def test_a_content_encoding_that_is_said_twice_is_withheld(gate: Gate) -> None:
    body = gzip.compress(json.dumps(chat(SECRET)).encode())
    for values in (("gzip", "identity"), ("identity", "gzip"), ("br", "gzip")):
        refused(gate.get(json_answer(body, headers=[("content-encoding", value) for value in values])))


def test_a_compressed_answer_that_does_not_say_so_is_withheld(gate: Gate) -> None:
    refused(gate.get(json_answer(gzip.compress(json.dumps(chat(SECRET)).encode()))))


@pytest.mark.parametrize(
    "kind", ["image/png", "application/octet-stream", "multipart/mixed; boundary=x", "application/grpc", "nonsense", ""]
)
def test_a_body_that_no_format_reads_is_withheld(gate: Gate, kind: str) -> None:
    refused(gate.get(json_answer(json.dumps(chat(SECRET)).encode(), headers=[("content-type", kind)])))


def test_a_body_without_a_type_is_withheld(gate: Gate) -> None:
    body = json.dumps(chat(SECRET)).encode()
    refused(gate.get(Answer([body], headers=[("content-length", str(len(body)))])))


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-32", "utf-7", "ibm1047"])
def test_a_charset_that_hides_text_does_not(gate: Gate, charset: str) -> None:
    codec = "cp037" if charset == "ibm1047" else charset
    for kind in ("application/json", "text/plain", "text/event-stream"):
        body = f'{{"a": "{SECRET}"}}'.encode(codec)
        answer = gate.get(json_answer(body, headers=[("content-type", f"{kind}; charset={charset}")]))
        assert SECRET.encode(codec) not in answer.content
        assert SECRET not in answer.text


def test_two_content_types_do_not_confuse(gate: Gate) -> None:
    body = json.dumps(chat(SECRET)).encode()
    head = [("content-length", str(len(body))), ("content-type", "image/png"), ("content-type", "application/json")]
    answer = gate.get(Answer([body], headers=head))
    assert SECRET not in answer.text


def test_an_opaque_body_passes_where_the_policy_says_so(gate: Gate) -> None:
    body = bytes(range(256)) * 20_000
    answer = gate.get(json_answer(body, headers=[("content-type", "image/png")]), path="/files/x")
    assert answer.status_code == 200
    assert answer.content == body


@pytest.mark.parametrize("size", [65_000, 66_000, 5_000_000])
def test_a_response_over_the_cap_is_withheld_before_its_first_byte(gate: Gate, size: int) -> None:
    text = "x" * size
    answer = gate.get(json_answer({"t": text}), path="/narrow/x")
    if size < 65_536:
        assert answer.json() == {"t": text}
    else:
        refused(answer)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a": "' + SECRET.encode(), b'{"a": "bob@example.com"} x', b"\xff\xfe", b'{"a": NaN}', b"[" * 5000],
    ids=["empty", "open", "cut", "tail", "not utf-8", "nan", "deep"],
)
def test_malformed_json_is_withheld_in_the_callers_format(gate: Gate, body: bytes) -> None:
    for answer in (
        gate.get(chunked([body] if body else [], content_type="application/json")),
        gate.chat(chunked([body] if body else [], content_type="application/json")),
    ):
        assert "bob" not in answer.text
        if body:
            assert answer.status_code == 502
            document = answer.json()
            assert (document.get("code") or document["error"]["code"]) == "response_withheld"


def test_a_body_cut_off_by_the_model_is_never_released(gate: Gate) -> None:
    body = json.dumps(chat(SECRET)).encode()
    head = [("content-type", "application/json"), ("content-length", str(len(body) + 5))]
    answer = gate.get(Answer([body], headers=head, close=True))
    assert answer.status_code >= 500
    assert SECRET not in answer.text


def test_a_body_that_ends_with_the_connection(gate: Gate) -> None:
    body = json.dumps(chat(f"mail {SECRET}")).encode()
    answer = gate.get(Answer([body], headers=[("content-type", "application/json")], close=True))
    assert content(answer) == "mail [EMAIL]"


def test_the_receipt_is_ours_whatever_the_model_says(gate: Gate) -> None:
    forged = [("x-tidegate-coverage", "forged")]
    buffered = gate.get(json_answer(chat(SECRET), headers=forged))
    assert "forged" not in buffered.headers["x-tidegate-coverage"]
    for answer in (
        gate.get(chunked([delta("hello"), *finish()], headers=forged)),
        gate.get(json_answer(b"x", headers=[*forged, ("content-type", "image/png")]), path="/files/x"),
        gate.get(Answer(status=204, headers=forged)),
    ):
        assert "forged" not in answer.headers.get("x-tidegate-coverage", "")


def test_one_megabyte_of_findings(tmp_path: Path, gate: Gate) -> None:
    text = " ".join(f"user{i}@example.org" for i in range(50_000))
    answer = gate.get(json_answer(chat(text)))
    assert content(answer) == " ".join(["[EMAIL]"] * 50_000)


def test_the_state_of_limits_is_ours_whatever_the_model_says(tmp_path: Path, upstream: Upstream) -> None:
    with running_gate(tmp_path, upstream) as gate:
        names = ("ratelimit", "ratelimit-policy", "x-ratelimit-remaining-requests")
        answer = gate.get(json_answer(chat("x"), headers=[(name, "999") for name in names]), key="metered-1")
        assert answer.status_code == 200
        assert all("999" not in answer.headers[name] for name in names)
