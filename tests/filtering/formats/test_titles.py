"""A value that is one by the name that it stands under is found there as it is found behind that word in a text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.detectors import ENTITIES
from tidegate.filtering.formats.json_text import MAX_STEPS
from tidegate.filtering.formats.titles import LONGEST, name_of, title
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.selection import selection_of

from tests.filtering.corpus import MIXED, PLANS, cut_texts
from tests.filtering.formats.bodies import body, drive, payloads
from tests.filtering.formats.events import chat, frame, tool

NAMED = {
    "password": "Tr0ub4dor&3",
    "api_key": "Xk29vQ7pLm3Zt8Rw5",
    "clientSecret": "Zt8RwXk29vQ7pLm35",
    "ssn": "219099999",
    "date_of_birth": "1980-02-29",
    "phone-number": "5550134",
    "Authorization": "Bearer Xk29vQ7pLm3Zt8Rw5",
}
OTHERS = {"note": "Tr0ub4dor&3", "id": "219099999", "created": "1980-02-29", "count": "5550134"}
ALL = PLANS[Action.REDACT]
RECORD = json.dumps({**NAMED, **OTHERS, "more": [{"SSN": NAMED["ssn"]}]})


def pieces(raw: str, size: int) -> list[bytes]:
    data = raw.encode()
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]


def filtered(kind: str, raw: str, size: int, plan: FilterPlan = ALL) -> str:
    out, failure = drive(body(kind, plan), pieces(raw, size))
    assert not failure
    return out.decode()


def kept(document: dict[str, Any]) -> list[str]:
    """The values of a document that were left under names that tell."""
    return [name for name, value in NAMED.items() if document[name] == value]


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("plan", [ALL, FilterPlan(ALL.actions, selection_of((), ("/nothing",), keys=True))])
def test_in_a_document(size: int, plan: FilterPlan) -> None:
    document = json.loads(filtered("json", RECORD, size, plan))
    assert kept(document) == []
    assert {name: document[name] for name in OTHERS} == OTHERS
    assert document["more"] == [{"SSN": "[US_SSN]"}]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_in_lines_and_in_fields_of_events(size: int) -> None:
    for line in filtered("ndjson", f"{RECORD}\n{RECORD}\n", size).splitlines():
        assert kept(json.loads(line)) == []
    out = filtered("sse", f"data: {RECORD}\n\ndata: {RECORD}\n\n", size)
    assert [kept(document) for document in payloads(out.encode())] == [[], []]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("make", "field"), [(chat("content"), "content"), (tool, "arguments")])
def test_in_what_a_model_writes_piece_by_piece(size: int, make: Any, field: str) -> None:
    raw = "".join(frame(make(RECORD[at : at + size])).decode() for at in range(0, len(RECORD), size))
    said = ""
    for event in payloads(filtered("sse", raw, 0).encode()):
        delta = event["choices"][0]["delta"]
        said += delta[field] if field in delta else delta["tool_calls"][0]["function"][field]
    document = json.loads(said)
    assert kept(document) == []
    assert {name: document[name] for name in OTHERS} == OTHERS


@pytest.mark.parametrize("size", [0, 1, 5])
def test_under_the_head_of_a_column(size: int) -> None:
    names, values = zip(*NAMED.items(), strict=True)
    rows = f"{','.join(names)},note\r\n{','.join(values)},{NAMED['ssn']}\r\n{','.join(reversed(values))}\r\n"
    head, first, _ = filtered("csv", rows, size).splitlines()
    assert head == ",".join((*names, "note"))
    assert [value for value in first.split(",") if value in values] == [NAMED["ssn"]]


def test_a_name_tells_of_nothing_but_its_own_string() -> None:
    for raw in (
        '{"password": ["Tr0ub4dor&3"], "a": "Tr0ub4dor&3"}',
        '{"password": null, "a": "Tr0ub4dor&3"}',
        '["password", "Tr0ub4dor&3"]',
        '{"password": 1}',
        '{"password": ""}',
        '{"a": "password", "b": "Tr0ub4dor&3"}',
    ):
        assert filtered("json", raw, 0) == raw
        assert filtered("ndjson", raw, 0).rstrip("\n") == raw
        assert json.loads(filtered("json", json.dumps([raw]), 0)) == [raw]


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_number_is_read_with_its_name_too(size: int) -> None:
    raw = '{"ssn":219099999,"a":219099999,"more":{"phone" : 5550134 , "b":[219099999,{"SSN":-219099999}]},"x":1.5,'
    raw += '"ssn":219099999}'
    want = raw.replace('"ssn":219099999', '"ssn":"[US_SSN]"').replace("5550134", '"[PHONE]"')
    want = want.replace("-219099999", '"[US_SSN]"')
    assert filtered("json", raw, size) == want
    raw, want = raw.replace('"ssn":219099999}', '"ssn3":2}'), want.replace('"ssn":"[US_SSN]"}', '"ssn3":2}')
    for kind, frame_of in (
        ("ndjson", "%s\n"),
        ("sse", "data: %s\n\n"),
        ("sse", 'data: {"choices":[{"delta":{"content":%s}}]}\n\n'),
    ):
        given, wanted = (json.dumps(text) if "choices" in frame_of else text for text in (raw, want))
        assert filtered(kind, frame_of % given, size) == frame_of % wanted
    chosen = FilterPlan(ALL.actions, selection_of((), ("/nothing",), keys=True))
    assert filtered("json", raw, size, chosen) == want
    rewriter = body("json", ALL)
    drive(rewriter, pieces(raw, size))
    assert rewriter.coverage().skipped == {"number": 4}


def test_many_strings_are_asked_for_their_names() -> None:
    """They are looked at some at a time."""
    for before in range(1015, 1030):
        raw = json.dumps({**{f"k{number}": f"v{number}" for number in range(before // 2)}, "ssn": NAMED["ssn"]})
        raw = raw if before % 2 else raw.replace('{"k0"', '{"x": [""], "k0"')
        assert NAMED["ssn"] not in filtered("json", raw, 0)


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("userPassword", "user Password: "),
        ("bank_account-number", "bank account number: "),
        ("content", ""),
        ("p\u00e4ssword", ""),
        ("password" * 9, ""),
        ("password=Tr0ub4dor&3", ""),
        ("", ""),
    ],
)
def test_what_a_name_says(name: str, before: str) -> None:
    assert title(ENTITIES, frozenset(), name) == before
    assert len(name) <= LONGEST or not before


def test_a_name_says_nothing_where_nobody_asks() -> None:
    assert title(frozenset({"EMAIL", "CREDIT_CARD"}), frozenset(), "password") == ""
    assert title(frozenset(), frozenset(), "password") == ""


def test_items_and_what_is_too_deep_have_no_name() -> None:
    assert name_of(("a", "b")) == "b"
    assert name_of(("a", 0)) == name_of(()) == name_of(("a",) * MAX_STEPS) == ""


@settings(max_examples=40, deadline=None)
@given(cut_texts(), st.sampled_from(sorted(NAMED)), st.sampled_from([ALL, MIXED, PLANS[Action.BLOCK]]))
def test_it_is_read_as_behind_that_word_however_it_is_cut(
    cut: tuple[str, list[str]], name: str, plan: FilterPlan
) -> None:
    text, chunks = cut
    before = title(ENTITIES, frozenset(), name)
    whole = TextRewriter(plan, key=b"k", before=before)
    out = whole.whole(text)
    rewriter = TextRewriter(plan, key=b"k", before=before)
    said = ""
    for chunk in chunks:
        said += rewriter.feed(chunk)
        assert 0 <= rewriter.held <= len(text)
    said += rewriter.finish()
    assert (said, rewriter.findings, rewriter.blocked) == (out, whole.findings, whole.blocked)
    together = rewrite(plan, before + text, key=b"k")
    assert not together.startswith(before) or together == before + out
