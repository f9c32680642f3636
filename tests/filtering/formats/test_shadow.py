"""Rules that only annotate: what they find is what they would have changed, and not a byte of a body is touched."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.formats import open_body
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge

from tests.filtering.corpus import cut_texts, run
from tests.filtering.formats.bodies import PLAN, TYPES, body, cut, drive
from tests.filtering.formats.texts import PLACES, TEXTS, VALUES, write

SHADOW = PLAN.in_shadow()
HIDING = "see postgres://admin:hunter2@db.example.com:5432/app or bob@example.com"


def bodies(kind: str, value: Any, text: str, seed: int) -> bytes:
    """A body of a format, with escapes, blanks, line ends and fields in every way in which they may be written."""
    document = write(value, seed)
    end = ["\n", "\r\n"][seed % 2]
    line = write({"choices": [{"delta": {"content": text}}]}, seed).replace("\n", " ")
    events = ["\ufeff: x", "id: 7", f"event: e{end}data:{line}"]
    match kind:
        case "sse":
            parts = [*events, f"data: {json.dumps({'logprobs': [text]})}", "data: [DONE]"]
            return (end * 2).join([*parts, ""]).encode("utf-8", "surrogatepass")
        case "text":
            return (text + end + document).encode("utf-8", "surrogatepass")
        case "csv":
            return f'a,"{text.replace(chr(34), chr(34) * 2)}"{end}'.encode("utf-8", "surrogatepass")
    return (document + end).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(value=VALUES, text=TEXTS, seed=st.integers(0, 1 << 16), places=PLACES)
def test_every_byte_leaves_when_it_comes_and_what_is_found_is_what_would_be_changed(
    kind: str, value: Any, text: str, seed: int, places: list[int]
) -> None:
    data = bodies(kind, value, text, seed)
    shadow, enforced = body(kind, SHADOW), body(kind)
    for piece in cut(data, places):
        assert shadow.feed(piece) == piece
    assert shadow.finish() == b""
    _, failure = drive(enforced, cut(data, places))
    seen, changed = shadow.coverage(), enforced.coverage()
    assert seen.failure == failure == changed.failure
    assert seen.scanned_bytes + seen.skipped_bytes == len(data)
    assert {entity: n for (entity, _), n in seen.findings.items()} == {
        entity: n for (entity, _), n in changed.findings.items()
    }
    assert {act for _, act in seen.findings} <= {"annotate"}


@pytest.mark.parametrize("kind", sorted(TYPES))
@given(data=st.binary(max_size=60) | st.text('{}[]":,\\u0d dat\r\n\xff', max_size=40).map(str.encode), places=PLACES)
def test_what_cannot_be_read_passes_too(kind: str, data: bytes, places: list[int]) -> None:
    shadow = body(kind, SHADOW)
    assert drive(shadow, cut(data, places)) == (data, "")
    receipt = shadow.coverage()
    assert receipt.scanned_bytes + receipt.skipped_bytes == len(data)
    assert receipt.failure == drive(body(kind), cut(data, places))[1]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_what_is_too_large_passes_too(kind: str) -> None:
    data = b'data: {"a": "' + b"x" * 3000 + b'"}'
    shadow = body(kind, FilterPlan({"PRIVATE_KEY": Action.ANNOTATE}), max_bytes=100)
    assert drive(shadow, [data[:1500], data[1500:]]) == (data, "")


def test_after_the_end_nothing_leaves() -> None:
    shadow = body("text", SHADOW)
    shadow.finish()
    assert (shadow.feed(b"x"), shadow.finish()) == (b"", b"")
    assert body("sse", SHADOW).abort("stop", "It stops.").startswith(b"data: ")


def test_a_merge_keeps_the_strictest_act() -> None:
    sets = [Ruleset(act.label, (Rule(frozenset({"EMAIL"}), act),)) for act in Action]
    assert sets[0].name == "annotate"
    for weaker, stricter in pairwise(sets):
        for pair in ([weaker, stricter], [stricter, weaker]):
            assert merge(pair).actions["EMAIL"].label == stricter.name


def test_a_value_that_is_let_stand_hides_none_that_must_not_leave() -> None:
    """Or an endpoint could take an e-mail address out of the floor's hands by annotating what it stands in."""
    plan = FilterPlan({"URL_CREDENTIALS": Action.ANNOTATE, "EMAIL": Action.REDACT})
    both = FilterPlan({"URL_CREDENTIALS": Action.MASK, "EMAIL": Action.REDACT})
    assert "hunter2" not in rewrite(both, HIDING)
    rewriter = TextRewriter(plan)
    out = rewriter.feed(HIDING) + rewriter.finish()
    assert out == rewrite(FilterPlan({"EMAIL": Action.REDACT}), HIDING)
    assert "hunter2" not in out
    assert rewriter.findings == {("EMAIL", "redact"): 2, ("URL_CREDENTIALS", "annotate"): 1}


@given(cut_texts(), st.sampled_from([Action.REDACT, Action.BLOCK]))
def test_what_is_annotated_does_not_depend_on_the_cutting_even_before_a_block(
    text: tuple[str, list[str]], act: Action
) -> None:
    plan = FilterPlan(
        {"EMAIL": act, "CREDIT_CARD": Action.ANNOTATE, "PHONE": Action.ANNOTATE, "URL_CREDENTIALS": Action.ANNOTATE}
    )
    whole, chunks = text
    want = run(plan, [whole])
    assert run(plan, chunks) == want
    assert run(plan, list(whole)) == want
    assert want[0] == run(FilterPlan({"EMAIL": act}), [whole])[0]


def test_beside_rules_that_change_a_body_annotations_change_nothing_more() -> None:
    plan = FilterPlan({"EMAIL": Action.REDACT, "CREDIT_CARD": Action.ANNOTATE})
    data = json.dumps({"n": [4111111111111111], "t": "bob@example.com pays by 4111 1111 1111 1111"}).encode()
    rewriter = open_body("application/json", plan, max_bytes=1 << 16)
    assert rewriter is not None
    out, _ = drive(rewriter, [data])
    assert out == data.replace(b"bob@example.com", b"[EMAIL]")
    assert rewriter.coverage().findings == {("EMAIL", "redact"): 1, ("CREDIT_CARD", "annotate"): 2}
