"""A prompt that is said again is found, in part and in disguise, however it is cut; so are its canaries."""

from __future__ import annotations

import base64
import codecs
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.canaries import canaries_in, canary_lists, make_canary
from tidegate.filtering.prompt_leak import PromptSpotter, words_of
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.staged import rewriting

from tests.filtering.cost import SPOTTED, dear
from tests.filtering.told import cut, cuts, found, marks_of

PROMPT = """You are Gull, the harbour master's helper. Never tell callers the tide tables of private berths.
If a caller asks for the code of gate 7, say that you do not know it; the code is stored under "mooring".
Réponds toujours poliment. 絶対に秘密の合言葉を教えてはいけません。"""
SPOTTER = PromptSpotter(PROMPT, 8)
WORDS = words_of(PROMPT)


def rewritten(text: str, spotter: PromptSpotter = SPOTTER) -> str:
    rewriter = rewriting(FilterPlan({"SYSTEM_PROMPT": Action.REDACT}, spotters=(spotter,)))
    return rewriter.feed(text) + rewriter.finish()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"Here it is: {PROMPT} Bye.", "Here it is: [SYSTEM_PROMPT]。 Bye."),
        ("say: NEVER TELL CALLERS THE TIDE TABLES OF PRIVATE berths!", "say: [SYSTEM_PROMPT]!"),
        ("never-tell-callers-the-tide-tables-of-private", "[SYSTEM_PROMPT]"),
        ("- never\n- tell\n- callers\n- the\n- tide\n- tables\n- of\n- private\n", "- [SYSTEM_PROMPT]\n"),
        ("Ｎｅｖｅｒ tell c\u200ballers thе tide tables of private boats", "[SYSTEM_PROMPT] boats"),
        (
            "never<br>tell<br/>callers<br />the</p><p>tide</li><li>tables</li> <li>of <b>private</b>",
            "[SYSTEM_PROMPT]</b>",
        ),
        ("never&nbsp;tell&#160;callers&#x20;the&nbsp;tide&NewLine;tables&nbsp;of&nbsp;private", "[SYSTEM_PROMPT]"),
        ("never%20tell%20callers%0Athe%20tide%20tables%20of%20private", "[SYSTEM_PROMPT]"),
        (r"never\ntell\tcallers\u0020the\u00a0tide\ntables\nof\nprivate", "[SYSTEM_PROMPT]"),
        ("1. never\n2. tell\n3. callers\n4. the\n5. tide\n6. tables\n7. of\n8. private", "1. [SYSTEM_PROMPT]"),
        ("<b never tell callers the tide tables of private>", "<b [SYSTEM_PROMPT]>"),
        ("never tell callers the tide tables of", "never tell callers the tide tables of"),
        (
            "never tell callers the low tide tables of private berths",
            "never tell callers the low tide tables of private berths",
        ),
        ("秘密の合言葉を教え", "[SYSTEM_PROMPT]"),
        ("reponds toujours poliment 絶対に秘密", "[SYSTEM_PROMPT]"),
        ("a" * 40 + " You are Gull the harbour master s helper now", "a" * 40 + " [SYSTEM_PROMPT] now"),
        (
            "never tell callers the" + "." * 65 + "tide tables of private",
            "never tell callers the" + "." * 65 + "tide tables of private",
        ),
    ],
)
def test_a_passage_of_the_prompt_is_taken_out(text: str, safe: str) -> None:
    assert rewritten(text) == safe


def test_fewer_words_are_told_of_where_the_policy_says_so() -> None:
    text = "the tide tables of something"
    assert rewritten(text) == text
    assert rewritten(text, PromptSpotter(PROMPT, 4)) == "[SYSTEM_PROMPT] something"


def test_a_long_prompt_is_one_value_as_far_as_text_is_held() -> None:
    prompt = " ".join(f"word{number}" for number in range(800))
    assert rewritten(f"so: {prompt} end", PromptSpotter(prompt, 8)) == "so: [SYSTEM_PROMPT] end"


def _meaning(spotter: PromptSpotter, prompt: list[str], text: str) -> set[int]:
    """The words of a text that stand in a row which the prompt has, by their number; of texts without gaps."""
    said = words_of(text)
    rows = {tuple(prompt[at : at + spotter.words]) for at in range(len(prompt))}
    hits = [
        at
        for at in range(len(said))
        if tuple(said[at : at + spotter.words]) in rows and at + spotter.words <= len(said)
    ]
    return {number for at in hits for number in range(at, at + spotter.words)}


SHORT = PromptSpotter("a b c d a b e f ½ ﬁ g a a a a a b 秘密の合", 4)
PIECES = [
    *"abcdefg",
    "A",
    " ",
    " ",
    " ",
    "  ",
    "\n",
    ". ",
    "-",
    "_",
    "½",
    "ﬁ",
    "\u200b",
    "\u0301",
    "秘",
    "密",
    "の",
    "x" * 33,
    "." * 30,
    "\U0001f600",
    *("&nbsp;", "&", "nbsp;", "&#x20;", "%", "%20", "20", "<b>", "<", "/br", " />", "\\", "\\n", "\\u00", "7", "12345"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(text=TEXTS, places=cuts)
@settings(max_examples=600, deadline=None)
def test_any_cutting_finds_what_the_whole_has(text: str, places: list[int]) -> None:
    for spotter in (SHORT, SPOTTER):
        told = marks_of(spotter, [text])
        assert marks_of(spotter, cut(text, places)) == told
        assert marks_of(spotter, [*text]) == told


@given(parts=st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), max_size=30))
@settings(max_examples=300, deadline=None)
def test_what_is_marked_is_what_stands_in_a_row_of_the_prompt(parts: list[str]) -> None:
    text = " ".join(parts)
    marked = {at // 2 for mark in marks_of(SHORT, [text]) for at in range(mark.start, mark.end, 2)}
    assert marked == _meaning(SHORT, words_of("a b c d a b e f ½ ﬁ g a a a a a b"), text)


@given(start=st.integers(0, len(WORDS)), count=st.integers(0, 30), places=cuts)
@settings(max_examples=200, deadline=None)
def test_no_eight_words_of_the_prompt_leave(start: int, count: int, places: list[int]) -> None:
    text = f"well {', '.join(WORDS[start : start + count])} so"
    rewriter = rewriting(FilterPlan({"SYSTEM_PROMPT": Action.DROP}, spotters=(SPOTTER,)))
    left = "".join(map(rewriter.feed, cut(text, places))) + rewriter.finish()
    assert marks_of(SPOTTER, [left]) == []


@pytest.mark.parametrize("piece", ["a ", "never tell callers ", "秘", "a b c d ", ". ", "x", "½", "\u200ba ", "\ufdfa"])
def test_a_megabyte_of_the_worst_is_quick(piece: str) -> None:
    text = piece * (1_000_000 // len(piece.encode()))
    for spotter in (SHORT, SPOTTER):
        assert not dear(partial(in_pieces, spotter), text, SPOTTED)


def in_pieces(spotter: PromptSpotter, text: str) -> None:
    marks_of(spotter, cut(text, range(0, len(text), 60_000)))


CANARY = make_canary(b"made up for this test", "chat")


def said(text: str) -> list[str]:
    return [value for one in canary_lists([CANARY]) for value in found(one, text)]


@pytest.mark.parametrize(
    "form",
    [str, str.upper, lambda one: one[::-1], lambda one: codecs.encode(one, "rot13"), lambda one: one.encode().hex()],
)
def test_a_canary_is_found_backwards_and_in_its_encodings(form: object) -> None:
    told = form(CANARY)  # type: ignore[operator]
    assert said(f"xx{told}yy") == [told]


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "é"])
@pytest.mark.parametrize("after", ["", "z", "zz", "ÿÿ"])
def test_a_canary_is_found_in_base64_wherever_it_stands(before: str, after: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{before}{CANARY}{after}".encode()).decode()
        [part] = said(f"here: {encoded}.")
        assert len(part) >= len(encoded) - 12
        assert part in encoded


def test_a_canary_is_made_anew_or_kept_by_a_key() -> None:
    assert make_canary() != make_canary()
    assert make_canary(b"k", "chat") == make_canary(b"k", "chat") != make_canary(b"k", "other")
    assert canaries_in(f"a {CANARY}. {make_canary(b'k')}x") == [CANARY, make_canary(b"k")]
    assert canary_lists([]) == ()
