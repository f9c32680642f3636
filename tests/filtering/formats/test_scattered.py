"""Whatever holds a value, wherever and however written, no reading of what leaves has it."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.filtering.formats.bodies import body, drive
from tests.filtering.formats.scattered import VALUES, Scattered, scattered


@given(st.integers(0, 1 << 40))
@settings(max_examples=150, deadline=None)
def test_no_reading_of_what_leaves_has_a_value_that_was_in_it(seed: int) -> None:
    assert scattered(Random(seed)).left() == []


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("csv", b'"[35353030203030353520353535352035353539]","x"\r\n'),  # digits in base16, where JSON has a number
        ("json", b'{"a": 35353030203030353520353535352035353539}'),
        ("json", b'{"a": [307835323930383430303039383532373838364530463730333030363938353744324534313639454537]}'),
        ("sse", b'data: "[307835323930383430303039383532373838364530463730333030363938353744324534313639454537]"\n\n'),
    ],
)
def test_what_was_left_once_is_left_no_more(kind: str, raw: bytes) -> None:
    for entity in ("CREDIT_CARD", "CRYPTO"):
        plan = FilterPlan(dict.fromkeys([entity, "JWT"], Action.REDACT))
        left = Scattered(kind, [raw], plan, set(VALUES[entity])).left()

        assert left == []


ADDRESS = b"bad@test.de".hex()  # which JSON takes for a number with an exponent
FRAMES = {"json": '{"a": %s}', "sse": 'data: {"a": {"b": [%s]}}\n\n', "ndjson": '{"a": 1, "b": %s}\n'}


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("frame", [*FRAMES, "text"])
@pytest.mark.parametrize(
    "number", [ADDRESS, ADDRESS.upper(), f"-{ADDRESS}", f"1{ADDRESS}", f"-19{ADDRESS}7", "4242424242424242e0"]
)
def test_letters_in_base16_are_found_in_every_number_that_json_has(number: str, frame: str, size: int) -> None:
    raw = FRAMES[frame] % number if frame in FRAMES else json.dumps({"content": f'{{"a": [{number}, 0]}}'})
    data = raw.encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    out, failure = drive(body(frame if frame in FRAMES else "json"), pieces)

    assert not failure
    assert number[-12:] not in out.decode()


def test_the_readings_find_what_nobody_looks_for() -> None:
    bodies = [scattered(Random(seed)) for seed in range(40)]
    unread = FilterPlan({"JWT": Action.REDACT})

    assert all(Scattered(one.kind, one.pieces, unread, one.values).left() for one in bodies if one.values)
