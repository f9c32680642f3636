"""Patterns and spotters together: one text, one outcome, for every way of cutting it."""

from __future__ import annotations

from collections.abc import Mapping
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.errors import DetectorUnavailable, ProtocolViolation
from tidegate.filtering.formats import open_body
from tidegate.filtering.ruleset import Action, FilterPlan, Rule, Ruleset, merge
from tidegate.filtering.spotting import Effort, Mark
from tidegate.filtering.staged import rewriting
from tidegate.filtering.witness import Found

from tests.filtering.corpus import SCOPES
from tests.filtering.spots import Sentences, WordReading, Words

NAMES = Words("PERSON", ("Ada", "Bob", "bob@example.com"))
RUDE = Sentences("HATE", "rude")
BANNED = Words("BANNED", ("Ada", "rude", "4111111111111111"))
SPOTTERS = (NAMES, RUDE, BANNED)
WORDS = ["Ada", "Bob", "rude", "fine", "bob@example.com", "4111111111111111", "ghp_" + "a1B2" * 9, ".", "\n", "two."]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
ACTS = st.sampled_from(list(Action))
ENTITIES = ("PERSON", "HATE", "BANNED", "EMAIL", "CREDIT_CARD", "GITHUB_TOKEN")


def plan(**acts: Action) -> FilterPlan:
    return FilterPlan(acts, keys=SCOPES, spotters=SPOTTERS)


def run(plan: FilterPlan, chunks: list[str]) -> tuple[str, Mapping[tuple[str, str], int], str]:
    rewriter = rewriting(plan, key=b"k", where="here")
    out = "".join(map(rewriter.feed, chunks)) + rewriter.finish()
    assert rewriter.held == 0 or rewriter.blocked
    return out, dict(rewriter.findings), rewriter.blocked.entity if rewriter.blocked else ""


@pytest.mark.parametrize(
    ("acts", "text", "want"),
    [
        ({"PERSON": Action.REDACT}, "Hello Ada , Bob", "Hello [PERSON] , [PERSON]"),
        ({"PERSON": Action.MASK}, "Hello Ada", "Hello ***"),
        ({"PERSON": Action.DROP}, "Hello Ada !", "Hello  !"),
        ({"PERSON": Action.ANNOTATE}, "Hello Ada", "Hello Ada"),
        ({"HATE": Action.REDACT}, "One. You are rude. Two.", "One. [HATE]Two."),
        # Marks that overlap are one value, and the strictest act is done.
        ({"HATE": Action.REDACT, "PERSON": Action.MASK}, "Ada is rude. Bob not.", "[HATE]*** not."),
        ({"HATE": Action.MASK, "PERSON": Action.REDACT}, "Ada is rude. Bob not.", "[PERSON][PERSON] not."),
        ({"HATE": Action.ANNOTATE, "PERSON": Action.REDACT}, "Ada is rude.", "[PERSON] is rude."),
        # What the patterns took is no longer there to be found.
        ({"EMAIL": Action.DROP, "PERSON": Action.REDACT}, "To bob@example.com or Bob", "To  or [PERSON]"),
        ({"BANNED": Action.BLOCK}, "fine Ada more", "fine "),
        ({"CREDIT_CARD": Action.BLOCK, "PERSON": Action.REDACT}, "Ada 4111111111111111 Bob", "[PERSON] "),
    ],
)
def test_what_is_found_is_acted_on(acts: dict[str, Action], text: str, want: str) -> None:
    assert run(plan(**acts), [text])[0] == want
    assert run(plan(**acts), list(text))[0] == want


@given(TEXTS, st.fixed_dictionaries({}, optional=dict.fromkeys(ENTITIES, ACTS)), st.data())
def test_the_outcome_does_not_depend_on_the_cutting(text: str, acts: dict[str, Action], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = run(plan(**acts), [text])
    assert run(plan(**acts), chunks) == whole
    assert run(plan(**acts), list(text)) == whole


def test_what_stands_behind_a_block_was_not_found() -> None:
    acts = {"BANNED": Action.BLOCK, "EMAIL": Action.REDACT, "CREDIT_CARD": Action.ANNOTATE, "PERSON": Action.ANNOTATE}
    text = "a@b.example Bob rude bob@example.com 4111 1111 1111 1111 Bob "
    found = {("EMAIL", "redact"): 1, ("PERSON", "annotate"): 1, ("BANNED", "block"): 1}
    for chunks in ([text], list(text)):
        assert run(plan(**acts), chunks) == ("[EMAIL] Bob ", found, "BANNED")


def test_a_value_is_held_until_every_spotter_has_decided_and_no_longer() -> None:
    rewriter = rewriting(plan(PERSON=Action.REDACT, HATE=Action.ANNOTATE))
    assert rewriter.feed("fine A") == "fine "
    assert rewriter.held == 1
    assert rewriter.feed("da ok") == "[PERSON] "
    rewriter = rewriting(plan(PERSON=Action.ANNOTATE, HATE=Action.ANNOTATE))
    assert rewriter.feed("fine A") == "fine A"  # what changes nothing holds nothing
    assert rewriter.finish() == ""
    with pytest.raises(ProtocolViolation):
        rewriter.feed("x")


class Late(Words):
    def open(self) -> WordReading:
        return LateReading(self)


class LateReading(WordReading):
    """Tells of everything at the end."""

    def feed(self, text: str) -> list[Mark]:
        self._text += text
        return []


@pytest.mark.parametrize(("late", "soon"), [("ANGRY", "RUDE"), ("RUDE", "ANGRY")])
def test_which_of_two_spotters_tells_first_of_a_value_does_not_matter(late: str, soon: str) -> None:
    acts = {"ANGRY": Action.REDACT, "RUDE": Action.REDACT}
    asked = FilterPlan(acts, spotters=(Late(late, ("Ada",)), Words(soon, ("Ada",))))
    text = "fine Ada fine"
    assert run(asked, [text]) == run(asked, list(text))
    assert run(asked, list(text))[0] == "fine [ANGRY] fine"


def test_what_nobody_sees_is_cut_where_the_patterns_only_look() -> None:
    text = "You are " + "\u200b" * 5000 + "rude."
    looking = plan(HATE=Action.REDACT, EMAIL=Action.ANNOTATE)
    assert run(looking, [text])[0] == run(looking, list(text))[0] == "[HATE]"
    rewriter = rewriting(looking)
    rewriter.feed(text)
    assert rewriter.held < 40


def test_many_values_of_the_first_stage_take_no_longer_each() -> None:
    started = process_time()
    out, found, _ = run(plan(EMAIL=Action.REDACT, PERSON=Action.REDACT), ["a@b.example Ada " * 20_000])
    assert process_time() - started < 20
    assert out == "[EMAIL] [PERSON] " * 20_000
    assert found == {("EMAIL", "redact"): 20_000, ("PERSON", "redact"): 20_000}


class Watching:
    """A witness that brackets what is written."""

    waiting = False

    def __init__(self) -> None:
        self.told: list[tuple[str, int, str]] = []

    def found(self, found: Found) -> str:
        self.told.append((found.entity, found.start, found.value))
        return "" if found.instead is None else f"<{found.instead}>"

    def placed(self, path: tuple[str | int, ...], where: str) -> None:
        raise AssertionError("nothing waits")


def test_who_watches_is_told_of_both_stages_in_the_order_of_the_original_text() -> None:
    text = "Ada wrote to bob@example.com and Bob paid 4111 1111 1111 1111 to Ada today."
    acts = {"EMAIL": Action.REDACT, "PERSON": Action.DROP, "CREDIT_CARD": Action.ANNOTATE}
    for chunks in ([text], list(text)):
        watching = Watching()
        watched = FilterPlan(acts, spotters=SPOTTERS, witness=watching)
        assert run(watched, chunks)[0] == "<> wrote to <[EMAIL]> and <> paid 4111 1111 1111 1111 to <> today."
        assert sorted(watching.told, key=lambda told: told[1]) == [
            ("PERSON", 0, "Ada"),
            ("EMAIL", 13, "bob@example.com"),
            ("PERSON", 33, "Bob"),
            ("CREDIT_CARD", 42, "4111 1111 1111 1111"),
            ("PERSON", 65, "Ada"),
        ]


def test_a_plan_takes_the_spotters_whose_entities_it_names() -> None:
    rules = Ruleset("names", (Rule(frozenset({"PERSON"}), Action.REDACT),))
    assert merge([rules], spotters=SPOTTERS).spotters == (NAMES,)
    waits = Words("PERSON", (), Effort.WAIT)
    assert merge([rules], spotters=(NAMES, waits)).effort is Effort.WAIT
    assert merge([rules]).effort is Effort.QUICK


BODIES = {
    "application/json": ('{"a": "so Ada said"}', '{"a": "so [PERSON] said"}'),
    "text/event-stream": (
        'data: {"choices":[{"index":0,"delta":{"content":"so Ada said"}}]}\n\ndata: [DONE]\n\n',
        'data: {"choices":[{"index":0,"delta":{"content":"so [PERSON] "}}]}\n\n',
    ),
    "application/x-ndjson": ('{"response": "so Ada said"}\n', '{"response": "so [PERSON] "}\n{"response":"said"}\n'),
    "text/plain": ("so Ada said", "so [PERSON] said"),
    "text/csv": ("a,b\nso Ada said,1\n", "a,b\nso [PERSON] said,1\n"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_every_format_is_read_by_the_spotters(kind: str) -> None:
    text, want = BODIES[kind]
    body = open_body(kind, plan(PERSON=Action.REDACT), max_bytes=10_000)
    assert body is not None
    out = (body.feed(text.encode()) + body.finish()).decode()
    assert "Ada" not in out
    assert out.startswith(want)


class Broken(Words):
    def open(self) -> BrokenReading:
        return BrokenReading()


class BrokenReading:
    decided = 0

    def feed(self, text: str) -> list[Mark]:
        raise DetectorUnavailable("the service that reads it is away")

    def finish(self) -> list[Mark]:
        raise DetectorUnavailable("the service that reads it is away")


def test_a_text_that_a_spotter_cannot_read_is_not_let_out() -> None:
    rewriter = rewriting(FilterPlan({"PERSON": Action.REDACT}, spotters=(Broken("PERSON", ()),)))
    with pytest.raises(DetectorUnavailable):
        rewriter.feed("anything")
    with pytest.raises(DetectorUnavailable):
        rewriter.finish()


def test_in_shadow_what_cannot_be_read_passes_and_the_receipt_says_so() -> None:
    shadow = FilterPlan({"PERSON": Action.ANNOTATE}, spotters=(Broken("PERSON", ()),))
    body = open_body("text/plain", shadow, max_bytes=1000)
    assert body is not None
    assert body.feed(b"anything") + body.finish() == b"anything"
    assert body.coverage().failure == "detector_unavailable"
    assert body.coverage().scanned_bytes == 0
