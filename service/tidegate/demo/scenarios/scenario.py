"""One row of the demo: what is tried, what must happen, and the code that tries it and judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tidegate.demo.tokens import Signer

CHAT = "/v1/chat/completions"
SENTIMENT = "/api/sentiment"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the scenarios play on: the gate, the model behind it reached directly, and credentials.

    `answered` tells how many Checks each policy process has answered so far; `stop_policy` ends all of them.
    """

    gate: httpx.Client
    model: httpx.Client
    keys: Mapping[str, str]
    signer: Signer
    answered: Callable[[], tuple[int, ...]]
    stop_policy: Callable[[], None]

    def key(self, subject: str) -> dict[str, str]:
        """The request headers that carry a caller's API key."""
        return bearer(self.keys[subject])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, in words, and whether it was right."""

    ok: bool
    got: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A row before it is played. `group` is the question of the policy service that it is about."""

    group: str
    tried: str
    expected: str
    attempt: Callable[[Stage], Outcome]


@dataclass(frozen=True, slots=True)
class Row:
    """A row after it was played."""

    scenario: Scenario
    outcome: Outcome


def play(scenarios: Iterable[Scenario], stage: Stage, each: Callable[[Row], None] | None = None) -> list[Row]:
    """Play every scenario in order. One that breaks is a row that failed, and the next is played all the same."""
    rows = []
    for scenario in scenarios:
        try:
            outcome = scenario.attempt(stage)
        except Exception as failure:  # noqa: BLE001 - whatever went wrong, the promise was not kept
            outcome = Outcome(False, f"{type(failure).__name__}: {failure}")
        row = Row(scenario, outcome)
        rows.append(row)
        if each is not None:
            each(row)
    return rows


def bearer(credential: str) -> dict[str, str]:
    """The request headers that carry a credential."""
    return {"authorization": f"Bearer {credential}"}


def chat_body(model: str = "small", *, stream: bool = False, prompt: str = "Who is Ada?") -> dict[str, Any]:
    """A chat completion request."""
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": prompt}]}


def summary(response: httpx.Response) -> str:
    """Status and error code, as `403 model_not_allowed`."""
    return f"{response.status_code} {error_code(response)}".rstrip()


def error_code(response: httpx.Response) -> str:
    """The machine-readable code of an error body in either dialect; "" when there is none."""
    try:
        body = response.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def judged(response: httpx.Response, status: int, code: str = "") -> Outcome:
    """Right when the status is `status` and the error code is `code` ("" asks for none)."""
    got = summary(response)
    return Outcome(got == f"{status} {code}".rstrip(), got)
