"""How a stream is cut changes no verdict, and nothing of any shape raises."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.formats import open_body
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.opening import structured

from tests.filtering.formats.bodies import cut, payloads
from tests.filtering.formats.events import FIELDS, deltas, frame
from tests.filtering.structure.bodies import BAD, GOOD, answer, body, tools
from tests.filtering.structure.streams import DONE, NOTHING, REDACT, finish, held, run

_TEXTS = st.sampled_from(
    [GOOD, BAD, "[1]", "Sure", '{"city": "Oslo"} x', '{"city": "bob@example.com"}', "12", '{"city": "O']
)
_PLACES = st.lists(st.integers(0, 1 << 16), max_size=6)


@given(_TEXTS, _PLACES, _PLACES, st.sampled_from(["content", "text"]), st.booleans())
def test_how_the_bytes_are_cut_changes_nothing(
    text: str, places: list[int], bytes_cut: list[int], field: str, ends: bool
) -> None:
    make, _ = FIELDS[field]
    raw = b"".join(frame(make(piece)) for piece in deltas(text, places)) + (finish() + DONE if ends else b"")
    results = []
    for pieces in ([raw], cut(raw, bytes_cut), [raw[i : i + 1] for i in range(len(raw))]):
        rewriter = held(answer(), REDACT)
        results.append((*run(rewriter, pieces), rewriter.coverage().findings))
    assert results[0] == results[1] == results[2]


@given(_TEXTS, _PLACES)
def test_how_a_text_is_cut_into_events_changes_no_verdict_and_no_invalid_one_leaves_whole(
    text: str, places: list[int]
) -> None:
    make, text_of = FIELDS["content"]
    out, _, blocked = run(held(answer()), [*(frame(make(piece)) for piece in deltas(text, places)), finish(), DONE])
    assert blocked == (answer().answer.schema.fault_of_text(text) != "")  # type: ignore[union-attr]
    said = "".join(
        text_of(event) for event in payloads(out) if isinstance(event, dict) and event["choices"][0]["delta"]
    )
    if not blocked:
        assert said == text
    elif not text.endswith(" x"):  # what follows a valid answer is not let out
        assert said != text or answer().answer.schema.fault_of_text(said) == "json"  # type: ignore[union-attr]


_FIELDS = """choices delta message content text tool_calls function name arguments index type item output response part
 done content_block partial_json candidates parts functionCall args function_call finish_reason refusal error"""
_KINDS = """lookup function_call message output_text response.completed response.output_item.added tool_use
 response.output_item.done content_block_start content_block_delta"""
_NAMES = st.sampled_from(_FIELDS.split())
_LEAVES = st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from([GOOD, BAD, "", *_KINDS.split()])
_EVENTS = st.recursive(
    _LEAVES, lambda one: st.lists(one, max_size=2) | st.dictionaries(_NAMES, one, max_size=4), max_leaves=12
)


@given(st.lists(_EVENTS, max_size=3), st.sampled_from(["block", "strip", "annotate"]))
def test_no_event_of_any_shape_raises(documents: list[Any], act: Any) -> None:
    structure = Structure(answer=answer(act).answer, tools=tools(act).tools, others="block")
    raw = [frame(document) for document in documents]
    for kind in ("sse", "ndjson"):
        lines = raw if kind == "sse" else [json.dumps(document).encode() + b"\n" for document in documents]
        out, _, blocked = run(held(structure, kind=kind), lines)  # type: ignore[arg-type]
        assert blocked or len(out) <= sum(map(len, lines)) + 200


@given(_EVENTS, st.sampled_from(["block", "strip", "annotate"]))
def test_no_document_of_any_shape_raises(document: Any, act: Any) -> None:
    structure = Structure(body=body({}, act).body, answer=answer(act).answer, tools=tools(act).tools, others="block")
    inner = open_body("application/json", NOTHING, max_bytes=1 << 20)
    assert inner is not None
    made = structured(inner, "application/json", structure, max_bytes=1 << 20)
    assert made is not None
    raw = json.dumps(document).encode()
    out = made.feed(raw) + made.finish()
    assert out == raw or made.blocked is not None or act == "strip"
