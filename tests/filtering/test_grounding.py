"""References that nothing vouches for: found in every form, known from any form, however the answer is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.allow_list import Allowed, AllowList
from tidegate.filtering.grounding import LONGEST, MOST, GroundingSpotter, grounded, known_of
from tidegate.filtering.references import UNGROUNDED
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import rewriting

from tests.filtering.cost import SPOTTED, dear
from tests.filtering.told import cut, cuts, marks_of

REQUEST = {
    "messages": [
        {"role": "system", "content": "Sources: [1] https://docs.example.com/a/b?x=1 [2] see doi:10.1000/xyz.(123)."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Ask Ada@Example.com. ISBN 978-3-16-148410-0, arXiv:2101.00001v2"},
                {"type": "text", "text": "As Müller, K. and O'Hara, B. (2020) and later Chen et al. (1999) show"},
            ],
        },
    ]
}
PLAN = FilterPlan(dict.fromkeys(UNGROUNDED, Action.REDACT), spotters=(GroundingSpotter(),))
KNOWN = known_of(json.dumps(REQUEST).encode())


def rewritten(text: str, plan: FilterPlan = PLAN) -> str:
    rewriter = rewriting(grounded(plan, KNOWN))
    return rewriter.feed(text) + rewriter.finish()


@pytest.mark.parametrize(
    "text",
    [
        "See https://docs.example.com/a/b?x=1 and http://www.docs.example.com:80/a/b?x=1#part.",
        "(https://DOCS.example.com/a/b?x=1), [a](https://docs.example.com/a/b?x=1)",
        "mail ada@example.com or <ADA@example.com>, mailto:ada@example.com",
        "10.1000/xyz.(123), DOI:10.1000/XYZ.(123), https://doi.org/10.1000/xyz.(123)",
        "arXiv:2101.00001, https://arxiv.org/abs/2101.00001v1, https://arxiv.org/pdf/2101.00001.pdf",
        "ISBN: 9783161484100, isbn-10: 3-16-148410-X",
        "(Müller & O'Hara, 2020), (see Muller et al., 2020a; O'Hara, 2020), (Chen et al., 1999)",
        "as said [1], [2] and [1, 2] or [1-2]",
        "a[3] = b[4]; (March 2020), (Version 2021), (in 2020), ratio 10.5/3, 10.1/x, a@b, user@localhost, x.y.z",
        "ISBN 978-3-16-148410-1 and ISBN 12 are none; [text](x) [3](https://docs.example.com/a/b?x=1) [4]: x",
    ],
)
def test_what_the_request_refers_to_is_known_in_every_form(text: str) -> None:
    assert rewritten(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("See https://docs.example.com/a/c.", "See [UNGROUNDED_URL]."),
        ("[a](https://docs.example.com/a_(b)) www.evil.example", "[a]([UNGROUNDED_URL]) [UNGROUNDED_URL]"),
        ("ask bob@example.com, or ada@example.org!", "ask [UNGROUNDED_EMAIL], or [UNGROUNDED_EMAIL]!"),
        ("(doi:10.1000/other).", "([UNGROUNDED_CITATION])."),
        ("https://doi.org/10.1000/other arXiv:2101.00002", "[UNGROUNDED_CITATION] [UNGROUNDED_CITATION]"),
        ("ISBN 0-306-40615-2.", "[UNGROUNDED_CITATION]."),
        ("(Müller, 2021; Chen et al., 1999)", "([UNGROUNDED_CITATION]; Chen et al., 1999)"),
        ("(see Doe and Roe, 2020)", "(see [UNGROUNDED_CITATION])"),
        ("so [3] and [1, 7]", "so [UNGROUNDED_MARKER] and [UNGROUNDED_MARKER]"),
        ("x" * (LONGEST + 5) + " https://evil.example", "x" * (LONGEST + 5) + " [UNGROUNDED_URL]"),
    ],
)
def test_what_nothing_vouches_for_is_found(text: str, safe: str) -> None:
    assert rewritten(text) == safe


def test_what_is_allowed_is_not_found() -> None:
    own = AllowList(["https://help.example.org/start"], ["example.net"])
    plan = FilterPlan(dict(PLAN.actions), spotters=PLAN.spotters, allowed=Allowed(platform=(own,)))
    text = "https://help.example.org/start https://a.example.net/x me@example.net https://example.org"
    assert rewritten(text, plan) == text.replace("https://example.org", "[UNGROUNDED_URL]")


def test_a_request_that_is_no_json_is_read_as_text_and_one_without_a_word_knows_nothing() -> None:
    assert known_of(b"see https://a.example/x \xff") == known_of(b'["https://a.example/x"]')
    assert known_of(b"") == known_of(b"{}") == frozenset()


def test_no_more_is_kept_of_a_request_than_is_said() -> None:
    assert len(known_of(" ".join(f"https://a.example/{number}" for number in range(MOST + 9)).encode())) == MOST


def test_a_plan_that_looks_for_none_stays_itself() -> None:
    plan = FilterPlan({"EMAIL": Action.REDACT})
    assert grounded(plan, KNOWN) is plan


PIECES = [
    "https://",
    "www.",
    "docs.example.com",
    "/a/b?x=1",
    "evil.example",
    "ada@",
    "example.com",
    "doi:",
    "10.1000/",
    "xyz",
]
PIECES += [
    "arXiv:",
    "2101.00001",
    "v2",
    "ISBN ",
    "isbn-13: ",
    "978-3-16-148410-0",
    "0306406152",
    "(",
    ")",
    "[",
    "]",
    "1",
    "2",
    "3",
]
PIECES += [
    "Chen",
    " et al., ",
    "1999",
    "2020",
    "Müller",
    ", ",
    "see ",
    "; ",
    " ",
    "\n",
    ".",
    ":",
    "-",
    "I",
    "IS",
    "x" * 700,
    "é",
    "=",
    "a",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=22).map("".join)


@given(text=TEXTS, places=cuts)
@settings(max_examples=800, deadline=None)
def test_any_cutting_finds_what_the_whole_has(text: str, places: list[int]) -> None:
    for spotter in (GroundingSpotter(), GroundingSpotter(KNOWN)):
        told = marks_of(spotter, [text])
        assert marks_of(spotter, cut(text, places)) == told
        assert marks_of(spotter, [*text]) == told


@given(text=TEXTS)
@settings(max_examples=300, deadline=None)
def test_whoever_asks_with_the_same_words_is_answered_with_all_of_them(text: str) -> None:
    assert not marks_of(GroundingSpotter(known_of(json.dumps([text]).encode())), [text])


@pytest.mark.parametrize("size", [2040, 2041, 5000])
@pytest.mark.parametrize("around", ["{}", "see ({}) and <{}>,", '"{}'])
def test_an_address_too_long_to_be_read_as_one_is_known_when_it_comes_back(size: int, around: str) -> None:
    text = around.replace("{}", "https://" + "x" * size)
    assert not marks_of(GroundingSpotter(known_of(json.dumps([text]).encode())), [text])
    assert marks_of(GroundingSpotter(known_of(b"[]")), [text])


HOSTILE = [
    "a ",
    "https://",
    "a@",
    "(A",
    "(see ",
    "[1,",
    "[1] ",
    "ISBN ",
    "ISBN978",
    "10.1000/",
    "a@a.",
    "x",
    "A et al., 1999 ",
    "1999 ",
    "arxiv:",
    "doi:",
    "a@b.c",
    "![a](http://x/",
    "www.a.b ",
    "https://a.b/c ",
    ". ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_the_worst_is_quick(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert not dear(lambda text: marks_of(GroundingSpotter(), [text]), text, SPOTTED)
    assert not dear(lambda text: known_of(text.encode()), text, SPOTTED)


def test_hosts_that_no_browser_and_no_list_agree_on_do_not_vouch_for_each_other() -> None:
    known = known_of(json.dumps({"prompt": "See https://me\xdfe.example/a"}).encode())
    rewriter = rewriting(grounded(PLAN, known))
    out = (
        rewriter.feed("https://me\xdfe.example/a https://bu\xdfe.example/a https://messe.example/a") + rewriter.finish()
    )

    assert out == "https://me\xdfe.example/a [UNGROUNDED_URL] [UNGROUNDED_URL]"
