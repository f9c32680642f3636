"""Calls to a moderation service: each bounded in time, size and number, and every one counted.

HTTPS, or plain HTTP to a loopback address, as the policy checks; no redirects, no compression, nothing from the
environment. What failed is tried once more while there is time: a connection that broke, 5xx, and 429 when its
Retry-After is soon enough. The key and the texts are in no log, error or metric.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Literal, TypeVar
from weakref import finalize

import httpx

from tidegate.filtering.safety.breaker import Breaker
from tidegate.filtering.safety.service import Unusable
from tidegate.filtering.safety.usage import Usage

Answer = TypeVar("Answer")

MAX_ANSWER: Final = 1 << 20
AT_ONCE: Final = 16
"""Calls of one process to one service at a time; what comes then waits, and its wait counts against its time."""
Outcome = Literal["answered", "refused", "limited", "failed", "late", "unusable", "spared", "capped"]
_TRIES: Final = 2
_PAUSE: Final = 0.1  # seconds before the second try
_MINUTE: Final = 60.0


class CallFailed(Exception):
    """No usable answer. `outcome` is what metrics count."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Calls:
    """Calls to one URL: in `timeout` seconds for a question with all its tries, and at most `per_minute` of them.

    Shared by threads. `now` and `sleep` are of one monotonic clock.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: float = 2.0,
        per_minute: int | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        breaker: Breaker | None = None,
    ) -> None:
        self.usage = Usage()
        self._url, self._timeout, self.now, self._sleep = url, timeout, now, sleep
        self._headers = {
            **headers,
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
        }
        self._breaker = breaker or Breaker(now=now)
        self._per_minute = per_minute
        self._left, self._filled = float(per_minute or 0), now()
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE, "moderation")
        finalize(self, self._pool.shutdown, wait=False)

    def ask(self, body: bytes, characters: int, read: Callable[[bytes], Answer]) -> Future[Answer]:
        """What `read` makes of the answer, to come; it raises Unusable for one that says nothing.

        `result` raises CallFailed; `within` is how long to wait for it.
        """
        return self._pool.submit(self._asked, body, characters, read, self.now() + self._timeout)

    @property
    def within(self) -> float:
        """Seconds after which a call is given up, whatever its thread still waits for."""
        return self._timeout * 1.5 + 0.5

    def given_up(self) -> None:
        """A call was not waited for any longer."""
        self.usage.call("late")
        self._breaker.told(answered=False)

    def _asked(self, body: bytes, characters: int, read: Callable[[bytes], Answer], deadline: float) -> Answer:
        for attempt in range(_TRIES):
            if not self._breaker.lets_through():
                raise self._not_made("spared")
            if not self._affords():
                raise self._not_made("capped")
            outcome, answer, pause = self._try(body, deadline)
            if outcome == "answered":
                try:
                    found = read(answer)
                except Unusable:
                    outcome = "unusable"
            self.usage.call(outcome, characters)
            # A refusal is an answer, and quick: only silence and breakage open the breaker.
            self._breaker.told(answered=outcome in ("answered", "refused", "limited"))
            if outcome == "answered":
                return found
            again = outcome in ("limited", "failed") and attempt + 1 < _TRIES
            if not again or self.now() + pause >= deadline:
                break
            self._sleep(pause)
        raise CallFailed(outcome)

    def _not_made(self, outcome: Outcome) -> CallFailed:
        self.usage.call(outcome)
        return CallFailed(outcome)

    def _try(self, body: bytes, deadline: float) -> tuple[Outcome, bytes, float]:
        """(outcome, answer, seconds to wait before another try)."""
        left = deadline - self.now()
        if left <= 0:
            return "late", b"", 0.0
        try:
            with self._open().stream("POST", self._url, content=body, headers=self._headers, timeout=left) as response:
                if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    return "limited", b"", _retry_after(response.headers)
                if response.is_server_error:
                    return "failed", b"", _PAUSE
                if response.status_code != httpx.codes.OK:
                    return "refused", b"", 0.0
                if response.headers.get("content-encoding", "identity") != "identity":
                    return "unusable", b"", 0.0
                answer = bytearray()
                for chunk in response.iter_raw():
                    answer += chunk
                    if len(answer) > MAX_ANSWER:
                        return "unusable", b"", 0.0
                    if self.now() > deadline:
                        return "late", b"", 0.0
        except httpx.TimeoutException:
            return "late", b"", 0.0
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError):
            return "failed", b"", _PAUSE
        return "answered", bytes(answer), 0.0

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
                self._client = httpx.Client(trust_env=False, follow_redirects=False, limits=limits)
                finalize(self, self._client.close)
            return self._client

    def _affords(self) -> bool:
        """Take one of the calls of this minute, if there are any left (a token bucket)."""
        if self._per_minute is None:
            return True
        with self._lock:
            now = self.now()
            gained = (now - self._filled) * self._per_minute / _MINUTE
            self._left, self._filled = min(float(self._per_minute), self._left + gained), now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds; dates are not read, and what is no number waits as for a failure."""
    given = headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) < 6 else _PAUSE
