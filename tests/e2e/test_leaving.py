"""An exchange that ends before its response begins is settled at once, on every store."""

from __future__ import annotations

import json
import socket

import pytest

from tests.e2e.priced import PATHS, ask, body_of, settles_at
from tests.e2e.stack import Gate, until
from tests.e2e.upstream import Answer, Hold, Reset, json_answer

PROMPT = 3 + 4 + 10


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_before_the_response_begins_pays_for_its_prompt(
    priced: Gate, model: str, path: str, streams: bool
) -> None:
    hold = Hold()
    fields = priced.fields(Answer([hold], raw=True))
    body = json.dumps(body_of(model, stream=streams, max_tokens=5000))
    head = [("host", "x"), ("content-type", "application/json"), ("content-length", str(len(body))), *fields]
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head), "", body]
    with socket.create_connection(("127.0.0.1", priced.port)) as client:
        client.sendall("\r\n".join(lines).encode())
        until(hold.reached, timeout=30, what="the request is at the model")
    settles_at(priced, model, PROMPT)
    assert ask(priced, json_answer({}), model, max_tokens=9000).status_code == 200


@pytest.mark.parametrize("steps", [[Reset()], [b"nonsense\r\n\r\n", Reset()]])
def test_a_model_that_fails_costs_no_tokens(priced: Gate, model: str, steps: list[bytes | Reset]) -> None:
    answer = ask(priced, Answer(steps, raw=True), model, stream=True)
    assert answer.status_code in (502, 503)
    settles_at(priced, model, 0)


def test_no_stream_is_left_behind(priced: Gate) -> None:
    until(lambda: priced.metric("tidegate_streams") == 0)
