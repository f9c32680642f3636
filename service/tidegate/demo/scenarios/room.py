"""Is there room for it: the limit of the free tier, one request after the other and all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from tidegate.demo.scenarios.scenario import SENTIMENT, Outcome, Scenario, Stage, summary

ROOM = "is there room?"
CAPACITY = 20
REFILL_SECONDS = 60 / 20
CROWD = 40
LOST = 3
SHOWN = ("retry-after", "ratelimit-policy", "ratelimit", "x-ratelimit-remaining-requests")


def allowance(elapsed: float) -> int:
    """What a full bucket lets through in `elapsed` seconds: on a slow machine a token may have come back."""
    return CAPACITY + int(elapsed / REFILL_SECONDS)


def _ask(stage: Stage, subject: str) -> httpx.Response:
    return stage.gate.post(SENTIMENT, json={"text": "Quick and nice."}, headers=stage.key(subject))


def one_after_the_other(stage: Stage) -> Outcome:
    """Every request before the refused one must pass, and the refusal must say when to come back."""
    started = time.monotonic()
    admitted = 0
    while (response := _ask(stage, "hasty")).status_code == 200 and admitted < 3 * CAPACITY:
        admitted += 1
    most = allowance(time.monotonic() - started)
    told = "\n".join(f"{name}: {response.headers[name]}" for name in SHOWN if name in response.headers)
    ok = (
        CAPACITY <= admitted <= most
        and summary(response) == "429 rate_limit_exceeded"
        and response.headers.get("retry-after", "").isdigit()
        and "ratelimit" in response.headers
    )
    return Outcome(ok, f"{admitted} × 200, then {summary(response)}\n{told}".rstrip())


def all_at_once(processes: int) -> Callable[[Stage], Outcome]:
    """A race for the last token. With several processes each must have answered a part of the crowd."""

    def attempt(stage: Stage) -> Outcome:
        before = stage.answered()
        started = time.monotonic()
        with ThreadPoolExecutor(CROWD) as crowd:
            statuses = [response.status_code for response in crowd.map(lambda _: _ask(stage, "crowd"), range(CROWD))]
        elapsed = time.monotonic() - started
        parts = [after - earlier for earlier, after in zip(before, stage.answered(), strict=True)]
        return judge_crowd(statuses, elapsed, parts, processes)

    return attempt


def judge_crowd(statuses: Sequence[int], elapsed: float, parts: Sequence[int], processes: int) -> Outcome:
    """Exactly the capacity may pass. On a busy machine Envoy may give up on an answer: closed, and so not admitted."""
    admitted, refused, lost = (statuses.count(status) for status in (200, 429, 503))
    exact = admitted + lost >= CAPACITY and admitted <= allowance(elapsed)
    complete = admitted + refused + lost == len(statuses) and lost <= LOST
    shared = len(parts) == processes and all(part > 0 for part in parts)
    waited = f", {lost} not answered in time" if lost else ""
    by = " + ".join(map(str, parts))
    told = f"{admitted} admitted, {refused} refused{waited}\nanswered by each process: {by}"
    return Outcome(exact and complete and shared, told)


def scenarios(processes: int) -> tuple[Scenario, ...]:
    """The rows for a gate with this many policy processes."""
    over = "one process" if processes == 1 else f"{processes} processes on Redis"
    return (
        Scenario(ROOM, "21 in a minute where 20 are allowed", "the 21st: 429, and when to retry", one_after_the_other),
        Scenario(ROOM, f"{CROWD} at once, over {over}", f"exactly {CAPACITY} admitted", all_at_once(processes)),
    )
