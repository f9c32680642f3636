"""What models speak besides one JSON document and event streams, through the real Envoy."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.stack import Gate
from tests.e2e.upstream import Hold, chunked

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
