"""What a request is reserved: the rule as it is documented, for every dialect, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tidegate.model import BodyState, Deny, Request
from tidegate.usage.costs import MAX_UNITS, Costs
from tidegate.usage.estimate import DEFAULT_COMPLETION, costs_of, estimate
from tidegate.usage.parts import MAX_PARTS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    ["messages", "input", "prompt", "tools", "system", "n", "best_of", "max_tokens", "max_output_tokens", "content"]
)


def ask(**body: Any) -> Costs:
    return estimate(json.dumps(body).encode())


def test_chat_counts_text_and_an_overhead_for_each_message() -> None:
    messages = [
        {"role": "system", "content": "x" * 40},
        {"role": "user", "content": [{"type": "text", "text": "yyyy"}]},
    ]
    costs = ask(messages=messages, max_tokens=50)
    assert (costs.prompt_tokens, costs.completion_tokens) == (3 + 2 * 4 + 11, 50)
    assert costs.tokens == costs.prompt_tokens + 50
    assert costs.as_mapping()["requests"] == 1


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({"prompt": "x" * 9}, 3 + 3),
        ({"prompt": [1, 2, 3]}, 3 + 3),
        ({"input": "é" * 4}, 3 + 2),
        ({"input": [[1, 2], [3]]}, 3 + 3),
        ({"input": [{"role": "user", "content": "abcd"}], "instructions": "abcd"}, 3 + 4 + 2),
        ({"system": [{"type": "text", "text": "abcd"}], "messages": [{"role": "user", "content": "abcd"}]}, 3 + 4 + 2),
        (
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:" + "A" * 9999}}]}]},
            3 + 4 + 1024,
        ),
        ({"messages": [], "tools": [{"a": "b"}]}, 3 + 3),
    ],
)
def test_each_dialect_has_its_prompt_counted(body: dict[str, Any], prompt: int) -> None:
    assert ask(**body).prompt_tokens == prompt


@pytest.mark.parametrize(
    ("body", "completion"),
    [
        ({}, DEFAULT_COMPLETION),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9, "max_output_tokens": 8}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, 35),
        ({"max_tokens": 7, "prompt": ["a", "b"]}, 14),
        ({"max_tokens": 7, "prompt": [1, 2]}, 7),
        ({"max_tokens": 0}, 1),
        ({"max_tokens": -5}, DEFAULT_COMPLETION),
        ({"max_tokens": True}, DEFAULT_COMPLETION),
        ({"max_tokens": "9"}, DEFAULT_COMPLETION),
        ({"max_tokens": 10**30, "n": 10**30}, MAX_UNITS),
        ({"max_tokens": 3, "n": -1}, 3),
    ],
)
def test_the_completion_is_what_the_caller_allows(body: dict[str, Any], completion: int) -> None:
    assert ask(**body).completion_tokens == completion


def test_embeddings_write_nothing() -> None:
    costs = estimate(b'{"input":"abcd"}', path="/v1/embeddings")
    assert (costs.prompt_tokens, costs.completion_tokens, costs.tokens) == (4, 0, 4)


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_counts_by_its_bytes(body: bytes) -> None:
    costs = estimate(body)
    assert (costs.prompt_tokens, costs.completion_tokens) == (3 + -(-len(body) // 4), DEFAULT_COMPLETION)
    assert costs.request_bytes == len(body)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": "x" * 400, "parameters": {"max_new_tokens": 9}},
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["x" * 400]}]},
        {"instances": ["x" * 400]},
        {"contents": [{"parts": [{"text": "x" * 400}]}]},
        {"message": "x" * 400, "chat_history": []},
    ],
)
def test_a_prompt_under_a_name_that_is_not_known_is_not_free(body: dict[str, Any]) -> None:
    """Hugging Face, KServe, TensorFlow Serving, Gemini, Cohere: most tell no usage that would make up for it."""
    size = len(json.dumps(body))
    assert ask(**body).prompt_tokens == 3 + -(-size // 4)


def test_nor_is_one_beside_a_name_that_is_known() -> None:
    assert ask(prompt="", inputs="x" * 400).prompt_tokens == 3 + 100
    assert ask(messages=[], contents=[{"parts": [{"text": "x" * 400}]}]).prompt_tokens == 3 + 100


def test_parameters_are_no_prompt() -> None:
    parameters = {"model": "m", "user": "u" * 99, "stop": ["s"], "metadata": {"a": "b"}, "temperature": 0.5, "seed": 7}
    assert ask(prompt="abcd", stream=True, max_tokens=5, **parameters).prompt_tokens == 3 + 1
    assert ask(stream=True, max_tokens=5, **parameters).prompt_tokens == 3


@pytest.mark.parametrize("part", ["[]", "{}", '"a"'])
def test_what_has_too_many_parts_to_be_looked_at_counts_by_its_bytes(part: str) -> None:
    """Who sends it would hold up everybody else."""
    at_most, more = (
        f'{{"max_tokens":7,"prompt":[{",".join([part] * count)}]}}'.encode() for count in (MAX_PARTS - 4, MAX_PARTS)
    )
    assert estimate(at_most).completion_tokens == 7 * (MAX_PARTS - 4)
    assert estimate(more) == estimate(b"x" * len(more))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=64), st.dictionaries(names, json_values).map(lambda d: json.dumps(d).encode())))
@example(b'{"messages":[{"content":"\\ud800"}]}')
@example(b'{"max_tokens":1e400,"n":NaN}')
@example(json.dumps({"input": "x", "n": 2**64}).encode())
def test_no_body_raises_and_every_cost_can_be_charged(body: bytes) -> None:
    costs = estimate(body)
    assert costs == estimate(body)
    assert all(0 <= cost <= MAX_UNITS for cost in costs.as_mapping().values())
    assert costs.completion_tokens >= 1
    assert costs.prompt_tokens >= 3
    assert costs.tokens >= costs.prompt_tokens


def request(body: bytes, state: BodyState, **headers: str) -> Request:
    return Request("r", "POST", "h", "/v1/chat/completions", headers=headers, body=body, body_state=state)


def test_a_partial_body_costs_its_declared_length() -> None:
    for body, state in ((b"{", BodyState.PARTIAL), (b"", BodyState.ABSENT)):
        costs = costs_of(request(body, state, **{"content-length": "4000"}))
        assert isinstance(costs, Costs)
        assert (costs.request_bytes, costs.prompt_tokens, costs.completion_tokens) == (4000, 1003, DEFAULT_COMPLETION)


@pytest.mark.parametrize("declared", [None, "", "0", "1", "-5", "+9", "1e3", "٣٣٣", "9" * 13, "9" * 5000])
def test_a_partial_body_of_unsound_length_is_413(declared: str | None) -> None:
    headers = {} if declared is None else {"content-length": declared}
    refusal = costs_of(request(b"{{{{", BodyState.PARTIAL, **headers))
    assert isinstance(refusal, Deny)
    assert refusal.status == 413


@pytest.mark.parametrize("headers", [{"transfer-encoding": "chunked"}, {"transfer-encoding": "gzip, chunked"}])
def test_a_body_of_unknown_length_that_nobody_saw_is_413_and_not_free(headers: dict[str, str]) -> None:
    """An Envoy that does not send bodies to the check: a limit in bytes was charged nothing for what came in chunks."""
    refusal = costs_of(request(b"", BodyState.ABSENT, **headers))
    assert isinstance(refusal, Deny)
    assert refusal.status == 413
    costs = costs_of(request(b"", BodyState.ABSENT))
    assert isinstance(costs, Costs)
    assert costs.request_bytes == 0


def test_a_whole_body_is_believed_over_its_header() -> None:
    costs = costs_of(request(b"{}", BodyState.WHOLE, **{"content-length": "999"}))
    assert isinstance(costs, Costs)
    assert costs.request_bytes == 2
