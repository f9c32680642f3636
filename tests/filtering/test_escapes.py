"""Escapes: a value written with them is found, whatever they are, and text that only speaks of them is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.detector import Detector
from tidegate.filtering.detectors import DETECTORS
from tidegate.filtering.escapes import MAX_WRITTEN
from tidegate.filtering.offsets import Offsets
from tidegate.filtering.rewriter import TextRewriter, rewrite
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.filtering.view import MAX_INVISIBLE, fold

from tests.filtering.corpus import KEY, PLANS, SINGLE, run, texts
from tests.filtering.disguises import WAYS, escaped

STEPS = (1, 2, 3, 5)
SAME = [
    "In HTML write &#64; or &commat; for @, and &amp;#64; to show it; in a URL %40, or %2540 inside of another URL.",
    "printf('%s %d %5.2f%%', name, 40, 12.5); a &= b && c; x % 40 == 0; grew by 5%, or 20%40 of it",
    r"\x40 and \u0040 are both @ in C:\users\u0041da, \100 in octal, \\u0040 in JSON; \frac{1}{2} & \nabla \\ \hline",
    "https://example.com/?q=a%20b&page=2&copy=3&lt=4#a&b%",
    "&unknown; &#0; &#x110000; &#xFFFFFFF; %00 %ff %C0%80 %E2%82 \\x00 \\ud800 \\udc00 \\u{110000} &&&%%%\\\\\\",
    "&ZeroWidthSpace; is written &#8203;, &#x200b; or \\u200b",
]


def _value(row: Detector, text: str) -> bytes:
    """The view of the part of a positive that is the value."""
    view = fold(text).view
    found = [(at, row.exact.match(view, at, at + row.cap)) for at in range(len(view))]
    hit = next(hit for at, match in found if match and (hit := row.hit(view, at, match)))
    return view[hit.start : hit.end]


@pytest.mark.parametrize("row", DETECTORS, ids=[row.name for row in DETECTORS])
def test_a_value_is_found_however_its_characters_are_written(row: Detector) -> None:
    for turn, value in enumerate(row.positives):
        read = _value(row, value)
        for number, way in enumerate(WAYS, turn):
            text = f"So it is {escaped(value, [way], STEPS[number % len(STEPS)])}, I say."
            out = rewrite(SINGLE[row.entity], text)
            assert f"[{row.entity}]" in out, text
            assert read not in fold(out).view


@given(
    row=st.sampled_from(DETECTORS),
    kinds=st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=5),
    step=st.sampled_from(STEPS),
    data=st.data(),
)
@settings(max_examples=400, deadline=None)
def test_kinds_of_escapes_may_be_mixed(row: Detector, kinds: list[str], step: int, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(row.positives))
    text = f"So it is {escaped(value, kinds, step)}, I say."
    whole = run(SINGLE[row.entity], [text])
    assert _value(row, value) not in fold(whole[0]).view
    assert run(SINGLE[row.entity], list(text)) == whole
    at = data.draw(st.integers(0, len(text)))
    assert run(SINGLE[row.entity], [text[:at], text[at:]]) == whole


@pytest.mark.parametrize("text", SAME)
def test_text_that_speaks_of_escapes_stays(text: str) -> None:
    assert rewrite(PLANS[Action.REDACT], text) == text
    assert run(PLANS[Action.REDACT], list(text))[0] == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("mail bob%40example.com%20now", "mail [EMAIL]%20now"),
        ("bob&#64;example&#46;com&nbsp;", "[EMAIL]&nbsp;"),
        ("bob&#64example.com", "[EMAIL]"),
        ("bob&commat;example&period;com", "[EMAIL]"),
        ("?to=bob%2540example.com&cc=x", "?to=[EMAIL]&cc=x"),
        ("bob&amp;#64;example.com", "[EMAIL]"),
        ("%26%2364%3B is an at: bob%26%2364%3Bexample.com", "%26%2364%3B is an at: [EMAIL]"),
        (r"bob\x40example.com, bob\100example.com", "[EMAIL], [EMAIL]"),
        (r'{"mail":"bob\\u0040example.com"}', '{"mail":"[EMAIL]"}'),
        (r"bob\ud835\udc1a@example.com", "[EMAIL]"),
        ("bob@exam&shy;ple.com&shy;", "[EMAIL]&shy;"),
        ("bob%E2%80%8B@example.com", "[EMAIL]"),
        ("bob%EF%BC%A0example.com", "[EMAIL]"),
        ("4111%201111%201111%201111", "[CREDIT_CARD]"),
        ("card%3A4111-1111-1111-1111%0A", "card%3A[CREDIT_CARD]%0A"),
        ("bob%\u200b40example.com", "[EMAIL]"),
        ("bob\uff05\uff14\uff10example.com", "[EMAIL]"),
        ("call%20415-555-0132", "call%20[PHONE]"),
        ("bob%20@example.com", "[EMAIL]"),  # as it is written, it is an address
        ("n&eacute; le 31.12.1980", "n&eacute; le [DATE_OF_BIRTH]"),
    ],
)
def test_the_whole_of_an_escape_goes_with_its_value(text: str, want: str) -> None:
    for chunks in ([text], list(text)):
        assert run(PLANS[Action.REDACT], chunks)[0] == want


def test_a_value_is_compared_as_it_reads() -> None:
    for action in (Action.HASH, Action.MASK, Action.PSEUDONYMIZE):
        plan = FilterPlan({"EMAIL": action}, keys=PLANS[action].keys)
        for value in ("bob@example.com", "j\u00fcrgen@example.com"):
            want = rewrite(plan, value, key=KEY)
            for way in WAYS:
                assert rewrite(plan, escaped(value, [way], 1), key=KEY) == want, way


@given(text=texts, more=texts)
def test_a_view_grows_and_is_not_decided_twice(text: str, more: str) -> None:
    part, whole = fold(text, final=False), fold(text + more)
    assert whole.view.startswith(part.view)
    assert len(part.rest) < MAX_WRITTEN
    after = fold(part.rest + more, part.invisible)
    assert part.text + after.text == whole.text
    assert part.view + after.view == whole.view
    offsets, behind, all_of_it = Offsets(part.gaps), Offsets(after.gaps), Offsets(whole.gaps)
    for at in range(len(part.view)):
        assert (offsets.start(at), offsets.end(at + 1)) == (all_of_it.start(at), all_of_it.end(at + 1))
    for at in range(len(after.view)):
        assert behind.start(at) + len(part.text) == all_of_it.start(at + len(part.view))


@given(text=texts)
def test_offsets_cover_the_text_in_order(text: str) -> None:
    folded = fold(text)
    offsets = Offsets(folded.gaps)
    last = 0
    for at in range(len(folded.view)):
        start, end = offsets.start(at), offsets.end(at + 1)
        assert last <= start < end <= len(folded.text)
        assert offsets.after(start) == at
        last = end


@pytest.mark.parametrize("unseen", ["&#8203;", "&shy;", "%E2%80%8B", r"\u200b", "\u200b&zwj;"])
def test_a_run_of_invisible_escapes_is_cut_so_that_it_can_neither_hide_nor_hoard(unseen: str) -> None:
    text = f"4111{unseen * 500}1111 1111 1111"
    assert run(PLANS[Action.REDACT], [text])[0] == "[CREDIT_CARD]"
    rewriter, most = TextRewriter(PLANS[Action.REDACT]), 0
    out = []
    for char in text:
        out.append(rewriter.feed(char))
        most = max(most, rewriter.held)
    assert "".join([*out, rewriter.finish()]) == "[CREDIT_CARD]"
    assert most < 40 + MAX_INVISIBLE * len(unseen) + MAX_WRITTEN


@pytest.mark.parametrize("start", ["&", "&#", "&#1", "&#x", "&a", "%", "%f0", "\\", "\\u", "\\" * 7 + "u004"])
def test_what_may_become_an_escape_waits_and_no_longer_than_it_may(start: str) -> None:
    rewriter = TextRewriter(FilterPlan({"US_SSN": Action.REDACT}))
    assert rewriter.feed(f"so {start}") == "so "
    assert rewriter.held == len(start)
    assert rewriter.feed("!") == f"{start}!"
    rewriter.feed(start)
    assert rewriter.finish() == start
    assert rewriter.held == 0
