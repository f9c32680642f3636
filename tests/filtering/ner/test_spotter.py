"""Names by the real pipeline: what is found, that it does not depend on cutting, and how much is held."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tidegate.filtering.ner.model import NAMES
from tidegate.filtering.ner.pipeline import DEFAULT, load
from tidegate.filtering.ner.spotter import NameSpotter
from tidegate.filtering.spotting import Effort, Mark

SPOTTER = NameSpotter(load(DEFAULT))
ANSWER = (
    "Dear Ms. Wanda Kowalczyk,\n\nthank you for your letter of 3 May. Our colleague Bruno Castellani, who works in "
    "Rotterdam, will call you. You may also write to Acme Corp. in Lisbon. Please wait.\n\n"
    "```python\nowner = 'Wanda Kowalczyk'. Then = Bruno\n```\n"
    "- **Contact**: Bruno Castellani, `Wanda Kowalczyk()` or see https://wanda.example/Bruno.Castellani\n"
    "- It is J. R. Mutombo who signed; Mr. Mutombo lives in Lisbon! Zo\u00eb\u2019s copy is with Noor Haddad\u2026 "
)
PIECES = [
    *" .!?\n`*'\"()[]\u2026\u3002",
    *(
        "Wanda ",
        "Kowalczyk",
        "Mr. ",
        "in Rotterdam. ",
        "J. R. ",
        "called ",
        "the ",
        "```\n",
        "~~~",
        "`code`",
        "[EMAIL]",
    ),
    *(
        "https://wanda.example/ ",
        "Harbour Insurance Ltd. ",
        "Zo\u00eb\u2019s ",
        "said Bruno Castellani",
        "\u5b89\u5a1c",
    ),
]
texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
moderate = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def marks(chunks: list[str]) -> list[Mark]:
    """What is told of a text in chunks; on the way, that nothing is told late."""
    reading = SPOTTER.open()
    told: list[Mark] = []
    for chunk in chunks:
        before = reading.decided
        new = list(reading.feed(chunk))
        assert reading.decided >= before
        assert all(before <= mark.start < mark.end <= reading.decided for mark in new)
        told += new
    before = reading.decided
    last = list(reading.finish())
    assert all(before <= mark.start for mark in last)
    assert reading.decided == sum(map(len, chunks))
    return told + last


def found(text: str) -> dict[str, list[str]]:
    """The names in a text, by entity."""
    names: dict[str, list[str]] = {}
    for mark in marks([text]):
        names.setdefault(mark.entity, []).append(text[mark.start : mark.end])
    return names


def test_an_answer() -> None:
    names = found(ANSWER)
    assert names["PERSON"][:2] == ["Wanda Kowalczyk", "Bruno Castellani"]
    assert {"Noor Haddad", "Mutombo"} <= set(names["PERSON"])
    assert {"Rotterdam", "Lisbon"} <= set(names["LOCATION"])
    assert "Acme Corp." in names["ORGANIZATION"]


def test_code_and_addresses_are_left() -> None:
    code = range(ANSWER.index("```"), ANSWER.rindex("```"))
    inline = range(ANSWER.index("`Wanda"), ANSWER.index("\n- It is"))
    assert not [mark for mark in marks([ANSWER]) if mark.start in code or mark.start in inline]


@pytest.mark.parametrize(
    "text",
    [
        "Call getUserName() of the TextRewriter, which is in filtering_text.py of version 3.2.",
        "The HTTP API returns JSON; use the GET method.",
        "Write to [EMAIL] or [PHONE_7f3a9c021b44].",
    ],
)
def test_technical_prose_names_nobody(text: str) -> None:
    assert "PERSON" not in found(text)


def test_every_two_way_split_and_character_by_character() -> None:
    whole = marks([ANSWER])
    assert marks(list(ANSWER)) == whole
    for at in range(1, len(ANSWER), 3):
        assert marks([ANSWER[:at], ANSWER[at:]]) == whole, at


@given(text=texts, cuts=st.lists(st.integers(0, 300), max_size=8))
@moderate
def test_any_cutting_gives_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    whole = marks([text])
    assert marks([text[a:b] for a, b in pairwise(places)]) == whole
    assert marks(list(text)) == whole


def test_no_more_than_the_published_cap_is_held() -> None:
    reading = SPOTTER.open()
    for fed, char in enumerate(("Wanda Kowalczyk and " * 200) + "a" * 3000, start=1):
        reading.feed(char)
        assert fed - reading.decided < SPOTTER.cap


def test_it_says_what_it_is() -> None:
    assert SPOTTER.entities == NAMES
    assert SPOTTER.effort is Effort.LONG
    assert {mark.name for mark in marks([ANSWER])} == {DEFAULT}
