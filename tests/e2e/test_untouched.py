"""Where there is nothing to change, nothing is: streams and requests keep their bytes through the whole of it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.e2e.priced import PATHS, body_of, settles_at
from tests.e2e.stack import Gate
from tests.e2e.upstream import Answer, chunked, delta, event, finish, json_answer

PASSING = PATHS[1]
USAGE = {"usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}
STOP, DONE = finish()
CRLF = b"".join([delta("Hi. "), STOP, DONE]).replace(b"\n", b"\r\n")
STREAMS = {
    "crlf": CRLF,
    "cr": CRLF.replace(b"\r\n", b"\r"),
    "mixed": delta("Hi. ").replace(b"\n", b"\r\n") + delta("You. ") + DONE.replace(b"\n", b"\r"),
    "bom": b"\xef\xbb\xbf" + delta("Hi. ") + DONE,
    "comments": b": ping\n\n: pong\n\n" + delta("Hi. ") + b":\n\n" + DONE,
    "no space": delta("Hi. ").replace(b"data: ", b"data:") + DONE,
    "fields": b"retry: 10\nid: 7\nevent: x\n" + delta("Hi. ") + DONE,
    "lines": b'data: {"choices":\ndata: [{"delta": {"content": "Hi. "}}],\ndata: "usage": null}\n\n' + DONE,
    "blank lines": b"\n\n\n" + delta("Hi. ") + b"\n\n\n\n\n" + DONE + b"\n\n",
    "told unasked": delta("Hi. ", **USAGE) + DONE,
    "no json": b"data: hello\n\ndata: {\n\ndata: [1]\n\ndata: 3\n\n" + DONE,
    "not utf-8": b"data: \xff\xfe\n\n" + delta("Hi. ") + DONE,
    "no end": delta("Hi. ") + b'data: {"choices": [], "usage": 3}',
    "half a line": delta("Hi. ") + b"data",
    "nothing": b"",
    "error": event({"error": {"message": "out of memory"}, "choices": [], **USAGE}) + DONE,
    "no content": b"\n",
}


def asking(model: str, **more: Any) -> bytes:
    return json.dumps(body_of(model, stream=True, **more)).encode()


def sent_through(gate: Gate, model: str, answer: Answer) -> bytes:
    return gate.send("POST", PASSING, answer, content=asking(model)).content


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize("shape", STREAMS)
def test_a_stream_that_passes_keeps_its_bytes(priced: Gate, model: str, shape: str, size: int) -> None:
    whole = STREAMS[shape]
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert sent_through(priced, model, chunked(parts)) == whole
    assert sent_through(priced, model, chunked(parts, trailers=[("x-end", "1")])) == whole


BODIES: list[tuple[str, bytes]] = [
    ("null", b'"stream":true,"stream_options":null'),
    ("list", b'"stream":true,"stream_options":[1]'),
    ("text", b'"stream":true,"stream_options":"a"'),
    ("twice", b'"stream":true,"stream":true'),
    ("options twice", b'"stream":true,"stream_options":{},"stream_options":{"include_usage":false}'),
    ("flag twice", b'"stream":true,"stream_options":{"include_usage":false,"include_usage":false}'),
    ("escaped", b'"str\\u0065am":true'),
    ("escaped option", b'"stream":true,"stream_\\u006fptions":{"include\\u005fusage":false}'),
    ("nested", b'"stream":true,"metadata":{"stream_options":{"include_usage":false}}'),
    ("in text", b'"stream":true,"user":"\\"stream_options\\":{\\"include_usage\\":false}"'),
]
ASKED = {"null", "escaped", "escaped option", "nested", "in text"}


@pytest.mark.parametrize("framing", ["length", "chunked", "expect"])
@pytest.mark.parametrize(("name", "fields"), BODIES)
def test_a_request_is_edited_in_one_place_or_not_at_all(
    priced: Gate, model: str, name: str, fields: bytes, framing: str
) -> None:
    body = b'{"model": "%b", "messages": [], %b, "x": 1.0}' % (model.encode(), fields)
    script = priced.script(chunked([delta("Hi. "), STOP, event({"choices": [], **USAGE}), DONE]))
    headers = {"expect": "100-continue"} if framing == "expect" else {}
    content: Any = iter([body[:20], body[20:]]) if framing == "chunked" else body
    answer = priced.send("POST", PASSING, script, content=content, headers=headers)
    (seen,) = priced.seen(script)
    if name not in ASKED:
        assert seen.body == body
        return
    assert seen.values("content-length") == [str(len(seen.body))]
    assert "transfer-encoding" not in seen.names
    wanted = json.loads(body) | {"stream_options": {"include_usage": True}}
    assert json.loads(seen.body) == wanted
    assert answer.content == b"".join([delta("Hi. "), STOP, DONE])
    settles_at(priced, model, 18)


def test_a_digest_of_the_body_that_was_sent_does_not_go_with_another(priced: Gate, model: str) -> None:
    digests = {"content-digest": "sha-256=:AAAA:", "repr-digest": "sha-256=:AAAA:", "digest": "x", "content-md5": "y"}
    for body, kept in ((asking(model), False), (json.dumps(body_of(model)).encode(), True)):
        script = priced.script(json_answer({"ok": True}))
        assert priced.send("POST", PASSING, script, content=body, headers=digests).status_code == 200
        (seen,) = priced.seen(script)
        assert (seen.names >= digests.keys()) is kept
        assert kept or not seen.names & digests.keys()


def test_a_compressed_request_reaches_the_model_as_it_was_sent(priced: Gate) -> None:
    """Its model cannot be read, so that it is refused where the model decides; elsewhere nothing is edited."""
    body = gzip.compress(asking("small"))
    script = priced.script(json_answer({"ok": True}))
    answer = priced.send("POST", PASSING, script, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code in (400, 415), answer.text
    assert priced.seen(script) == []


@pytest.mark.parametrize("content", [b"", [b""], b"[", b"null", b'"stream"'])
def test_a_request_that_is_no_object_is_answered(priced: Gate, content: Any) -> None:
    given = iter(content) if isinstance(content, list) else content
    assert priced.send("POST", PASSING, json_answer({"ok": True}), content=given).status_code == 400
