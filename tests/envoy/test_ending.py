"""A response whose credential is over ends: in every state of its exchange, in its own format, and once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.envoy.commands import Abort, Body, Command, Continue, Reply, RequestHead
from tidegate.envoy.ending import Over
from tidegate.envoy.exchange import Exchange
from tidegate.envoy.terms import Terms
from tidegate.filtering.ruleset import FilterPlan
from tidegate.identity.standing import Why
from tidegate.model import Proof, Reason

from tests.envoy.clock import Turned
from tests.envoy.world import HANDOFF, NOTHING, REDACT, SHADOW, body_of, exchange, head, sse

PROVED = HANDOFF._replace(proof=Proof("jwt", token="t1"))
PLANS = {"read": REDACT, "shadow": SHADOW, "unread": NOTHING}


def begun(plan: FilterPlan, content_type: str = "text/event-stream", **changes: Any) -> Exchange:
    subject = exchange(plan)
    subject.head(head(content_type=content_type, handoff=PROVED, **changes))
    return subject


def codes(stream: bytes) -> list[str]:
    data = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: {")]
    return [event["error"]["code"] for event in data if "error" in event]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("why", "code"), [("revoked", Reason.CREDENTIAL_INVALID), ("expired", Reason.CREDENTIAL_EXPIRED)]
)
def test_a_stream_ends_with_an_error_and_nothing_follows(plan: str, why: Over, code: Reason) -> None:
    subject = begun(PLANS[plan])
    out = body_of(subject.body(sse("one two ", done=False), end=False))
    (last,) = subject.over(why)
    assert isinstance(last, Body)
    assert last.end
    assert codes(out + last.data) == [code]
    assert last.data.endswith(b"data: [DONE]\n\n")
    assert (subject.outcome, subject.finished) == (why, True)
    assert subject.over(why) == []
    assert subject.body(sse("bob@example.com"), end=True) == []
    assert subject.trailers() == []


@given(cut=st.integers(0, 200), plan=st.sampled_from([*PLANS]))
def test_wherever_it_is_cut_whole_events_leave_and_the_error_is_one(cut: int, plan: str) -> None:
    subject = begun(PLANS[plan])
    raw = sse("one ", "two ", "three ", done=False)[:cut]
    out = body_of(subject.body(raw, end=False)) + body_of(subject.over("revoked"))
    assert codes(out) == [Reason.CREDENTIAL_INVALID]
    for frame in out.decode().split("\n\n")[:-1]:
        assert frame == "data: [DONE]" or json.loads(frame.removeprefix("data: "))


@pytest.mark.parametrize("plan", PLANS)
def test_it_ends_in_the_dialect_that_it_speaks(plan: str) -> None:
    subject = begun(PLANS[plan])
    subject.body(b'event: message_start\ndata: {"type": "message_start", "message": {"id": "m"}}\n\n', end=False)
    assert body_of(subject.over("revoked")).startswith(b'event: error\ndata: {"type":"error","error":{')


def test_a_response_that_has_not_begun_or_is_still_held_becomes_a_401() -> None:
    early = exchange()
    early.request(RequestHead("POST", "/", "", body=False, handoff=PROVED))
    assert early.over("revoked") == []
    assert_refused(early, early.head(head(handoff=PROVED)))
    held = begun(REDACT, "application/json")
    held.body(b'{"text": "se', end=False)
    assert_refused(held, held.over("revoked"))
    assert held.body(b'cret"}', end=True) == []


def assert_refused(subject: Exchange, commands: list[Command]) -> None:
    (reply,) = commands
    assert isinstance(reply, Reply)
    assert (reply.deny.status, reply.deny.reason) == (401, Reason.CREDENTIAL_INVALID)
    assert (subject.outcome, subject.finished) == ("revoked", True)


@pytest.mark.parametrize(
    ("plan", "changes"),
    [
        ("unread", {"content_type": "application/octet-stream"}),
        ("unread", {"content_type": "application/json"}),
        ("unread", {"content_encoding": "gzip"}),
        ("unread", {"status": 206}),
        ("read", {"content_type": "text/plain"}),
    ],
)
def test_what_has_no_word_for_it_is_cut_off(plan: str, changes: dict[str, Any]) -> None:
    subject = exchange(PLANS[plan])
    subject.head(head(**{"content_type": "text/event-stream", "handoff": PROVED, **changes}))
    assert subject.over("revoked")[-1] == Abort()
    assert subject.outcome == "revoked"


@pytest.mark.parametrize("details", ["ext_authz_denied", "route_not_found"])
def test_an_answer_of_envoys_own_is_nobodys(details: str) -> None:
    subject = begun(REDACT, details=details)
    assert subject.over("revoked") == []
    assert body_of(subject.body(b"{}", end=True)) == b"{}"


def test_a_stream_that_may_not_end_so_is_not_looked_into() -> None:
    subject = exchange(NOTHING)
    subject.head(head(content_type="text/event-stream"))
    assert subject.body(b"data: {half", end=False) == [Body(b"data: {half", end=False)]


class Calls:
    """What hangs on what, and what became of it."""

    def __init__(self) -> None:
        self.over: dict[str, Why] = {}
        self.asked = 0

    def __call__(self, proof: Proof, subject: str, tenant: str) -> Why:
        self.asked += 1
        assert (subject, tenant) == ("ada", "acme")
        if proof.token == "broken":
            raise ValueError("odd")
        return self.over.get(proof.token, "")


def named(token: str) -> Exchange:
    subject = exchange(NOTHING)
    proof = None if not token else Proof("jwt", token=token)
    subject.head(head(content_type="text/event-stream", handoff=HANDOFF._replace(proof=proof)))
    return subject


async def test_who_is_over_is_interrupted_until_it_ends_and_nobody_else_is() -> None:
    clock, calls, odd = Turned(), Calls(), list[Exception]()
    terms = Terms(calls, on_error=odd.append, sleep=clock.sleep)
    interrupted: list[str] = []
    running = {name: (named(name), terms.open(lambda name=name: interrupted.append(name))) for name in ("t1", "t2")}
    for subject, term in running.values():
        term.follow(subject)
        term.follow(subject)
    await asyncio.sleep(0)
    await clock.turn(1.0)
    assert (interrupted, calls.asked) == ([], 8)
    calls.over["t1"] = "revoked"
    await clock.turn(0.5)
    assert interrupted == ["t1", "t1"]
    subject, term = running["t1"]
    assert term.why == "revoked"
    subject.over("revoked")
    term.follow(subject)
    await clock.turn(1.0)
    assert interrupted == ["t1", "t1"]
    running["t2"][1].close()
    running["t2"][1].close()
    asked = calls.asked
    await clock.turn(1.0)
    assert calls.asked == asked
    assert odd == []


async def test_what_breaks_at_one_ends_no_look_at_the_others() -> None:
    clock, calls, odd = Turned(), Calls(), list[Exception]()
    terms = Terms(calls, on_error=odd.append, sleep=clock.sleep)
    interrupted: list[str] = []
    for name in ("broken", "t1"):
        terms.open(lambda name=name: interrupted.append(name)).follow(named(name))
    calls.over["t1"] = "expired"
    await asyncio.sleep(0)
    await clock.turn(0.5)
    assert interrupted == ["t1", "t1"]
    assert [type(error) for error in odd] == [ValueError] * 2
    for term in tuple(terms._running):
        term.close()


async def test_what_hangs_on_nothing_is_not_looked_after() -> None:
    calls = Calls()
    terms = Terms(calls, on_error=lambda _: None)
    term = terms.open()
    term.follow(named(""))
    term.follow(exchange())
    await asyncio.sleep(0)
    term.close()
    assert calls.asked == 0
    assert [task for task in asyncio.all_tasks() if task.get_name() == "credentials of what runs"] == []


def test_a_continue_of_a_stream_that_may_end_so_promises_no_length() -> None:
    subject = exchange(NOTHING)
    (answer,) = subject.head(head(content_type="text/event-stream", handoff=PROVED))
    assert isinstance(answer, Continue)
    assert "content-length" in answer.remove_headers
