"""A text is cut into passages where the text says, however it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.passages import LONGEST, Passage, Passages

PIECES = ["Dr", "J", "Mr.", "a", " ", ". ", "! ", "?", '."\n', "\n", "。", "word" * 90, "e.g. "]
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join)


def passages(chunks: list[str]) -> list[Passage]:
    cutter = Passages()
    return [passage for chunk in chunks for passage in cutter.feed(chunk)] + cutter.finish()


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ('"Go." She went.\nNext', ['"Go." ', "She went.\n", "Next"]),
        ("Dr. Smith met J. R. Jones, e.g. there. Yes", ["Dr. Smith met J. R. Jones, e.g. there. ", "Yes"]),
        ("version 1.2.3 of a.b", ["version 1.2.3 of a.b"]),
        ("行く。来る！", ["行く。", "来る！"]),
        ("No end.\n\nNew", ["No end.\n", "\n", "New"]),
    ],
)
def test_a_passage_ends_with_its_sentence_or_line(text: str, want: list[str]) -> None:
    assert [passage.text for passage in passages([text])] == want


def test_a_passage_without_an_end_is_cut_at_a_space_before_it_is_too_long() -> None:
    whole, rest = passages(["word " * (LONGEST // 5) + "more"])
    assert (len(whole.text), rest.text) == (LONGEST, "more")
    assert [len(one.text) for one in passages(["x" * (2 * LONGEST + 1)])] == [LONGEST, LONGEST, 1]


@given(TEXTS, st.data())
def test_passages_do_not_depend_on_the_cutting(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    want = passages([text])
    assert passages(chunks) == want
    assert passages(list(text)) == want
    assert "".join(one.text for one in want) == text
    assert all(len(one.text) <= LONGEST for one in want)
    starts = [one.start for one in want]
    assert starts == [sum(len(one.text) for one in want[:number]) for number in range(len(want))]
