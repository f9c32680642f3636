"""Fields that a policy chooses: they are read, the others keep their bytes, and the receipt says which those were."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.formats import BodyRewriter
from tidegate.filtering.formats.json_text import STRING, walk
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.selection import Selection, parse_pointer, selection_of

from tests.filtering.formats.bodies import body, cut, drive
from tests.filtering.formats.texts import PLACES, VALUES, write

SECRET = "bob@example.com"
ACTIONS = {"EMAIL": Action.REDACT, "CREDIT_CARD": Action.REDACT}


def opened(kind: str, only: list[str] = [], skip: list[str] = [], keys: bool = True) -> BodyRewriter:  # noqa: B006
    return body(kind, FilterPlan(ACTIONS, selection_of(only, skip, keys=keys)))


@pytest.mark.parametrize(
    ("choice", "read", "unread"),
    [
        ({"only": ["/a"]}, ["a"], {"policy": 5}),
        ({"only": ["/a", "/c/*/d"]}, ["a", "c0d", "c1d"], {"policy": 3}),
        ({"only": ["/c/0"]}, ["c0d", "c0e"], {"policy": 4}),
        ({"skip": ["/c"]}, ["a", "b", "*"], {"policy/c": 3}),
        ({"skip": ["/c/*/d", "/x~1y"]}, ["a", "c0e", "*"], {"policy/c/*/d": 2, "policy/x~1y": 1}),
        ({"only": ["/c"], "skip": ["/c/1"]}, ["c0d", "c0e"], {"policy": 3, "policy/c/1": 1}),
        ({"skip": ["/*"]}, ["a", "b", "c0d", "c0e", "c1d"], {"policy/*": 1}),
        ({"only": ["/nowhere"]}, [], {"policy": 6}),
    ],
)
def test_pointers_choose_what_is_read(choice: dict[str, Any], read: list[str], unread: dict[str, int]) -> None:
    def document(of: Any) -> dict[str, Any]:
        items = [{"d": of("c0d"), "e": of("c0e")}, {"d": of("c1d")}]
        return {"a": of("a"), "x/y": of("b"), "c": items, "*": of("*")}

    data = json.dumps(document(lambda _: SECRET)).encode()
    rewriter = opened("json", **choice)
    out, failure = drive(rewriter, [data])
    assert not failure
    assert json.loads(out) == document(lambda name: "[EMAIL]" if name in read else SECRET)
    receipt = rewriter.coverage()
    assert dict(receipt.skipped) == unread
    assert (receipt.scanned_fields, receipt.skipped_fields) == (len(read), 6 - len(read))
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)


def test_keys_are_left_alone_on_demand() -> None:
    data = json.dumps({SECRET: {SECRET: SECRET}}).encode()
    rewriter = opened("json", keys=False)
    assert drive(rewriter, [data]) == (json.dumps({SECRET: {SECRET: "[EMAIL]"}}).encode(), "")
    assert dict(rewriter.coverage().skipped) == {"policy_keys": 2}
    assert rewriter.coverage().skipped_fields == 0


def test_the_header_names_what_was_skipped_by_policy() -> None:
    rewriter = opened("json", only=["/a", "/c"], skip=["/c/*/d"], keys=False)
    drive(rewriter, [b'{"a":"","b":"","c":[{"d":""}]}'])
    assert rewriter.coverage().header() == (
        "format=json; scanned=2; skipped=28; fields=1; unread=policy:1,policy/c/*/d:1,policy_keys:4"
    )


def test_numbers_that_are_not_chosen_stay() -> None:
    data = b'{"a": [4111111111111111, 1.0], "b": 4111111111111111}'
    rewriter = opened("json", skip=["/b"])
    assert drive(rewriter, [data]) == (b'{"a": ["[CREDIT_CARD]", 1.0], "b": 4111111111111111}', "")
    assert dict(rewriter.coverage().skipped) == {"number": 1, "policy/b": 1}


@pytest.mark.parametrize(
    ("choice", "stays"),
    [({"only": ["/choices/*/text"]}, False), ({"keys": False}, False), ({"skip": ["/choices/*/logprobs"]}, True)],
)
@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_logprobs_repeat_what_is_chosen_and_stay_only_by_name(kind: str, choice: dict[str, Any], stays: bool) -> None:
    data = json.dumps({"choices": [{"index": 0, "text": "x ", "logprobs": {"tokens": [SECRET]}}]}).encode() + b"\n"
    out, failure = drive(opened(kind, **choice), [data])
    assert not failure
    assert (SECRET.encode() in out) is stays


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_a_key_that_stands_twice_has_no_place(kind: str) -> None:
    data = f'{{"a":"{SECRET}","a":"x"}}\n'.encode()
    assert drive(opened(kind, skip=["/b"]), [data]) == (b"", "malformed")


def test_pieces_of_a_field_that_is_not_chosen_pass_and_those_of_another_are_one_text() -> None:
    def event(content: str, reasoning: str) -> bytes:
        delta = {"content": content, "reasoning": reasoning}
        return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode()

    rewriter = opened("sse", skip=["/choices/*/delta/reasoning"])
    out, failure = drive(rewriter, [event("bob@", "bob@"), event("example.com ", "example.com "), b"data: [DONE]\n\n"])
    assert not failure
    assert b'"content": "[EMAIL] "' in out
    assert b'"reasoning": "bob@"' in out
    assert rewriter.coverage().skipped["policy/choices/*/delta/reasoning"] == 2


POINTERS = st.lists(
    st.sampled_from(["/a", "/a/*", "/a/0", "/b/a", "/b/*/a", "/*", "/~1", "/0", "/ask ", "/~0", "/b", "/a/b/c"]),
    max_size=3,
    unique=True,
)
DOCUMENTS = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "/", "~"]), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(0, 1 << 16), POINTERS, POINTERS, st.booleans(), PLACES)
def test_what_is_chosen_is_rewritten_as_ever_and_all_else_keeps_its_bytes(
    value: Any, seed: int, only: list[str], skip: list[str], keys: bool, places: list[int]
) -> None:
    text = write(value, seed)
    rewriter = opened("json", only, skip, keys)
    out, failure = drive(rewriter, cut(text.encode(), places))
    everything, _ = drive(body("json", FilterPlan(ACTIONS)), [text.encode()])
    assert not failure
    chosen = Selection(tuple(map(parse_pointer, only)), tuple(map(parse_pointer, skip)), keys)
    got, full = out.decode(), everything.decode()
    if chosen == Selection():
        assert got == full
        return
    rows = zip(walk(text), _tokens(got), _tokens(full), strict=True)
    for leaf, mine, all_read in rows:
        skipped = chosen.skips(leaf.path, key=leaf.kind == "key")
        assert mine == (text[leaf.start : leaf.end] if skipped else all_read)
    receipt = rewriter.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(text.encode())


def _tokens(text: str) -> list[str]:
    """The tokens of a document's leaves; of two keys that were rewritten into one both."""
    return re.findall(rf"{STRING}|-?[0-9][0-9.eE+-]*", text)


@settings(deadline=None)
@given(st.lists(DOCUMENTS, max_size=4), st.integers(0, 1 << 16), POINTERS, POINTERS, PLACES)
def test_every_cutting_of_lines_gives_the_same(
    values: list[Any], seed: int, only: list[str], skip: list[str], places: list[int]
) -> None:
    data = "".join(write(value, seed).replace("\n", " ") + "\n" for value in values).encode()
    whole, parts = opened("ndjson", only, skip), opened("ndjson", only, skip)
    assert drive(parts, cut(data, places)) == drive(whole, [data])
    receipt = whole.coverage()
    assert parts.coverage() == receipt
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)


@pytest.mark.parametrize("text", ["", "a", "a/b", "/~", "/a~2", "#/a"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pointer"):
        parse_pointer(text)


def test_nothing_chosen_is_everything() -> None:
    assert selection_of([], [], keys=True) is None
