"""The promise: for every text, plan and way of cutting, the output is the same, and holding is bounded."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.errors import ProtocolViolation
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS, ENTITIES
from tidegate.filtering.encodings import context
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.scanner import scanner_for
from tidegate.filtering.view import MAX_INVISIBLE, fold

from tests.filtering.corpus import KEY, LONG, MIXED, PLANS, PROSE, SINGLE, TEXTS, cut_texts, meaning, run, texts

EVERY_PLAN = [*PLANS.values(), MIXED]
PARTS = 8
moderate = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("plan", EVERY_PLAN, ids=[*(action.label for action in Action), "mixed"])
@given(cut=cut_texts())
@moderate
def test_any_cutting_gives_what_the_whole_gives(plan: FilterPlan, cut: tuple[str, list[str]]) -> None:
    text, chunks = cut
    whole = run(plan, [text])
    assert run(plan, chunks) == whole
    assert run(plan, list(text)) == whole


@pytest.mark.parametrize("plan", EVERY_PLAN, ids=[*(action.label for action in Action), "mixed"])
@given(text=texts)
@moderate
def test_a_text_at_once_is_a_feed_and_a_finish(plan: FilterPlan, text: str) -> None:
    at_once, fed = TextRewriter(plan, key=KEY), TextRewriter(plan, key=KEY)
    assert at_once.whole(text) == fed.feed(text) + fed.finish()
    assert (at_once.findings, at_once.blocked) == (fed.findings, fed.blocked)
    assert (at_once.scanned, at_once.held) == (len(text), 0)
    with pytest.raises(ProtocolViolation):
        at_once.whole(text)


@given(cut=cut_texts(), entity=st.sampled_from(sorted(ENTITIES)))
@moderate
def test_any_cutting_gives_an_entity_by_itself_what_the_whole_gives(entity: str, cut: tuple[str, list[str]]) -> None:
    text, chunks = cut
    whole = run(SINGLE[entity], [text])
    assert run(SINGLE[entity], chunks) == whole
    assert whole[0] == meaning(SINGLE[entity], text)


@given(text=texts, entities=st.sets(st.sampled_from(sorted(ENTITIES)), min_size=1), action=st.sampled_from(Action))
@moderate
def test_the_machine_does_what_filtering_means(text: str, entities: set[str], action: Action) -> None:
    plan = FilterPlan(dict.fromkeys(entities, action))
    assert run(plan, [text])[0] == meaning(plan, text)


@pytest.mark.parametrize("plan", [PLANS[Action.HASH], PLANS[Action.BLOCK]], ids=["hash", "block"])
@pytest.mark.parametrize("part", range(PARTS))
def test_every_two_way_split(plan: FilterPlan, part: int) -> None:
    for text in TEXTS[part::PARTS]:
        whole = run(plan, [text])
        for at in range(1, len(text)):
            assert run(plan, [text[:at], text[at:]]) == whole, (text, at)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("text", LONG)
def test_a_value_longer_than_its_cap_is_cut_alike(text: str, action: Action) -> None:
    whole = run(PLANS[action], [text])
    for size in (1, 7, 100, 511, 512, 513, 4000):
        assert run(PLANS[action], [text[at : at + size] for at in range(0, len(text), size)]) == whole
    assert whole[0] == meaning(PLANS[action], text)


@pytest.mark.parametrize("action", [Action.MASK, Action.HASH, Action.REDACT, Action.DROP])
@pytest.mark.parametrize("token", ["ghp_" + "a1B2" * 200, "eyJhbGciOiJIUzI1NiJ9.eyJ" + "YWJj" * 400])
def test_past_the_cap_every_action_gives_the_constant(token: str, action: Action) -> None:
    out, findings, _ = run(PLANS[action], [f"a {token} b"])
    assert out in {"a [GITHUB_TOKEN] b", "a [JWT] b"}
    assert sum(findings.values()) == 1


@given(text=texts, more=texts, row=st.sampled_from(DETECTORS))
@moderate
def test_where_nothing_waits_more_text_changes_nothing(text: str, more: str, row: Detector) -> None:
    view, longer = fold(text, final=False).view, fold(text + more).view
    for at in range(len(view)):
        if not row.waits(view, at):
            answers = []
            for seen in (view, longer):
                found = row.exact.match(seen, at, at + row.cap)
                answers.append(row.hit(seen, at, found) if found else None)
            assert answers[0] == answers[1]


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_row_by_itself_gives_the_same_however_its_values_are_cut(row: Detector) -> None:
    plan = SINGLE[row.entity]
    for value in row.positives:
        for text in (f"So it is {value}, I say.", f"({value}) and {value}\n"):
            whole = run(plan, [text])
            assert whole[0] == meaning(plan, text)
            assert run(plan, list(text)) == whole
            for at in range(1, len(text)):
                assert run(plan, [text[:at], text[at:]]) == whole, (text, at)


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_row_by_itself_leaves_its_near_misses_however_they_are_cut(row: Detector) -> None:
    plan = SINGLE[row.entity]
    for value in row.negatives:
        text = f"So it is {value}, I say."
        assert run(plan, list(text)) == run(plan, [text])
        assert run(plan, [text])[0] == meaning(plan, text)


@pytest.mark.parametrize("entity", sorted(ENTITIES))
def test_hold_back_never_passes_the_published_cap(entity: str) -> None:
    scanner = scanner_for(SINGLE[entity])
    assert scanner is not None
    cap = max(row.cap for row in DETECTORS if row.entity == entity)
    assert scanner.cap == cap
    own = [text for row in DETECTORS if row.entity == entity for text in row.positives + row.negatives]
    for text in [*own, *(text * (cap // len(text) + 2) for text in own), " ".join(TEXTS[:: len(TEXTS) // 97]), PROSE]:
        rewriter = TextRewriter(SINGLE[entity], key=KEY)
        for char in text[: 4 * cap]:
            rewriter.feed(char)
            assert rewriter.held <= cap * (1 + MAX_INVISIBLE)
            assert rewriter.held < context(cap) or not text.isascii()


def test_prose_is_hardly_held() -> None:
    rewriter = TextRewriter(PLANS[Action.REDACT])
    held = []
    for char in PROSE * 5:
        rewriter.feed(char)
        held.append(rewriter.held)
    assert max(held) <= 64
    assert sum(held) / len(held) < 8


def test_what_stands_before_a_block_leaves_and_nothing_after() -> None:
    for chunks in (["ask bob@example.com now"], list("ask bob@example.com now"), ["ask bob@exam", "ple.com now"]):
        rewriter = TextRewriter(PLANS[Action.BLOCK], where="$.x")
        assert "".join(map(rewriter.feed, chunks)) + rewriter.finish() == "ask "
        assert rewriter.blocked is not None
        assert (rewriter.blocked.entity, rewriter.blocked.action, rewriter.blocked.where) == ("EMAIL", "block", "$.x")
        assert rewriter.held == 0


@pytest.mark.parametrize("action", [Action.MASK, Action.HASH, Action.REDACT, Action.DROP])
def test_no_value_comes_out(action: Action) -> None:
    for row in DETECTORS:
        for value in row.positives:
            out = rewrite(PLANS[action], f"It is {value} and {value}; ({value})", key=KEY)
            assert value not in out
