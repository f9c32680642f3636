"""A policy priced in tokens, and how to see what stands against its limit. Each test asks for a model of its own."""

from __future__ import annotations

import json
from typing import Any

import httpx
from tidegate.usage.estimate import estimate

from tests.e2e.stack import Gate, until_at
from tests.e2e.upstream import Answer, chunked, finish, json_answer

LIMIT = 10_000
POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:  # tenants share it, so it lies in another slot of a cluster
    limits: [{name: all, algorithm: quota, limit: 1000000000, period: month, per: [model], cost: tokens, shadow: true}]
tiers:
  free:
    limits:
      - {name: tph, algorithm: sliding_window, limit: 10000, window: 1h, per: [subject, model], cost: tokens}
      - {name: rph, algorithm: sliding_window, limit: 1000, window: 1h, per: [subject, model]}
rulesets:
  pii: [{detect: [EMAIL], act: redact}]
tenants:
  acme: {grants: [{role: analyst, endpoints: "*"}]}
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
    rulesets: [pii]
  plain:
    owner: acme
    match: {hosts: ["*"], path: /v1/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
  tried:
    owner: acme
    match: {hosts: ["*"], path: /v1/tried, methods: [POST]}
    model: {from: body.model, allowed: {free: "*"}}
    limits: [{name: trial, algorithm: sliding_window, limit: 20, window: 1h, cost: tokens, shadow: true}]
"""
PATHS = ["/v1/chat/completions", "/v1/completions"]
NOTHING = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}


def body_of(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "x" * 40}], **more}


def reserved(body: dict[str, Any]) -> int:
    return estimate(json.dumps(body).encode()).tokens


def ask(gate: Gate, answer: Answer | str, model: str, path: str = PATHS[0], **more: Any) -> httpx.Response:
    return gate.send("POST", path, answer, json=body_of(model, **more))


def left(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def used(gate: Gate, model: str) -> int:
    """What stands against the limit now: told by a look that costs nothing once it is over."""
    look = body_of(model, max_tokens=1)
    return LIMIT - left(ask(gate, json_answer(NOTHING), model, max_tokens=1)) - reserved(look)


def settles_at(gate: Gate, model: str, tokens: int) -> None:
    until_at(lambda: used(gate, model), tokens)


def streamed(*parts: Any, **more: Any) -> Answer:
    return chunked([*parts, *finish()], **more)
