"""Responses that are settled: what was reserved for them, what they say of their usage, and what that comes to."""

from __future__ import annotations

import json
from typing import Any

from tidegate.model import Hold

from tests.envoy.world import HANDOFF

HELD = HANDOFF._replace(reservation="res-1", prompt_tokens=100, hold=Hold(600.0, (("tokens", 1_000_000),), ("tpm",)))
USAGE = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
TOLD = {"prompt_tokens": 7, "completion_tokens": 3, "tokens": 10}
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "tokens": 0, "money": 0}


def counted(completion: int) -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": completion, "tokens": 100 + completion}


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


def event(text: str, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n".encode()


SSE = {"content_type": "text/event-stream"}
