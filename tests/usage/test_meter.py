"""What a response cost: its usage when it can be believed, its text when not, the same however it was cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tidegate.filtering.formats import listen, open_body
from tidegate.filtering.ruleset import Action, Rule, Ruleset, merge
from tidegate.usage.costs import MAX_UNITS
from tidegate.usage.meter import Meter

from tests.usage.test_estimate import json_values

PLAN = merge([Ruleset("pii", (Rule(frozenset({"EMAIL"}), Action.REDACT),))])


def metered(*documents: Any, prompt: int = 10) -> tuple[int, int, int]:
    meter = Meter()
    for document in documents:
        meter.document(document)
    costs = meter.costs(prompt)
    return costs.prompt_tokens, costs.completion_tokens, costs.tokens


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "c" * 40, "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}], **more}


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "c" * 40, "choices": [{"index": 0, "delta": {"content": text}}], **more}


def usage(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


@pytest.mark.parametrize(
    ("documents", "costs"),
    [
        ([chat("hello", **usage(7, 3, total_tokens=10))], (7, 3, 10)),
        ([chat("hello", **usage(7, 3, total_tokens=25))], (7, 3, 25)),
        ([delta("a"), delta("b"), {"choices": [], **usage(7, 2)}], (7, 2, 9)),
        ([delta("a", **usage(7, 1)), delta("b", **usage(7, 2))], (7, 2, 9)),
        ([delta("a", usage=None), delta("b", usage=None)], (10, 1, 11)),
        ([{"response": "hello", "done": False}, {"done": True, "prompt_eval_count": 7, "eval_count": 3}], (7, 3, 10)),
        ([{"response": "hello", "done": False}, {"response": "", "done": True, "eval_count": 3}], (10, 3, 13)),
        ([{"response": "hell", "created_at": "2026-01-01T00:00:00Z", "eval_count": 900}], (10, 1, 11)),
        ([{"output": [{"content": [{"text": "x"}]}], "usage": {"input_tokens": 5, "output_tokens": 6}}], (5, 6, 11)),
        (
            [
                {"type": "response.created", "response": {"usage": None}},
                {"type": "response.output_text.delta", "delta": "hello"},
                {"type": "response.output_text.done", "text": "hello"},
                {"type": "response.completed", "response": {"usage": {"input_tokens": 5, "output_tokens": 6}}},
            ],
            (5, 6, 11),
        ),
        (
            [
                {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}},
                {"type": "message_delta", "delta": {"stop_reason": "x"}, "usage": {"output_tokens": 6}},
            ],
            (5, 6, 11),
        ),
        (
            [{"content": [], "usage": {"input_tokens": 5, "cache_read_input_tokens": 9, "output_tokens": 6}}],
            (14, 6, 20),
        ),
        ([{"object": "list", "data": [{"embedding": "A" * 99}], **usage(8, None, total_tokens=8)}], (8, 0, 8)),
    ],
)
def test_the_last_usage_is_the_cost(documents: list[Any], costs: tuple[int, int, int]) -> None:
    assert metered(*documents) == costs


@pytest.mark.parametrize(
    ("documents", "completion"),
    [
        ([chat("x" * 41)], 11),
        ([delta("x" * 20), delta("x" * 21)], 11),
        ([{"choices": [{"text": "x" * 41}]}], 11),
        ([{"choices": [{"message": {"tool_calls": [{"function": {"arguments": "x" * 41}}]}}]}], 11),
        (
            [{"type": "response.output_text.delta", "delta": "x" * 41}, {"type": "response.x.done", "text": "x" * 41}],
            11,
        ),
        ([{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 41}}], 11),
        ([{"object": "list", "data": [{"embedding": "A" * 99}]}], 0),
        ([{"label": "x" * 41}], 11),
        ([{"error": {"message": "x" * 99}}], 0),
        (["x" * 41], 11),
    ],
)
def test_without_usage_the_text_is_counted(documents: list[Any], completion: int) -> None:
    assert metered(*documents) == (10, completion, 10 + completion)


def test_what_follows_an_early_usage_is_counted_on_top() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
    piece = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 400}}
    assert metered(start, piece) == (5, 101, 106)


@pytest.mark.parametrize("lie", [-1, 2**40 + 1, 10**300, 1.5, 3.0, "12", True, [], {}])
def test_a_lying_usage_is_not_believed_but_counted(lie: Any) -> None:
    meter = Meter()
    meter.document(chat("x" * 40, **usage(lie, lie)))
    costs = meter.costs(10)
    assert (costs.prompt_tokens, costs.completion_tokens, meter.lies) == (10, 10, 2)
    meter.document({"usage": lie if not isinstance(lie, dict) else [1]})
    assert meter.lies == 3
    assert metered(chat("x" * 40, **usage(7, 3, total_tokens=lie))) == (7, 3, 10)


def lies(*documents: Any) -> tuple[int, int]:
    """(completion, how many figures were not believed)."""
    meter = Meter()
    for document in documents:
        meter.document(document)
    return meter.costs(10).completion_tokens, meter.lies


def test_a_usage_that_shrinks_is_not_believed() -> None:
    more, less = usage(7, 50), usage(7, 3)
    assert lies(delta("a", **more), delta("b", **less)) == (50 + 1, 1)
    assert metered(delta("a", **usage(7, 1)), delta("b", **usage(3, 1))) == (7, 1, 8)
    assert lies(delta("a", **usage(7, 1)), delta("b", **usage(3, 1)))[1] == 1
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
    end = {"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 6}}
    assert lies(start, end) == (6, 0)  # gateways that tell the prompt once


@pytest.mark.parametrize("told", [0, 1, 12])
@pytest.mark.parametrize(
    "document",
    [
        chat("x" * 400),
        {"choices": [{"index": 0, "delta": {"content": "x" * 400}}]},
        {"choices": [{"text": "x" * 400}]},
        {"choices": [{"message": {"tool_calls": [{"function": {"arguments": "x" * 400}}]}}]},
    ],
)
def test_a_completion_far_below_the_text_that_came_is_not_believed(document: dict[str, Any], told: int) -> None:
    assert lies(document, {"choices": [], **usage(7, told)}) == (100, 1)
    assert lies({**document, **usage(7, told, total_tokens=7 + told)}) == (100, 1)
    assert lies(document, {"choices": [], **usage(7, 13)}) == (13, 0)


def test_nor_is_one_of_another_dialect() -> None:
    pieces = [{"type": "response.output_text.delta", "delta": "x" * 400}]
    assert lies(*pieces, {"type": "response.completed", "response": {"usage": {"output_tokens": 0}}}) == (100, 1)
    block = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 400}}
    assert lies(block, {"type": "message_delta", "usage": {"output_tokens": 1}}) == (100, 1)


@pytest.mark.parametrize(
    "document",
    [
        {"data": [{"b64_json": "A" * 4000}], "usage": {"input_tokens": 5, "output_tokens": 9}},
        {"output": [{"type": "image_generation_call", "result": "A" * 4000}], "usage": {"output_tokens": 9}},
        {"choices": [{"message": {"audio": {"data": "A" * 4000, "transcript": "Hi"}}}], **usage(5, 9)},
    ],
)
def test_sound_and_images_in_letters_are_no_text_that_a_usage_could_fall_short_of(document: dict[str, Any]) -> None:
    assert lies(document) == (9, 0)


@settings(deadline=None)
@given(
    st.lists(
        json_values
        | st.builds(lambda *v: usage(*v), json_values, json_values)
        | st.builds(lambda v: {"response": {"usage": v}, "choices": v, "type": "response.x"}, json_values),
        max_size=4,
    )
)
@example([chat("\ud800")])
def test_nothing_makes_it_raise(documents: list[Any]) -> None:
    meter = Meter()
    for document in documents:
        meter.document(document)
    assert all(0 <= cost <= MAX_UNITS for cost in meter.costs(5).as_mapping().values())


STREAM = "".join(
    f"data: {json.dumps(event)}\r\n\r\n"
    for event in (*(delta(text) for text in ("Hi ", "bob@exa", "mple.com é", "x" * 30)), delta("", **usage(9, 44)))
)
LINES = b"".join(
    json.dumps({"model": "m", "created_at": f"t{n}", **answer}).encode() + b"\n"
    for n, answer in enumerate(
        [
            *(
                {"message": {"role": "assistant", "content": text}, "done": False}
                for text in ("Hi ", "bob@exa", "mple.com é")
            ),
            {
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 9,
            },
        ]
    )
)
BODIES = {
    "application/x-ndjson": [
        LINES,
        LINES[:-60],
        LINES + b"{}\nno document\nmore",
        b"\xff\n" * 3,
        b'"' + b"x" * 3000,
    ],
    "text/event-stream": [
        STREAM.encode() + b"data: [DONE]\n\n",
        STREAM.encode()[:-60],
        STREAM.encode() + b"data: \xff\n\nmore",
        b"data: plain\n\n" * 3,
        b"data: " + b"x" * 3000,
    ],
    "application/json": [
        json.dumps(chat("hi", **usage(9, 44))).encode(),
        json.dumps(chat("é" * 50)).encode(),
        b'{"choices": [',
        b"x" * 3000,
    ],
    "text/csv": ["a,hällo\n".encode() * 9, b"\xff\n" * 9],
    "text/plain": ["hällo".encode() * 9, b"\xff" * 9],
}


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("kind", "body"), [(kind, body) for kind in BODIES for body in BODIES[kind]])
@settings(deadline=None)
@given(places=st.lists(st.integers(0, 10_000), max_size=8))
def test_a_body_that_passes_is_metered_the_same_however_it_is_cut(
    kind: str, body: bytes, whole: bool, places: list[int]
) -> None:
    def run(parts: list[bytes]) -> Any:
        meter = Meter()
        listening = listen(kind, meter, max_bytes=2000)
        assert listening is not None
        for part in parts:
            listening.feed(part)
        listening.finish(whole=whole)
        return meter.costs(1)

    assert run(cut(body, places)) == run([body]) == run([bytes([byte]) for byte in body])


# Valid JSON that a fast parser does not take: half of a surrogate pair, a number beyond a double.
STRANGE = json.dumps({**chat("half a pair: \ud83d"), **usage(9, 44)}).encode()[:-1] + b', "n": 1e400}'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *((kind, BODIES[kind][0]) for kind in BODIES),
        ("application/json", STRANGE),
        ("text/event-stream", b"data: " + STRANGE + b"\n\n"),
    ],
)
@settings(deadline=None)
@given(places=st.lists(st.integers(0, 10_000), max_size=8))
def test_a_body_that_is_rewritten_is_metered_as_one_that_passes(kind: str, body: bytes, places: list[int]) -> None:
    seen, heard = Meter(), Meter()
    rewriter, listening = open_body(kind, PLAN, max_bytes=65536, observer=seen), listen(kind, heard, max_bytes=65536)
    assert rewriter is not None
    assert listening is not None
    for part in cut(body, places):
        rewriter.feed(part)
        listening.feed(part)
    rewriter.finish()
    listening.finish()
    assert seen.costs(1) == heard.costs(1)


def test_a_stream_of_like_events_is_counted_by_its_pieces() -> None:
    stream = "".join(f"data: {json.dumps(delta('x' * 8))}\n\n" for _ in range(50)).encode()
    meter = Meter()
    rewriter = open_body("text/event-stream", PLAN, max_bytes=65536, observer=meter)
    assert rewriter is not None
    rewriter.feed(stream)
    assert meter.costs(0).completion_tokens == 100
