"""JSON responses that are held to a structure: what the client would get is what is judged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.formats import BodyRewriter, open_body
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.opening import structured

from tests.filtering.formats.bodies import cut, drive
from tests.filtering.structure.bodies import (
    ANSWERS,
    BAD,
    CALLS_AS_OBJECTS,
    CALLS_AS_TEXT,
    GOOD,
    answer,
    body,
    call,
    chat,
    tools,
)

NOTHING = FilterPlan({})
REDACT = FilterPlan({"EMAIL": Action.REDACT})


def held(structure: Structure, plan: FilterPlan = NOTHING, cap: int = 1 << 20) -> BodyRewriter:
    inner = open_body("application/json", plan, key=b"k", max_bytes=cap)
    assert inner is not None
    made = structured(inner, "application/json", structure, max_bytes=cap)
    assert made is not None
    return made


def judged(structure: Structure, document: Any, plan: FilterPlan = NOTHING) -> tuple[bytes, str, bool]:
    """What leaves, the verdict, and whether it was blocked."""
    rewriter = held(structure, plan)
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    out, failure = drive(rewriter, [raw[:7], raw[7:]])
    assert not failure
    return out, rewriter.coverage().structure, rewriter.blocked is not None


@pytest.mark.parametrize("api", ANSWERS)
def test_the_answer_of_every_api_is_found(api: str) -> None:
    good, bad = ANSWERS[api](GOOD), ANSWERS[api](BAD)
    assert judged(answer(), good) == (json.dumps(good).encode(), "valid", False)
    assert judged(answer(), bad) == (b"", "answer/schema/properties/city/type", True)
    assert judged(answer(), ANSWERS[api]("Oslo is nice.")) == (b"", "answer/json", True)
    assert judged(answer(), ANSWERS[api](GOOD[:-1]))[2]


@pytest.mark.parametrize("api", [name for name in ANSWERS if name != "completions"])
def test_an_empty_answer_is_none(api: str) -> None:
    assert judged(answer(), ANSWERS[api]("")) == (b"", "answer/json", True)


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"message": "no"}},
        {"choices": []},
        {"data": [{"embedding": [0.5]}]},
        {"object": "response", "output": []},
        {"type": "message", "content": []},
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"choices": [7]},
        {"choices": [{"message": {"role": "assistant", "content": None}}]},
        [GOOD],
        GOOD,
    ],
)
def test_where_no_answer_is_found_none_passes(document: Any) -> None:
    assert judged(answer(), document)[2]


def test_every_choice_and_every_dialect_of_a_document_is_judged() -> None:
    two = chat(GOOD)
    two["choices"].append({"index": 1, "message": {"content": BAD}})
    assert judged(answer(), two)[2]
    assert judged(answer(), chat(GOOD) | ANSWERS["ollama generate"](BAD))[2]
    assert judged(answer(), chat(GOOD) | ANSWERS["messages"](BAD))[2]


@pytest.mark.parametrize(
    "document",
    [
        chat(None, refusal="I would rather not."),
        chat(None, tool_calls=[call("{}")]),
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        {"type": "message", "content": [], "stop_reason": "refusal"},
    ],
)
def test_a_refusal_and_a_call_without_text_are_no_answers(document: Any) -> None:
    assert judged(answer(), document) == (json.dumps(document).encode(), "unchecked", False)


def test_a_refusal_beside_an_answer_excuses_nothing() -> None:
    assert judged(answer(), chat(BAD, refusal="I would rather not."))[2]


@pytest.mark.parametrize("api", CALLS_AS_TEXT)
def test_arguments_that_are_text_are_read_as_json(api: str) -> None:
    make = CALLS_AS_TEXT[api]
    assert judged(tools(), make(GOOD))[1:] == ("valid", False)
    assert judged(tools(), make(BAD))[1:] == ("tools.lookup/schema/properties/city/type", True)
    assert judged(tools(), make("{"))[1:] == ("tools.lookup/json", True)
    assert judged(tools(), make(None))[2]


@pytest.mark.parametrize("api", CALLS_AS_OBJECTS)
def test_arguments_that_are_objects_are_judged_as_they_stand(api: str) -> None:
    make = CALLS_AS_OBJECTS[api]
    assert judged(tools(), make({"city": "Oslo"}))[1:] == ("valid", False)
    assert judged(tools(), make({"city": 7}))[2]
    assert judged(tools(), make(GOOD))[2]


def test_a_tool_that_is_not_named_is_what_the_policy_says() -> None:
    other = chat("hm", tool_calls=[call("{}", "bob@example.com")])
    assert judged(tools(), other) == (b"", "tools/unknown_tool", True)
    assert judged(tools(others="annotate"), other)[1:] == ("tools/unknown_tool", False)
    assert judged(tools(others=None), other)[1:] == ("unchecked", False)


def test_the_whole_body_is_judged_and_keeps_its_bytes() -> None:
    raw = b'{ "outputs" :[1.00,\r\n 2e0], "outputs2":1 }'
    assert judged(body({"required": ["outputs"]}), raw) == (raw, "valid", False)
    assert judged(body({"required": ["other"]}), raw) == (b"", "body/schema/required", True)
    assert judged(body({}), b'{"a":1,"a":2}') == (b"", "body/json_duplicate_key", True)
    assert judged(body({}), b"{") == (b"", "body/json", True)
    assert judged(body({}), b'"\xff"')[2]
    assert judged(body({}), b"")[2]


def test_it_is_judged_after_it_was_rewritten() -> None:
    mail = json.dumps({"city": "Oslo", "mail": "bob@example.com"})
    assert judged(answer(), chat(mail))[1] == "valid"
    assert judged(answer(), chat(mail), REDACT)[1:] == ("answer/schema/properties/mail/format", True)


def test_what_only_annotates_changes_nothing_and_says_so() -> None:
    raw = b'{ "choices": [{"message": {"content": "{\\"city\\": 7}"}}]\n}'
    rewriter = held(answer("annotate"))
    assert rewriter.streaming
    assert rewriter.feed(raw[:9]) == raw[:9]
    assert rewriter.feed(raw[9:]) + rewriter.finish() == raw[9:]
    receipt = rewriter.coverage()
    assert receipt.findings == {("STRUCTURE", "annotate"): 1}
    assert "structure=answer/schema/properties/city/type" in receipt.header()
    assert rewriter.blocked is None


def test_annotating_what_is_not_json_or_too_long_lets_it_pass() -> None:
    for raw, verdict in ((b"{", "body/json"), (b'"' + b"x" * 5000 + b'"', "unchecked")):
        rewriter = held(answer("annotate"), cap=4096)
        assert rewriter.feed(raw) + rewriter.finish() == raw
        assert rewriter.coverage().structure == verdict


def test_what_is_longer_than_the_cap_is_withheld() -> None:
    out, failure = drive(held(body({}), cap=64), [b'"' + b"x" * 80 + b'"'])
    assert (out, failure) == (b"", "too_large")


def test_shadow_judges_and_withholds_nothing() -> None:
    structure = tools().in_shadow()
    assert not structure.enforced
    document = chat(None, tool_calls=[call(BAD), call("{}", "other")])
    raw, verdict, blocked = judged(structure, document)
    assert (raw, verdict, blocked) == (json.dumps(document).encode(), "tools.lookup/schema/properties/city/type", False)


@given(st.lists(st.integers(0, 1 << 16), max_size=6), st.sampled_from([GOOD, BAD, "x", '{"city": "bob@example.com"}']))
def test_how_a_body_is_cut_changes_nothing(places: list[int], text: str) -> None:
    raw = json.dumps(chat(text)).encode()
    results = []
    for pieces in ([raw], cut(raw, places)):
        rewriter = held(answer(), REDACT)
        results.append((drive(rewriter, pieces), rewriter.coverage(), rewriter.blocked))
    assert results[0] == results[1]
