"""A model that costs next to nothing: one chat completion, always the same, over HTTP/1.1 with connections kept.

Usage: python -m tests.bench.model PORT

A request with `"stream": true` gets the same text as server-sent events, a word each. `GET /count` says how many
completions were asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any, Final

import uvloop

CONTENT: Final = (
    "A tide gate is a barrier in a channel that opens with the falling tide and shuts with the rising one, so that "
    "water leaves the land behind it and none comes back. The oldest were flaps of oak on iron hinges; the weight of "
    "the sea alone closes them. What matters is that nobody has to be there: a gate that needs its keeper is a door. "
    "Their weak point is what drifts into the frame and keeps the flap from its seat, which is why they are looked at "
    "after every spring tide. For the drawings of the one in the example, write to ada.lovelace@example.com, or look "
    "them up in the archive of the harbour board under its year."
)
"""What the model says: some 600 characters, with one e-mail address of nobody's."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _whole() -> bytes:
    message = {"role": "assistant", "content": CONTENT, "refusal": None, "annotations": []}
    completion = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "small",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 136, "total_tokens": 160},
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    }
    return json.dumps(completion).encode()


def _events() -> bytes:
    pieces = re.findall(r"\s*\S+", CONTENT)
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in pieces]
    out = []
    for delta, reason in [*deltas, ({}, "stop")]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": "small",
            "choices": [choice],
        }
        out.append(f"data: {json.dumps(chunk)}\n\n")
    return "".join([*out, "data: [DONE]\n\n"]).encode()


def _response(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Model(asyncio.Protocol):
    """One connection. Requests come one after another and have a content-length."""

    asked = 0
    completion = _response("application/json", _whole())
    stream = _response("text/event-stream", _events())
    _transport: Any

    def __init__(self) -> None:
        self._seen = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(self._seen, 0, end)
        if len(self._seen) < end + (int(length[1]) if length else 0):
            return
        body, start, self._seen = self._seen[end:], self._seen[:5], b""
        if start == b"GET /":
            self._transport.write(_response("text/plain", str(Model.asked).encode()))
            return
        Model.asked += 1
        self._transport.write(self.stream if re.search(rb'"stream": ?true', body) else self.completion)


async def serve(port: int) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
