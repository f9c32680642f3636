"""Names in bodies: the same for every way of cutting, in text, JSON and event streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.ner.open import open_names
from tidegate.filtering.pseudonyms import ScopeKeys
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.formats.bodies import body, cut, drive
from tests.filtering.formats.events import FIELDS, deltas, frame, payloads

PLAN = FilterPlan(
    {"PERSON": Action.PSEUDONYMIZE, "LOCATION": Action.REDACT, "EMAIL": Action.REDACT},
    keys=ScopeKeys(b"response", b"conversation", b"tenant"),
    spotters=(open_names(),),
)
TEXT = (
    "Your request was taken over by Wanda Kowalczyk, who lives in Rotterdam and reads wanda@example.com daily. You may "
    "ask Bruno Castellani.\n\n```\nWanda Kowalczyk\n```\n* **Zo\u00eb Haddad** met Wanda  Kowalczyk in "
    "Lisbon, said \u5b89."
)
NAMES = ("Kowalczyk,", "Castellani", "Haddad", "Rotterdam", "Lisbon", "wanda@example.com")
few = settings(max_examples=25, deadline=None)
places = st.lists(st.integers(0, 10_000), max_size=12)


def whole() -> str:
    out, failure = drive(body("text", PLAN), [TEXT.encode()])
    assert not failure
    return out.decode()


def test_what_leaves_holds_no_name_but_in_code() -> None:
    out = whole()
    assert not [name for name in NAMES if name in out]
    assert out.count("Kowalczyk") == 1
    assert "```\nWanda Kowalczyk\n```" in out
    assert out.count("[PERSON_") == 4
    assert "lives in [LOCATION] and reads [EMAIL] daily" in out


def test_a_person_has_one_pseudonym_however_the_name_is_set() -> None:
    stand_ins = [piece[:12] for piece in whole().split("[PERSON_")[1:]]
    assert stand_ins[0] == stand_ins[3]
    assert len(set(stand_ins)) == 3


@given(places=places)
@few
def test_text_is_the_same_however_its_bytes_are_cut(places: list[int]) -> None:
    assert drive(body("text", PLAN), cut(TEXT.encode(), places)) == (whole().encode(), "")


def test_text_is_the_same_byte_by_byte() -> None:
    assert drive(body("text", PLAN), [bytes([byte]) for byte in TEXT.encode()]) == (whole().encode(), "")


@given(places=places)
@few
def test_json_is_the_same_however_its_bytes_are_cut(places: list[int]) -> None:
    document = {"choices": [{"message": {"content": TEXT}}], "n": 1}
    out, failure = drive(body("json", PLAN), cut(json.dumps(document).encode(), places))
    assert not failure
    assert json.loads(out) == {"choices": [{"message": {"content": whole()}}], "n": 1}


@pytest.mark.parametrize("field", FIELDS)
@given(places=places, cuts=places)
@settings(max_examples=8, deadline=None)
def test_a_stream_says_what_the_whole_says_however_it_is_cut(field: str, places: list[int], cuts: list[int]) -> None:
    make, read = FIELDS[field]
    stream = b"".join(frame(make(piece)) for piece in deltas(TEXT, places)) + b"data: [DONE]\n\n"
    out, failure = drive(body("sse", PLAN), cut(stream, cuts))
    assert not failure
    events: list[Any] = [event for event in payloads(out) if isinstance(event, dict)]
    assert "".join(read(event) for event in events) == whole()


def test_a_stream_is_let_out_sentence_by_sentence() -> None:
    make, read = FIELDS["content"]
    rewriter = body("sse", PLAN)
    said = b""
    for piece in ["It is ", "Wanda Kowalczyk", " who came. And"]:
        said += rewriter.feed(frame(make(piece)))
    assert "".join(read(event) for event in payloads(said)).endswith("] who came. ")
