"""Values in requests: found wherever they stand, refused or told by kind, on record, and never quoted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tidegate.audit.records import Names, decided, decision_fields
from tidegate.filtering.ruleset import Action, Rule, Ruleset
from tidegate.inbound.telling import FINDINGS_HEADER
from tidegate.model import Allow, Inspection, Reason
from tidegate.policy import parse_policy

from tests.filtering.spots import Words
from tests.inbound.world import MAIL, PHONE, POLICY, SSN, World, says


async def test_a_clean_prompt_passes_and_is_on_record_as_read() -> None:
    assert await World().allowed(says("Good morning.")) == Inspection({}, {})


@pytest.mark.parametrize("value", [MAIL, SSN, "bob\u200b@example.com", "ｂｏｂ＠example.com"])
async def test_a_value_refuses_with_its_kind_and_place_and_not_itself(value: str) -> None:
    deny = await World().refused(says(f"write to {value} today"))
    assert (deny.status, deny.reason, deny.rule) == (403, Reason.PROMPT_REFUSED, "prompt")
    kind = "US_SSN" if value == SSN else "EMAIL"
    assert deny.message == f"The request holds what may not be sent to this endpoint: {kind} (messages[0].content)."
    assert "bob" not in repr(deny)
    assert SSN not in repr(deny)


@pytest.mark.parametrize(
    "document",
    [
        says([{"type": "text", "text": "bob@exam"}, {"type": "text", "text": "ple.com"}]),
        {"messages": [{"role": "tool", "content": json.dumps({"mail": MAIL})}]},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"m":"bob\\u0040example.com"}'}}]}
            ]
        },
        {"messages": [], "user": MAIL},
        {"messages": [], "metadata": {MAIL: "x"}},
        {"messages": [], "tools": [{"function": {"description": f"mail {MAIL}"}}]},
        json.dumps(says(MAIL)).replace("@", "\\u0040").encode(),
    ],
)
async def test_wherever_and_however_a_value_stands(document: Any) -> None:
    deny = await World().refused(document)
    assert "EMAIL" in deny.detail
    assert MAIL not in repr(deny)


@pytest.mark.parametrize("around", ["a", "1"])
async def test_a_value_that_stands_alone_in_a_part_is_found_and_counted_once(around: str) -> None:
    parts = [{"type": "text", "text": text} for text in (around, PHONE, around)]
    assert (await World().allowed(says(parts))).findings == {("PHONE", "annotate"): 1}
    parts[1]["text"] = SSN
    assert (await World().refused(says(parts))).detail == "US_SSN (messages[0].content)"


async def test_a_value_that_its_key_tells_of_is_found() -> None:
    called = {"role": "assistant", "tool_calls": [{"function": {"arguments": {"ssn": "219099999", "n": "219099998"}}}]}
    deny = await World().refused({"messages": [called]})
    assert deny.detail == "US_SSN (messages[0].tool_calls[0].function.arguments.*)"
    called["tool_calls"][0]["function"]["arguments"] = json.dumps({"ssn": "219099999"})  # type: ignore[index]
    assert (
        await World().refused({"messages": [called]})
    ).detail == "US_SSN (messages[0].tool_calls[0].function.arguments)"


@pytest.mark.parametrize("card", [4111111111111111, int(b"4111111111111111".hex())])
async def test_a_card_as_a_number_is_found(card: int) -> None:
    world = World(POLICY.replace("US_SSN", "CREDIT_CARD"))
    deny = await world.refused({"messages": [{"role": "user", "tool_calls": [{"arguments": {"n": card}}]}]})
    assert deny.detail == "CREDIT_CARD (messages[0].tool_calls[0].arguments.*)"


async def test_all_that_refuses_is_told_at_once() -> None:
    deny = await World().refused(
        {"messages": [{"role": "user", "content": f"{SSN}"}, {"role": "tool", "content": MAIL}]}
    )
    assert deny.detail == "EMAIL (messages[1].content), US_SSN (messages[0].content)"


async def test_what_is_only_annotated_passes_and_the_models_side_learns_kinds_and_counts() -> None:
    decision = await World().decide(says(f"call {PHONE} or {PHONE}"))
    assert isinstance(decision.verdict, Allow)
    assert decision.inspection == Inspection({("PHONE", "annotate"): 2}, {})
    assert decision.verdict.annotations == ((FINDINGS_HEADER, "PHONE:2"),)
    quiet = await World(POLICY.replace("tell_upstream: true", "tell_upstream: false")).decide(says(PHONE))
    assert isinstance(quiet.verdict, Allow)
    assert quiet.verdict.annotations == ()
    assert (await World().decide(says("x"))).verdict.annotations == ()  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["process", "endpoint"])
async def test_in_shadow_nothing_is_refused_and_all_is_told(how: str) -> None:
    text = POLICY.replace("max_size", "shadow: true, max_size").replace("shadow: true, ", "shadow: true\n      ")
    world = World(text) if how == "endpoint" else World(shadow=True)
    assert await world.allowed(says(MAIL)) == Inspection({("EMAIL", "block"): 1}, {})
    assert await world.allowed({"prompt": MAIL}) == Inspection({("EMAIL", "block"): 1}, {}, "schema/required")
    assert await world.allowed(b"{") == Inspection({}, {"refused": 1}, "json")


async def test_a_schema_that_only_annotates_lets_pass_and_tells() -> None:
    world = World(POLICY.replace("[messages]}}", "[messages]}, act: annotate}"))
    assert (await world.allowed({"prompt": "x"})).fault == "schema/required"


async def test_what_spotters_find_refuses_too_and_is_read_once() -> None:
    policy = parse_policy(POLICY)
    chat = policy.endpoints[0]
    assert chat.request is not None
    rules = (Ruleset("r", (Rule(frozenset({"DENIED_TERM", "EMAIL"}), Action.BLOCK),)),)
    checks = dataclasses.replace(chat.request, rules=rules)
    spotters = (Words("DENIED_TERM", ("falcon",)),)
    world = World(
        dataclasses.replace(policy, endpoints=(dataclasses.replace(chat, request=checks),), spotters=spotters)
    )
    deny = await world.refused(says(f"the falcon wrote to {MAIL}"))
    assert deny.detail == "DENIED_TERM (messages[0].content), EMAIL (messages[0].content)"
    assert await world.allowed(says("the hawk")) == Inspection({}, {})


async def test_deny_lists_are_for_prompts_too_and_allowed_values_pass() -> None:
    text = POLICY.replace(
        "tenants:",
        "deny_lists: {birds: {terms: [falcon]}}\nallow_lists: {ours: {terms: [bob@example.com]}}\ntenants:",
        1,
    )
    world = World(text.replace("[EMAIL, US_SSN]", "[EMAIL, LIST_BIRDS]"))
    assert (await world.refused(says("the F\u0430lcon"))).detail == "LIST_BIRDS (messages[0].content)"
    assert await world.allowed(says(f"write to {MAIL}")) == Inspection({}, {})
    assert (await world.refused(says("write to ann@example.com"))).detail == "EMAIL (messages[0].content)"


async def test_the_audit_record_counts_what_was_found_and_holds_none_of_it() -> None:
    world = World()
    fields = decision_fields(decided(0.0, await world.decide(says(f"{MAIL} {PHONE}"))), Names(world.policy))
    assert fields["inspection"] == {
        "fault": "",
        "findings": [
            {"action": "block", "count": 1, "entity": "EMAIL"},
            {"action": "annotate", "count": 1, "entity": "PHONE"},
        ],
        "scores": {},
        "unread": {},
    }
    assert fields["charged"] == [{"cost": 1, "limit": "tier:free rpm", "unit": "requests"}]
    assert MAIL not in json.dumps(fields)
