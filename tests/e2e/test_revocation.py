"""Revoked is refused by every replica within two seconds, and what runs ends where the policy says so."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tidegate.cli import app
from tidegate.demo.redis_server import RedisServer
from tidegate_client import Allowed, Tidegate
from typer.testing import CliRunner

from tests.e2e.stack import Gate, running_gate, until
from tests.e2e.test_credentials import SHARED, shared
from tests.e2e.upstream import Answer, Hold, Upstream, chat, chunked, delta, event, finish, json_answer

WITHIN = 2.0  # seconds, what is promised
SLACK = 0.5  # for the calls that find it out
FIRST = delta("first, ")  # with a space behind it: a word alone could be the beginning of an address
CALLER = ["--subject", "bob", "--tenant", "acme", "--tier", "free", "--role", "analyst"]

POLICY = """
version: 1
platform:
  identity:
    api_keys: {{header: x-api-key{keys}}}
    shared_secrets:
      - {{name: app, secret_file: app.secret, claims: {{defaults: {{tenant: acme, tier: free, roles: [analyst]}}}}}}
{revocation}
tiers: {{free: {{}}, premium: {{}}, metered: {{}}}}
rulesets:
  pii: [{{detect: [EMAIL], act: redact}}]
tenants:
  acme: {{grants: [{{role: analyst, endpoints: "*"}}]}}
  beta: {{}}
endpoints:
  read: {{owner: acme, match: {{hosts: ["*"], path: "/read/**", methods: [GET]}}, rulesets: [pii]}}
  unread: {{owner: acme, match: {{hosts: ["*"], path: "/unread/**", methods: [GET]}}}}
"""


def policy_of(where: str, runs: str = "end_streams") -> str:
    file = ", file: keys.yaml" if where == "file" else ""
    listed = "file: revoked.yaml, " if where == "file" else ""
    section = f"  revocation: {{{listed}on_revocation: {runs}, on_expiry: {runs}}}"
    return POLICY.format(keys=file, revocation=section)


@dataclass
class Place:
    """Two replicas, and where their keys and their list of revoked tokens are."""

    gate: Gate
    keys_at: list[str]
    list_at: list[str]
    pepper: Path

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env={"TIDEGATE_KEY_PEPPER_FILE": str(self.pepper)})
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    def keys(self, *arguments: str) -> str:
        return self.run("keys", *arguments, *self.keys_at)

    def revoke(self, *arguments: str) -> None:
        self.run("tokens", "revoke", *arguments, *self.list_at)

    def statuses(self, headers: dict[str, str]) -> set[int]:
        """What each replica says."""
        answers = set()
        for port in self.gate.ports:
            with Tidegate(f"127.0.0.1:{port}") as client:
                verdict = client.decide("GET", "/read/x", host="x", headers=[*headers.items()])
                answers.add(200 if verdict.allowed else verdict.status)
        return answers

    def soon(self, headers: dict[str, str], status: int) -> float:
        """Seconds until every replica answers with a status."""
        since = time.monotonic()
        until(lambda: self.statuses(headers) == {status}, what=f"every replica says {status}")
        return time.monotonic() - since

    def key(self) -> tuple[dict[str, str], Callable[[], None]]:
        """A new key that every replica knows, and what revokes it."""
        made = self.keys("create", *CALLER)
        headers = {"x-api-key": made}
        self.soon(headers, 200)
        return headers, lambda: void(self.keys("revoke", made.split("_")[1]))

    def token(self, **claims: Any) -> tuple[dict[str, str], Callable[[], None]]:
        """A new token, and what revokes it."""
        name = uuid.uuid4().hex
        text = shared(jti=name, sub=claims.pop("sub", "bob"), exp=time.time() + 600, **claims)
        return {"authorization": f"Bearer {text}"}, lambda: self.revoke(name)


def pass_time(seconds: float) -> None:
    """What is looked for here is what happens by itself in that time."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)


def void(_: object) -> None:
    pass


@contextmanager
def running_place(directory: Path, upstream: Upstream, where: str, runs: str = "end_streams") -> Iterator[Place]:
    (directory / "app.secret").write_bytes(SHARED)
    (directory / "revoked.yaml").write_text("version: 1\nrevoked: []\n")
    with RedisServer(directory / "redis") as redis:
        policy, flags = policy_of(where, runs), {"store": redis.url}
        stored = where == "store"
        keys_at = ["--store", redis.url] if stored else ["--file", str(directory / "keys.yaml")]
        list_at = ["--store", redis.url] if stored else ["--file", str(directory / "revoked.yaml")]
        with running_gate(directory, upstream, policy=policy, workers=2, flags=flags) as gate:
            yield Place(gate, keys_at, list_at, directory / "pepper")


@pytest.fixture(scope="module", params=["file", "store"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[Place]:
    with running_place(tmp_path_factory.mktemp("revocation"), upstream, request.param) as running:
        yield running


def within(attempt: Callable[[], float], most: float = WITHIN) -> None:
    """A machine that is busy with other things may need a second look."""
    took: list[float] = []
    for _ in range(3):
        took.append(attempt())
        if took[-1] < most:
            return
    raise AssertionError(took)


@pytest.mark.parametrize("kind", ["key", "token"])
def test_what_is_revoked_is_refused_by_every_replica_within_two_seconds(place: Place, kind: str) -> None:
    def attempt() -> float:
        headers, revoke = getattr(place, kind)()
        assert place.statuses(headers) == {200}  # the token is verified and remembered by both
        revoke()
        return place.soon(headers, 401)

    within(attempt)


def test_all_tokens_of_somebody_are_refused_and_those_of_others_and_new_ones_are_not(place: Place) -> None:
    subject = f"eve-{uuid.uuid4().hex[:6]}"
    old, _ = place.token(sub=subject, iat=time.time() - 10)
    undated, _ = place.token(sub=subject)
    other, _ = place.token(sub="ada", iat=time.time() - 10)
    assert place.statuses(old) == place.statuses(undated) == place.statuses(other) == {200}
    place.revoke("--subject", subject, "--tenant", "acme")
    assert place.soon(old, 401) < WITHIN + SLACK
    assert place.statuses(undated) == {401}  # nobody knows when it was issued
    assert place.statuses(other) == {200}
    new, _ = place.token(sub=subject, iat=time.time() + 1)
    assert place.statuses(new) == {200}


def test_a_revoked_token_is_told_no_more_than_any_bad_one(place: Place) -> None:
    headers, revoke = place.token()
    revoke()
    place.soon(headers, 401)
    name = place.gate.script(json_answer(chat("hello")))
    answer = place.gate.get(name, "/read/x", key=None, headers=headers)
    assert (answer.status_code, answer.json()["code"], place.gate.seen(name)) == (401, "credential_invalid", [])
    assert "revoked" not in answer.text


def errors_of(text: str) -> list[str]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: {")]
    return [json.loads(line)["error"]["code"] for line in lines if "error" in json.loads(line)]


@dataclass
class Told:
    """What a client saw of a stream."""

    text: str
    seconds: float  # from the revocation to the end
    broken: bool


def stream(gate: Gate, path: str, headers: dict[str, str], answer: Answer, then: Callable[[], None]) -> Told:
    """Read a stream; `then` once its first event is here."""
    fields = [*gate.fields(answer, None), *headers.items()]
    text, since, broken = "", 0.0, False
    with gate.client() as client, client.stream("GET", path, headers=fields) as response:
        assert response.status_code == 200
        try:
            for part in response.iter_text():
                text += part
                if not since and "first" in text:
                    then()
                    since = time.monotonic()
        except httpx.RemoteProtocolError:
            broken = True
    return Told(text, time.monotonic() - since, broken)


@pytest.mark.parametrize("path", ["/read/x", "/unread/x"])
@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_silent_stream_ends_with_an_error_event_within_two_seconds(place: Place, kind: str, path: str) -> None:
    def attempt() -> float:
        headers, revoke = getattr(place, kind)()
        hold = Hold()
        told = stream(place.gate, path, headers, chunked([FIRST, hold, delta("late"), *finish()]), revoke)
        hold.open()
        assert errors_of(told.text) == ["credential_invalid"]
        assert told.text.endswith("data: [DONE]\n\n")
        assert "late" not in told.text
        assert not told.broken
        return told.seconds

    within(attempt, WITHIN + SLACK)
    until(lambda: any(place.gate.metric("tidegate_responses_total", worker, outcome="revoked") for worker in range(2)))


@pytest.mark.parametrize("path", ["/read/x", "/unread/x"])
def test_a_stream_that_flows_ends_between_two_events(place: Place, path: str) -> None:
    """Each event waits for the one before it to be read, so the stream never stands still and never ends by itself."""
    headers, revoke = place.token()
    steps = [Hold() for _ in range(400)]
    parts = [part for index, hold in enumerate(steps) for part in (delta(f"[{index}]"), hold)]
    fields = [*place.gate.fields(chunked([FIRST, *parts, *finish()]), None), *headers.items()]
    text, since, events = "", 0.0, 0
    with place.gate.client() as client, client.stream("GET", path, headers=fields) as response:
        for part in response.iter_text():
            text += part
            if not since:
                revoke()
                since = time.monotonic()
            for index in range(events, min(text.count('"content":') + 1, len(steps))):
                pass_time(0.02)
                steps[index].open()
                events = index + 1
    assert time.monotonic() - since < WITHIN + 1.0
    assert errors_of(text) == ["credential_invalid"]
    assert text.endswith("data: [DONE]\n\n")
    assert 0 < text.count("delta") < len(steps)
    assert all(json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {"))


def test_a_stream_in_another_dialect_ends_in_that(place: Place) -> None:
    headers, revoke = place.token()
    start = event({"type": "message_start", "message": {"id": "first", "content": [], "usage": {"input_tokens": 1}}})
    for path in ("/read/x", "/unread/x"):
        hold = Hold()
        told = stream(place.gate, path, headers, chunked([start, hold]), revoke)
        hold.open()
        assert told.text.rstrip().splitlines()[-2] == "event: error"
        assert json.loads(told.text.rstrip().splitlines()[-1][6:])["error"]["code"] == "credential_invalid"
        headers, revoke = place.token()


@pytest.mark.parametrize("path", ["/read/x", "/unread/x"])
def test_what_has_no_way_to_say_it_is_cut_off(place: Place, path: str) -> None:
    headers, revoke = place.token()
    hold = Hold()
    answer = chunked([b"first line\n", hold, b"second\n"], content_type="text/plain")
    told = stream(place.gate, path, headers, answer, revoke)
    hold.open()
    assert told.broken
    assert "second" not in told.text
    assert told.seconds < WITHIN + SLACK


@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_response_that_is_still_held_becomes_a_401(place: Place, kind: str) -> None:
    headers, revoke = getattr(place, kind)()
    hold = Hold()
    body = json.dumps(chat("hello")).encode()
    name = place.gate.script(chunked([body[:9], hold, body[9:]], content_type="application/json"))

    def later() -> None:
        until(hold.reached)
        revoke()

    revoking = threading.Thread(target=later)
    revoking.start()
    answer = place.gate.get(name, "/read/x", key=None, headers=headers)
    revoking.join()
    hold.open()
    assert answer.status_code == 401
    assert answer.json()["code"] == "credential_invalid"


@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_stream_ends_when_its_credential_expires(place: Place, kind: str) -> None:
    hold, soon = Hold(), time.time() + 3
    if kind == "key":
        key = place.keys("create", *CALLER, "--expires", datetime.fromtimestamp(soon, UTC).isoformat())
        headers = {"x-api-key": key}
        place.soon(headers, 200)
    else:
        headers = {"authorization": f"Bearer {shared(jti=uuid.uuid4().hex, exp=soon)}"}
    told = stream(place.gate, "/read/x", headers, chunked([FIRST, hold]), lambda: None)
    hold.open()
    assert errors_of(told.text) == ["credential_expired"]
    assert 0 <= time.time() - soon < WITHIN


def test_an_exchange_of_our_own_api_ends_too(place: Place) -> None:
    headers, revoke = place.token()
    with Tidegate(f"127.0.0.1:{place.gate.ports[0]}") as client:
        verdict = client.decide("GET", "/read/x", host="x", headers=[*headers.items()], exchange=True)
        assert isinstance(verdict, Allowed)
        with client.open_exchange(verdict) as exchange:
            exchange.head(200, "text/event-stream")
            assert b"first" in exchange.body(FIRST).body
            revoke()
            since = time.monotonic()
            while not (answer := exchange.body(delta("more, "))).outcome:
                assert time.monotonic() - since < WITHIN + SLACK
                pass_time(0.05)
    assert answer.outcome == "revoked"
    assert b"credential_invalid" in answer.body


def test_where_the_policy_does_not_say_so_what_runs_is_finished(tmp_path: Path, upstream: Upstream) -> None:
    with running_place(tmp_path, upstream, "file", "finish") as place:
        headers, revoke = place.token()
        hold = Hold()

        def then() -> None:
            revoke()
            place.soon(headers, 401)  # refused by now, and for a while
            pass_time(1.0)
            hold.open()

        told = stream(place.gate, "/read/x", headers, chunked([FIRST, hold, delta("late"), *finish()]), then)
        assert "late" in told.text
        assert errors_of(told.text) == []
