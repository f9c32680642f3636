"""Reading prompts beside the event loop, and with detectors that are out."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from tidegate.errors import DetectorUnavailable
from tidegate.filtering.ruleset import Action, Rule, Ruleset
from tidegate.filtering.spotting import Effort, Mark
from tidegate.inbound import inspector
from tidegate.inbound.body import Content, content_of
from tidegate.inbound.checks import RequestChecks
from tidegate.model import Deny, Inspection, Reason, Request
from tidegate.pipeline import Pipeline
from tidegate.policy import parse_policy

from tests.filtering.spots import Words
from tests.inbound.world import POLICY, World, asked, says
from tests.phases import ADA, Counts, Knows


@dataclasses.dataclass(frozen=True)
class Down:
    """A service that does not answer; where it is asked from is remembered."""

    asked_on: list[str]
    entities: frozenset[str] = frozenset({"DENIED_TERM"})
    effort: Effort = Effort.WAIT
    cap: int = 1

    def open(self) -> Down:
        return self

    decided = 0

    def feed(self, text: str) -> Sequence[Mark]:
        self.asked_on.append(threading.current_thread().name)
        raise DetectorUnavailable("down")

    def finish(self) -> Sequence[Mark]:
        return ()


async def test_a_detector_that_is_out_refuses_and_costs_nothing_and_is_asked_off_the_loop() -> None:
    policy = parse_policy(POLICY)
    chat, down = policy.endpoints[0], Down([])
    assert chat.request is not None
    checks = dataclasses.replace(chat.request, rules=(Ruleset("r", (Rule(down.entities, Action.BLOCK),)),))
    ledger = Counts()
    broken = dataclasses.replace(policy, endpoints=(dataclasses.replace(chat, request=checks),), spotters=(down,))
    decision = await Pipeline(policy=lambda: broken, identifier=Knows(ADA), ledger=ledger).decide(asked(says("hello")))
    assert isinstance(decision.verdict, Deny)
    assert (decision.verdict.status, decision.verdict.reason) == (503, Reason.PROMPT_UNCHECKED)
    assert [set(costs.values()) for _, costs in ledger.settled] == [{0}]
    assert not decision.charged
    assert decision.inspection == Inspection({}, {"detector_unavailable": 1})
    assert all(name.startswith("inspect-wait") for name in down.asked_on)


def blocking(spotter: Words) -> World:
    """Requests in which it finds something are refused."""
    policy = parse_policy(POLICY)
    chat = policy.endpoints[0]
    assert chat.request is not None
    checks = dataclasses.replace(chat.request, rules=(Ruleset("r", (Rule(spotter.entities, Action.BLOCK),)),))
    endpoints = (dataclasses.replace(chat, request=checks),)
    return World(dataclasses.replace(policy, endpoints=endpoints, spotters=(spotter,)))


@dataclasses.dataclass(frozen=True)
class Lenient(Words):
    """Lets pass what it could not read, and says so."""

    def open(self) -> Any:
        reading = super().open()
        reading.unread, reading.unread_bytes = {"safety_unavailable": 1}, 5  # type: ignore[attr-defined]
        return reading


async def test_what_a_detector_let_pass_unread_is_told() -> None:
    world = blocking(Lenient("DENIED_TERM", ("falcon",)))
    once = (await world.allowed({"messages": []})).unread["safety_unavailable"]
    assert once
    parts = [{"type": "text", "text": text} for text in ("one", "two")]
    more = (await world.allowed({"messages": [], "content": parts})).unread
    assert more["safety_unavailable"] > once


@dataclasses.dataclass(frozen=True)
class Watched(Words):
    """Remembers where it is used."""

    used_on: list[str] = dataclasses.field(default_factory=list)

    def open(self) -> Any:
        self.used_on.append(threading.current_thread().name)
        return super().open()


async def test_a_long_body_is_read_beside_the_event_loop_and_a_short_one_on_it() -> None:
    watched = Watched("DENIED_TERM", ("falcon",))
    world = blocking(watched)
    await world.allowed(says("plain words and more of them, " * 5000))
    assert all(name.startswith("inspect") for name in watched.used_on)
    watched.used_on.clear()
    await world.allowed(says("plain words"))
    assert set(watched.used_on) == {threading.current_thread().name}


async def test_a_body_that_unpacks_to_a_long_one_is_accepted_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_on: list[str] = []

    def noted(checks: RequestChecks, given: Request) -> Content | Deny:
        read_on.append(threading.current_thread().name)
        return content_of(checks, given)

    monkeypatch.setattr(inspector, "content_of", noted)
    world = World(POLICY.replace("max_size: 200KiB", "max_size: 200KiB\n      compressed: decode"))
    packed = gzip.compress(json.dumps(says("plain words, " * 10_000)).encode())
    assert len(packed) < 1024
    await world.allowed(packed, **{"content-encoding": "gzip"})
    assert read_on[0].startswith("inspect")
