"""An exchange, the events that it is told of, and what its commands send."""

from __future__ import annotations

import json
from typing import Any

from tidegate.envoy.exchange import (
    Body,
    Command,
    Exchange,
    ResponseHead,
)
from tidegate.envoy.handoff import Handoff
from tidegate.filtering.formats import open_body
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge

REDACT = merge([Ruleset("pii", (Rule(frozenset({"EMAIL"}), Action.REDACT),))])
SHADOW = merge([Ruleset("pii", (Rule(frozenset({"EMAIL"}), Action.ANNOTATE),))])
BLOCK = merge([Ruleset("pii", (Rule(frozenset({"EMAIL"}), Action.BLOCK),))])
NOTHING = merge([])
HANDOFF = Handoff("r1", "v1", "ada", "acme", "free", "chat", "small", ("pii",), "openai", "withhold", 65536)
SECRET = "bob@example.com"


def exchange(plan: FilterPlan = REDACT) -> Exchange:
    return Exchange(lambda _: plan, lambda kind, rules, cap, to: open_body(kind, rules, max_bytes=cap, observer=to))


def head(**changes: Any) -> ResponseHead:
    parts: dict[str, Any] = {
        "status": 200,
        "content_type": "application/json",
        "content_encoding": "",
        "end": False,
        "details": "via_upstream",
        "handoff": HANDOFF,
    }
    return ResponseHead(**(parts | changes))


def body_of(commands: list[Command]) -> bytes:
    return b"".join(command.data for command in commands if isinstance(command, Body))


def sse(*deltas: str, done: bool = True) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"content": delta}}]} for delta in deltas]
    frames = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return (frames + ("data: [DONE]\n\n" if done else "")).encode()


def content_of(stream: bytes) -> str:
    text = ""
    for line in stream.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                text += choice["delta"].get("content") or ""
    return text
