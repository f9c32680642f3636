"""Code, addresses and markup are no language; every character keeps its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.filtering.ner.blanking import Blanking, pack
from tidegate.filtering.passages import Passages


def blanked(text: str) -> str:
    passages, blanking = Passages(), Blanking()
    return "".join(blanking.take(passage.text) for passage in passages.feed(text) + passages.finish())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Call `Ada Byron()` now, Grace.", "Call now, Grace."),
        ("Twice ``Ada ` Byron`` and `Bo`.", "Twice and ."),
        ("One ` tick of Ada", "One ` tick of Ada"),
        ("See https://ada.example/Byron?x=Grace, Ada.", "See Ada."),
        ("See www.Ada.example Ada", "See Ada"),
        ("Write to Ada.Byron@example.com, Ada", "Write to , Ada"),
        ("In /srv/Ada/Byron.txt or C:\\Users\\Ada now", "In or now"),
        ("Write to [EMAIL] or [EMAIL_7f3a9c021b44] or [PHONE:9a0b], Ada", "Write to or or , Ada"),
        ("<b>Ada</b> and <a href='Grace'>Bo</a>", "Ada and Bo"),
        ("## **Ada** and __Bo__\n> Cy\n- [Di](x)\n", "Ada and Bo Cy Di (x)"),
        ("3 < 4 and Ada_Byron stays one word", "3 < 4 and Ada_Byron stays one word"),
        ("2 * 3, Ada", "2 3, Ada"),
        ("async def ada(session: Byron) -> Grace:\nBo", "Bo"),
        ("    function Ada (Byron, Grace) {", ""),
        ("They define Ada (Byron) so", "They define Ada (Byron) so"),
        ("Ada, Bo = row\nCy = 3", "= row Cy = 3"),
        ("Hello Ada, Bo = row", "Hello Ada, Bo = row"),
    ],
)
def test_what_is_no_language_becomes_spaces(text: str, left: str) -> None:
    assert " ".join(blanked(text).split()) == left


@pytest.mark.parametrize("mark", ["```", "````", "~~~"])
@pytest.mark.parametrize("info", ["", "python", " text. And more. Of it"])
def test_a_block_of_code_is_blank_to_its_end(mark: str, info: str) -> None:
    text = f"Ada said:\n\n{mark}{info}\nBo said. Cy said!\n\n    Di\n{mark}\nEd said."
    assert blanked(text).split() == ["Ada", "said:", "Ed", "said."]


def test_a_block_ends_with_a_mark_as_long_and_of_the_same_kind() -> None:
    text = "````\nBo\n```\nCy\n~~~~\nDi\n````` \nEd\n"
    assert blanked(text).split() == ["Ed"]


def test_a_block_in_a_list_and_one_without_an_end() -> None:
    assert blanked("1. Do this:\n   ```sh\n   Ada\n   ```\n   Bo\n- ```\n  Cy\n").split() == ["Do", "this:", "Bo"]


def test_ticks_that_close_in_their_line_open_no_block() -> None:
    assert blanked("```Ada``` is code\nBo\n").split() == ["is", "code", "Bo"]


@given(
    st.lists(st.sampled_from([*"`~*_#<>[]|/\\@:. \n", "```", "~~~", "Ada", "http://", "[EMAIL]", "- "])).map("".join)
)
def test_every_character_keeps_its_place(text: str) -> None:
    out = blanked(text)
    assert len(out) == len(text)
    assert all(now in (was, " ") for was, now in zip(text, out, strict=True))


@given(st.text(st.sampled_from("ab \n\t\u00a0"), max_size=30))
def test_packed_blanks_are_one_space_and_the_rest_is_where_it_was(text: str) -> None:
    packed = pack(text)
    assert packed.text.split() == text.split()
    assert "  " not in packed.text
    for at, char in enumerate(packed.text):
        start, end = packed.at(at, at + 1)
        assert end == start + 1
        assert text[start] == char or (char == " " and text[start].isspace())
