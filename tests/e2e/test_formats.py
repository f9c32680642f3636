"""What models speak besides one JSON document and event streams, through the real Envoy."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import httpx
import pytest

from tests.e2e.stack import Gate, until
from tests.e2e.test_framing import refused, streamed_text
from tests.e2e.upstream import Hold, chat, chunked, delta, finish, gzip_answer, json_answer

SECRET = "bob@example.com"
NDJSON = "application/x-ndjson"


def line(text: str, **more: Any) -> bytes:
    document = {"model": "m", "message": {"role": "assistant", "content": text}, "done": False, **more}
    return json.dumps(document).encode() + b"\n"


def spoken(body: bytes) -> str:
    return "".join(json.loads(row)["message"]["content"] for row in body.splitlines())


def test_lines_come_while_the_model_still_talks(gate: Gate) -> None:
    hold = Hold()
    rest = [line("mail bob@exa"), line("mple.com"), line("", done=True, eval_count=5)]
    fields = gate.fields(chunked([line("Good morning, all. "), hold, *rest], content_type=NDJSON))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        parts = answer.iter_raw()
        first = next(parts)
        assert spoken(first) == "Good morning, all. "
        hold.open()
        whole = first + b"".join(parts)
    assert spoken(whole) == "Good morning, all. mail [EMAIL]"
    assert json.loads(whole.splitlines()[-1]) == json.loads(line("", done=True, eval_count=5))


def test_lines_that_are_no_json_end_the_answer_with_an_error(gate: Gate) -> None:
    answer = gate.get(chunked([line("Hello. "), f"{SECRET}\n".encode(), line("more")], content_type=NDJSON))
    first, error = answer.content.splitlines()
    assert spoken(first) == "Hello. "
    assert json.loads(error)["code"] == "response_withheld"


def test_a_block_ends_the_lines_with_an_error(gate: Gate) -> None:
    parts = [line("Hello. "), line("SSN 536-22-8145 ok. "), line("more")]
    answer = gate.get(chunked(parts, content_type=NDJSON))
    assert b"8145" not in answer.content
    assert b"more" not in answer.content
    assert json.loads(answer.content.splitlines()[-1])["code"] == "content_blocked"


@pytest.mark.parametrize(
    ("encoding", "code"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)]
)
def test_a_compressed_document_is_read_and_leaves_as_it_is(
    gate: Gate, encoding: str, code: Callable[[bytes], bytes]
) -> None:
    body = code(json.dumps(chat(f"mail {SECRET}")).encode())
    answer = gate.get(json_answer(body, headers=[("content-encoding", encoding), ("vary", "accept-encoding")]))
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.json() == chat("mail [EMAIL]")
    assert "findings=EMAIL:redact:1" in answer.headers["x-tidegate-coverage"]


def test_a_compressed_stream_comes_while_the_model_still_talks(gate: Gate) -> None:
    coder = zlib.compressobj(wbits=31)

    def flushed(*events: bytes) -> bytes:
        return coder.compress(b"".join(events)) + coder.flush(zlib.Z_SYNC_FLUSH)

    hold = Hold()
    first_part = flushed(delta("Good morning, all. "), delta("mail bob@exa"))
    steps = [first_part, hold, flushed(delta("mple.com"), *finish()), coder.flush()]
    fields = gate.fields(chunked(steps, headers=[("content-encoding", "gzip")]))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        assert "content-encoding" not in answer.headers
        parts = answer.iter_raw()
        first = next(parts)
        assert streamed_text(first.decode()).startswith("Good morning, all.")
        hold.open()
        whole = first + b"".join(parts)
    assert streamed_text(whole.decode()) == "Good morning, all. mail [EMAIL]"


def test_a_long_stream_that_is_compressed_in_one_go_arrives_whole(gate: Gate) -> None:
    words = [f"word{n % 977} " for n in range(30_000)]
    packed = gzip.compress(b"".join(map(delta, words)) + delta(SECRET) + b"".join(finish()))
    answer = gate.get(chunked([packed], headers=[("content-encoding", "gzip")]))
    assert streamed_text(answer.text) == "".join(words) + "[EMAIL]"


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(json.dumps(chat(SECRET)).encode())[:-4],
        gzip.compress(json.dumps(chat(SECRET)).encode()) + b"more",
        gzip.compress(b"{}") + gzip.compress(json.dumps(chat(SECRET)).encode()),
        json.dumps(chat(SECRET)).encode(),
        gzip.compress(b'"' + b"x" * (64 << 20) + b'"'),
    ],
    ids=["cut off", "more behind", "two members", "not compressed", "a bomb"],
)
def test_compressed_bodies_that_are_not_what_they_say_are_withheld(gate: Gate, body: bytes) -> None:
    refused(gate.get(json_answer(body, headers=[("content-encoding", "gzip")])))


def test_a_bomb_in_a_stream_ends_it(gate: Gate) -> None:
    packed = gzip.compress(delta("x ") * 200 + b": " + b"x" * (64 << 20))
    answer = gate.get(chunked([packed], headers=[("content-encoding", "gzip")]))
    assert len(answer.content) < 2 << 20
    assert "response_withheld" in answer.text
    assert gate.get(gzip_answer(chat("fine"))).json() == chat("fine")


def test_fields_that_the_policy_chooses_are_read_and_the_receipt_names_the_others(gate: Gate) -> None:
    outputs = [{"name": SECRET, "datatype": "BYTES", "shape": [1], "data": [f"mail {SECRET}"]}]
    answer = gate.get(json_answer({"model_name": SECRET, "outputs": outputs}), path="/chosen/x")
    assert answer.json() == {"model_name": SECRET, "outputs": [{**outputs[0], "data": ["mail [EMAIL]"]}]}
    assert "unread=number:1,policy:1,policy/outputs/*/name:1,policy_keys:6;" in answer.headers["x-tidegate-coverage"]


def test_binary_tensors_behind_json_are_withheld_or_pass_as_not_scanned(gate: Gate) -> None:
    head = json.dumps({"model_name": "m", "outputs": [{"name": "o", "datatype": "BYTES", "shape": [1]}]}).encode()
    body = head + len(SECRET).to_bytes(4, "little") + SECRET.encode()
    script = json_answer(body, headers=[("inference-header-content-length", str(len(head)))])
    refused(gate.get(script))
    passed = gate.get(script, path="/files/x")
    assert (passed.status_code, passed.content) == (200, body)
    until(lambda: gate.metric("tidegate_skipped_bytes_total", format="none") >= len(body))


def test_a_stream_of_triton_is_one_text(gate: Gate) -> None:
    parts = [
        f"data: {json.dumps({'model_name': 'm', 'model_version': '1', 'text_output': text})}\n\n".encode()
        for text in ("mail bob@exa", "mple.com", " now")
    ]
    answer = gate.get(chunked(parts))
    events = [json.loads(row.removeprefix("data: ")) for row in answer.text.split("\n\n") if row]
    assert "".join(event["text_output"] for event in events) == "mail [EMAIL] now"


def test_rows_come_while_the_model_still_talks(gate: Gate) -> None:
    hold = Hold()
    parts = [b"id,who\r\n1,bob@exa", hold, b'mple.com\r\n2,"a, b\r\n', b'bob@example.com"\r\n3,bob@,example.com']
    fields = gate.fields(chunked(parts, content_type="text/csv"))
    with gate.client() as client, client.stream("GET", "/predict/x", headers=fields) as answer:
        rows = answer.iter_raw()
        first = next(rows)
        assert first == b"id,who\r\n"
        hold.open()
        whole = first + b"".join(rows)
    assert whole == b'id,who\r\n1,[EMAIL]\r\n2,"a, b\r\n[EMAIL]"\r\n3,bob@,example.com'


def test_rows_that_readers_would_read_in_two_ways_are_cut_off(gate: Gate) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        gate.get(chunked([b"a,b\r\n", b'1,x"bob@exa,mple.com"\r\n'], content_type="text/csv"))
