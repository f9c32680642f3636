"""Is there room for it, while it runs: a stream that uses up its tokens, and more streams than the model carries."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from tidegate.demo.scenarios.room import ROOM
from tidegate.demo.scenarios.scenario import CHAT, Outcome, Scenario, Stage, chat_body, error_code, summary

BUDGET = 120
STREAMS = 20
PLACES = 6
PROMPT = "Tell me of everybody."


def _tail(response: httpx.Response) -> tuple[int, str, bool]:
    """Of a stream: how many deltas had text, the code of its error, and whether it was ended properly."""
    deltas, code, ended = 0, "", False
    for line in response.iter_lines():
        if line == "data: [DONE]":
            ended = True
        elif line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            code = code or str((event.get("error") or {}).get("code") or "")
            deltas += any(choice["delta"].get("content") for choice in event.get("choices", ()))
    return deltas, code, ended


def out_of_budget(stage: Stage) -> Outcome:
    """The model ignores `max_tokens` and writes on; the stream ends where the caller's tokens do, and says so."""
    body = {**chat_body("large", stream=True, prompt=PROMPT), "max_tokens": 16}
    with stage.model.stream("POST", CHAT, json=body) as response:
        whole, _, _ = _tail(response)
    with stage.gate.stream("POST", CHAT, json=body, headers=stage.key("thrifty")) as response:
        deltas, code, ended = _tail(response)
    again = stage.gate.post(CHAT, json=body, headers=stage.key("thrifty"))
    left = again.headers.get("x-ratelimit-remaining-tokens", "?")
    cut = 0 < deltas <= BUDGET < whole and code == "rate_limit_exceeded" and ended
    refused = summary(again) == "429 rate_limit_exceeded"
    told = f"{deltas} of {whole} deltas, then {code or 'no error'}{' and [DONE]' if ended else ''}"
    return Outcome(cut and refused, f"{told}\nthe next request: {summary(again)}, {left} tokens left")


def crowded(stage: Stage) -> Outcome:
    """More streams than places: some run, some wait and are told when to come back. A critical caller does not wait."""

    def stream(_: int) -> str:
        body = chat_body("large", stream=True, prompt=PROMPT)
        with stage.gate.stream("POST", CHAT, json=body, headers=stage.key("bulk")) as response:
            response.read()
            told = response.headers.get("retry-after", "").isdigit()
            return summary(response) if response.status_code == 200 or told else "no retry-after"

    with ThreadPoolExecutor(STREAMS) as crowd:
        running = [crowd.submit(stream, number) for number in range(STREAMS)]
        deadline = time.monotonic() + 5
        while not any(one.done() for one in running) and time.monotonic() < deadline:
            time.sleep(0.01)  # the first refusal: every place is taken
        started = time.monotonic()
        critical = stage.gate.post(CHAT, json=chat_body(), headers=stage.key("ops"))
        waited = time.monotonic() - started
        outcomes = Counter(one.result() for one in running)
    ran, busy = outcomes["200"], outcomes["503 overloaded"]
    ok = PLACES <= ran < STREAMS and ran + busy == STREAMS and critical.status_code == 200 and not error_code(critical)
    told = f"{ran} ran, {busy} × 503 overloaded; the critical caller: {summary(critical)} after {waited * 1000:.0f} ms"
    return Outcome(ok, told)


SCENARIOS = (
    Scenario(ROOM, f"a stream with {BUDGET} tokens to spend", "ended where the budget ends", out_of_budget),
    Scenario(ROOM, f"{STREAMS} streams where {PLACES} may run", "the rest: 503, and when; critical: at once", crowded),
)
